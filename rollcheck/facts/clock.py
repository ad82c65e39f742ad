"""The one time axis of a run.

Every instant is an integer count of nanoseconds of the machine's monotonic clock (CLOCK_MONOTONIC), which all
processes of one machine share. A run carries one `ClockAnchor` that pairs it with the wall clock; a time that the API
server reports is whole seconds of *another* clock, so it becomes a bracket, never a point.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

SECOND = 1_000_000_000
MILLISECOND = 1_000_000

Instant = int
"""Nanoseconds of the machine's monotonic clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The half-open span [start, end) on the run's axis, in nanoseconds."""

    start: Instant
    end: Instant

    @property
    def length(self) -> int:
        """Nanoseconds from start to end."""
        return self.end - self.start

    def holds(self, at: Instant) -> bool:
        """Whether `at` lies in [start, end)."""
        return self.start <= at < self.end

    def meets(self, other: Window) -> bool:
        """Whether the two spans share an instant."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockAnchor:
    """One pairing of the monotonic clock with the wall clock (Unix time), both in nanoseconds."""

    monotonic_ns: Instant
    wall_ns: int

    def to_wall(self, at: Instant) -> int:
        """The wall time (Unix nanoseconds) of an instant of the run."""
        return at - self.monotonic_ns + self.wall_ns

    def to_monotonic(self, wall_ns: int) -> Instant:
        """The instant of the run at which our wall clock showed `wall_ns`."""
        return wall_ns - self.wall_ns + self.monotonic_ns

    def bracket(self, reported: str) -> Window | None:
        """The span in which a time the API server reported lies, if its clock agrees with ours.

        A Kubernetes `Time` has whole seconds and is truncated, so "12:00:01Z" is [12:00:01, 12:00:02). A `MicroTime`
        (with a fraction) becomes a span of one microsecond. None when the text is no time.
        """
        parsed = parse_time(reported)
        if parsed is None:
            return None
        start = self.to_monotonic(parsed)
        return Window(start=start, end=start + (1_000 if "." in reported else SECOND))


def parse_time(text: str) -> int | None:
    """Unix nanoseconds of an RFC 3339 time as Kubernetes writes it; None when it is not one."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    return int(at.astimezone(UTC).timestamp()) * SECOND + at.microsecond * 1_000
