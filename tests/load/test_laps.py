"""The closed loop at full speed: read together or one by one, it comes to the same."""

import errno
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import scripted
from rawruns import Bench
from rings import needs_ring

from rollcheck.facts.attempts import Lane, Outcome
from rollcheck.facts.document import LanePlan
from rollcheck.load import laps
from rollcheck.load.answers import Answer
from rollcheck.load.book import LaneBook
from rollcheck.load.connection import AWAITING, READING, Connection
from rollcheck.load.lanes import LaneState
from rollcheck.load.laps import Laps
from rollcheck.load.poller import READABLE
from rollcheck.load.together import Together

pytestmark = pytest.mark.loopback

REQUEST = b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
USUAL, OTHER = b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Pod: b\r\n\r\n"
CLOSED = 0x2000
"""EPOLLRDHUP."""


class Reactor:
    """Takes down what it is told of, and by which connection."""

    tls = False

    def __init__(self) -> None:
        self.table: dict[int, Connection] = {}
        self.told: list[tuple[object, ...]] = []
        self.numbers: dict[int, int] = {}

    def _tell(self, what: str, connection: Connection, *more: object) -> None:
        self.told.append((what, self.numbers[connection.fd], *more))

    def handle(self, fd: int, events: int) -> None:
        if fd in self.table:
            self._tell("handle", self.table[fd], events)

    def on_recv_error(self, connection: Connection, error: OSError, events: int) -> None:
        self._tell("no read", connection, type(error), error.errno, events)

    def take_data(self, connection: Connection, data: bytes, events: int) -> None:
        self._tell("data", connection, data, events)

    def on_write_error(self, connection: Connection, error: OSError) -> None:
        self._tell("no write", connection, type(error), error.errno)

    def on_sent(self, connection: Connection, request: bytes, sent: int) -> None:
        self._tell("sent", connection, sent < len(request))


class World:
    """Connections of a closed loop that wait for answers, and the servers at their other ends."""

    def __init__(self, number: int = 12, request: bytes = REQUEST) -> None:
        self.book = LaneBook(Lane.REUSED)
        self.lane = LaneState(Lane.REUSED, limit=number, request=request, book=self.book)
        for data in (USUAL, OTHER):
            self.book.remember(data, Answer(200, Outcome.OK, keep_alive=True), 10)
        self.reactor = Reactor()
        self.together = Together(self.reactor, lambda: 5_000, self.lane, possible=True)
        self.laps = Laps(self.reactor, lambda: 5_000, self.lane, self.together)
        self.theirs: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for index in range(number):
                ours = socket.create_connection(listener.getsockname())
                ours.setblocking(False)
                self.theirs.append(listener.accept()[0])
                self._add(ours, index)
        self.events = [(fd, READABLE) for fd in self.reactor.table]

    def _add(self, ours: socket.socket, index: int) -> None:
        connection = Connection(self.lane)
        connection.begin((index, None, 0, 0), ours, ("127.0.0.1", 80), 1_000 + index)
        connection.state = AWAITING
        self.reactor.table[connection.fd] = connection
        self.reactor.numbers[connection.fd] = index

    @property
    def connections(self) -> list[Connection]:
        return list(self.reactor.table.values())

    def answer(self, *which: int, data: bytes = USUAL) -> None:
        """These servers answer, all without a number; it has arrived."""
        for index in which or range(len(self.theirs)):
            self.theirs[index].sendall(data)
            ours = self.connections[index].sock
            while len(ours.recv(1000, socket.MSG_PEEK)) < len(data):
                time.sleep(0.001)

    def go(self, *, together: bool) -> dict[str, object]:
        """One look at the sockets; what came of it, and what the servers got."""
        if together:
            seq = self.laps._drain_together(self.events, 100, 2, self.together.pair())
        else:
            seq = self.laps._drain_apart(self.events, 100, 2)
        return {
            "seq": seq,
            "scheduled": self.lane.scheduled,
            "services": sorted(self.book.services),
            "hits": [answer.hits for answer in self.book.known.values()],
            "requests": [connection.requests for connection in self.connections],
            "numbers": [connection.seq for connection in self.connections],
            "sent": [connection.sent for connection in self.connections],
            "told": Counter(self.reactor.told),
            "got": [self._got(theirs) for theirs in self.theirs],
        }

    def _got(self, theirs: socket.socket) -> int:
        if theirs.fileno() < 0:
            return -1
        theirs.setblocking(False)
        try:
            return len(theirs.recv(100_000))
        except BlockingIOError:
            return 0

    def close(self) -> None:
        self.together.close()
        for connection in self.connections:
            connection.sock.close()
        for theirs in self.theirs:
            theirs.close()


def all_answer(world: World) -> None:
    world.answer()


def some_answer_otherwise(world: World) -> None:
    world.answer(*range(6))
    world.answer(*range(6, 12), data=OTHER)


def one_answers_what_nobody_knows(world: World) -> None:
    world.answer(*range(11))
    world.answer(11, data=b"HTTP/1.1 200 OK\r\nX-New: 1\r\n\r\n")


def one_has_only_begun(world: World) -> None:
    world.answer(0, data=USUAL[:7])
    world.answer(*range(1, 12))


def one_closes_after_its_answer(world: World) -> None:
    world.answer()
    world.events[3] = (world.events[3][0], READABLE | CLOSED)


