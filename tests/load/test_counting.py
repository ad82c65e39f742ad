"""What a server sent whole is what the engine counts as answered, exactly, whatever else the server does."""

import gc
import random
import threading
from collections import Counter

import pytest
import trio
from hostile import Load
from scripted import OK, Peer, Server

from rollcheck.facts.attempts import Attempt, Lane, Outcome
from rollcheck.facts.document import LanePlan

pytestmark = pytest.mark.loopback

LANES = (LanePlan(lane="reused", share=0.7, connections=6), LanePlan(lane="fresh", share=0.3, connections=40))
ANSWERS = [
    OK,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy",
    b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n" + b"a" * 20_000,
]
WHOLE = {"whole": 10, "whole in pieces": 3, "whole, then close": 2, "whole, then reset": 2}
LOST = {"dropped": 1, "reset": 1, "cut": 2, "cut by reset": 2, "rubbish": 1}
STALLS = {"stall": 1, "stall in the answer": 1}


class Trickster:
    """Does something else to every request; all that depends on the seed and on the order of requests.

    Attributes:
        sent: status → answers sent whole.
        acts: what was done how often.
    """

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._lock = threading.Lock()
        self.sent: Counter[int] = Counter()
        self.acts: Counter[str] = Counter()

    def _draw(self) -> tuple[str, bytes, int]:
        with self._lock:
            # A stall lasts as long as the client waits: only early ones, so that they pass while the load goes on.
            acts = WHOLE | LOST | (STALLS if self.acts.total() < 25 else {})
            [act] = self._dice.choices(list(acts), list(acts.values()))
            answer = self._dice.choice(ANSWERS)
            self.acts[act] += 1
            return act, answer, self._dice.randrange(1, len(answer))

    def __call__(self, peer: Peer) -> None:
        while head := peer.request():
            act, answer, at = self._draw()
            if act.startswith("whole"):
                self._send(peer, answer, [at] if act == "whole in pieces" else [])
            elif act not in {"dropped", "reset", "stall"}:
                peer.send(b"\0rubbish\r\n" if act == "rubbish" else answer[:at])
            if act.startswith("stall"):
                peer.wait_closed()
            if "reset" in act:
                peer.reset()
            if act not in {"whole", "whole in pieces"} or b"Connection: close" in head:
                return

    def _send(self, peer: Peer, answer: bytes, cuts: list[int]) -> None:
        for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True):
            peer.send(answer[a:b])
        with self._lock:
            self.sent[503 if b" 503 " in answer else 200] += 1


@pytest.fixture
def collector():
    """Loads that run at the same time set its thresholds one upon another."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def count_answers(load: Load) -> int:
    """Attempts with an answer, probes among them."""
    answered = {Outcome.OK, Outcome.BAD_STATUS, Outcome.WRONG_BODY}
    return load.count("ok") + sum(attempt.outcome in answered for attempt in load.of(Attempt))


@pytest.mark.parametrize("seeds", [range(10), range(10, 20)], ids=["first ten", "second ten"])
def test_answers_that_were_sent_whole_are_counted_exactly(seeds, collector):
    loads = {}

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for load in loads.values():
                nursery.start_soon(load.run)

    servers = {seed: Server() for seed in seeds}
    tricksters = {seed: Trickster(seed) for seed in seeds}
    for seed, server in servers.items():
        server.script = tricksters[seed]
        server.__enter__()
        # Late only where the server stalls: a machine that has other work must not make it late too.
        loads[seed] = Load(server.url, 120, lanes=LANES, qps=50, timeout_s=3)
    trio.run(main)
    for server in servers.values():
        server.__exit__()

    for seed, load in loads.items():
        trickster = tricksters[seed]
        assert count_answers(load) == sum(trickster.sent.values()), seed
        refused = [
            attempt for attempt in load.of(Attempt) if attempt.status == 503 and attempt.outcome is Outcome.BAD_STATUS
        ]
        assert len(refused) == trickster.sent[503], seed
        # A request on a connection that the server is just closing never reaches it; no other is made up or missing.
        probes = [attempt for attempt in load.of(Attempt) if attempt.lane is Lane.PROBE]
        assert trickster.acts.total() <= load.count("ok") + load.count("failed") + len(probes), seed
        assert set(trickster.acts) >= WHOLE.keys()
        assert trickster.acts.total() - trickster.sent.total() > 10
