"""The engine against real sockets on 127.0.0.1; each test's server does one thing wrong."""

import random
import signal
import ssl
import threading
import time
from dataclasses import replace
from itertools import pairwise

import pytest
import scripted
import trio
import trustme
from scripted import OK, well

from rollcheck.facts.attempts import Attempt, ConnectionUse, Interval, Lane, Outcome, Phase, PodTally, Stage
from rollcheck.facts.codec import decode_line, encode_line
from rollcheck.facts.connections import ClosedBy
from rollcheck.facts.connections import Connection as ConnectionFact
from rollcheck.facts.document import LanePlan
from rollcheck.facts.health import HealthSample
from rollcheck.load.engine import Engine
from rollcheck.load.histogram import Histogram
from rollcheck.load.plan import LoadPlan, parse_expectation, parse_target

pytestmark = pytest.mark.loopback

REUSED = (LanePlan(lane="reused", share=1, connections=1),)
FRESH = (LanePlan(lane="fresh", share=1, connections=0),)
BOTH = (LanePlan(lane="reused", share=0.5, connections=4), LanePlan(lane="fresh", share=0.5, connections=0))


class Load:
    """One run of an engine and the facts it recorded."""

    def __init__(self, url: str, **plan) -> None:
        self.facts = []
        target = parse_target(url)
        self.engine = Engine(LoadPlan(**{"target": target, "qps": 200, "timeout_s": 1.0} | plan), self.facts.append)

    def of(self, kind):
        return [fact for fact in self.facts if isinstance(fact, kind)]

    @property
    def attempts(self) -> list[Attempt]:
        return [attempt for attempt in self.of(Attempt) if attempt.lane is not Lane.PROBE]

    @property
    def probes(self) -> list[Attempt]:
        return [attempt for attempt in self.of(Attempt) if attempt.lane is Lane.PROBE]

    def count(self, what: str) -> int:
        return sum(getattr(interval, what) for interval in self.of(Interval))

    def run(self, arrivals: int, during=None) -> "Load":
        """Run until that many arrivals were released and everything ended."""

        async def main():
            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.engine.run)
                    while sum(self.engine.scheduled.values()) < arrivals:
                        await trio.sleep(0.001)
                    if during is not None:
                        await during(self)
                    self.engine.stop()

        trio.run(main)
        self.check_conservation()
        return self

    def check_conservation(self) -> None:
        """Scheduled = ok + failed + not sent, by lane; every fact survives the codec."""
        for lane, scheduled in self.engine.scheduled.items():
            rows = [interval for interval in self.of(Interval) if interval.lane == lane]
            assert sum(row.ok + row.failed + row.not_sent for row in rows) == scheduled
            for row in rows:
                assert sum(row.statuses.values()) == row.ok
                assert Histogram.decode(row.response_hdr).total == row.ok
                assert Histogram.decode(row.service_hdr).total == row.ok
        unsent = [attempt for attempt in self.attempts if attempt.sent_ns is None]
        assert len(unsent) == self.count("not_sent") or self.count("unlisted")
        assert len(self.attempts) + self.count("unlisted") == self.count("failed") + self.count("not_sent")
        assert len(self.probes) == self.engine.probes
        assert all(decode_line(encode_line(fact)) == fact for fact in self.facts)
        progress = self.engine.progress()
        assert (progress.in_flight, progress.backlog) == (0, 0)
        assert progress.scheduled == progress.ok + progress.failed + progress.not_sent


def outcomes(attempts) -> set[tuple[Phase, Outcome]]:
    return {(attempt.phase, attempt.outcome) for attempt in attempts}


def test_good_answers_are_folded_and_none_is_kept_whole(server):
    load = Load(server.url, lanes=BOTH).run(40)

    assert load.count("ok") == sum(load.engine.scheduled.values()) >= 40
    assert load.of(Attempt) == []


def test_arrivals_are_dealt_to_the_lanes_by_their_shares(server):
    load = Load(server.url, lanes=BOTH).run(41)

    assert abs(load.engine.scheduled["reused"] - load.engine.scheduled["fresh"]) <= 1


def test_the_reused_lane_opens_no_more_than_its_connections_and_uses_them_all(server):
    lanes = (LanePlan(lane="reused", share=1, connections=3),)
    load = Load(server.url, lanes=lanes).run(30)

    assert server.accepted == 3
    closed = load.of(ConnectionFact)
    assert {fact.closed_by for fact in closed} == {ClosedBy.US_END}
    assert min(fact.requests for fact in closed) >= 9


