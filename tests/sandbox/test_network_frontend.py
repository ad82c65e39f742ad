"""The proxy on real sockets: what a client sees of endpoints that serve, end, or are not there."""

from __future__ import annotations

import random
import socket
import sys
from contextlib import asynccontextmanager, closing

import pytest
import trio
import trio.testing

from rollcheck.sandbox.network.endpoints import Endpoint
from rollcheck.sandbox.network.frontend import Frontend
from rollcheck.sandbox.network.liveness import Liveness
from rollcheck.sandbox.network.places import Place
from rollcheck.sandbox.network.sockets import ListenerTable, free_port, listen, may_listen
from rollcheck.sandbox.network.splice import reset

pytestmark = pytest.mark.loopback
HOST = "127.0.0.1"
NOBODY: frozenset[tuple[str, int]] = frozenset()


@asynccontextmanager
async def front(*, sticky_s=0):
    """A running front end, and what it said is wrong."""
    place = Place(HOST, free_port(HOST), ("ns", "web"), "", "node-1", sticky_s=sticky_s)
    told: list[str] = []
    listeners = ListenerTable()
    made = Frontend(place, Liveness(trio.current_time, listeners), random.Random(1), lambda _, text: told.append(text))
    made.told = told
    with closing(listeners):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.run, nursery)
            yield made
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def pod(answer):
    """A server for one connection after the other; its endpoint."""
    listener = await trio.open_tcp_listeners(0, host=HOST)
    port = listener[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer, listener)
        yield Endpoint(HOST, port, "node-1")
        nursery.cancel_scope.cancel()


async def says_hello(stream):
    await stream.send_all(b"hello")


async def echoes_until_the_end(stream):
    got = b""
    async for part in stream:
        got += part
    await stream.send_all(b"got " + got)


def dead_endpoint():
    return Endpoint(HOST, free_port(HOST), "node-1")


def addresses(*endpoints):
    return frozenset(e.address for e in endpoints)


async def connected(made):
    return await trio.open_tcp_stream(HOST, made.place.port)


async def connect(made):
    """Connect and hang up."""
    with trio.socket.socket() as sock:
        await sock.connect((HOST, made.place.port))


async def read_all(stream):
    async with stream:
        return b"".join([part async for part in stream])


async def settled():
    await trio.testing.wait_all_tasks_blocked(0.01)


def run(test):
    async def limited():
        with trio.fail_after(10):
            await test()

    trio.run(limited)


def test_a_connection_reaches_the_endpoint_and_a_fin_passes_each_way():
    async def test():
        async with front() as made, pod(echoes_until_the_end) as one:
            made.route((one,), NOBODY)
            await settled()
            stream = await connected(made)
            await stream.send_all(b"abc")
            await stream.send_eof()
            assert await read_all(stream) == b"got abc"

    run(test)


def test_without_an_endpoint_a_connect_is_refused():
    async def test():
        async with front() as made:
            made.route((), NOBODY)
            await settled()
            with pytest.raises(OSError, match="refused"):
                await connect(made)

    run(test)


def test_when_an_endpoint_comes_the_port_opens():
    async def test():
        async with front() as made, pod(says_hello) as one:
            made.route((), NOBODY)
            await settled()
            made.route((one,), NOBODY)
            await settled()
            assert await read_all(await connected(made)) == b"hello"

    run(test)


def test_a_kept_connection_lives_on_after_its_endpoint_left_the_table():
    async def test():
        async with front() as made, pod(echoes_until_the_end) as one:
            made.route((one,), NOBODY)
            await settled()
            stream = await connected(made)
            await stream.send_all(b"a")
            await settled()
            made.route((), NOBODY)
            await settled()
            await stream.send_all(b"b")
            await stream.send_eof()
            assert await read_all(stream) == b"got ab"

    run(test)


def test_a_reset_by_the_pod_is_a_reset_at_the_client():
    async def test():
        async def resets(stream):
            await stream.receive_some(1)
            reset(stream.socket)

        async with front() as made, pod(resets) as one:
            made.route((one,), NOBODY)
            await settled()
            with trio.socket.socket() as sock:
                await sock.connect((HOST, made.place.port))
                await sock.send(b"x")
                with pytest.raises(ConnectionResetError):
                    await sock.recv(1)

    run(test)


def test_a_reset_by_the_client_is_a_reset_at_the_pod():
    async def test():
        seen = trio.Event()

        async def watches(stream):
            with pytest.raises(ConnectionResetError):
                await stream.socket.recv(1)
            seen.set()

        async with front() as made, pod(watches) as one:
            made.route((one,), NOBODY)
            await settled()
            sock = trio.socket.socket()
            await sock.connect((HOST, made.place.port))
            await settled()
            reset(sock)
            await seen.wait()

    run(test)


