"""The closed loop of one lane, at full speed: who is answered sends again at once.

As in `sprint`, what is usual is done here and what is not leaves for the reactor. Where many answers wait, they are
read together and the next requests are sent together (see `together`); one instant then stands for when all of them
were read and for when all of them were sent, so a request's time in the kernel's own queue counts as the server's, as
it does wherever a generator has more to read than it can read at once.
"""

from __future__ import annotations

import time
from struct import Struct

from rollcheck.facts.attempts import Outcome
from rollcheck.facts.clock import Instant
from rollcheck.load.answers import Answer
from rollcheck.load.arrivals import Arrivals
from rollcheck.load.connection import AWAITING
from rollcheck.load.lanes import LaneState
from rollcheck.load.poller import READABLE, Ready
from rollcheck.load.reactor import Reactor
from rollcheck.load.ring import ENTRIES
from rollcheck.load.timer import Clock
from rollcheck.load.together import MANY, Pair, Together

LAP_EVENTS = 256
LAP_WAIT_S = 0.001
NAP_S = 20e-6
NAP_NS = 70_000
"""How long a nap takes: the kernel lets 50 µs pass on top of what it is asked for."""
NAP_ANSWERS = 2
"""That come in a nap, at least, or it is not worth one."""
_PACKERS = tuple(Struct(f"{number}q").pack for number in range(ENTRIES + 1))
"""Filling an array one by one takes three times as long as to fill it with bytes."""
_NOBODY = Answer(0, Outcome.OK, keep_alive=True)


class Laps:
    """Goes round a closed loop of one lane.

    Args:
        reactor: takes what is unusual.
        clock: tells the time.
        lane: the only one there is.
        together: reads and sends for many at once, where that is possible.
    """

    def __init__(self, reactor: Reactor, clock: Clock, lane: LaneState, together: Together) -> None:
        self._reactor, self._clock, self._lane = reactor, clock, lane
        self._together = together

    def lap(self, arrivals: Arrivals, end: Instant) -> None:
        """Go round until `end`, or until there is something else to do; waits for answers.

        A server that is busy all the time answers one after the other, and to fetch each answer at once would cost
        most. So the lap waits a moment where so many requests lie with the server that it cannot run out of them
        meanwhile: it is none the slower, and the answers are read together.
        """
        poll, clock, lane = self._reactor.poller.poll, self._clock, self._lane
        step = arrivals.step
        last = arrivals.end - LAP_EVENTS * step
        before = clock()
        while arrivals.seq < last and before < end:
            events = poll(LAP_WAIT_S, LAP_EVENTS)
            if not events:
                return
            arrivals.seq = self.drain(events, arrivals.seq, step)
            if lane.idle or lane.open < lane.limit:
                return
            now = clock()
            coming = len(events) * NAP_NS // (now - before)
            if coming >= NAP_ANSWERS and len(events) + 2 * coming <= lane.open:
                time.sleep(NAP_S)
            before = now

    def drain(self, events: Ready, seq: int, step: int) -> int:
        """Handle readiness.

        Args:
            events: no more of them than numbers are left.
            seq: number of the next request; `step` lies between two of this worker's.

        Returns:
            The number of the next request.
        """
        while len(events) >= MANY and (pair := self._together.pair()) is not None:
            seq = self._drain_together(events[:ENTRIES], seq, step, pair)
            events = events[ENTRIES:]
        return self._drain_apart(events, seq, step) if events else seq

    def _drain_apart(self, events: Ready, seq: int, step: int) -> int:
        """One connection after the other."""
        reactor, clock, table, lane = self._reactor, self._clock, self._reactor.table, self._lane
        readable, awaiting = READABLE, AWAITING
        book = lane.book
        add, known, request = book.services.append, book.quick, lane.request
        size, first, chunk = len(request), seq, book.chunk
        last, run = _NOBODY, 0
        same: bytes | None = None
        for fd, event in events:
            try:
                connection = table[fd]
            except KeyError:
                continue
            if event != readable or connection.state != awaiting:
                reactor.handle(fd, event)
                continue
            recv = connection.recv  # called as an attribute, Python 3.11 would look for a method first
            try:
                data = recv(chunk)
            except OSError as e:
                reactor.on_recv_error(connection, e, event)
                continue
            if data != same:  # a comparison is cheaper than a look into a dict, which has to hash them
                try:
                    answer = known[data]
                except KeyError:
                    last.hits += run
                    last, same, run = _NOBODY, None, 0  # what is known may be forgotten now
                    reactor.take_data(connection, data, event)
                    continue
                last.hits += run
                last, same, run = answer, data, 0
            now = clock()
            add(now - connection.sent)
            run += 1
            connection.requests += 1
            connection.seq = seq
            seq += step
            connection.sent = now
            send = connection.send
            try:
                sent = send(request)
            except OSError as e:
                reactor.on_write_error(connection, e)
                continue
            if sent != size:
                reactor.on_sent(connection, request, sent)
        last.hits += run
        lane.scheduled += (seq - first) // step
        return seq

    def _drain_together(self, events: Ready, seq: int, step: int, pair: Pair) -> int:
        """The same for many at once, `ENTRIES` at most."""
        lane, together = self._lane, self._together
        answered = connections, _ = together.read(events, pair)
        now = together.read_at
        took: list[int] = []
        add = took.append
        for connection in connections:
            add(now - connection.sent)
            connection.requests += 1
            connection.seq = seq
            connection.sent = now
            seq += step
        lane.book.services.frombytes(_PACKERS[len(took)](*took))
        lane.scheduled += len(took)
        together.send(answered, pair)
        return seq