def test_every_fresh_arrival_has_a_connection_of_its_own_and_leaves_no_line(server):
    load = Load(server.url, lanes=FRESH).run(20)

    assert server.accepted == sum(load.engine.scheduled.values())
    assert load.of(ConnectionFact) == []


def test_refused_is_said_of_the_phase_connect(server):
    load = Load(f"http://127.0.0.1:{scripted.closed_port()}/", lanes=BOTH).run(10)

    assert outcomes(load.attempts) == {(Phase.CONNECT, Outcome.REFUSED)}
    assert load.count("failed") == sum(load.engine.scheduled.values())
    assert {attempt.use for attempt in load.attempts} == {ConnectionUse.NEW}
    assert load.engine.probes == 0


def answer_then(action):
    """A script that answers the first request of the server's first connection well, then does `action` to the
    second; all other connections are served well.
    """

    def script(peer):
        if peer.number > 1:
            well(peer)
            return
        peer.request()
        peer.send(OK)
        peer.request()
        action(peer)

    return script


@pytest.mark.parametrize(
    ("action", "phase", "outcome", "closed_by", "reset"),
    [
        (lambda peer: peer.reset(), Phase.AWAIT, Outcome.RESET, ClosedBy.PEER_IN_FLIGHT, True),
        (lambda peer: None, Phase.AWAIT, Outcome.CLOSED_BEFORE_RESPONSE, ClosedBy.PEER_IN_FLIGHT, False),
        (lambda peer: peer.send(OK[:9]), Phase.AWAIT, Outcome.TRUNCATED_BODY, ClosedBy.PEER_IN_FLIGHT, False),
        (lambda peer: peer.send(OK[:-1]), Phase.BODY, Outcome.TRUNCATED_BODY, ClosedBy.PEER_IN_FLIGHT, False),
        (lambda peer: peer.send(b"rubbish\r\n\r\n"), Phase.AWAIT, Outcome.PROTOCOL, ClosedBy.US_FAILED, False),
        (lambda peer: peer.wait_closed(), Phase.AWAIT, Outcome.TIMEOUT, ClosedBy.US_FAILED, False),
        (
            lambda peer: (peer.send(OK[:-1]), peer.wait_closed()),
            Phase.BODY,
            Outcome.TIMEOUT,
            ClosedBy.US_FAILED,
            False,
        ),
    ],
    ids=["rst", "fin", "cut head", "cut body", "rubbish", "silence", "silence in the body"],
)
def test_a_reused_connection_that_fails_is_one_attempt_one_connection_and_one_good_probe(
    server, action, phase, outcome, closed_by, reset
):
    server.script = answer_then(action)
    lanes = (LanePlan(lane="reused", share=1, connections=2),)
    load = Load(server.url, lanes=lanes, timeout_s=0.2, qps=50).run(6)

    [attempt] = load.attempts
    assert (attempt.phase, attempt.outcome) == (phase, outcome)
    assert (attempt.use, attempt.requests_before, attempt.seq) == (ConnectionUse.REUSED, 1, 2)
    assert attempt.connection_age_ns > 0
    failed = [fact for fact in load.of(ConnectionFact) if fact.id == attempt.connection]
    assert [(fact.closed_by, fact.reset, fact.requests) for fact in failed] == [(closed_by, reset, 1)]
    [probe] = load.probes
    assert (probe.outcome, probe.seq, probe.use, probe.status) == (Outcome.OK, 2, ConnectionUse.NEW, 200)
    assert 0 <= probe.sent_ns - attempt.ended_ns < 100_000_000


def test_a_failure_on_a_new_connection_is_not_probed(server):
    server.script = lambda peer: peer.request()
    load = Load(server.url, lanes=BOTH).run(10)

    assert outcomes(load.attempts) == {(Phase.AWAIT, Outcome.CLOSED_BEFORE_RESPONSE)}
    assert load.engine.probes == 0


def test_a_failed_fresh_connection_leaves_a_line(server):
    server.script = lambda peer: (peer.request(), peer.reset())
    load = Load(server.url, lanes=FRESH).run(5)

    assert outcomes(load.attempts) == {(Phase.AWAIT, Outcome.RESET)}
    assert len(load.of(ConnectionFact)) == len(load.attempts)


