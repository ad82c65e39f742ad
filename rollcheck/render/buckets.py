"""Distributions as fortio has them: seconds, a counter's figures, buckets at fortio's edges, percentiles.

The buckets are fortio's, filled from our finer ones; the percentiles are *not* read off the buckets, as fortio does
(at its default resolution everything below 1 ms is one bucket, and p50 of 49 µs reads 457 µs): they come from the HDR
histogram, right to a thousandth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hdrh.histogram import HdrHistogram

from rollcheck.analyze.hdr import extremes, held, mean_and_deviation, slots, values_at
from rollcheck.facts.wiretotals import Moments

MICROSECONDS = 1_000_000
"""In a second."""
EDGES = (
    *range(12),
    *range(12, 20, 2),
    *range(20, 50, 5),
    *range(50, 100, 10),
    *range(100, 200, 20),
    *range(200, 500, 50),
    *range(500, 1000, 100),
    *(1000, 2000, 3000, 4000, 5000, 7500, 10000),
    *(20000, 30000, 40000, 50000, 75000, 100000),
)
"""Upper ends of fortio's buckets, in units of its resolution; one more bucket holds what is beyond (`stats.go`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Values in (start, end], the very first of a distribution included; percent is cumulative."""

    start: float
    end: float
    percent: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """What fortio calls HistogramData, in seconds or bytes; deviation is the population's.

    Attributes:
        percentiles: (percentile, value) in the order in which they were asked for.
    """

    count: int = 0
    low: float = 0.0
    high: float = 0.0
    total: float = 0.0
    mean: float = 0.0
    deviation: float = 0.0
    buckets: tuple[Bucket, ...] = ()
    percentiles: tuple[tuple[float, float], ...] = ()


def of_latencies(
    histogram: HdrHistogram | None, percentiles: Sequence[float], *, resolution: float, offset: float = 0.0
) -> Distribution:
    """The distribution of a histogram of microseconds, in seconds.

    Args:
        histogram: None for no values.
        percentiles: which to tell, 0 to 100.
        resolution: seconds that an edge of fortio's counts for (`-r`).
        offset: seconds at which its first bucket ends (`-offset`).
    """
    if histogram is None or not histogram.total_count:
        return Distribution()
    mean, deviation = mean_and_deviation(histogram)
    low, high = extremes(histogram)
    count = int(histogram.total_count)
    return Distribution(
        count=count,
        low=_seconds(low),
        high=_seconds(high),
        total=_seconds(mean * count),
        mean=_seconds(mean),
        deviation=_seconds(deviation),
        buckets=_buckets(histogram, count, resolution, offset),
        percentiles=tuple(
            (p, _seconds(v)) for p, v in zip(percentiles, values_at(histogram, percentiles), strict=True)
        ),
    )


def _seconds(us: float) -> float:
    # Division, not multiplication: 12303 µs is to read 0.012303.
    return us / MICROSECONDS


def _buckets(histogram: HdrHistogram, count: int, resolution: float, offset: float) -> tuple[Bucket, ...]:
    index, found = held(histogram)
    lows, highs = slots(histogram)
    # A value of 1000 µs is anything from there to 1001 µs, so the middle of what a slot really covers decides.
    middles = (lows[index] + highs[index] + 1) / 2 / MICROSECONDS
    edges = np.array([edge * resolution + offset for edge in EDGES])
    filled = np.bincount(np.searchsorted(edges, middles, side="left"), weights=found, minlength=len(EDGES) + 1)
    low, high = extremes(histogram)
    taken = [int(number) for number in np.flatnonzero(filled)]
    buckets, so_far = [], 0
    for number in taken:
        so_far += int(filled[number])
        buckets.append(
            Bucket(
                start=_seconds(low) if number == taken[0] else float(edges[number - 1]),
                end=_seconds(high) if number == taken[-1] else float(edges[number]),
                percent=100 * so_far / count,
                count=int(filled[number]),
            )
        )
    return tuple(buckets)


def of_moments(moments: Moments, *, per: int = 1) -> Distribution:
    """The distribution of which only count, sum and extremes are known, as one bucket; `per` of them make one unit."""
    if not moments.count:
        return Distribution()
    low, high = moments.low / per, moments.high / per
    return Distribution(
        count=moments.count,
        low=low,
        high=high,
        total=moments.sum / per,
        mean=moments.mean / per,
        deviation=moments.deviation / per,
        buckets=(Bucket(start=low, end=high, percent=100.0, count=moments.count),),
    )
