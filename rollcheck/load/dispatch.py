"""Who sends what when: arrivals that are due, those that wait for a connection, connections that are free, probes.

The engine's loop calls `drain` with what the kernel reports and `release` after it; both return soon, and neither
waits for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rollcheck.facts.attempts import Attempt, Outcome, Phase, Stage
from rollcheck.facts.clock import MILLISECOND, SECOND, Instant
from rollcheck.load.arrivals import NEVER, Arrivals
from rollcheck.load.health import HealthMeter
from rollcheck.load.lanes import Arrival, LaneState
from rollcheck.load.laps import Laps
from rollcheck.load.outcomes import Cause, Fault, find_outcome
from rollcheck.load.plan import LoadPlan
from rollcheck.load.poller import PollSet, Ready
from rollcheck.load.reactor import Reactor
from rollcheck.load.resolver import Resolver
from rollcheck.load.spins import Spins
from rollcheck.load.sprint import RELEASE_BATCH, Sprint
from rollcheck.load.timer import Clock
from rollcheck.load.together import Together
from rollcheck.load.turnover import Turnover

WARM_AT_ONCE = 256
"""Requests of the warm-up under way at once."""
SPRINT_NS = MILLISECOND
"""How long the shortest way may go round before the loop looks after everything else."""
LAP_NS = 4 * MILLISECOND
"""The same in a closed loop, where nothing is due."""
LOOKUP_PAUSE_NS = 100 * MILLISECOND
"""A closed loop whose name does not resolve tries again after this."""


class Dispatch:
    """Gives arrivals their connections.

    Attributes:
        stage: to which arrivals that are due now belong.
        due_probes: probes to be sent at the next release; `probes` counts those that were.
        health: is told of lags and waits.
    """

    def __init__(
        self,
        plan: LoadPlan,
        *,
        arrivals: Arrivals,
        lanes: Sequence[LaneState],
        probes: LaneState,
        reactor: Reactor,
        sprint: Sprint,
        resolver: Resolver,
        health: HealthMeter,
        on_end: Callable[[Attempt], None],
        clock: Clock,
    ) -> None:
        self._plan = plan
        self._arrivals, self._lanes, self._probe_lane = arrivals, lanes, probes
        self._reactor, self._sprint, self._resolver = reactor, sprint, resolver
        self.health = health
        self._on_end, self._clock = on_end, clock
        self._timeout_ns = int(plan.timeout_s * SECOND)
        self.due_probes: list[Arrival] = []
        self._cold: list[tuple[LaneState, int]] = []
        self._warmed = 0
        self.probes = 0
        self.stage = self._stage_before = Stage.BASELINE
        self._stage_at: Instant = 0
        self._pause_until: Instant = 0
        self._running = False
        # One lane, no probe among its connections, no pod in its answers: then nothing needs to be asked of each.
        alone = sprint.possible and len(lanes) == 1 and not plan.probe and not plan.pod_header
        self._all_fresh = alone and lanes[0].fresh
        quick = self._all_fresh and not (reactor.tls or plan.half_close or plan.target.unix_socket)
        self._turnover = Turnover(reactor, resolver, clock, possible=quick)
        self._may_sprint = alone and not lanes[0].fresh and plan.catch_up
        plain = self._may_sprint and not reactor.tls and not isinstance(reactor.poller, PollSet)
        self._together = Together(reactor, clock, lanes[0], possible=plain)
        self._laps = Laps(reactor, clock, lanes[0], self._together)
        self._spins = Spins(reactor, clock, lanes[0], sprint, self._together)

    def enter(self, stage: Stage, now: Instant) -> None:
        """Arrivals that are due from now on belong to `stage`."""
        self._stage_before, self.stage, self._stage_at = self.stage, stage, now
        self._running = stage is not Stage.PREFLIGHT

    def queue_warmup(self) -> None:
        """Ask for one request on each connection that a lane may hold for good."""
        self._cold = [(lane, lane.limit) for lane in self._lanes]

    def cool(self) -> None:
        """Begin no more of the warm-up."""
        self._cold.clear()

    def _warm(self) -> None:
        """Begin some of the warm-up's requests: not so many at once that a server's queue of connections overflows."""
        while self._cold and self._reactor.busy + self.backlog < WARM_AT_ONCE:
            lane, left = self._cold.pop()
            if left > 1:
                self._cold.append((lane, left - 1))
            now = self._clock()
            self._warmed += 1
            lane.waiting.append((-self._warmed, Stage.PREFLIGHT, now, now))

    @property
    def backlog(self) -> int:
        """Arrivals that wait for a connection."""
        return sum(len(lane.waiting) for lane in self._lanes)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and nothing waits."""
        return not (self._cold or self._reactor.busy or self.due_probes or any(lane.waiting for lane in self._lanes))

    def next_expiry(self) -> Instant:
        """When the first arrival that waits will have waited too long."""
        at = NEVER
        for lane in self._lanes:
            if lane.waiting:
                at = min(at, lane.waiting[0][3] + self._timeout_ns)
        return at

    def close(self) -> None:
        """End what waits."""
        self._together.close()
        self.due_probes.clear()
        self.cool()
        for lane in self._lanes:
            while lane.waiting:
                self._end_unsent(lane, lane.waiting.popleft(), Fault.END, "")

    # Events

    def drain(self, events: Ready) -> None:
        """Handle what the kernel reports."""
        arrivals = self._arrivals
        if not self._running:
            self._sprint.handle(events)
        elif self._all_fresh:
            self._turnover.drain(events, self._lanes[0])
        elif not self._plan.closed_loop:
            (self._spins if self._may_sprint else self._sprint).drain(events)
        elif (
            self._may_sprint
            and arrivals.end - arrivals.seq > len(events) * arrivals.step
            and self._clock() < arrivals.until
        ):
            arrivals.seq = self._laps.drain(events, arrivals.seq, arrivals.step)
        else:
            self._sprint.handle(events)

    # Arrivals

    def release(self) -> bool:
        """Start what waits and what is due, a few; True when more could start at once."""
        if self.due_probes:
            self._send_probes()
        if self._running and self._may_sprint and not self._plan.closed_loop and not self._lanes[0].may_open():
            return self._sprint_due()
        if self._cold:
            self._warm()
        for lane in self._lanes:
            if lane.waiting:
                self._serve(lane)
        if not self._running:
            return bool(self._cold) and self._reactor.busy < WARM_AT_ONCE
        return self._refill() if self._plan.closed_loop else self._release_due()

    def _sprint_due(self) -> bool:
        lane, arrivals = self._lanes[0], self._arrivals
        end = min(self._clock() + SPRINT_NS, self._reactor.next_check)
        self._spins.spin(arrivals, self.stage, self.health, end)
        if lane.waiting:
            self._expire_waiting(lane)
        return self._clock() >= arrivals.due

    def _release_due(self) -> bool:
        arrivals, clock = self._arrivals, self._clock
        lags = self.health.lags
        for _ in range(RELEASE_BATCH):
            now = clock()
            due = arrivals.due
            if now < due:
                return False
            seq = arrivals.seq
            lane = self._lanes[arrivals.lane()]
            arrivals.advance()
            if arrivals.due <= now and not self._plan.catch_up:
                self._skip(lane)
                continue
            lags.append(now - due)
            lane.scheduled += 1
            stage = self.stage if due >= self._stage_at else self._stage_before
            arrival = (seq, stage, due, now)
            if not lane.waiting and self._sprint.send(lane, arrival, now):
                self.health.unwaited += 1
            elif lane.waiting or not self._take_up(lane, arrival, now):
                lane.waiting.append(arrival)
        return clock() >= arrivals.due

    def _skip(self, lane: LaneState) -> None:
        """Leave out an arrival whose time had passed before we came to it."""
        lane.scheduled += 1
        lane.book.add_skipped(1)
        self.health.skipped += 1

    def _refill(self) -> bool:
        """In a closed loop: give every connection that is free its next request, and every free place a connection."""
        arrivals = self._arrivals
        if self._may_sprint and not self._lanes[0].idle and not self._lanes[0].may_open():
            end = min(self._clock() + LAP_NS, self._reactor.next_check, arrivals.until)
            self._laps.lap(arrivals, end)
            return False
        now = self._clock()
        if self._lanes[0].spare and self._resolver.known and now >= self._pause_until:
            if self._turnover.reopen(self._lanes[0], arrivals, self.stage):
                return True
            now = self._clock()
        for lane in self._lanes:
            for _ in range(RELEASE_BATCH):
                if arrivals.seq >= arrivals.end or now >= arrivals.until:
                    arrivals.seq = max(arrivals.seq, arrivals.end) if now >= arrivals.until else arrivals.seq
                    return False
                now = self._clock()
                if not self._resolver.known or now < self._pause_until:
                    return False
                if not self._take_up(lane, (arrivals.seq, self.stage, now, now), now):
                    break
                lane.scheduled += 1
                arrivals.seq += arrivals.step
            else:
                return True
        return False

    def _serve(self, lane: LaneState) -> None:
        """Give connections to the arrivals that waited longest; end those that waited too long."""
        self._expire_waiting(lane)
        waiting = lane.waiting
        for _ in range(RELEASE_BATCH):
            if not waiting or not self._take_up(lane, waiting[0], self._clock()):
                return
            waiting.popleft()

    def _expire_waiting(self, lane: LaneState) -> None:
        now, waiting = self._clock(), lane.waiting
        while waiting and waiting[0][3] + self._timeout_ns <= now:
            known = self._resolver.known
            cause, why = (Fault.NO_CONNECTION, "no free connection") if known else (Fault.DEADLINE, "lookup")
            self._end_unsent(lane, waiting.popleft(), cause, why)

    def _take_up(self, lane: LaneState, arrival: Arrival, now: Instant) -> bool:
        """Start the arrival on a connection of its lane; False when it must wait for one."""
        connection = None if lane.fills and lane.may_open() else lane.take_idle()
        if connection is None:
            if not lane.may_open():
                return False
            address = self._resolver.pick(now)
            if address is not None:
                refusal = self._reactor.open(lane, arrival, address)
                if refusal is not None:
                    self._end_unsent(lane, arrival, *refusal)
                else:
                    self._note_wait(now - arrival[3])
                return True
            if self._resolver.known:
                self._pause_until = now + LOOKUP_PAUSE_NS
                self._end_unsent(lane, arrival, Fault.LOOKUP, self._resolver.failure)
                return True
            connection = lane.take_idle()
            if connection is None:
                return False
        self._reactor.send(connection, arrival)
        self._note_wait(connection.sent - arrival[3])
        return True

    def _note_wait(self, wait_ns: int) -> None:
        if wait_ns < 1_000:
            self.health.unwaited += 1
        else:
            self.health.waits.append(wait_ns)

    def _end_unsent(self, lane: LaneState, arrival: Arrival, cause: Cause, detail: str) -> None:
        """The arrival ended before it had a connection."""
        resolving = not self._resolver.known or cause is Fault.LOOKUP
        phase = Phase.RESOLVE if resolving else Phase.CONNECT
        seq, stage, intended, released = arrival
        outcome = find_outcome(phase, cause)
        # Asking for an address is an act on the network too: what fails there is the target's, and was sent.
        sent = released if resolving and outcome is not Outcome.ABANDONED else None
        self._on_end(
            Attempt(
                seq=seq,
                lane=lane.name,
                stage=stage,
                phase=phase,
                outcome=outcome,
                intended_ns=intended,
                released_ns=released,
                sent_ns=sent,
                ended_ns=self._clock(),
                detail=detail,
                worker=lane.worker,
            )
        )

    def _send_probes(self) -> None:
        """Follow each failure of a reused connection with a fresh one: that tells a dead connection from a dead
        service.
        """
        for arrival in self.due_probes:
            self.probes += 1
            address = self._resolver.pick(self._clock())
            if address is None:
                self._end_unsent(self._probe_lane, arrival, Fault.LOOKUP, self._resolver.failure)
                continue
            refusal = self._reactor.open(self._probe_lane, arrival, address)
            if refusal is not None:
                self._end_unsent(self._probe_lane, arrival, *refusal)
        self.due_probes.clear()
