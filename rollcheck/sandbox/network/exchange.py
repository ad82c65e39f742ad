"""HTTP/1.1 as a reverse proxy needs it: whole requests in, answers through as they come. No sockets here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import httptools

Header = tuple[bytes, bytes]
HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding"})
BODY_MOST = 1 << 20
"""ingress-nginx's proxy-body-size: a longer request is a 413."""
REASONS = {
    400: "Bad Request",
    404: "Not Found",
    413: "Request Entity Too Large",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}
_TRAEFIK = {404: "404 page not found\n", 502: "Bad Gateway", 503: "no available server\n", 504: "Gateway Timeout"}


class NotHttp(Exception):
    """What came is no HTTP/1.1 that we could pass on."""


@dataclass(slots=True)
class Request:
    """One request, whole once `complete`."""

    method: str = ""
    target: bytes = b""
    headers: list[Header] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    keep_alive: bool = True
    complete: bool = False
    expects: bool = False

    def header(self, name: bytes) -> bytes:
        """The first header of that (lower-case) name, empty when there is none."""
        return next((value for key, value in self.headers if key.lower() == name), b"")

    @property
    def path(self) -> str:
        """The path without its query."""
        return self.target.partition(b"?")[0].decode("latin-1")

    @property
    def too_long(self) -> bool:
        """Whether its body is longer than what is taken."""
        said = self.header(b"content-length")
        return len(self.body) > BODY_MOST or (said.isdigit() and int(said) > BODY_MOST)


class RequestReader:
    """Bytes of a client → its requests, one after the other."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.request = Request()
        self._parser = httptools.HttpRequestParser(self)
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take what came in.

        Raises:
            NotHttp: it is no HTTP/1.1.
        """
        if self.request.complete:
            self._rest += data
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as e:
            self._rest = data[e.args[0] :]
            self.request.complete = True
        except httptools.HttpParserError as e:
            raise NotHttp(str(e)) from e

    def next(self) -> None:
        """Go on to the next request, once this one is complete."""
        rest = self._rest
        self._begin()
        if rest:
            self.feed(rest)

    def on_message_begin(self) -> None:
        """The parser's: a request begins."""
        if self.request.complete:
            raise NotHttp("a second request before the answer to the first")

    def on_url(self, url: bytes) -> None:
        """The parser's: a piece of the target."""
        self.request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser's: a header line."""
        self.request.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The parser's: the head is there."""
        request = self.request
        request.method = self._parser.get_method().decode()
        request.keep_alive = self._parser.should_keep_alive()
        request.expects = request.header(b"expect").lower() == b"100-continue"

    def on_body(self, body: bytes) -> None:
        """The parser's: a piece of the body."""
        self.request.body += body

    def on_message_complete(self) -> None:
        """The parser's: the last byte of the body was read."""
        self.request.complete = True


class AnswerReader:
    """Bytes of a backend → what is to be sent to the client, as far as it is known.

    Attributes:
        begun: whether the head is complete, so that something can be sent on.
        complete: whether the last byte was read.
    """

    def __init__(self, request: Request) -> None:
        self.begun = self.complete = False
        self.status = 0
        self._head_only = request.method == "HEAD"
        self._keep_alive = request.keep_alive
        self._reason = b""
        self._headers: list[Header] = []
        self._out = bytearray()
        self._chunked = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the backend; what to send on.

        Raises:
            NotHttp: it does not answer in HTTP/1.1.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise NotHttp("protocol upgrades are not passed on") from None
        except httptools.HttpParserError as e:
            raise NotHttp(str(e)) from e
        return self._take()

    def end(self) -> bytes:
        """The backend closed: what is left to send on, which completes an answer that goes on until the close."""
        if self.begun and self._chunked and not self._framed():
            self._out += b"0\r\n\r\n"
            self.complete = True
        return self._take()

    @property
    def keeps_alive(self) -> bool:
        """Whether the client's connection can be used again after this answer."""
        return self._keep_alive and self.complete

    def _take(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out

    def _framed(self) -> bool:
        return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._headers)

    def on_status(self, reason: bytes) -> None:
        """The parser's: the reason phrase."""
        self._reason = reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser's: a header line."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The parser's: the head is there."""
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self._headers.clear()
            return
        self.begun = True
        bodiless = self._head_only or self.status in (204, 304)
        length = any(name.lower() == b"content-length" for name, _ in self._headers)
        self._chunked = not bodiless and not length
        headers = [h for h in self._headers if h[0].lower() not in HOP_BY_HOP]
        if self._chunked:
            headers.append((b"Transfer-Encoding", b"chunked"))
        headers.append((b"Connection", b"keep-alive" if self._keep_alive else b"close"))
        self._out += b"HTTP/1.1 %d %s\r\n" % (self.status, self._reason) + head_lines(headers)
        self.complete = bodiless

    def on_body(self, body: bytes) -> None:
        """The parser's: a piece of the body."""
        if not self._head_only:
            self._out += b"%x\r\n%b\r\n" % (len(body), body) if self._chunked else body

    def on_message_complete(self) -> None:
        """The parser's: the last byte of the body was read."""
        if self.begun and not self.complete:
            if self._chunked:
                self._out += b"0\r\n\r\n"
            self.complete = True


def head_lines(headers: Iterable[Header]) -> bytes:
    """The header lines and the empty line after them."""
    return b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n"


def to_backend(request: Request, client: str) -> bytes:
    """The request as it is sent to a backend, on a connection of its own."""
    headers = [h for h in request.headers if h[0].lower() not in (*HOP_BY_HOP, b"expect", b"content-length")]
    before = request.header(b"x-forwarded-for")
    headers = [h for h in headers if h[0].lower() not in (b"x-forwarded-for", b"x-real-ip", b"x-forwarded-proto")]
    forwarded = b", ".join(part for part in (before, client.encode()) if part)
    headers += [(b"X-Real-IP", client.encode()), (b"X-Forwarded-For", forwarded), (b"X-Forwarded-Proto", b"http")]
    if request.body or request.header(b"content-length"):
        headers.append((b"Content-Length", b"%d" % len(request.body)))
    headers.append((b"Connection", b"close"))
    return b"%b %b HTTP/1.1\r\n" % (request.method.encode(), request.target) + head_lines(headers) + request.body


def own_answer(status: int, *, like: str, keep_alive: bool, head_only: bool = False) -> bytes:
    """The page that a controller of that class answers by itself."""
    if like == "traefik":
        kind, page = b"text/plain; charset=utf-8", _TRAEFIK.get(status, REASONS[status])
    else:
        words = f"{status} {REASONS[status]}"
        kind = b"text/html"
        page = (
            f"<html>\r\n<head><title>{words}</title></head>\r\n<body>\r\n<center><h1>{words}</h1></center>\r\n"
            "<hr><center>rollcheck sandbox</center>\r\n</body>\r\n</html>\r\n"
        )
    body = page.encode()
    head = [
        (b"Server", b"rollcheck-sandbox"),
        (b"Content-Type", kind),
        (b"Content-Length", b"%d" % len(body)),
        (b"Connection", b"keep-alive" if keep_alive else b"close"),
    ]
    return b"HTTP/1.1 %d %b\r\n" % (status, REASONS[status].encode()) + head_lines(head) + (b"" if head_only else body)
