"""The closed loop at full speed: read together or one by one, it comes to the same."""

import errno
from collections import Counter
from collections.abc import Iterator

import pytest
import scripted
from lanes_at_work import HAPPENINGS, NOW, USUAL, World, some_answer_otherwise
from rawruns import Bench
from rings import needs_ring

from rollcheck.facts.document import LanePlan
from rollcheck.load import laps
from rollcheck.load.laps import Laps

pytestmark = pytest.mark.loopback


def go(world: World, *, together: bool) -> dict[str, object]:
    """One look at the sockets; what came of it."""
    laps = Laps(world.reactor, lambda: NOW, world.lane, world.together)
    if together:
        seq = laps._drain_together(world.events, 100, 2, world.together.pair())
    else:
        seq = laps._drain_apart(world.events, 100, 2)
    return {"seq": seq} | world.state()


@pytest.fixture
def worlds() -> Iterator[tuple[World, World]]:
    two = World(), World()
    yield two
    for world in two:
        world.close()


@needs_ring
@pytest.mark.parametrize("happens", HAPPENINGS, ids=lambda happens: happens.__name__)
def test_together_comes_to_the_same_as_one_by_one(worlds, happens):
    one, other = worlds
    happens(one)
    happens(other)

    assert go(one, together=True) == go(other, together=False)


@needs_ring
def test_an_answer_that_all_give_becomes_the_usual_one(worlds):
    world, _ = worlds
    world.answer()
    go(world, together=True)
    receiver, _ = world.together.pair()

    assert receiver.usual == USUAL


@needs_ring
def test_answers_of_several_kinds_leave_the_usual_one_as_it_is(worlds):
    world, _ = worlds
    world.answer()
    go(world, together=True)
    some_answer_otherwise(world)
    go(world, together=True)
    receiver, _ = world.together.pair()

    assert receiver.usual == USUAL


@needs_ring
def test_an_answer_that_was_forgotten_is_looked_at_again(worlds):
    world, _ = worlds
    for _ in range(2):
        world.answer()
        go(world, together=True)
    world.book.quick.clear()
    world.reactor.told.clear()
    world.answer()
    go(world, together=True)

    assert {told[0] for told in world.reactor.told} == {"data"}


@needs_ring
def test_a_request_that_is_taken_in_part_is_told_of():
    world = World(request=b"x" * 20_000_000)
    world.answer()
    go(world, together=True)
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
