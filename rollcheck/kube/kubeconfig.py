"""Kubeconfigs: found, read and merged as kubectl does, and one made for the user's COMMAND.

A COMMAND has to act where rollcheck looks. `--kubeconfig` reaches it as KUBECONFIG; a context or a namespace chosen by
option can only be handed on in a file, as `current-context` is all that every tool reads: kubectl, helm, kustomize,
Terraform and the client libraries. The file is whole rather than one that is put before the user's in KUBECONFIG,
because of several files kubectl takes the first's current context and Python's loader the last's.
"""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollcheck.errors import UsageError

Json = dict[str, Any]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
KINDS = {"clusters": "cluster", "contexts": "context", "users": "user"}
"""The three lists of a kubeconfig, and under which key an entry has what it names."""
FILES = {"clusters": ("certificate-authority",), "users": ("client-certificate", "client-key", "tokenFile")}
"""What may be a path beside the kubeconfig that names it."""


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """One or several files, merged; paths in it are absolute.

    Attributes:
        source: the paths of the files, as KUBECONFIG would have them.
        content: what they say together.
    """

    source: str
    content: Json

    def has(self, kind: str, name: str) -> bool:
        """Whether there is an entry of that name."""
        return any(e["name"] == name for e in self.content[kind])

    def entry(self, kind: str, name: str) -> Json:
        """What stands under a name; empty when there is none."""
        return next((_inner(kind, e) for e in self.content[kind] if e["name"] == name), {})


def read_kubeconfig(asked: str, environ: Mapping[str, str]) -> Kubeconfig | None:
    """The kubeconfig that counts: the one asked for, else $KUBECONFIG, else ~/.kube/config.

    None inside of a pod that has none, but a service account.

    Raises:
        UsageError: there is none, or one cannot be read.
    """
    named = asked or environ.get("KUBECONFIG", "")
    paths = [Path(p).expanduser() for p in (named or "~/.kube/config").split(os.pathsep) if p]
    present = [p for p in paths if p.exists()]
    if present:
        return Kubeconfig(os.pathsep.join(map(str, present)), _merged([_read(p) for p in present]))
    if not asked and environ.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT / "token").exists():
        return None
    where = " and ".join(map(str, paths))
    if asked:
        raise UsageError(f"there is no kubeconfig at {where}; give another with --kubeconfig")
    if named:
        raise UsageError(f"there is no kubeconfig at {where}, which KUBECONFIG names; set it anew or give --kubeconfig")
    raise UsageError(f"there is no kubeconfig at {where}; give one with --kubeconfig or KUBECONFIG")


def choose_context(config: Kubeconfig, asked: str) -> str:
    """The context asked for, else the current one.

    Raises:
        UsageError: it is not there.
    """
    names = [str(e["name"]) for e in config.content["contexts"]]
    chosen = asked or str(config.content["current-context"] or "")
    if not chosen:
        raise UsageError(
            f"the kubeconfig {config.source} has no current context; choose one with --context{_known(names)}"
        )
    if chosen not in names:
        near = difflib.get_close_matches(chosen, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else "choose another with --context"
        raise UsageError(f"there is no context {chosen!r} in the kubeconfig {config.source}{_known(names)}; {hint}")
    return chosen


@contextmanager
def environment_for_command(
    *, kubeconfig: str = "", context: str = "", namespace: str = "", environ: Mapping[str, str] | None = None
) -> Iterator[dict[str, str]]:
    """What COMMAND must have in its environment to act on the cluster, context and namespace of these options.

    With a context or a namespace that is a kubeconfig of its own: the user's, with that current context in that
    namespace, readable for this user alone and gone afterwards. Tokens that a tool would write back are lost with it.

    Raises:
        UsageError: the kubeconfig cannot be read, or the other one not written.
    """
    if not context and not namespace:
        yield {"KUBECONFIG": kubeconfig} if kubeconfig else {}
        return
    config = read_kubeconfig(kubeconfig, os.environ if environ is None else environ)
    if config is None:
        yield {"POD_NAMESPACE": namespace}  # what clients inside of a pod go by
        return
    content = _pointed(config, choose_context(config, context), namespace)
    try:
        folder = tempfile.TemporaryDirectory(prefix="rollcheck-", ignore_cleanup_errors=True)
    except OSError as e:
        raise UsageError(f"no kubeconfig can be written for the command: {e.strerror}; set TMPDIR to a folder") from e
    with folder as made:
        path = Path(made) / "kubeconfig"
        _write(path, content)
        yield {"KUBECONFIG": str(path)}


def _pointed(config: Kubeconfig, context: str, namespace: str) -> Json:
    """The content with that current context; with that namespace in it, if one is given."""
    entry = config.entry("contexts", context)
    pointed = {"name": context, "context": {**entry, "namespace": namespace} if namespace else entry}
    others = [e for e in config.content["contexts"] if e["name"] != context]
    return {**config.content, "contexts": [pointed, *others], "current-context": context}


def _write(path: Path, content: Json) -> None:
    import yaml  # noqa: PLC0415  # with the official loader, which reads with it too

    text = yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **content}, sort_keys=False)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
        file.write(text)


def _read(path: Path) -> Json:
    """One kubeconfig as a mapping whose three lists are lists of mappings with a name."""
    import yaml  # noqa: PLC0415  # with the official loader, which reads with it too

    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as e:
        raise UsageError(f"the kubeconfig {path} cannot be read: {e.strerror}; give another with --kubeconfig") from e
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        mark = getattr(e, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise UsageError(f"the kubeconfig {path} is not YAML{where}; give another with --kubeconfig") from e
    if not isinstance(raw, dict):
        raise UsageError(f"the kubeconfig {path} is no kubeconfig but {_what(raw)}; give another with --kubeconfig")
    for kind in KINDS:
        entries = raw.get(kind) or []
        if not isinstance(entries, list) or not all(isinstance(e, dict) and "name" in e for e in entries):
            raise UsageError(f"in the kubeconfig {path}, {kind!r} is no list of named entries; correct it there")
        raw[kind] = entries
    _make_absolute(raw, path.absolute().parent)
    return raw


def _make_absolute(raw: Json, folder: Path) -> None:
    """Have relative paths start from where they count from: the folder of the kubeconfig."""
    for kind, keys in FILES.items():
        for inner in (_inner(kind, entry) for entry in raw[kind]):
            for key in keys:
                if isinstance(inner.get(key), str) and inner[key]:
                    inner[key] = str(folder / inner[key])
            plugin = inner.get("exec")
            if isinstance(plugin, dict) and os.sep in str(plugin.get("command") or ""):
                plugin["command"] = str(folder / str(plugin["command"]))


def _inner(kind: str, entry: Json) -> Json:
    inner = entry.get(KINDS[kind])
    return inner if isinstance(inner, dict) else {}


def _what(raw: Any) -> str:
    return "an empty file" if raw is None else f"a single {type(raw).__name__}"


def _merged(files: list[Json]) -> Json:
    """The files as one, as kubectl has it: of two that say something the first counts."""
    merged: Json = {**{kind: [] for kind in KINDS}, "current-context": ""}
    for file in files:
        for kind in KINDS:
            known = {e["name"] for e in merged[kind]}
            merged[kind] += [e for e in file[kind] if e["name"] not in known]
        merged["current-context"] = merged["current-context"] or file.get("current-context") or ""
    return merged


def _known(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:10]) + (", …" if len(names) > 10 else "")
    return f" (there are: {shown})" if names else " (it has none at all)"
