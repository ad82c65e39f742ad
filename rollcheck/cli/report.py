"""`rollcheck report`: a recorded run, analysed and rendered again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rollcheck.cli.options import Output, check_output
from rollcheck.cli.renditionoptions import NO_OPTIONS, RenditionOptions
from rollcheck.cli.telling import tell


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `rollcheck run` or `load --out` wrote.")],
    output: Output = "text",
    further: RenditionOptions = NO_OPTIONS,
) -> None:
    """Analyse a recorded run or load again and render it again; needs no cluster."""
    from rollcheck.record import read_document

    check_output(output)
    renditions = further.chosen()
    document = read_document(folder)
    place = folder if folder.is_dir() else folder.parent
    if document.header.kind == "load":
        from rollcheck.cli.loadresults import retell

        raise typer.Exit(retell(document, place, renditions, json_on_stdout=output == "json"))
    analysis, failure = tell(document, place, output, renditions)
    if failure is not None:
        raise failure
    raise typer.Exit(analysis.exit_code)
