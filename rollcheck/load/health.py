"""How well the generator did: its lag, the waits, the stalls of its loop, its share of the processor."""

from __future__ import annotations

import time
from array import array

from rollcheck.facts.clock import Instant
from rollcheck.facts.health import HealthSample
from rollcheck.load.histogram import Histogram
from rollcheck.load.transport import count_open_files, file_limit


class HealthMeter:
    """Gathers one `HealthSample` at a time.

    Attributes:
        lags: nanoseconds released − intended of the arrivals taken up in this span.
        waits: nanoseconds sent − released of the attempts sent in this span.
    """

    def __init__(self, now: Instant) -> None:
        self._limit = file_limit()
        self._start = now
        self._asked = 0
        self._stall = 0
        self._cpu = time.process_time()
        self.lags: array[int] = array("q")
        self.waits: array[int] = array("q")

    def note_stall(self, late_ns: int) -> None:
        """The loop came round that much later than it should have."""
        if late_ns > self._stall:
            self._stall = late_ns

    def sample(self, now: Instant, *, asked: int, backlog: int, in_flight: int, connections: int) -> HealthSample:
        """What happened since the last sample; `asked` counts the timetable's arrivals from its very start."""
        cpu = time.process_time()
        sample = HealthSample(
            start_ns=self._start,
            end_ns=now,
            asked=asked - self._asked,
            released=len(self.lags),
            lag_hdr=_encode(self.lags),
            wait_hdr=_encode(self.waits),
            backlog=backlog,
            in_flight=in_flight,
            connections=connections,
            stall_ns=self._stall,
            cpu_share=round((cpu - self._cpu) * 1e9 / max(now - self._start, 1), 4),
            open_files=count_open_files(),
            file_limit=self._limit,
        )
        self._start, self._asked, self._cpu, self._stall = now, asked, cpu, 0
        self.lags, self.waits = array("q"), array("q")
        return sample


def _encode(values: array[int]) -> str:
    histogram = Histogram()
    histogram.record_ns(values)
    return histogram.encode()
