"""A container that does nothing until it is told to end: SIGTERM and SIGINT end it with code 0."""

from __future__ import annotations

import signal
import sys


def main(argv: list[str]) -> None:
    """Wait."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    while True:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv)
