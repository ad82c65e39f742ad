"""Manifests as kubectl takes them: files or folders of YAML or JSON, many documents each, Lists taken apart.

YAML is read as version 1.1, as kubectl does it (`0644` is octal, `on` is true); a key that occurs twice is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from rollcheck.errors import UsageError

Json = dict[str, Any]
SUFFIXES = (".yaml", ".yml", ".json")


def load(paths: Iterable[str]) -> list[Json]:
    """Every object of those files and folders, in order; `-` is standard input.

    Raises:
        UsageError: a file cannot be read, is not YAML, or holds something that is no object; names file and line.
    """
    return [found for path in paths for name, text in _texts(path) for found in parse(text, name)]


def bundled(name: str) -> list[Json]:
    """The objects of a bundled example, such as "wordpress"; [] when there is none of that name."""
    file = resources.files("rollcheck.sandbox") / "examples" / f"{name}.yaml"
    return parse(file.read_text(encoding="utf-8"), f"{name}.yaml") if file.is_file() else []


def parse(text: str, name: str) -> list[Json]:
    """The objects of one text.

    Raises:
        UsageError: as `load`.
    """
    from ruamel.yaml import YAML  # noqa: PLC0415  # only when a manifest is read
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415

    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    try:
        documents = list(yaml.load_all(text))
    except MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        at = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise UsageError(f"{at}: this is not YAML: {e.problem or e.context}") from e
    except (YAMLError, ValueError) as e:
        raise UsageError(f"{name}: this is not YAML: {' '.join(str(e).split())}") from e
    return [found for number, document in enumerate(documents, 1) for found in _objects(document, name, number)]


def _texts(path: str) -> Iterator[tuple[str, str]]:
    """Name and text of what a path means."""
    if path == "-":
        yield "standard input", sys.stdin.read()
        return
    place = Path(path)
    try:
        files = sorted(p for p in place.iterdir() if p.suffix in SUFFIXES) if place.is_dir() else [place]
        for file in files:
            yield str(file), file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        why = e.strerror if isinstance(e, OSError) else "it is not text in UTF-8"
        raise UsageError(f"-f {path}: cannot be read: {why}") from e
    if not files:
        raise UsageError(f"-f {path}: the folder has no .yaml, .yml or .json")


def _objects(document: Any, name: str, number: int) -> list[Json]:
    if document is None:
        return []
    where = name if number == 1 else f"{name}, document {number}"
    if not isinstance(document, dict):
        raise UsageError(f"{where}: an object is wanted, with apiVersion and kind, not {_kind_of(document)}")
    if isinstance(document.get("items"), list) and str(document.get("kind", "")).endswith("List"):
        return [found for item in document["items"] for found in _objects(item, name, number)]
    for field in ("apiVersion", "kind"):
        if not isinstance(document.get(field), str):
            raise UsageError(f"{where}: the object has no {field}")
    plain: Json = _plain(document, where)
    return [plain]


def _plain(value: Any, where: str) -> Any:
    """What JSON can hold: YAML's dates become the text they were, its other keys are refused."""
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise UsageError(f"{where}: the key {key!r} is no text; quote it")
        return {key: _plain(each, where) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, where) for each in value]
    if isinstance(value, datetime):
        return value.isoformat() + ("" if value.tzinfo else "Z")
    return value.isoformat() if isinstance(value, date) else value


def _kind_of(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "a text" if isinstance(value, str) else "a number"
