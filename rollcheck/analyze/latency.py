"""Latency out of the HDR histograms of intervals: merged, never averaged."""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram

from rollcheck.analyze.model import StageLatency
from rollcheck.errors import DocumentError
from rollcheck.facts.attempts import Interval, Lane, Stage

LOWEST_US, HIGHEST_US, DIGITS = 1, 3_600_000_000, 3
UNREADABLE = (
    binascii.Error,
    zlib.error,
    HdrCookieException,
    HdrLengthException,
    ValueError,
    IndexError,
    RuntimeError,  # "counts_len cannot be zero"
)
"""What the library raises for bytes that are no histogram, by how far it came."""
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p999": 99.9, "max": 100.0}


def merged(blobs: Iterable[str]) -> HdrHistogram | None:
    """The histogram of everything the blobs hold, None when they hold nothing.

    Raises:
        DocumentError: a blob is no histogram.
    """
    total: HdrHistogram | None = None
    for blob in blobs:
        if not blob:
            continue
        total = total or HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
        try:
            total.decode_and_add(blob.encode())
        except UNREADABLE as e:
            raise DocumentError(f"a histogram of this document cannot be read: {blob[:40]!r}") from e
    return total if total is not None and total.get_total_count() else None


def percentile_us(histogram: HdrHistogram | None, percentile: float) -> float | None:
    """Microseconds at that percentile, None of an empty histogram."""
    return None if histogram is None else _values(histogram, [percentile])[0]


def percentiles_ms(histogram: HdrHistogram | None) -> dict[str, float]:
    """The percentiles that reports show, in milliseconds; empty of an empty histogram."""
    if histogram is None:
        return {}
    values = _values(histogram, list(PERCENTILES.values()))
    return {name: value / 1000 for name, value in zip(PERCENTILES, values, strict=True)}


def _values(histogram: HdrHistogram, percentiles: Sequence[float]) -> list[float]:
    """What `get_value_at_percentile` gives; that walks 23,552 counts in Python for each, this adds them up once."""
    total = histogram.get_total_count()
    running = np.cumsum(np.ctypeslib.as_array(histogram.counts))
    ranks = [max(1, int(percentile * total / 100 + 0.5)) for percentile in percentiles]
    found = np.searchsorted(running, ranks)
    return [float(histogram.get_highest_equivalent_value(histogram.get_value_from_index(int(i)))) for i in found]


def latency_by_stage(intervals: Iterable[Interval]) -> tuple[StageLatency, ...]:
    """Of every lane in every stage in which it had OK attempts, in order of stage and lane."""
    groups: dict[tuple[Stage, Lane], list[Interval]] = {}
    for interval in intervals:
        if interval.ok:
            groups.setdefault((interval.stage, interval.lane), []).append(interval)
    return tuple(
        StageLatency(
            lane=lane,
            stage=stage,
            ok=sum(i.ok for i in groups[stage, lane]),
            response_ms=percentiles_ms(merged(i.response_hdr for i in groups[stage, lane])),
            service_ms=percentiles_ms(merged(i.service_hdr for i in groups[stage, lane])),
        )
        for stage in Stage
        for lane in Lane
        if (stage, lane) in groups
    )
