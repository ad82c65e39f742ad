"""`rollcheck compare` where both are runs of a workload."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rollcheck.errors import UsageError

if TYPE_CHECKING:
    from rollcheck.facts.document import Document

SAME, WORSE, UNKNOWN = 0, 1, 3
WIDEST, UNSEEN = 110, 80


def runs_at(a: Path, b: Path) -> tuple[Document, Document] | None:
    """The documents of two runs; None of two loads.

    Raises:
        UsageError: they are one of each.
        DocumentError: one of them cannot be read.
    """
    first, second = run_at(a), run_at(b)
    if first is not None and second is not None:
        return first, second
    if first is None and second is None:
        return None
    run, load = (a, b) if first is not None else (b, a)
    raise UsageError(f"{run} is a run, and {load} is none: give two runs, or two loads")


def run_at(path: Path) -> Document | None:
    """The document at a path if it is of a run, None of a load or of what is no document."""
    from rollcheck.record import FACTS, read_document

    facts = path / FACTS if path.is_dir() else path
    if facts.suffix != ".jsonl" or not facts.is_file():
        return None
    with facts.open("rb") as file:
        if b'"kind":"load"' in file.readline():
            return None  # known by its first line: it may have hundreds of megabytes
    document = read_document(facts)
    return document if document.header.kind == "run" else None


def compare_two_runs(
    runs: tuple[Document, Document], names: tuple[str, str], *, as_json: bool, fail_if_worse: bool, html: Path | None
) -> int:
    """Tell two runs side by side; gives back the exit code.

    Raises:
        RollcheckError: a document cannot be read, or the page not be written.
    """
    from rollcheck.analyze.analysis import analyse
    from rollcheck.analyze.comparerun import compare_runs
    from rollcheck.render.runcomparison import run_comparison_json, run_comparison_text

    a, b = map(analyse, runs)
    if html is not None:
        from rollcheck.deliver import deliver_file
        from rollcheck.render.html.pair import render_runs

        deliver_file(html, render_runs(a, b, names), "--html")
    comparison = compare_runs(a, b)
    if as_json:
        sys.stdout.write(run_comparison_json(comparison, names).decode())
    else:
        terminal = sys.stdout.isatty()
        width = min(os.get_terminal_size(sys.stdout.fileno()).columns, WIDEST) if terminal else UNSEEN
        colour = terminal and "NO_COLOR" not in os.environ
        sys.stdout.write(run_comparison_text(comparison, names, width=width, colour=colour))
    sys.stdout.flush()
    if not fail_if_worse:
        return SAME
    return WORSE if comparison.worse else UNKNOWN if comparison.unjudged else SAME