def one_hangs_up_instead(world: World) -> None:
    world.answer(*range(11))
    world.theirs[11].close()


def one_resets_instead(world: World) -> None:
    world.answer(*range(11))
    world.theirs[11].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    world.theirs[11].close()


def one_has_nothing_after_all(world: World) -> None:
    world.answer(*range(11))


def one_is_in_the_middle_of_an_answer(world: World) -> None:
    world.answer()
    world.connections[5].state = READING


def one_is_none_of_the_connections(world: World) -> None:
    world.answer()
    world.events.append((0, READABLE))


def one_cannot_write(world: World) -> None:
    world.answer()
    world.connections[2].sock.shutdown(socket.SHUT_WR)


def nobody_is_of_use(world: World) -> None:
    world.events = [(fd, READABLE | CLOSED) for fd, _ in world.events]


@pytest.fixture
def worlds() -> Iterator[tuple[World, World]]:
    two = World(), World()
    yield two
    for world in two:
        world.close()


@needs_ring
@pytest.mark.parametrize(
    "happens",
    [
        all_answer,
        some_answer_otherwise,
        one_answers_what_nobody_knows,
        one_has_only_begun,
        one_closes_after_its_answer,
        one_hangs_up_instead,
        one_resets_instead,
        one_has_nothing_after_all,
        one_is_in_the_middle_of_an_answer,
        one_is_none_of_the_connections,
        one_cannot_write,
        nobody_is_of_use,
    ],
    ids=lambda happens: happens.__name__,
)
def test_together_comes_to_the_same_as_one_by_one(worlds, happens):
    one, other = worlds
    happens(one)
    happens(other)

    assert one.go(together=True) == other.go(together=False)


@needs_ring
def test_an_answer_that_all_give_becomes_the_usual_one(worlds):
    world, _ = worlds
    world.answer()
    world.go(together=True)
    receiver, _ = world.together.pair()

    assert receiver.usual == USUAL


@needs_ring
def test_answers_of_several_kinds_leave_the_usual_one_as_it_is(worlds):
    world, _ = worlds
    world.answer()
    world.go(together=True)
    some_answer_otherwise(world)
    world.go(together=True)
    receiver, _ = world.together.pair()

    assert receiver.usual == USUAL


@needs_ring
def test_an_answer_that_was_forgotten_is_looked_at_again(worlds):
    world, _ = worlds
    for _ in range(2):
        world.answer()
        world.go(together=True)
    world.book.quick.clear()
    world.reactor.told.clear()
    world.answer()
    world.go(together=True)

    assert {told[0] for told in world.reactor.told} == {"data"}


@needs_ring
def test_a_request_that_is_taken_in_part_is_told_of():
    world = World(request=b"x" * 20_000_000)
    world.answer()
    world.go(together=True)
    told = world.reactor.told
    world.close()

    assert told == [("sent", index, True) for index in range(12)]


TWELVE = (LanePlan(lane="reused", share=1, connections=12),)


@pytest.fixture(params=["together", "one by one", "refused by the kernel"])
def way(request, monkeypatch):
    """How a load goes round: everything together, nothing, or the first attempt at it fails."""
    if request.param == "together":
        monkeypatch.setattr(laps, "MANY", 1)
    elif request.param == "one by one":
        monkeypatch.setattr(laps, "MANY", 1_000_000)
    else:
        monkeypatch.setattr("rollcheck.load.together.Ring", refuse)
    return request.param


def refuse(*_args):
    raise PermissionError(errno.EPERM, "io_uring_setup")


def test_every_call_of_a_load_is_made_and_answered_once(server, way):
    bench = Bench(server.url, calls=3000, lanes=TWELVE).run()

    assert (bench.ok, bench.failed) == (3000, 0)


def test_a_server_that_hangs_up_now_and_then_loses_what_it_took_and_no_more(server, way):
    answered = []

    def script(peer: scripted.Peer) -> None:
        for _ in range(50):
            if not peer.request():
                return
            peer.send(scripted.OK)
            answered.append(1)
        peer.request()  # taken, and never answered

    server.script = script
    bench = Bench(server.url, calls=2000, lanes=TWELVE).run()

    assert bench.ok == len(answered)
    assert bench.ok + bench.failed == 2000


def test_answers_that_change_from_time_to_time_are_all_counted(server, way):
    answers = [
        scripted.OK,
        scripted.OK.replace(b"ok", b"OK"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n" + b"a" * 600,
    ]
    given = []

    def script(peer: scripted.Peer) -> None:
        while peer.request():
            given.append(1)
            peer.send(answers[len(given) // 200 % 3])

    server.script = script
    bench = Bench(server.url, calls=3000, lanes=TWELVE).run()

    assert (bench.ok, bench.failed, len(given)) == (3000, 0, 3000)


def test_statuses_of_a_load_are_told_apart(server, way):
    given = Counter()

    def script(peer: scripted.Peer) -> None:
        while peer.request():
            bad = given.total() % 10 == 3
            given[bad] += 1
            peer.send(scripted.OK.replace(b"200 OK", b"503 NO") if bad else scripted.OK)

    server.script = script
    bench = Bench(server.url, calls=1000, lanes=TWELVE).run()

    assert (bench.ok, bench.failed) == (given[False], given[True])
