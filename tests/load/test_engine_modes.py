"""What a benchmark asks of the engine beyond a run: bounds, closed loop, warm-up, caps, raw numbers, no epoll."""

import subprocess
import sys
from collections import Counter

import pytest
import scripted
from rawruns import ONE, Bench
from scripted import OK, well

from rollcheck.facts.actions import Note
from rollcheck.facts.attempts import Attempt, Interval, Outcome, Phase, Stage
from rollcheck.facts.connections import ClosedBy
from rollcheck.facts.connections import Connection as ConnectionFact
from rollcheck.facts.document import LanePlan
from rollcheck.facts.health import HealthSample
from rollcheck.facts.wiretotals import AccessLine, SlotTotals, WireTotals
from rollcheck.load.answers import ROOMY, SNUG
from rollcheck.load.histogram import Histogram
from rollcheck.load.pacer import RateStage

pytestmark = pytest.mark.loopback


class Counted:
    """A script that counts the requests and remembers what they said."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.heads: list[bytes] = []

    def __call__(self, peer: scripted.Peer) -> None:
        while head := peer.request():
            self.heads.append(head)
            peer.send(self.answer)
            if b"Connection: close" in head:
                return


@pytest.mark.parametrize("plan", [{}, {"keep_alive": False}, {"qps": 2000}, {"fill_uuid": True}, {"access_log": True}])
def test_exactly_as_many_calls_are_made_as_were_asked_for(server, plan):
    server.script = Counted()
    bench = Bench(server.url, calls=101, **plan).run()

    assert (bench.ok, len(server.script.heads)) == (101, 101)


def test_the_calls_of_all_workers_add_up_to_what_was_asked_for(server):
    benches = [Bench(server.url, calls=101, worker=k, workers=3).run() for k in range(3)]

    assert [bench.ok for bench in benches] == [34, 34, 33]


def test_a_closed_loop_ends_with_its_duration(server):
    bench = Bench(server.url, duration_s=0.2).run()

    assert bench.ok > 4
    assert bench.failed == 0


def test_a_closed_loop_opens_no_connection_beyond_its_own(server):
    bench = Bench(server.url, calls=50).run()

    assert server.accepted == 4
    assert {fact.closed_by for fact in bench.of(ConnectionFact)} == {ClosedBy.US_END}


def test_response_time_is_service_time_in_a_closed_loop(server):
    bench = Bench(server.url, calls=20).run()

    assert all(interval.response_hdr == interval.service_hdr for interval in bench.proper)


def test_a_timetable_ends_with_its_stages(server):
    stages = (RateStage(100, 100, 0.1), RateStage(0, 0, 0.1), RateStage(200, 400, 0.1))
    bench = Bench(server.url, stages=stages).run()

    assert bench.ok == 10 + 30


@pytest.mark.parametrize("arrivals", ["poisson", "jitter"])
def test_random_arrivals_are_all_sent(server, arrivals):
    bench = Bench(server.url, qps=500, calls=50, arrivals=arrivals, seed=3).run()

    assert bench.ok == 50


def test_a_warm_up_uses_every_connection_once_and_is_counted_apart(server):
    bench = Bench(server.url, calls=8, warmup=True).run()
    early = [interval for interval in bench.of(Interval) if interval.stage is Stage.PREFLIGHT]

    assert [interval.ok for interval in early] == [4]
    assert (bench.ok, server.accepted) == (8, 4)


def test_a_warm_up_that_fails_ends_the_load_before_it_begins(server):
    server.script = lambda peer: well(peer, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    bench = Bench(server.url, calls=8, warmup=True).run()

    assert bench.engine.aborted == "the warm-up failed: body/bad_status 503"
    assert bench.ok + bench.failed == 0


def test_a_warm_up_that_fails_can_be_allowed(server):
    server.script = lambda peer: well(peer, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    bench = Bench(server.url, calls=8, warmup=True, allow_initial_errors=True).run()

    assert (bench.engine.aborted, bench.failed) == ("", 8)


def test_a_connection_carries_no_more_requests_than_its_cap(server):
    bench = Bench(server.url, calls=40, reuse=(3, 3)).run()
    closed = Counter(fact.closed_by for fact in bench.of(ConnectionFact) if fact.requests == 3)

    assert bench.ok == 40
    assert closed[ClosedBy.US_POLICY] >= 10
    assert max(fact.requests for fact in bench.of(ConnectionFact)) == 3


def test_a_connection_that_is_old_enough_is_replaced_when_it_is_free(server):
    bench = Bench(server.url, qps=200, duration_s=0.3, reconnect_every_s=0.05).run()

    assert server.accepted > 8
    assert bench.failed == 0


def test_abort_on_ends_the_load_at_the_first_such_answer(server):
    server.script = lambda peer: well(peer, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    bench = Bench(server.url, duration_s=10, abort_on=503).run()

    assert bench.engine.aborted == "an attempt ended body/bad_status 503"
    assert 1 <= bench.failed <= 8


def test_abort_on_minus_one_ends_the_load_at_the_first_failure_without_a_status():
    bench = Bench(f"http://127.0.0.1:{scripted.closed_port()}/", qps=100, abort_on=-1).run()

    assert bench.engine.aborted == "an attempt ended connect/refused ECONNREFUSED"


def test_abort_on_an_ok_status_ends_the_load_too(server):
    bench = Bench(server.url, duration_s=10, abort_on=200).run()

    assert bench.engine.aborted == "an answer had status 200"


def test_the_access_log_has_a_line_for_every_attempt_that_was_sent(server):
    bench = Bench(server.url, calls=30, access_log=True).run()
    lines = bench.of(AccessLine)

    assert [line.ok for line in lines] == [True] * 30
    assert sorted(line.seq for line in lines) == list(range(30))
    assert {line.slot for line in lines} <= set(range(4))


def test_the_access_log_has_failures_too(server):
    server.script = lambda peer: (peer.request(), peer.reset())
    bench = Bench(server.url, calls=10, access_log=True).run()

    assert {line.outcome for line in bench.of(AccessLine)} == {"await/reset"}


def test_every_request_has_a_uuid_of_its_own(server):
    server.script = script = Counted()
    Bench(server.url + "x/{uuid}", calls=10, fill_uuid=True).run()
    paths = {head.split()[1] for head in script.heads}

    assert len(paths) == 10
    assert {len(path) for path in paths} == {3 + 36}


def test_http_1_0_asks_for_the_connection_to_be_kept(server):
    server.script = script = Counted(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok")
    Bench(server.url, calls=20, http10=True).run()

    assert server.accepted == 4
    assert all(b"HTTP/1.0\r\n" in head and b"Connection: keep-alive" in head for head in script.heads)


def test_half_close_ends_our_side_after_the_request(server):
    ends = []

    def script(peer):
        peer.request()
        ends.append(peer.sock.recv(1))
        peer.send(OK)

    server.script = script
    bench = Bench(server.url, calls=6, keep_alive=False, half_close=True).run()

    assert (bench.ok, ends) == (6, [b""] * 6)


def test_arrivals_whose_time_has_passed_are_left_out_when_catching_up_is_forbidden(server):
    def script(peer):
        while peer.request():
            peer.send(OK)

    server.script = script
    bench = Bench(server.url, qps=1_000_000, calls=50_000, catch_up=False)
    bench.run()
    skipped = sum(sample.skipped for sample in bench.of(HealthSample))

    assert 0 < skipped == bench.not_sent
    assert bench.ok + skipped == 50_000


def test_what_went_over_the_wire_is_summed_up(server):
    bench = Bench(server.url, calls=25).run()
    (wire,) = bench.of(WireTotals)

    assert (wire.total_bytes.count, wire.total_bytes.low, wire.total_bytes.high) == (25, len(OK), len(OK))
    assert wire.header_bytes.sum == 25 * (len(OK) - 2)
    assert Histogram.decode(wire.connect_hdr).total == 4


def test_every_place_for_a_connection_says_where_it_led(server):
    bench = Bench(server.url, calls=25).run()
    slots = bench.of(SlotTotals)

    assert [(slot.slot, slot.sockets, slot.connect_ns.count) for slot in slots] == [(n, 1, 1) for n in range(4)]
    assert {address for slot in slots for address in slot.addresses} == {f"127.0.0.1:{server.port}"}


def test_a_place_whose_connections_are_refused_counts_them(server):
    bench = Bench(f"http://127.0.0.1:{scripted.closed_port()}/", calls=12).run()

    assert sum(slot.sockets for slot in bench.of(SlotTotals)) == 12
    assert bench.failed == 12


def test_an_idle_aged_lane_has_as_many_connections_as_let_each_rest(server):
    lanes = (LanePlan(lane="idle_aged", share=1, connections=1, min_idle_s=0.1),)
    bench = Bench(server.url, qps=100, calls=60, lanes=lanes).run()

    assert server.accepted == 11
    assert bench.ok == 60


def test_a_long_lane_has_a_path_of_its_own_and_uses_idle_connections_first(server):
    server.script = script = Counted()
    lanes = (LanePlan(lane="long", share=1, connections=0, path="/slow?s=1"),)
    Bench(server.url, qps=50, calls=10, lanes=lanes).run()

    assert {head.split()[1] for head in script.heads} == {b"/slow?s=1"}
    assert server.accepted < 10


@pytest.mark.parametrize("plan", [{}, {"qps": 300}, {"qps": 1000}])
def test_the_portable_way_comes_to_the_same_and_says_so_once(server, plan):
    bench = Bench(server.url, calls=60, portable=True, **plan).run()

    assert bench.ok == 60
    assert [note.topic for note in bench.of(Note)] == ["generator"]


def test_the_portable_way_sees_what_the_server_does(server):
    server.script = lambda peer: (peer.request(), peer.reset())
    bench = Bench(server.url, calls=12, portable=True).run()

    assert {(attempt.phase, attempt.outcome) for attempt in bench.of(Attempt)} == {(Phase.AWAIT, Outcome.RESET)}


def test_an_engine_that_leaves_histograms_to_others_imports_no_numpy():

    code = "import sys; import rollcheck.load.engine; sys.exit('numpy' in sys.modules or 'hdrh' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_engine_that_makes_histograms_has_numpy_before_its_first_arrival():
    code = (
        "import sys\n"
        "from rollcheck.facts.attempts import Lane, Stage\n"
        "from rollcheck.load.recorder import LoadRecorder\n"
        "LoadRecorder([Lane.REUSED], print, keep=1, stage=Stage.BASELINE, now=0)\n"
        "sys.exit('numpy' not in sys.modules or 'hdrh.histogram' not in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_name_that_does_not_resolve_does_not_spin(server, monkeypatch):
    def nowhere(*_args):
        raise OSError(-2, "Name or service not known")

    monkeypatch.setattr("rollcheck.load.resolver.lookup", nowhere)
    bench = Bench("http://nowhere.example.test/", duration_s=0.3).run()

    assert {(attempt.phase, attempt.outcome) for attempt in bench.of(Attempt)} == {
        (Phase.RESOLVE, Outcome.NOT_RESOLVED)
    }
    assert bench.failed < 20


def test_a_warm_up_of_many_connections_is_no_rush(server):
    lanes = (LanePlan(lane="reused", share=1, connections=600),)
    bench = Bench(server.url, calls=1, warmup=True, lanes=lanes, timeout_s=5.0).run()
    early = [interval for interval in bench.of(Interval) if interval.stage is Stage.PREFLIGHT]

    assert bench.engine.aborted == ""
    assert sum(interval.ok for interval in early) == 600


def test_a_failure_is_named_alike_in_its_line_and_in_the_counts(server):
    server.script = lambda peer: (peer.request(), peer.send(OK[:-1]))
    bench = Bench(server.url, calls=5).run()
    counted = Counter()
    for interval in bench.proper:
        counted.update(interval.failures)

    assert counted == Counter(attempt.kind for attempt in bench.of(Attempt)) == {"body/truncated_body": 5}


def of_size(total: int) -> bytes:
    """A whole answer of so many bytes."""
    spare = total - len(b"HTTP/1.1 200 OK\r\nContent-Length: 0000\r\n\r\n")
    return b"HTTP/1.1 200 OK\r\nContent-Length: %04d\r\n\r\n" % spare + b"a" * spare


class Sizes:
    """A script that gives answers of these sizes, in turn, all connections together."""

    def __init__(self, sizes: list[int]) -> None:
        self._sizes, self.given = sizes, []

    def __call__(self, peer: scripted.Peer) -> None:
        while head := peer.request():
            size = self._sizes[len(self.given) % len(self._sizes)]
            self.given.append(size)
            peer.send(of_size(size))
            if b"Connection: close" in head:
                return


@pytest.mark.parametrize("plan", [{}, {"keep_alive": False}, {"qps": 2000}])
@pytest.mark.parametrize(
    "sizes",
    [
        [SNUG - 1, SNUG, SNUG + 1],
        [100] * 30 + [2000] * 30,
        [100, 2 * SNUG, ROOMY - 1, ROOMY, ROOMY + 1, 9900],
    ],
    ids=["at the edge", "short, then long", "all sorts"],
)
def test_answers_are_counted_whole_whatever_room_was_made_for_the_first_read(server, sizes, plan):
    server.script = Sizes(sizes)
    bench = Bench(server.url, calls=180, lanes=ONE, **plan).run()

    [totals] = {fact.total_bytes for fact in bench.of(WireTotals)}
    assert (bench.ok, bench.failed) == (180, 0)
    assert (totals.count, totals.sum) == (180, sum(server.script.given))


def test_an_end_right_after_answers_that_are_known_is_no_answer(server):
    def script(peer: scripted.Peer) -> None:
        for _ in range(10):
            if not peer.request():
                return
            peer.send(OK)
        peer.request()  # taken, and never answered

    server.script = script
    bench = Bench(server.url, calls=22, lanes=ONE).run()

    assert (bench.ok, bench.failed) == (20, 2)
