"""One load on several processes: each has an engine, the process that started them folds what they report.

They are forked before anything large is imported, so that the first request leaves early and no process that puts load
on holds numpy. Each has a socket pair to its parent. Up go lists of facts and, between them, a few reports; down go
orders. All are pickles behind their length: both ends are this program.

All begin at one instant, T0, once every one of them has warmed up; their timetable is one and the same, of which
worker k of N takes the arrivals k, k + N, … . They do not hear signals meant for the terminal's whole group: who
stops them is their parent, and when it is gone they end by themselves.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import struct
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, NoReturn

import trio

from rollcheck.errors import RollcheckError, UsageError
from rollcheck.facts.actions import Note, StageMark
from rollcheck.facts.attempts import Attempt, Stage
from rollcheck.facts.clock import MILLISECOND, Instant
from rollcheck.facts.connections import Connection
from rollcheck.facts.wiretotals import AccessLine
from rollcheck.load.engine import Engine
from rollcheck.load.plan import LoadPlan

BATCH_S = 0.02
"""Facts are gathered for so long before they are sent, the first after a pause at once."""
CHUNK = 256
"""Facts in one pickle: no more than a fraction of a millisecond's work between two looks at the sockets."""
BACKLOG = 200_000
"""Facts that wait to be sent, at most, before lines of the access log are left out (and counted)."""
RECEIVE = 1 << 18
LEAD_NS = 5 * MILLISECOND
"""From the parent's word to the first arrival, where several workers begin together."""
QPS_PER_WORKER = 20_000
"""What one process sends on time with room to spare."""
_LENGTH = struct.Struct("<I")
_FLAT = (Attempt, AccessLine, Connection)
_NAMES = tuple(tuple(f.name for f in fields(kind)) for kind in _FLAT)
_VALUES: dict[type, tuple[int, Callable[[Any], Any]]] = {
    kind: (number, attrgetter(*_NAMES[number])) for number, kind in enumerate(_FLAT)
}


# Reports, from a worker


@dataclass(frozen=True, slots=True)
class Ready:
    """It has warmed up and waits for T0."""


@dataclass(frozen=True, slots=True)
class Began:
    """The only worker began at that instant."""

    at_ns: Instant


@dataclass(frozen=True, slots=True)
class Ended:
    """All its attempts are accounted for, and every fact was sent before.

    Attributes:
        scheduled: arrivals taken up, by lane.
        aborted: why it ended early, empty when it did not.
        unlogged: lines of the access log that were left out.
    """

    scheduled: dict[str, int]
    probes: int
    aborted: str
    unlogged: int


@dataclass(frozen=True, slots=True)
class Failed:
    """It could not begin; the error is the caller's to hear."""

    error: RollcheckError


# Orders, to a worker


@dataclass(frozen=True, slots=True)
class Begin:
    """The first arrival is due at that instant."""

    at_ns: Instant


@dataclass(frozen=True, slots=True)
class Stop:
    """Release no more; `now` also gives up what is under way."""

    now: bool = False


def encode_frame(message: object) -> bytes:
    """A message as bytes that tell their own length."""
    data = pickle.dumps(message, protocol=5)
    return _LENGTH.pack(len(data)) + data


class FrameReader:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[object]:
        """The messages that are complete with `data`."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(buffer, at)
                if len(buffer) - at - _LENGTH.size < length:
                    return
                message = bytes(buffer[at + _LENGTH.size : at + _LENGTH.size + length])
                at += _LENGTH.size + length
                yield pickle.loads(message)  # noqa: S301  # from a process that we are the parent of
        finally:
            del buffer[:at]


def flatten(fact: object) -> object:
    """The kinds of which there are many as a tuple, which pickles in a fraction of the time."""
    known = _VALUES.get(type(fact))
    return fact if known is None else (known[0], known[1](fact))


def unflatten(message: Any) -> Any:
    """What `flatten` took apart."""
    if not isinstance(message, tuple):
        return message
    number, values = message
    return _FLAT[number](**dict(zip(_NAMES[number], values, strict=True)))


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
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = max(1, cores - 1)
    if not plan.closed_loop:
        top = max((max(stage.qps_from, stage.qps_to) for stage in plan.stages), default=plan.qps)
        count = min(count, int(top // QPS_PER_WORKER) + 1)
    return min(count, connections or count)


# In the parent


@dataclass(slots=True)
class _Link:
    """The parent's end of one worker."""

    worker: int
    pid: int
    sock: socket.socket
    ready: bool = False
    ended: Ended | None = None
    reaped: bool = False

    def order(self, message: Begin | Stop) -> None:
        """Hand down an order; one to a worker that is gone is lost."""
        with suppress(OSError):
            self.sock.send(encode_frame(message))


def start_workers(plan: LoadPlan, count: int) -> Workers:
    """Fork the processes; they start at once. To be called outside trio, best before anything large is imported.

    Raises:
        UsageError: this machine has no room for another process.
    """
    links: list[_Link] = []
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for worker in range(count):
            links.append(_fork(share_of(plan, worker, count), worker, count, links))
    except OSError as e:
        for link in links:
            _kill(link)
        raise UsageError(f"cannot start {count} workers: {e.strerror}; give fewer with --workers") from e
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return Workers(links)


def _fork(plan: LoadPlan, worker: int, workers: int, siblings: Sequence[_Link]) -> _Link:
    above, below = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        # A sibling's line must end when its parent does, so nobody else may hold it.
        for sibling in siblings:
            sibling.sock.close()
        above.close()
        _be_worker(plan, worker, workers, below)
    below.close()
    above.setblocking(False)
    return _Link(worker=worker, pid=pid, sock=above)


