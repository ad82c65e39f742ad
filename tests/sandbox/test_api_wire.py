"""HTTP/1.1 on one connection, over memory: what is read however it is cut, and what is refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest
import trio
from trio.testing import memory_stream_pair

from rollcheck.sandbox.apiserver import wire
from rollcheck.sandbox.apiserver.wire import Answer, Request, Send

Handler = Callable[[Request], Awaitable[Answer]]


async def echo(request: Request) -> Answer:
    return Answer(200, f"{request.method} {request.path} {request.body.decode()}".encode(), "text/plain")


def refuse(code: int, why: str) -> Answer:
    return Answer(code, why.encode(), "text/plain")


def talk(pieces: list[bytes], handler: Handler = echo) -> bytes:
    """All that a server says to a client that sends these pieces and then nothing more."""
    heard = bytearray()

    async def main() -> None:
        client, server = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, server)
            with suppress(trio.BrokenResourceError):  # the server may have had enough before we had
                for piece in pieces:
                    await client.send_all(piece)
                await client.send_eof()
            async for data in client:
                heard.extend(data)

    async def serve(server: trio.abc.Stream) -> None:
        await wire.serve_connection(server, handler, refuse)
        await server.aclose()

    trio.run(main)
    return bytes(heard)


POST = b"POST /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_requests_are_read_however_they_are_cut(size: int) -> None:
    data = POST + CHUNKED + b"GET /d HTTP/1.1\r\nHost: h\r\n\r\n"
    heard = talk([data[at : at + size] for at in range(0, len(data), size)])
    assert heard.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert [body in heard for body in (b"POST /a b hello", b"POST /c hello", b"GET /d ")] == [True] * 3


def test_a_connection_ends_after_an_answer_when_the_client_wants_it() -> None:
    once = b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    heard = talk([once, once])
    assert heard.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in heard


def test_a_request_for_an_upgrade_is_answered_without_one_and_ends_the_connection() -> None:
    heard = talk([b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", b"more"])
    assert heard.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in heard
    assert heard.endswith(b"GET /a ")


def test_a_request_is_answered_though_nonsense_follows_it() -> None:
    heard = talk([POST + b"nonsense\r\n\r\n"])
    assert heard.startswith(b"HTTP/1.1 200 OK")
    assert b"HTTP/1.1 400 Bad Request" in heard


def test_a_head_request_gets_no_body() -> None:
    heard = talk([b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n"])
    assert heard.startswith(b"HTTP/1.1 200 OK")
    assert heard.endswith(b"\r\n\r\n")


def test_a_client_that_waits_for_it_is_told_to_continue() -> None:
    async def main() -> None:
        client, server = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.serve_connection, server, echo, refuse)
            await client.send_all(b"PUT /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            assert await client.receive_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
            await client.send_all(b"ok")
            assert (await client.receive_some()).startswith(b"HTTP/1.1 200 OK")
            nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nBad header\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * wire.MAX_HEAD + b"\r\n\r\n", b"431"),
    ],
)
def test_what_is_no_request_is_refused_and_ends_the_connection(data: bytes, status: bytes) -> None:
    heard = talk([data])
    assert heard.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in heard


def test_a_body_beyond_the_limit_is_refused() -> None:
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (wire.MAX_BODY + 1)
    heard = talk([head, b"x" * wire.MAX_BODY, b"x"])
    assert heard.startswith(b"HTTP/1.1 413")


async def count_to_three(send: Send) -> None:
    for word in (b"one", b"two", b"three"):
        await send(word)


async def streaming(request: Request) -> Answer:
    return Answer(pump=count_to_three, content_type="text/plain") if request.path == "/stream" else await echo(request)


def test_a_streamed_body_goes_in_chunks_and_the_connection_lives_on() -> None:
    heard = bytearray()

    async def main() -> None:
        client, server = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.serve_connection, server, streaming, refuse)
            await client.send_all(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
            while not heard.endswith(b"0\r\n\r\n"):
                heard.extend(await client.receive_some())
            await client.send_all(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
            heard.extend(await client.receive_some())
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\nHTTP/1.1 200 OK" in heard
    assert heard.endswith(b"GET /next ")


def test_a_request_sent_during_a_stream_is_answered_after_it() -> None:
    go = trio.Event()

    async def wait_for_it(send: Send) -> None:
        await send(b"first")
        await go.wait()

    async def handler(request: Request) -> Answer:
        return Answer(pump=wait_for_it) if request.path == "/stream" else await echo(request)

    heard = bytearray()

    async def main() -> None:
        client, server = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.serve_connection, server, handler, refuse)
            await client.send_all(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
            while b"first" not in heard:
                heard.extend(await client.receive_some())
            await client.send_all(b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n")
            await trio.testing.wait_all_tasks_blocked()
            go.set()
            while b"GET /next" not in heard:
                heard.extend(await client.receive_some())
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert heard.index(b"0\r\n\r\n") < heard.index(b"GET /next")


def test_a_stream_ends_when_its_client_leaves() -> None:
    ended = trio.Event()

    async def forever(send: Send) -> None:
        try:
            await send(b"first")
            await trio.sleep_forever()
        finally:
            ended.set()

    async def handler(_: Request) -> Answer:
        return Answer(pump=forever)

    async def main() -> None:
        client, server = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(wire.serve_connection, server, handler, refuse))
            await client.send_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            heard = bytearray()
            while b"first" not in heard:
                heard.extend(await client.receive_some())
            await client.aclose()
            with trio.fail_after(5):
                await ended.wait()

    trio.run(main)


def test_an_idle_connection_is_closed() -> None:
    async def main() -> None:
        client, server = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.serve_connection, server, echo, refuse)
            await trio.sleep(wire.IDLE_S + 1)
            assert not nursery.child_tasks
            await client.aclose()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
