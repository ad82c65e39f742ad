"""Which lane takes which arrival, and which worker: a pure function of the arrival's number.

Dealing arrivals to lanes so that *every* prefix of the timetable holds the asked mix is the chairman assignment
problem; Tijdeman's rule (R. Tijdeman, "The chairman assignment problem", 1980) keeps every lane within
1 − 1/(2k − 2) of its share for k lanes. Rational shares make the deal periodic, so it is worked out once, for one
period, and read from a table after that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from rollcheck.errors import UsageError
from rollcheck.load.pacer import Pacer

MAX_PERIOD = 10_000
"""Shares are rounded to ten-thousandths when their exact deal would have a longer period than this."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """Worker `worker` of `workers` takes the arrivals worker, worker + workers, … of one global timetable."""

    pacer: Pacer
    deal: tuple[int, ...]
    worker: int = 0
    workers: int = 1

    def seq(self, index: int) -> int:
        """The global number of this worker's arrival `index`."""
        return self.worker + index * self.workers

    def offsets(self) -> Iterator[int]:
        """When this worker's arrivals are due, in nanoseconds from the start; goes on for ever."""
        return self.pacer.offsets(self.worker, self.workers)

    def share(self, calls: int) -> int:
        """How many of the first `calls` arrivals are this worker's."""
        return (calls - self.worker + self.workers - 1) // self.workers

    def lane(self, seq: int) -> int:
        """The position, among the lanes that were dealt to, of the one which takes the arrival."""
        return self.deal[seq % len(self.deal)]

    def count(self, offset_ns: int) -> int:
        """How many of this worker's arrivals are due in [0, offset_ns)."""
        return self.share(self.pacer.count(offset_ns))


def plan_deal(shares: Sequence[float]) -> tuple[int, ...]:
    """One period of the deal: the lane of each arrival, every prefix within one of every lane's share.

    Raises:
        UsageError: a share is negative, or they are all 0.
    """
    weights = plan_weights(shares)
    period = sum(weights)
    taken = [0] * len(weights)
    deal = []
    for n in range(1, period + 1):
        lane = _next_lane(weights, period, taken, n)
        taken[lane] += 1
        deal.append(lane)
    return tuple(deal)


def plan_weights(shares: Sequence[float]) -> tuple[int, ...]:
    """Whole arrivals of each lane in one period of the deal; their sum is the period."""
    if any(not share >= 0 for share in shares) or not sum(shares) > 0:
        raise UsageError("the shares of the lanes must be 0 or more, and at least one above 0")
    total = sum(Fraction(share) for share in shares)
    parts = [Fraction(share) / total for share in shares]
    # A float that was written as 0.3 or 1 / 3 is meant as just that.
    simple = [part.limit_denominator(MAX_PERIOD) for part in parts]
    period = lcm(*(part.denominator for part in simple))
    meant = all(abs(a - b) < Fraction(1, 10**12) for a, b in zip(parts, simple, strict=True))
    if meant and sum(simple) == 1 and period <= MAX_PERIOD:
        return tuple(int(part * period) for part in simple)
    return _round_weights(parts)


def _round_weights(parts: Sequence[Fraction]) -> tuple[int, ...]:
    """Largest remainders: whole ten-thousandths that sum to one."""
    weights = [int(part * MAX_PERIOD) for part in parts]
    by_remainder = sorted(range(len(parts)), key=lambda lane: weights[lane] - parts[lane] * MAX_PERIOD)
    for lane in by_remainder[: MAX_PERIOD - sum(weights)]:
        weights[lane] += 1
    return tuple(weights)


def _next_lane(weights: Sequence[int], period: int, taken: Sequence[int], n: int) -> int:
    """Tijdeman's choice for arrival n (from 1): among the lanes that may take it, the one whose time runs out first.

    All sides are multiplied by period × (2k − 2) to stay with whole numbers; the one division left cannot take two
    different quotients of numbers this small for equal.
    """
    live = [lane for lane, weight in enumerate(weights) if weight]
    if len(live) == 1:
        return live[0]
    scale = 2 * len(live) - 2
    owed = {lane: (weights[lane] * n - taken[lane] * period) * scale for lane in live}
    may_take = [lane for lane in live if owed[lane] >= period]
    return min(may_take, key=lambda lane: ((period * (scale - 1) - owed[lane]) / weights[lane], lane))
