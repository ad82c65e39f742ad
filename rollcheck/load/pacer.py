"""When arrivals are due: arithmetic from an arrival's number to its offset, without a clock.

Two things make a timetable. A *rate* says how many arrivals a span of time holds, as a curve that can be read both
ways. An *arrival process* says where on that curve each arrival lies: evenly, evenly with jitter, or as a Poisson
process does. Offsets are computed from the number, never by adding up periods, so no error builds up, and every worker
finds the same timetable by itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count, islice
from random import Random
from typing import Protocol

from rollcheck.errors import UsageError
from rollcheck.facts.clock import SECOND

FASTEST = 10_000_000
SLOWEST = 1 / 86_400
ENDLESS = 2**61
"""An offset that is never reached."""


class Pacer(Protocol):
    """A timetable's arithmetic; offsets never decrease."""

    def offsets(self, first: int, step: int) -> Iterator[int]:
        """Nanoseconds from the start at which arrivals first, first + step, … (from 0) are due.

        It goes on for ever; arrivals that a timetable does not have are due at `ENDLESS`.
        """
        ...

    def count(self, offset_ns: int) -> int:
        """How many arrivals are due in [0, offset_ns)."""
        ...


@dataclass(frozen=True, slots=True)
class ConstantPacer:
    """Evenly spaced arrivals: number i is due at floor(i × period)."""

    numerator: int
    denominator: int

    def offset_ns(self, index: float) -> int:
        """When the point `index` of the curve is reached, nanoseconds from the start."""
        return int(index * self.numerator // self.denominator)

    def offsets(self, first: int, step: int) -> Iterator[int]:
        """See `Pacer.offsets`."""
        numerator, denominator = self.numerator, self.denominator
        return (index * numerator // denominator for index in count(first, step))

    def count(self, offset_ns: int) -> int:
        """See `Pacer.count`."""
        # floor(i·n/d) < t  <=>  i·n < t·d  <=>  i < t·d/n
        return -(-max(offset_ns, 0) * self.denominator // self.numerator)


@dataclass(frozen=True, slots=True)
class RateStage:
    """A part of a timetable in which the rate goes evenly from one value to another (or stays).

    Attributes:
        qps_from, qps_to: arrivals per second at its start and its end.
    """

    qps_from: float
    qps_to: float
    seconds: float

    @property
    def arrivals(self) -> float:
        """How many arrivals it holds; a fraction goes on into the next stage."""
        return (self.qps_from + self.qps_to) / 2 * self.seconds

    def reach(self, share: float) -> float:
        """Seconds from its start at which that many of its arrivals have come.

        The arrivals by t are a·t + (b − a)·t²/2T; solved for t in the form that stays exact where a is near b.
        """
        a, slope = self.qps_from, (self.qps_to - self.qps_from) / self.seconds
        root = math.sqrt(max(a * a + 2 * slope * share, 0.0))
        return 2 * share / (a + root) if a + root else 0.0

    def passed(self, seconds: float) -> float:
        """How many of its arrivals have come after so many seconds."""
        return self.qps_from * seconds + (self.qps_to - self.qps_from) * seconds * seconds / (2 * self.seconds)


@dataclass(frozen=True, slots=True)
class StagedPacer:
    """Arrivals evenly spread under a rate that steps and ramps; it ends with its last stage."""

    stages: tuple[RateStage, ...]

    @property
    def length_ns(self) -> int:
        """Nanoseconds from start to end."""
        return round(sum(stage.seconds for stage in self.stages) * SECOND)

    def offset_ns(self, index: float) -> int:
        """When the point `index` of the curve is reached, nanoseconds from the start."""
        seconds = 0.0
        for stage in self.stages:
            if index < stage.arrivals:
                return int((seconds + stage.reach(index)) * SECOND)
            index -= stage.arrivals
            seconds += stage.seconds
        return ENDLESS

    def offsets(self, first: int, step: int) -> Iterator[int]:
        """See `Pacer.offsets`."""
        return (self.offset_ns(index) for index in count(first, step))

    def count(self, offset_ns: int) -> int:
        """See `Pacer.count`."""
        seconds, passed = max(offset_ns, 0) / SECOND, 0.0
        for stage in self.stages:
            part = min(seconds, stage.seconds)
            passed += stage.passed(part)
            seconds -= part
        found = max(0, math.ceil(passed) - 2)
        # Rounding may put an arrival on the other side of the border; its own offset decides.
        while self.offset_ns(found) < offset_ns:
            found += 1
        return found


Curve = ConstantPacer | StagedPacer


@dataclass(slots=True)
class RandomPacer:
    """Arrivals that lie on the curve as chance, from a seed, puts them: the same seed, the same timetable.

    Attributes:
        spread: "poisson": gaps are exponential, as those of many independent clients; "jitter": each arrival up to a
            tenth of a gap early or late.
    """

    curve: Curve
    seed: int
    spread: str
    _ahead: Iterator[int] | None = field(default=None, repr=False)
    _next: int = 0
    _counted: int = 0
    _last: int = 0

    def _points(self) -> Iterator[float]:
        random = Random(self.seed).random
        if self.spread == "jitter":
            for index in count():
                yield max(0.0, index + (random() - 0.5) / 5)
        point = 0.0
        while True:
            point -= math.log(1 - random())
            yield point

    def offsets(self, first: int, step: int) -> Iterator[int]:
        """See `Pacer.offsets`."""
        return (self.curve.offset_ns(point) for point in islice(self._points(), first, None, step))

    def count(self, offset_ns: int) -> int:
        """See `Pacer.count`; cheap as long as it is asked about ever later instants."""
        if self._ahead is None or offset_ns < self._last:
            self._ahead, self._counted = self.offsets(0, 1), 0
            self._next = next(self._ahead)
        self._last = offset_ns
        while self._next < min(offset_ns, ENDLESS):
            self._counted += 1
            self._next = next(self._ahead)
        return self._counted


def plan_constant(qps: float) -> ConstantPacer:
    """A constant rate of `qps` arrivals per second, exact for any rate that a person would write.

    Raises:
        UsageError: the rate is not between one per day and ten million per second.
    """
    _check_rate(qps)
    rate = Fraction(qps).limit_denominator(1_000_000)
    period = SECOND / rate if rate else SECOND / Fraction(qps)
    return ConstantPacer(period.numerator, period.denominator)


def plan_pacer(qps: float, stages: Sequence[RateStage] = (), *, arrivals: str = "uniform", seed: int = 0) -> Pacer:
    """The timetable of a rate, or of stages (which then replace the rate).

    Args:
        qps: arrivals per second.
        stages: steps and ramps, one after the other.
        arrivals: "uniform", "jitter" or "poisson".
        seed: of the random ones.

    Raises:
        UsageError: no such rate, stage or process.
    """
    for stage in stages:
        _check_stage(stage)
    curve: Curve = StagedPacer(tuple(stages)) if stages else plan_constant(qps)
    if arrivals == "uniform":
        return curve
    if arrivals not in {"jitter", "poisson"}:
        raise UsageError(f"there are no {arrivals!r} arrivals; give uniform or poisson")
    return RandomPacer(curve, seed, arrivals)


def _check_rate(qps: float) -> None:
    if not SLOWEST <= qps <= FASTEST:
        raise UsageError(f"cannot send {qps:g} requests per second; give a rate above 0, for example --qps 200")


def _check_stage(stage: RateStage) -> None:
    if not 0 < stage.seconds <= 366 * 86_400:
        raise UsageError(f"a stage cannot take {stage.seconds:g} s; write for example 100:30s")
    for qps in (stage.qps_from, stage.qps_to):
        if not 0 <= qps <= FASTEST:
            raise UsageError(f"a stage cannot send {qps:g} requests per second; write for example 100:30s")


_STAGE = re.compile(r"(\d+(?:\.\d+)?)(?:(?:-|\.\.)(\d+(?:\.\d+)?))?:(.+)")


def parse_stages(text: str, parse_duration: Callable[[str], float]) -> tuple[RateStage, ...]:
    """What `--stages` asks for: `100:30s,500:1m` steps, `100-500:30s` ramps, `0:5s` pauses.

    Args:
        text: of the option.
        parse_duration: turns `1m30s` into seconds, or raises UsageError.

    Raises:
        UsageError: it is not that, or holds no arrival at all.
    """
    stages = []
    for part in text.split(","):
        match = _STAGE.fullmatch(part.strip())
        try:
            if match is None:
                raise ValueError
            qps = float(match[1])
            stage = RateStage(qps, float(match[2]) if match[2] else qps, parse_duration(match[3]))
        except ValueError as e:
            raise UsageError(
                f"{part.strip()!r} is not a stage; write rate:duration, for example 100:30s, or 100-500:1m for a ramp"
            ) from e
        _check_stage(stage)
        stages.append(stage)
    if not sum(stage.arrivals for stage in stages) >= 1:
        raise UsageError(f"the stages {text!r} hold no request at all; give a higher rate or a longer duration")
    return tuple(stages)