async def outcomes(made, number):
    """How `number` connects one after the other went."""
    seen = []
    for _ in range(number):
        sock = trio.socket.socket()
        with sock:
            try:
                await sock.connect((HOST, made.place.port))
                seen.append("hello" if await sock.recv(9) else "closed")
            except ConnectionRefusedError:
                seen.append("refused")
            except ConnectionResetError:
                seen.append("reset")
        await trio.sleep(0.002)
    return seen


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens")
def test_the_share_of_the_table_that_is_dead_is_refused_and_nothing_is_reset():
    async def test():
        gone = dead_endpoint()
        async with front() as made, pod(says_hello) as one:
            made.route((one, gone), addresses(gone))
            await settled()
            await outcomes(made, 5)
            seen = await outcomes(made, 300)
            assert 75 < seen.count("refused") < 225
            assert seen.count("reset") <= 3  # accepted by the kernel in the instant before the port closed

    run(test)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens")
def test_where_all_of_the_table_is_dead_every_connect_is_refused():
    async def test():
        gone = dead_endpoint()
        async with front() as made:
            made.route((gone,), addresses(gone))
            await settled()
            assert await outcomes(made, 20) == ["refused"] * 20

    run(test)


def test_a_pod_that_listens_late_is_served_once_it_does():
    async def test():
        late = dead_endpoint()
        async with front() as made:
            made.route((late,), NOBODY)
            await settled()
            assert set(await outcomes(made, 3)) <= {"refused", "reset"}
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(listen(*late.address)))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, says_hello, [listener])
                await trio.sleep(0.1)
                assert await outcomes(made, 5) == ["hello"] * 5
                nursery.cancel_scope.cancel()

    run(test)


def test_a_sticky_client_stays_with_its_endpoint():
    async def test():
        async def says_other(stream):
            await stream.send_all(b"other")

        async with front(sticky_s=60) as made, pod(says_hello) as one, pod(says_other) as two:
            made.route((one, two), NOBODY)
            await settled()
            assert len({await read_all(await connected(made)) for _ in range(20)}) == 1

    run(test)


def test_two_endpoints_share_the_connections():
    async def test():
        async def says_other(stream):
            await stream.send_all(b"other")

        async with front() as made, pod(says_hello) as one, pod(says_other) as two:
            made.route((one, two), NOBODY)
            await settled()
            assert {await read_all(await connected(made)) for _ in range(30)} == {b"hello", b"other"}

    run(test)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can drop a SYN unasked")
def test_a_local_policy_without_a_local_endpoint_is_silence():
    async def test():
        async with front() as made, pod(says_hello) as one:
            made.route((), NOBODY, silent=True)
            await settled()
            with trio.move_on_after(0.3) as waiting:
                await connect(made)
            assert waiting.cancelled_caught
            made.route((one,), NOBODY, silent=True)
            await settled()
            assert await read_all(await connected(made)) == b"hello"

    run(test)


def test_a_port_that_is_taken_is_told_in_one_sentence():
    async def test():
        async with front() as made, pod(says_hello) as one:
            with socket.socket() as other:
                other.bind((HOST, made.place.port))
                other.listen()
                made.route((one,), NOBODY)
                await settled()
                assert made.told == [
                    f"{HOST}:{made.place.port} is taken by another program; end that, or choose another port"
                ]

    run(test)


def test_a_taken_port_is_asked_for_again_and_told_when_it_is_had():
    async def test():
        async with front() as made, pod(says_hello) as one:
            with socket.socket() as other:
                other.bind((HOST, made.place.port))
                other.listen()
                made.route((one,), NOBODY)
                await settled()
            while len(made.told) < 2:
                await trio.sleep(0.05)
            assert made.told[1] == ""
            assert await read_all(await connected(made)) == b"hello"

    run(test)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens")
def test_the_kernel_says_who_listens():
    listeners = ListenerTable()
    with listen(HOST, 0) as open_socket:
        port = open_socket.getsockname()[1]
        assert listeners.listening(HOST, port) is True
        assert listeners.listening("127.0.0.2", port) is False
    assert listeners.listening(HOST, port) is False
    listeners.close()
    assert listeners.listening(HOST, port) is None


def test_a_high_port_may_be_listened_on_by_anybody():
    assert may_listen(HOST, free_port(HOST))
