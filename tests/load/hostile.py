"""Servers that do what no server should, and a run of the real engine against them, with its accounts checked."""

from __future__ import annotations

import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable

import trio
from scripted import Peer, Script

from rollcheck.facts.attempts import Attempt, Interval, Lane, Outcome, Phase
from rollcheck.facts.connections import Connection
from rollcheck.facts.document import LanePlan
from rollcheck.load.engine import Engine
from rollcheck.load.plan import LoadPlan, parse_target

REUSED = (LanePlan(lane="reused", share=1, connections=2),)
ONE_KEPT = (LanePlan(lane="reused", share=1, connections=1),)
FRESH = (LanePlan(lane="fresh", share=1, connections=50),)
BOTH = (LanePlan(lane="reused", share=0.5, connections=50), LanePlan(lane="fresh", share=0.5, connections=50))
"""Room enough that no arrival waits for a connection."""
ONE_BY_ONE = (LanePlan(lane="fresh", share=1, connections=1),)
"""The arrival of number n has the server's connection of number n + 1."""

Ending = tuple[Phase, Outcome]


class Load:
    """One load, and what its engine recorded; `make` makes another engine of the plan and the sink.

    Attributes:
        attempts: all that did not end OK, without probes.
        seconds: how long it took.
    """

    def __init__(self, url: str, arrivals: int, *, make=Engine, **plan) -> None:
        self.facts = []
        options = {"target": parse_target(url), "qps": 500, "timeout_s": 10, "verify_tls": False, "lanes": BOTH} | plan
        self.engine = make(LoadPlan(calls=arrivals, **options), self.facts.append)
        self._arrivals = arrivals
        self.seconds = 0.0

    async def run(self) -> None:
        """To its end; then check the accounts."""
        began = trio.current_time()
        with trio.fail_after(15):
            await self.engine.run()
        self.seconds = trio.current_time() - began
        assert self.scheduled == self._arrivals
        self.check_accounts()

    @property
    def scheduled(self) -> int:
        return sum(self.engine.scheduled.values())

    @property
    def attempts(self) -> list[Attempt]:
        return [fact for fact in self.of(Attempt) if fact.lane is not Lane.PROBE]

    def check_accounts(self) -> None:
        """Scheduled = ok + failed + not sent; every failure has its line, and its instants are in order."""
        assert self.scheduled == self.count("ok") + self.count("failed") + self.count("not_sent")
        assert len(self.attempts) == self.count("failed") + self.count("not_sent")
        assert sum(attempt.sent_ns is None for attempt in self.attempts) == self.count("not_sent")
        for attempt in self.attempts:
            assert attempt.outcome is not Outcome.OK
            assert (
                attempt.intended_ns <= attempt.released_ns <= (attempt.sent_ns or attempt.ended_ns) <= attempt.ended_ns
            )

    def of(self, kind: type) -> list:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def count(self, what: str) -> int:
        return sum(getattr(interval, what) for interval in self.of(Interval))

    @property
    def endings(self) -> Counter[Ending]:
        return Counter((attempt.phase, attempt.outcome) for attempt in self.attempts)

    @property
    def closed(self) -> list[Connection]:
        return self.of(Connection)


class Run(Load):
    """A load that has been run."""

    def __init__(self, url: str, arrivals: int, **plan) -> None:
        super().__init__(url, arrivals, **plan)
        trio.run(self.run)


def cut_at_every_byte(answer: bytes, *, reset: bool) -> Script:
    """Connection n ends after n − 1 bytes of the answer, the one after the whole answer at its first byte again."""

    def script(peer: Peer) -> None:
        peer.request()
        at = (peer.number - 1) % (len(answer) + 1)
        if at:
            peer.send(answer[:at])
        if reset:
            peer.reset()

    return script


def expected_ending(
    answer: bytes, at: int, *, until_close: bool = False, reset: bool
) -> tuple[Phase, Outcome, int] | None:
    """The ending of an attempt whose answer was cut there, and the bytes that came; None for OK."""
    head = answer.index(b"\r\n\r\n", answer.index(b"HTTP/1.1 200")) + 4
    phase = Phase.BODY if at >= head else Phase.AWAIT
    if until_close and phase is Phase.BODY:
        return (phase, Outcome.RESET, at) if reset else None
    if at == len(answer):
        return None
    if reset:
        return phase, Outcome.RESET, at
    return phase, Outcome.TRUNCATED_BODY if at else Outcome.CLOSED_BEFORE_RESPONSE, at


def drip(answer: bytes, every_s: float = 0.01) -> Script:
    """One byte at a time."""

    def script(peer: Peer) -> None:
        peer.request()
        for i in range(len(answer)):
            peer.send(answer[i : i + 1])
            time.sleep(every_s)
        peer.wait_closed()

    return script


def without_end(start: bytes, again: bytes) -> Script:
    """As fast as the client takes it, until it closes; bounded by a gigabyte."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(start)
        piece = again * (65_536 // len(again) + 1)
        for _ in range((1 << 30) // len(piece)):
            peer.send(piece)

    return script


def say(data: bytes, *, then: Callable[[Peer], object] = Peer.wait_closed) -> Script:
    """Answer every request with that, then do `then`; what a client pipelines is not looked at."""

    def script(peer: Peer) -> None:
        if peer.request():
            peer.send(data)
            then(peer)

    return script


class HalfTls:
    """A TLS server whose bytes are counted, so that it can be cut at any of them.

    Connection n ends after (n − 1) × `step` bytes, handshake included.
    """

    def __init__(self, context: ssl.SSLContext, answer: bytes, *, step: int, reset: bool) -> None:
        self._context, self._answer, self._step, self._reset = context, answer, step, reset

    def __call__(self, peer: Peer) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
        left = (peer.number - 1) * self._step
        incoming.write(peer.sock.recv(65_536))
        for act in (tls.do_handshake, lambda: tls.read(65_536), lambda: tls.write(self._answer)):
            while left > 0:
                try:
                    act()
                except ssl.SSLWantReadError:
                    left = self._flush(peer, outgoing, left)
                    if left > 0:
                        incoming.write(peer.sock.recv(65_536))
                else:
                    left = self._flush(peer, outgoing, left)
                    break
        if left <= 0 and self._reset:
            peer.reset()
            return
        if left <= 0:
            peer.sock.shutdown(socket.SHUT_WR)
        # Whatever the client still sends is read, so that no RST follows the FIN.
        peer.wait_closed()

    def _flush(self, peer: Peer, outgoing: ssl.MemoryBIO, left: int) -> int:
        data = outgoing.read()
        peer.sock.sendall(data[:left])
        return left - len(data)
