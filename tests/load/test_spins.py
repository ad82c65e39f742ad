"""The timetable of one lane at full speed: read and sent together or one by one, it comes to the same."""

from collections.abc import Iterator

import pytest
from lanes_at_work import HAPPENINGS, NOW, World
from rawruns import Bench
from rings import needs_ring

from rollcheck.facts.attempts import Stage
from rollcheck.facts.document import LanePlan
from rollcheck.load import spins
from rollcheck.load.arrivals import Arrivals
from rollcheck.load.connection import CLOSED, IDLE
from rollcheck.load.health import HealthMeter
from rollcheck.load.plan import LoadPlan, parse_target
from rollcheck.load.spins import Spins
from rollcheck.load.sprint import Sprint

pytestmark = pytest.mark.loopback


class Timetable(World):
    """Connections under a timetable of one arrival each 100 ns, the first of which was due 40 arrivals ago."""

    def __init__(self, number: int = 24) -> None:
        super().__init__(number)
        sprint = Sprint(self.reactor, lambda: NOW, possible=True)
        self.spins = Spins(self.reactor, lambda: NOW, self.lane, sprint, self.together)
        plan = LoadPlan(target=parse_target("http://127.0.0.1/"), qps=10_000_000)
        self.arrivals = Arrivals(plan, [1.0])
        self.arrivals.begin(NOW - 3_950)
        self.health = HealthMeter(0)
        self.reactor.busy = number

    def rest(self, *which: int) -> None:
        """These connections are idle."""
        for index in which:
            self.connections[index].state = IDLE
            self.lane.idle.append(self.connections[index])
            self.reactor.busy -= 1

    def release(self) -> dict[str, object]:
        self.spins.release(self.arrivals, Stage.BASELINE, self.health)
        health = {"lags": sorted(self.health.lags), "unwaited": self.health.unwaited, "waits": list(self.health.waits)}
        return {"next": self.arrivals.seq} | health | self.state()


@pytest.fixture
def worlds() -> Iterator[tuple[Timetable, Timetable]]:
    two = Timetable(), Timetable()
    yield two
    for world in two:
        world.close()


@pytest.fixture
def one_by_one(monkeypatch):
    """From now on, nothing is done together."""

    def change() -> None:
        monkeypatch.setattr(spins, "CATCH_UP", 1_000_000)
        monkeypatch.setattr(spins, "RELEASE_BATCH", 1_000)

    return change


@needs_ring
@pytest.mark.parametrize("happens", HAPPENINGS, ids=lambda happens: happens.__name__)
def test_answers_read_together_count_as_those_read_one_by_one(worlds, happens, one_by_one, monkeypatch):
    monkeypatch.setattr(spins, "CATCH_UP", 8)
    one, other = worlds
    for world in worlds:
        happens(world)
    one.spins.drain(one.events)
    one_by_one()
    other.spins.drain(other.events)

    assert one.state() == other.state()


@needs_ring
def test_arrivals_sent_together_leave_as_those_sent_one_by_one(worlds, one_by_one):
    one, other = worlds
    for world in worlds:
        world.arrivals.stop(NOW - 1_900)  # twenty-one are due
        world.rest(*range(24))
    together = one.release()
    one_by_one()

    assert together == other.release()
    assert together["next"] == 21


@needs_ring
def test_arrivals_that_wait_are_sent_first_and_in_their_order(worlds, one_by_one):
    one, other = worlds
    for world in worlds:
        world.rest(*range(20))
        world.lane.waiting.extend((number, Stage.BASELINE, 10 * number, 20 * number) for number in range(1_000, 1_017))
    together = one.release()
    one_by_one()

    assert together == other.release()
    assert together["numbers"][:17] == list(range(1_000, 1_017))


@needs_ring
def test_a_connection_that_was_closed_while_it_was_idle_is_passed_over(worlds):
    world, _ = worlds
    world.arrivals.stop(NOW - 1_900)
    world.rest(*range(22))
    world.connections[3].state = CLOSED
    state = world.release()

    assert len(state["lags"]) == 21
    assert state["got"][3] == 0
    assert sum(got > 0 for got in state["got"]) == 21


@needs_ring
def test_an_arrival_whose_connections_were_all_closed_waits(worlds):
    world, _ = worlds
    world.arrivals.stop(NOW - 1_900)
    world.rest(*range(21))
    world.connections[3].state = CLOSED
    state = world.release()

    assert [arrival[0] for arrival in state["waiting"]] == [20]
    assert state["unwaited"] == 20


def test_a_few_arrivals_are_sent_one_by_one(worlds, monkeypatch):
    world, _ = worlds
    monkeypatch.setattr(world.together, "pair", None)  # would fail
    world.arrivals.stop(NOW - 3_500)
    world.rest(*range(24))

    assert world.release()["unwaited"] == 5


@pytest.mark.parametrize("catch_up", [1, 4, 1_000_000])
def test_every_arrival_of_a_fast_timetable_is_answered_once(server, monkeypatch, catch_up):
    monkeypatch.setattr(spins, "CATCH_UP", catch_up)
    lanes = (LanePlan(lane="reused", share=1, connections=12),)
    bench = Bench(server.url, qps=20_000, calls=3_000, lanes=lanes).run()

    assert (bench.ok, bench.failed, bench.not_sent) == (3_000, 0, 0)
