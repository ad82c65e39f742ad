"""The real engine against servers that do what no server should: an exact outcome, an exact account, and an end."""

import contextlib
import socket
import ssl
import time
from collections import Counter

import pytest
import trustme
from hostile import (
    FRESH,
    ONE_BY_ONE,
    ONE_KEPT,
    REUSED,
    HalfTls,
    Run,
    cut_at_every_byte,
    drip,
    expected_ending,
    say,
    without_end,
)
from scripted import OK, Peer, well

from rollcheck.facts.attempts import Outcome, Phase
from rollcheck.facts.connections import ClosedBy

pytestmark = pytest.mark.loopback

CONNECT, TLS, SEND, AWAIT, BODY = Phase.CONNECT, Phase.TLS, Phase.SEND, Phase.AWAIT, Phase.BODY

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX: y\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + OK
WHOLE_ANSWERS = {"length": OK, "chunks": CHUNKED, "until close": UNTIL_CLOSE, "100 first": INTERIM}


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("name", WHOLE_ANSWERS)
def test_a_server_that_goes_away_at_any_byte_of_its_answer(server, name, reset):
    answer = WHOLE_ANSWERS[name]
    server.script = cut_at_every_byte(answer, reset=reset)
    run = Run(server.url, len(answer) + 1, lanes=ONE_BY_ONE, qps=1000)

    endings = {attempt.seq: (attempt.phase, attempt.outcome, attempt.bytes_received) for attempt in run.attempts}
    for seq in range(len(answer) + 1):
        assert endings.get(seq) == expected_ending(answer, seq, until_close=name == "until close", reset=reset), seq


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_server_that_goes_away_at_any_byte_of_its_second_answer_on_a_connection(server, reset):
    served = Counter()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        if peer.request():
            at = sum(served.values()) % len(OK)
            served[at] += 1
            peer.send(OK[:at])
            if reset:
                peer.reset()

    server.script = script
    run = Run(server.url, 2 * len(OK), lanes=ONE_KEPT, qps=500)

    assert {(a.phase, a.outcome, a.bytes_received) for a in run.attempts} == {
        expected_ending(OK, at, reset=reset) for at in range(len(OK))
    }
    assert Counter(attempt.bytes_received for attempt in run.attempts) == served
    assert {attempt.requests_before for attempt in run.attempts} == {1}


RUBBISH = {
    "ssh": b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n",
    "tls alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "nulls": b"\0" * 100,
    "html": b"<html></html>\r\n",
    "http 2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
}


@pytest.mark.parametrize("name", RUBBISH)
def test_what_is_no_answer_is_protocol_though_the_connection_stays_open(server, name):
    server.script = say(RUBBISH[name])
    run = Run(server.url, 8)

    assert run.endings == {(AWAIT, Outcome.PROTOCOL): run.scheduled}
    assert run.seconds < 5


def test_a_chunk_that_is_none_is_protocol_in_the_body(server):
    server.script = say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    run = Run(server.url, 8)

    assert run.endings == {(BODY, Outcome.PROTOCOL): run.scheduled}


