"""`rollcheck load` as typer lists and completes it; `cli.main` runs it without typer, whose start it would wait for."""

from __future__ import annotations

from typing import Annotated

import typer

from rollcheck.cli.load import command

SETTINGS = {
    "context_settings": {"ignore_unknown_options": True, "allow_interspersed_args": False},
    "add_help_option": False,
}


def load(
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[FLAGS] URL", help="As fortio's.")] = None,
) -> None:
    """Put load on a URL, as `fortio load` does, with its flags; see `rollcheck load --help`."""
    raise typer.Exit(command(arguments or []))
