"""An API server of our own for one test: h11 on loopback, every answer scripted by the test.

A handler takes (request, send) where `request` has method, path, query, headers and body, and either returns an
`Answer` or drives `send` itself (watch streams: torn chunks, resets, silence).
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import h11
import trio

from rollcheck.kube.access import Access, Credentials
from rollcheck.kube.tasks import one_error


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


def status_object(code: int, reason: str = "", message: str = "") -> Answer:
    body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message or reason}
    return Answer(code, body)


class Stream:
    """The sending side of one chunked answer."""

    def __init__(self, raw: trio.SocketStream, http: h11.Connection) -> None:
        self._raw = raw
        self._http = http

    async def start(self, status: int = 200) -> None:
        headers = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
        await self._raw.send_all(self._http.send(h11.Response(status_code=status, headers=headers)) or b"")

    async def send(self, data: bytes) -> None:
        await self._raw.send_all(self._http.send(h11.Data(data=data)) or b"")

    async def event(self, kind: str, raw: Any) -> None:
        await self.send(json.dumps({"type": kind, "object": raw}).encode() + b"\n")

    async def end(self) -> None:
        await self._raw.send_all(self._http.send(h11.EndOfMessage()) or b"")

    async def cut(self) -> None:
        """Close without the end of the message."""
        await self._raw.aclose()

    async def reset(self) -> None:
        self._raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self._raw.aclose()


Handler = Callable[[Request, Stream], Awaitable[Answer | None]]


class FakeApi:
    """What was asked (`requests`), and where; while `down`, every connection is closed at once."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.requests: list[Request] = []
        self.port = 0
        self.down = False
        self._streams: set[Any] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Cut every connection that is open now; new ones are still taken."""
        for stream in list(self._streams):
            stream.socket.close()

    async def serve(self, stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]) -> None:
        if self.down:
            await trio.aclose_forcefully(stream)
            return
        self._streams.add(stream)
        http = h11.Connection(h11.SERVER)
        body = b""
        head: h11.Request | None = None
        try:
            while True:
                event = http.next_event()
                if event is h11.NEED_DATA:
                    http.receive_data(await stream.receive_some(65536))
                elif isinstance(event, h11.Request):
                    head, body = event, b""
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    assert head is not None
                    await self._answer(stream, http, head, body)
                    http.start_next_cycle()
                else:
                    break
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.ProtocolError):
            return
        finally:
            self._streams.discard(stream)
            await trio.aclose_forcefully(stream)

    async def _answer(self, stream: Any, http: h11.Connection, head: h11.Request, body: bytes) -> None:
        parts = urlsplit(head.target.decode())
        headers = {k.decode().lower(): v.decode() for k, v in head.headers}
        request = Request(head.method.decode(), parts.path, dict(parse_qsl(parts.query)), headers, body)
        self.requests.append(request)
        answer = await self.handler(request, Stream(stream, http))
        if answer is None:
            return
        data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        lines = [("Content-Length", str(len(data))), *answer.headers.items()]
        out = http.send(h11.Response(status_code=answer.status, headers=lines)) or b""
        out += http.send(h11.Data(data=data)) or b""
        await stream.send_all(out + (http.send(h11.EndOfMessage()) or b""))


@asynccontextmanager
async def serving(handler: Handler, ssl_context: Any = None) -> AsyncIterator[FakeApi]:
    fake = FakeApi(handler)
    with one_error():
        async with trio.open_nursery() as nursery:
            if ssl_context is None:
                listeners: list[Any] = await trio.open_tcp_listeners(0, host="127.0.0.1")
                fake.port = listeners[0].socket.getsockname()[1]
            else:
                listeners = await trio.open_ssl_over_tcp_listeners(0, ssl_context, host="127.0.0.1")
                fake.port = listeners[0].transport_listener.socket.getsockname()[1]
            nursery.start_soon(_serve, fake, listeners)
            try:
                yield fake
            finally:
                nursery.cancel_scope.cancel()


async def _serve(fake: FakeApi, listeners: list[Any]) -> None:
    async def handle(stream: Any) -> None:
        await fake.serve(stream)

    await trio.serve_listeners(handle, listeners)


class PlainConfiguration:
    """As much of the official Configuration as a token needs."""

    def __init__(self, token: str = "") -> None:
        self.token = token

    def get_api_key_with_prefix(self, _: str) -> str | None:
        return f"Bearer {self.token}" if self.token else None


def access_to(url: str, *, token: str = "secret", reload: Callable[[], Any] | None = None) -> Access:
    configuration = PlainConfiguration(token)
    return Access(
        server=url,
        context="test",
        namespace="shop",
        user="alice",
        source="kubeconfig",
        tls=None,
        sni="",
        proxy="",
        credentials=Credentials(configuration, reload or (lambda: configuration)),
    )
