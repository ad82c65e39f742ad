"""The commands, put together: each by its name and one line, its module imported when it is the one that is asked for.

`rollcheck --help` and every start of a command would otherwise wait for the options of all of them.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from rollcheck import __version__

COMMANDS = {
    "run": "Replace pods under load; say which requests were lost, and why.",
    "load": "Put load on a URL, with fortio's flags.",
    "report": "Analyse and render a recorded run or load again.",
    "compare": "Compare two runs, or two loads.",
    "doctor": "Say what `run` may do here, and which rights are missing.",
    "cleanup": "Put back what runs that were killed left changed.",
    "history": "Show the trend over many runs and loads.",
    "schema": "Print the JSON Schema of result.json.",
    "demo": "Show it all on a sandbox: a lossy rollout, and its fix.",
    "sandbox": "A cluster of rollcheck's own on loopback.",
}
"""Name → what `rollcheck --help` says of it, short enough for a line of a terminal 80 columns wide."""

_Typer = partial(typer.Typer, rich_markup_mode=None, pretty_exceptions_enable=False)


class _Late(TyperGroup):
    """Builds a command when it is called, completed or asked for its help; until then it is a name and a line."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, known, rest = super().resolve_command(ctx, args)
        return name, build(name) if known and name else None, rest


def build(name: str) -> Any:
    """The command of that name, from `rollcheck.cli.NAME`: a function, or a typer of several."""
    # Typer cannot read fortio's flags: what it lists and completes as `load` hands them all on.
    module = import_module(f"rollcheck.cli.{'loadentry' if name == 'load' else name}")
    command = getattr(module, name)
    if isinstance(command, typer.Typer):
        return get_command(command)
    from rollcheck.cli.ending import ending
    from rollcheck.cli.options import grouped

    one = _Typer(add_completion=False)
    one.command(name, epilog=getattr(module, "EPILOG", None), **getattr(module, "SETTINGS", {}))(
        ending()(grouped(command))
    )
    return get_command(one)


app = _Typer(
    cls=_Late,
    no_args_is_help=True,
    add_completion=True,
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


def _not_built() -> None:
    """What stands for a command until it is built."""


for _command, _line in COMMANDS.items():
    app.command(_command, short_help=_line)(_not_built)
