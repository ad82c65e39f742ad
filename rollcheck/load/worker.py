"""One of the processes that put a load on, from fork to exit: an engine, and the line to its parent.

Facts go up without the engine ever waiting; orders come down. It does not hear signals meant for the terminal's whole
group: who stops it is its parent, and when that is gone it ends by itself.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import trio

from rollcheck.errors import RollcheckError
from rollcheck.facts.clock import Instant
from rollcheck.facts.wiretotals import AccessLine
from rollcheck.load.engine import Engine
from rollcheck.load.frames import Began, Begin, Ended, Failed, FrameReader, Ready, Stop, encode_frame, flatten
from rollcheck.load.plan import LoadPlan

if TYPE_CHECKING:
    from rollcheck.load.h2engine import H2Engine

    LoadEngine = Engine | H2Engine

BATCH_S = 0.02
"""Facts are gathered for so long before they are sent, the first after a pause at once."""
CHUNK = 256
"""Facts in one pickle: no more than a fraction of a millisecond's work between two looks at the sockets."""
BACKLOG = 200_000
"""Facts that wait to be sent, at most, before lines of the access log are left out (and counted)."""
RECEIVE = 1 << 18


class Speech(NamedTuple):
    """What the fast engine does not speak; with any of it the load goes through httpx."""

    http2: bool = False
    follow: bool = False


FAST = Speech()
"""All that the fast engine speaks: HTTP/1.1 and 1.0."""


class Job(NamedTuple):
    """One worker's part."""

    plan: LoadPlan
    worker: int
    workers: int
    speech: Speech


def be_worker(job: Job, sock: socket.socket) -> NoReturn:
    """The whole life of a forked process; nothing of the parent's runs in it."""
    code = 70
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # what the parent had imported stays
    gc.enable()
    try:
        trio.run(_work, job, sock)
        code = 0
    except BaseException:  # noqa: BLE001  # nothing of the parent's may run in here, whatever happens
        traceback.print_exc()
    finally:
        os._exit(code)


def _make_engine(job: Job, sink: Callable[[Any], None]) -> LoadEngine:
    speech = job.speech
    if not (speech.http2 or speech.follow):
        return Engine(job.plan, sink, worker=job.worker, workers=job.workers, raw=True)
    from rollcheck.load.h2engine import H2Engine  # noqa: PLC0415  # and with it httpx

    return H2Engine(
        job.plan,
        sink,
        worker=job.worker,
        workers=job.workers,
        raw=True,
        http2=speech.http2,
        follow=speech.follow,
    )


async def _work(job: Job, sock: socket.socket) -> None:
    sock.setblocking(False)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    outbox = _Outbox(stream)
    try:
        engine = _make_engine(job, outbox.post)
    except RollcheckError as error:
        await stream.send_all(encode_frame(Failed(error)))
        return
    orders = _Orders(engine, outbox, alone=job.workers == 1)
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

    async def run(self, engine: LoadEngine) -> None:
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

    def __init__(self, engine: LoadEngine, outbox: _Outbox, *, alone: bool) -> None:
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
