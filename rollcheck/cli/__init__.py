"""The commands: the only place that prints, reads the environment or picks exit codes.

Words for people go to stdout, progress and diagnostics to stderr. Here belongs: options, their meaning and defaults,
the sentence on an error. Not here: anything a program could want without a terminal.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper


def main() -> None:
    """Run the command line and exit with its code; every error of ours is one sentence on stderr."""
    from rollcheck.cli.ending import ending

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that this terminal cannot show must not end a run
    with ending():
        if sys.argv[1:2] == ["load"]:
            # Its flags are fortio's, which typer cannot read, and its first request must not wait for typer.
            from rollcheck.cli.load import command

            code = command(sys.argv[2:])
            sys.stdout.flush()
            sys.exit(code)
        from rollcheck.cli.app import app

        app(prog_name=_name())


def _name() -> str:
    """`kubectl rollcheck` when kubectl runs us as its plugin, so that --help shows what was typed."""
    return "kubectl rollcheck" if os.path.basename(sys.argv[0]).startswith("kubectl-") else "rollcheck"  # noqa: PTH119
