"""One load on several processes: each has an engine, the process that started them folds what they report.

They are forked before anything large is imported, so that the first request leaves early and no process that puts load
on holds numpy. Each has a socket pair to its parent (`load.frames` says what goes over it).

All begin at one instant, T0, once every one of them has warmed up; their timetable is one and the same, of which
worker k of N takes the arrivals k, k + N, … .
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import trio

from rollcheck.errors import RollcheckError, UsageError
from rollcheck.facts.actions import Note, StageMark
from rollcheck.facts.attempts import Stage
from rollcheck.facts.clock import MILLISECOND, Instant
from rollcheck.load.frames import Began, Begin, Ended, Failed, FrameReader, Ready, Stop, encode_frame, unflatten
from rollcheck.load.plan import LoadPlan
from rollcheck.load.worker import FAST, RECEIVE, Job, Speech, be_worker

__all__ = ["FAST", "Speech", "Workers", "plan_workers", "share_of", "start_workers"]

LEAD_NS = 5 * MILLISECOND
"""From the parent's word to the first arrival, where several workers begin together."""
QPS_PER_WORKER = 20_000
"""What one process sends on time with room to spare."""


def share_of(plan: LoadPlan, worker: int, workers: int) -> LoadPlan:
    """What one worker of several does: its share of the connections and of the room for kept failures.

    The timetable stays whole: the engine takes every so manieth arrival of it.
    """
    if workers == 1:
        return plan
    lanes = tuple(replace(lane, connections=_part(lane.connections, worker, workers)) for lane in plan.lanes)
    return replace(plan, lanes=lanes, keep=_part(plan.keep, worker, workers))


def _part(whole: int, worker: int, workers: int) -> int:
    return whole // workers + (worker < whole % workers)


