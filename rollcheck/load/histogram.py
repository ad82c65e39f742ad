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
        held = np.clip(values, 0, HIGHEST_US)
        self.clamped += int(np.count_nonzero(held != values))
        h = self._hdr
        counts = self._counts()
        counts += np.bincount(self._slots(held), minlength=h.counts_len)
        h.total_count += len(held)
        h.max_value = max(h.max_value, int(held.max()))
        h.min_value = min(h.min_value, int(held.min()))

    def _slots(self, values: Values) -> Values:
        """The position in the counts of each value; what the library works out one by one."""
        h = self._hdr
        magnitude, half = h.unit_magnitude, h.sub_bucket_half_count_magnitude
        # frexp's exponent is the bit length; exact for integers below 2**53.
        bits = np.frexp((values | h.sub_bucket_mask).astype(np.float64))[1].astype(np.int64)
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
