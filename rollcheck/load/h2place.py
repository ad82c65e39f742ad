"""One place for a connection of a lane: whether its connection may go on, and what connecting took."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from rollcheck.facts.attempts import Phase
from rollcheck.facts.clock import Instant
from rollcheck.facts.connections import ClosedBy
from rollcheck.load.h2 import Client, Exchange, FindAddress
from rollcheck.load.lanes import LaneState
from rollcheck.load.outcomes import Cause, closer_of
from rollcheck.load.plan import LoadPlan
from rollcheck.load.timer import Clock


class Place:
    """A client and the lane that it belongs to.

    Attributes:
        slot: its number among the lane's places.
        cap: requests that its connection may carry.
    """

    def __init__(
        self,
        lane: LaneState,
        plan: LoadPlan,
        tls: ssl.SSLContext,
        *,
        http2: bool,
        follow: bool,
        path: str,
        find_address: FindAddress,
        number_line: Callable[[], int],
        clock: Clock,
    ) -> None:
        self.lane = lane
        self.slot = lane.take_slot()
        self.cap = lane.draw_cap()
        self.client = Client(
            plan,
            tls,
            http2=http2,
            follow=follow,
            close=lane.fresh,
            path=path,
            find_address=find_address,
            number_line=number_line,
            clock=clock,
        )

    def note(self, exchange: Exchange) -> None:
        """Count what connecting took, where that is asked for."""
        line, slot = exchange.line, self.lane.slots[self.slot]
        if exchange.phase is not Phase.RESOLVE and not exchange.requests_before:
            slot.sockets += 1
        if line is None or not exchange.connected:
            return
        took = exchange.connected - exchange.sent
        slot.connects.append(took)
        slot.addresses[line.address[1]] += 1
        if self.lane.book.detailed:
            self.lane.book.connects.append(took)

    def closer(self, exchange: Exchange, cause: Cause | None) -> ClosedBy:
        """Who ended the connection of an attempt that was not OK."""
        if cause is None:
            return ClosedBy.US_FAILED if exchange.keep else ClosedBy.PEER_ANNOUNCED
        return closer_of(cause)

    def retire(self, exchange: Exchange, now: Instant) -> ClosedBy | None:
        """Why the connection of a good attempt is to be closed; None when it may go on, or is its lane's to close."""
        line = exchange.line
        if self.lane.fresh or line is None:
            return None
        if exchange.surplus:
            return ClosedBy.US_FAILED
        if line.unsent is not None:
            return ClosedBy.PEER_IDLE  # answer and end came together
        if not exchange.keep:
            return ClosedBy.PEER_ANNOUNCED
        worn = line.requests >= self.cap or now - line.opened >= self.lane.max_age_ns
        return ClosedBy.US_POLICY if worn else None
