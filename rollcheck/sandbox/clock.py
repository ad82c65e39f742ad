"""The sandbox's only clock, so that tests can bring their own."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


def seconds_text(at: datetime) -> str:
    """RFC 3339 in whole seconds, cut off as metav1.Time is: `2026-01-31T10:20:30Z`."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_text(at: datetime) -> str:
    """RFC 3339 with microseconds, as metav1.MicroTime is written."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Read what `seconds_text` and `micro_text` write, and any other RFC 3339 time; raises ValueError."""
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


class Clock:
    """Wall time (UTC) for objects, monotonic seconds for waiting."""

    def now(self) -> datetime:
        """Wall time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()

    def stamp(self) -> str:
        """Now, in whole seconds: what creationTimestamp and most conditions hold."""
        return seconds_text(self.now())

    def micro(self) -> str:
        """Now, with microseconds: what Leases and new-style events hold."""
        return micro_text(self.now())


class ManualClock(Clock):
    """A clock that moves when told to."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        """Where `advance` has brought it."""
        return self._now

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
