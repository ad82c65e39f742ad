"""A server on 127.0.0.1 that misbehaves on request, with real sockets: real FIN, real RST, real silence.

A `Script` is what a server does on one connection: it gets a `Peer` and calls its methods. The server runs each
accepted connection's script in a thread of its own.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self._buffer = b""

    def request(self) -> bytes:
        """The next request's head; empty when the client has closed."""
        while b"\r\n\r\n" not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                return b""
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head

    def body(self, head: bytes) -> bytes:
        """The body that belongs to that head, by its Content-Length."""
        _, _, length = head.lower().partition(b"content-length:")
        wanted = int(length.split()[0]) if length else 0
        while len(self._buffer) < wanted:
            data = self.sock.recv(65536)
            if not data:
                break
            self._buffer += data
        body, self._buffer = self._buffer[:wanted], self._buffer[wanted:]
        return body

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_closed(self) -> None:
        """Until the client has closed."""
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass


Script = Callable[[Peer], None]


def well(peer: Peer, answer: bytes = OK) -> None:
    """Answer every request; close when the client asks for it."""
    while head := peer.request():
        peer.send(answer)
        if b"Connection: close" in head:
            return


class Server:
    """Runs `script`, which may be replaced at any time, on every connection that it accepts.

    Args:
        path: of a Unix socket to listen on instead.

    Attributes:
        accepted: connections so far.
    """

    def __init__(self, path: str = "") -> None:
        self.script: Script = well
        self.context: ssl.SSLContext | None = None
        self.accepted = 0
        if path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(path)
            self._listener.listen(512)
            self.port = 80
        else:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
            self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            still_open = list(self._open)
        for sock in still_open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            with self._lock:
                self._open.add(sock)
            self._start(self._serve, sock, self.accepted)

    def _serve(self, sock: socket.socket, number: int) -> None:
        raw = sock
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            self.script(Peer(sock, number))
        with self._lock:
            self._open.discard(raw)
        sock.close()


def closed_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
