"""The load: arrivals released on time, each on a lane's connection, each accounted for exactly once.

One trio task owns an epoll set of its own, sleeps until trio says that set is readable, and drains it in batches. A
timerfd in the same set stands for the timetable. Each turn:

    1. every readiness event the kernel has is handled, so that a close which has already arrived is seen;
       attempts past their deadline end
    2. probes for reused connections that just failed are sent
    3. arrivals that wait for a connection, then those that are due, are released, a few at a time; more than a few
       go round again, so that step 1 always comes just before a write
    4. intervals and the health sample, when their time has come

Scheduled = ok + failed + not sent, per lane, at every end of a run: returned, abandoned or cancelled.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from rollcheck import __version__
from rollcheck.errors import UsageError
from rollcheck.facts.attempts import Attempt, ConnectionUse, Lane, Outcome, Phase, Stage
from rollcheck.facts.clock import MILLISECOND, SECOND, Instant
from rollcheck.facts.connections import Connection as ConnectionFact
from rollcheck.facts.document import Fact
from rollcheck.load.connection import Connection
from rollcheck.load.health import HealthMeter
from rollcheck.load.lanes import FRESH_LIMIT, Arrival, LaneState
from rollcheck.load.outcomes import Cause, Fault, find_outcome
from rollcheck.load.pacer import plan_constant
from rollcheck.load.plan import LoadPlan
from rollcheck.load.reactor import NEVER, Answer, Reactor, use_of
from rollcheck.load.recorder import LaneBook, LoadRecorder, is_network_failure
from rollcheck.load.resolver import Resolver
from rollcheck.load.schedule import Timetable, plan_deal
from rollcheck.load.timer import make_timer
from rollcheck.load.wire import build_request

RELEASE_BATCH = 16
"""Arrivals released between two looks at the sockets."""
YIELD_NS = MILLISECOND
"""How long a busy loop runs before trio's other tasks get their turn."""
HEARTBEAT_NS = 100 * MILLISECOND
"""The loop comes round at least this often, so that a stall always shows."""
SETTLE_NS = MILLISECOND
"""The next arrival must be at least this far away for a closed interval to be written at leisure."""


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
        p50_us, p99_us: response time over the last interval, microseconds; 0 when nothing ended OK in it.
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


