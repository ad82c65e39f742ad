"""One connection and the attempt that is under way on it: a record with slots, driven by the reactor.

    CONNECTING → (TLS) → SENDING → AWAITING → READING → IDLE → SENDING → … → CLOSED
                                                      → LINGERING (closing; the peer's FIN is awaited) → CLOSED

Plain attributes and no methods of its own on the hot path: at full speed a connection is touched every five
microseconds.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from rollcheck.facts.attempts import Attempt, ConnectionUse, Lane, Outcome, Phase, Stage
from rollcheck.facts.clock import Instant
from rollcheck.facts.connections import ClosedBy
from rollcheck.facts.connections import Connection as ConnectionFact
from rollcheck.load.lanes import FOR_EVER, Arrival
from rollcheck.load.transport import format_address

if TYPE_CHECKING:
    from rollcheck.load.lanes import LaneState
    from rollcheck.load.wire import ResponseReader

CONNECTING, TLS, SENDING, AWAITING, READING, IDLE, LINGERING, CLOSED = range(8)


class Connection:
    """A socket, what is known of it, and its current attempt.

    Attributes:
        opened: when it was connected (0 before).
        ended: when its last answer was whole.
        requests: requests answered on it.
        pod: the pod that last answered on it, when it said so.
        seq, stage, intended, released, sent: of the current attempt.
        first_byte: when its answer began, 0 before.
        received: bytes of its answer.
        unsent: what is left of its request.
        slot: the number of its place among the connections of its lane; `place` is what went through that.
        cap, retire_at: after so many requests, and from that instant on, it is closed when it is free.
    """

    __slots__ = (
        "address",
        "cap",
        "ended",
        "events",
        "fd",
        "first_byte",
        "id",
        "intended",
        "lane",
        "local",
        "opened",
        "place",
        "pod",
        "reader",
        "received",
        "recv",
        "released",
        "requests",
        "retire_at",
        "send",
        "sent",
        "seq",
        "slot",
        "sock",
        "stage",
        "state",
        "unsent",
    )

    def __init__(self, lane: LaneState) -> None:
        self.lane = lane
        self.slot = lane.take_slot()
        self.place = lane.slots[self.slot]
        self.id = self.opened = 0
        self.local = ""

    def begin(self, arrival: Arrival, sock: socket.socket, address: tuple[str | int, ...] | str, now: Instant) -> None:
        """A life begins, with the attempt of `arrival` on a socket that is not connected yet."""
        lane = self.lane
        self.sock: socket.socket | ssl.SSLSocket = sock
        self.fd = sock.fileno()
        self.recv: Callable[[int], bytes] = sock.recv
        self.send: Callable[[bytes | memoryview], int] = sock.send
        self.address = address
        self.place.sockets += 1
        self.cap = lane.draw_cap() if lane.caps else FOR_EVER
        self.retire_at = now + lane.max_age_ns
        self.state = CONNECTING
        self.events = 0
        self.id = self.requests = self.received = 0
        self.opened = self.ended = self.first_byte = 0
        self.local = self.pod = ""
        self.reader: ResponseReader | None = None
        self.unsent: bytes | memoryview = b""
        self.stage: Stage
        self.seq, self.stage, self.intended, self.released = arrival
        self.sent = now

    def use_tls(self, sock: ssl.SSLSocket) -> None:
        """Talk through `sock` from now on, which has taken over the descriptor."""
        self.sock = sock
        # Of an SSLSocket, recv and send look at flags and call read and write, which look at flags and call these:
        # that costs as much as a tenth of the request. These report a missing close_notify instead of hiding it.
        core = getattr(sock, "_sslobj", None) or sock
        self.recv, self.send = core.read, core.write

    def note_connected(self, took_ns: int) -> None:
        """Keep how long connecting took, and where it led, for whoever asked for details."""
        book = self.lane.book
        if book.detailed:
            book.connects.append(took_ns)
            self.place.connects.append(took_ns)
            self.place.addresses[self.address] += 1

    @property
    def peer(self) -> str:
        """The other end as "ip:port", empty before it was connected."""
        return format_address(self.address) if self.opened else ""

    @property
    def is_idle(self) -> bool:
        """Whether it may be given a request."""
        return self.state == IDLE

    @property
    def is_busy(self) -> bool:
        """Whether an attempt is under way on it."""
        return self.state <= READING

    @property
    def use(self) -> ConnectionUse:
        """Whether the current attempt is its first."""
        return ConnectionUse.REUSED if self.requests else ConnectionUse.NEW

    @property
    def phase(self) -> Phase:
        """How far the current attempt has come."""
        if self.state == CONNECTING:
            return Phase.CONNECT
        if self.state == TLS:
            return Phase.TLS
        if self.state == SENDING:
            return Phase.SEND
        # Before the first byte the reader still holds what the last answer was.
        begun = self.received > 0 and self.reader is not None and self.reader.head_done
        return Phase.BODY if begun else Phase.AWAIT

    def read_local(self) -> str:
        """Our end as "ip:port", also of a connection that never stood: the kernel chose the port at connect().

        A node's connection tracking goes by that port, so a failure is worth the system call, once; successes are not
        asked. Empty when no port could be had.
        """
        if not self.local:
            try:
                address = self.sock.getsockname()
            except OSError:
                return ""
            # A Unix socket that was not bound has no name; a TCP socket without a port was never connected.
            if isinstance(address, str | bytes) or address[1]:
                self.local = format_address(address)
        return self.local

    def to_attempt(
        self, phase: Phase, outcome: Outcome, now: Instant, *, status: int = 0, detail: str = "", pod: str = ""
    ) -> Attempt:
        """The current attempt, ended."""
        new = self.requests == 0
        named = pod or self.pod
        return Attempt(
            seq=self.seq,
            lane=self.lane.name,
            stage=self.stage,
            phase=phase,
            outcome=outcome,
            intended_ns=self.sent if self.lane.closed_loop else self.intended,
            released_ns=self.sent if self.lane.closed_loop else self.released,
            sent_ns=None if outcome is Outcome.DROPPED else self.sent,
            ended_ns=now,
            connected_ns=(self.opened or None) if new else None,
            first_byte_ns=self.first_byte or None,
            status=status,
            detail=detail,
            connection=self.id,
            use=self.use,
            connection_age_ns=0 if new else self.sent - self.opened,
            requests_before=self.requests,
            local=self.read_local(),
            peer=self.peer,
            bytes_received=self.received,
            pod=named,
            pod_from=("response" if pod else "connection") if named else "",
            worker=self.lane.worker,
            slot=self.slot,
        )

    def to_fact(self, closed_by: ClosedBy, now: Instant, *, reset: bool = False) -> ConnectionFact:
        """The connection, closed."""
        return ConnectionFact(
            id=self.id,
            lane=Lane(self.lane.name),
            opened_ns=self.opened,
            closed_ns=now,
            closed_by=closed_by,
            local=self.read_local(),
            peer=self.peer,
            requests=self.requests,
            idle_ns=now - self.ended if self.ended else 0,
            pod=self.pod,
            reset=reset,
        )
