"""What is said on stderr while a load goes on: one line that is rewritten on a terminal, a line now and then elsewhere.

Rates and percentiles are those of the time since the line before; counts are those of the whole load.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from rollcheck.cli.progress import printable
from rollcheck.facts.actions import StageMark
from rollcheck.facts.attempts import Attempt, Interval, Lane, Stage
from rollcheck.facts.clock import MILLISECOND, SECOND, Instant

if TYPE_CHECKING:
    from hdrh.histogram import HdrHistogram

    from rollcheck.facts.document import Fact

UNSEEN = 80
"""Columns of what no terminal shows."""
DELAY_NS = 200 * MILLISECOND
"""What is told of a second is told so much after its end: by then every worker has reported on it."""
TERMINAL_EVERY_S = 1.0
"""Workers report once a second; the time in the line goes on in between."""


class Live:
    """A `bench.Watcher` for stderr.

    Args:
        quiet: say nothing at all.
        every_s: seconds between two lines, where stderr is no terminal (or a CI is); 0 for none.
        length_s: how long the load is to last; infinite when nobody knows.

    Attributes:
        first_failure: the first failed attempt of the warm-up, None while there is none.
    """

    def __init__(self, *, quiet: bool, every_s: float, length_s: float) -> None:
        self.terminal = sys.stderr.isatty() and not os.environ.get("CI")
        self.quiet = quiet
        self.every_s = TERMINAL_EVERY_S if self.terminal else every_s
        self.length_s = length_s
        self.first_failure: Attempt | None = None
        self._began: Instant | None = None
        self._told: Instant = 0
        self._totals = {"ok": 0, "failed": 0, "not sent": 0}
        self._window: HdrHistogram | None = None
        self._ended = 0
        self._span: tuple[Instant, Instant] | None = None
        self._recent = ""
        self._live = False

    def see(self, fact: Fact) -> None:
        """See `bench.Watcher`."""
        if isinstance(fact, StageMark):
            self._began = fact.at_ns
            self._told = fact.at_ns + DELAY_NS
        elif isinstance(fact, Attempt):
            if fact.stage is Stage.PREFLIGHT and self.first_failure is None:
                self.first_failure = fact
        elif isinstance(fact, Interval) and fact.stage is Stage.BASELINE and fact.lane is not Lane.PROBE:
            self._add(fact)

    def _add(self, fact: Interval) -> None:
        from rollcheck.analyze.hdr import decoded, empty

        self._totals["ok"] += fact.ok
        self._totals["failed"] += fact.failed
        self._totals["not sent"] += fact.not_sent
        self._ended += fact.ok + fact.failed
        start, end = self._span or (fact.start_ns, fact.end_ns)
        self._span = (min(start, fact.start_ns), max(end, fact.end_ns))
        response = decoded(fact.response_hdr)
        if response is not None and not self.quiet:
            self._window = self._window or empty()
            self._window.add(response)

    def tick(self) -> None:
        """See `bench.Watcher`."""
        if self.quiet or self._began is None or not self.every_s:
            return
        now = time.monotonic_ns()
        if now - self._told >= self.every_s * SECOND:
            self._told += int(self.every_s * SECOND) * ((now - self._told) // int(self.every_s * SECOND))
            self._recent = self._look()
            if not self.terminal:
                self.say(f"[{(now - self._began) / SECOND:6.1f}s] {self._recent}")
        if self.terminal:
            whole = f" of {self.length_s:g}s" if self.length_s < float("inf") else ""
            text = f"{(now - self._began) / SECOND:.1f}s{whole}  {self._recent}"
            self._live = True
            _write(f"\r\x1b[2K{text[: columns_of(sys.stderr) - 1]}")

    def _look(self) -> str:
        """What happened since this was last asked, and in all."""
        from rollcheck.analyze.hdr import values_at

        start, end = self._span or (0, 0)
        rate = self._ended * SECOND / (end - start) if end > start else 0.0
        text = f"{rate:,.0f}/s  " + "  ".join(f"{name} {count:,}" for name, count in self._totals.items())
        latencies = values_at(self._window, (50, 99))
        if latencies:
            text += f"  p50 {latencies[0] / 1000:.2f} ms  p99 {latencies[1] / 1000:.2f} ms"
        self._window, self._ended, self._span = None, 0, None
        return text

    def say(self, text: str) -> None:
        """A line of its own."""
        if not self.quiet:
            self.end()
            _write(f"{printable(text)}\n")

    def end(self) -> None:
        """Leave the terminal's line clean."""
        if self._live:
            self._live = False
            _write("\r\x1b[2K")


def _write(text: str) -> None:
    with suppress(OSError):  # who has closed stderr does not want to know
        sys.stderr.write(text)
        sys.stderr.flush()


def columns_of(stream: TextIO) -> int:
    """The width of a terminal; 80 where there is none, and where one does not know its own."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns if stream.isatty() else 0
    except OSError:
        columns = 0
    return max(columns, 20) if columns else UNSEEN
