"""When an interval ends and when a health sample is taken: every engine's own two periods."""

from __future__ import annotations

from rollcheck.facts.clock import SECOND, Instant

SAMPLE_NS = SECOND


class Cadence:
    """Two periods that go on from the same instant.

    Intervals keep to their grid, however late one is cut; a sample covers the time since the one before it.
    """

    __slots__ = ("_interval_ns", "_next_cut", "_next_sample")

    def __init__(self, interval_s: float, now: Instant) -> None:
        self._interval_ns = int(interval_s * SECOND)
        self.begin(now)

    def begin(self, now: Instant) -> None:
        """Both begin anew."""
        self._next_cut = now + self._interval_ns
        self._next_sample = now + SAMPLE_NS

    @property
    def next(self) -> Instant:
        """The instant before which neither is due."""
        return min(self._next_cut, self._next_sample)

    def is_cut(self, now: Instant) -> bool:
        """Whether the interval ends now; asked once, it is the next one's turn."""
        late = now - self._next_cut
        if late < 0:
            return False
        self._next_cut += self._interval_ns * (1 + late // self._interval_ns)
        return True

    def is_sample(self, now: Instant) -> bool:
        """Whether a sample is due now; asked once, it is the next one's turn."""
        if now < self._next_sample:
            return False
        self._next_sample = now + SAMPLE_NS
        return True
