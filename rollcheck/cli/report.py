"""`rollcheck report`: a recorded run, analysed and rendered again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rollcheck.cli.options import Output, check_output
from rollcheck.cli.telling import tell


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `rollcheck run` wrote.")],
    output: Output = "text",
) -> None:
    """Analyse a recorded run again and render it again; needs no cluster."""
    from rollcheck.record import read_document

    check_output(output)
    analysis, failure = tell(read_document(folder), folder if folder.is_dir() else folder.parent, output)
    if failure is not None:
        raise failure
    raise typer.Exit(analysis.exit_code)
