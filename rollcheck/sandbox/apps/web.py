"""An HTTP/1.1 server whose manners at start, in between and at the end are set by its environment or its arguments.

It does each wrong thing as real servers do it: what it leaves open when it exits, the kernel ends with FIN or RST.
One file that needs nothing but Python: the sandbox loads it, and a pod of any cluster runs it from a ConfigMap.
A setting is an environment variable, or an argument with its name: `ON_TERM=exit`, `--on-term=exit`, `--on-term exit`.

    ON_TERM         what SIGTERM does:
                      exit    the process is gone at once, whatever was under way
                      ignore  nothing; only SIGKILL ends it
                      wait    serve on as before for DRAIN_WAIT s, then exit at once
                      drain   serve on for DRAIN_WAIT s with `Connection: close` on every answer, then stop accepting,
                              finish what is under way, close what is idle, exit 0
                      linger  as drain, but a kept-alive connection may send one more request, until it has been idle
                              for KEEPALIVE_IDLE s
                      pinned  serve on without a word for DRAIN_WAIT s, then drain new connections but cut each
                              kept-alive one, whatever is under way on it, exit 0
    ON_WINCH        the same for SIGWINCH, apache's graceful stop (ignore)
    DRAIN_WAIT      seconds, see above (5)
    EXIT_CODE       of `exit` and `wait` (143)
    LISTEN_AFTER    seconds from start to listen() (0)
    READY_AFTER     seconds from listen() to the first 200 on /healthz (0)
    CRASH_AFTER     seconds from start to an exit with code 1, 0 = never (0)
    DELAY_MS        from the whole request read to the answer written (20): so there is something in flight at exit
    SLOW_RATE       share of answers that take SLOW_MS instead, spread evenly (0)
    SLOW_MS         (1000)
    FAIL_RATE       share of answers that are 500, spread evenly (0)
    KEEPALIVE_IDLE  seconds after which an idle connection is closed, 0 = never (0)
    BODY            text of a good answer (ok)
    PORT            (8080)
    POD_NAME        answered as X-Pod-Name

Called `wordpress` (or `apache2`, `apache2-foreground`, `httpd`), it has apache's and WordPress's manners instead of
those defaults: port 80, a page of HTML after 60 ms, idle connections closed after 5 s, listening 0.3 s after its start;
SIGTERM ends it at once with code 0 and drops what is under way, SIGWINCH closes the listener, finishes what is under
way and exits 0.
"""

from __future__ import annotations

import heapq
import os
import selectors
import signal
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

WEB = {
    "ON_TERM": "drain",
    "ON_WINCH": "ignore",
    "DRAIN_WAIT": "5",
    "EXIT_CODE": "143",
    "LISTEN_AFTER": "0",
    "READY_AFTER": "0",
    "CRASH_AFTER": "0",
    "DELAY_MS": "20",
    "SLOW_RATE": "0",
    "SLOW_MS": "1000",
    "FAIL_RATE": "0",
    "KEEPALIVE_IDLE": "0",
    "BODY": "ok",
    "PORT": "8080",
    "POD_NAME": "",
    "POD_IP": "",
    "ROLLCHECK_PORTS": "",
}
APACHE = {
    **WEB,
    "ON_TERM": "exit",
    "ON_WINCH": "linger",
    "DRAIN_WAIT": "0",
    "EXIT_CODE": "0",
    "LISTEN_AFTER": "0.3",
    "DELAY_MS": "60",
    "KEEPALIVE_IDLE": "5",
    "PORT": "80",
    "BODY": "",
}
APACHES = ("apache2", "apache2-foreground", "httpd", "wordpress")
"""Names of programs that are apache here and in the catalog of images."""
ENDINGS = ("exit", "ignore", "wait", "drain", "linger", "pinned")
MAX_HEAD = 65536
POLITE_CLOSE_S = 1.0
"""How long a closed side waits for the peer's own FIN, so that its last request is not answered by RST."""
PAGE = (
    '<!DOCTYPE html>\n<html lang="en-US">\n<head>\n<meta charset="UTF-8" />\n<title>A blog</title>\n'
    '<meta name="generator" content="WordPress 6 (stand-in)" />\n</head>\n<body class="home blog">\n'
    '<h1 class="wp-block-site-title"><a href="/">A blog</a></h1>\n'
    + "".join(
        f'<article class="post-{n}"><h2><a href="/?p={n}">Post {n}</a></h2><p>{"A sentence. " * 20}</p></article>\n'
        for n in range(10, 0, -1)
    )
    + "<footer><p>Proudly served by a stand-in for WordPress</p></footer>\n</body>\n</html>"
)


