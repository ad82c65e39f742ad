"""The local address of an attempt, with real sockets on 127.0.0.1: a node's connection tracking goes by its port."""

import select
import socket

import pytest
import scripted

from rollcheck.facts.attempts import Attempt, Lane, Outcome, Phase, Stage
from rollcheck.load.book import LaneBook
from rollcheck.load.connection import Connection
from rollcheck.load.lanes import LaneState

pytestmark = pytest.mark.loopback


class CountingSocket(socket.socket):
    """Counts how often its own address is asked for."""

    asked = 0

    def getsockname(self):
        type(self).asked += 1
        return super().getsockname()


@pytest.fixture
def sock(monkeypatch):
    monkeypatch.setattr(CountingSocket, "asked", 0)
    with CountingSocket() as made:
        made.setblocking(False)
        yield made


def begin(sock, port) -> Connection:
    lane = LaneState(Lane.FRESH, limit=1, request=b"", book=LaneBook(Lane.FRESH))
    connection = Connection(lane)
    connection.begin((0, Stage.BASELINE, 0, 0), sock, ("127.0.0.1", 1), 1)
    sock.connect_ex(("127.0.0.1", port))
    return connection


def fail(connection, outcome) -> Attempt:
    return connection.to_attempt(Phase.CONNECT, outcome, 2)


def test_a_connect_without_an_answer_names_the_port_that_its_syn_came_from(sock):
    # A listener that never accepts, its queue of one full: further SYNs are dropped by the kernel.
    with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        attempt = fail(begin(sock, port), Outcome.TIMEOUT)

    address = socket.socket.getsockname(sock)
    assert attempt.local == f"127.0.0.1:{address[1]}"
    assert (address[1] > 0, attempt.peer, attempt.connection) == (True, "", 0)


def test_a_refused_connect_names_the_port_that_it_came_from(sock):
    connection = begin(sock, scripted.closed_port())
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    assert poll.poll(5_000)
    before = socket.socket.getsockname(sock)[1]
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    assert fail(connection, Outcome.REFUSED).local == f"127.0.0.1:{before}"


def test_an_attempt_that_never_had_a_port_has_no_local_address(sock):
    lane = LaneState(Lane.FRESH, limit=1, request=b"", book=LaneBook(Lane.FRESH))
    connection = Connection(lane)
    connection.begin((0, Stage.BASELINE, 0, 0), sock, ("127.0.0.1", 1), 1)

    assert fail(connection, Outcome.DROPPED).local == ""


def test_a_connection_that_stood_is_asked_for_its_address_once(sock, server):
    connection = begin(sock, server.port)
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    assert poll.poll(5_000)
    connection.id, connection.opened = 1, 2
    attempts = [connection.to_attempt(Phase.AWAIT, Outcome.RESET, 3) for _ in range(3)]

    assert CountingSocket.asked == 1
    assert {attempt.local for attempt in attempts} == {connection.local} != {""}
