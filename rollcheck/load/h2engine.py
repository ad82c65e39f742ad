"""The load through httpx, for HTTP/2 and for redirects: the face of `engine.Engine`, a task for each attempt.

The same timetable, the same facts, the same account (scheduled = ok + failed + not sent, at every end of a run);
slower by an order of magnitude and more, which a note says once. A connection carries one request at a time here too:
that is what can be compared with HTTP/1.1.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import trio

from rollcheck.facts.actions import Note
from rollcheck.facts.attempts import Attempt, Lane, Phase, Stage
from rollcheck.facts.clock import SECOND, Instant
from rollcheck.facts.connections import ClosedBy
from rollcheck.load.arrivals import NEVER, Arrivals
from rollcheck.load.book import LaneBook
from rollcheck.load.cadence import Cadence
from rollcheck.load.collector import quiet_collector
from rollcheck.load.engine import Start
from rollcheck.load.h2 import Exchange, check_h2
from rollcheck.load.h2ledger import Ledger
from rollcheck.load.h2place import Place
from rollcheck.load.health import HealthMeter
from rollcheck.load.lanes import FRESH_LIMIT, Arrival, LaneState
from rollcheck.load.outcomes import Fault
from rollcheck.load.plan import LoadPlan
from rollcheck.load.progress import Progress
from rollcheck.load.recorder import LoadRecorder
from rollcheck.load.resolver import Resolver
from rollcheck.load.transport import Address, literal_address, lookup, make_tls_context

TICK_S = 0.05
RELEASE_BATCH = 16
"""Attempts begun between two turns of those under way."""
LOOKUP_PAUSE_S = 0.1
"""A closed loop whose name does not resolve tries again after this."""


class H2Engine:
    """See `engine.Engine`: the same arguments, attributes and calls.

    Args:
        plan: what to do; HTTP/1.0 and half close are not to be had here.
        sink: takes every fact; with `raw`, what `intervals.Settler.take` takes instead of those with histograms.
        stage: of the first arrivals.
        worker: takes the arrivals worker, worker + workers, … of one timetable; `workers` is how many there are.
        raw: leave histograms to another process, so that this one imports no numpy.
        http2: speak HTTP/2 (on plain connections without asking), else HTTP/1.1.
        follow: follow redirects; the attempt ends with the last answer.

    Attributes:
        aborted: why the load ended early (its warm-up failed, `abort_on` was met), empty when it did not.
        probes: fresh probes sent after failures of reused connections.

    Raises:
        UsageError: the plan asks for what cannot be, or h2 is not installed.
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
        http2: bool = True,
        follow: bool = False,
    ) -> None:
        check_h2(plan, http2=http2)
        self.plan = plan
        self.aborted = ""
        self.probes = 0
        self._clock = time.monotonic_ns
        self._http2, self._follow = http2, follow
        self._worker, self._workers = worker, workers
        self._last_id = worker + 1 - workers
        now = self._clock()
        lanes = [lane for lane in plan.lanes if lane.share > 0]
        names = [Lane(lane.lane) for lane in lanes]
        self._arrivals = Arrivals(plan, [lane.share for lane in lanes], worker=worker, workers=workers)
        self._recorder = LoadRecorder(names, sink, keep=plan.keep, stage=stage, now=now, worker=worker, raw=raw)
        self._ledger = Ledger(plan, self._recorder, self._clock, on_lost=self._probe, on_abort=self._abort)
        self._lanes = [
            LaneState(
                name,
                limit=lane.connections or FRESH_LIMIT,
                request=b"",
                book=self._recorder.books[name],
                plan=plan,
                worker=worker,
            )
            for name, lane in zip(names, lanes, strict=True)
        ]
        self._probe_lane = LaneState(
            Lane.PROBE, limit=FRESH_LIMIT, request=b"", book=LaneBook(Lane.PROBE), worker=worker
        )
        self._paths = {name: lane.path for name, lane in zip(names, lanes, strict=True)}
        self._idle: dict[Lane, deque[Place]] = {lane.name: deque() for lane in (*self._lanes, self._probe_lane)}
        self._tls = self._make_tls()
        self._resolver = Resolver.of(plan, self._on_lookup, worker=worker)
        self._resolved, self._woken = trio.Event(), trio.Event()
        self._attempts: trio.Nursery | None = None
        self._health = HealthMeter(now, worker=worker)
        self._stage = self._stage_before = stage
        self._stage_at: Instant = 0
        self._in_flight = 0
        self._cadence = Cadence(plan.interval_s, now)
        self._abandoned = self._started = self._stopped = False

    def _make_tls(self) -> ssl.SSLContext:
        plan = self.plan
        if not plan.target.tls and not self._follow:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used
        return make_tls_context(
            verify=plan.verify_tls, ca_file=plan.ca_file, cert_file=plan.cert_file, key_file=plan.key_file
        )

    # What the run calls

    @trio.lowlevel.enable_ki_protection
    async def run(self, start: Start | None = None) -> None:
        """See `engine.Engine.run`."""
        assert not self._started, "an engine runs once"
        self._started = True
        try:
            with quiet_collector():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._resolver.run, self._clock)
                    nursery.start_soon(self._tick)
                    self._begin_clocks()
                    self._say_slow()
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
        self._stage_before, self._stage, self._stage_at = self._stage, stage, now
        self._recorder.enter(stage, now)

    def cut(self) -> None:
        """End the interval here; cuts within 10 ms of each other are one."""
        self._recorder.cut(self._clock())

    def stop(self) -> None:
        """Release no arrival that is due after now; what is under way goes on to its end."""
        self._stopped = True
        self._arrivals.stop(self._clock())
        self._wake()

    def abandon(self) -> None:
        """End at once: what is under way becomes abandoned."""
        self._abandoned = True
        self.stop()
        if self._attempts is not None:
            self._attempts.cancel_scope.cancel()

    @property
    def scheduled(self) -> dict[str, int]:
        """Arrivals released so far, by lane."""
        return {lane.name.value: lane.scheduled for lane in self._lanes}

    def progress(self) -> Progress:
        """How it stands now."""
        scheduled = sum(lane.scheduled for lane in self._lanes)
        return self._recorder.progress(scheduled=scheduled, backlog=self._backlog)

    # The parts of a run

    def _begin_clocks(self) -> None:
        now = self._clock()
        self._health = HealthMeter(now, worker=self._worker)
        self._recorder.begin(now)
        self._cadence.begin(now)

    def _say_slow(self) -> None:
        what = "HTTP/2" if self._http2 else "redirects are followed"
        text = f"{what}: the load goes through httpx, which is many times slower than the load engine's own HTTP/1.1"
        self._recorder.sink(Note(at_ns=self._clock(), topic="generator", text=text))

    async def _warm_up(self) -> None:
        """One request on every connection that a lane may hold for good, apart from the load proper."""
        stage = self._stage
        self.enter(Stage.PREFLIGHT)
        seq = 0
        async with trio.open_nursery() as self._attempts:
            for lane in self._lanes:
                for _ in range(lane.limit):
                    seq -= 1
                    now = self._clock()
                    self._start(lane, (seq, Stage.PREFLIGHT, now, now))
        self._attempts = None
        if not self.plan.allow_initial_errors and not self._abandoned:
            self.aborted = self._recorder.warmup_failure()
        self.enter(stage)
        self._recorder.forget()

    async def _put_on(self, start: Start | None) -> None:
        """The load proper, to its end."""
        at = self._clock() if start is None else await start()
        self._arrivals.begin(at)
        self._begin_clocks()
        async with trio.open_nursery() as self._attempts:
            if at > self._clock():
                await trio.sleep((at - self._clock()) / SECOND)
            if not self.plan.closed_loop:
                await self._release()
                return
            for lane in self._lanes:
                for _ in range(lane.limit):
                    self._attempts.start_soon(self._circle, lane)
        self._attempts = None

    async def _release(self) -> None:
        """Start what is due, until nothing will be due and nothing waits."""
        while not self._arrivals.over or self._backlog:
            now = self._clock()
            more = self._release_due(now)
            for lane in self._lanes:
                self._expire(lane)
            if more:
                await trio.lowlevel.checkpoint()
                continue
            self._woken = trio.Event()
            until = min(self._arrivals.due, *(self._expires(lane) for lane in self._lanes))
            with trio.move_on_after(max(0, until - self._clock()) / SECOND):
                await self._woken.wait()

    def _release_due(self, now: Instant) -> bool:
        arrivals = self._arrivals
        for _ in range(RELEASE_BATCH):
            due = arrivals.due
            if due > now:
                return False
            seq, lane = arrivals.seq, self._lanes[arrivals.lane()]
            arrivals.advance()
            lane.scheduled += 1
            if arrivals.due <= now and not self.plan.catch_up:
                lane.book.add_skipped(1)
                self._health.skipped += 1
                continue
            self._health.lags.append(now - due)
            arrival = (seq, self._stage if due >= self._stage_at else self._stage_before, due, now)
            if lane.waiting or not self._start(lane, arrival):
                lane.waiting.append(arrival)
        return True

    def _expires(self, lane: LaneState) -> Instant:
        return lane.waiting[0][3] + int(self.plan.timeout_s * SECOND) if lane.waiting else NEVER

    def _expire(self, lane: LaneState) -> None:
        now = self._clock()
        while self._expires(lane) <= now:
            self._ledger.end_unsent(lane, lane.waiting.popleft(), Fault.NO_CONNECTION, "no free connection")

    async def _circle(self, lane: LaneState) -> None:
        """A closed loop's place: the next request as soon as there is an answer."""
        arrivals = self._arrivals
        while arrivals.seq < arrivals.end and self._clock() < arrivals.until:
            seq, now = arrivals.seq, self._clock()
            arrivals.seq += arrivals.step
            lane.scheduled += 1
            place = self._take_place(lane)
            assert place is not None, "there are as many places as tasks"
            phase = await self._attempt(place, (seq, self._stage, now, now))
            if phase is Phase.RESOLVE:
                await trio.sleep(LOOKUP_PAUSE_S)

    # Places

    def _start(self, lane: LaneState, arrival: Arrival) -> bool:
        """Begin an attempt; False when it must wait for a place."""
        place = self._take_place(lane)
        if place is None or self._attempts is None:
            return False
        self._attempts.start_soon(self._attempt, place, arrival)
        return True

    def _take_place(self, lane: LaneState) -> Place | None:
        idle = self._idle[lane.name]
        if idle and not (lane.fills and lane.may_open()):
            return idle.popleft()
        if not lane.may_open():
            return None
        lane.open += 1
        return Place(
            lane,
            self.plan,
            self._tls,
            http2=self._http2,
            follow=self._follow,
            path=self._paths.get(lane.name, ""),
            find_address=self._find_address,
            number_line=self._number_line,
            clock=self._clock,
        )

    def _number_line(self) -> int:
        self._last_id += self._workers
        return self._last_id

    def _give_back(self, place: Place) -> None:
        lane = place.lane
        if place.client.line is not None:
            self._idle[lane.name].append(place)
        else:
            lane.open -= 1
            lane.free_slot(place.slot)
        while lane.waiting and not self._abandoned and self._start(lane, lane.waiting[0]):
            lane.waiting.popleft()
        self._wake()

    async def _find_address(self, host: str, port: int) -> Address:
        target = self.plan.target
        if (host, port) != (target.host, target.port):  # where a redirect leads
            known = literal_address(host, port)
            asked = host, port, self.plan.resolve_ip_type
            return known or (await trio.to_thread.run_sync(lookup, *asked, abandon_on_cancel=True))[0]
        while True:
            address = self._resolver.pick()
            if address is not None:
                return address
            if self._resolver.known:
                raise socket.gaierror(socket.EAI_NONAME, self._resolver.failure)
            await self._resolved.wait()

    def _on_lookup(self) -> None:
        self._resolved.set()
        self._resolved = trio.Event()

    def _wake(self) -> None:
        self._woken.set()

    # One attempt

    @trio.lowlevel.enable_ki_protection
    async def _attempt(self, place: Place, arrival: Arrival) -> Phase:
        """Put one arrival on a place, account for it, and give the place back; how far it came."""
        self._in_flight += 1
        exchange = Exchange(scope=trio.CancelScope())
        try:
            if place.client.is_gone():
                await self._close(place, ClosedBy.PEER_IDLE)
            with trio.move_on_after(self.plan.timeout_s) as exchange.scope:
                await place.client.ask(exchange)
            if exchange.scope.cancelled_caught:
                exchange.cause = Fault.DEADLINE
        except trio.Cancelled:
            self._ledger.end(place, arrival, exchange, Fault.END)
            await self._close(place, ClosedBy.US_END)
            raise
        finally:
            self._in_flight -= 1
        if exchange.sent:
            self._health.waits.append(max(0, exchange.sent - arrival[3]))
        closed_by = self._ledger.end(place, arrival, exchange, exchange.cause)
        if closed_by is not None or place.lane.fresh:
            await self._close(place, closed_by)
        self._give_back(place)
        return exchange.phase

    async def _close(self, place: Place, closed_by: ClosedBy | None) -> None:
        if closed_by is not None:
            self._ledger.end_connection(place, closed_by)
        await place.client.drop()
        place.cap = place.lane.draw_cap()

    def _probe(self, lost: Attempt) -> None:
        """Follow a failure of a reused connection with a fresh one: is the connection dead, or the service?"""
        now = self._clock()
        if not self._abandoned:
            self.probes += self._start(self._probe_lane, (lost.seq, lost.stage, now, now))

    def _abort(self, why: str) -> None:
        if not self._abandoned and self._stage is not Stage.PREFLIGHT:
            self.aborted = self.aborted or why
            self.stop()

    # Ticks and the end

    @property
    def _backlog(self) -> int:
        return sum(len(lane.waiting) for lane in self._lanes)

    @trio.lowlevel.enable_ki_protection
    async def _tick(self) -> None:
        """Cut intervals, sample our own health, write what is closed; for ever."""
        expected = self._clock()
        while True:
            now = self._clock()
            self._health.note_stall(now - expected)
            if self._cadence.is_cut(now):
                self._recorder.cut(now)
            if self._cadence.is_sample(now):
                self._sample(now)
            self._recorder.flush_large(self._health)
            self._recorder.settle_one()
            expected = self._clock() + int(TICK_S * SECOND)
            await trio.sleep(TICK_S)

    def _sample(self, now: Instant) -> None:
        released = sum(lane.scheduled for lane in self._lanes)
        self._recorder.add_raw(
            self._health.sample(
                now,
                asked=released if self.plan.closed_loop else self._arrivals.count(now),
                released=released,
                backlog=self._backlog,
                in_flight=self._in_flight,
                connections=self._in_flight + sum(len(idle) for idle in self._idle.values()),
            )
        )

    def _end(self) -> None:
        """Account for everything, and give everything back."""
        self._arrivals.stop(self._clock())
        for lane in self._lanes:
            while lane.waiting:
                self._ledger.end_unsent(lane, lane.waiting.popleft(), Fault.END, "")
        for place in self._idle_places():
            self._ledger.end_connection(place, ClosedBy.US_END)
            place.client.close()
        now = self._clock()
        self._sample(now)
        self._recorder.finish(now)
        self._recorder.add_totals(self._lanes)

    def _idle_places(self) -> Iterator[Place]:
        for idle in self._idle.values():
            while idle:
                yield idle.popleft()