def read_settings(argv: list[str], env: Mapping[str, str]) -> dict[str, str]:
    """The settings of the arguments, else of the environment, else the defaults; SystemExit with one sentence."""
    apache = os.path.basename(argv[0]) in APACHES  # noqa: PTH119 - pathlib would double the start
    made = dict(APACHE if apache else WEB)
    made.update((name, env[name]) for name in made if name in env)
    words = [word for arg in argv[1:] for word in (arg.split("=", 1) if arg.startswith("--") else [arg])]
    for name, value in zip(words[::2], words[1::2], strict=False):
        name = name.removeprefix("--").upper().replace("-", "_")
        if name in made:
            made[name] = value
        elif not apache:
            sys.exit(f"--{name.lower()} is no setting: " + ", ".join(n.lower().replace("_", "-") for n in WEB))
    for name in ("ON_TERM", "ON_WINCH"):
        if made[name] not in ENDINGS:
            sys.exit(f"{name} is {made[name]!r}: " + ", ".join(ENDINGS))
    made["BODY"] = made["BODY"] or PAGE
    made["SERVER"] = "Apache/2.4 (stand-in)" if apache else ""
    return made


def real_port(port: str, ports: str) -> int:
    """The port to bind for `port`, which `ports` may map to another: `80=10080,8080=40123`."""
    return int(dict(pair.split("=") for pair in ports.split(",") if pair).get(port, port))


class Client:
    """One accepted connection; `busy` while a request is read and not yet answered."""

    __slots__ = ("answered", "busy", "closing", "last_used", "received", "sock", "to_send")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.last_used = time.monotonic()
        self.received = b""
        self.to_send = b""
        self.busy = False
        self.answered = 0
        self.closing = False


def read_request(data: bytes) -> tuple[bytes, bytes, bool, int] | None:
    """Method, path, whether to close, and the whole length of the first request; None while it is not all there.

    ValueError when it is none.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MAX_HEAD:
            raise ValueError("no end of the head")
        return None
    lines = data[:end].split(b"\r\n")
    method, path, version = lines[0].split(b" ", 2)
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
    return (method, path, close, length) if len(data) >= length else None


class Share:
    """Says of which of many a share is made, spread evenly."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.seen = 0

    def next(self) -> bool:
        """Whether the next one belongs to it."""
        self.seen += 1
        return int(self.seen * self.share) > int((self.seen - 1) * self.share)


