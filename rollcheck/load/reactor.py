"""The sockets: one epoll set, every connection in it, and what each readiness event does to an attempt.

No task, no await and no callback per request: the engine drains the set in batches and everything here runs to the
end. Readiness is level-triggered, so a bounded read leaves the rest for the next turn. No connection is opened while
a batch is being handled: an event left in the batch for a closed descriptor must not meet a new one of that number.

Nearly every request is sent whole and answered by bytes that came before: `sprint` knows the shortest way for those;
everything else, and whatever is unusual there, goes through here.
"""

from __future__ import annotations

import errno
import socket
import ssl
from contextlib import suppress
from uuid import uuid4

from rollcheck.facts.attempts import Lane, Outcome, Phase
from rollcheck.facts.clock import SECOND, Instant
from rollcheck.facts.connections import ClosedBy
from rollcheck.load.answers import ROOMY, SNUG, Answer
from rollcheck.load.connection import (
    AWAITING,
    CLOSED,
    CONNECTING,
    IDLE,
    LINGERING,
    READING,
    SENDING,
    TLS,
    Connection,
)
from rollcheck.load.deadlines import Deadlines
from rollcheck.load.intake import Intake
from rollcheck.load.lanes import Arrival, LaneState
from rollcheck.load.listener import Listener
from rollcheck.load.outcomes import Cause, Fault, closer_of, describe_errno, find_outcome
from rollcheck.load.plan import LoadPlan
from rollcheck.load.poller import GONE, INTEREST, RESET, WRITABLE, make_poller
from rollcheck.load.timer import Clock
from rollcheck.load.transport import (
    Address,
    begin_connect,
    make_tls_context,
    open_socket,
    read_cause,
    send_at_once,
    was_reset,
)
from rollcheck.load.wire import WireError

CHUNK = 65_536
READS_PER_EVENT = 16
"""Reads of one connection before the others get their turn."""
UUID_MARK = b"00000000-0000-4000-8000-000000000000"
"""Where a request has a UUID of its own each time."""

