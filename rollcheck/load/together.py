"""Many connections' answers read by one system call, and their next requests written by another.

In a closed loop nearly all that is read at once is the same: dozens of answers that came before, byte for byte. That
is one comparison for all of them.
"""

from __future__ import annotations

import ctypes
import mmap
import os

from rollcheck.facts.clock import Instant
from rollcheck.load.answers import SNUG
from rollcheck.load.connection import AWAITING, Connection
from rollcheck.load.lanes import LaneState
from rollcheck.load.poller import READABLE, Ready
from rollcheck.load.reactor import Reactor
from rollcheck.load.ring import ENTRIES, FD_SIZE, RECV, SEND, Ring, pack_fds
from rollcheck.load.timer import Clock

MANY = 8
"""From so many on it is worth it."""


class Receiver:
    """Reads from up to `ENTRIES` sockets at once.

    Args:
        size: bytes to read from each at most.

    Attributes:
        usual: what every one of them gave, as often as not.

    Raises:
        OSError: see `Ring`.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._at_one_go = size <= SNUG
        self._stride = -(-size // 64) * 64
        self._room = mmap.mmap(-1, ENTRIES * self._stride)
        start = _address_of(self._room)
        self.ring = Ring(RECV, [start + slot * self._stride for slot in range(ENTRIES)], size)
        self.usual = self._all_usual = b""

    def expect(self, data: bytes) -> None:
        """Take that for the usual answer from now on."""
        self.usual = data
        self._all_usual = data.ljust(self._stride, b"\0") * ENTRIES if self._at_one_go else b""
        self.ring.expect(len(data))

    def receive(self, fds: bytes) -> bool:
        """Read; True when each of them gave the usual answer, and nothing else."""
        if not self.ring.run(fds):
            return False
        number, stride, room = len(fds) // FD_SIZE, self._stride, self._room
        if self._at_one_go:
            return room[: number * stride] == self._all_usual[: number * stride]
        usual, length = self.usual, len(self.usual)
        return all(room[at : at + length] == usual for at in range(0, number * stride, stride))

    def results(self, number: int) -> list[bytes | int]:
        """What each of so many sockets gave: bytes, none at its end, or an error's number, negative.

        Where all are compared at one go they are wiped out behind it: behind a short answer must not lie a longer
        one's rest.
        """
        stride, room = self._stride, self._room
        found = [
            room[at : at + result] if result >= 0 else result
            for at, result in zip(range(0, number * stride, stride), self.ring.results(number), strict=True)
        ]
        if self._at_one_go:
            room[: number * stride] = bytes(number * stride)
        return found


class Sender:
    """Writes the same bytes to up to `ENTRIES` sockets at once.

    Raises:
        OSError: see `Ring`.
    """

    def __init__(self, data: bytes) -> None:
        self._room = mmap.mmap(-1, len(data))
        self._room[:] = data
        self.ring = Ring(SEND, [_address_of(self._room)] * ENTRIES, len(data))
        self.ring.expect(len(data))

    def send(self, fds: bytes) -> bool:
        """Write; True when every socket took all of it."""
        return self.ring.run(fds)

    def results(self, number: int) -> list[int]:
        """How many bytes each of so many sockets took, or an error's number, negative."""
        return self.ring.results(number)


Pair = tuple[Receiver, Sender]
Answered = tuple[list[Connection], bytes]
"""Connections, and their descriptors, packed."""


class Together:
    """Reads the answers of many connections of one lane, and sends their next requests; what is unusual in either
    leaves for the reactor, as it does where that is done one by one.

    Args:
        reactor: takes what is unusual.
        clock: tells the time.
        lane: whose connections they are.
        possible: whether to try at all.

    Attributes:
        read_at: when the answers were read.
    """

    def __init__(self, reactor: Reactor, clock: Clock, lane: LaneState, *, possible: bool) -> None:
        self._reactor, self._clock, self._lane = reactor, clock, lane
        self._possible = possible
        self._sender: Sender | None = None
        self._receivers: dict[int, Receiver] = {}
        self.read_at: Instant = 0

    def pair(self) -> Pair | None:
        """What reads answers as long as the lane's, and what sends; None where they cannot be had."""
        if not self._possible:
            return None
        size = self._lane.book.chunk
        try:
            if self._sender is None:
                self._sender = Sender(self._lane.request)
            if size not in self._receivers:
                self._receivers[size] = Receiver(size)
        except OSError:
            self.close()
            return None
        if self._sender.ring.broken or self._receivers[size].ring.broken:
            self.close()
            return None
        return self._receivers[size], self._sender

    def read(self, events: Ready, pair: Pair) -> Answered:
        """Read what these events, `ENTRIES` at most, announce; those connections that were answered as before."""
        receiver, _ = pair
        connections, fds = self._awaiting(events)
        if not connections:
            return connections, fds
        same = receiver.receive(fds)
        self.read_at = self._clock()
        answer = self._lane.book.quick.get(receiver.usual) if same else None
        if answer is None:
            connections = self._take_apart(connections, receiver)
            return connections, pack_fds([connection.fd for connection in connections])
        answer.hits += len(connections)
        return connections, fds

    def _awaiting(self, events: Ready) -> Answered:
        """Those that have an answer, or the beginning of one; the reactor gets the others."""
        readable, awaiting, table = READABLE, AWAITING, self._reactor.table
        try:
            found = [table[fd] for fd, event in events if event == readable]
        except KeyError:  # the timer, or one that was closed earlier in this batch
            found = []
        if len(found) == len(events):
            for connection in found:
                if connection.state != awaiting:
                    break
            else:
                return found, pack_fds([fd for fd, _ in events])
        found = []
        for fd, event in events:
            one = table.get(fd)
            if event == readable and one is not None and one.state == awaiting:
                found.append(one)
            else:
                self._reactor.handle(fd, event)
        return found, pack_fds([connection.fd for connection in found])

    def _take_apart(self, connections: list[Connection], receiver: Receiver) -> list[Connection]:
        """Look at what each of them gave."""
        reactor, known = self._reactor, self._lane.book.quick
        answered: list[Connection] = []
        usual, uniform = receiver.usual, True
        for connection, data in zip(connections, receiver.results(len(connections)), strict=True):
            if isinstance(data, int):
                reactor.on_recv_error(connection, OSError(-data, os.strerror(-data)), READABLE)
                continue
            answer = known.get(data)
            if answer is None:
                reactor.take_data(connection, data, READABLE)
                continue
            answer.hits += 1
            uniform = uniform and (not answered or data == usual)
            usual = data
            answered.append(connection)
        if answered and uniform and usual != receiver.usual:
            receiver.expect(usual)
        return answered

    def send(self, answered: Answered, pair: Pair) -> None:
        """Send each of them the lane's request; they await the answer already, so far as they know."""
        connections, fds = answered
        _, sender = pair
        if not connections or sender.send(fds):
            return
        reactor, request = self._reactor, self._lane.request
        for connection, sent in zip(connections, sender.results(len(connections)), strict=True):
            if sent < 0:
                reactor.on_write_error(connection, OSError(-sent, os.strerror(-sent)))
            elif sent != len(request):
                reactor.on_sent(connection, request, sent)

    def close(self) -> None:
        """Give everything back, and have no more of it."""
        self._possible = False
        for receiver in self._receivers.values():
            receiver.ring.close()
        if self._sender is not None:
            self._sender.ring.close()
        self._receivers, self._sender = {}, None


def _address_of(room: mmap.mmap) -> int:
    """Where anonymous memory lies; it stays there until it is closed."""
    return ctypes.addressof(ctypes.c_char.from_buffer(room))
