"""Percentiles of many small histograms: of each interval, and of several put together.

A picture and a page ask for the same thousands of blobs. Unpacking one takes 0.3 ms, nearly all of it to walk 23,552
counts of which a few hundred are not zero; so those few are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from rollcheck.analyze.hdr import Whole, decoded, empty, held, slots

Held = tuple[Whole, Whole]
"""Numbers of slots that hold anything, in order, and how much each holds."""


@lru_cache(maxsize=16_384)
def held_in(blob: str) -> Held | None:
    """What a blob holds, None when that is nothing.

    Raises:
        DocumentError: it is no histogram.
    """
    histogram = decoded(blob)
    return None if histogram is None else held(histogram)


def percentiles_us(blobs: Iterable[str], percents: Sequence[float]) -> list[int] | None:
    """Microseconds at each percentile of everything that the blobs hold, None when they hold nothing.

    The rank is rounded as HdrHistogram's own `get_value_at_percentile` does it, like everywhere in a run's report.

    Raises:
        DocumentError: a blob is no histogram.
    """
    found = [each for each in map(held_in, blobs) if each is not None]
    if not found:
        return None
    index = np.concatenate([each[0] for each in found])
    times = np.concatenate([each[1] for each in found])
    if len(found) > 1:
        order = np.argsort(index, kind="stable")
        index, times = index[order], times[order]
    running = np.cumsum(times)
    ranks = [max(1, int(percent * int(running[-1]) / 100 + 0.5)) for percent in percents]
    return [int(us) for us in _ends()[index[np.searchsorted(running, ranks)]]]


@lru_cache(maxsize=1)
def _ends() -> Whole:
    """The highest value of each slot."""
    return slots(empty())[1]
