"""The network below httpx: our sockets, one address, one connect, and eyes on what goes through.

A GOAWAY is taken out of what httpx reads. To httpx it is either an error, though the server goes on to answer what it
had begun, or a reason to send the request again unseen; here it ends the attempt only when the server says that it
will not answer it, and the connection after it.
"""

from __future__ import annotations

import errno
import socket
import ssl
from typing import Any

import httpcore
import trio

from rollcheck.facts.clock import Instant
from rollcheck.load.outcomes import Cause, Fault, describe_errno
from rollcheck.load.timer import Clock
from rollcheck.load.transport import Address, begin_connect, format_address, open_socket, read_cause, was_reset
from rollcheck.load.wire import MAX_BODY, ResponseReader, WireError

CHUNK = 65_536
IDLE_READS = 16
"""Reads of an idle connection before it is taken as it is."""
MAX_FRAME = 16_384
"""Bytes in a frame, by HTTP/2's default, which httpx leaves as it is."""
_HEAD = 9
_GOAWAY = 7
_LATER = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Refused(Exception):
    """The server said by GOAWAY that it will not answer; becomes an outcome."""


class Frames:
    """Takes GOAWAY out of a stream of HTTP/2 frames, however they are cut; h2 reads the others.

    h2 waits for the end of a frame before it finds it too long, which may be for ever; here its head is enough.

    Attributes:
        last_stream: the highest stream that the server will answer; None as long as there was no GOAWAY.
        error: the number of the reason it gave, 0 for none.
    """

    def __init__(self) -> None:
        self.last_stream: int | None = None
        self.error = 0
        self._head = b""
        self._left = 0
        self._payload: bytearray | None = None

    def feed(self, data: bytes) -> bytes:
        """Give back what is no GOAWAY; the first bytes of a frame are held back until its kind is known.

        Raises:
            WireError: a frame is longer than we allow, or these are no frames at all.
        """
        kept = bytearray()
        at = 0
        while at < len(data):
            if self._left:
                piece = data[at : at + self._left]
                at += len(piece)
                self._left -= len(piece)
                if self._payload is None:
                    kept += piece
                else:
                    self._payload += piece[: 8 - len(self._payload)]
            else:
                piece = data[at : at + _HEAD - len(self._head)]
                at += len(piece)
                self._head += piece
                if len(self._head) == _HEAD:
                    kept += self._begin_frame()
            if not self._left and self._payload is not None:
                self.last_stream = int.from_bytes(self._payload[:4], "big") & 0x7FFFFFFF
                self.error = int.from_bytes(self._payload[4:], "big")
                self._payload = None
        return bytes(kept)

    def _begin_frame(self) -> bytes:
        head, self._head = self._head, b""
        self._left = int.from_bytes(head[:3], "big")
        if head.startswith(b"HTTP/"):
            raise WireError("the server answered in HTTP/1, though asked in HTTP/2")
        if self._left > MAX_FRAME:
            raise WireError(f"a frame of {self._left} bytes, where {MAX_FRAME} are allowed")
        if head[3] != _GOAWAY:
            return head
        self._payload = bytearray()
        return b""


