"""HTTP/2, and redirects, through httpx: the one module that imports it. A client here has one request at a time.

httpx does not know of what matters here, so this is held against it:

- The network below it is ours (`h2line`): it would try every address of a name until one answers.
- Its connection pool may send a request again, unseen. A trace counts what is sent: a second time ends the attempt.
- It does not look at an idle HTTP/2 connection. Ours is looked at before each request, so that a close that has arrived
  by then is no loss.
- It gives the next request what came after the last answer, and judges HTTP/1.1 by rules of its own. Our reader reads
  along.
- Timeouts are the caller's: one for all of an attempt.

The cause of a failure is what the network said, wherever it said something; only what remains is told by the type of
the exception (`find_fault`).
"""

from __future__ import annotations

import errno
import importlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Self
from uuid import uuid4

import h11
import httpcore
import httpx
import trio

from rollcheck import __version__
from rollcheck.errors import UsageError
from rollcheck.facts.attempts import Phase
from rollcheck.facts.clock import Instant
from rollcheck.load.h2line import Line, Refused, open_line
from rollcheck.load.outcomes import Cause, Fault
from rollcheck.load.plan import LoadPlan
from rollcheck.load.timer import Clock
from rollcheck.load.transport import Address, read_cause, was_reset
from rollcheck.load.wire import KEEP_BODY, MAX_BODY, WireError, make_reader

MAX_HOPS = 10
"""Redirects followed in one attempt."""
_ONE_CONNECTION = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
"""Headers that HTTP/2 does not have."""

FindAddress = Callable[[str, int], Awaitable[Address]]
"""Where host and port are now; raises OSError when that cannot be learnt."""


class SentTwice(Exception):
    """httpx was about to send a request again; becomes an outcome."""


def _load_h2() -> tuple[type[Exception], ...]:
    """The roots of what h2 raises; none where it is not installed."""
    roots = {"h2": "H2Error", "hpack": "HPACKError", "hyperframe": "HyperframeError"}
    try:
        return tuple(getattr(importlib.import_module(f"{name}.exceptions"), root) for name, root in roots.items())
    except ImportError:
        return ()


FAULTS: dict[type[Exception], Fault] = {
    Refused: Fault.EOF,
    SentTwice: Fault.EOF,
    WireError: Fault.PARSER,
    # An answer that cannot be made sense of, or a Location in it.
    h11.ProtocolError: Fault.PARSER,
    httpcore.ProtocolError: Fault.PARSER,
    httpcore.ProxyError: Fault.PARSER,
    httpcore.UnsupportedProtocol: Fault.PARSER,
    httpx.CookieConflict: Fault.PARSER,
    httpx.HTTPError: Fault.PARSER,
    httpx.InvalidURL: Fault.PARSER,
    httpx.StreamError: Fault.PARSER,
    **dict.fromkeys(_load_h2(), Fault.PARSER),
    # The network's, had it said nothing itself.
    httpcore.ConnectionNotAvailable: Fault.EOF,
    httpcore.NetworkError: Fault.EOF,
    httpcore.TimeoutException: Fault.DEADLINE,
    httpx.NetworkError: Fault.EOF,
    httpx.TimeoutException: Fault.DEADLINE,
}
"""What an exception means that no word of the network explains; the nearest of its ancestors counts."""

FAILURES = tuple(FAULTS)


