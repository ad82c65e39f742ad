"""What is said on stderr while a run goes on: one line that is rewritten on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rollcheck.facts.actions import CommandOutput
    from rollcheck.facts.attempts import Stage
    from rollcheck.load.progress import Progress

PLAIN_EVERY_S = 5.0
"""Elsewhere than on a terminal a line this often shows that the run lives, without filling a CI log."""


class Progressing:
    """A `conductor.Reporter` for stderr, and a context manager that cleans up; with `quiet` it says nothing at all."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.terminal = sys.stderr.isatty()
        self.started = time.monotonic()
        self._last_plain = 0.0
        self._live = False

    def say(self, text: str) -> None:
        """A line of its own, with the seconds since the start."""
        self._line(f"[{time.monotonic() - self.started:6.1f}s] {text}")

    def stage(self, stage: Stage, seconds: float | None) -> None:
        """Name the stage and how long it takes."""
        self.say(f"{stage.value}: {f'{seconds:g} s' if seconds is not None else 'until every old pod is gone'}")
        self._last_plain = time.monotonic()

    def tick(self, progress: Progress, doing: str) -> None:
        """Where the load stands."""
        lost = progress.failed + progress.not_sent
        text = f"{doing}: {progress.scheduled:,} requests, {progress.ok:,} ok, {lost:,} lost"
        if progress.p50_us is not None and progress.p99_us is not None:
            text += f", p50 {progress.p50_us / 1000:.1f} ms, p99 {progress.p99_us / 1000:.1f} ms"
        if self.quiet:
            return
        if self.terminal:
            self._live = True
            self._write(f"\r\x1b[2K{text[:100]}")
        elif time.monotonic() - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = time.monotonic()
            self.say(text)

    def output(self, line: CommandOutput) -> None:
        """What the user's command printed, marked as its own."""
        self._line(f"  | {line.text}")

    def end(self) -> None:
        """Leave the terminal's line clean."""
        if self._live:
            self._live = False
            self._write("\r\x1b[2K")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _line(self, text: str) -> None:
        if self.quiet:
            return
        self.end()
        self._write(f"{printable(text)}\n")

    def _write(self, text: str) -> None:
        try:
            print(text, end="", file=sys.stderr, flush=True)
        except OSError:
            self.quiet = True  # whoever read it is gone, or its disk is full: no reason to end a run


def printable(text: str) -> str:
    """`text` without what could drive a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
