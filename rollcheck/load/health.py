"""How well the generator did: its lag, the waits, the stalls of its loop, its share of the processor, its limits."""

from __future__ import annotations

import time
from array import array
from pathlib import Path

from rollcheck.facts.clock import Instant
from rollcheck.facts.health import HealthSample
from rollcheck.load.intervals import RawHealth, RawLags
from rollcheck.load.transport import count_open_files, file_limit

_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_SOCKSTAT = "/proc/net/sockstat"
_SCHEDSTAT = "/proc/self/schedstat"


class HealthMeter:
    """Gathers one `HealthSample` at a time.

    Attributes:
        lags: nanoseconds released − intended of the arrivals taken up in this span.
        waits: nanoseconds sent − released of the attempts sent in this span that had to wait.
        unwaited: how many did not have to.
        skipped: arrivals left out in this span because their time had passed.
    """

    def __init__(self, now: Instant, *, worker: int = 0) -> None:
        self._worker = worker
        self._limit = file_limit()
        # Listing the descriptors takes a system call for each: with thousands of them that would be a stall.
        self._files = count_open_files()
        self._ports = count_ports()
        self._start = now
        self._asked = 0
        self._released = 0
        self._stall = 0
        self._cpu, self._starved = time.process_time(), count_starved_ns()
        self._open()

    def _open(self) -> None:
        self.lags: array[int] = array("q")
        self.waits: array[int] = array("q")
        self.unwaited = self.skipped = 0

    def flush(self) -> RawLags:
        """Take out the lags and waits gathered so far; they stay part of the sample."""
        raw = RawLags(worker=self._worker, lags=self.lags, waits=self.waits)
        self.lags, self.waits = array("q"), array("q")
        return raw

    def note_stall(self, late_ns: int) -> None:
        """The loop came round that much later than it should have."""
        if late_ns > self._stall:
            self._stall = late_ns

    def sample(
        self, now: Instant, *, asked: int, released: int, backlog: int, in_flight: int, connections: int
    ) -> RawHealth:
        """What happened since the last sample; `asked` and `released` count from the very start."""
        cpu, starved = time.process_time(), count_starved_ns()
        rest = HealthSample(
            start_ns=self._start,
            end_ns=now,
            asked=asked - self._asked,
            released=released - self._released,
            lag_hdr="",
            wait_hdr="",
            backlog=backlog,
            in_flight=in_flight,
            connections=connections,
            stall_ns=self._stall,
            cpu_share=round((cpu - self._cpu) * 1e9 / max(now - self._start, 1), 4),
            open_files=self._files + connections,
            file_limit=self._limit,
            worker=self._worker,
            ports_used=count_used_ports() if self._ports else 0,
            ports_limit=self._ports,
            skipped=self.skipped,
            starved_ns=starved - self._starved,
        )
        raw = RawHealth(worker=self._worker, lags=self.lags, waits=self.waits, unwaited=self.unwaited, rest=rest)
        self._start, self._asked, self._released = now, asked, released
        self._cpu, self._starved, self._stall = cpu, starved, 0
        self._open()
        return raw


def count_ports() -> int:
    """How many local ports connections may use; 0 where the system does not say."""
    try:
        low, high = _PORT_RANGE.read_text().split()
    except (OSError, ValueError):
        return 0
    return int(high) - int(low) + 1


def count_used_ports() -> int:
    """TCP sockets in use and in TIME_WAIT on this machine (an upper bound of the ports taken towards one target)."""
    try:
        with open(_SOCKSTAT, encoding="ascii") as stat:  # noqa: PTH123  # each second, in the timing process
            for line in stat:
                if line.startswith("TCP:"):
                    words = line.split()
                    return int(words[words.index("inuse") + 1]) + int(words[words.index("tw") + 1])
    except (OSError, ValueError, IndexError):
        pass
    return 0


def count_starved_ns() -> int:
    """How long this process was ready to run, since it began, while others had its processor; 0 where nobody says.

    Source: Documentation/scheduler/sched-stats.rst, /proc/<pid>/schedstat: its second field.
    """
    try:
        with open(_SCHEDSTAT, encoding="ascii") as stat:  # noqa: PTH123  # each second, in the timing process
            return int(stat.read().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
