"""HTTP/1.1 as bytes: a request to send, and what the bytes of an answer mean. No I/O, no clock.

httptools (llhttp) parses. What it does not do is done here:

- An answer to HEAD has no body whatever its headers say; llhttp would take the next answer for it.
- A body without length and without chunks ends with the connection; llhttp has no call for EOF.
- 1xx answers come out as messages of their own; they are passed over, within bounds.
- Heads, bodies and what surrounds the chunks of a body have bounds, exact to the byte, so that the same bytes are
  judged alike however they were cut.

Headers are handed to Python only where somebody asked for them: that doubles the cost of an answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import httptools

from rollcheck.load.plan import Target

MAX_HEAD = 64 * 1024
"""Bytes of all heads of one answer, 1xx included."""
MAX_BODY = 1 << 30
"""Bytes of one body."""
MAX_FRAMING = 16 << 20
"""Bytes of one answer that are no body: a chunk's extensions and the trailers might never end."""
MAX_INTERIM = 32
"""1xx answers before the final one."""
KEEP_BODY = 1 << 20
"""Bytes of a body that are kept where its content matters."""


class WireError(Exception):
    """What arrived is not an HTTP/1.1 answer that we accept; becomes an outcome, never leaves `load`."""


def build_request(
    target: Target,
    method: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    *,
    close: bool,
    agent: str,
    path: str = "",
    http10: bool = False,
) -> bytes:
    """The bytes of one request.

    Args:
        target: where it goes.
        method: in upper case, usually.
        headers: the caller's; they replace ours of the same name.
        body: sent with its Content-Length; empty means none.
        close: whether to ask for the connection to be closed after the answer.
        agent: our User-Agent.
        path: what to ask for instead of the target's own path.
        http10: speak HTTP/1.0, in which a connection stays open only if both sides say so.
    """
    given = {name.lower() for name, _ in headers}
    ours = [("Host", target.host_header), ("User-Agent", agent), ("Accept", "*/*")]
    if http10 and not close:
        ours.append(("Connection", "keep-alive"))
    lines = [(name, value) for name, value in ours if name.lower() not in given]
    lines += [(name, value) for name, value in headers if not (close and name.lower() == "connection")]
    if body or method in {"POST", "PUT", "PATCH"}:
        lines.append(("Content-Length", str(len(body))))
    if close:
        lines.append(("Connection", "close"))
    first = f"{method} {path or target.path} HTTP/1.{0 if http10 else 1}\r\n"
    head = "".join([first, *(f"{name}: {value}\r\n" for name, value in lines), "\r\n"])
    # latin-1 is what a header's bytes are; anything else a person typed goes out as UTF-8.
    return (head.encode("latin-1") if _is_latin(head) else head.encode()) + body


def _is_latin(text: str) -> bool:
    return all(ord(c) < 256 for c in text)


