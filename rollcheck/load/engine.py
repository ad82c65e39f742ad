"""The load: arrivals released on time, each on a lane's connection, each accounted for exactly once.

One trio task owns an epoll set of its own, sleeps until that set is readable, and drains it in batches. A timerfd in
the same set stands for the timetable. Each turn:

    1. every readiness event the kernel has is handled, so that a close which has already arrived is seen;
       attempts past their deadline end
    2. probes for reused connections that just failed are sent
    3. arrivals that wait for a connection, then those that are due, are released, a few at a time; more than a few
       go round again, so that step 1 always comes just before a write
    4. intervals and the health sample, when their time has come

Under a load that leaves less than a millisecond or two between arrivals the task waits in epoll itself, and gives
trio's other tasks their turn every few milliseconds: a wait through trio costs as much as several requests.

Scheduled = ok + failed + not sent, per lane, at every end of a run: returned, abandoned or cancelled.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from rollcheck import __version__
from rollcheck.facts.actions import Note
from rollcheck.facts.attempts import Attempt, ConnectionUse, Lane, Stage
from rollcheck.facts.clock import MILLISECOND, SECOND, Instant
from rollcheck.facts.connections import Connection as ConnectionFact
from rollcheck.load.answers import Answer
from rollcheck.load.arrivals import NEVER, Arrivals
from rollcheck.load.book import LaneBook
from rollcheck.load.cadence import Cadence
from rollcheck.load.collector import quiet_collector
from rollcheck.load.connection import Connection
from rollcheck.load.dispatch import Dispatch
from rollcheck.load.health import HealthMeter
from rollcheck.load.lanes import FRESH_LIMIT, LaneState
from rollcheck.load.plan import LoadPlan
from rollcheck.load.poller import PollSet
from rollcheck.load.progress import Progress
from rollcheck.load.reactor import Reactor
from rollcheck.load.recorder import LoadRecorder, abort_reason, is_network_failure
from rollcheck.load.requests import request_of
from rollcheck.load.resolver import Resolver
from rollcheck.load.sprint import POLL_EVENTS, SPIN_NS, Sprint
from rollcheck.load.timer import make_timer

YIELD_NS = MILLISECOND
"""How long a busy loop runs before trio's other tasks get their turn."""
HOT_YIELD_NS = 4 * MILLISECOND
HOT_QPS = 500
"""From this rate on the loop waits in epoll itself."""
HOT_WAIT_NS = MILLISECOND
ALONE_WAIT_NS = 5 * MILLISECOND
"""The same in a process that does nothing else: trio's other tasks there only carry facts and orders."""
HEARTBEAT_NS = 100 * MILLISECOND
"""The loop comes round at least this often, so that a stall always shows."""
SETTLE_NS = MILLISECOND
"""The next arrival must be at least this far away for a closed interval to be written at leisure."""

Start = Callable[[], Awaitable[Instant]]