class Server:
    """The loop: accept, read, answer when due, end as the settings say. One thread, one heap of due answers."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.settings = settings
        self.drain_wait, self.ready_after, self.idle, crash_after = (
            float(settings[name]) for name in ("DRAIN_WAIT", "READY_AFTER", "KEEPALIVE_IDLE", "CRASH_AFTER")
        )
        self.crash_at = time.monotonic() + (crash_after or float("inf"))
        self.delay, self.slow_delay = (float(settings[name]) / 1000 for name in ("DELAY_MS", "SLOW_MS"))
        self.slow, self.fail = Share(float(settings["SLOW_RATE"])), Share(float(settings["FAIL_RATE"]))
        self.server = f"Server: {settings['SERVER']}\r\n" if settings["SERVER"] else ""
        self.pod = f"X-Pod-Name: {settings['POD_NAME']}\r\n" if settings["POD_NAME"] else ""
        self.kind = "text/html; charset=UTF-8" if self.server else "text/plain"
        self.selector = selectors.DefaultSelector()
        self.clients: set[Client] = set()
        self.due: list[tuple[float, int, Client, tuple[bytes, bytes, bool, int]]] = []
        self.taken = 0
        self.ending = ""
        self.ending_since = 0.0
        self.listener: socket.socket | None = None
        self.listening_since = 0.0

    def run(self) -> NoReturn:
        """Serve until told to end."""
        woken, wake = os.pipe()
        for end in (woken, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: self.end("ON_TERM"))
        signal.signal(signal.SIGWINCH, lambda *_: self.end("ON_WINCH"))
        self.selector.register(woken, selectors.EVENT_READ, lambda _: os.read(woken, 64))
        time.sleep(float(self.settings["LISTEN_AFTER"]))
        self.listen()
        while True:
            for key, events in self.selector.select(self.next_timeout()):
                key.data(events)
            now = time.monotonic()
            self.answer_due(now)
            self.close_idle(now)
            self.end_if_due(now)

    def listen(self) -> None:
        """Listen on the pod's address, on the port that stands for the one that was set."""
        port = real_port(self.settings["PORT"], self.settings["ROLLCHECK_PORTS"])
        self.listener = socket.create_server((self.settings["POD_IP"], port), backlog=1024)
        self.listener.setblocking(False)
        self.listening_since = time.monotonic()
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        print("resuming normal operations" if self.server else "listening", flush=True)

    def end(self, setting: str) -> None:
        """The signal handler."""
        what = self.settings[setting]
        if what == "exit":
            os.write(1, b"caught SIGTERM, shutting down\n" if self.server else b"SIGTERM: exit\n")
            os._exit(int(self.settings["EXIT_CODE"]))
        if what != "ignore" and not self.ending:
            self.ending, self.ending_since = what, time.monotonic()
            os.write(1, f"{'SIG' + setting[3:]}: {what}\n".encode())

    def next_timeout(self) -> float:
        """Seconds until something may be due, at most a tenth of a second once the end is near."""
        longest = 0.1 if self.ending else 1.0
        now = time.monotonic()
        if self.due:
            longest = min(longest, self.due[0][0] - now)
        return max(0.0, min(longest, self.crash_at - now))

    def accept(self, _events: int = 0) -> None:
        """Take in every connection that waits."""
        while self.listener is not None:
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # it gave up while it waited
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client = Client(sock)
            self.clients.add(client)
            self.selector.register(sock, selectors.EVENT_READ, lambda events, client=client: self.serve(client, events))

    def serve(self, client: Client, events: int) -> None:
        """Take what a client sent; its FIN or RST ends it. Send what did not fit before."""
        if events & selectors.EVENT_WRITE:
            self.send(client)
        if not events & selectors.EVENT_READ or client not in self.clients:
            return
        try:
            data = client.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop(client)
        elif not client.closing:
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
        client.received = client.received[request[3] :]
        client.busy, client.last_used = True, time.monotonic()
        delay = 0.0
        if request[1] != b"/healthz":
            delay = self.slow_delay if self.slow.next() else self.delay
        self.taken += 1
        heapq.heappush(self.due, (client.last_used + delay, self.taken, client, request))

    def answer_due(self, now: float) -> None:
        """Write every answer whose time has come."""
        while self.due and self.due[0][0] <= now:
            _, _, client, request = heapq.heappop(self.due)
            if client in self.clients:
                self.answer(client, request, now)

    def answer(self, client: Client, request: tuple[bytes, bytes, bool, int], now: float) -> None:
        """Write one answer, and close after it when either side wants that."""
        method, path, close, _ = request
        status, text = self.result(path, now)
        close = close or self.ending in ("drain", "linger")
        body = text.encode() + b"\n"
        head = (
            f"HTTP/1.1 {status}\r\n{self.server}Content-Type: {self.kind}\r\nContent-Length: {len(body)}\r\n"
            f"{self.pod}Connection: {'close' if close else 'keep-alive'}\r\n\r\n"
        )
        client.to_send += head.encode() + (b"" if method == b"HEAD" else body)
        client.busy, client.last_used, client.answered = False, now, client.answered + 1
        client.closing = close
        self.send(client)
        if client in self.clients and not client.closing:
            self.take_request(client)

    def send(self, client: Client) -> None:
        """Send what the socket takes; once all is sent, close politely if that was the last."""
        try:
            client.to_send = client.to_send[client.sock.send(client.to_send) :]
        except BlockingIOError:
            pass
        except OSError:
            self.drop(client)
            return
        key = self.selector.get_key(client.sock)
        self.selector.modify(
            client.sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if client.to_send else 0), key.data
        )
        if client.closing and not client.to_send:
            self.close_politely(client)

    def result(self, path: bytes, now: float) -> tuple[str, str]:
        """Status and body for a path."""
        if path == b"/healthz":
            ready = now - self.listening_since >= self.ready_after
            return ("200 OK", "ok") if ready else ("503 Service Unavailable", "not ready")
        if self.fail.next():
            return "500 Internal Server Error", "made to fail"
        return "200 OK", self.settings["BODY"]

    def close_idle(self, now: float) -> None:
        """Close what has been idle too long, and what was closed politely and never answered that."""
        for client in list(self.clients):
            age = now - client.last_used
            if client.closing and age > POLITE_CLOSE_S:
                self.drop(client)
            elif self.idle and not client.closing and not client.busy and age > self.idle:
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
        """Crash when that is set; once told to end and DRAIN_WAIT is over: exit as the settings say."""
        if now >= self.crash_at:
            print("made to crash", flush=True)
            os._exit(1)
        if not self.ending or now - self.ending_since < self.drain_wait:
            return
        if self.ending == "wait":
            os._exit(int(self.settings["EXIT_CODE"]))
        if self.listener is not None:
            self.accept()
            self.selector.unregister(self.listener)
            self.listener.close()
            self.listener = None
        for client in list(self.clients):
            if self.ending == "pinned" and client.answered:
                self.drop(client)
            elif not client.busy and not client.closing and self.ending != "linger":
                self.close_politely(client)
        if not self.clients:
            sys.exit(0)


def main(argv: list[str]) -> None:
    """Serve as the environment and the arguments say."""
    Server(read_settings(argv, os.environ)).run()


if __name__ == "__main__":
    main([os.environ.get("ROLLCHECK_PROGRAM", "web"), *sys.argv[1:]])
