"""The shortest way for what nearly every request is: sent whole, answered by bytes that came before.

At full speed a request may cost a few microseconds of Python on top of the kernel's own. So everything that is usual
is done in the loops here, on local names and without a call of ours, even where they begin alike; whatever is unusual
(bytes not met before, a close, an error, half a write) leaves for the reactor with the first sign of it.
"""

from __future__ import annotations

from rollcheck.facts.clock import Instant
from rollcheck.load.connection import AWAITING, IDLE, Connection
from rollcheck.load.lanes import Arrival, LaneState
from rollcheck.load.poller import READABLE, Ready
from rollcheck.load.reactor import Reactor
from rollcheck.load.timer import Clock

RELEASE_BATCH = 16
"""Arrivals released between two looks at the sockets."""
POLL_EVENTS = 1024
SPIN_NS = 50_000
"""An arrival nearer than this is not worth a timer."""


class Sprint:
    """Handles events and releases arrivals as the reactor would, only faster.

    Attributes:
        possible: whether the plan allows it at all; where it does not, everything goes through the reactor.
    """

    def __init__(self, reactor: Reactor, clock: Clock, *, possible: bool) -> None:
        self._reactor, self._clock = reactor, clock
        self.possible = possible

    def handle(self, events: Ready) -> None:
        """The long way, through the reactor."""
        handle = self._reactor.handle
        for fd, event in events:
            handle(fd, event)

    def drain(self, events: Ready) -> None:
        """Handle readiness under a timetable; connections that were answered are idle after it."""
        if not self.possible:
            self.handle(events)
            return
        reactor, clock, table = self._reactor, self._clock, self._reactor.table
        readable, awaiting = READABLE, AWAITING
        done = 0
        for fd, event in events:
            try:
                connection = table[fd]
            except KeyError:  # closed earlier in this batch
                continue
            if event != readable or connection.state != awaiting:
                reactor.handle(fd, event)
                continue
            book = connection.lane.book
            recv = connection.recv  # called as an attribute, Python 3.11 would look for a method first
            try:
                data = recv(book.chunk)
            except OSError as e:
                reactor.on_recv_error(connection, e, event)
                continue
            answer = book.quick.get(data)
            if answer is None:
                reactor.take_data(connection, data, event)
                continue
            now = clock()
            sent = connection.sent
            book.services.append(now - sent)
            book.responses.append(now - connection.intended)
            answer.hits += 1
            if answer.pod:
                connection.pod = answer.pod
                book.add_pod(answer.pod, connection.use, sent, now)
            connection.requests += 1
            connection.ended = now
            connection.state = IDLE
            connection.lane.idle.append(connection)
            done += 1
        reactor.busy -= done

    def send(self, lane: LaneState, arrival: Arrival, now: Instant) -> bool:
        """Send the arrival on the connection that has been idle longest; False when that takes more than a write."""
        if not lane.idle or not self.possible or lane.fresh or (lane.fills and lane.open < lane.limit):
            return False
        return self.send_on(lane.idle.popleft(), arrival, now)

    def send_on(self, connection: Connection, arrival: Arrival, now: Instant) -> bool:
        """Send it on this connection; False when that is not idle any more."""
        if connection.state != IDLE:
            return False
        connection.seq, connection.stage, connection.intended, connection.released = arrival
        connection.sent = now
        connection.state = AWAITING
        reactor = self._reactor
        reactor.busy += 1
        request, send = connection.lane.request, connection.send
        try:
            sent = send(request)
        except OSError as e:
            reactor.on_write_error(connection, e)
            return True
        if sent != len(request):
            reactor.on_sent(connection, request, sent)
        return True
