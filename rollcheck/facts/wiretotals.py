"""What went over the wire in a load, summed up at its end: sizes, connections, the time it took to connect.

Kept apart from the intervals because only a benchmark's report asks for it, once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from rollcheck.facts.attempts import Lane
from rollcheck.facts.clock import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Count, sum, sum of squares and extremes of whole numbers: all exact, so that two can be merged exactly.

    Mean = sum ÷ count; population variance = squares ÷ count − mean². Both extremes are 0 when there is no value.
    """

    count: int = 0
    sum: int = 0
    squares: int = 0
    low: int = 0
    high: int = 0

    def __add__(self, other: Moments) -> Moments:
        """Those of both sets of values together."""
        if not self.count or not other.count:
            return self if self.count else other
        return Moments(
            count=self.count + other.count,
            sum=self.sum + other.sum,
            squares=self.squares + other.squares,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
        )

    @property
    def mean(self) -> float:
        """The mean, 0 when there is no value."""
        return self.sum / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """The population's standard deviation, 0 when there is no value."""
        if not self.count:
            return 0.0
        # In whole numbers up to the root: the difference of two large squares would lose its digits.
        variance = (self.squares * self.count - self.sum * self.sum) / self.count**2
        return math.sqrt(variance)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotTotals:
    """One of the places for a connection that a lane has ("thread" in fortio's words), over the whole load.

    Attributes:
        sockets: connections opened in it, the failed ones included.
        connect_ns: time from connect() to connected, of those that were.
        addresses: "ip:port" → connections to it.
    """

    worker: int
    lane: Lane
    slot: int
    sockets: int
    connect_ns: Moments
    addresses: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WireTotals:
    """The answers of one worker, warm-up left out.

    Attributes:
        header_bytes, total_bytes: of each whole answer: its head, and head and body together.
        connect_hdr: HDR V2 blob, base64, of microseconds from connect() to connected; empty when none was.
    """

    worker: int
    header_bytes: Moments
    total_bytes: Moments
    connect_hdr: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLine:
    """One attempt for the access log, OK or not; goes to the log only, never into the document."""

    seq: int
    worker: int
    slot: int
    sent_ns: Instant
    ended_ns: Instant
    ok: bool
    status: int
    outcome: str
