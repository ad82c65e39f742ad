"""`rollcheck compare`: two runs or two loads side by side, and whether they differ by more than chance or noise."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollcheck.cli.compareruns import compare_two_runs, runs_at
from rollcheck.cli.options import Output, check_output
from rollcheck.errors import DiskFull, DocumentError, UsageError

if TYPE_CHECKING:
    from rollcheck.analyze.compare import Comparison
    from rollcheck.analyze.results import Result

SAME, WORSE, UNKNOWN = 0, 1, 3
WIDEST, UNSEEN = 110, 80
RESULT = "fortio.json"
EPILOG = """A and B are both runs, folders that `rollcheck run` wrote; or both loads, folders that
`rollcheck load --out` wrote or JSON files that `rollcheck load -json` or fortio itself wrote.

Exit codes: 0; with --fail-if-worse 1 when B is worse than A by more than chance or noise, and 3 when that cannot be
judged (an inconclusive run; fortio's JSON, which tells nothing about single seconds). 2 for what cannot be read.
"""


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="The run or load before.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The run or load after.")],
    output: Output = "text",
    as_json: Annotated[bool, typer.Option("--json", help="The same as -o json.")] = False,
    figure: Annotated[
        list[Path] | None, typer.Option("--figure", metavar="FILE", help="A picture, .png or .svg; again for more.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="A page with both beside each other.")
    ] = None,
    tolerance: Annotated[
        str,
        typer.Option("--tolerance", metavar="SHARE", help="Not called worse up to this: 5% or 0.05."),
    ] = "0",
    fail_if_worse: Annotated[
        bool, typer.Option("--fail-if-worse", help="Exit 1 when B is worse by more than the noise.")
    ] = False,
) -> None:
    """Compare two runs (verdicts, losses, causes) or two loads (percentiles, rate, losses), beyond chance and noise."""
    check_output(output)
    share = _share(tolerance)
    for path in figure or ():
        if path.suffix.lower() not in (".png", ".svg"):
            raise UsageError(f"--figure {path}: give a name that ends with .png or .svg")
    runs = runs_at(a, b)
    if runs is not None:
        if figure:
            raise UsageError("--figure is for two loads; each run has its pictures in its folder, and --html has both")
        names, as_json = (str(a), str(b)), as_json or output == "json"
        raise typer.Exit(compare_two_runs(runs, names, as_json=as_json, fail_if_worse=fail_if_worse, html=html))
    from rollcheck.analyze.compare import compare as compared

    comparison = compared(_read(a), _read(b), tolerance=share)
    _draw(comparison, figure or [])
    if html is not None:
        _write_page(comparison, html)
    _print(comparison, as_json or output == "json")
    if not fail_if_worse:
        raise typer.Exit(SAME)
    raise typer.Exit(WORSE if comparison.worse else UNKNOWN if comparison.unjudged else SAME)


def _share(text: str) -> float:
    """A share of 1.

    Raises:
        UsageError: it is none.
    """
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 10:
        raise UsageError(f"--tolerance {text!r} is no share; write for example 5% or 0.05")
    return share


def _read(path: Path) -> Result:
    """The result at a path: of a folder its document, or the JSON in it when the document is gone.

    Raises:
        DocumentError: there is none, or it cannot be read.
    """
    from rollcheck.analyze.load import summarise
    from rollcheck.analyze.results import decode_result, of_summary
    from rollcheck.record import FACTS, read_document
    from rollcheck.render.gofmt import timestamp

    inside = (path / name for name in (FACTS, RESULT))
    whole = next((file for file in inside if file.exists()), path)
    if whole.suffix == ".jsonl":
        summary = summarise(read_document(whole))
        started = timestamp(summary.header.anchor.to_wall(summary.started_ns))
        return of_summary(summary, str(path), started=started)
    try:
        data = whole.read_bytes()
    except OSError as e:
        raise DocumentError(
            f"{path}: {e.strerror}; give a folder of `rollcheck load --out`, or a JSON file of it or of fortio"
        ) from e
    return decode_result(data, str(path))


def _write_page(comparison: Comparison, page: Path) -> None:
    """Write the page of two loads.

    Raises:
        DiskFull: the page could not be written.
    """
    from rollcheck.render.html.pair import render_loads

    data = render_loads(comparison)
    try:
        page.write_bytes(data)
    except OSError as e:
        raise DiskFull(f"--html: {page} could not be written: {e.strerror}") from e


def _draw(comparison: Comparison, paths: list[Path]) -> None:
    """Write the pictures.

    Raises:
        DiskFull: one could not be written.
    """
    if not paths:
        return
    from rollcheck.render.curves import comparison_images

    png, svg = comparison_images(comparison)
    for path in paths:
        try:
            path.write_bytes(svg if path.suffix.lower() == ".svg" else png)
        except OSError as e:
            raise DiskFull(f"--figure: {path} could not be written: {e.strerror}") from e


def _print(comparison: Comparison, as_json: bool) -> None:
    from rollcheck.render.comparison import comparison_json, comparison_text

    if as_json:
        sys.stdout.write(comparison_json(comparison).decode())
    else:
        terminal = sys.stdout.isatty()
        width = min(os.get_terminal_size(sys.stdout.fileno()).columns, WIDEST) if terminal else UNSEEN
        colour = terminal and "NO_COLOR" not in os.environ
        sys.stdout.write(comparison_text(comparison, width=width, colour=colour))
    sys.stdout.flush()