def _kill(link: _Link) -> None:
    """End a worker that cannot be let go on, and take note of its end."""
    if not link.reaped:
        link.reaped = True
        with suppress(ProcessLookupError):
            os.kill(link.pid, signal.SIGKILL)
        os.waitpid(link.pid, 0)
    link.sock.close()


@dataclass
class Workers:
    """The processes of one load, from fork to end.

    Attributes:
        scheduled: arrivals taken up by those that have ended, by lane.
        probes: fresh probes they sent.
        aborted: why the load ended early (its warm-up failed, `abort_on` was met), empty when it did not.
        lost: the numbers of those that died before their end.
        began_ns: T0, None while there is none.
    """

    _links: list[_Link]
    scheduled: dict[str, int] = field(default_factory=dict)
    probes: int = 0
    aborted: str = ""
    lost: list[int] = field(default_factory=list)
    began_ns: Instant | None = None
    _failure: RollcheckError | None = None
    _held: list[Any] = field(default_factory=list)
    _sink: Callable[[Any], None] = lambda fact: None

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


# In a worker


def _be_worker(plan: LoadPlan, worker: int, workers: int, sock: socket.socket) -> NoReturn:
    code = 70
    try:
        trio.run(_work, plan, worker, workers, sock)
        code = 0
    except BaseException:  # noqa: BLE001  # nothing of the parent's may run in here, whatever happens
        traceback.print_exc()
    finally:
        os._exit(code)


async def _work(plan: LoadPlan, worker: int, workers: int, sock: socket.socket) -> None:
    sock.setblocking(False)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    outbox = _Outbox(stream)
    try:
        engine = Engine(plan, outbox.post, worker=worker, workers=workers, raw=True)
    except RollcheckError as error:
        await stream.send_all(encode_frame(Failed(error)))
        return
    orders = _Orders(engine, outbox, alone=workers == 1)
    async with trio.open_nursery() as listening:
        listening.start_soon(orders.heed, stream)
        async with trio.open_nursery() as sending:
            sending.start_soon(outbox.run, engine)
            await engine.run(orders.start)
            outbox.report(Ended(dict(engine.scheduled), engine.probes, engine.aborted, outbox.unlogged))
            outbox.close()
        listening.cancel_scope.cancel()


class _Outbox:
    """Facts on their way up: taken without waiting, sent by a task of its own.

    Attributes:
        unlogged: lines of the access log that were left out because the parent took them too slowly.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        self.unlogged = 0
        self._stream = stream
        self._facts: list[Any] = []
        self._frames: list[list[Any] | Ready | Began | Ended] = []
        self._more = trio.Event()
        self._closed = trio.Event()

    def post(self, fact: Any) -> None:
        """Take a fact."""
        if len(self._facts) >= BACKLOG and isinstance(fact, AccessLine):
            self.unlogged += 1
            return
        self._facts.append(fact)
        self._more.set()

    def report(self, message: Ready | Began | Ended) -> None:
        """Take a report; facts posted before it are sent before it."""
        self._seal()
        self._frames.append(message)
        self._more.set()

    def close(self) -> None:
        """Nothing follows: `run` returns once everything is sent."""
        self._closed.set()
        self._more.set()

    def _seal(self) -> None:
        facts, self._facts = self._facts, []
        self._frames += [facts[at : at + CHUNK] for at in range(0, len(facts), CHUNK)]

    async def run(self, engine: Engine) -> None:
        """Send everything; the engine gives up when nobody is there to take it."""
        try:
            while True:
                await self._more.wait()
                self._more = trio.Event()
                await self._send()
                if self._closed.is_set():
                    await self._send()
                    return
                with trio.move_on_after(BATCH_S):
                    await self._closed.wait()
        except trio.BrokenResourceError:
            engine.abandon()

    async def _send(self) -> None:
        self._seal()
        frames, self._frames = self._frames, []
        for frame in frames:
            message = [flatten(fact) for fact in frame] if isinstance(frame, list) else frame
            await self._stream.send_all(encode_frame(message))


class _Orders:
    """What the parent says."""

    def __init__(self, engine: Engine, outbox: _Outbox, *, alone: bool) -> None:
        self._engine = engine
        self._outbox = outbox
        self._alone = alone
        self._begin = trio.Event()
        self._at: Instant = 0

    async def start(self) -> Instant:
        """T0: now for a worker that is alone, else what the parent says once all are ready."""
        if self._alone:
            self._at = time.monotonic_ns()
            self._outbox.report(Began(self._at))
            return self._at
        self._outbox.report(Ready())
        await self._begin.wait()
        return self._at

    async def heed(self, stream: trio.SocketStream) -> None:
        """Follow orders; a parent that is gone means the end."""
        reader = FrameReader()
        while True:
            try:
                data = await stream.receive_some(RECEIVE)
            except trio.BrokenResourceError:
                data = b""
            for message in reader.feed(data) if data else (Stop(now=True),):
                self._follow(message)
            if not data:
                return

    def _follow(self, message: object) -> None:
        if isinstance(message, Begin):
            self._at = message.at_ns
        elif isinstance(message, Stop):
            self._at = self._at or time.monotonic_ns()
            if message.now:
                self._engine.abandon()
            else:
                self._engine.stop()
        self._begin.set()