def find_fault(error: Exception) -> Fault:
    """What one of `FAILURES` means."""
    return next(FAULTS[kind] for kind in type(error).__mro__ if kind in FAULTS)


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One attempt, as far as it has come.

    Attributes:
        scope: its deadline is moved to `timeout_s` after the first act on the network.
        phase: how far.
        cause, detail: why it failed; None when the answer is whole, or as long as it is under way.
        sent: the first act on the network, 0 before.
        connected: when a new connection stood, 0 for a used one or none.
        first_byte: when the head of the answer was there.
        line: the connection; None before there was one.
        requests_before, age_ns: of the line, when the attempt began on it.
        status, pod, body: of the answer; the first bytes of the body, as many as its judgement needs.
        head_bytes, total_bytes: of the answer; what is not body counts as head.
        keep: whether the connection may carry another request.
        surplus: more came than the answer has.
        sends: requests begun since the last redirect.
    """

    scope: trio.CancelScope
    phase: Phase = Phase.RESOLVE
    cause: Cause | None = None
    detail: str = ""
    sent: Instant = 0
    connected: Instant = 0
    first_byte: Instant = 0
    line: Line | None = None
    requests_before: int = 0
    age_ns: int = 0
    status: int = 0
    pod: str = ""
    body: bytes = b""
    body_bytes: int = 0
    total_bytes: int = 0
    keep: bool = False
    surplus: bool = False
    sends: int = 0
    received_before: int = 0

    @property
    def head_bytes(self) -> int:
        """Bytes of the answer that are not body."""
        return self.total_bytes - self.body_bytes


class Client:
    """A place for one connection (and one more to each server that redirects lead to).

    Attributes:
        line: the connection to the target, None while there is none.
        exchange: the attempt under way, or the last one.

    Raises:
        UsageError: HTTP/2 is asked for and h2 is not installed, or HTTP/1.0, which httpx does not speak.
    """

    def __init__(
        self,
        plan: LoadPlan,
        tls: ssl.SSLContext,
        *,
        http2: bool,
        follow: bool,
        close: bool,
        path: str,
        find_address: FindAddress,
        number_line: Callable[[], int],
        clock: Clock,
    ) -> None:
        self._lines: dict[tuple[bytes, int | None], Line] = {}
        self._home = plan.target.host.encode(), plan.target.port
        self._plan, self._http2, self._follow, self._clock = plan, http2, follow, clock
        self._network = _Network(self, find_address, number_line)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=None,
            http1=not http2,
            http2=http2,
            retries=0,
            network_backend=self._network,
        )
        self._transport = _Transport(self._pool)
        # Cookies of one attempt are no business of the next.
        jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._httpx = httpx.AsyncClient(transport=self._transport, trust_env=False, timeout=None, cookies=jar)  # noqa: S113
        self._path = (path or plan.target.path).encode()
        self._headers = list(_headers_of(plan, http2=http2, close=close))
        self.exchange: Exchange | None = None

    @property
    def line(self) -> Line | None:
        """See the attributes."""
        return self._lines.get(self._home)

    async def ask(self, exchange: Exchange) -> None:
        """Send one request and read its answer into `exchange`; whatever the target does is in there."""
        self.exchange = exchange
        if self.line is not None:
            exchange.line = self.line
            exchange.requests_before = self.line.requests
            exchange.sent = self._clock()
            exchange.age_ns = exchange.sent - self.line.opened
            exchange.phase = Phase.SEND
        try:
            await self._ask(exchange)
        except OSError as e:
            line = exchange.line
            said = line.said if line is not None else None
            sock = line.sock if line is not None and not line.closed else None
            self._fail(exchange, *(said or read_cause(e, reset=sock is not None and was_reset(sock))))
        except FAILURES as e:
            self._explain(exchange, e)

    async def _ask(self, exchange: Exchange) -> None:
        request = self._request()
        for _ in range(MAX_HOPS + 1):
            exchange.sends = exchange.body_bytes = exchange.status = 0
            exchange.body = b""
            try:
                if self._follow:
                    response = await self._httpx.send(request, stream=True)
                else:
                    response = await self._transport.handle_async_request(request)
            except ValueError as e:
                # A :status, or the host in a Location, that is none: nobody below looks at them first.
                raise WireError(f"the answer cannot be read: {e}") from e
            await self._read(exchange, response)
            following = response.next_request
            if following is None:
                self._finish(exchange)
                return
            if exchange.surplus:
                raise WireError("more came than the answer has, and httpx would take it for the next")
            following.extensions = dict(request.extensions)
            if following.url.host != request.url.host:
                following.extensions.pop("sni_hostname", None)
            request = following
        raise WireError(f"more than {MAX_HOPS} redirects")

    def _request(self) -> httpx.Request:
        plan, target = self._plan, self._plan.target
        path, body = self._path, plan.body
        if plan.fill_uuid:
            uuid = str(uuid4()).encode()
            path = path.replace(b"%7Buuid%7D", uuid).replace(b"{uuid}", uuid)
            body = body.replace(b"{uuid}", uuid)
        return httpx.Request(
            plan.method,
            httpx.URL(scheme=target.scheme, host=target.host, port=target.port, raw_path=path),
            headers=self._headers,
            content=body,
            extensions={"trace": self._trace, "sni_hostname": target.server_name},
        )

    async def _trace(self, step: str, info: dict[str, Any]) -> None:
        """What httpx tells of its next step."""
        exchange = self.exchange
        assert exchange is not None
        layer, _, step = step.partition(".")
        if layer == "connection" and step.startswith("connect_") and step.endswith(".started"):
            if exchange.sends:
                raise SentTwice("httpx would have sent it again")
        elif step == "start_tls.started":
            exchange.phase = Phase.TLS
        elif step == "send_request_headers.started":
            origin = info["request"].url.origin
            self._begin_sending(exchange, self._lines[origin.host, origin.port])
        elif step == "receive_response_headers.started":
            exchange.phase = Phase.AWAIT
            if exchange.line is not None:
                exchange.line.asking = False
        elif step == "receive_response_headers.complete":
            exchange.phase, exchange.first_byte = Phase.BODY, self._clock()

    def _begin_sending(self, exchange: Exchange, line: Line) -> None:
        exchange.sends += 1
        if exchange.sends > 1:
            raise SentTwice("httpx would have sent it again")
        exchange.phase, exchange.line = Phase.SEND, line
        exchange.received_before = line.received
        # By the line, not where the body is read: that would leave httpx's generators half run.
        line.limit = line.received + MAX_BODY
        line.asked += 1
        line.asking = True
        if not self._http2:
            line.reader = make_reader(self._plan.method)

    async def _read(self, exchange: Exchange, response: httpx.Response) -> None:
        exchange.status = response.status_code
        keep = KEEP_BODY if self._plan.expectation.body else 0
        if self._plan.pod_header:
            exchange.pod = response.headers.get(self._plan.pod_header, "").strip()
        try:
            async for piece in response.stream:  # type: ignore[union-attr]
                exchange.body_bytes += len(piece)
                exchange.body += piece[: max(0, keep - len(exchange.body))]
        finally:
            await response.aclose()
        line = exchange.line
        assert line is not None
        line.requests += 1
        line.ended = self._clock()
        line.pod = exchange.pod or line.pod
        exchange.surplus = line.reader is not None and line.reader.surplus

    def _finish(self, exchange: Exchange) -> None:
        line = exchange.line
        assert line is not None
        exchange.total_bytes = line.received - exchange.received_before
        exchange.keep = not (line.closed or line.is_leaving or exchange.surplus or line.unsent)

    def _explain(self, exchange: Exchange, error: Exception) -> None:
        line = exchange.line
        told = error.args[0] if error.args else None
        if type(told).__name__ == "StreamReset":
            self._fail(exchange, errno.ECONNRESET, f"RST_STREAM {_name(getattr(told, 'error_code', ''))}")
        elif line is not None and line.said is not None:
            self._fail(exchange, *line.said)
        else:
            # Some of h2's say no more than a number.
            words = str(error)[:200]
            self._fail(
                exchange, find_fault(error), words if " " in words else f"{type(error).__name__} {words}".strip()
            )

    def _fail(self, exchange: Exchange, cause: Cause, detail: str) -> None:
        line = exchange.line
        if line is not None and line.unasked and line.unsent is not None and exchange.phase is Phase.AWAIT:
            exchange.phase = Phase.SEND
            cause, detail = line.unsent
        elif cause is Fault.EOF and line is not None and line.reader is not None and line.reader.received:
            cause = Fault.CUT
        exchange.cause, exchange.detail = cause, detail
        exchange.status = exchange.status if exchange.phase is Phase.BODY else 0

    def is_gone(self) -> bool:
        """Whether what is open, idle now, can carry no more requests."""
        return any(line.is_gone() for line in self._lines.values())

    async def drop(self) -> None:
        """Close what is open, so that it can be opened anew."""
        self.close()
        with trio.CancelScope(shield=True):
            await self._pool.aclose()

    def close(self) -> None:
        """Close what is open, for good."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()