class Engine:
    """Puts the load of `plan` on its target and hands every fact to `sink`, which must not block.

    Attributes:
        probes: fresh probes sent after failures of reused connections.

    Raises:
        UsageError: the plan asks for what cannot be (no lane with a share, an unreadable CA file, no epoll here).
    """

    def __init__(self, plan: LoadPlan, sink: Callable[[Fact], None], *, stage: Stage = Stage.BASELINE) -> None:
        self.plan = plan
        self.probes = 0
        self._clock = time.monotonic_ns
        self._stage = self._stage_before = stage
        self._stage_at: Instant = 0
        now = self._clock()
        lanes = [lane for lane in plan.lanes if lane.share > 0]
        self._timetable = Timetable(plan_constant(plan.qps), plan_deal([lane.share for lane in lanes]))
        self._recorder = LoadRecorder([Lane(lane.lane) for lane in lanes], sink, keep=plan.keep, stage=stage, now=now)
        self._lanes = [self._make_lane(Lane(lane.lane), lane.connections) for lane in lanes]
        self._probe_lane = LaneState(
            Lane.PROBE, limit=FRESH_LIMIT, request=self._request(close=True), book=LaneBook(Lane.PROBE)
        )
        self._due_probes: list[Arrival] = []
        self._reactor = _make_reactor(plan, self)
        self._timer = make_timer()
        if self._timer is not None:
            self._reactor.epoll.register(self._timer.fd, 1)
        self._sleep_scope: trio.CancelScope | None = None
        self._resolver = Resolver(plan.target.connect_host, plan.target.port, self._wake)
        self._timeout_ns = int(plan.timeout_s * SECOND)
        self._start = self._due = self._next_cut = self._next_sample = self._next_tick = now
        self._until: Instant = NEVER
        self._index = 0
        self._health = HealthMeter(now)
        self._abandoned = self._started = False

    def _make_lane(self, name: Lane, connections: int) -> LaneState:
        fresh = name is not Lane.REUSED
        return LaneState(
            name,
            limit=connections or FRESH_LIMIT,
            request=self._request(close=fresh),
            book=self._recorder.books[name],
        )

    def _request(self, *, close: bool) -> bytes:
        plan = self.plan
        agent = f"rollcheck/{__version__}"
        return build_request(plan.target, plan.method, plan.headers, plan.body, close=close, agent=agent)

    # What the run calls

    # A KeyboardInterrupt raised between two counters would lose an attempt; trio raises it elsewhere instead.
    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Put the load on; the first arrival is due at once.

        Returns after `stop`, once everything under way has ended, or soon after `abandon`. When cancelled, everything
        under way is recorded as abandoned.
        """
        assert not self._started, "an engine runs once"
        self._started = True
        try:
            with _quiet_collector():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._resolver.run, self._clock)
                    await self._loop()
                    nursery.cancel_scope.cancel()
        finally:
            self._end()

    def enter(self, stage: Stage) -> None:
        """Arrivals that are due from now on belong to `stage`; cuts the interval."""
        now = self._clock()
        self._stage_before, self._stage, self._stage_at = self._stage, stage, now
        self._recorder.enter(stage, now)

    def cut(self) -> None:
        """End the interval here; cuts within 10 ms of each other are one."""
        self._recorder.cut(self._clock())

    def stop(self) -> None:
        """Release no arrival that is due after now; what is under way goes on to its end."""
        self._until = min(self._until, self._clock())
        self._wake()

    def abandon(self) -> None:
        """End at once: what is under way becomes abandoned."""
        self._abandoned = True
        self.stop()

    @property
    def scheduled(self) -> dict[str, int]:
        """Arrivals released so far, by lane."""
        return {lane.name.value: lane.scheduled for lane in self._lanes}

    def progress(self) -> Progress:
        """How it stands now."""
        books = self._recorder.books.values()
        scheduled = sum(lane.scheduled for lane in self._lanes)
        ok = self._recorder.count_ok()
        failed, not_sent = sum(book.failed_total for book in books), sum(book.not_sent_total for book in books)
        backlog = self._backlog()
        return Progress(
            scheduled=scheduled,
            ok=ok,
            failed=failed,
            not_sent=not_sent,
            in_flight=scheduled - ok - failed - not_sent - backlog,
            backlog=backlog,
            by_outcome=dict(self._recorder.by_outcome),
            last_failures=tuple(self._recorder.last_failures),
            p50_us=self._recorder.latest.percentile(50),
            p99_us=self._recorder.latest.percentile(99),
        )

    # The loop

    async def _loop(self) -> None:
        now = self._clock()
        self._health = HealthMeter(now)
        self._recorder.begin(now)
        self._start = self._due = now
        self._next_cut = now + int(self.plan.interval_s * SECOND)
        self._next_sample = now + SECOND
        expected = yielded = now
        while not self._abandoned:
            self._health.note_stall(self._clock() - expected)
            seen = self._handle_events()
            self._reactor.expire_due()
            if self._due_probes:
                self._send_probes()
            more = self._release()
            now = self._clock()
            if now >= self._next_tick:
                self._tick(now)
            if self._until < NEVER and self._is_over():
                return
            busy = more or seen or bool(self._due_probes)
            if busy and now - yielded < YIELD_NS:
                expected = now
            elif self._settled(now) or busy:
                expected = now
                await trio.lowlevel.checkpoint()
                yielded = self._clock()
            else:
                expected = await self._sleep(now)
                yielded = self._clock()

    def _handle_events(self) -> bool:
        """Handle everything that the kernel has to report; False when that was nothing, or the timer alone."""
        events = self._reactor.epoll.poll(0, max(64, self._reactor.connections + 8))
        timer_fd = -1 if self._timer is None else self._timer.fd
        handle = self._reactor.handle
        seen = False
        for fd, event in events:
            if fd == timer_fd:
                assert self._timer is not None
                self._timer.clear()
            else:
                seen = True
                handle(fd, event)
        return seen

    def _settled(self, now: Instant) -> bool:
        """Whether the quiet until the next arrival was used to write a closed interval.

        Under a load that leaves no such quiet, memory matters more than the lag of a few arrivals.
        """
        quiet = self._due - now > SETTLE_NS
        return (quiet or self._recorder.overdue(now)) and self._recorder.settle_one()

    async def _sleep(self, now: Instant) -> Instant:
        """Wait for a socket or for the next thing on the timetable; gives back when the loop should have come round."""
        at = min(self._due, self._next_tick, self._reactor.next_check, now + HEARTBEAT_NS)
        for lane in self._lanes:
            if lane.waiting:
                at = min(at, lane.waiting[0][3] + self._timeout_ns)
        if self._timer is not None:
            self._timer.set(at)
            await trio.lowlevel.wait_readable(self._reactor.epoll.fileno())
        else:
            with trio.move_on_after(max(at - now, 0) / SECOND) as self._sleep_scope:
                await trio.lowlevel.wait_readable(self._reactor.epoll.fileno())
            self._sleep_scope = None
        return min(at, self._clock())

    def _wake(self) -> None:
        """Make the loop come round at once."""
        if self._timer is not None:
            self._timer.set(1)
        elif self._sleep_scope is not None:
            self._sleep_scope.cancel()

    def _is_over(self) -> bool:
        quiet = self._due == NEVER and not self._reactor.busy and not self._due_probes
        return quiet and not any(lane.waiting for lane in self._lanes)

    # Arrivals

    def _release(self) -> bool:
        """Start what waits and what is due, a few; True when more could start at once."""
        for lane in self._lanes:
            if lane.waiting:
                self._serve(lane)
        for _ in range(RELEASE_BATCH):
            if self._due >= self._until:
                self._due = NEVER
                return False
            now = self._clock()
            if now < self._due:
                return False
            self._release_one(now)
        return self._clock() >= self._due

    def _release_one(self, now: Instant) -> None:
        timetable = self._timetable
        seq, intended = timetable.seq(self._index), self._due
        lane = self._lanes[timetable.lane(seq)]
        stage = self._stage if intended >= self._stage_at else self._stage_before
        self._health.lags.append(now - intended)
        lane.scheduled += 1
        self._index += 1
        self._due = self._start + timetable.offset_ns(timetable.seq(self._index))
        arrival = (seq, stage, intended, now)
        if lane.waiting or not self._take_up(lane, arrival, now):
            lane.waiting.append(arrival)

    def _serve(self, lane: LaneState) -> None:
        """Give connections to the arrivals that waited longest; end those that waited too long."""
        waiting = lane.waiting
        for _ in range(RELEASE_BATCH):
            if not waiting:
                return
            now = self._clock()
            if waiting[0][3] + self._timeout_ns <= now:
                known = self._resolver.known
                cause, why = (Fault.NO_CONNECTION, "no free connection") if known else (Fault.DEADLINE, "lookup")
                self._end_unsent(lane, waiting.popleft(), cause, why)
            elif self._take_up(lane, waiting[0], now):
                waiting.popleft()
            else:
                return

    def _take_up(self, lane: LaneState, arrival: Arrival, now: Instant) -> bool:
        """Start the arrival on a connection of its lane; False when it must wait for one."""
        if lane.may_open():
            address = self._resolver.pick(now)
            if address is not None:
                refusal = self._reactor.open(lane, arrival, address)
                if refusal is not None:
                    self._end_unsent(lane, arrival, *refusal)
                else:
                    self._health.waits.append(now - arrival[3])
                return True
            if self._resolver.known:
                self._end_unsent(lane, arrival, Fault.LOOKUP, self._resolver.failure)
                return True
        connection = lane.take_idle()
        if connection is None:
            return False
        self._reactor.send(connection, arrival)
        self._health.waits.append(connection.sent - arrival[3])
        return True

    def _end_unsent(self, lane: LaneState, arrival: Arrival, cause: Cause, detail: str) -> None:
        """The arrival ended before it had a connection."""
        resolving = not self._resolver.known or cause is Fault.LOOKUP
        phase = Phase.RESOLVE if resolving else Phase.CONNECT
        seq, stage, intended, released = arrival
        outcome = find_outcome(phase, cause)
        # Asking for an address is an act on the network too: what fails there is the target's, and was sent.
        sent = released if resolving and outcome is not Outcome.ABANDONED else None
        self.on_end(
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
            )
        )

    def _send_probes(self) -> None:
        """Follow each failure of a reused connection with a fresh one: that tells a dead connection from a dead
        service.
        """
        for arrival in self._due_probes:
            self.probes += 1
            address = self._resolver.pick(self._clock())
            if address is None:
                self._end_unsent(self._probe_lane, arrival, Fault.LOOKUP, self._resolver.failure)
                continue
            refusal = self._reactor.open(self._probe_lane, arrival, address)
            if refusal is not None:
                self._end_unsent(self._probe_lane, arrival, *refusal)
        self._due_probes.clear()

    # What the reactor reports

    def on_ok(self, connection: Connection, answer: Answer, now: Instant) -> None:
        """See `reactor.Listener`."""
        book = connection.lane.book
        book.add_ok(answer.status, connection.intended, connection.sent, now)
        if answer.pod:
            book.add_pod(answer.pod, use_of(connection), connection.sent, now)

    def on_end(self, attempt: Attempt) -> None:
        """See `reactor.Listener`."""
        if attempt.lane is Lane.PROBE:
            self._recorder.add_probe(attempt)
            return
        lost = attempt.use is ConnectionUse.REUSED and is_network_failure(attempt.outcome)
        if lost and self._recorder.has_room:
            now = self._clock()
            self._due_probes.append((attempt.seq, attempt.stage, now, now))
        self._recorder.add_failure(attempt)

    def on_closed(self, fact: ConnectionFact) -> None:
        """See `reactor.Listener`."""
        self._recorder.add_connection(fact)

    # Ticks and the end

    def _tick(self, now: Instant) -> None:
        if now >= self._next_cut:
            self._recorder.cut(now)
            interval = int(self.plan.interval_s * SECOND)
            self._next_cut += interval * (1 + (now - self._next_cut) // interval)
        if now >= self._next_sample:
            self._sample(now)
            self._next_sample = now + SECOND
        self._recorder.flush_large()
        self._next_tick = min(self._next_cut, self._next_sample, now + HEARTBEAT_NS)

    def _sample(self, now: Instant) -> None:
        self._recorder.add_health(
            self._health.sample(
                now,
                asked=self._timetable.count(min(now, self._until) - self._start),
                backlog=self._backlog(),
                in_flight=self._reactor.busy,
                connections=self._reactor.connections,
            )
        )

    def _backlog(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes)

    def _end(self) -> None:
        """Account for everything, and give everything back."""
        self._until = min(self._until, self._clock())
        self._reactor.close()
        self._due_probes.clear()
        for lane in self._lanes:
            while lane.waiting:
                self._end_unsent(lane, lane.waiting.popleft(), Fault.END, "")
        now = self._clock()
        self._sample(now)
        self._recorder.finish(now)
        if self._timer is not None:
            self._timer.close()


def _make_reactor(plan: LoadPlan, engine: Engine) -> Reactor:
    try:
        return Reactor(plan, engine, time.monotonic_ns)
    except AttributeError as e:
        raise UsageError("load needs epoll, which this system does not have; run rollcheck on Linux") from e


@contextmanager
def _quiet_collector() -> Iterator[None]:
    """Keep the garbage collector from walking everything that is alive while requests are timed."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
