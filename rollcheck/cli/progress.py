"""What is said on stderr while a run goes on: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from rollcheck.cli.livefeed import LiveFeed
    from rollcheck.facts.actions import CommandOutput
    from rollcheck.facts.attempts import Stage
    from rollcheck.facts.cluster import PodSeen, SliceSeen
    from rollcheck.load.progress import Progress

SHOWS_AGAIN = "\x1b[?1049l\x1b[?25h"
"""Leave the second screen, show the cursor: what the process that draws would have written, had nobody killed it."""
PLAIN_EVERY_S = 5.0
"""Elsewhere than on a terminal a line this often shows that the run lives, without filling a CI log."""


def is_live(*, wanted: bool) -> bool:
    """Whether stderr is a terminal on which a picture can be drawn, and nobody said that none is wanted."""
    return wanted and sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM", "dumb") != "dumb"


class Progressing:
    """A `conductor.Reporter` for stderr, and a context manager that cleans up.

    Until the first stage begins there are plain lines, for somebody may have to answer a question; from then on, where
    it is `live`, a process of its own draws (`cli.liveview`). Should that process end early, the lines go on.

    Args:
        quiet: say nothing at all.
        live: draw.
        subject: what is replaced.
        qps: the rate that is asked for.
    """

    def __init__(self, *, quiet: bool, live: bool = False, subject: str = "", qps: float = 0.0) -> None:
        self.quiet = quiet
        self.live = live and not quiet
        self.subject = subject
        self.qps = qps
        self.started = time.monotonic()
        self._last_plain = 0.0
        self._feed: LiveFeed | None = None
        self._drawn = False

    def say(self, text: str) -> None:
        """A line of its own, with the seconds since the start."""
        self._line(f"[{time.monotonic() - self.started:6.1f}s] {text}")

    def stage(self, stage: Stage, seconds: float | None) -> None:
        """Name the stage and how long it takes; with the first one the drawing begins."""
        self._drawn = self._feed is not None
        self.say(f"{stage.value}: {f'{seconds:g} s' if seconds is not None else 'until every old pod is gone'}")
        self._last_plain = time.monotonic()
        feed = self._shown()
        if feed is not None:
            feed.stage(stage.value, seconds)

    def tick(self, progress: Progress, doing: str) -> None:
        """Where the load stands."""
        feed = self._shown()
        if feed is not None:
            feed.tick(progress, doing)
        elif not self.quiet and time.monotonic() - self._last_plain >= PLAIN_EVERY_S:
            self._last_plain = time.monotonic()
            self.say(told(progress, doing))

    def see(self, pods: Mapping[str, PodSeen], slices: Collection[SliceSeen]) -> None:
        """Which pods there are, and which of them are endpoints."""
        feed = self._shown()
        if feed is not None:
            feed.see(pods, slices)

    def output(self, line: CommandOutput) -> None:
        """What the user's command printed, marked as its own."""
        self._line(f"  | {line.text}")

    def end(self) -> None:
        """Leave the terminal as it was."""
        feed, self._feed, self._drawn = self._feed, None, False
        if feed is not None and not feed.end():
            self._write(SHOWS_AGAIN)

    def __enter__(self) -> Self:
        if self.live:
            from rollcheck.cli.livefeed import LiveFeed

            # Before anything is timed: to start a process takes milliseconds.
            with suppress(OSError):
                self._feed = LiveFeed(self.subject, self.qps)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _shown(self) -> LiveFeed | None:
        """Who draws, None where nobody does (any more)."""
        if self._feed is not None and not self._feed.alive:
            self._feed.drop()
            self._feed, self._drawn = None, False
            self._write(SHOWS_AGAIN)
        return self._feed if self._drawn else None

    def _line(self, text: str) -> None:
        if self.quiet:
            return
        feed = self._shown()
        if feed is not None:
            feed.say(text)
        else:
            self._write(f"{printable(text)}\n")

    def _write(self, text: str) -> None:
        try:
            print(text, end="", file=sys.stderr, flush=True)
        except OSError:
            self.quiet = True  # whoever read it is gone, or its disk is full: no reason to end a run


def told(progress: Progress, doing: str) -> str:
    """Where the load stands, in one line."""
    lost = progress.failed + progress.not_sent
    text = f"{doing}: {progress.scheduled:,} requests, {progress.ok:,} ok, {lost:,} lost"
    if progress.p50_us and progress.p99_us:
        text += f", p50 {progress.p50_us / 1000:.1f} ms, p99 {progress.p99_us / 1000:.1f} ms"
    return text


def printable(text: str) -> str:
    """`text` without what could drive a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