ENDLESS = {
    "1xx": (without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), AWAIT),
    "header": (without_end(b"HTTP/1.1 200 OK\r\nX: ", b"a"), AWAIT),
    "headers": (without_end(b"HTTP/1.1 200 OK\r\n", b"X: aaaaaaaa\r\n"), AWAIT),
    "line ends": (without_end(b"\r\n", b"\r\n"), AWAIT),
    "body beyond its bound": (without_end(b"HTTP/1.1 200 OK\r\n\r\n", b"a"), BODY),
    "trailer beyond its bound": (
        without_end(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"a"),
        BODY,
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_protocol_at_its_bound(server, name, monkeypatch):
    monkeypatch.setattr("rollcheck.load.wire.MAX_BODY", 1 << 18)
    monkeypatch.setattr("rollcheck.load.wire.MAX_FRAMING", 1 << 18)
    server.script, phase = ENDLESS[name]
    run = Run(server.url, 4)

    assert run.endings == {(phase, Outcome.PROTOCOL): run.scheduled}
    assert max(attempt.bytes_received for attempt in run.attempts) < 1 << 20


@pytest.mark.parametrize(
    ("script", "phase"),
    [
        (Peer.wait_closed, AWAIT),
        (lambda peer: time.sleep(0.6), AWAIT),
        (drip(OK), AWAIT),
        (drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 20), AWAIT),
        (lambda peer: (peer.request(), peer.send(OK[:-2]), drip(b"o")(peer)), BODY),
        (without_end(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999\r\n\r\n", b"a"), BODY),
        (say(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"), BODY),
        (say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"), BODY),
        (say(b"HTTP/1.1 100 Continue\r\n\r\n"), AWAIT),
    ],
    ids=[
        "silence",
        "never reads",
        "drip",
        "drip of 1xx",
        "drip in the body",
        "body without end",
        "length too long",
        "chunks without an end",
        "1xx and no more",
    ],
)
def test_what_is_not_whole_in_time_is_a_timeout_where_it_stood(server, script, phase):
    server.script = script
    run = Run(server.url, 4, timeout_s=0.25, qps=100)

    assert run.endings == {(phase, Outcome.TIMEOUT): run.scheduled}
    assert all(0.25e9 <= attempt.ended_ns - attempt.sent_ns < 1e9 for attempt in run.attempts)


def test_a_server_that_never_reads_a_large_request_is_a_timeout_of_the_phase_send(server):
    server.script = lambda peer: time.sleep(0.6)
    run = Run(server.url, 3, timeout_s=0.25, qps=100, method="POST", body=bytes(16 << 20))

    assert run.endings == {(SEND, Outcome.TIMEOUT): run.scheduled}


def test_a_length_that_is_too_short_leaves_the_answer_good_and_the_connection_not(server):
    server.script = say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok")
    run = Run(server.url, 8, lanes=REUSED)

    assert run.attempts == []
    assert server.accepted == run.scheduled
    assert {fact.requests for fact in run.closed} == {1}


@pytest.mark.parametrize("then", [Peer.wait_closed, lambda peer: None], ids=["open", "closed"])
def test_a_second_answer_that_nobody_asked_for_is_never_taken_for_the_next(server, then):
    bad = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    server.script = say(OK + bad, then=then)
    run = Run(server.url, 8)

    assert run.attempts == []
    assert server.accepted == run.scheduled


def test_an_answer_that_comes_later_without_being_asked_for_is_never_taken_for_the_next(server):
    bad = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    server.script = lambda peer: (peer.request(), peer.send(OK), time.sleep(0.01), peer.send(bad), peer.wait_closed())
    run = Run(server.url, 4, lanes=REUSED, qps=5)

    assert run.attempts == []
    assert {fact.closed_by for fact in run.closed} <= {ClosedBy.PEER_IDLE, ClosedBy.US_END}


@pytest.mark.parametrize("then", [Peer.wait_closed, lambda peer: time.sleep(0.02)], ids=["open", "closed"])
def test_a_server_that_answers_before_it_is_asked_has_answered(server, then):
    # What arrived before the request cannot be told from what arrived at once after it.
    server.script = lambda peer: (peer.send(OK), then(peer))
    run = Run(server.url, 8, lanes=FRESH)

    assert run.attempts == []


@pytest.mark.parametrize(
    ("answer", "endings"),
    [
        (b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", {(BODY, Outcome.BAD_STATUS)}),
        (b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", {(BODY, Outcome.BAD_STATUS)}),
        (OK, set()),
    ],
    ids=["413 and close", "413", "200"],
)
@pytest.mark.parametrize("then", [Peer.wait_closed, lambda peer: None, Peer.reset], ids=["open", "closed", "reset"])
def test_an_answer_before_the_request_is_complete_counts_and_ends_the_connection(server, answer, endings, then):
    server.script = lambda peer: (peer.request(), peer.send(answer), time.sleep(0.03), then(peer))
    run = Run(server.url, 3, method="POST", body=bytes(16 << 20), qps=50)

    assert set(run.endings) == endings
    assert server.accepted == run.scheduled


@pytest.mark.parametrize(
    ("script", "outcomes"),
    [
        (Peer.reset, {Outcome.RESET}),
        # Its FIN and the RST that our request earns follow each other: which one we see first is the network's.
        (lambda peer: None, {Outcome.RESET, Outcome.CLOSED_BEFORE_RESPONSE}),
    ],
    ids=["rst", "fin"],
)
def test_a_server_that_hangs_up_on_accepting(server, script, outcomes):
    server.script = script
    run = Run(server.url, 20)

    assert sum(run.endings.values()) == run.scheduled
    assert {outcome for _, outcome in run.endings} <= outcomes
    assert {phase for phase, _ in run.endings} <= {CONNECT, SEND, AWAIT}


@pytest.fixture(scope="module")
def certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


def secure(server) -> str:
    return server.url.replace("http:", "https:")


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_tls_server_that_goes_away_at_any_byte(server, certificate, reset):
    step = 61
    server.script = HalfTls(certificate, OK, step=step, reset=reset)
    run = Run(secure(server), 60, lanes=ONE_BY_ONE, qps=400)

    gone = Outcome.RESET if reset else Outcome.CLOSED_BEFORE_RESPONSE
    endings = {attempt.seq: attempt for attempt in run.attempts}
    assert {attempt.outcome for attempt in run.attempts} == {gone}
    # In the handshake, after it (we may notice a reset as we write, or as we read), after the answer: in that order.
    order = {TLS: 0, SEND: 1, AWAIT: 1}
    story = [order[endings[seq].phase] if seq in endings else 2 for seq in range(60)]
    assert story == sorted(story)
    assert set(story) == {0, 1, 2}


TLS_TROUBLE = {
    "plain http": (lambda peer: (peer.send(b"HTTP/1.1 400 No\r\n\r\n"), peer.wait_closed()), TLS, Outcome.TLS_FAILED),
    "rubbish": (lambda peer: (peer.send(b"\x01rubbish\r\n"), peer.wait_closed()), TLS, Outcome.TLS_FAILED),
    "alert": (lambda peer: (peer.send(b"\x15\x03\x03\x00\x02\x02\x28"), peer.wait_closed()), TLS, Outcome.TLS_FAILED),
    "silence": (Peer.wait_closed, TLS, Outcome.TIMEOUT),
    "half a record": (lambda peer: (peer.send(b"\x16\x03\x03\x40\x00\x02"), peer.wait_closed()), TLS, Outcome.TIMEOUT),
}


@pytest.mark.parametrize("name", TLS_TROUBLE)
def test_what_is_no_tls_server(server, name):
    server.script, phase, outcome = TLS_TROUBLE[name]
    run = Run(secure(server), 4, timeout_s=0.4 if outcome is Outcome.TIMEOUT else 10)

    assert run.endings == {(phase, outcome): run.scheduled}


def test_a_tls_server_to_a_client_that_speaks_plain_http(server, certificate):
    server.context = certificate
    run = Run(server.url.replace("https:", "http:"), 8)

    # An alert, and then a close with our request unread: whatever is seen first, it is no timeout and no answer.
    assert {phase for phase, _ in run.endings} == {AWAIT}
    assert {outcome for _, outcome in run.endings} <= {
        Outcome.PROTOCOL,
        Outcome.RESET,
        Outcome.CLOSED_BEFORE_RESPONSE,
    }
    assert len(run.attempts) == run.scheduled


def goodbye(peer: Peer) -> None:
    with contextlib.suppress(OSError):
        peer.sock.unwrap()


# The socket's own methods, below TLS.
AFTER_HANDSHAKE = {
    "plain bytes": (lambda peer: socket.socket.send(peer.sock, OK), Outcome.TLS_FAILED),
    "close_notify": (goodbye, Outcome.CLOSED_BEFORE_RESPONSE),
    "fin": (lambda peer: socket.socket.shutdown(peer.sock, socket.SHUT_WR), Outcome.CLOSED_BEFORE_RESPONSE),
    "rst": (Peer.reset, Outcome.RESET),
    "rubbish inside": (lambda peer: peer.send(b"rubbish\r\n"), Outcome.PROTOCOL),
    "silence": (lambda peer: None, Outcome.TIMEOUT),
}


@pytest.mark.parametrize("name", AFTER_HANDSHAKE)
def test_a_tls_server_that_goes_wrong_after_the_handshake(server, certificate, name):
    act, outcome = AFTER_HANDSHAKE[name]
    server.context = certificate
    server.script = lambda peer: (peer.request(), act(peer), peer.wait_closed())
    run = Run(server.url, 4, timeout_s=0.5 if outcome is Outcome.TIMEOUT else 10)

    assert run.endings == {(AWAIT, outcome): run.scheduled}


def test_a_server_that_never_closes_what_it_was_asked_to_close_holds_nothing_up(server):
    def script(peer: Peer) -> None:
        while peer.request():
            peer.send(OK)

    server.script = script
    run = Run(server.url, 20, lanes=FRESH)

    assert run.attempts == []
    assert run.seconds < 5


def test_good_and_hostile_connections_side_by_side_are_told_apart(server):
    acts = [well, Peer.reset, say(b"rubbish\r\n"), say(OK[:-1], then=lambda peer: None)]
    server.script = lambda peer: acts[peer.number % 4](peer)
    run = Run(server.url, 40, lanes=ONE_BY_ONE)

    assert run.count("ok") == sum((seq + 1) % 4 == 0 for seq in range(run.scheduled))
    for attempt in run.attempts:
        assert attempt.outcome is [None, Outcome.RESET, Outcome.PROTOCOL, Outcome.TRUNCATED_BODY][(attempt.seq + 1) % 4]
