"""The ingress on real sockets: what a client is told when a backend refuses, hangs up, is slow, or is not there."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from rollcheck.sandbox.network.endpoints import Endpoint
from rollcheck.sandbox.network.relay import relay
from rollcheck.sandbox.network.rules import NGINX_MANNER, TRAEFIK_MANNER, Manner
from rollcheck.sandbox.network.sockets import free_port

pytestmark = pytest.mark.loopback
HOST = "127.0.0.1"
GET = b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
IMPATIENT = Manner(name="nginx", tries=1, connect_s=0.2, read_s=0.05)


@asynccontextmanager
async def server(handle):
    """Something that listens, and its endpoint."""
    listeners = await trio.open_tcp_listeners(0, host=HOST)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        yield Endpoint(HOST, listeners[0].socket.getsockname()[1], "node-1")
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def proxy(manner, *backends, known=True):
    """The relay in front of the backends."""

    async def handle(stream):
        await relay(stream.socket, "10.9.9.9", lambda host, path: (manner, list(backends)) if known else None)

    async with server(handle) as endpoint:
        yield endpoint


async def said(endpoint, request=GET):
    """Everything that comes back."""
    async with await trio.open_tcp_stream(*endpoint.address) as stream:
        await stream.send_all(request)
        return b"".join([part async for part in stream])


async def answers(stream, text=b"hello", *, seen=None):
    request = b""
    while b"\r\n\r\n" not in request:
        request += await stream.receive_some()
    if seen is not None:
        seen.append(request)
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))


async def hangs_up(stream, *, seen=None):
    if seen is not None:
        seen.append(await stream.receive_some())


async def says_nothing(stream):
    await trio.sleep_forever()


async def says_half(stream):
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


def nobody():
    return Endpoint(HOST, free_port(HOST), "node-1")


def run(test):
    async def limited():
        with trio.fail_after(10):
            await test()

    trio.run(limited)


def status(answer):
    return int(answer.split()[1])


def test_an_answer_comes_through_and_the_backend_is_told_who_asked():
    async def test():
        seen = []
        async with server(partial(answers, seen=seen)) as backend, proxy(TRAEFIK_MANNER, backend) as front:
            answer = await said(front)
        assert status(answer) == 200
        assert answer.endswith(b"\r\n\r\nhello")
        assert b"X-Forwarded-For: 10.9.9.9\r\n" in seen[0]

    run(test)


def test_a_refusing_backend_is_a_502():
    async def test():
        async with proxy(TRAEFIK_MANNER, nobody()) as front:
            assert status(await said(front)) == 502

    run(test)


def test_a_backend_that_hangs_up_without_an_answer_is_a_502():
    async def test():
        async with server(hangs_up) as backend, proxy(TRAEFIK_MANNER, backend) as front:
            assert status(await said(front)) == 502

    run(test)


def test_a_service_without_endpoints_is_a_503():
    async def test():
        async with proxy(NGINX_MANNER) as front:
            assert status(await said(front)) == 503

    run(test)


def test_a_host_that_no_ingress_has_is_a_404():
    async def test():
        async with proxy(NGINX_MANNER, known=False) as front:
            assert status(await said(front)) == 404

    run(test)


def test_a_backend_that_says_nothing_in_time_is_a_504():
    async def test():
        async with server(says_nothing) as backend, proxy(IMPATIENT, backend) as front:
            assert status(await said(front)) == 504

    run(test)


def test_an_answer_that_is_cut_is_cut_for_the_client_too():
    async def test():
        async with server(says_half) as backend, proxy(NGINX_MANNER, backend) as front:
            answer = await said(front)
        assert answer.endswith(b"half")
        assert b"Content-Length: 10" in answer

    run(test)


def test_nginx_hides_a_refusing_backend_by_asking_the_next():
    async def test():
        async with server(answers) as backend, proxy(NGINX_MANNER, nobody(), backend) as front:
            assert status(await said(front)) == 200

    run(test)


def test_traefik_does_not_hide_it():
    async def test():
        async with server(answers) as backend, proxy(TRAEFIK_MANNER, nobody(), backend) as front:
            assert status(await said(front)) == 502

    run(test)


def test_nginx_sends_a_get_again_that_a_backend_dropped_but_never_a_post():
    async def test():
        async with server(hangs_up) as bad, server(answers) as good, proxy(NGINX_MANNER, bad, good) as front:
            assert status(await said(front)) == 200
            assert status(await said(front, POST)) == 502

    run(test)


def test_a_post_that_was_refused_was_never_sent_so_it_goes_to_the_next():
    async def test():
        async with server(answers) as good, proxy(NGINX_MANNER, nobody(), good) as front:
            assert status(await said(front, POST)) == 200

    run(test)


def test_a_kept_connection_takes_one_request_after_the_other_whatever_came_of_the_first():
    async def test():
        keep = GET.replace(b"Connection: close\r\n", b"")
        async with (
            proxy(TRAEFIK_MANNER, nobody()) as front,
            await trio.open_tcp_stream(*front.address) as stream,
        ):
            await stream.send_all(keep)
            first = await stream.receive_some()
            await stream.send_all(GET)
            second = b"".join([part async for part in stream])
        assert status(first) == status(second) == 502

    run(test)


def test_a_body_that_is_too_long_is_a_413():
    async def test():
        request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"
        async with server(answers) as backend, proxy(NGINX_MANNER, backend) as front:
            assert status(await said(front, request)) == 413

    run(test)


def test_what_is_no_http_is_a_400():
    async def test():
        async with proxy(NGINX_MANNER) as front:
            assert status(await said(front, b"\x16\x03\x01\r\n\r\n")) == 400

    run(test)
