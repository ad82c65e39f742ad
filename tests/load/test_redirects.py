"""Redirects, followed by httpx over HTTP/1.1: one account for each arrival, nothing sent again unseen."""

import ssl
import time
from collections import Counter
from dataclasses import replace

import h11
import httpcore
import httpx
import pytest
import trio
import trustme
from hostile import FRESH, REUSED, Load, cut_at_every_byte, expected_ending, say
from scripted import OK, Peer, Server, closed_port, well

from rollcheck.errors import UsageError
from rollcheck.facts.actions import Note
from rollcheck.facts.attempts import Attempt, Lane, Outcome, Phase, Stage
from rollcheck.facts.connections import ClosedBy
from rollcheck.facts.document import LanePlan
from rollcheck.facts.health import HealthSample
from rollcheck.facts.wiretotals import AccessLine, SlotTotals, WireTotals
from rollcheck.load import h2
from rollcheck.load.h2engine import H2Engine
from rollcheck.load.intervals import Settler
from rollcheck.load.outcomes import find_outcome
from rollcheck.load.plan import parse_expectation, parse_target

pytestmark = pytest.mark.loopback

ONE_BY_ONE = (LanePlan(lane="fresh", share=1, connections=1),)
ONE_KEPT = (LanePlan(lane="reused", share=1, connections=1),)


class Followed(Load):
    """A load through httpx that has been run."""

    def __init__(self, url: str, arrivals: int, **plan) -> None:
        super().__init__(url, arrivals, make=lambda *a: H2Engine(*a, http2=False, follow=True), **plan)
        trio.run(self.run)


def every_exception() -> set[type[Exception]]:
    modules = [httpx, httpcore, h11]
    for name in ("h2", "hpack", "hyperframe"):
        try:
            modules.append(__import__(f"{name}.exceptions").exceptions)
        except ImportError:
            continue
    found = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    return {kind for kind in found if issubclass(kind, Exception)} | {h2.SentTwice, h2.Refused, h2.WireError}


@pytest.mark.parametrize("kind", sorted(every_exception(), key=lambda kind: (kind.__module__, kind.__name__)))
def test_every_exception_of_httpx_and_what_is_below_it_is_one_failure_in_every_phase(kind):
    assert issubclass(kind, h2.FAILURES)
    error = kind.__new__(kind)  # some want arguments that matter to nobody here
    fault = h2.find_fault(error)

    assert fault is h2.find_fault(error)
    for phase in Phase:
        assert find_outcome(phase, fault) not in {Outcome.OK, Outcome.BAD_STATUS, Outcome.WRONG_BODY}


def redirect(peer: Peer, to: str, status: int = 302) -> None:
    peer.send(b"HTTP/1.1 %d Found\r\nLocation: %s\r\nContent-Length: 4\r\n\r\nmove" % (status, to.encode()))


def routes(**paths) -> object:
    """A script that does for each path what is said, until the client closes."""

    def script(peer: Peer) -> None:
        while head := peer.request():
            path = head.split()[1].decode().strip("/").partition("?")[0] or "start"
            paths[path](peer)
            if b"Connection: close" in head:
                return

    return script


def test_the_answer_at_the_end_of_the_redirects_is_the_attempts(server):
    server.script = routes(
        start=lambda peer: redirect(peer, "/one"),
        one=lambda peer: redirect(peer, "two?x=1", 301),
        two=lambda peer: peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
    )
    run = Followed(server.url, 6, lanes=ONE_KEPT)

    assert run.endings == {(Phase.BODY, Outcome.BAD_STATUS): 6}
    assert {attempt.status for attempt in run.attempts} == {503}


def test_redirects_go_over_the_connection_that_is_there(server):
    server.script = routes(start=lambda peer: redirect(peer, "/end"), end=lambda peer: peer.send(OK))
    run = Followed(server.url, 6, lanes=ONE_KEPT)

    assert run.attempts == []
    assert server.accepted == 1
    assert [fact.requests for fact in run.closed] == [12]


