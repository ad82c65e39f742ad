"""The ingress's own proxy: asks a backend for each request of a client, and says 502, 503 or 504 when none answers."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress

import trio

from rollcheck.sandbox.network.endpoints import Endpoint
from rollcheck.sandbox.network.exchange import AnswerReader, NotHttp, Request, RequestReader, own_answer, to_backend
from rollcheck.sandbox.network.rules import IDEMPOTENT, NGINX_MANNER, Manner
from rollcheck.sandbox.network.splice import CHUNK, send_all

IDLE_S = 75.0
"""nginx's keepalive_timeout."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Find = Callable[[str, str], tuple[Manner, list[Endpoint]] | None]
"""Host and path → how to treat the backends, and the backends in the order in which they are to be asked; None when no
Ingress has such a path."""


class BackendFailed(Exception):
    """A backend gave no answer.

    Attributes:
        status: what the client is told: 502, or 504 when time ran out.
        sent: whether it may have got the request.
    """

    def __init__(self, status: int, *, sent: bool) -> None:
        super().__init__(str(status))
        self.status = status
        self.sent = sent


class ClientGone(Exception):
    """The client went away, or an answer was cut after its head: all that is left is to close."""


async def relay(client: trio.socket.SocketType, peer: str, find: Find) -> None:
    """Serve one client until it or its requests end."""
    with client, suppress(OSError, ClientGone):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = RequestReader()
        while True:
            try:
                request = await _next_request(client, reader)
            except NotHttp:
                await send_all(client, own_answer(400, like="nginx", keep_alive=False))
                return
            if request is None:
                return
            if not await _answer(client, peer, request, find):
                client.shutdown(socket.SHUT_WR)
                await _drain(client)
                return
            reader.next()


async def _next_request(client: trio.socket.SocketType, reader: RequestReader) -> Request | None:
    """The next request, whole; None when the client has no more."""
    continued = False
    while not reader.request.complete:
        if reader.request.too_long:
            return reader.request
        if reader.request.expects and not continued:
            continued = True
            await send_all(client, CONTINUE)
        with trio.move_on_after(IDLE_S):
            data = await client.recv(CHUNK)
            if not data:
                return None
            reader.feed(data)
            continue
        return None
    return reader.request


async def _drain(client: trio.socket.SocketType) -> None:
    """Read what still comes, so that closing does not reset what the client has not read yet."""
    with trio.move_on_after(1):
        while await client.recv(CHUNK):
            pass


async def _answer(client: trio.socket.SocketType, peer: str, request: Request, find: Find) -> bool:
    """Answer one request; whether the connection can take another."""
    if request.too_long:
        await send_all(client, own_answer(413, like="nginx", keep_alive=False))
        return False
    found = find(request.header(b"host").decode("latin-1"), request.path)
    manner, backends = found or (NGINX_MANNER, [])
    status = 503 if found else 404
    for backend in (backends[i % len(backends)] for i in range(manner.tries if backends else 0)):
        try:
            return await _ask(client, peer, request, backend, manner)
        except BackendFailed as failed:
            status = failed.status
            if failed.sent and not (manner.resend and request.method in IDEMPOTENT):
                break
    page = own_answer(status, like=manner.name, keep_alive=request.keep_alive, head_only=request.method == "HEAD")
    await send_all(client, page)
    return request.keep_alive


async def _ask(client: trio.socket.SocketType, peer: str, request: Request, backend: Endpoint, manner: Manner) -> bool:
    """Send the request to one backend and its answer to the client; whether the client's connection can be used again.

    Raises:
        BackendFailed: nothing has been sent to the client yet.
        ClientGone: something has.
    """
    with trio.socket.socket() as pod:
        await _connect(pod, backend, manner)
        answer = AnswerReader(request)
        try:
            await send_all(pod, to_backend(request, peer))
        except OSError as e:
            raise BackendFailed(502, sent=True) from e
        while not answer.complete:
            try:
                part = await _read(pod, answer, manner)
            except BackendFailed:
                if answer.begun:
                    raise ClientGone from None  # a half answer can only be cut, so that the client sees it
                raise
            if part:
                await send_all(client, part)
        return answer.keeps_alive


async def _connect(pod: trio.socket.SocketType, backend: Endpoint, manner: Manner) -> None:
    with trio.move_on_after(manner.connect_s):
        try:
            await pod.connect(backend.address)
        except OSError as e:
            raise BackendFailed(502, sent=False) from e
        return
    raise BackendFailed(504, sent=False)


async def _read(pod: trio.socket.SocketType, answer: AnswerReader, manner: Manner) -> bytes:
    """The next part of an answer, as the client is to have it."""
    with trio.move_on_after(manner.read_s):
        try:
            data = await pod.recv(CHUNK)
            part = answer.feed(data) if data else answer.end()
        except (OSError, NotHttp) as e:
            raise BackendFailed(502, sent=True) from e
        if not data and not answer.complete:
            raise BackendFailed(502, sent=True)
        return part
    raise BackendFailed(504, sent=True)