_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EINTR})
_LATER = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Reactor:
    """Opens, drives and closes connections.

    Attributes:
        busy: attempts under way on a connection.
        table: connections by file descriptor.
        tls: whether they are encrypted.
        last_id: of the connection that stood last; `id_step` lies between two of this worker's.
    """

    def __init__(
        self,
        plan: LoadPlan,
        listener: Listener,
        clock: Clock,
        *,
        worker: int = 0,
        workers: int = 1,
        portable: bool = False,
    ) -> None:
        self._target = plan.target
        self._intake = Intake(plan)
        self._tls = (
            make_tls_context(
                verify=plan.verify_tls, ca_file=plan.ca_file, cert_file=plan.cert_file, key_file=plan.key_file
            )
            if plan.target.tls
            else None
        )
        self.tls = self._tls is not None
        # The C method under Python's own, which has nothing to add for a plain socket.
        self._close_socket = ssl.SSLSocket.close if self.tls else socket.SocketType.close
        self._listener = listener
        self._clock = clock
        self.poller = make_poller(portable=portable)
        self.table: dict[int, Connection] = {}
        self.last_id, self.id_step = worker + 1 - workers, workers
        self._half_close = plan.half_close
        self._fill_uuid = plan.fill_uuid
        self.busy = 0
        self._deadlines = Deadlines(int(plan.timeout_s * SECOND))

    @property
    def connections(self) -> int:
        """Connections in any state."""
        return len(self.table)

    # Starting an attempt

    def open(self, lane: LaneState, arrival: Arrival, address: Address) -> tuple[Cause, str] | None:
        """Begin an attempt on a new connection; gives back why not when it never came to be one."""
        try:
            sock = open_socket(address, light=not self.tls)
        except OSError as e:
            return read_cause(e)
        now = self._clock()
        connection = lane.spare.pop() if lane.spare else Connection(lane)
        connection.begin(arrival, sock, address[1], now)
        self.table[connection.fd] = connection
        lane.open += 1
        self._begin(now)
        self.go_on(connection, begin_connect(sock, address))
        return None

    def expect(self, now: Instant) -> None:
        """An attempt begins now, and others after it, which will have their deadlines."""
        self._deadlines.begin(now)

    def go_on(self, connection: Connection, error: int) -> None:
        """connect() gave back that; send at once where that is possible.

        On loopback a connection nearly always stands before the kernel reports it: sending without waiting for that
        saves three system calls and a turn of the loop a connection.
        """
        if error == 0:
            self._on_connected(connection)
        elif error not in _IN_PROGRESS:
            self._fail(connection, error, describe_errno(error))
        elif self.tls:
            self._want(connection, WRITABLE)
        else:
            request = self.request_of(connection)
            try:
                sent = connection.send(request)
            except OSError as e:
                self.on_early_error(connection, e)
            else:
                self._mark_connected(connection)
                self.on_sent(connection, request, sent)

    def on_early_error(self, connection: Connection, error: OSError) -> None:
        """Sending was tried before the kernel reported the connection: it does not stand yet, or never will."""
        if isinstance(error, _LATER):
            self._want(connection, WRITABLE)
        else:
            self._fail(connection, *read_cause(error))

    def _mark_connected(self, connection: Connection) -> None:
        self.last_id += self.id_step
        connection.id = self.last_id
        connection.opened = now = self._clock()
        connection.note_connected(now - connection.sent)

    def send(self, connection: Connection, arrival: Arrival) -> None:
        """Begin an attempt on an idle connection."""
        connection.seq, connection.stage, connection.intended, connection.released = arrival
        connection.sent = now = self._clock()
        self._begin(now)
        self._send(connection, self.request_of(connection))

    def request_of(self, connection: Connection) -> bytes:
        """The bytes of the connection's next request."""
        request = connection.lane.request
        return request.replace(UUID_MARK, str(uuid4()).encode()) if self._fill_uuid else request

    def _begin(self, now: Instant) -> None:
        self.busy += 1
        self._deadlines.begin(now)

    def _send(self, connection: Connection, data: bytes | memoryview) -> None:
        try:
            sent = connection.send(data)
        except OSError as e:
            self.on_write_error(connection, e)
        else:
            self.on_sent(connection, data, sent)

    def on_write_error(self, connection: Connection, error: OSError) -> None:
        """Writing failed, or the kernel takes nothing now."""
        if isinstance(error, _LATER):
            pending = connection.unsent or self.request_of(connection)
            self.on_sent(connection, pending, 0)
        else:
            self._on_send_error(connection, error)

    def on_sent(self, connection: Connection, data: bytes | memoryview, sent: int) -> None:
        """So many bytes of `data` went out."""
        if sent == len(data):
            connection.state = AWAITING
            connection.unsent = b""
            if self._half_close and connection.lane.fresh:
                with suppress(OSError):  # gone already: the read will say so
                    connection.sock.shutdown(socket.SHUT_WR)
            self._want(connection, INTEREST)
        else:
            connection.state = SENDING
            connection.unsent = memoryview(data)[sent:]
            send_at_once(connection.sock)
            # A server may answer, and close, before it has read everything.
            self._want(connection, INTEREST | WRITABLE)

    def _want(self, connection: Connection, events: int) -> None:
        if connection.events == events:
            return
        if connection.events:
            self.poller.modify(connection.fd, events)
        else:
            self.poller.register(connection.fd, events)
        connection.events = events

    # Events

    def handle(self, fd: int, events: int) -> None:
        """Do what one readiness event asks for."""
        connection = self.table.get(fd)
        if connection is None:  # closed earlier in this batch
            return
        state = connection.state
        if state in {AWAITING, READING}:
            self._read(connection, events)
        elif state == IDLE:
            self._on_idle_event(connection, events)
        elif state == CONNECTING:
            self._on_connecting_event(connection)
        elif state == SENDING:
            if events & ~WRITABLE:
                self._read(connection, events)
            if connection.state == SENDING and connection.unsent:
                self._send(connection, connection.unsent)
        elif state == TLS:
            self._shake_hands(connection, events)
        else:
            self._close(connection)

    def _on_connecting_event(self, connection: Connection) -> None:
        error = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._fail(connection, error, describe_errno(error))
        else:
            self._on_connected(connection)

    def _on_connected(self, connection: Connection) -> None:
        self._mark_connected(connection)
        if self._tls is None:
            self._send(connection, self.request_of(connection))
            return
        connection.state = TLS
        send_at_once(connection.sock)
        try:
            connection.use_tls(
                self._tls.wrap_socket(
                    connection.sock, server_hostname=self._target.server_name, do_handshake_on_connect=False
                )
            )
        except OSError as e:
            # Connected and gone again before we looked.
            self._fail(connection, *read_cause(e, reset=True), reset=True)
            return
        self._shake_hands(connection, 0)

    def _shake_hands(self, connection: Connection, events: int) -> None:
        assert isinstance(connection.sock, ssl.SSLSocket)
        try:
            connection.sock.do_handshake()
        except ssl.SSLWantReadError:
            self._want(connection, INTEREST)
        except ssl.SSLWantWriteError:
            self._want(connection, INTEREST | WRITABLE)
        except OSError as e:
            cause, detail = read_cause(e, reset=self._was_reset(connection, events))
            self._fail(connection, cause, detail, reset=not isinstance(cause, Fault))
        else:
            self._send(connection, self.request_of(connection))

    def _on_idle_event(self, connection: Connection, events: int) -> None:
        """Something came on an idle connection: its end, or bytes that nobody asked for."""
        reset = bool(events & RESET)
        try:
            # Some servers say 408 and close; whatever came, the connection is of no more use.
            connection.recv(CHUNK)
        except _LATER:
            if not events & GONE:
                return  # a TLS session ticket, or half a record
        except ssl.SSLEOFError:
            pass
        except OSError:
            reset = True
        self._close(connection, ClosedBy.PEER_IDLE, reset=reset)

    def _read(self, connection: Connection, events: int) -> None:
        try:
            data = connection.recv(CHUNK)
        except OSError as e:
            self.on_recv_error(connection, e, events)
        else:
            self.take_data(connection, data, events)

    def _was_reset(self, connection: Connection, events: int) -> bool:
        """Whether what just failed did so by an RST; TLS cannot tell, so the kernel is asked."""
        return was_reset(connection.sock) if self.tls else bool(events & RESET)

    def on_recv_error(self, connection: Connection, error: OSError, events: int) -> None:
        """Reading failed, or there was nothing to read after all."""
        if isinstance(error, ssl.SSLEOFError):
            self._on_eof(connection, events)
        elif not isinstance(error, _LATER):
            cause, detail = read_cause(error, reset=self._was_reset(connection, events))
            self._fail(connection, cause, detail, reset=not isinstance(cause, Fault))

    def take_data(self, connection: Connection, data: bytes, events: int) -> None:
        """Bytes of an answer came, or its end; read on while there is more, within bounds."""
        for _ in range(READS_PER_EVENT):
            if not data:
                self._on_eof(connection, events)
                return
            if self._take_in(connection, data, events) or not self._holds_more(connection, data):
                return
            try:
                data = connection.recv(CHUNK)
            except OSError as e:
                self.on_recv_error(connection, e, events)
                return
        if data:
            self._take_in(connection, data, events)
        else:
            self._on_eof(connection, events)

    def _holds_more(self, connection: Connection, data: bytes) -> bool:
        """Whether to read on at once. TLS does so only for what it has decrypted already: `events` tell a reset from a
        close only as long as they are newer than what is read.
        """
        if self._tls is None:
            if len(data) == SNUG:
                connection.lane.book.chunk = ROOMY  # answers have become longer, and are not known by a part of them
            return len(data) in {CHUNK, ROOMY, SNUG}
        return connection.sock.pending() > 0  # type: ignore[union-attr]

    def _take_in(self, connection: Connection, data: bytes, events: int) -> bool:
        """Add bytes to the answer; True once the attempt is over."""
        if not connection.received:
            known = connection.lane.book.known.get(data)
            if known is not None:
                self._finish(connection, known, events)
                return True
            connection.first_byte = self._clock()
            if connection.state == AWAITING:
                connection.state = READING
            self._intake.begin(connection)
        connection.received += len(data)
        try:
            answer = self._intake.receive(connection, data)
        except WireError as e:
            self._fail(connection, Fault.PARSER, str(e)[:200])
            return True
        if answer is not None:
            assert connection.reader is not None
            self._finish(connection, answer, events, surplus=connection.reader.surplus)
        return answer is not None

    # Ends of attempts

    def _finish(self, connection: Connection, answer: Answer, events: int, *, surplus: bool = False) -> None:
        """The answer is whole."""
        now = self._clock()
        self.busy -= 1
        lane = connection.lane
        if answer.pod:
            connection.pod = answer.pod
        if answer.outcome is not Outcome.OK or lane.name is Lane.PROBE:
            connection.first_byte = connection.first_byte or now
            attempt = connection.to_attempt(Phase.BODY, answer.outcome, now, status=answer.status, pod=answer.pod)
            self._listener.on_end(attempt)
            lane.book.measure(answer)
            if answer.outcome is not Outcome.OK:
                self._close(connection, ClosedBy.US_FAILED if answer.keep_alive else ClosedBy.PEER_ANNOUNCED)
                return
        else:
            self._listener.on_ok(connection, answer, now)
        connection.requests += 1
        connection.ended = now
        connection.received = connection.first_byte = 0
        surplus = surplus or (self._tls is not None and connection.sock.pending() > 0)  # type: ignore[union-attr]
        if lane.fresh:
            self.linger(connection, now, gone=bool(events & GONE))
        elif not answer.keep_alive:
            self._close(connection, ClosedBy.PEER_ANNOUNCED)
        elif surplus or connection.state == SENDING:
            self._close(connection, ClosedBy.US_FAILED)
        elif events & GONE:
            # Answer and end came together; it was idle for no time at all.
            self._close(connection, ClosedBy.PEER_IDLE, reset=bool(events & RESET))
        elif connection.requests >= connection.cap or now >= connection.retire_at:
            self._close(connection, ClosedBy.US_POLICY)
        else:
            connection.state = IDLE
            lane.put_idle(connection)

    def linger(self, connection: Connection, now: Instant, *, gone: bool) -> None:
        """A connection that carries one request has been answered; the peer closes first, if it will."""
        if gone:
            self._close(connection)
            return
        self._leave(connection)
        connection.state = LINGERING
        self._want(connection, INTEREST)
        self._deadlines.linger(now)

    def _on_eof(self, connection: Connection, events: int) -> None:
        if self.tls and was_reset(connection.sock):
            self._fail(connection, errno.ECONNRESET, describe_errno(errno.ECONNRESET), reset=True)
        elif not connection.received:
            self._fail(connection, Fault.EOF, "")
        elif (answer := self._intake.receive_eof(connection)) is not None:
            self._finish(connection, answer, events & ~GONE)
        else:
            self._fail(connection, Fault.CUT, "")

    def _on_send_error(self, connection: Connection, error: OSError) -> None:
        """The request could not be written; an answer that came first (413, 408) still counts."""
        connection.state = SENDING
        try:
            data = connection.recv(CHUNK)
        except OSError as said:
            data = b""
            if read_cause(said)[0] is Fault.TLS:
                error = said  # TLS's own word on why the peer hung up
        if data and self._take_in(connection, data, 0):
            return
        cause, detail = read_cause(error, reset=was_reset(connection.sock))
        self._fail(connection, cause, detail, reset=not isinstance(cause, Fault))

    def _fail(self, connection: Connection, cause: Cause, detail: str, *, reset: bool = False) -> None:
        """The attempt ended without a whole answer."""
        now = self._clock()
        self.busy -= 1
        phase = connection.phase
        outcome = find_outcome(phase, cause)
        status = connection.reader.status if phase is Phase.BODY and connection.reader else 0
        attempt = connection.to_attempt(phase, outcome, now, status=status, detail=detail)
        self._close(connection, closer_of(cause), reset=reset)
        self._listener.on_end(attempt)

    def _close(self, connection: Connection, closed_by: ClosedBy | None = None, *, reset: bool = False) -> None:
        """Close it, and record it when its lane keeps connections or its only attempt failed."""
        del self.table[connection.fd]
        if connection.state != LINGERING:
            self._leave(connection)
        connection.state = CLOSED
        if connection.opened and closed_by is not None:
            self._listener.on_closed(connection.to_fact(closed_by, self._clock(), reset=reset))
        # The kernel takes a closed descriptor out of the epoll set by itself.
        self._close_socket(connection.sock)
        self._intake.end(connection)

    def _leave(self, connection: Connection) -> None:
        """Its place in the lane is free."""
        connection.lane.open -= 1
        connection.lane.free_slot(connection.slot)

    # Time, and the end

    @property
    def next_check(self) -> Instant:
        """The instant at which `expire_due` next has something to look at."""
        return self._deadlines.next_check

    def expire_due(self) -> None:
        """End what is past its deadline."""
        now = self._clock()
        if now < self._deadlines.next_check:
            return
        for connection in self._deadlines.find(self.table.values(), now):
            if connection.state == LINGERING:
                self._close(connection)
            else:
                self._fail(connection, Fault.DEADLINE, "")

    def close(self) -> None:
        """End everything: what is under way is abandoned."""
        for connection in list(self.table.values()):
            if connection.is_busy:
                self._fail(connection, Fault.END, "")
            elif connection.state == LINGERING:
                self._close(connection)
            else:
                self._close(connection, ClosedBy.US_END)
        self.poller.close()
