"""The timetable of one lane, at full speed: arrivals that are due leave on connections that are idle.

As in `sprint`, what is usual is done here and what is not leaves for the reactor. Mostly one arrival is due, or a few;
after a moment in which this process had no processor, or the server none, there are dozens, and dozens of answers:
those are sent and read together (see `together`), which makes up for the moment in half the time.
"""

from __future__ import annotations

from rollcheck.facts.attempts import Stage
from rollcheck.facts.clock import Instant
from rollcheck.load.arrivals import Arrivals
from rollcheck.load.connection import AWAITING, IDLE, Connection
from rollcheck.load.health import HealthMeter
from rollcheck.load.lanes import Arrival, LaneState
from rollcheck.load.poller import Ready
from rollcheck.load.reactor import Reactor
from rollcheck.load.ring import ENTRIES, pack_fds
from rollcheck.load.sprint import POLL_EVENTS, RELEASE_BATCH, SPIN_NS, Sprint
from rollcheck.load.timer import Clock
from rollcheck.load.together import Pair, Together

CATCH_UP = 16
"""Arrivals, or answers, at once that say that there is something to catch up with; fewer are quicker one by one."""
MOST = 48
"""Of both, between two looks at the sockets."""


class Spins:
    """Goes round the timetable of one lane whose pool is full.

    Args:
        reactor: takes what is unusual.
        clock: tells the time.
        lane: the only one there is.
        sprint: does one by one what is too few to be done together.
        together: reads and sends for many at once, where that is possible.
    """

    def __init__(self, reactor: Reactor, clock: Clock, lane: LaneState, sprint: Sprint, together: Together) -> None:
        self._reactor, self._clock, self._lane = reactor, clock, lane
        self._sprint, self._together = sprint, together

    def spin(self, arrivals: Arrivals, stage: Stage, health: HealthMeter, end: Instant) -> None:
        """Go round until `end`, or until the next arrival is far enough away for something else."""
        poll, clock = self._reactor.poller.poll, self._clock
        while True:
            self.release(arrivals, stage, health)
            now = clock()
            if now >= end or arrivals.due - now > SPIN_NS:
                return
            events = poll(0, POLL_EVENTS)
            if events:
                self.drain(events)

    def drain(self, events: Ready) -> None:
        """Handle readiness; connections that were answered are idle after it."""
        while len(events) >= CATCH_UP and (pair := self._together.pair()) is not None:
            self._drain_together(events[:ENTRIES], pair)
            events = events[ENTRIES:]
        if events:
            self._sprint.drain(events)

    def _drain_together(self, events: Ready, pair: Pair) -> None:
        connections, _ = self._together.read(events, pair)
        now, book = self._together.read_at, self._lane.book
        services, responses = book.services.append, book.responses.append
        for connection in connections:
            services(now - connection.sent)
            responses(now - connection.intended)
            connection.requests += 1
            connection.ended = now
            connection.state = IDLE
        self._lane.idle.extend(connections)
        self._reactor.busy -= len(connections)

    def release(self, arrivals: Arrivals, stage: Stage, health: HealthMeter) -> None:
        """Send what waits and what is due, some of each; what finds no idle connection joins those that wait."""
        if self._lane.waiting:
            self._serve(health)
        now = self._clock()
        due: list[tuple[int, Instant]] = []
        for _ in range(MOST):
            seq = arrivals.seq
            at = arrivals.take(now)
            if at < 0:
                break
            due.append((seq, at))
        if not due:
            return
        self._lane.scheduled += len(due)
        if CATCH_UP <= len(due) <= len(self._lane.idle) and not self._lane.waiting:
            pair = self._together.pair()
            if pair is not None:
                self._release_together(due, stage, health, pair)
                return
        self._release_apart(due, stage, health)

    def _release_apart(self, due: list[tuple[int, Instant]], stage: Stage, health: HealthMeter) -> None:
        """One after the other."""
        clock, lane, send = self._clock, self._lane, self._sprint.send_on
        idle, waiting, lags = lane.idle, lane.waiting, health.lags
        for seq, at in due:
            now = clock()
            lags.append(now - at)
            arrival = (seq, stage, at, now)
            if waiting or not idle or not send(idle.popleft(), arrival, now):
                waiting.append(arrival)
            else:
                health.unwaited += 1

    def _release_together(self, due: list[tuple[int, Instant]], stage: Stage, health: HealthMeter, pair: Pair) -> None:
        """All at once; how late they left is told by when the last of them had left."""
        now = self._clock()
        left = self._send([(seq, stage, at, now) for seq, at in due], pair)
        after = self._clock()
        health.lags.extend([after - at for _, at in due])
        health.unwaited += len(due) - len(left)
        self._lane.waiting.extendleft(reversed(left))

    def _serve(self, health: HealthMeter) -> None:
        """Send those that have waited longest."""
        clock, idle, waiting = self._clock, self._lane.idle, self._lane.waiting
        number = min(len(waiting), len(idle), MOST)
        if number >= CATCH_UP and (pair := self._together.pair()) is not None:
            served = [waiting.popleft() for _ in range(number)]
            left = self._send(served, pair)
            now = clock()
            health.waits.extend([now - arrival[3] for arrival in served[: number - len(left)]])
            waiting.extendleft(reversed(left))
            return
        for _ in range(min(number, RELEASE_BATCH)):
            if not idle:
                return
            arrival = waiting.popleft()
            now = clock()
            if self._sprint.send_on(idle.popleft(), arrival, now):
                health.waits.append(now - arrival[3])
            else:
                waiting.appendleft(arrival)

    def _send(self, arrivals: list[Arrival], pair: Pair) -> list[Arrival]:
        """Send them on the connections that have been idle longest; those that found none."""
        idle = self._lane.idle
        taken: list[Connection] = []
        while idle and len(taken) < len(arrivals):
            connection = idle.popleft()
            if connection.state == IDLE:  # else it was closed while it stood in the queue
                taken.append(connection)
        now = self._clock()
        for connection, arrival in zip(taken, arrivals, strict=False):
            connection.seq, connection.stage, connection.intended, connection.released = arrival
            connection.sent = now
            connection.state = AWAITING
        self._reactor.busy += len(taken)
        self._together.send((taken, pack_fds([connection.fd for connection in taken])), pair)
        return arrivals[len(taken) :]
