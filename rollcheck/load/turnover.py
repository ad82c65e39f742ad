"""The shortest way for a lane whose connections carry one request each: a record is kept, and its socket replaced.

What `sprint` is to requests, this is to connections: where each costs a few system calls anyway, Python's part is to
stay small beside them, so the record of a connection that is over is begun anew with the next socket, in its place.
"""

from __future__ import annotations

import errno
import socket
from typing import cast

from rollcheck.facts.attempts import Stage
from rollcheck.load.arrivals import Arrivals
from rollcheck.load.connection import AWAITING, CLOSED, CONNECTING, Connection
from rollcheck.load.lanes import LaneState
from rollcheck.load.poller import GONE, INTEREST, READABLE, Ready
from rollcheck.load.reactor import Reactor
from rollcheck.load.resolver import Resolver
from rollcheck.load.timer import Clock
from rollcheck.load.transport import STREAM

_make_socket = cast(type[socket.socket], socket.SocketType)
_close_socket = socket.SocketType.close
REOPENED = 64
"""Connections opened between two looks at the sockets."""


class Turnover:
    """Handles events and opens connections as the reactor would, only faster, for one plain lane without a probe.

    Attributes:
        possible: whether the plan allows the shortest way of opening; answers are taken in the short way anyhow.
    """

    def __init__(self, reactor: Reactor, resolver: Resolver, clock: Clock, *, possible: bool) -> None:
        self._reactor, self._resolver, self._clock = reactor, resolver, clock
        self.possible = possible

    def drain(self, events: Ready, lane: LaneState) -> None:
        """Handle readiness; a connection whose answer came with the peer's end is over, and its record to spare."""
        reactor, clock, table = self._reactor, self._clock, self._reactor.table
        book, spare = lane.book, lane.spare
        known, closed_loop, possible = book.known, lane.closed_loop, self.possible
        chunk = book.chunk
        done = over = 0
        for fd, event in events:
            try:
                connection = table[fd]
            except KeyError:
                continue
            if connection.state != AWAITING or not event & READABLE:
                reactor.handle(fd, event)
                continue
            recv = connection.recv
            try:
                data = recv(chunk)
            except OSError as e:
                reactor.on_recv_error(connection, e, event)
                continue
            answer = known.get(data)
            if answer is None:
                reactor.take_data(connection, data, event)
                continue
            now = clock()
            book.services.append(now - connection.sent)
            if not closed_loop:
                book.responses.append(now - connection.intended)
            answer.hits += 1
            done += 1
            if event & GONE and possible:
                del table[fd]
                connection.state = CLOSED
                _close_socket(connection.sock)
                spare.append(connection)
                over += 1
            else:
                connection.requests = 1
                connection.ended = now
                reactor.linger(connection, now, gone=bool(event & GONE))
        lane.open -= over
        reactor.busy -= done

    def reopen(self, lane: LaneState, arrivals: Arrivals, stage: Stage) -> bool:
        """In a closed loop: give the next requests to records that are to spare; True when more could begin at once."""
        reactor, clock, spare = self._reactor, self._clock, lane.spare
        pick, begin = self._resolver.pick, self._begin
        begun = 0
        now = clock()
        reactor.expect(now)
        while spare and begun < REOPENED and now < arrivals.until and arrivals.seq < arrivals.end:
            address = pick(now)
            if address is None:
                break
            try:
                sock = _make_socket(address[0], STREAM)
            except OSError:
                break  # the long way will say why
            connection = spare.pop()
            connection.sent = now
            connection.seq, connection.stage = arrivals.seq, stage
            connection.address = address[1]
            arrivals.seq += arrivals.step
            begun += 1
            begin(connection, sock)
            now = clock()
        lane.open += begun
        lane.scheduled += begun
        reactor.busy += begun
        return begun == REOPENED and bool(spare)

    def _begin(self, connection: Connection, sock: socket.socket) -> None:
        """What `Connection.begin` and `Reactor.open` do, for a record that has been through it."""
        reactor = self._reactor
        connection.sock = sock
        connection.fd = fd = sock.fileno()
        connection.recv, connection.send = sock.recv, sock.send
        connection.place.sockets += 1
        connection.requests = connection.id = connection.opened = connection.events = 0
        connection.local = ""
        connection.state = CONNECTING
        reactor.table[fd] = connection
        number = sock.connect_ex(connection.address)
        if number != errno.EINPROGRESS:
            reactor.go_on(connection, number)
            return
        request = connection.lane.request
        try:
            sent = sock.send(request)
        except OSError as e:
            reactor.on_early_error(connection, e)
            return
        reactor.last_id += reactor.id_step
        connection.id = reactor.last_id
        connection.opened = now = self._clock()
        connection.note_connected(now - connection.sent)
        if sent != len(request):
            reactor.on_sent(connection, request, sent)
            return
        connection.state = AWAITING
        connection.events = INTEREST
        reactor.poller.register(fd, INTEREST)