class _Network(httpcore.AsyncNetworkBackend):
    """Opens lines for one client."""

    def __init__(self, client: Client, find_address: FindAddress, number_line: Callable[[], int]) -> None:
        self._client, self._find_address, self._number_line = client, find_address, number_line

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's name
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Line:
        """Look the address up, and connect to it."""
        client = self._client
        exchange = client.exchange
        assert exchange is not None
        exchange.phase, exchange.line = Phase.RESOLVE, None
        address = await self._find_address(host, port)
        exchange.phase = Phase.CONNECT
        first = not exchange.sent
        if first:
            exchange.sent = client._clock()
            exchange.scope.deadline = trio.current_time() + client._plan.timeout_s
        line = await open_line(address, number=self._number_line(), clock=client._clock, http2=client._http2)
        client._lines[host.encode(), port] = exchange.line = line
        if first:
            exchange.connected = line.opened
        return line


class _Transport(httpx.AsyncBaseTransport):
    """From httpx to its connection pool, exceptions as they are."""

    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it; the body of the answer is still to be read."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
        )
        answer = await self._pool.handle_async_request(
            httpcore.Request(
                request.method,
                url,
                headers=request.headers.raw,
                content=_Content(request.read()),
                extensions=request.extensions,
            )
        )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer), request=request)