def plan_workers(plan: LoadPlan, wanted: int = 0) -> int:
    """How many processes to put the load on with.

    Args:
        plan: the load.
        wanted: as many; 0 for as many as its rate needs, at most one per core but one, each with a connection. A
            closed loop needs all it can have. No more than needed, because workers do not share connections: an
            arrival waits for one of its own worker's even while another's are free.

    Raises:
        UsageError: more are wanted than there are connections, or fewer than one.
    """
    connections = min((lane.connections for lane in plan.lanes if lane.connections and lane.share), default=0)
    if wanted < 0:
        raise UsageError(f"--workers: there cannot be {wanted} processes; give 1 or more, or 0 to let us choose")
    if wanted:
        if connections and wanted > connections:
            raise UsageError(
                f"each of {wanted} workers needs a connection of its own, and there are {connections}; "
                f"give -c {wanted} or fewer --workers"
            )
        return wanted
    count = max(1, count_cores() - 1)
    if not plan.closed_loop:
        top = max((max(stage.qps_from, stage.qps_to) for stage in plan.stages), default=plan.qps)
        count = min(count, int(top // QPS_PER_WORKER) + 1)
    return min(count, connections or count)


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Link:
    """The parent's end of one worker."""

    def __init__(self, worker: int, pid: int, sock: socket.socket) -> None:
        self.worker = worker
        self.pid = pid
        self.sock = sock
        self.ready = self.reaped = False
        self.ended: Ended | None = None

    def order(self, message: Begin | Stop) -> None:
        """Hand down an order; one to a worker that is gone is lost."""
        with suppress(OSError):
            self.sock.send(encode_frame(message))


def start_workers(plan: LoadPlan, count: int, speech: Speech = FAST) -> Workers:
    """Fork the processes; they start at once. To be called outside trio, best before anything large is imported.

    Raises:
        UsageError: this machine has no room for another process.
    """
    links: list[_Link] = []
    # Blocked, and so for good in the workers: a signal that comes meanwhile waits for the parent, and is not lost.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        for worker in range(count):
            links.append(_fork(Job(share_of(plan, worker, count), worker, count, speech), links))
    except OSError as e:
        for link in links:
            _kill(link)
        raise UsageError(f"cannot start {count} workers: {e.strerror}; give fewer with --workers") from e
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return Workers(links)


def _fork(job: Job, siblings: Sequence[_Link]) -> _Link:
    above, below = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        # A sibling's line must end when its parent does, so nobody else may hold it.
        for sibling in siblings:
            sibling.sock.close()
        above.close()
        be_worker(job, below)
    below.close()
    above.setblocking(False)
    return _Link(worker=job.worker, pid=pid, sock=above)


def _kill(link: _Link) -> None:
    """End a worker that cannot be let go on, and take note of its end."""
    if not link.reaped:
        link.reaped = True
        with suppress(ProcessLookupError):
            os.kill(link.pid, signal.SIGKILL)
        os.waitpid(link.pid, 0)
    link.sock.close()


class Workers:
    """The processes of one load, from fork to end.

    Attributes:
        scheduled: arrivals taken up by those that have ended, by lane.
        probes: fresh probes they sent.
        aborted: why the load ended early (its warm-up failed, `abort_on` was met), empty when it did not.
        lost: the numbers of those that died before their end.
        began_ns: T0, None while there is none.
    """

    def __init__(self, links: list[_Link]) -> None:
        self.scheduled: dict[str, int] = {}
        self.probes = 0
        self.aborted = ""
        self.lost: list[int] = []
        self.began_ns: Instant | None = None
        self._links = links
        self._failure: RollcheckError | None = None
        self._held: list[Any] = []
        self._sink: Callable[[Any], None] = self._held.append

    @property
    def pids(self) -> list[int]:
        """Their process ids, in order."""
        return [link.pid for link in self._links]

    async def run(self, sink: Callable[[Any], None]) -> None:
        """Hand on every fact until all workers have ended.

        What the sink is given is what a raw engine gives (`load.intervals`), and besides a `StageMark` at T0 and a
        `Note` on what went wrong. Nothing is handed on before T0: settling the first fact imports numpy, which must
        not hold up the start.

        Raises:
            RollcheckError: they could not begin.
        """
        self._sink = sink
        try:
            async with trio.open_nursery() as nursery:
                for link in self._links:
                    nursery.start_soon(self._follow, link)
        finally:
            for link in self._links:
                _kill(link)
        if self._failure is not None:
            raise self._failure
        self._let_go()

    def stop(self, *, now: bool = False) -> None:
        """Release no more arrivals; what is under way goes on to its end, unless it is to end `now`."""
        for link in self._links:
            link.order(Stop(now=now))

    async def _follow(self, link: _Link) -> None:
        reader = FrameReader()
        sock = trio.socket.from_stdlib_socket(link.sock)
        while True:
            try:
                data = await sock.recv(RECEIVE)
            except OSError:
                data = b""
            if not data:
                break
            for message in reader.feed(data):
                if isinstance(message, list):
                    for fact in message:
                        self._take(unflatten(fact))
                else:
                    self._hear(link, message)
        # At the end of its line a worker is gone, or about to be: no need for a thread to wait in.
        link.reaped = True
        _, status = os.waitpid(link.pid, 0)  # noqa: ASYNC222
        if link.ended is None and self._failure is None:
            self._lose(link, status)

    def _take(self, fact: Any) -> None:
        if self.began_ns is None:
            self._held.append(fact)
        else:
            self._sink(fact)

    def _hear(self, link: _Link, message: object) -> None:
        if isinstance(message, Began):
            self._begin(message.at_ns)
        elif isinstance(message, Ready):
            link.ready = True
            if all(other.ready for other in self._links):
                at = time.monotonic_ns() + LEAD_NS
                for other in self._links:
                    other.order(Begin(at))
                self._begin(at)
        elif isinstance(message, Failed):
            self._failure = message.error
            self.stop(now=True)
        elif isinstance(message, Ended):
            self._end(link, message)

    def _begin(self, at: Instant) -> None:
        self.began_ns = at
        self._sink(StageMark(at_ns=at, stage=Stage.BASELINE))
        self._let_go()

    def _let_go(self) -> None:
        held, self._held = self._held, []
        for fact in held:
            self._sink(fact)

    def _end(self, link: _Link, message: Ended) -> None:
        link.ended = message
        self.probes += message.probes
        for lane, count in message.scheduled.items():
            self.scheduled[lane] = self.scheduled.get(lane, 0) + count
        if message.unlogged:
            self._note("disk", f"{message.unlogged:,} lines of the access log were left out: it is written too slowly")
        if message.aborted and not self.aborted:
            self.aborted = message.aborted
            self._note("abort", message.aborted)
            self.stop()

    def _lose(self, link: _Link, status: int) -> None:
        self.lost.append(link.worker)
        code = os.waitstatus_to_exitcode(status)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        text = f"worker {link.worker} {how} before its end: what it had not reported yet is in no count"
        self._note("generator", text, fatal=True)
        self.stop()

    def _note(self, topic: str, text: str, *, fatal: bool = False) -> None:
        self._take(Note(at_ns=time.monotonic_ns(), topic=topic, text=text, fatal=fatal))
