"""How a command ends early: one sentence on stderr and an exit code, whatever it was."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rollcheck.cli.progress import printable
from rollcheck.errors import RollcheckError

DONE, MISSED = 0, 1
"""A load within its thresholds, and one that is not."""
INTERRUPTED, NO_READER = 130, 141


@contextmanager
def ending() -> Iterator[None]:
    """Around a command, or as its decorator: inside of typer, whose own codes for these mean something else here.

    Raises:
        SystemExit: with the exit code of what came: an error of ours, Ctrl-C, a reader of stdout that went away.
    """
    try:
        yield
    except RollcheckError as error:
        say(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt as interrupt:
        say(str(interrupt) or "interrupted")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python says so once more as it ends
        sys.exit(NO_READER)


def say(text: str) -> None:
    """A line for the person on stderr; who has closed it does not want to know."""
    lines = "\n".join(printable(line) for line in text.split("\n"))
    with suppress(OSError):
        print(f"rollcheck: {lines}", file=sys.stderr, flush=True)
