"""Whether two loads differ by more than they differ from themselves from one moment to the next.

**Method.** Each load is cut into blocks of consecutive seconds, all of the same length, about twenty of the shorter
load: neighbouring seconds resemble each other, so a single second is no independent sample. A block's value is the
median of its seconds' p50 (or p90, p99, rate), or its share of lost requests. All blocks are ranked, and the difference
between the loads is that of their mean ranks (of lost requests, of their means: most ranks would be ties). Then the
blocks of both are dealt out anew, 1,999 times, from a fixed seed: when fewer than one deal in a hundred makes a
difference as large, it is larger than the noise. The range that is told holds every shift of B for which the same test
finds nothing, and the shift in its middle is Hodges and Lehmann's: the median of all differences between a block of B
and one of A. (Such a permutation test asks nothing of how values are distributed. Medians instead of ranks would miss a
change between loads that are steady in themselves; dealing out residuals called one in ten equals different, when
tried.)

**Limits.** It judges these two runs, not the programs behind them: a machine that was busier during one of them makes
a difference that is real, and not the program's. Repeat each run, in turn. With five measures judged, up to five in a
hundred comparisons of equals show something. And where only buckets are known (fortio's own JSON), or fewer than eight
seconds, noise cannot be judged at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rollcheck.analyze.loadmodel import SecondRow
from rollcheck.analyze.results import Curve, Result
from rollcheck.facts.clock import SECOND

PERCENTILES = (50.0, 75.0, 90.0, 99.0, 99.9, 100.0)
MOST_BLOCKS, FEWEST_BLOCKS = 20, 8
LONGER_BLOCKS = 100
"""Of the longer load, at most."""
DEALS = 1_999
SEED = 20_170_401
"""Any number; the same one always, so that the same two results always compare alike."""
LEVEL = 0.01
"""How seldom chance alone may make a difference that counts as larger than the noise."""
HALVINGS = 16
METHOD = (
    f"a permutation test, blocks of seconds dealt out anew {DEALS:,} times from a fixed seed; a range holds the change "
    f"of a typical second with {100 - 100 * LEVEL:g} % confidence"
)

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How one measure differs from block to block.

    Attributes:
        difference: B − A, of a typical block.
        low, high: shifts of B that the blocks do not speak against.
        upward: whether B's blocks lie above A's.
        chance: share of the deals in which it was at least as large.
        base: A's value of the blocks; what shares are of.
    """

    difference: float
    low: float
    high: float
    upward: bool
    chance: float
    base: float

    @property
    def larger(self) -> bool:
        """Whether the difference is larger than the noise."""
        return self.chance < LEVEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One measure of both loads.

    Attributes:
        name: "p50" … "p99.9", "max", "mean", "rate" or "lost".
        a, b: microseconds, requests per second, or requests; None when there is nothing to measure.
        noise: None when it could not be judged, or is not judged for this measure.
        worse: whether B is worse by more than the noise and the tolerance.
        better: likewise.
    """

    name: str
    a: float | None
    b: float | None
    noise: Noise | None = None
    worse: bool = False
    better: bool = False

    @property
    def share(self) -> float | None:
        """(B − A) ÷ A, None when that has no meaning."""
        return (self.b - self.a) / self.a if self.a and self.b is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two loads side by side.

    Attributes:
        measure: "response" or "service": which latency both of them know.
        differences: in the order in which they are told.
        unjudged: why noise could not be judged, empty when it was.
        warnings: why the two may not be alike enough to be compared.
    """

    a: Result
    b: Result
    measure: str
    differences: tuple[Difference, ...]
    unjudged: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def worse(self) -> tuple[str, ...]:
        """The measures in which B is worse."""
        return tuple(d.name for d in self.differences if d.worse)

    @property
    def better(self) -> tuple[str, ...]:
        """The measures in which B is better."""
        return tuple(d.name for d in self.differences if d.better)


def compare(a: Result, b: Result, *, tolerance: float = 0.0) -> Comparison:
    """B against A.

    Args:
        a: the one before.
        b: the one after.
        tolerance: share of A's value by which B may differ without being called worse or better, 0 for none.
    """
    measure = "service" if "fortio" in (a.source, b.source) else "response"
    curves = (a.response, b.response) if measure == "response" else (a.service, b.service)
    unjudged = _unjudged(a, b, measure)
    judged = {} if unjudged else _judge_series(a, b)
    if a.asked != b.asked:
        judged.pop("rate", None)
    found = [*_latencies(*curves), Difference(name="rate", a=a.rate, b=b.rate)]
    found.append(Difference(name="lost", a=float(a.lost), b=float(b.lost)))
    return Comparison(
        a=a,
        b=b,
        measure=measure,
        differences=tuple(_with_noise(d, judged.get(d.name), tolerance) for d in found),
        unjudged=unjudged,
        warnings=tuple(_warnings(a, b, measure)),
    )


def _latencies(a: Curve | None, b: Curve | None) -> list[Difference]:
    found = [
        Difference(
            name="max" if percent == 100 else f"p{percent:g}",
            a=a.at(percent) if a else None,
            b=b.at(percent) if b else None,
        )
        for percent in PERCENTILES
    ]
    return [*found, Difference(name="mean", a=a.mean() if a else None, b=b.mean() if b else None)]


def _unjudged(a: Result, b: Result, measure: str) -> str:
    for side, result in (("A", a), ("B", b)):
        if not result.seconds:
            return f"{side} tells nothing about single seconds, so noise cannot be judged"
    if measure != "response":
        return "one of them has no response times, so noise cannot be judged"
    shortest = min(len(_whole(a.seconds)), len(_whole(b.seconds)))
    if shortest < FEWEST_BLOCKS:
        return f"the shorter load has {shortest} whole seconds; noise can be judged from {FEWEST_BLOCKS} on"
    return ""


