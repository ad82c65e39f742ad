"""What became of the connections; those of the fresh lane live one request long and are not listed unless they fail."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rollcheck.facts.attempts import Lane
from rollcheck.facts.clock import Instant


class ClosedBy(StrEnum):
    """Who ended a connection, and when in its life."""

    PEER_IDLE = "peer_idle"
    """The server closed while no request was under way, and we saw it before the next was written: no loss."""
    PEER_ANNOUNCED = "peer_announced"
    """The server said `Connection: close` with its last answer."""
    PEER_IN_FLIGHT = "peer_in_flight"
    """It ended under a request; that attempt is listed."""
    US_FAILED = "us_failed"
    """We closed it because an attempt on it timed out or could not be parsed."""
    US_POLICY = "us_policy"
    """We closed it because its reuse cap, its age or its lane says so."""
    US_END = "us_end"
    """The run ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection, recorded when it closes.

    Attributes:
        id: from 1, unique in the run.
        requests: requests answered on it.
        idle_ns: nanoseconds since its last answer when it closed.
        pod: the last pod known to have answered on it, else empty.
        reset: whether the peer closed with RST instead of FIN.
    """

    id: int
    lane: Lane
    opened_ns: Instant
    closed_ns: Instant
    closed_by: ClosedBy
    local: str
    peer: str
    requests: int
    idle_ns: int = 0
    pod: str = ""
    reset: bool = False
