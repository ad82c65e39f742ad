"""The commands: the only place that prints, reads the environment or picks exit codes.

Words for people go to stdout, progress and diagnostics to stderr. Here belongs: options, their meaning and defaults,
the sentence on an error. Not here: anything a program could want without a terminal.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit with its code; every error of ours is one sentence on stderr."""
    from rollcheck.cli.app import app
    from rollcheck.errors import RollcheckError

    try:
        app(prog_name=_name())
    except RollcheckError as error:
        print(f"rollcheck: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("rollcheck: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us is gone: nothing to say to it
        sys.exit(141)


def _name() -> str:
    """`kubectl rollcheck` when kubectl runs us as its plugin, so that --help shows what was typed."""
    return "kubectl rollcheck" if os.path.basename(sys.argv[0]).startswith("kubectl-") else "rollcheck"  # noqa: PTH119
