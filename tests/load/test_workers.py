"""One load on several processes, with real forks and sockets on loopback."""

import os
import signal
import threading

import pytest
import trio
from scripted import OK, Peer, closed_port, well

from rollcheck.errors import UsageError
from rollcheck.facts.actions import Note, StageMark
from rollcheck.facts.attempts import Attempt, Interval, Stage
from rollcheck.facts.clock import SECOND
from rollcheck.facts.document import LanePlan
from rollcheck.facts.health import HealthSample
from rollcheck.facts.wiretotals import AccessLine, WireTotals
from rollcheck.load.frames import FrameReader, encode_frame, flatten, unflatten
from rollcheck.load.histogram import Histogram
from rollcheck.load.intervals import Settler
from rollcheck.load.pacer import RateStage
from rollcheck.load.plan import LoadPlan, parse_target
from rollcheck.load.workers import Workers, plan_workers, share_of, start_workers

DOWN = b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n"


def plan(url: str, *, connections: int = 4, **options) -> LoadPlan:
    lanes = (LanePlan(lane="reused", share=1, connections=connections),)
    return LoadPlan(target=parse_target(url), lanes=lanes, probe=False, **{"qps": 0, **options})


def run(load: LoadPlan, count: int) -> tuple[Workers, list]:
    facts: list = []
    settler = Settler()
    workers = start_workers(load, count)
    with bounded():
        trio.run(workers.run, lambda raw: facts.extend(settler.take(raw)))
    return workers, facts


class bounded:  # noqa: N801
    """No test may hang."""

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, _too_late)
        signal.alarm(30)

    def __exit__(self, *exc: object) -> None:
        signal.alarm(0)


def _too_late(*_: object) -> None:
    raise TimeoutError("the load did not end")


def of(kind, facts: list) -> list:
    return [fact for fact in facts if isinstance(fact, kind)]


def counted(facts: list, stage: Stage = Stage.BASELINE) -> dict[int, int]:
    """Attempts by worker."""
    found: dict[int, int] = {}
    for interval in of(Interval, facts):
        if interval.stage is stage:
            n = interval.ok + interval.failed + interval.not_sent
            found[interval.worker] = found.get(interval.worker, 0) + n
    return found


@pytest.mark.parametrize("qps", [0, 1000])
def test_two_workers_share_an_odd_number_of_calls_to_within_one(server, qps):
    workers, facts = run(plan(server.url, qps=qps, calls=101), 2)

    assert counted(facts) == {0: 51, 1: 50}
    assert workers.scheduled == {"reused": 101}


def test_what_workers_count_adds_up_to_what_the_server_saw(server):
    seen = []

    def script(peer: Peer) -> None:
        while peer.request():
            seen.append(1)
            peer.send(OK)

    server.script = script

    _, facts = run(plan(server.url, calls=200, warmup=True), 2)

    assert sum(counted(facts, Stage.PREFLIGHT).values()) == 4
    assert sum(counted(facts).values()) + 4 == len(seen)


def test_merged_histograms_are_the_exact_sum(server):
    _, facts = run(plan(server.url, calls=101), 2)

    merged = Histogram()
    for interval in of(Interval, facts):
        merged.merge(Histogram.decode(interval.service_hdr))
    assert merged.total == 101
    assert sum(totals.total_bytes.count for totals in of(WireTotals, facts)) == 101
    assert {totals.worker for totals in of(WireTotals, facts)} == {0, 1}


