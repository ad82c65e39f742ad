"""Latencies as HDR histograms: `hdrhistogram` is the store and the wire format, the hot arithmetic is numpy.

One shape everywhere, so that any two can be merged and the sum is exact: microseconds from 1 to one hour, three
significant digits. The library's own `record_value` and its statistics are Python loops (0.7 µs a value, tens of
milliseconds a statistic); filling its counts in bulk is bit-exact and costs a fifteenth.
"""

from __future__ import annotations

from array import array
from typing import Self

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
DIGITS = 3

Values = npt.NDArray[np.int64]


class Histogram:
    """Microseconds, in buckets one part in a thousand wide.

    Attributes:
        clamped: values that were out of range and went into the nearest bucket.
    """

    def __init__(self) -> None:
        self._hdr = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
        self.clamped = 0

    @property
    def total(self) -> int:
        """How many values it holds."""
        return int(self._hdr.total_count)

    @property
    def max_us(self) -> int:
        """The largest value recorded, 0 when there is none; exact until merged through a blob, then its bucket's."""
        return int(self._hdr.max_value)

    def record_ns(self, values: array[int]) -> None:
        """Add latencies given in nanoseconds; fractions of a microsecond are cut off."""
        if values:
            self.record(np.frombuffer(values, dtype=np.int64) // 1_000)

    def record(self, values: Values) -> None:
        """Add values in microseconds, all at once."""
        if not len(values):
            return
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > HIGHEST_US:
            held = np.clip(values, 0, HIGHEST_US)
            self.clamped += int(np.count_nonzero(held != values))
            values, low, high = held, max(low, 0), min(high, HIGHEST_US)
        found = np.bincount(self._slots(values))
        counts = self._counts()[: len(found)]
        counts += found
        self._note(len(values), low, high)

    def record_equal(self, value: int, times: int) -> None:
        """Add one value in microseconds, within the range, so many times."""
        if times > 0:
            self._counts()[self._slots(np.array([value], dtype=np.int64))] += times
            self._note(times, value, value)

    def _note(self, times: int, low: int, high: int) -> None:
        h = self._hdr
        h.total_count += times
        h.max_value = max(h.max_value, high)
        h.min_value = min(h.min_value, low)

    def _slots(self, values: Values) -> Values:
        """The position in the counts of each value; what the library works out one by one."""
        h = self._hdr
        magnitude, half = h.unit_magnitude, h.sub_bucket_half_count_magnitude
        # A double's exponent is the bit length, 1022 added; exact for integers below 2**53.
        bits = ((values | h.sub_bucket_mask).astype(np.float64).view(np.int64) >> 52) - 1022
        bucket = bits - magnitude - (half + 1)
        slots: Values = ((bucket + 1) << half) + (values >> (bucket + magnitude)) - h.sub_bucket_half_count
        return slots

    def _counts(self) -> Values:
        # The library's counts are unsigned; seen as signed, numpy adds to them in place.
        counts: Values = np.ctypeslib.as_array(self._hdr.counts).view(np.int64)
        return counts

    def percentile(self, percent: float) -> int:
        """Microseconds at or below which `percent` of the values lie (the top of their bucket); 0 when empty."""
        h = self._hdr
        if not h.total_count:
            return 0
        rank = max(1, int(np.ceil(min(percent, 100.0) / 100 * h.total_count - 1e-9)))
        slot = int(np.searchsorted(np.cumsum(self._counts()), rank))
        value = h.get_value_from_index(slot)
        return int(h.get_highest_equivalent_value(value))

    def merge(self, other: Histogram) -> None:
        """Add everything that `other` holds; exact."""
        self._hdr.add(other._hdr)
        self.clamped += other.clamped

    def copy(self) -> Histogram:
        """Another one that holds the same."""
        made = Histogram()
        made.merge(self)
        return made

    def encode(self) -> str:
        """A base64 V2 blob that every HdrHistogram library reads; empty when there is nothing in it."""
        return self._hdr.encode().decode("ascii") if self._hdr.total_count else ""

    @classmethod
    def decode(cls, blob: str) -> Self:
        """The histogram that `encode` wrote; an empty blob is an empty histogram."""
        made = cls()
        if blob:
            made._hdr = HdrHistogram.decode(blob)
        return made
