"""How well the generator itself did: past its limits the verdict is inconclusive, never graceful."""

from __future__ import annotations

from dataclasses import dataclass

from rollcheck.facts.clock import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSample:
    """The generator's own state over [start_ns, end_ns).

    Attributes:
        asked: arrivals that the timetable placed in this span.
        released: arrivals taken up in it.
        lag_hdr: HDR V2 blob, base64, of microseconds released − intended (ours alone); empty when none.
        wait_hdr: HDR V2 blob of microseconds sent − released (no free connection: the target's); empty when none.
        backlog: arrivals waiting for a connection at the end of the span.
        in_flight: requests under way at the end of the span.
        connections: open connections at the end of the span.
        stall_ns: longest time the event loop did not come round in this span.
        cpu_share: CPU seconds of this process per second, 0 to 1 (more with threads).
        open_files, file_limit: file descriptors now and at most.
        worker: the process that this is about.
        ports_used, ports_limit: local ports taken, TIME_WAIT included, and how many there are; 0 when not known.
        skipped: arrivals that were left out because their time had passed (only where catching up was forbidden).
        starved_ns: how long the process could have run in this span, but had no processor, for others had them; 0 where
            the system does not say.
    """

    start_ns: Instant
    end_ns: Instant
    asked: int
    released: int
    lag_hdr: str
    wait_hdr: str
    backlog: int
    in_flight: int
    connections: int
    stall_ns: int
    cpu_share: float
    open_files: int
    file_limit: int
    worker: int = 0
    ports_used: int = 0
    ports_limit: int = 0
    skipped: int = 0
    starved_ns: int = 0