def test_the_arrivals_of_all_workers_lie_on_one_timetable(server):
    server.script = lambda peer: well(peer, DOWN)

    _, facts = run(plan(server.url, qps=200, calls=21), 2)

    (begun,) = of(StageMark, facts)
    attempts = sorted(of(Attempt, facts), key=lambda attempt: attempt.seq)
    assert [attempt.seq for attempt in attempts] == list(range(21))
    assert [attempt.intended_ns - begun.at_ns for attempt in attempts] == [n * SECOND // 200 for n in range(21)]
    assert [attempt.worker for attempt in attempts] == [n % 2 for n in range(21)]


def test_nothing_of_the_load_proper_comes_before_its_begin(server):
    _, facts = run(plan(server.url, calls=20, warmup=True), 2)

    begun = of(StageMark, facts)
    assert [(mark.stage, facts.index(mark)) for mark in begun] == [(Stage.BASELINE, 0)]


def test_a_single_worker_begins_by_itself(server):
    _, facts = run(plan(server.url, calls=10), 1)

    (begun,) = of(StageMark, facts)
    assert min(interval.start_ns for interval in of(Interval, facts)) >= begun.at_ns
    assert of(HealthSample, facts)


def test_lines_for_the_access_log_come_from_all_workers(server):
    _, facts = run(plan(server.url, calls=31, access_log=True), 2)

    lines = of(AccessLine, facts)
    assert sorted(line.seq for line in lines) == list(range(31))
    assert all(line.ok and line.status == 200 and line.worker == line.seq % 2 for line in lines)


def test_a_warm_up_that_fails_ends_the_load_once_for_all():
    workers, facts = run(plan(f"http://127.0.0.1:{closed_port()}/", calls=10, warmup=True), 2)

    assert "refused" in workers.aborted
    assert [note.topic for note in of(Note, facts)] == ["abort"]
    assert counted(facts) == {}
    assert workers.began_ns is None


def test_a_status_to_abort_on_ends_every_worker(server):
    server.script = lambda peer: well(peer, DOWN)

    workers, facts = run(plan(server.url, abort_on=503), 2)

    assert "503" in workers.aborted
    assert workers.lost == []
    assert [note.topic for note in of(Note, facts)] == ["abort"]


def test_a_worker_that_is_killed_is_reported_and_ends_the_load(server):
    workers: list[Workers] = []
    killed = threading.Event()

    def script(peer: Peer) -> None:
        while peer.request():
            peer.send(OK)
            if peer.number == 2 and not killed.is_set():
                killed.set()
                os.kill(workers[0].pids[1], signal.SIGKILL)

    server.script = script
    workers.append(start_workers(plan(server.url, connections=2, warmup=False, qps=100), 2))
    facts: list = []
    settler = Settler()
    with bounded():
        trio.run(workers[0].run, lambda raw: facts.extend(settler.take(raw)))

    assert workers[0].lost == [1]
    (note,) = of(Note, facts)
    assert (note.topic, note.fatal) == ("generator", True)
    assert note.text.startswith("worker 1 was killed by SIGKILL before its end")


def test_stop_lets_what_is_under_way_end(server):
    asked, answer = threading.Event(), threading.Event()
    answered = []

    def script(peer: Peer) -> None:
        while peer.request():
            asked.set()
            answer.wait(10)
            answered.append(1)
            peer.send(OK)

    server.script = script
    workers = start_workers(plan(server.url, connections=1), 1)
    facts: list = []

    async def main() -> None:
        settler = Settler()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(workers.run, lambda raw: facts.extend(settler.take(raw)))
            await trio.to_thread.run_sync(asked.wait, 10)
            workers.stop()
            answer.set()

    with bounded():
        trio.run(main)

    assert of(Attempt, facts) == []
    assert counted(facts) == {0: len(answered)}


def test_stop_now_gives_up_what_is_under_way(server):
    asked = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        asked.set()
        peer.wait_closed()

    server.script = script
    workers = start_workers(plan(server.url, connections=1), 1)
    facts: list = []

    async def main() -> None:
        settler = Settler()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(workers.run, lambda raw: facts.extend(settler.take(raw)))
            await trio.to_thread.run_sync(asked.wait, 10)
            workers.stop(now=True)

    with bounded():
        trio.run(main)

    assert [attempt.outcome for attempt in of(Attempt, facts)] == ["abandoned"]


def test_what_a_worker_cannot_begin_with_is_raised_in_the_parent(server, tmp_path):
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")

    with pytest.raises(UsageError, match=r"ca\.pem"):
        run(plan(server.url.replace("http:", "https:"), ca_file=str(bad), calls=1), 2)


def test_a_cancelled_parent_leaves_no_worker_behind(server):
    workers = start_workers(plan(server.url), 2)

    async def main() -> None:
        with trio.move_on_after(0.05):
            await workers.run(lambda raw: None)

    with bounded():
        trio.run(main)

    for pid in workers.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_each_worker_has_its_part_of_the_connections_and_of_the_room_for_failures():
    load = plan("http://host/", connections=7, keep=10)

    parts = [share_of(load, worker, 3) for worker in range(3)]

    assert [part.lanes[0].connections for part in parts] == [3, 2, 2]
    assert [part.keep for part in parts] == [4, 3, 3]
    assert share_of(load, 0, 1) is load


@pytest.mark.parametrize(
    ("cores", "options", "count"),
    [
        (1, {"qps": 0}, 1),
        (2, {"qps": 0}, 1),
        (8, {"qps": 0, "connections": 64}, 7),
        (8, {"qps": 0, "connections": 3}, 3),
        (8, {"qps": 1000, "connections": 64}, 1),
        (8, {"qps": 50_000, "connections": 64}, 3),
        (8, {"stages": (RateStage(0, 90_000, 1),), "connections": 64}, 5),
    ],
)
def test_there_are_as_many_workers_as_needed_but_one_core_stays_free(monkeypatch, cores, options, count):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))

    assert plan_workers(plan("http://host/", **options)) == count


def test_more_workers_than_connections_are_refused():
    with pytest.raises(UsageError, match="each of 5 workers needs a connection of its own, and there are 4"):
        plan_workers(plan("http://host/"), 5)


def test_fewer_than_no_workers_are_refused():
    with pytest.raises(UsageError, match="--workers"):
        plan_workers(plan("http://host/"), -1)


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_frames_are_whole_however_they_are_cut(size):
    messages = [["a"] * 5, {"b": 1}, [], ["c" * 300]]
    data = b"".join(encode_frame(message) for message in messages)
    reader = FrameReader()

    got = [m for at in range(0, len(data), size) for m in reader.feed(data[at : at + size])]

    assert got == messages


def test_facts_come_out_as_they_went_in():
    line = AccessLine(seq=1, worker=0, slot=2, sent_ns=3, ended_ns=4, ok=False, status=503, outcome="await/bad_status")

    assert unflatten(flatten(line)) == line
    assert isinstance(flatten(line), tuple)
    assert flatten("else") == "else"
