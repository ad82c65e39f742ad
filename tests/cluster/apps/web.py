"""A small HTTP/1.1 server whose manners at start and at end are set by its environment.

It is mounted into a container from a ConfigMap and is the thing that rollcheck judges, so it does each wrong thing the
way real servers do it: what it leaves open when it exits, the kernel ends with FIN or RST.

    ON_TERM         what SIGTERM does:
                      exit    the process is gone at once, whatever was under way (exit code 143)
                      ignore  nothing; the kubelet has to kill it
                      wait    serve on as before for DRAIN_WAIT s, then exit at once
                      drain   serve on for DRAIN_WAIT s with `Connection: close` on every answer, then stop accepting,
                              finish what is under way, close what is idle, exit 0
                      pinned  serve on without a word for DRAIN_WAIT s, then drain new connections but cut each
                              kept-alive one, whatever is under way on it, exit 0
    DRAIN_WAIT      seconds, see above (5)
    LISTEN_AFTER    seconds from start to listen() (0)
    READY_AFTER     seconds from listen() to the first 200 on /healthz (0)
    DELAY_MS        from the whole request read to the answer written (20): so there is something in flight at exit
    FAIL_RATE       share of answers that are 500, spread evenly (0)
    KEEPALIVE_IDLE  seconds after which an idle connection is closed, 0 = never (0)
    BODY            text of a good answer (ok)
    PORT            (8080)
    POD_NAME        answered as X-Pod-Name
One thread, one selector, one heap of due answers; the standard library only.
"""

from __future__ import annotations

import heapq
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

MAX_HEAD = 65536
POLITE_CLOSE_S = 1.0
"""How long a closed side waits for the peer's own FIN, so that its last request is not answered by RST."""


@dataclass(frozen=True)
class Settings:
    """The environment, read once."""

    on_term: str
    drain_wait_s: float
    listen_after_s: float
    ready_after_s: float
    delay_s: float
    fail_rate: float
    keepalive_idle_s: float
    body: bytes
    port: int
    pod: str

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Settings:
        """The settings of `env`, the defaults filled in; SystemExit with one sentence when they make no sense."""
        on_term = env.get("ON_TERM", "drain")
        if on_term not in ("exit", "ignore", "wait", "drain", "pinned"):
            sys.exit(f"ON_TERM is {on_term!r}: exit, ignore, wait, drain or pinned")
        return cls(
            on_term=on_term,
            drain_wait_s=float(env.get("DRAIN_WAIT", "5")),
            listen_after_s=float(env.get("LISTEN_AFTER", "0")),
            ready_after_s=float(env.get("READY_AFTER", "0")),
            delay_s=float(env.get("DELAY_MS", "20")) / 1000,
            fail_rate=float(env.get("FAIL_RATE", "0")),
            keepalive_idle_s=float(env.get("KEEPALIVE_IDLE", "0")),
            body=env.get("BODY", "ok").encode() + b"\n",
            port=int(env.get("PORT", "8080")),
            pod=env.get("POD_NAME", ""),
        )


@dataclass(eq=False)
class Client:
    """One accepted connection; `busy` while a request is read and not yet answered."""

    sock: socket.socket
    last_used: float
    received: bytearray = field(default_factory=bytearray)
    busy: bool = False
    answered: int = 0
    closing: bool = False


@dataclass(frozen=True)
class Request:
    """What matters of a request; `length` is all of it in bytes, its body included."""

    path: bytes
    close: bool
    length: int