class ResponseReader:
    """Reads one answer at a time; `receive` and `receive_eof` say whether it is whole.

    Attributes:
        done: the answer is whole.
        head_done: the final head is complete.
        received: bytes taken in for this answer.
        status: of the final head, else of the last 1xx, else 0.
        keep_alive: whether the connection may carry another request; meaningful once done.
        surplus: more bytes came than the answer has: the connection cannot be used again.
        body: its first bytes, as many as asked for.
        pod: value of the header that names the pod.
        headers: of the final head, where asked for.
    """

    def __init__(self, *, head_request: bool = False, pod_header: str = "", keep_body: int = 0) -> None:
        self.head_request = head_request
        self.pod_header = pod_header.lower().encode("latin-1", "replace")
        self.keep_body = keep_body
        self.start()

    def start(self) -> None:
        """Make ready for another answer, whatever became of the last one."""
        self._parser = httptools.HttpResponseParser(self)
        self._clear()

    def next(self) -> None:
        """Make ready for the next answer on the same connection; cheaper than `start` where that is safe."""
        if self.done and self.keep_alive and not self.surplus and not self.head_request:
            self._clear()
        else:
            self.start()

    def _clear(self) -> None:
        self.done = self.head_done = self.keep_alive = self.surplus = False
        self.received = self.status = self._interim = self._body_bytes = 0
        self.body = b""
        self.pod = ""
        self.headers: list[tuple[str, str]] = []
        self._head = b""
        self._fault = ""

    def receive(self, data: bytes) -> bool:
        """Take in bytes (not empty); True once the answer is whole.

        Raises:
            WireError: it is not an answer we accept. The reader must be started anew.
        """
        before = self.received
        self.received += len(data)
        if self.done:
            self.surplus |= bool(data.strip(b"\r\n"))  # llhttp passes over line ends between answers
            return True
        if self.head_done:
            return self._receive_more(data, before)
        if self.received > MAX_HEAD:
            return self._receive_long(data, before)
        self._head = self._head + data if self._head else data
        return self._feed(data)

    def _receive_long(self, data: bytes, before: int) -> bool:
        """Bytes that may overstep the bound on heads: up to the bound first, the rest only if the head ended there."""
        first, rest = data[: MAX_HEAD - before], data[MAX_HEAD - before :]
        self._head += first
        if first:
            self._feed(first)
        if not self.head_done:
            raise WireError(f"the head of the answer is longer than {MAX_HEAD} bytes")
        if self.done:
            self.surplus |= bool(rest.strip(b"\r\n"))
            return True
        return self._receive_more(rest, before + len(first))

    def _receive_more(self, data: bytes, fed: int) -> bool:
        """Bytes after the head; `fed` came before them. Never more at once than can just overstep the bound."""
        while fed + len(data) - self._body_bytes > MAX_FRAMING:
            some = MAX_FRAMING + 1 - (fed - self._body_bytes)
            first, data = data[:some], data[some:]
            fed += some
            if self._feed(first):
                self.surplus |= bool(data.strip(b"\r\n"))
                return True
            if fed - self._body_bytes > MAX_FRAMING:
                raise WireError(f"more than {MAX_FRAMING} bytes of the answer are no body")
        return self._feed(data) if data else False

    def _feed(self, data: bytes) -> bool:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as e:
            if not self.done:
                raise WireError("answered 101 Switching Protocols, which nobody asked for") from e
            self.surplus = True
        except httptools.HttpParserError as e:
            if not self.done:
                raise WireError(self._fault or str(e) or type(e).__name__) from e
            # A whole answer with rubbish after it: the answer counts, the connection does not.
            self.surplus = True
        if self._fault:
            raise WireError(self._fault)
        return self.done

    def receive_eof(self) -> bool:
        """The peer will send no more; True if that makes the answer whole (a body that ends with the connection)."""
        if not self.done and self.head_done and not _is_framed(self._head):
            self.done = True
            self.keep_alive = False
        return self.done

    @property
    def head_bytes(self) -> int:
        """Bytes up to the end of the final head, those of 1xx answers included; 0 before it is complete."""
        if not self.head_done:
            return 0
        end = 0
        for _ in range(self._interim + 1):
            while self._head[end] in b"\r\n":  # llhttp passes over line ends before an answer
                end += 1
            end = self._head.index(b"\r\n\r\n", end) + 4
        return end

    # What httptools calls; an exception in here would reach us wrapped, so faults are noted and raised by _feed.

    def on_message_begin(self) -> None:
        """Part of httptools' protocol."""
        if self.done:
            self.surplus = True

    def on_headers_complete(self) -> None:
        """Part of httptools' protocol."""
        if self.done:
            return
        self.status = self._parser.get_status_code()
        if self.status == 101:
            self._fault = "answered 101 Switching Protocols, which nobody asked for"
        elif self.status < 200:
            self._interim += 1
            self.headers.clear()
            if self._interim > MAX_INTERIM or self.status < 100:
                self._fault = (
                    f"more than {MAX_INTERIM} 1xx answers" if self._interim > MAX_INTERIM else "no such status"
                )
        elif self._parser.get_http_version()[0] != "1" or not self._head.lstrip(b"\r\n").startswith(b"HTTP/"):
            # llhttp also takes RTSP, ICE and HTTP/2.0 in the status line.
            self._fault = "the answer is not HTTP/1"
        else:
            self.head_done = True
            if self.head_request:
                self.done = True
                self.keep_alive = self._stays_open()

    def on_body(self, data: bytes) -> None:
        """Part of httptools' protocol."""
        if self.done:
            self.surplus = True
            return
        self._body_bytes += len(data)
        if self._body_bytes > MAX_BODY:
            self._fault = f"the body of the answer is longer than {MAX_BODY} bytes"
        elif len(self.body) < self.keep_body:
            self.body += data[: self.keep_body - len(self.body)]

    def on_message_complete(self) -> None:
        """Part of httptools' protocol."""
        if self.head_done and not self.done:
            self.done = True
            self.keep_alive = self._parser.should_keep_alive()

    def _stays_open(self) -> bool:
        """Whether a head without body leaves the connection open; llhttp would want a length for that."""
        tokens = {t.strip().lower() for name, v in self.headers if name.lower() == "connection" for t in v.split(",")}
        if self._parser.get_http_version() == "1.1":
            return "close" not in tokens
        return "keep-alive" in tokens


class HeaderReader(ResponseReader):
    """A reader that also looks at the headers: for HEAD, for the name of the pod, for `ask`."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Part of httptools' protocol."""
        if self.head_done:
            return  # a trailer
        self.headers.append((name.decode("latin-1"), value.decode("latin-1")))
        if name.lower() == self.pod_header:
            self.pod = value.decode("utf-8", "replace").strip()


def make_reader(method: str, pod_header: str = "", *, keep_body: int = 0, headers: bool = False) -> ResponseReader:
    """The cheapest reader that serves for answers to `method`."""
    head_request = method == "HEAD"
    kind = HeaderReader if head_request or pod_header or headers else ResponseReader
    return kind(head_request=head_request, pod_header=pod_header, keep_body=keep_body)


def _is_framed(head: bytes) -> bool:
    """Whether the last head in `head` announced where its body ends."""
    reader = HeaderReader()
    reader.receive(head)
    names = {name.lower() for name, _ in reader.headers}
    codings = ",".join(value for name, value in reader.headers if name.lower() == "transfer-encoding").split(",")
    return "content-length" in names or codings[-1].strip().lower() == "chunked"