class Engine:
    """Puts the load of `plan` on its target and hands every fact to `sink`, which must not block.

    Args:
        plan: what to do.
        sink: takes every fact; with `raw`, what `intervals.Settler.take` takes instead of those with histograms.
        stage: of the first arrivals.
        worker: takes the arrivals worker, worker + workers, … of one timetable; `workers` is how many there are.
        raw: leave histograms to another process, so that this one imports no numpy.
        portable: do without epoll and timerfd, as on systems that have none.

    Attributes:
        aborted: why the load ended early (its warm-up failed, `abort_on` was met), empty when it did not.

    Raises:
        UsageError: the plan asks for what cannot be (no lane with a share, an unreadable CA file).
    """

    def __init__(
        self,
        plan: LoadPlan,
        sink: Callable[[Any], None],
        *,
        stage: Stage = Stage.BASELINE,
        worker: int = 0,
        workers: int = 1,
        raw: bool = False,
        portable: bool = False,
    ) -> None:
        self.plan = plan
        self.aborted = ""
        self._clock = time.monotonic_ns
        self._stage = stage
        self._worker = worker
        now = self._clock()
        lanes = [lane for lane in plan.lanes if lane.share > 0]
        names = [Lane(lane.lane) for lane in lanes]
        self._arrivals = Arrivals(plan, [lane.share for lane in lanes], worker=worker, workers=workers)
        self._recorder = LoadRecorder(names, sink, keep=plan.keep, stage=stage, now=now, worker=worker, raw=raw)
        agent = f"rollcheck/{__version__}"
        self._lanes = _make_lanes(plan, self._recorder, agent, worker=worker, workers=workers)
        probes = LaneState(
            Lane.PROBE,
            limit=FRESH_LIMIT,
            request=request_of(plan, agent, close=True),
            book=LaneBook(Lane.PROBE),
            worker=worker,
        )
        self._reactor = Reactor(plan, self, self._clock, worker=worker, workers=workers, portable=portable)
        self._timer = None if isinstance(self._reactor.poller, PollSet) else make_timer()
        if self._timer is not None:
            self._reactor.poller.register(self._timer.fd, 1)
        self._resolver = Resolver.of(plan, self._wake, worker=worker)
        plain = not (plan.access_log or plan.fill_uuid or plan.reuse or plan.reconnect_every_s)
        self._sprint = Sprint(self._reactor, self._clock, possible=plain)
        self._health = HealthMeter(now, worker=worker)
        self._dispatch = Dispatch(
            plan,
            arrivals=self._arrivals,
            lanes=self._lanes,
            probes=probes,
            reactor=self._reactor,
            sprint=self._sprint,
            resolver=self._resolver,
            health=self._health,
            on_end=self.on_end,
            clock=self._clock,
        )
        self._dispatch.enter(stage, now)
        self._hot = raw or plan.closed_loop or _top_rate(plan) / workers >= HOT_QPS
        self._wait_ns = ALONE_WAIT_NS if raw else HOT_WAIT_NS
        self._sleep_scope: trio.CancelScope | None = None
        self._cadence = Cadence(plan.interval_s, now)
        self._next_tick = now
        self._abandoned = self._started = self._stopped = False

    # What the run calls

    # A KeyboardInterrupt raised between two counters would lose an attempt; trio raises it elsewhere instead.
    @trio.lowlevel.enable_ki_protection
    async def run(self, start: Start | None = None) -> None:
        """Put the load on; the first arrival is due at once, or, after the warm-up, when `start` says.

        Returns once everything under way has ended, after the timetable's end or `stop`; or soon after `abandon`.
        When cancelled, everything under way is recorded as abandoned.
        """
        assert not self._started, "an engine runs once"
        self._started = True
        with quiet_collector():
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._resolver.run, self._clock)
                    self._begin_clocks()
                    self._note_portable()
                    if self.plan.warmup and not self._stopped:
                        await self._warm_up()
                    if not self.aborted and not self._stopped:
                        await self._put_on(start)
                    nursery.cancel_scope.cancel()
            finally:
                self._end()

    def enter(self, stage: Stage) -> None:
        """Arrivals that are due from now on belong to `stage`; cuts the interval."""
        now = self._clock()
        self._dispatch.enter(stage, now)
        self._recorder.enter(stage, now)

    def cut(self) -> None:
        """End the interval here; cuts within 10 ms of each other are one."""
        self._recorder.cut(self._clock())

    def stop(self) -> None:
        """Release no arrival that is due after now; what is under way goes on to its end."""
        self._stopped = True
        self._dispatch.cool()
        self._arrivals.stop(self._clock())
        self._wake()

    def abandon(self) -> None:
        """End at once: what is under way becomes abandoned."""
        self._abandoned = True
        self.stop()

    @property
    def probes(self) -> int:
        """Fresh probes sent after failures of reused connections."""
        return self._dispatch.probes

    @property
    def scheduled(self) -> dict[str, int]:
        """Arrivals released so far, by lane."""
        return {lane.name.value: lane.scheduled for lane in self._lanes}

    def progress(self) -> Progress:
        """How it stands now."""
        scheduled = sum(lane.scheduled for lane in self._lanes)
        return self._recorder.progress(scheduled=scheduled, backlog=self._dispatch.backlog)

    # The parts of a run

    def _begin_clocks(self) -> None:
        now = self._clock()
        self._health = self._dispatch.health = HealthMeter(now, worker=self._worker)
        self._recorder.begin(now)
        self._cadence.begin(now)
        self._next_tick = now

    def _note_portable(self) -> None:
        if self._timer is None:
            text = "this system has no epoll or no timerfd: the load engine takes its portable way, which is slower"
            self._recorder.sink(Note(at_ns=self._clock(), topic="generator", text=text))

    async def _warm_up(self) -> None:
        """One request on every connection, apart from the load proper."""
        stage = self._stage
        self.enter(Stage.PREFLIGHT)
        self._dispatch.queue_warmup()
        await self._loop(lambda: self._dispatch.idle)
        if not self.plan.allow_initial_errors and not self._abandoned:
            self.aborted = self._recorder.warmup_failure()
        self.enter(stage)
        self._recorder.forget()
        for connection in self._reactor.table.values():
            connection.stage = stage
        for lane in self._lanes:
            lane.scheduled = 0

    async def _put_on(self, start: Start | None) -> None:
        """The load proper, to its end."""
        at = self._clock() if start is None else await start()
        self._arrivals.begin(at)
        self._begin_clocks()
        early_s = (at - self._clock() - HOT_WAIT_NS) / SECOND
        if early_s > 0:
            await trio.sleep(early_s)
        await self._loop(lambda: self._arrivals.over and self._dispatch.idle)

    async def _loop(self, over: Callable[[], bool]) -> None:
        expected = yielded = self._clock()
        yield_ns = HOT_YIELD_NS if self._hot else YIELD_NS
        wait = 0.0
        while not self._abandoned:
            seen = self._handle_events(wait, expected)
            self._reactor.expire_due()
            more = self._dispatch.release()
            now = self._clock()
            if now >= self._next_tick:
                self._tick(now)
            if self._arrivals.due == NEVER and over():
                return
            busy = more or seen or bool(self._dispatch.due_probes)
            wait = 0.0
            if now - yielded >= yield_ns and (busy or self._hot):
                self._settled(now)
                expected = now
                await trio.lowlevel.checkpoint()
                yielded = self._clock()
            elif busy:
                expected = now
            elif self._settled(now):
                expected = self._clock()
            elif self._hot:
                expected, wait = self._prepare_wait(now)
            else:
                expected = await self._sleep(now)
                yielded = self._clock()

    def _handle_events(self, wait: float, expected: Instant) -> bool:
        """Handle everything that the kernel has to report; False when that was nothing, or the timer alone."""
        events = self._reactor.poller.poll(wait, POLL_EVENTS)
        self._health.note_stall(self._clock() - expected)
        if not events:
            return False
        if self._timer is not None:
            for position, (fd, _) in enumerate(events):
                if fd == self._timer.fd:
                    self._timer.clear()
                    events = [*events[:position], *events[position + 1 :]]
                    break
        self._dispatch.drain(events)
        return bool(events)

    def _settled(self, now: Instant) -> bool:
        """Whether the quiet until the next arrival was used to write a closed interval.

        Under a load that leaves no such quiet, memory matters more than the lag of a few arrivals.
        """
        quiet = self._arrivals.due - now > SETTLE_NS
        return (quiet or self._recorder.overdue(now)) and self._recorder.settle_one()

    def _next(self, now: Instant) -> Instant:
        """When the loop must come round again whatever happens."""
        at = min(self._arrivals.due, self._next_tick, self._reactor.next_check, now + HEARTBEAT_NS)
        return min(at, self._dispatch.next_expiry())

    def _prepare_wait(self, now: Instant) -> tuple[Instant, float]:
        """How long epoll itself may wait, and when the loop should be back."""
        due = self._next(now)
        if due - now < SPIN_NS:
            return now, 0.0
        back = min(due, now + self._wait_ns)
        if self._timer is None:
            return back, (back - now) / SECOND
        if due < now + 2 * self._wait_ns:
            # Waking takes as long as what is left then, which is not worth another wait.
            self._timer.set(due - SPIN_NS)
        return back, self._wait_ns / SECOND

    async def _sleep(self, now: Instant) -> Instant:
        """Wait for a socket or for the next thing on the timetable; gives back when the loop should have come round."""
        at = self._next(now)
        poller = self._reactor.poller
        if isinstance(poller, PollSet):
            with trio.move_on_after(min(max(at - now, 0), HOT_WAIT_NS) / SECOND) as self._sleep_scope:
                await trio.sleep_forever()
        elif self._timer is not None:
            self._timer.set(at)
            await trio.lowlevel.wait_readable(poller.fileno())  # type: ignore[attr-defined]
        else:
            with trio.move_on_after(max(at - now, 0) / SECOND) as self._sleep_scope:
                await trio.lowlevel.wait_readable(poller.fileno())  # type: ignore[attr-defined]
        self._sleep_scope = None
        return min(at, self._clock())

    def _wake(self) -> None:
        """Make the loop come round at once."""
        if self._timer is not None:
            self._timer.set(1)
        elif self._sleep_scope is not None:
            self._sleep_scope.cancel()

    # What the reactor reports

    def on_ok(self, connection: Connection, answer: Answer, now: Instant) -> None:
        """See `Listener`."""
        book = connection.lane.book
        book.services.append(now - connection.sent)
        if not connection.lane.closed_loop:
            book.responses.append(now - connection.intended)
        if answer.known:
            answer.hits += 1
        else:
            book.add_sizes(answer)
        if answer.pod:
            book.add_pod(answer.pod, connection.use, connection.sent, now)
        if self.plan.access_log:
            self._recorder.add_access(connection, answer.status, now)
        if answer.status == self.plan.abort_on:
            self._abort(f"an answer had status {answer.status}")

    def on_end(self, attempt: Attempt) -> None:
        """See `Listener`."""
        if attempt.lane is Lane.PROBE:
            self._recorder.add_probe(attempt)
            return
        lost = attempt.use is ConnectionUse.REUSED and is_network_failure(attempt.outcome)
        if lost and self.plan.probe and self._recorder.has_room:
            now = self._clock()
            self._dispatch.due_probes.append((attempt.seq, attempt.stage, now, now))
        self._recorder.add_failure(attempt, access_log=self.plan.access_log)
        if self.plan.abort_on is not None and self.plan.abort_on == (attempt.status or -1):
            self._abort(abort_reason(attempt))

    def on_closed(self, fact: ConnectionFact) -> None:
        """See `Listener`."""
        self._recorder.add_fact(fact)

    def _abort(self, why: str) -> None:
        if not self._abandoned and self._dispatch.stage is not Stage.PREFLIGHT:
            self.aborted = self.aborted or why
            self.stop()

    # Ticks and the end

    def _tick(self, now: Instant) -> None:
        if self._cadence.is_cut(now):
            self._recorder.cut(now)
        if self._cadence.is_sample(now) and self._dispatch.stage is not Stage.PREFLIGHT:
            self._sample(now)
        self._recorder.flush_large(self._health)
        for lane in self._lanes:
            lane.fold_slots()
        self._next_tick = min(self._cadence.next, now + HEARTBEAT_NS)

    def _sample(self, now: Instant) -> None:
        released = sum(lane.scheduled for lane in self._lanes)
        self._recorder.add_raw(
            self._health.sample(
                now,
                asked=released if self.plan.closed_loop else self._arrivals.count(now),
                released=released,
                backlog=self._dispatch.backlog,
                in_flight=self._reactor.busy,
                connections=self._reactor.connections,
            )
        )

    def _end(self) -> None:
        """Account for everything, and give everything back."""
        now = self._clock()
        whole = self._dispatch.idle
        self._arrivals.stop(now)
        self._reactor.close()
        self._dispatch.close()
        if not whole:  # what was abandoned just now belongs to it; closing what is idle is no part of the load
            now = self._clock()
        self._sample(now)
        self._recorder.finish(now)
        self._recorder.add_totals(self._lanes)
        if self._timer is not None:
            self._timer.close()


def _make_lanes(plan: LoadPlan, recorder: LoadRecorder, agent: str, *, worker: int, workers: int) -> list[LaneState]:
    return [
        LaneState(
            name,
            limit=_limit_of(plan, lane.connections, lane.share * lane.min_idle_s, workers),
            request=request_of(plan, agent, path=lane.path, close=name is Lane.FRESH or not plan.keep_alive),
            book=recorder.books[name],
            plan=plan,
            worker=worker,
        )
        for lane in plan.lanes
        if lane.share > 0
        for name in [Lane(lane.lane)]
    ]


def _limit_of(plan: LoadPlan, connections: int, rested_s: float, workers: int) -> int:
    """Connections that one worker's lane may hold: its own bound, or as many as let each of them rest long enough."""
    if rested_s and not plan.closed_loop:
        connections = max(connections, int(_top_rate(plan) / workers * rested_s) + 1)
    return connections or FRESH_LIMIT


def _top_rate(plan: LoadPlan) -> float:
    return max((max(stage.qps_from, stage.qps_to) for stage in plan.stages), default=plan.qps)
