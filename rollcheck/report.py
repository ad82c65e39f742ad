"""The analysis of a run → the files of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rollcheck.analyze.model import Analysis
from rollcheck.deliver import NO_ROOM, replace_file
from rollcheck.errors import DiskFull, DocumentError
from rollcheck.render.result import render_result
from rollcheck.render.terminal import fix_names, render_terminal

RESULT = "result.json"
SUMMARY = "summary.txt"
PAGE = "report.html"
TIMELINE_PNG = "timeline.png"
TIMELINE_SVG = "timeline.svg"
RENDERED = (RESULT, SUMMARY, PAGE, TIMELINE_PNG, TIMELINE_SVG)
"""Files that every report has; a patch of the report is beside them as `fix-1.yaml`, `fix-2.yaml`, …"""

SUMMARY_WIDTH = 80


def write_report(analysis: Analysis, folder: Path) -> None:
    """Write the report of a run into `folder`, which is made if need be.

    The same analysis gives the same bytes in every file, so an old folder can be rendered again. Each file appears
    whole or not at all.

    Raises:
        DocumentError: the folder or a file in it cannot be written.
        DiskFull: there is no room for it.
    """
    fixes = fix_names(analysis)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # What the figures say is in result.json too: it goes first, so that a full disk costs the pictures.
        replace_file(folder / RESULT, render_result(analysis))
        for name, patch in fixes.items():
            replace_file(folder / name, patch.encode())
        replace_file(folder / SUMMARY, summary(analysis, fixes).encode())
        for stale in set(folder.glob("fix-[0-9]*.yaml")) - {folder / name for name in fixes}:
            stale.unlink()
        from rollcheck.render.html.run import render_run  # noqa: PLC0415  # as the pictures: not before it is drawn

        replace_file(folder / PAGE, render_run(analysis))
        from rollcheck.render.figures import timeline_images  # noqa: PLC0415  # matplotlib takes 0.5 s

        png, svg = timeline_images(analysis)
        replace_file(folder / TIMELINE_PNG, png)
        replace_file(folder / TIMELINE_SVG, svg)
    except OSError as e:
        raise _unwritable(folder, e) from e


def summary(analysis: Analysis, fixes: Mapping[str, str]) -> str:
    """The text of `summary.txt`: relative paths only, so that it does not depend on where the folder is."""
    names = (*RENDERED, *fixes, "facts.jsonl")
    return render_terminal(analysis, width=SUMMARY_WIDTH, colour=False, paths={name: name for name in names})


def report_paths(analysis: Analysis, folder: Path) -> dict[str, str]:
    """The files that `write_report` wrote, name → path, as `render_terminal` takes them."""
    return {name: str(folder / name) for name in (*RENDERED, *fix_names(analysis), "facts.jsonl")}


def _unwritable(folder: Path, e: OSError) -> DocumentError:
    what = e.filename or folder
    if e.errno in NO_ROOM:
        return DiskFull(
            f"the report in {folder} could not be written: {e.strerror}; what was recorded is safe, "
            f"free some space and run `rollcheck report {folder}`"
        )
    return DocumentError(
        f"the report cannot be written: {what}: {e.strerror}; make {folder} writable, or run `rollcheck report` on a "
        "copy of it"
    )