def _warnings(a: Result, b: Result, measure: str) -> list[str]:
    said = []
    if a.asked != b.asked:
        said.append(f"A was asked for {a.asked} requests per second, B for {b.asked}: these are different loads")
    if a.url != b.url:
        said.append(f"A asked {a.url}, B asked {b.url}")
    if measure == "service":
        said.append("service times are compared, failures included: one of the two knows no response time")
    for side, result in (("A", a), ("B", b)):
        said += [f"{side} is not to be trusted: {fault}" for fault in result.faults]
    return said


def _whole(rows: Sequence[SecondRow]) -> list[SecondRow]:
    """Rows of a second; the last one of a load is mostly a part of one."""
    return [row for row in rows if row.length_ns > SECOND * 0.9]


def _judge_series(a: Result, b: Result) -> dict[str, Noise]:
    rows = _whole(a.seconds), _whole(b.seconds)
    length = max(1, min(map(len, rows)) // MOST_BLOCKS)
    cut = [[side[at : at + length] for at in range(0, len(side) - length + 1, length)] for side in rows]
    measures: dict[str, Callable[[Sequence[SecondRow]], float | None]] = {
        "p50": lambda block: _median(r.p50_us for r in block),
        "p90": lambda block: _median(r.p90_us for r in block),
        "p99": lambda block: _median(r.p99_us for r in block),
        "rate": lambda block: _median((r.ok + r.failed) * SECOND / r.length_ns for r in block),
        "lost": _lost_share,
    }
    judged = {}
    for name, value in measures.items():
        sides = [_thinned([v for v in map(value, blocks) if v is not None]) for blocks in cut]
        if min(map(len, sides)) >= FEWEST_BLOCKS:
            judged[name] = permuted(sides[0], sides[1], ranked=name != "lost")
    return judged


def _thinned(values: list[float]) -> list[float]:
    """Evenly chosen ones of a load that is many times longer than the other: more would not tell more of the latter."""
    step = max(1, -(-len(values) // LONGER_BLOCKS))
    return values[::step]


def _median(values: Iterable[float | None]) -> float | None:
    found = [float(v) for v in values if v is not None]
    return float(np.median(found)) if found else None


def _lost_share(block: Sequence[SecondRow]) -> float:
    lost = sum(row.failed + row.not_sent for row in block)
    return lost / max(1, lost + sum(row.ok for row in block))


def permuted(a: Sequence[float], b: Sequence[float], *, ranked: bool = True) -> Noise:
    """The difference between two sets of blocks, held against those that dealing them out anew makes.

    Args:
        a: values of A's blocks.
        b: values of B's blocks.
        ranked: whether their ranks are compared, or the values themselves.
    """
    first, second = np.array(a, dtype=np.float64), np.array(b, dtype=np.float64)
    # RandomState's stream is frozen by NumPy's policy: the same deals with every version of it.
    order = np.random.RandomState(SEED).random_sample((DEALS, len(a) + len(b))).argsort(axis=1)

    def weights(shift: float) -> Values:
        """What is dealt out: the blocks of A, and behind them those of B, shifted back."""
        values = np.concatenate([first, second - shift])
        return ranks(values) if ranked else values

    def chance(shift: float) -> float:
        """How often a deal makes as large a difference as there is when B is shifted back."""
        dealt = weights(shift)
        there = abs(_gap(dealt, len(a)))
        # A hair of slack: sums of the same numbers in another order differ in their last bit.
        as_large = np.count_nonzero(np.abs(_gap(dealt[order], len(a))) >= there * (1 - 1e-9))
        return (1 + int(as_large)) / (1 + DEALS)

    apart = second[:, None] - first[None, :]
    difference = float(np.median(apart)) if ranked else float(apart.mean())
    return Noise(
        difference=difference,
        low=_edge(chance, difference, float(apart.min())),
        high=_edge(chance, difference, float(apart.max())),
        upward=float(_gap(weights(0.0), len(a))) > 0,
        chance=chance(0.0),
        base=float(np.median(first)) if ranked else float(first.mean()),
    )


def ranks(values: Values) -> Values:
    """The rank of each value, from 1; equal ones share the mean of theirs."""
    _, place, times = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(times)
    shared: Values = (ends - (times - 1) / 2)[place]
    return shared


def _gap(dealt: Values, of_a: int) -> Values:
    """Mean of what B holds less that of what A holds, along the last axis."""
    gap: Values = dealt[..., of_a:].mean(axis=-1) - dealt[..., :of_a].mean(axis=-1)
    return gap


def _edge(chance: Callable[[float], float], inside: float, outside: float) -> float:
    """How far from `inside`, towards `outside`, shifts go that are not spoken against; found by halving."""
    for _ in range(HALVINGS if inside != outside else 0):
        between = (inside + outside) / 2
        if chance(between) < LEVEL:
            outside = between
        else:
            inside = between
    return inside


def _with_noise(found: Difference, noise: Noise | None, tolerance: float) -> Difference:
    if noise is None:
        return found
    beyond = noise.larger and abs(noise.difference) > tolerance * abs(noise.base)
    up_is_worse = found.name != "rate"
    worse = beyond and noise.upward is up_is_worse
    return Difference(name=found.name, a=found.a, b=found.b, noise=noise, worse=worse, better=beyond and not worse)
