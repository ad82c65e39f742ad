"""Servers that know what was done to them: one stamps arrivals, one stops for a while, one fails at random.

    python -m bench.targets recorder|stopping|hostile …

prints its port, serves until SIGTERM, then prints what it saw as JSON. One epoll loop, plain Python, no dependency; its
clock is the machine's monotonic one, as the generator's.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import select
import signal
import socket
import struct
import time
from collections import Counter
from types import FrameType
from typing import Any

MARK = b"\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nno\n"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nok\n"
CUT = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 30\r\n\r\nhalf of it"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER that makes close() send RST."""
SECOND = 1_000_000_000
NAP_S = 0.1


class Server:
    """Accepts, finds requests (no bodies), and hands each to `on_request`.

    Attributes:
        requests: seen so far.
    """

    def __init__(self) -> None:
        self.requests = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._open: dict[int, socket.socket] = {}
        self._partial: dict[int, bytes] = {}
        self._due: list[tuple[int, int, int, bytes]] = []
        self._over = False

    def serve(self) -> None:
        """Print the port, then serve until SIGTERM."""
        signal.signal(signal.SIGTERM, self._end)
        print(self._listener.getsockname()[1], flush=True)
        while not self._over:
            self._wait()
            for fd, _ in self._epoll.poll(0):
                if fd == self._listener.fileno():
                    self._accept()
                elif fd in self._open:
                    self._read(fd)
            self._send_due()
            self.on_turn()
        print(json.dumps(self.report()), flush=True)

    def on_request(self, fd: int, now: int) -> None:
        """A request arrived whole; `now` is the clock just after it was read."""
        raise NotImplementedError

    def on_turn(self) -> None:
        """The loop came round."""

    def report(self) -> dict[str, Any]:
        """What was seen."""
        return {"requests": self.requests}

    def answer(self, fd: int, answer: bytes, *, at: int = 0) -> None:
        """Send now, or at an instant."""
        if at:
            heapq.heappush(self._due, (at, self.requests, fd, answer))
        else:
            self._open[fd].send(answer)

    def close(self, fd: int, *, reset: bool = False) -> None:
        """Close the connection, in order or by RST."""
        connection = self._open.pop(fd)
        del self._partial[fd]
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.close()

    def on_sent(self, fd: int, now: int) -> None:
        """A delayed answer was just sent."""

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._over = True

    def _wait(self) -> None:
        """Until something is readable or due. select() waits in microseconds, epoll in whole milliseconds."""
        pause = NAP_S
        if self._due:
            pause = max(0.0, min(pause, (self._due[0][0] - time.monotonic_ns()) / SECOND))
        select.select([self._epoll.fileno()], [], [], pause)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open[connection.fileno()] = connection
            self._partial[connection.fileno()] = b""
            self._epoll.register(connection.fileno(), select.EPOLLIN)

    def _read(self, fd: int) -> None:
        try:
            data = self._open[fd].recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        now = time.monotonic_ns()
        if not data:
            self.close(fd)
            return
        *whole, rest = (self._partial[fd] + data).split(MARK)
        self._partial[fd] = rest
        for _ in whole:
            self.requests += 1
            self.on_request(fd, now)

    def _send_due(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic_ns():
            _, _, fd, answer = heapq.heappop(self._due)
            if fd in self._open:
                self.answer(fd, answer)
                self.on_sent(fd, time.monotonic_ns())


class Recorder(Server):
    """Answers at once and stamps each arrival."""

    def __init__(self) -> None:
        super().__init__()
        self._stamps: list[int] = []

    def on_request(self, fd: int, now: int) -> None:
        """See `Server`."""
        self._stamps.append(now)
        self.answer(fd, OK)

    def report(self) -> dict[str, Any]:
        """The stamps, nanoseconds since the first."""
        first = self._stamps[0] if self._stamps else 0
        return {**super().report(), "stamps": [stamp - first for stamp in self._stamps]}


class Stopping(Server):
    """Answers after a while, and once does nothing at all for a longer one, as a stopped process does.

    Args:
        delay_ns: from a request's arrival to its answer.
        after_ns: from the first request to the stop.
        stop_ns: how long it stops.
    """

    def __init__(self, delay_ns: int, after_ns: int, stop_ns: int) -> None:
        super().__init__()
        self._delay, self._after, self._stop = delay_ns, after_ns, stop_ns
        self._first = self._stopped = self._resumed = 0
        self._asked: dict[int, int] = {}
        self._delays: list[int] = []

    def on_request(self, fd: int, now: int) -> None:
        """See `Server`."""
        self._first = self._first or now
        self._asked[fd] = now
        self.answer(fd, OK, at=now + self._delay)

    def on_sent(self, fd: int, now: int) -> None:
        """See `Server`."""
        self._delays.append(now - self._asked[fd])

    def on_turn(self) -> None:
        """See `Server`."""
        if self._first and not self._stopped and time.monotonic_ns() >= self._first + self._after:
            self._stopped = time.monotonic_ns()
            time.sleep(self._stop / SECOND)
            self._resumed = time.monotonic_ns()

    def report(self) -> dict[str, Any]:
        """When it stopped, since the first request, for how long, and how long answers took it when it did not."""
        usual = sorted(self._delays)
        return {
            **super().report(),
            "stopped_after_ns": self._stopped - self._first,
            "stopped_ns": self._resumed - self._stopped,
            "delay_ns": usual[len(usual) // 2] if usual else 0,
        }


class Hostile(Server):
    """Does to each request one of its deeds, drawn from a seed, and counts them."""

    DEEDS = (
        ("ok", 78),
        ("unavailable", 5),
        ("slow", 4),
        ("ok and close", 3),
        ("ok, then hang up", 2),
        ("drop", 3),
        ("reset", 2),
        ("cut", 2),
        ("stall", 1),
    )

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)
        self._deeds = [deed for deed, _ in self.DEEDS]
        self._weights = [weight for _, weight in self.DEEDS]
        self._done: Counter[str] = Counter()

    def on_request(self, fd: int, now: int) -> None:
        """See `Server`."""
        deed = self._random.choices(self._deeds, self._weights)[0]
        self._done[deed] += 1
        if deed == "stall":
            return
        if deed == "slow":
            self.answer(fd, OK, at=now + self._random.randrange(5, 60) * 1_000_000)
            return
        answers = {"ok": OK, "unavailable": UNAVAILABLE, "ok and close": LAST, "ok, then hang up": OK, "cut": CUT}
        if deed in answers:
            self.answer(fd, answers[deed])
        if deed not in {"ok", "unavailable"}:
            self.close(fd, reset=deed == "reset")

    def report(self) -> dict[str, Any]:
        """How often each deed was done."""
        return {**super().report(), "done": dict(self._done)}


def main() -> None:
    """Serve as asked."""
    parser = argparse.ArgumentParser()
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("recorder")
    stopping = kinds.add_parser("stopping")
    for name in ("--delay-ns", "--after-ns", "--stop-ns"):
        stopping.add_argument(name, type=int, required=True)
    kinds.add_parser("hostile").add_argument("--seed", type=int, required=True)
    asked = parser.parse_args()
    if asked.kind == "recorder":
        Recorder().serve()
    elif asked.kind == "stopping":
        Stopping(asked.delay_ns, asked.after_ns, asked.stop_ns).serve()
    else:
        Hostile(asked.seed).serve()


if __name__ == "__main__":
    main()
