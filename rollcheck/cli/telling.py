"""A document becomes its report: files in a folder, and what is printed on stdout."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rollcheck.errors import DiskFull, RollcheckError

if TYPE_CHECKING:
    from rollcheck.analyze.model import Analysis
    from rollcheck.cli.renditions import Renditions
    from rollcheck.facts.document import Document

WIDEST = 110
UNSEEN = 80
"""Columns of a summary that no terminal shows."""


def tell(
    document: Document, folder: Path, output: str, renditions: Renditions | None = None
) -> tuple[Analysis, RollcheckError | None]:
    """Analyse a document, write its report into `folder` and whatever else was asked for, and print it.

    What could not be written, or not be printed, does not keep the other back: the verdict is not lost with a disk.

    Returns:
        The analysis, and the first error that came of writing and printing.
    """
    from rollcheck.analyze.analysis import analyse
    from rollcheck.report import write_report

    analysis = analyse(document)
    failure: RollcheckError | None = None
    try:
        write_report(analysis, folder)
    except RollcheckError as error:
        failure = error
    if renditions is not None:
        unmade = renditions.of_run(analysis, folder)
        failure = failure or unmade
    try:
        _print(analysis, folder, output)
    except BrokenPipeError:
        raise
    except OSError as e:
        failure = failure or DiskFull(f"the report could not be printed: {e.strerror}; it is in {folder}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python fails at it again as it ends
    return analysis, failure


def _print(analysis: Analysis, folder: Path, output: str) -> None:
    from rollcheck.render.result import render_result
    from rollcheck.render.terminal import render_terminal
    from rollcheck.report import report_paths

    if output == "json":
        sys.stdout.write(render_result(analysis).decode())
    else:
        paths = {name: path for name, path in report_paths(analysis, folder).items() if Path(path).exists()}
        terminal = sys.stdout.isatty()
        width = min(os.get_terminal_size(sys.stdout.fileno()).columns, WIDEST) if terminal else UNSEEN
        colour = terminal and "NO_COLOR" not in os.environ
        sys.stdout.write(render_terminal(analysis, width=width, colour=colour, paths=paths))
    sys.stdout.flush()
