"""When arrivals are due: arithmetic from an arrival's number to its offset, without a clock.

Offsets are integers computed from the number alone, never by adding up periods, so no error builds up and any worker
can compute any arrival by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from rollcheck.errors import UsageError
from rollcheck.facts.clock import SECOND


class Pacer(Protocol):
    """A timetable's arithmetic; `offset_ns` never decreases."""

    def offset_ns(self, index: int) -> int:
        """Nanoseconds from the start at which arrival `index` (from 0) is due."""
        ...

    def count(self, offset_ns: int) -> int:
        """How many arrivals are due in [0, offset_ns)."""
        ...


@dataclass(frozen=True, slots=True)
class ConstantPacer:
    """Evenly spaced arrivals: number i is due at floor(i × period)."""

    numerator: int
    denominator: int

    def offset_ns(self, index: int) -> int:
        """See `Pacer.offset_ns`."""
        return index * self.numerator // self.denominator

    def count(self, offset_ns: int) -> int:
        """See `Pacer.count`."""
        # floor(i·n/d) < t  <=>  i·n < t·d  <=>  i < t·d/n
        return -(-max(offset_ns, 0) * self.denominator // self.numerator)


def plan_constant(qps: float) -> ConstantPacer:
    """A constant rate of `qps` arrivals per second, exact for any rate that a person would write.

    Raises:
        UsageError: the rate is not between one per day and ten million per second.
    """
    if not 1 / 86_400 <= qps <= 10_000_000:
        raise UsageError(f"cannot send {qps:g} requests per second; give a rate above 0, for example --qps 200")
    rate = Fraction(qps).limit_denominator(1_000_000)
    period = SECOND / rate if rate else SECOND / Fraction(qps)
    return ConstantPacer(period.numerator, period.denominator)
