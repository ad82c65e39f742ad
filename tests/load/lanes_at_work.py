"""Connections of one lane with answers on their way, and a reactor that takes down what it is told of."""

import socket
import struct
import time
from collections import Counter

from rollcheck.facts.attempts import Lane, Outcome
from rollcheck.load.answers import Answer
from rollcheck.load.book import LaneBook
from rollcheck.load.connection import AWAITING, READING, Connection
from rollcheck.load.lanes import LaneState
from rollcheck.load.poller import READABLE
from rollcheck.load.together import Together

REQUEST = b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
USUAL, OTHER = b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Pod: b\r\n\r\n"
CLOSED = 0x2000
"""EPOLLRDHUP."""
NOW = 5_000


class Reactor:
    """Takes down what it is told of, and by which connection."""

    tls = False

    def __init__(self) -> None:
        self.table: dict[int, Connection] = {}
        self.told: list[tuple[object, ...]] = []
        self.busy = 0
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
        self.together = Together(self.reactor, lambda: NOW, self.lane, possible=True)
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

    def state(self) -> dict[str, object]:
        """What came of it so far, and what the servers got."""
        return {
            "scheduled": self.lane.scheduled,
            "services": sorted(self.book.services),
            "responses": sorted(self.book.responses),
            "hits": [answer.hits for answer in self.book.known.values()],
            "requests": [connection.requests for connection in self.connections],
            "numbers": [connection.seq for connection in self.connections],
            "sent": [connection.sent for connection in self.connections],
            "intended": [connection.intended for connection in self.connections],
            "states": [connection.state for connection in self.connections],
            "ended": [connection.ended for connection in self.connections],
            "idle": [self.reactor.numbers[connection.fd] for connection in self.lane.idle],
            "waiting": list(self.lane.waiting),
            "busy": self.reactor.busy,
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


HAPPENINGS = [
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
]
