"""Many sockets read, or written, by one system call: the same bytes, ends and errors as one by one."""

import errno
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from rings import needs_ring

from rollcheck.facts.attempts import Lane
from rollcheck.load import together
from rollcheck.load.book import LaneBook
from rollcheck.load.lanes import LaneState
from rollcheck.load.ring import ENTRIES, RECV, Ring, pack_fds
from rollcheck.load.together import Receiver, Sender, Together

pytestmark = pytest.mark.loopback


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Connected TCP sockets: ours, which does not block, and the other end."""
    made = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(12):
            ours = socket.create_connection(listener.getsockname())
            ours.setblocking(False)
            made.append((ours, listener.accept()[0]))
    yield made
    for pair in made:
        for end in pair:
            end.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(479)
    made.expect(b"usual")
    yield made
    made.ring.close()


def fds_of(pairs: list[tuple[socket.socket, socket.socket]]) -> bytes:
    return pack_fds([ours.fileno() for ours, _ in pairs])


def say(pairs: list[tuple[socket.socket, socket.socket]], *data: bytes) -> None:
    """Each other end sends that (the last one to all that are left), and it has arrived."""
    for number, (ours, theirs) in enumerate(pairs):
        sent = data[min(number, len(data) - 1)]
        theirs.sendall(sent)
        ours.setblocking(True)
        assert len(ours.recv(len(sent), socket.MSG_PEEK | socket.MSG_WAITALL)) == len(sent)
        ours.setblocking(False)


@needs_ring
def test_all_that_give_the_usual_answer_are_told_at_once(pairs, receiver):
    say(pairs, b"usual")

    assert receiver.receive(fds_of(pairs))


@needs_ring
def test_it_goes_on_round_the_queue_as_often_as_it_is_asked(pairs, receiver):
    rounds = 3 * ENTRIES // len(pairs)
    seen = []
    for _ in range(rounds):
        say(pairs, b"usual")
        seen.append(receiver.receive(fds_of(pairs)))

    assert seen == [True] * rounds


@needs_ring
@pytest.mark.parametrize("other", [b"usuaL", b"usual+", b"usua", b"u" * 479])
def test_one_that_gives_something_else_is_found_out(pairs, receiver, other):
    say(pairs, b"usual", b"usual", other, b"usual")

    assert not receiver.receive(fds_of(pairs))
    assert receiver.results(len(pairs)) == [b"usual", b"usual", other, *[b"usual"] * (len(pairs) - 3)]


@needs_ring
def test_the_rest_of_a_longer_answer_is_no_part_of_the_next(pairs, receiver):
    say(pairs, b"usual and more")
    receiver.receive(fds_of(pairs))
    receiver.results(len(pairs))
    say(pairs, b"usual")

    assert receiver.receive(fds_of(pairs))


@needs_ring
def test_long_answers_are_compared_too(pairs):
    receiver = Receiver(8192)
    usual = b"a" * 5000
    receiver.expect(usual)
    say(pairs, usual)
    same = receiver.receive(fds_of(pairs))
    say(pairs, usual, usual[:-1] + b"b", usual)
    other = receiver.receive(fds_of(pairs))
    receiver.ring.close()

    assert (same, other) == (True, False)


@needs_ring
def test_what_is_not_there_yet_an_end_and_a_reset_are_told_apart(pairs, receiver):
    say(pairs[:1], b"usual")
    pairs[2][1].close()
    pairs[3][1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    pairs[3][1].close()

    assert not receiver.receive(fds_of(pairs[:4]))
    assert receiver.results(4) == [b"usual", -errno.EAGAIN, b"", -errno.ECONNRESET]


@needs_ring
def test_a_descriptor_that_is_none_is_an_error_of_its_own_alone(pairs, receiver):
    say(pairs, b"usual")
    fds = [pairs[0][0].fileno(), 1_000_000, pairs[2][0].fileno()]

    assert not receiver.receive(pack_fds(fds))
    assert receiver.results(3) == [b"usual", -errno.EBADF, b"usual"]


@needs_ring
def test_everybody_is_sent_the_same(pairs):
    sender = Sender(b"GET / HTTP/1.1\r\n\r\n")
    sent = sender.send(fds_of(pairs))
    sender.ring.close()

    assert sent
    assert {theirs.recv(100) for _, theirs in pairs} == {b"GET / HTTP/1.1\r\n\r\n"}


@needs_ring
def test_a_socket_that_takes_only_a_part_says_how_much(pairs):
    request = b"x" * 20_000_000
    sender = Sender(request)
    whole = sender.send(fds_of(pairs[:1]))
    [part] = sender.results(1)
    sender.ring.close()

    assert not whole
    assert 0 < part < len(request)


@needs_ring
def test_a_socket_that_takes_nothing_or_is_closed_says_so(pairs):
    request = b"x" * 50_000
    pairs[1][0].shutdown(socket.SHUT_WR)
    full = pairs[2][0]
    while True:
        try:
            full.send(request)
        except BlockingIOError:
            break
    sender = Sender(request)
    whole = sender.send(fds_of(pairs[:3]))
    results = sender.results(3)
    sender.ring.close()

    assert not whole
    assert results == [len(request), -errno.EPIPE, -errno.EAGAIN]


@needs_ring
def test_what_the_kernel_does_not_take_is_left_undone_and_nothing_more_is_asked_of_it(pairs, receiver, monkeypatch):
    say(pairs, b"usual")
    enter = receiver.ring._call
    monkeypatch.setattr(receiver.ring, "_call", lambda call, fd, number, *more: enter(call, fd, min(number, 5), *more))

    assert not receiver.receive(fds_of(pairs))
    assert receiver.results(len(pairs)) == [b"usual"] * 5 + [-errno.EAGAIN] * (len(pairs) - 5)
    assert receiver.ring.broken


@needs_ring
def test_nothing_is_done_when_the_kernel_refuses_the_call(pairs, receiver, monkeypatch):
    monkeypatch.setattr(receiver.ring, "_call", lambda *_: -1)

    assert not receiver.receive(fds_of(pairs))
    assert receiver.results(len(pairs)) == [-errno.EAGAIN] * len(pairs)


def for_a_lane(**how: bool) -> Together:
    lane = LaneState(Lane.REUSED, limit=10, request=b"x", book=LaneBook(Lane.REUSED))
    return Together(None, lambda: 0, lane, **({"possible": True} | how))


@needs_ring
def test_one_that_is_broken_is_not_used_again():
    both = for_a_lane()
    receiver, _ = both.pair()
    receiver.ring.broken = True

    assert [both.pair(), both.pair()] == [None, None]


@needs_ring
def test_a_receiver_is_made_once_for_each_length_of_answers():
    both = for_a_lane()
    found = []
    for chunk in (479, 479, 8192):
        both._lane.book.chunk = chunk
        found.append(both.pair())
    both.close()

    assert [receiver.size for receiver, _ in found] == [479, 479, 8192]
    assert found[0] == found[1]


def test_where_there_is_no_io_uring_there_is_no_pair(monkeypatch):
    def refuse(*_args):
        raise PermissionError(errno.EPERM, "io_uring_setup")

    monkeypatch.setattr(together, "Ring", refuse)

    assert for_a_lane().pair() is None


def test_where_it_is_not_wanted_there_is_no_pair():
    assert for_a_lane(possible=False).pair() is None


@needs_ring
def test_a_kernel_that_refuses_names_its_reason(monkeypatch):
    monkeypatch.setattr("rollcheck.load.ring._SETUP", 100_000)  # no such call

    with pytest.raises(OSError, match="io_uring_setup") as told:
        Ring(RECV, [0] * ENTRIES, 1)
    assert told.value.errno == errno.ENOSYS


@needs_ring
def test_nothing_is_left_open_behind_one():
    before = set(Path("/proc/self/fd").iterdir())
    both = for_a_lane()
    both.pair()
    both.close()

    assert set(Path("/proc/self/fd").iterdir()) == before


@needs_ring
def test_nothing_is_left_open_when_the_memory_is_not_to_be_had(monkeypatch):
    def refuse(*_args, **_how):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    before = set(Path("/proc/self/fd").iterdir())
    monkeypatch.setattr("rollcheck.load.ring.mmap.mmap", refuse)

    with pytest.raises(OSError, match="Cannot allocate memory"):
        Ring(RECV, [0] * ENTRIES, 1)
    assert set(Path("/proc/self/fd").iterdir()) == before
