"""How a load stands, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass

from rollcheck.facts.attempts import Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How the load stands.

    Attributes:
        scheduled: arrivals released, all lanes.
        ok, failed, not_sent: attempts that ended so; scheduled = their sum + in_flight + backlog.
        in_flight: attempts under way on a connection, without probes.
        backlog: arrivals waiting for a connection.
        by_outcome: "phase/outcome" → attempts that did not end OK.
        last_failures: the last three of those.
        p50_us, p99_us: response time over the last interval, microseconds; 0 when nothing ended OK in it, or when
            another process makes the histograms.
    """

    scheduled: int
    ok: int
    failed: int
    not_sent: int
    in_flight: int
    backlog: int
    by_outcome: dict[str, int]
    last_failures: tuple[Attempt, ...]
    p50_us: int
    p99_us: int