class Line(httpcore.AsyncNetworkStream):
    """A connection as httpx sees it.

    Attributes:
        id: as in `facts.connections`.
        opened, ended: when it was connected, and when its last answer was whole (0 before).
        address: what was connected to; local, peer: its ends.
        asked: requests begun on it; `requests` were answered.
        pod: the last pod known to have answered on it.
        received: bytes in all.
        reader: reads along, in HTTP/1.
        limit: bytes that may come in all, from here on.
        said: what ended it, by the network's own word; None while nothing did.
        asking: whether the request is still being written.
        unsent: why something could not be written; None when all could. It was the request if `unasked`.
        reset: whether the peer ended it with RST.
        closed: whether we have closed it.
    """

    def __init__(self, sock: socket.socket, address: Address, *, number: int, now: Instant, http2: bool) -> None:
        self.sock: socket.socket | ssl.SSLSocket = sock
        self.address = address
        self.id, self.opened, self.ended = number, now, 0
        self.local, self.peer = format_address(sock.getsockname()), format_address(address[1])
        self.asked = self.requests = self.received = 0
        self.pod = ""
        self.frames = Frames() if http2 else None
        self.reader: ResponseReader | None = None
        self.said: tuple[Cause, str] | None = None
        self.unsent: tuple[Cause, str] | None = None
        self.reset = self.closed = self.asking = self.unasked = False
        self.limit = MAX_BODY
        self._held = b""

    # What httpx calls; its timeouts are never set

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's name
        """Bytes, or none at the end.

        Raises:
            OSError: the connection failed.
            Refused: the server will not answer.
            WireError: what came is no answer that we accept.
        """
        await trio.lowlevel.checkpoint()
        if self._held:
            data, self._held = self._held[:max_bytes], self._held[max_bytes:]
            return data
        while True:
            try:
                data, ended = self._receive(max_bytes)
            except _LATER as e:
                await self._wait(e, writing=False)
                continue
            if self.frames is not None and self._is_refused():
                raise Refused(f"GOAWAY, error {self.frames.error}")
            if data or ended:
                return data

    def _receive(self, most: int) -> tuple[bytes, bool]:
        """What can be read at once, and whether that is the end."""
        try:
            data: bytes = self.sock.recv(min(most, CHUNK))
        except _LATER:
            raise
        except OSError as e:
            self._hear(*read_cause(e, reset=was_reset(self.sock)))
            raise
        if not data:
            if self._ended_by_reset():
                self._hear(errno.ECONNRESET, describe_errno(errno.ECONNRESET))
                raise ConnectionResetError(errno.ECONNRESET, describe_errno(errno.ECONNRESET))
            self._hear(Fault.EOF, "")
            return b"", True
        self.received += len(data)
        if self.received > self.limit:
            raise WireError(f"the answer is longer than {MAX_BODY} bytes")
        if self.reader is not None:
            self.reader.receive(data)
        return (data if self.frames is None else self.frames.feed(data)), False

    def _ended_by_reset(self) -> bool:
        """Whether the end that was just read is an RST of which TLS, or a write before, has taken the news."""
        if self.unsent is not None:
            return self.unsent[0] == errno.ECONNRESET
        return isinstance(self.sock, ssl.SSLSocket) and was_reset(self.sock)

    def _hear(self, cause: Cause, detail: str) -> None:
        if self.said is None:
            self.said = cause, detail
            self.reset = not isinstance(cause, Fault)

    def _is_refused(self) -> bool:
        # Streams of a client are numbered 1, 3, 5, …
        last = None if self.frames is None else self.frames.last_stream
        return last is not None and last < 2 * self.asked - 1

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send it all. That it cannot be sent is noted; what can still be read then tells how the attempt ended."""
        await trio.lowlevel.checkpoint()
        rest = memoryview(buffer)
        while rest and self.unsent is None:
            try:
                rest = rest[self.sock.send(rest) :]
            except _LATER as e:
                await self._wait(e, writing=True)
            except OSError as e:
                self.unsent = read_cause(e, reset=was_reset(self.sock))
                self.unasked = self.asking

    async def _wait(self, why: OSError, *, writing: bool) -> None:
        if isinstance(why, ssl.SSLError):  # TLS reads to write, and the other way round
            writing = isinstance(why, ssl.SSLWantWriteError)
        await (trio.lowlevel.wait_writable if writing else trio.lowlevel.wait_readable)(self.sock)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Line:
        """Shake hands."""
        if self.frames is not None:
            ssl_context.set_alpn_protocols(["h2"])
        sock = ssl_context.wrap_socket(self.sock, server_hostname=server_hostname, do_handshake_on_connect=False)
        self.sock = sock
        while True:
            try:
                sock.do_handshake()
            except _LATER as e:
                await self._wait(e, writing=False)
            except OSError as e:
                self._hear(*read_cause(e, reset=was_reset(self.sock)))
                raise
            else:
                break
        if self.frames is not None and sock.selected_alpn_protocol() != "h2":
            raise WireError("the server does not speak HTTP/2 on this port")
        return self

    async def aclose(self) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close it; nothing is said to the peer."""
        if not self.closed:
            self.closed = True
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()

    def get_extra_info(self, info: str) -> Any:
        """What httpx wants to know of it; idle connections are looked at by `is_gone` instead."""
        return self.sock if info == "ssl_object" and isinstance(self.sock, ssl.SSLSocket) else None

    # What we ask

    def is_gone(self) -> bool:
        """Look at an idle connection: whether it has ended, or will take no more requests."""
        if self.closed:
            return True
        for _ in range(IDLE_READS):
            try:
                data, ended = self._receive(CHUNK)
            except _LATER:
                break
            except (OSError, WireError):
                return True
            if ended or self.frames is None:
                return True  # in HTTP/1 whatever came was not asked for
            self._held += data
        return self.is_leaving

    @property
    def is_leaving(self) -> bool:
        """Whether the server has said that it takes no more requests on it."""
        return self.frames is not None and self.frames.last_stream is not None


async def open_line(address: Address, *, number: int, clock: Clock, http2: bool) -> Line:
    """Connect.

    Raises:
        OSError: it did not come to be.
    """
    sock = open_socket(address)
    try:
        error = begin_connect(sock, address)
        if error in (errno.EINPROGRESS, errno.EINTR):
            await trio.lowlevel.wait_writable(sock)
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, describe_errno(error))
        return Line(sock, address, number=number, now=clock(), http2=http2)
    except BaseException:
        sock.close()
        raise
