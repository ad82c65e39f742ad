"""`rollcheck history`: the trend over many runs and loads."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollcheck.cli.ending import say
from rollcheck.cli.options import Output, check_output
from rollcheck.errors import DocumentError, RollcheckError, UsageError

if TYPE_CHECKING:
    from rollcheck.analyze.history import Entry, Series

WIDEST, UNSEEN = 120, 100
DEPTH = 3
"""How far below DIR folders are looked at: reports/demo-…/before."""
RESULT, LOAD, FACTS = "result.json", "fortio.json", "facts.jsonl"


def history(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders that hold reports, as reports/ does.")
    ],
    output: Output = "text",
    figure: Annotated[
        list[Path] | None, typer.Option("--figure", metavar="FILE", help="A picture, .png or .svg; again for more.")
    ] = None,
) -> None:
    """Show the trend over many runs and loads: verdicts, losses, causes and latency, the latest last."""
    check_output(output)
    for path in figure or ():
        if path.suffix.lower() not in (".png", ".svg"):
            raise UsageError(f"--figure {path}: give a name that ends with .png or .svg")
    from rollcheck.analyze.history import series_of
    from rollcheck.render.history import history_json, history_text

    entries = _entries(folders)
    series = series_of(entries)
    _draw(series, figure or [])
    if output == "json":
        sys.stdout.write(history_json(series).decode())
    else:
        terminal = sys.stdout.isatty()
        width = min(os.get_terminal_size(sys.stdout.fileno()).columns, WIDEST) if terminal else UNSEEN
        sys.stdout.write(history_text(series, width=width, colour=terminal and "NO_COLOR" not in os.environ))
    sys.stdout.flush()


def _entries(folders: list[Path]) -> list[Entry]:
    """Everything that the folders hold; what cannot be read is told and left out.

    Raises:
        DocumentError: there is nothing that can be read.
    """
    found: list[Entry] = []
    unread: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            raise DocumentError(f"{folder} is no folder; give the one in which reports are kept, for example reports")
        for place in places(folder):
            try:
                found.append(_entry(place, folder))
            except RollcheckError as error:
                unread.append(str(error))
    for sentence in unread:
        say(f"left out: {sentence}")
    if not found:
        names = ", ".join(map(str, folders))
        raise DocumentError(
            f"there is no report in {names}: give a folder that `rollcheck run` or `load --out` wrote to"
        )
    return found


def places(folder: Path) -> list[Path]:
    """The folders in it that hold a report, itself included, in order of their names."""
    held, look = [], [(folder, 0)]
    while look:
        place, depth = look.pop()
        if any((place / name).is_file() for name in (RESULT, LOAD, FACTS)):
            held.append(place)
        elif depth < DEPTH:
            below = (entry for entry in place.iterdir() if entry.is_dir() and not entry.is_symlink())
            look += [(entry, depth + 1) for entry in below]
    return sorted(held)


def _entry(place: Path, top: Path) -> Entry:
    from rollcheck.analyze.history import entry_of_load, entry_of_run
    from rollcheck.analyze.results import decode_result

    name = str(place.relative_to(top)) if place != top else place.name
    if (place / RESULT).is_file():
        return entry_of_run(_json(place / RESULT), name)
    if (place / LOAD).is_file():
        return entry_of_load(decode_result(_bytes(place / LOAD), name), name)
    return _analysed(place, name)


def _analysed(place: Path, name: str) -> Entry:
    """Of a folder in which nothing was rendered: out of its facts."""
    from rollcheck.analyze.history import entry_of_load, entry_of_run
    from rollcheck.record import read_document

    document = read_document(place)
    if document.header.kind == "load":
        from rollcheck.analyze.load import summarise
        from rollcheck.analyze.results import of_summary
        from rollcheck.render.gofmt import timestamp

        summary = summarise(document)
        started = timestamp(summary.header.anchor.to_wall(summary.started_ns))
        return entry_of_load(of_summary(summary, name, started=started), name)
    from rollcheck.analyze.analysis import analyse
    from rollcheck.render.result import render_result

    return entry_of_run(json.loads(render_result(analyse(document))), name)


def _json(path: Path) -> dict[str, object]:
    try:
        raw = json.loads(_bytes(path))
    except (ValueError, RecursionError) as e:
        raise DocumentError(f"{path} is no JSON ({e}); `rollcheck report {path.parent}` writes it anew") from e
    if not isinstance(raw, dict):
        raise DocumentError(f"{path} is no result; `rollcheck report {path.parent}` writes it anew")
    return raw


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise DocumentError(f"{path} cannot be read: {e.strerror}") from e


def _draw(series: tuple[Series, ...], paths: list[Path]) -> None:
    if not paths:
        return
    from rollcheck.deliver import deliver_file
    from rollcheck.render.historyfigure import history_images

    png, svg = history_images(series)
    for path in paths:
        deliver_file(path, svg if path.suffix.lower() == ".svg" else png, "--figure")
