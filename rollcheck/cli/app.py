"""The commands, put together; what they do is imported when it is done, so that --help stays quick."""

from __future__ import annotations

from typing import Annotated

import typer

from rollcheck import __version__
from rollcheck.cli.cleanup import cleanup
from rollcheck.cli.compare import COMPARE_EPILOG, compare
from rollcheck.cli.demo import demo
from rollcheck.cli.doctor import doctor
from rollcheck.cli.ending import ending
from rollcheck.cli.history import history
from rollcheck.cli.loadentry import SETTINGS, load
from rollcheck.cli.options import grouped
from rollcheck.cli.report import report
from rollcheck.cli.run import RUN_EPILOG, run
from rollcheck.cli.sandbox import sandbox
from rollcheck.cli.schema import schema

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Proves that a Kubernetes workload can be replaced without any client noticing.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rollcheck {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Proves that a Kubernetes workload can be replaced without any client noticing."""


app.command(epilog=RUN_EPILOG)(ending()(grouped(run)))
app.command(context_settings=SETTINGS, add_help_option=False)(ending()(load))
app.command()(ending()(grouped(report)))
app.command(epilog=COMPARE_EPILOG)(ending()(compare))
app.command()(ending()(doctor))
app.command()(ending()(cleanup))
app.command()(ending()(history))
app.command()(ending()(schema))
app.command()(ending()(demo))
app.add_typer(sandbox, name="sandbox")