def read_request(data: bytearray) -> Request | None:
    """The first request in `data`, None while it is not whole; ValueError when it is none."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MAX_HEAD:
            raise ValueError("no end of the head")
        return None
    lines = bytes(data[:end]).split(b"\r\n")
    _method, path, version = lines[0].split(b" ", 2)
    body, close = 0, version == b"HTTP/1.0"
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        name, value = name.strip().lower(), value.strip().lower()
        if name == b"content-length":
            body = int(value)
        elif name == b"connection":
            close = value == b"close"
        elif name == b"transfer-encoding":
            raise ValueError("a chunked request")
    length = end + 4 + body
    return Request(path=path, close=close, length=length) if len(data) >= length else None


class Server:
    """The loop: accept, read, answer when due, end as the settings say."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.selector = selectors.DefaultSelector()
        self.clients: set[Client] = set()
        self.due: list[tuple[float, int, Client, Request]] = []
        self.answers = 0
        self.failures = 0
        self.term_at: float | None = None
        self.listener: socket.socket | None = None
        self.listening_since = 0.0

    def run(self) -> NoReturn:
        """Serve until told to end."""
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self.on_sigterm)
        time.sleep(self.settings.listen_after_s)
        self.listener = socket.create_server(("", self.settings.port), backlog=1024)
        self.listener.setblocking(False)
        self.listening_since = time.monotonic()
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        self.selector.register(wake, selectors.EVENT_READ, lambda: wake.recv(64))
        print("listening", flush=True)
        while True:
            for key, _ in self.selector.select(self.next_timeout()):
                key.data()
            now = time.monotonic()
            self.answer_due(now)
            self.close_idle(now)
            self.end_if_due(now)

    def on_sigterm(self, _signal: int, _frame: object) -> None:
        """The signal handler; PID 1 has no default action, so without one even `exit` would be `ignore`."""
        if self.settings.on_term == "exit":
            os._exit(143)
        if self.settings.on_term != "ignore" and self.term_at is None:
            self.term_at = time.monotonic()
            print(f"SIGTERM: {self.settings.on_term}", flush=True)

    def next_timeout(self) -> float:
        """Seconds until something may be due, at most a tenth of a second once the end is near."""
        longest = 1.0 if self.term_at is None else 0.1
        if self.due:
            longest = min(longest, self.due[0][0] - time.monotonic())
        return max(0.0, longest)

    def accept(self) -> None:
        """Take in every connection that waits."""
        if self.listener is None:
            return
        while True:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # it gave up while it waited
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = Client(sock=sock, last_used=time.monotonic())
            self.clients.add(client)
            self.selector.register(sock, selectors.EVENT_READ, lambda client=client: self.read(client))

    def read(self, client: Client) -> None:
        """Take what a client sent; its FIN or RST ends it."""
        try:
            data = client.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop(client)
            return
        if not client.closing:
            client.received += data
            self.take_request(client)

    def take_request(self, client: Client) -> None:
        """Put the next whole request on the heap, one at a time for each client."""
        if client.busy:
            return
        try:
            request = read_request(client.received)
        except ValueError:
            self.drop(client)
            return
        if request is None:
            return
        del client.received[: request.length]
        client.busy = True
        client.last_used = time.monotonic()
        delay = 0.0 if request.path == b"/healthz" else self.settings.delay_s
        self.answers += 1
        heapq.heappush(self.due, (client.last_used + delay, self.answers, client, request))

    def answer_due(self, now: float) -> None:
        """Write every answer whose time has come."""
        while self.due and self.due[0][0] <= now:
            _, _, client, request = heapq.heappop(self.due)
            if client in self.clients:
                self.answer(client, request, now)

    def answer(self, client: Client, request: Request, now: float) -> None:
        """Write one answer, and close after it when either side wants that."""
        status, body = self.result(request.path, now)
        close = request.close or (self.term_at is not None and self.settings.on_term == "drain")
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
            f"X-Pod-Name: {self.settings.pod}\r\nConnection: {'close' if close else 'keep-alive'}\r\n\r\n"
        )
        try:
            client.sock.send(head.encode() + body)
        except OSError:
            self.drop(client)
            return
        client.busy, client.last_used, client.answered = False, now, client.answered + 1
        if close:
            self.close_politely(client)
        else:
            self.take_request(client)

    def result(self, path: bytes, now: float) -> tuple[str, bytes]:
        """Status and body for a path."""
        if path == b"/healthz":
            ready = now - self.listening_since >= self.settings.ready_after_s
            return ("200 OK", b"ok\n") if ready else ("503 Service Unavailable", b"not ready\n")
        self.failures += 1
        before, after = (int(n * self.settings.fail_rate) for n in (self.failures - 1, self.failures))
        if after > before:
            return "500 Internal Server Error", b"made to fail\n"
        return "200 OK", self.settings.body

    def close_idle(self, now: float) -> None:
        """Close what has been idle too long, and what was closed politely and never answered that."""
        idle = self.settings.keepalive_idle_s
        for client in list(self.clients):
            age = now - client.last_used
            if client.closing and age > POLITE_CLOSE_S:
                self.drop(client)
            elif idle and not client.closing and not client.busy and age > idle:
                self.close_politely(client)

    def close_politely(self, client: Client) -> None:
        """Send FIN, then wait for the peer's: what it still sends meanwhile is not met by RST."""
        client.closing, client.last_used = True, time.monotonic()
        try:
            client.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(client)

    def drop(self, client: Client) -> None:
        """Forget a client and close its socket; unread bytes make that an RST."""
        if client in self.clients:
            self.clients.discard(client)
            self.selector.unregister(client.sock)
            client.sock.close()

    def end_if_due(self, now: float) -> None:
        """Once SIGTERM came and DRAIN_WAIT is over: exit as ON_TERM says."""
        if self.term_at is None or now - self.term_at < self.settings.drain_wait_s:
            return
        if self.settings.on_term == "wait":
            os._exit(143)
        if self.listener is not None:
            self.accept()
            self.selector.unregister(self.listener)
            self.listener.close()
            self.listener = None
        for client in list(self.clients):
            if self.settings.on_term == "pinned" and client.answered:
                self.drop(client)
            elif not client.busy and not client.closing:
                self.close_politely(client)
        if not self.clients:
            sys.exit(0)


if __name__ == "__main__":
    Server(Settings.read(os.environ)).run()