def test_redirects_lead_to_other_servers_without_our_credentials_or_cookies(server):
    heads = []

    def end(peer: Peer) -> None:
        while head := peer.request():
            heads.append(head.lower())
            peer.send(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok")

    with Server() as other:
        other.script = end
        server.script = routes(start=lambda peer: redirect(peer, f"http://127.0.0.1:{other.port}/end"))
        run = Followed(server.url, 4, lanes=ONE_KEPT, headers=(("Authorization", "Basic x"), ("X-A", "b")))

    assert run.attempts == []
    assert (server.accepted, other.accepted) == (1, 1)
    assert len(heads) == 4
    for head in heads:
        assert b"host: 127.0.0.1:%d\r\n" % other.port in head + b"\r\n"
        assert b"x-a: b" in head
        assert b"authorization" not in head
        assert b"cookie" not in head


def test_a_redirect_to_a_server_that_is_not_there_is_refused(server):
    server.script = routes(start=lambda peer: redirect(peer, f"http://127.0.0.1:{closed_port()}/"))
    run = Followed(server.url, 4)

    assert run.endings == {(Phase.CONNECT, Outcome.REFUSED): 4}


@pytest.mark.parametrize(
    "to", ["/", "http://[/", "ftp://127.0.0.1/", "//", "http://\x7f/", "http://a b/", "javascript:x"]
)
def test_a_redirect_that_leads_nowhere_is_protocol(server, to):
    server.script = routes(start=lambda peer: redirect(peer, to))
    run = Followed(server.url, 2)

    assert {outcome for _, outcome in run.endings} <= {Outcome.PROTOCOL, Outcome.NOT_RESOLVED}
    assert len(run.attempts) == 2


def test_a_post_is_followed_as_a_get_after_303_and_again_as_a_post_after_307(server):
    methods = []

    def script(peer: Peer) -> None:
        while head := peer.request():
            method, path = head.split()[:2]
            methods.append((method, path, peer.body(head)))
            if path == b"/":
                redirect(peer, "/see", 303)
            elif path == b"/see":
                peer.send(OK)
            elif path == b"/again":
                redirect(peer, "/done", 307)
            else:
                peer.send(OK)

    server.script = script
    Followed(server.url, 1, lanes=ONE_KEPT, method="POST", body=b"abc")
    Followed(server.url + "again", 1, lanes=ONE_KEPT, method="POST", body=b"abc")

    assert methods == [
        (b"POST", b"/", b"abc"),
        (b"GET", b"/see", b""),
        (b"POST", b"/again", b"abc"),
        (b"POST", b"/done", b"abc"),
    ]


def test_what_follows_a_redirect_unasked_is_not_taken_for_the_next_answer(server):
    answer = b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n"
    server.script = say(answer + OK)
    run = Followed(server.url, 4)

    assert {outcome for _, outcome in run.endings} == {Outcome.PROTOCOL}


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_server_that_goes_away_at_any_byte_of_its_answer_is_told_as_by_the_load_engine(server, reset):
    server.script = cut_at_every_byte(OK, reset=reset)
    run = Followed(server.url, len(OK) + 1, lanes=ONE_BY_ONE, qps=200)

    endings = {attempt.seq: (attempt.phase, attempt.outcome, attempt.bytes_received) for attempt in run.attempts}
    for seq in range(len(OK) + 1):
        assert endings.get(seq) == expected_ending(OK, seq, reset=reset), seq


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("answers", [1, 3])
def test_a_request_on_a_connection_that_dies_is_never_sent_again(server, reset, answers):
    """The server counts requests: one for each attempt and probe that was sent."""
    seen = Counter()

    def script(peer: Peer) -> None:
        for _ in range(answers):
            if not peer.request():
                return
            seen["answered"] += 1
            peer.send(OK)
        if peer.request():
            seen["lost"] += 1
            if reset:
                peer.reset()

    server.script = script
    run = Followed(server.url, 40, lanes=ONE_KEPT, qps=200)

    probes = [attempt for attempt in run.of(Attempt) if attempt.lane is Lane.PROBE]
    assert len(run.attempts) == seen["lost"] > 5
    assert {attempt.requests_before for attempt in run.attempts} == {answers}
    assert seen["answered"] == run.count("ok") + len(probes)
    assert {probe.outcome for probe in probes} == {Outcome.OK}


def test_a_connection_that_was_closed_while_idle_is_no_loss(server):
    server.script = lambda peer: (peer.request(), peer.send(OK))
    run = Followed(server.url, 3, lanes=ONE_KEPT, qps=5)

    assert run.attempts == []
    assert server.accepted == 3
    assert Counter(fact.closed_by for fact in run.closed)[ClosedBy.PEER_IDLE] >= 2


def test_an_answer_that_comes_unasked_is_never_taken_for_the_next(server):
    bad = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    server.script = say(OK + bad)
    run = Followed(server.url, 6)

    assert run.attempts == []
    assert server.accepted == 6


@pytest.mark.parametrize(
    ("script", "ending"),
    [
        (say(b"SSH-2.0-OpenSSH\r\n\r\n"), (Phase.AWAIT, Outcome.PROTOCOL)),
        (say(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), (Phase.AWAIT, Outcome.PROTOCOL)),
        (say(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), (Phase.AWAIT, Outcome.PROTOCOL)),
        (say(b"HTTP/1.1 100 C\r\n\r\n" * 99), (Phase.AWAIT, Outcome.PROTOCOL)),
        (say(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 99_999), (Phase.AWAIT, Outcome.PROTOCOL)),
        (Peer.wait_closed, (Phase.AWAIT, Outcome.TIMEOUT)),
        (lambda peer: time.sleep(0.5), (Phase.AWAIT, Outcome.TIMEOUT)),
        (say(OK[:-1]), (Phase.BODY, Outcome.TIMEOUT)),
    ],
    ids=["ssh", "101", "negative length", "endless 100", "long header", "silence", "never reads", "length too long"],
)
def test_hostile_servers_have_the_outcomes_that_the_load_engine_gives(server, script, ending):
    server.script = script
    run = Followed(server.url, 4, timeout_s=0.3 if ending[1] is Outcome.TIMEOUT else 10)

    assert run.endings == {ending: 4}


def test_nobody_there_and_no_such_name_are_told_apart():
    refused = Followed(f"http://127.0.0.1:{closed_port()}/", 4)
    unknown = Followed("http://no-such-name.invalid/", 4)

    assert refused.endings == {(Phase.CONNECT, Outcome.REFUSED): 4}
    assert unknown.endings == {(Phase.RESOLVE, Outcome.NOT_RESOLVED): 4}
    assert all(attempt.detail for attempt in unknown.attempts)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def tls_server(server, authority):
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server.context)
    return server