class _Content:
    """The body of a request; no generator, for those complain when an attempt ends before they do."""

    def __init__(self, data: bytes) -> None:
        self._left = [data] if data else []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._answer.aiter_stream():
            yield piece

    async def aclose(self) -> None:
        await self._answer.aclose()


def _headers_of(plan: LoadPlan, *, http2: bool, close: bool) -> Iterable[tuple[bytes, bytes]]:
    """What `wire.build_request` would send, without what is httpx's to add."""
    given = {name.lower() for name, _ in plan.headers}
    ours = [("Host", plan.target.host_header), ("User-Agent", f"rollcheck/{__version__}"), ("Accept", "*/*")]
    for name, value in [*(pair for pair in ours if pair[0].lower() not in given), *plan.headers]:
        if not (http2 and name.lower() in _ONE_CONNECTION) and not (close and name.lower() == "connection"):
            yield name.encode(), value.encode("latin-1" if all(ord(c) < 256 for c in value) else "utf-8")
    if close and not http2:
        yield b"Connection", b"close"


def _name(code: object) -> str:
    return str(getattr(code, "name", code))


def check_h2(plan: LoadPlan, *, http2: bool) -> None:
    """Refuse what cannot be.

    Raises:
        UsageError: h2 is not installed, or the plan asks for what the load engine alone can do.
    """
    if http2 and not _load_h2():
        raise UsageError("HTTP/2 needs the Python package h2; install it with: pip install 'httpx[http2]'")
    if plan.http10 or plan.half_close:
        raise UsageError("HTTP/1.0 and half close do not go together with HTTP/2 or redirects; leave one out")
    if any(lane.min_idle_s for lane in plan.lanes):
        raise UsageError("connections that rest between requests do not go together with HTTP/2 or redirects")