@pytest.mark.parametrize(
    ("action", "reset"),
    [
        (lambda peer: None, False),
        (lambda peer: peer.reset(), True),
        (lambda peer: peer.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n"), False),
    ],
    ids=["fin", "rst", "bytes nobody asked for"],
)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_reused_connection_that_ends_while_idle_is_a_fact_and_no_attempt(server, certificate, action, reset, tls):
    answered = threading.Event()
    server.context = certificate if tls else None
    server.script = lambda peer: (peer.request(), peer.send(OK), answered.wait(10), action(peer))

    async def during(load):
        while not load.engine.progress().ok:
            await trio.sleep(0.001)
        answered.set()
        while not load.of(ConnectionFact):
            await trio.sleep(0.001)

    load = Load(server.url, lanes=REUSED, qps=0.05, verify_tls=False).run(1, during)

    assert load.of(Attempt) == []
    [fact] = load.of(ConnectionFact)
    assert (fact.closed_by, fact.reset, fact.requests) == (ClosedBy.PEER_IDLE, reset, 1)
    assert fact.idle_ns > 0


def test_a_new_connection_replaces_the_one_that_was_closed_while_idle(server):
    server.script = lambda peer: (peer.request(), peer.send(OK))
    load = Load(server.url, lanes=REUSED, qps=50).run(5)

    assert load.attempts == []
    assert server.accepted == sum(load.engine.scheduled.values())


def test_an_announced_close_is_followed_by_a_new_connection(server):
    server.script = lambda peer: well(peer, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    load = Load(server.url, lanes=REUSED).run(5)

    assert load.attempts == []
    assert {fact.closed_by for fact in load.of(ConnectionFact)} == {ClosedBy.PEER_ANNOUNCED}


def test_a_body_that_ends_with_the_connection_is_whole(server):
    server.script = lambda peer: (peer.request(), peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello"))
    load = Load(server.url, lanes=BOTH, expectation=parse_expectation(body="hello")).run(6)

    assert load.attempts == []
    assert {fact.closed_by for fact in load.of(ConnectionFact)} == {ClosedBy.PEER_ANNOUNCED}


def test_chunked_answers_in_many_pieces_are_whole(server):
    pieces = [b"HTTP/1.1 200 OK\r\nTransfer-", b"Encoding: chunked\r\n\r\n5\r\nhe", b"llo\r\n", b"0\r\n\r", b"\n"]

    def script(peer):
        while peer.request():
            for piece in pieces:
                peer.send(piece)
                time.sleep(0.001)

    server.script = script
    load = Load(server.url, lanes=REUSED, expectation=parse_expectation(body="hello"), qps=50).run(5)

    assert load.attempts == []


def test_head_answers_have_no_body_and_keep_the_connection(server):
    server.script = lambda peer: well(peer, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    load = Load(server.url, lanes=REUSED, method="HEAD").run(10)

    assert load.attempts == []
    assert server.accepted == 1


def test_a_bad_status_is_kept_whole_with_its_status(server):
    answer = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad"
    server.script = lambda peer: well(peer, answer)
    load = Load(server.url, lanes=BOTH).run(10)

    assert outcomes(load.attempts) == {(Phase.BODY, Outcome.BAD_STATUS)}
    assert {attempt.status for attempt in load.attempts} == {502}
    assert {attempt.bytes_received for attempt in load.attempts} == {len(answer)}
    assert load.engine.probes == 0


def test_a_good_status_with_the_wrong_body_is_a_failure(server):
    load = Load(server.url, lanes=BOTH, expectation=parse_expectation(body="WordPress")).run(10)

    assert outcomes(load.attempts) == {(Phase.BODY, Outcome.WRONG_BODY)}


def test_a_server_that_accepts_and_says_nothing_is_a_timeout_and_the_backlog_is_dropped_by_us(server):
    server.script = lambda peer: peer.wait_closed()
    load = Load(server.url, lanes=REUSED, timeout_s=0.15, qps=100).run(30)

    assert outcomes(load.attempts) == {(Phase.AWAIT, Outcome.TIMEOUT), (Phase.CONNECT, Outcome.DROPPED)}
    dropped = [attempt for attempt in load.attempts if attempt.outcome is Outcome.DROPPED]
    assert {(attempt.sent_ns, attempt.detail, attempt.connection) for attempt in dropped} == {
        (None, "no free connection", 0)
    }
    late = [attempt for attempt in load.attempts if attempt.outcome is Outcome.TIMEOUT]
    assert all(150_000_000 <= attempt.ended_ns - attempt.sent_ns < 400_000_000 for attempt in late)


def test_an_arrival_that_waits_for_a_connection_counts_it_as_the_targets_lag(server):
    server.script = lambda peer: slow(peer, 0.05)
    load = Load(server.url, lanes=REUSED, qps=100).run(5)

    assert load.attempts == []
    waits, lags = Histogram(), Histogram()
    for sample in load.of(HealthSample):
        waits.merge(Histogram.decode(sample.wait_hdr))
        lags.merge(Histogram.decode(sample.lag_hdr))
    assert waits.total == lags.total == sum(load.engine.scheduled.values())
    assert waits.max_us > 100_000
    [slowest] = [Histogram.decode(row.response_hdr).max_us for row in load.of(Interval)]
    assert slowest > 150_000


def slow(peer, seconds: float) -> None:
    while head := peer.request():
        time.sleep(seconds)
        peer.send(OK)
        if b"Connection: close" in head:
            return


def test_a_connect_that_gets_no_answer_times_out_in_the_phase_connect():
    # A listener that never accepts, its queue of one full: further SYNs are dropped by the kernel.
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        load = Load(f"http://127.0.0.1:{port}/", lanes=FRESH, timeout_s=0.1).run(5)
        for filler in fillers:
            filler.close()

    assert outcomes(load.attempts) == {(Phase.CONNECT, Outcome.TIMEOUT)}
    assert {attempt.connection for attempt in load.attempts} == {0}


def test_a_name_without_an_address_is_a_failed_attempt_of_the_phase_resolve():
    load = Load("http://no-such-name.invalid/", lanes=BOTH).run(5)

    assert outcomes(load.attempts) == {(Phase.RESOLVE, Outcome.NOT_RESOLVED)}
    assert load.count("not_sent") == 0


def test_a_lookup_that_takes_too_long_is_a_timeout_of_the_phase_resolve(monkeypatch):
    from rollcheck.load import resolver

    over = threading.Event()
    monkeypatch.setattr(resolver, "lookup", lambda host, port: over.wait(10) and ())

    async def during(load):
        while not load.attempts:
            await trio.sleep(0.001)

    load = Load("http://shop.test/", lanes=BOTH, timeout_s=0.05).run(3, during)
    over.set()

    assert outcomes(load.attempts) == {(Phase.RESOLVE, Outcome.TIMEOUT)}
    assert load.count("failed") == sum(load.engine.scheduled.values())


def test_a_name_is_resolved(server):
    load = Load(server.url.replace("127.0.0.1", "localhost"), lanes=BOTH).run(10)

    assert load.attempts == []


def test_no_file_descriptor_left_is_dropped_by_us(server):
    import resource

    from rollcheck.load.transport import count_open_files

    load = Load(server.url, lanes=FRESH, timeout_s=0.2)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def exhaust(load):
        resource.setrlimit(resource.RLIMIT_NOFILE, (count_open_files() - 5, hard))
        at_least = sum(load.engine.scheduled.values()) + 5
        while sum(load.engine.scheduled.values()) < at_least:
            await trio.sleep(0.001)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    try:
        load.run(3, exhaust)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    # The server lives in the same process and may run out as well: what it did not accept times out.
    dropped = [attempt for attempt in load.attempts if attempt.outcome is Outcome.DROPPED]
    assert {(attempt.phase, attempt.detail, attempt.sent_ns) for attempt in dropped} == {
        (Phase.CONNECT, "EMFILE", None)
    }


def test_the_pod_that_answers_is_credited_and_the_one_that_fails_is_remembered(server):
    named = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-POD: web-%d\r\n\r\n"

    def script(peer):
        peer.request()
        peer.send(named % peer.number)
        peer.request()
        if peer.number == 1:
            peer.reset()
        else:
            peer.send(named % peer.number)
            well(peer, named % peer.number)

    server.script = script
    load = Load(server.url, lanes=REUSED, pod_header="x-pod").run(6)

    [attempt] = load.attempts
    assert (attempt.pod, attempt.pod_from) == ("web-1", "connection")
    tallies = {(tally.pod, tally.use): tally for tally in load.of(PodTally)}
    assert tallies["web-1", ConnectionUse.NEW].ok == 1
    assert sum(tally.ok for tally in tallies.values()) == load.count("ok")
    assert all(t.first_sent_ns <= t.last_sent_ns <= t.last_ended_ns for t in tallies.values())


def test_a_bad_answer_names_its_pod_itself(server):
    server.script = lambda peer: well(peer, b"HTTP/1.1 500 X\r\nX-Pod: web-9\r\nContent-Length: 0\r\n\r\n")
    load = Load(server.url, lanes=FRESH, pod_header="X-Pod").run(3)

    assert {(attempt.pod, attempt.pod_from) for attempt in load.attempts} == {("web-9", "response")}


def test_a_stage_change_cuts_the_interval_and_marks_the_arrivals(server):
    server.script = lambda peer: well(peer, b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")

    async def during(load):
        load.engine.enter(Stage.REPLACEMENT)
        await trio.sleep(0.05)

    load = Load(server.url, lanes=FRESH).run(10, during)

    stages = [interval.stage for interval in load.of(Interval)]
    assert stages == [Stage.BASELINE, Stage.REPLACEMENT]
    before, after = load.of(Interval)
    assert before.end_ns == after.start_ns
    for attempt in load.attempts:
        assert attempt.stage is (Stage.BASELINE if attempt.intended_ns < before.end_ns else Stage.REPLACEMENT)


def test_cuts_within_ten_milliseconds_are_one(server):
    async def during(load):
        await trio.sleep(0.02)
        load.engine.cut()
        load.engine.cut()
        await trio.sleep(0.02)

    load = Load(server.url, lanes=FRESH).run(5, during)

    assert len(load.of(Interval)) == 2


def test_failures_beyond_the_bound_are_counted_and_not_listed(server):
    load = Load(f"http://127.0.0.1:{scripted.closed_port()}/", lanes=FRESH, keep=3).run(10)

    assert len(load.attempts) == 3
    assert load.count("unlisted") == load.count("failed") - 3


def test_abandoned_attempts_are_recorded_whole_and_the_run_ends_at_once(server):
    server.script = lambda peer: peer.wait_closed()

    async def during(load):
        load.engine.abandon()

    began = time.monotonic()
    load = Load(server.url, lanes=BOTH, timeout_s=30).run(12, during)

    assert time.monotonic() - began < 5
    assert {attempt.outcome for attempt in load.attempts} == {Outcome.ABANDONED}
    assert {attempt.phase for attempt in load.attempts} >= {Phase.AWAIT}
    assert len(load.attempts) == sum(load.engine.scheduled.values())


def test_a_cancelled_run_accounts_for_everything(server):
    server.script = lambda peer: peer.wait_closed()
    load = Load(server.url, lanes=BOTH, timeout_s=30)

    async def main():
        with trio.move_on_after(0.1):
            await load.engine.run()

    trio.run(main)

    load.check_conservation()
    assert {attempt.outcome for attempt in load.attempts} == {Outcome.ABANDONED}


def test_an_interrupt_in_the_middle_of_the_load_loses_no_attempt(server):
    load = Load(server.url, lanes=BOTH, qps=2000)
    interrupted = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])

    async def main():
        interrupted.start()
        with trio.fail_after(10):
            await load.engine.run()

    with pytest.raises(BaseExceptionGroup) as caught:
        trio.run(main, strict_exception_groups=True)

    assert caught.group_contains(KeyboardInterrupt)
    assert load.count("ok") > 0
    load.check_conservation()


def test_what_is_under_way_at_stop_ends_by_itself(server):
    server.script = lambda peer: slow(peer, 0.1)
    load = Load(server.url, lanes=FRESH).run(5)

    assert load.attempts == []


def test_a_stopped_load_does_not_wait_for_the_next_arrival(server):
    began = time.monotonic()
    Load(server.url, lanes=FRESH, qps=0.05).run(1)

    assert time.monotonic() - began < 5


def test_a_load_that_is_stopped_before_it_runs_sends_nothing(server):
    load = Load(server.url, lanes=BOTH)
    load.engine.stop()
    trio.run(load.engine.run)

    assert load.engine.scheduled == {"reused": 0, "fresh": 0}
    assert load.of(Interval) == []


def test_intervals_are_written_while_the_load_leaves_no_quiet(server):
    async def during(load):
        with trio.fail_after(10):
            while not load.of(Interval) or not load.engine.progress().p50_us:
                await trio.sleep(0.01)

    load = Load(server.url, lanes=REUSED, qps=3000, interval_s=0.1).run(10, during)

    rows = load.of(Interval)
    assert all(a.end_ns <= b.start_ns for a, b in pairwise(rows))


def test_a_name_is_looked_up_again_and_what_that_says_now_holds(server, monkeypatch):
    from rollcheck.load import resolver
    from rollcheck.load.transport import lookup

    calls = []

    def changing(host, port):
        calls.append(host)
        return lookup("127.0.0.1", server.port if len(calls) == 1 else nobody)

    nobody = scripted.closed_port()
    monkeypatch.setattr(resolver, "lookup", changing)
    monkeypatch.setattr(resolver, "MAX_AGE_NS", 50_000_000)

    async def during(load):
        with trio.fail_after(10):
            while len(calls) < 3:
                await trio.sleep(0.01)

    load = Load(server.url.replace("127.0.0.1", "shop.test"), lanes=FRESH).run(5, during)

    assert load.count("ok") > 0
    assert outcomes(load.attempts) == {(Phase.CONNECT, Outcome.REFUSED)}


def test_lookups_are_bounded_however_many_connections_are_opened(server, monkeypatch):
    from rollcheck.load import resolver
    from rollcheck.load.transport import lookup

    calls = []
    monkeypatch.setattr(resolver, "lookup", lambda host, port: (calls.append(host), lookup("127.0.0.1", port))[1])
    Load(server.url.replace("127.0.0.1", "shop.test"), lanes=FRESH).run(30)

    assert calls == ["shop.test"]


def test_an_ip_is_never_looked_up(server, monkeypatch):
    from rollcheck.load import resolver

    monkeypatch.setattr(resolver, "lookup", lambda host, port: pytest.fail("looked up"))

    assert Load(server.url, lanes=BOTH).run(5).attempts == []


def test_the_collector_is_given_back_as_it_was(server):
    import gc

    before = gc.get_threshold(), gc.get_freeze_count()
    Load(server.url, lanes=FRESH).run(2)

    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_health_counts_what_was_asked_and_released(server):
    load = Load(server.url, lanes=BOTH).run(20)

    samples = load.of(HealthSample)
    assert sum(sample.released for sample in samples) == sum(load.engine.scheduled.values())
    assert sum(sample.asked for sample in samples) == sum(load.engine.scheduled.values())
    assert all(sample.open_files > 0 and sample.file_limit > 0 for sample in samples)


def test_a_stall_of_the_loop_is_seen(server):
    async def during(load):
        time.sleep(0.08)
        await trio.sleep(0.02)

    load = Load(server.url, lanes=FRESH).run(3, during)

    assert max(sample.stall_ns for sample in load.of(HealthSample)) > 60_000_000


def test_progress_tells_the_last_failures(server):
    load = Load(f"http://127.0.0.1:{scripted.closed_port()}/", lanes=FRESH).run(5)
    progress = load.engine.progress()

    assert progress.by_outcome == {"connect/refused": progress.failed}
    assert len(progress.last_failures) == 3


def test_a_large_request_is_sent_in_pieces_and_answered(server):
    size = 8 << 20

    def script(peer):
        while head := peer.request():
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            left = length - len(peer._buffer)
            peer._buffer = b""
            while left:
                left -= len(peer.sock.recv(min(left, 1 << 20)))
            peer.send(OK)

    server.script = script
    load = Load(server.url, lanes=REUSED, method="POST", body=b"x" * size, qps=20, timeout_s=5).run(3)

    assert load.attempts == []
    assert server.accepted == 1


def test_an_answer_that_comes_before_the_request_was_read_counts(server):
    server.script = lambda peer: (
        peer.request(),
        peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
        time.sleep(0.02),
    )
    load = Load(server.url, lanes=FRESH, method="POST", body=b"x" * (8 << 20), qps=20).run(2)

    assert {(attempt.outcome, attempt.status) for attempt in load.attempts} == {(Outcome.BAD_STATUS, 413)}


def test_large_answers_are_read_whole(server):
    body = random.Random(1).randbytes(3 << 20)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    server.script = lambda peer: well(peer, answer)
    load = Load(server.url, lanes=BOTH, qps=20, timeout_s=5).run(4)

    assert load.attempts == []


def test_without_a_timerfd_the_portable_path_does_the_same(server, monkeypatch):
    monkeypatch.setattr("rollcheck.load.engine.make_timer", lambda: None)
    load = Load(server.url, lanes=BOTH).run(40)

    assert load.attempts == []
    assert server.accepted > 4


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "shop.example").configure_cert(context)
    return context


@pytest.fixture
def tls_server(server, certificate):
    server.context = certificate
    return server


@pytest.fixture
def ca_file(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


def test_tls_answers_are_folded_on_both_lanes(tls_server, ca_file):
    load = Load(tls_server.url, lanes=BOTH, ca_file=ca_file).run(20)

    assert load.attempts == []
    assert {fact.closed_by for fact in load.of(ConnectionFact)} == {ClosedBy.US_END}
    assert len(load.of(ConnectionFact)) == 4
    assert load.count("ok") == sum(load.engine.scheduled.values())


def test_large_answers_over_tls_are_read_whole(tls_server, ca_file):
    body = random.Random(1).randbytes(1 << 20)
    tls_server.script = lambda peer: well(peer, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    load = Load(tls_server.url, lanes=BOTH, ca_file=ca_file, qps=20, timeout_s=5).run(4)

    assert load.attempts == []


def test_a_certificate_that_nobody_vouches_for_is_tls_failed(tls_server):
    load = Load(tls_server.url, lanes=FRESH).run(3)

    assert outcomes(load.attempts) == {(Phase.TLS, Outcome.TLS_FAILED)}
    assert "certificate" in load.attempts[0].detail


def test_a_certificate_is_not_looked_at_when_asked_not_to(tls_server):
    assert Load(tls_server.url, lanes=FRESH, verify_tls=False).run(3).attempts == []


def test_the_certificate_is_checked_against_the_host_that_is_sent(tls_server, ca_file):
    target = parse_target("https://127.0.0.1/", host_header="shop.example")
    target = replace(target, port=tls_server.port)

    assert Load(tls_server.url, target=target, lanes=FRESH, ca_file=ca_file).run(3).attempts == []


def test_a_server_that_dies_in_the_handshake_is_not_a_tls_failure(server):
    server.script = lambda peer: None
    load = Load(server.url.replace("http:", "https:"), lanes=FRESH, verify_tls=False).run(5)

    assert {attempt.phase for attempt in load.attempts} == {Phase.TLS}
    assert {a.outcome for a in load.attempts} <= {Outcome.CLOSED_BEFORE_RESPONSE, Outcome.RESET}


def test_plain_http_where_tls_is_asked_for_is_tls_failed(server):
    server.script = lambda peer: (peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), peer.wait_closed())
    load = Load(server.url.replace("http:", "https:"), lanes=FRESH, verify_tls=False).run(3)

    assert outcomes(load.attempts) == {(Phase.TLS, Outcome.TLS_FAILED)}


def test_a_reset_over_tls_on_a_reused_connection_is_a_reset(tls_server, ca_file):
    tls_server.script = answer_then(lambda peer: peer.reset())
    load = Load(tls_server.url, lanes=REUSED, ca_file=ca_file, qps=50).run(4)

    assert outcomes(load.attempts) == {(Phase.AWAIT, Outcome.RESET)}
    assert [probe.outcome for probe in load.probes] == [Outcome.OK]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_server_does_every_arrival_is_accounted_for(server, seed):
    dice = random.Random(seed)
    lock = threading.Lock()
    answered = [0]

    def misbehave(peer):
        while head := peer.request():
            with lock:
                act = dice.choice(["ok"] * 8 + ["rst", "fin", "cut", "stall", "bad", "rubbish", "close after"])
            if act == "rst":
                return peer.reset()
            if act == "fin":
                return None
            if act == "cut":
                return peer.send(OK[: dice.randrange(1, len(OK))])
            if act == "stall":
                return peer.wait_closed()
            if act == "rubbish":
                return peer.send(b"\x00\x01rubbish\r\n\r\n")
            with lock:
                answered[0] += 1
            peer.send(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n" if act == "bad" else OK)
            if act == "close after" or b"Connection: close" in head:
                return None
        return None

    server.script = misbehave
    load = Load(server.url, lanes=BOTH, qps=400, timeout_s=0.2).run(300)

    with_answer = load.count("ok") + sum(a.outcome in {Outcome.BAD_STATUS, Outcome.OK} for a in load.of(Attempt))
    assert with_answer == answered[0]
    assert load.engine.probes > 0