def test_tls_is_verified_and_followed_to(server, tls_server, authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trusted = Followed(tls_server.url, 4, verify_tls=True, ca_file=str(tmp_path / "ca.pem"))
    unknown = Followed(tls_server.url, 4, verify_tls=True)
    with Server() as plain:
        plain.script = routes(start=lambda peer: redirect(peer, tls_server.url))
        crossed = Followed(plain.url, 4, lanes=FRESH)

    assert trusted.attempts == []
    assert unknown.endings == {(Phase.TLS, Outcome.TLS_FAILED): 4}
    assert crossed.attempts == []


def test_plain_http_where_tls_is_asked_for_is_tls_failed(server):
    server.script = lambda peer: (peer.send(b"HTTP/1.1 400 No\r\n\r\n"), peer.wait_closed())
    run = Followed(server.url.replace("http:", "https:"), 2)

    assert run.endings == {(Phase.TLS, Outcome.TLS_FAILED): 2}


def test_a_unix_socket_is_taken(tmp_path):
    path = str(tmp_path / "shop.sock")
    with Server(path) as server:
        server.script = routes(start=lambda peer: redirect(peer, "/end"), end=lambda peer: peer.send(OK))
        target = replace(parse_target("http://shop.example/"), unix_socket=path)
        run = Followed("http://unused/", 4, target=target)

    assert run.attempts == []
    assert {fact.peer for fact in run.closed} == {path}


# The face of the engine


def test_it_says_once_that_it_is_slow(server):
    run = Followed(server.url, 6)

    [note] = run.of(Note)
    assert "slower" in note.text


def test_arrivals_without_a_connection_in_time_are_dropped_by_us(server):
    server.script = Peer.wait_closed
    run = Followed(server.url, 20, lanes=ONE_KEPT, timeout_s=0.15, qps=200)

    assert set(run.endings) == {(Phase.AWAIT, Outcome.TIMEOUT), (Phase.CONNECT, Outcome.DROPPED)}
    dropped = [attempt for attempt in run.attempts if attempt.outcome is Outcome.DROPPED]
    assert {(attempt.sent_ns, attempt.detail) for attempt in dropped} == {(None, "no free connection")}


def test_a_closed_loop_makes_exactly_as_many_calls_as_asked(server):
    run = Followed(server.url, 50, lanes=REUSED, qps=0)

    assert run.count("ok") == 50
    assert server.accepted == 2


def test_a_connection_carries_no_more_requests_than_its_cap(server):
    run = Followed(server.url, 12, lanes=ONE_KEPT, reuse=(3, 3))

    assert server.accepted == 4
    assert {(fact.requests, fact.closed_by) for fact in run.closed} == {(3, ClosedBy.US_POLICY)}


def test_the_expected_body_is_looked_for_at_the_end(server):
    server.script = routes(start=lambda peer: redirect(peer, "/end"), end=lambda peer: peer.send(OK))

    assert Followed(server.url, 3, expectation=parse_expectation(body="ok")).attempts == []
    assert Followed(server.url, 3, expectation=parse_expectation(body="move")).endings == {
        (Phase.BODY, Outcome.WRONG_BODY): 3
    }


def test_a_failing_warm_up_ends_the_load_before_it_begins(server):
    server.script = say(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    load = Load(server.url, 0, make=lambda *a: H2Engine(*a, http2=False, follow=True), warmup=True, lanes=REUSED)
    trio.run(load.engine.run)

    assert load.engine.aborted == "the warm-up failed: body/bad_status 503"
    assert {attempt.stage for attempt in load.of(Attempt)} == {Stage.PREFLIGHT}
    assert load.scheduled == 0


def test_abort_on_a_status_ends_the_load(server):
    server.script = say(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    load = Load(server.url, 0, make=lambda *a: H2Engine(*a, http2=False, follow=True), abort_on=503, lanes=ONE_KEPT)
    trio.run(load.engine.run)

    assert load.engine.aborted == "an attempt ended body/bad_status 503"


@pytest.mark.parametrize("end", ["abandon", "cancel"])
def test_an_early_end_accounts_for_everything(server, end):
    server.script = Peer.wait_closed
    load = Load(server.url, 0, make=lambda *a: H2Engine(*a, http2=False, follow=True), lanes=REUSED, timeout_s=30)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.engine.run)
            while load.scheduled < 8:
                await trio.sleep(0.001)
            if end == "cancel":
                nursery.cancel_scope.cancel()
            else:
                load.engine.abandon()

    trio.run(main)
    load.check_accounts()

    assert {attempt.outcome for attempt in load.attempts} == {Outcome.ABANDONED}
    assert len(load.attempts) == load.scheduled


def test_raw_numbers_make_the_same_account_and_the_totals(server):
    raw = []
    load = Load(
        server.url,
        20,
        make=lambda plan, sink: H2Engine(plan, raw.append, http2=False, follow=True, raw=True, worker=0),
        lanes=REUSED,
        access_log=True,
    )
    trio.run(load.engine.run)
    settler = Settler()
    load.facts = [fact for one in raw for fact in settler.take(one)]

    assert load.count("ok") == 20
    assert len(load.of(AccessLine)) == 20
    assert sum(slot.sockets for slot in load.of(SlotTotals)) == server.accepted == 2
    [totals] = load.of(WireTotals)
    assert (totals.header_bytes.count, totals.total_bytes.sum) == (20, 20 * len(OK))
    assert totals.header_bytes.sum == 20 * (len(OK) - 2)
    assert sum(sample.released for sample in load.of(HealthSample)) == 20


def test_workers_share_one_timetable(server):
    seqs = []
    for worker in range(2):
        server.script = say(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        load = Load(
            server.url,
            11,
            make=lambda plan, sink, worker=worker: H2Engine(
                plan, sink, http2=False, follow=True, worker=worker, workers=2
            ),
        )
        trio.run(load.engine.run)
        seqs.append(sorted(attempt.seq for attempt in load.attempts))

    assert seqs == [[0, 2, 4, 6, 8, 10], [1, 3, 5, 7, 9]]


def test_http_1_0_is_not_to_be_had(server):
    with pytest.raises(UsageError, match=r"HTTP/1\.0"):
        Followed(server.url, 1, http10=True)


def test_answers_are_served_well_on_both_lanes(server):
    server.script = well
    run = Followed(server.url, 20)

    assert run.attempts == []
    assert run.count("ok") == 20
