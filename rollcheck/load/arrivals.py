"""Which arrival is due next, until there is none: the timetable as it is worked off."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rollcheck.facts.clock import SECOND, Instant
from rollcheck.load.pacer import ENDLESS, plan_pacer
from rollcheck.load.plan import LoadPlan
from rollcheck.load.schedule import Timetable, plan_deal

NEVER: Instant = 2**62
_LAST: Instant = ENDLESS


class Arrivals:
    """One worker's part of the timetable.

    In a closed loop there is no timetable, only numbers; `due` is then always `NEVER`.

    Attributes:
        seq: number of the next arrival on the global timetable.
        due: when it is due, `NEVER` when no more are.
        end: numbers from here on do not exist.
        until: nothing is due from this instant on.
        step: between two of this worker's numbers.
    """

    __slots__ = ("_length", "_offsets", "_start", "_table", "due", "end", "seq", "step", "until")

    def __init__(self, plan: LoadPlan, shares: list[float], *, worker: int = 0, workers: int = 1) -> None:
        self._table: Timetable | None = None
        if not plan.closed_loop:
            pacer = plan_pacer(plan.qps, plan.stages, arrivals=plan.arrivals, seed=plan.seed)
            self._table = Timetable(pacer, plan_deal(shares), worker, workers)
        self._offsets: Iterator[int] = iter(())
        self._length = ENDLESS if math.isinf(plan.length_s) else int(plan.length_s * SECOND)
        self._start: Instant = 0
        self.seq, self.step = worker, workers
        self.end = plan.calls or NEVER
        self.due: Instant = NEVER
        self.until: Instant = NEVER

    def begin(self, start: Instant) -> None:
        """The timetable starts at `start`, which may lie ahead."""
        self._start = start
        self.until = min(self.until, start + self._length, _LAST)
        if self._table is not None:
            self._offsets = self._table.offsets()
            self._look()

    def lane(self) -> int:
        """The position of the lane that takes the next arrival."""
        return self._table.lane(self.seq) if self._table else 0

    def advance(self) -> None:
        """The next arrival was taken up."""
        self.seq += self.step
        self._look()

    def _look(self) -> None:
        due = self._start + next(self._offsets)
        # An offset that is never reached lies beyond every `until` there can be.
        self.due = due if due < self.until and self.seq < self.end else NEVER

    def take(self, now: Instant) -> Instant:
        """When the next arrival is due, if that is not after now, and on to the one after it; else −1."""
        due = self.due
        if due > now:
            return -1
        self.seq = seq = self.seq + self.step
        following = self._start + next(self._offsets)
        self.due = following if following < self.until and seq < self.end else NEVER
        return due

    def stop(self, now: Instant) -> None:
        """Nothing that is due after now is released."""
        self.until = min(self.until, now)
        if self.due >= self.until:
            self.due = NEVER

    @property
    def over(self) -> bool:
        """Whether nothing will be due any more."""
        return self.due == NEVER if self._table is not None else self.seq >= self.end

    def count(self, now: Instant) -> int:
        """How many arrivals of this worker were due before now, by the timetable."""
        if self._table is None:
            return 0
        asked = self._table.count(min(now, self.until) - self._start)
        return min(asked, self._table.share(self.end)) if self.end < NEVER else asked
