"""`.hlog` and `.hgrm`: a load as HdrHistogram's own tools read it.

Our own writers, since those of the Python library give wrong files: its log writer raises on the start time, cuts the
interval's maximum down to whole milliseconds and writes no tags, and its percentile file has a standard deviation that
is off by the unit ratio.

A log has a line for each second and tag, `response` and `service`. Its values are nanoseconds, times are seconds from
the start and maxima are milliseconds, which is what the tools assume when they are told nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
from hdrh.histogram import HdrHistogram

from rollcheck.analyze.hdr import decoded, empty, extremes, fill, held, mean_and_deviation, slots
from rollcheck.facts.attempts import Interval, Lane, Stage
from rollcheck.facts.clock import MILLISECOND, SECOND, Instant
from rollcheck.facts.document import Document, Header

TAGS = ("response", "service")
OPEN_SECONDS = 5
"""A second is written when an interval that lies so much later has come. What comes later still, which no healthy
worker does, goes into the oldest second that is still open: nothing is lost, and lines stay in order of time."""
HIGHEST_NS = 3_600_000_000_000
TICKS = 5
"""Steps per half of the distance to 100 %, as the tools have them by default."""


class HlogWriter:
    """Text of a log, as intervals come; the caller appends what each call gives to the file.

    Args:
        header: of the load.
    """

    def __init__(self, header: Header) -> None:
        self._header = header
        self._origin: Instant | None = None
        self._written = -1
        self._rows: dict[int, dict[str, HdrHistogram]] = {}
        self._end: Instant = 0

    def add(self, interval: Interval) -> str:
        """Take an interval; those of the warm-up and of probes are passed over."""
        if interval.stage is Stage.PREFLIGHT or interval.lane is Lane.PROBE:
            return ""
        text = ""
        if self._origin is None:
            self._origin = interval.start_ns
            text = self._preamble(interval.start_ns)
        middle = (interval.start_ns + interval.end_ns) // 2
        number = max((middle - self._origin) // SECOND, self._written + 1)
        self._end = max(self._end, interval.end_ns)
        row = self._rows.setdefault(number, {})
        for tag, blob in zip(TAGS, (interval.response_hdr, interval.service_hdr), strict=True):
            found = decoded(blob)
            if found is not None:
                row.setdefault(tag, empty()).add(found)
        return text + self._due(number - OPEN_SECONDS)

    def end(self) -> str:
        """What is still open, to the last line."""
        preamble = self._preamble(self._header.anchor.monotonic_ns) if self._origin is None else ""
        return preamble + self._due(max(self._rows, default=0))

    def _preamble(self, start: Instant) -> str:
        wall = self._header.anchor.to_wall(start)
        stamp = f"{wall // SECOND}.{wall % SECOND // MILLISECOND:03d}"
        when = datetime.fromtimestamp(wall // SECOND, UTC).isoformat(" ")
        return (
            "#[Histogram log format version 1.3]\n"
            "#[Values: nanoseconds; Interval_Max: milliseconds]\n"
            f"#[StartTime: {stamp} (seconds since epoch), {when}]\n"
            f"#[BaseTime: {stamp} (seconds since epoch)]\n"
            '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
        )

    def _due(self, last: int) -> str:
        lines = []
        for number in sorted(n for n in self._rows if n <= last):
            row = self._rows.pop(number)
            lines += [self._line(tag, number, row[tag]) for tag in TAGS if tag in row]
            self._written = max(self._written, number)
        return "".join(lines)

    def _line(self, tag: str, number: int, histogram: HdrHistogram) -> str:
        assert self._origin is not None, "a row has an interval"
        # The last second may be a part of one; every other is whole.
        length = min(1.0, (self._end - self._origin) / SECOND - number)
        fine = in_nanoseconds(histogram)
        blob = fine.encode().decode("ascii")
        return f"Tag={tag},{number:.3f},{max(length, 0.001):.3f},{extremes(fine)[1] / MILLISECOND:.3f},{blob}\n"


def in_nanoseconds(histogram: HdrHistogram) -> HdrHistogram:
    """The same values in nanoseconds, each at the middle of its slot: right to a thousandth, like the slot itself."""
    index, found = held(histogram)
    low, high = slots(histogram)
    made = HdrHistogram(1, HIGHEST_NS, 3)
    fill(made, (low[index] + high[index] + 1) * 500, found)
    return made


def render_hlog(document: Document) -> str:
    """The log of a stored load."""
    writer = HlogWriter(document.header)
    return "".join(writer.add(interval) for interval in document.of(Interval)) + writer.end()


def render_hgrm(histogram: HdrHistogram | None, *, ratio: float = 1000.0) -> str:
    """The percentile distribution of a histogram, as the plotter of HdrHistogram reads it.

    Args:
        histogram: None for no values.
        ratio: what values are divided by; 1000 makes milliseconds of our microseconds.
    """
    lines = [f"{'Value':>12} {'Percentile':>14} {'TotalCount':>10} {'1/(1-Percentile)':>14}", ""]
    mean = deviation = high = 0.0
    total, shape = 0, histogram or empty()
    if histogram is not None and histogram.total_count:
        lines += [
            f"{value / ratio:12.3f} {level / 100:2.12f} {so_far:10d}"
            + (f" {100 / (100 - level):14.2f}" if level < 100 else "")
            for value, level, so_far in _steps(histogram)
        ]
        mean, deviation = mean_and_deviation(histogram)
        high, total = extremes(histogram)[1], int(histogram.total_count)
    lines += [
        f"#[Mean    = {mean / ratio:12.3f}, StdDeviation   = {deviation / ratio:12.3f}]",
        f"#[Max     = {high / ratio:12.3f}, Total count    = {total:12d}]",
        f"#[Buckets = {shape.bucket_count:12d}, SubBuckets     = {shape.sub_bucket_count:12d}]",
    ]
    return "\n".join(lines) + "\n"


def _steps(histogram: HdrHistogram) -> Iterator[tuple[int, float, int]]:
    """Value, level in per cent and values up to it, in steps that halve with each halving of the way to 100 %."""
    index, found = held(histogram)
    running = np.cumsum(found)
    total = int(running[-1])
    reached = 100.0 * running / total
    highs = slots(histogram)[1][index]
    level, place = 0.0, 0
    while True:
        place = max(place, int(np.searchsorted(reached, level, side="left")))
        yield int(highs[place]), level, int(running[place])
        if place == len(running) - 1:
            break
        halvings = int(math.log(100.0 / (100.0 - level)) / math.log(2)) + 1
        level += 100.0 / (TICKS * 2**halvings)
    yield int(highs[-1]), 100.0, total
