"""HTTP/1.1 on one connection: requests in, answers out, kept alive; bodies that go on for long are sent in chunks."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools
import trio

MAX_BODY = 3 * 1024 * 1024
"""As the real server's --max-request-bytes."""
MAX_HEAD = 256 * 1024
RECEIVE = 65536
IDLE_S = 300.0
"""A connection without a request for so long is closed."""

Send = Callable[[bytes], Awaitable[None]]


@dataclass(slots=True)
class Request:
    """One request.

    Attributes:
        path: decoded, without the query.
        query: the last value of each parameter.
        headers: by name in small letters; the last value of each.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    def flag(self, name: str) -> bool:
        """Whether a query parameter says yes, as Go's conversion of query strings to bool reads it."""
        return name in self.query and self.query[name].lower() not in ("false", "0")


@dataclass(slots=True)
class Answer:
    """One answer.

    Attributes:
        pump: called with a function that sends one chunk; its return ends the body. None: `body` is all.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)
    pump: Callable[[Send], Awaitable[None]] | None = None


Handler = Callable[[Request], Awaitable[Answer]]


class BadHttp(Exception):
    """What came is no HTTP that is read here; the connection ends with this status."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Reader:
    """Bytes → requests, by httptools' callbacks.

    Attributes:
        ready: requests that came whole, each with whether the connection outlives its answer.
        broken: what came behind them and is no HTTP; nothing is read any more then.
        expects_continue: whether the client waits for a word before it sends its body.
    """

    def __init__(self) -> None:
        self.ready: deque[tuple[Request, bool]] = deque()
        self.broken: BadHttp | None = None
        self.expects_continue = False
        self._upgraded = False
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = self._head = 0

    def feed(self, data: bytes | bytearray) -> None:
        """Take what was received; whole requests go to `ready`, what is none to `broken`."""
        if self.broken is not None or self._upgraded:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # a server may answer without upgrading (RFC 9110, 7.8): so this one does, and then ends the connection
            self._upgraded = True
            request, _ = self.ready.pop()
            self.ready.append((request, False))
        except httptools.HttpParserError as e:
            cause = e.__context__
            self.broken = cause if isinstance(cause, BadHttp) else BadHttp(400, f"not HTTP/1.1: {e}")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url, self._headers, self._body = b"", {}, []
        self._size = self._head = 0

    def on_url(self, url: bytes) -> None:
        """Part of its URL."""
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._count(len(name) + len(value))
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def _count(self, more: int) -> None:
        self._head += more
        if self._head > MAX_HEAD:
            raise BadHttp(431, "the request's head is too large")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self.expects_continue = self._headers.get("expect", "").lower() == "100-continue"

    def on_body(self, data: bytes) -> None:
        """Part of its body."""
        self._size += len(data)
        if self._size > MAX_BODY:
            raise BadHttp(413, f"Request entity too large: limit is {MAX_BODY}")
        self._body.append(data)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self.expects_continue = False
        parts = urlsplit(self._url.decode("latin-1"))
        request = Request(
            method=self._parser.get_method().decode(),
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers=self._headers,
            body=b"".join(self._body),
        )
        self.ready.append((request, self._parser.should_keep_alive()))


def head(answer: Answer, *, keep: bool) -> bytes:
    """The status line and headers of an answer."""
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [
        f"HTTP/1.1 {answer.status} {phrase}",
        f"Content-Type: {answer.content_type}",
        "Cache-Control: no-cache, private",
        *(f"{name}: {_one_line(value)}" for name, value in answer.headers),
        "Transfer-Encoding: chunked" if answer.pump else f"Content-Length: {len(answer.body)}",
    ]
    if not keep:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", errors="replace")


def _one_line(value: str) -> str:
    """A header's value that cannot begin another header, whatever a client made us quote."""
    return "".join(character if character.isprintable() else " " for character in value)


async def serve_connection(stream: trio.abc.Stream, handler: Handler, refuse: Callable[[int, str], Answer]) -> None:
    """Answer requests on `stream` until either side ends it.

    Args:
        stream: the client's.
        handler: makes each answer; raises nothing.
        refuse: makes the answer to what is no readable request, from a status and words.
    """
    reader = Reader()
    while True:
        try:
            found = await _next_request(stream, reader)
        except BadHttp as e:
            await stream.send_all(_whole(refuse(e.status, str(e)), keep=False))
            return
        if found is None:
            return
        request, keep = found
        answer = await handler(request)
        if answer.pump is None:
            body = answer if request.method != "HEAD" else Answer(answer.status, b"", answer.content_type)
            await stream.send_all(_whole(body, keep=keep))
        elif not await _stream(stream, reader, answer, keep=keep):
            return
        if not keep:
            return


def _whole(answer: Answer, *, keep: bool) -> bytes:
    return head(answer, keep=keep) + answer.body


async def _next_request(stream: trio.abc.Stream, reader: Reader) -> tuple[Request, bool] | None:
    """The next request and whether the connection outlives its answer; None when there will be none. Raises BadHttp."""
    while not reader.ready:
        if reader.broken is not None:
            raise reader.broken
        with trio.move_on_after(IDLE_S):
            data = await stream.receive_some(RECEIVE)
            if not data:
                return None
            reader.feed(data)
            if reader.expects_continue:
                reader.expects_continue = False
                await stream.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            continue
        return None
    return reader.ready.popleft()


async def _stream(stream: trio.abc.Stream, reader: Reader, answer: Answer, *, keep: bool) -> bool:
    """Send a body in chunks for as long as the client listens; whether the connection can be used further."""
    assert answer.pump is not None
    pump = answer.pump
    whole = False
    async with trio.open_nursery() as nursery:

        async def send(chunk: bytes) -> None:
            if chunk:
                await stream.send_all(b"%x\r\n%b\r\n" % (len(chunk), chunk))

        async def listen() -> None:
            # a client that leaves is only noticed by reading; what it sends meanwhile is its next request
            try:
                while data := await stream.receive_some(RECEIVE):
                    reader.feed(data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            nursery.cancel_scope.cancel()

        nursery.start_soon(listen)
        await stream.send_all(head(answer, keep=keep))
        await pump(send)
        await stream.send_all(b"0\r\n\r\n")
        whole = True
        nursery.cancel_scope.cancel()
    return whole
