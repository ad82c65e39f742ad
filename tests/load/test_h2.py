"""HTTP/2 through httpx, against servers that misbehave frame by frame; needs the package h2."""

import random
import socket
import ssl
import time
from collections import Counter

import pytest
import trio
import trustme
from hostile import FRESH, ONE_BY_ONE, ONE_KEPT, REUSED, Load, without_end
from hypothesis import given
from hypothesis import strategies as st
from scripted import OK, Peer

from rollcheck.errors import UsageError
from rollcheck.facts.attempts import Attempt, Lane, Outcome, Phase
from rollcheck.facts.connections import ClosedBy
from rollcheck.load import h2 as module
from rollcheck.load.h2engine import H2Engine
from rollcheck.load.h2line import Frames

pytest.importorskip("h2", reason="HTTP/2 needs the package h2")
hpack = pytest.importorskip("hpack")
h2server = pytest.importorskip("h2server")

pytestmark = pytest.mark.loopback

H2Peer, frame, h2_script = h2server.H2Peer, h2server.frame, h2server.h2_script
AWAIT, BODY = Phase.AWAIT, Phase.BODY


class H2Run(Load):
    """A load over HTTP/2 that has been run."""

    def __init__(self, url: str, arrivals: int, **plan) -> None:
        super().__init__(url, arrivals, make=H2Engine, **{"qps": 100} | plan)
        trio.run(self.run)


GOAWAY = frame(7, (5).to_bytes(4, "big") + bytes(4) + b"bye")
OTHERS = [frame(0, b"data", stream=1), frame(4), frame(6, bytes(8)), frame(1, b"x" * 300, flags=4, stream=3)]


@given(st.lists(st.sampled_from([GOAWAY, *OTHERS]), max_size=8), st.data())
def test_goaway_is_taken_out_and_all_else_left_in_however_it_is_cut(parts, draw):
    data = b"".join(parts)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    frames = Frames()
    kept = b"".join(frames.feed(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True))

    assert kept == b"".join(part for part in parts if part != GOAWAY)
    assert frames.last_stream == (5 if GOAWAY in parts else None)


def test_good_answers_are_folded_and_connections_used_again(server):
    server.script = h2_script(h2server.serve_well)
    run = H2Run(server.url, 12, lanes=REUSED)

    assert run.attempts == []
    assert run.count("ok") == 12
    assert (server.accepted, sum(fact.requests for fact in run.closed)) == (2, 12)


def test_fresh_connections_carry_one_request_each(server):
    server.script = h2_script(h2server.serve_well)
    run = H2Run(server.url, 4, lanes=ONE_BY_ONE)

    assert run.attempts == []
    assert server.accepted == 4


def test_a_closed_loop_makes_exactly_as_many_calls_as_asked(server):
    server.script = h2_script(h2server.serve_well)

    assert H2Run(server.url, 20, lanes=REUSED, qps=0).count("ok") == 20


def test_head_and_body_go_out_as_the_plan_says(server):
    seen = []

    def act(peer):
        while stream := peer.request():
            seen.append((dict(peer.headers), peer.body))
            peer.answer(stream)

    server.script = h2_script(act)
    options = {"method": "POST", "body": b"x" * 100_000, "headers": (("X-A", "b"), ("Connection", "keep-alive"))}
    run = H2Run(server.url + "a?b=%20c", 2, lanes=ONE_KEPT, **options)

    assert run.attempts == []
    headers, body = seen[0]
    assert (headers[b":method"], headers[b":path"], headers[b"x-a"]) == (b"POST", b"/a?b=%20c", b"b")
    assert headers[b":authority"] == b"127.0.0.1:%d" % server.port
    assert headers[b"user-agent"].startswith(b"rollcheck/")
    assert {b"connection", b"accept-encoding", b"cookie", b"host"}.isdisjoint(headers)
    assert body == b"x" * 100_000


def test_a_bad_status_is_kept_whole_with_the_pod_that_gave_it(server):
    def act(peer):
        while stream := peer.request():
            peer.answer(stream, b"no", status=503, headers=[("x-pod", "web-1")])

    server.script = h2_script(act)
    run = H2Run(server.url, 3, lanes=ONE_KEPT, pod_header="X-Pod")

    assert {(a.phase, a.outcome, a.status, a.pod) for a in run.attempts} == {(BODY, Outcome.BAD_STATUS, 503, "web-1")}


def test_redirects_are_followed_over_http_2(server):
    def act(peer):
        while stream := peer.request():
            if peer.headers[b":path"] == b"/":
                peer.answer(stream, b"", status=302, headers=[("location", "/end")])
            else:
                peer.answer(stream)

    server.script = h2_script(act)
    load = Load(server.url, 3, make=lambda *a: H2Engine(*a, follow=True), lanes=ONE_KEPT)
    trio.run(load.run)

    assert load.attempts == []
    assert [fact.requests for fact in load.closed] == [6]


# Connections that end


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("answers", [1, 3])
def test_a_request_on_a_connection_that_dies_is_never_sent_again(server, reset, answers):
    """The server counts requests: one for each attempt and probe."""
    seen = Counter()

    def act(peer):
        for _ in range(answers):
            stream = peer.request()
            if not stream:
                return
            seen["answered"] += 1
            peer.answer(stream)
        if peer.request():
            seen["lost"] += 1
            if reset:
                peer.peer.reset()

    server.script = h2_script(act)
    run = H2Run(server.url, 16, lanes=ONE_KEPT)

    probes = [attempt for attempt in run.of(Attempt) if attempt.lane is Lane.PROBE]
    assert len(run.attempts) == seen["lost"] >= 3
    gone = Outcome.RESET if reset else Outcome.CLOSED_BEFORE_RESPONSE
    assert run.endings == {(AWAIT, gone): seen["lost"]}
    assert seen["answered"] == run.count("ok") + len(probes)


def test_a_request_that_goaway_leaves_out_is_lost_and_not_sent_again(server):
    """What httpx's own connection pool would do unseen."""
    seen = Counter()

    def act(peer):
        peer.answer(peer.request())
        if stream := peer.request():
            seen["left out"] += 1
            peer.goaway(stream - 2)
            peer.peer.wait_closed()

    server.script = h2_script(act)
    run = H2Run(server.url, 8, lanes=ONE_KEPT, probe=False)

    assert run.endings == {(AWAIT, Outcome.CLOSED_BEFORE_RESPONSE): 4}
    assert {attempt.detail for attempt in run.attempts} == {"GOAWAY, error 0"}
    assert (seen["left out"], server.accepted) == (4, 4)


def test_a_request_that_goaway_includes_is_still_answered(server):
    """Of which httpx would make a failure."""

    def act(peer):
        stream = peer.request()
        peer.goaway(stream)
        time.sleep(0.01)
        peer.answer(stream)
        peer.peer.wait_closed()

    server.script = h2_script(act)
    run = H2Run(server.url, 4, lanes=ONE_KEPT)

    assert run.attempts == []
    assert Counter(fact.closed_by for fact in run.closed) == {ClosedBy.PEER_ANNOUNCED: 4}


@pytest.mark.parametrize(
    "end",
    [
        lambda peer: None,
        lambda peer: peer.peer.reset(),
        lambda peer: (peer.goaway(1), peer.peer.wait_closed()),
        lambda peer: peer.goaway(2**31 - 1),
    ],
    ids=["fin", "rst", "goaway", "goaway and fin"],
)
def test_a_connection_that_ended_while_idle_is_no_loss(server, end):
    server.script = h2_script(lambda peer: (peer.answer(peer.request()), end(peer)))
    run = H2Run(server.url, 3, lanes=ONE_KEPT, qps=5)

    assert run.attempts == []
    assert server.accepted == 3
    # Where the end came with the answer it was announced, or idle for no time at all.
    assert {fact.closed_by for fact in run.closed} <= {ClosedBy.PEER_IDLE, ClosedBy.PEER_ANNOUNCED, ClosedBy.US_END}


def test_frames_that_mean_nothing_to_an_idle_connection_leave_it_as_it_is(server):
    def act(peer):
        while stream := peer.request():
            peer.answer(stream)
            peer.peer.send(frame(6, bytes(8)) + frame(4) + frame(8, (1000).to_bytes(4, "big")))

    server.script = h2_script(act)
    run = H2Run(server.url, 3, lanes=ONE_KEPT, qps=5)

    assert run.attempts == []
    assert server.accepted == 1


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
def test_a_server_that_goes_away_at_any_byte(server, reset):
    """Of its settings, of the head of its answer, of its body: in that order and nothing else."""
    step, connections = 3, 40

    def script(peer: Peer) -> None:
        # All that the server would have sent, cut.
        sent = bytearray()
        whole = peer.send
        peer.send = sent.extend
        talk = H2Peer(peer)
        left = (peer.number - 1) * step
        whole(bytes(sent[:left]))
        stream = talk.request()
        flushed = min(left, len(sent))
        talk.answer(stream, b"o" * 20)
        whole(bytes(sent[flushed:left]))
        if left >= len(sent):
            peer.wait_closed()
        elif reset:
            peer.reset()
        else:
            # What the client still says is read: closing with something unread would be a reset.
            peer.sock.shutdown(socket.SHUT_WR)
            peer.wait_closed()

    server.script = script
    run = H2Run(server.url, connections, lanes=ONE_BY_ONE)

    endings = {attempt.seq: (attempt.phase, attempt.outcome) for attempt in run.attempts}
    story = [endings.get(seq, "ok") for seq in range(connections)]
    gone = Outcome.RESET if reset else Outcome.CLOSED_BEFORE_RESPONSE
    cut = Outcome.RESET if reset else Outcome.TRUNCATED_BODY
    order = [(AWAIT, gone), (BODY, cut), "ok"]
    assert set(story) == set(order)
    assert story == sorted(story, key=order.index)


# What is no answer


def answering(act):
    """A script that hands the first request's stream to `act` and then waits for the client to close."""
    return h2_script(lambda peer: (act(peer, peer.request()), peer.peer.wait_closed()))


HOSTILE = {
    "rst_stream": (lambda peer, stream: (peer.h2.reset_stream(stream, 7), peer.flush()), AWAIT, Outcome.RESET),
    "rst_stream in the body": (
        lambda peer, stream: (peer.begin(stream), peer.h2.reset_stream(stream, 2), peer.flush()),
        BODY,
        Outcome.RESET,
    ),
    "goaway with an error": (lambda peer, stream: peer.goaway(0, 11), AWAIT, Outcome.CLOSED_BEFORE_RESPONSE),
    "rubbish": (lambda peer, stream: peer.peer.send(b"\xff" * 40), AWAIT, Outcome.PROTOCOL),
    "http 1.1": (lambda peer, stream: peer.peer.send(OK), AWAIT, Outcome.PROTOCOL),
    "no status": (lambda peer, stream: peer.begin(stream, status=""), AWAIT, Outcome.PROTOCOL),
    "letters for a status": (lambda peer, stream: peer.begin(stream, status="abc"), AWAIT, Outcome.PROTOCOL),
    "data before a head": (
        lambda peer, stream: peer.peer.send(frame(0, b"x", stream=stream)),
        AWAIT,
        Outcome.PROTOCOL,
    ),
    "a stream nobody opened": (
        lambda peer, stream: peer.peer.send(frame(0, b"x", stream=99)),
        AWAIT,
        Outcome.PROTOCOL,
    ),
    "a head that cannot be unpacked": (
        lambda peer, stream: peer.peer.send(frame(1, b"\xff" * 9, flags=4, stream=stream)),
        AWAIT,
        Outcome.PROTOCOL,
    ),
    "length too long": (
        lambda peer, stream: (
            peer.begin(stream, headers=[("content-length", "9")]),
            peer.h2.send_data(stream, b"ok", end_stream=True),
            peer.flush(),
        ),
        BODY,
        Outcome.PROTOCOL,
    ),
    "length too short": (
        lambda peer, stream: (
            peer.begin(stream, headers=[("content-length", "1")]),
            peer.h2.send_data(stream, b"ok", end_stream=True),
            peer.flush(),
        ),
        BODY,
        Outcome.PROTOCOL,
    ),
    "silence": (lambda peer, stream: None, AWAIT, Outcome.TIMEOUT),
    "1xx and no more": (lambda peer, stream: peer.begin(stream, status=103), AWAIT, Outcome.TIMEOUT),
    "body without an end": (lambda peer, stream: peer.begin(stream), BODY, Outcome.TIMEOUT),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_server_has_an_exact_outcome(server, name):
    act, phase, outcome = HOSTILE[name]
    server.script = answering(act)
    run = H2Run(server.url, 3, lanes=FRESH, timeout_s=0.5 if outcome is Outcome.TIMEOUT else 10)

    assert sum(run.endings.values()) == 3
    # h2 reads a head and what follows it at once where both have come, and then speaks of the error alone.
    phases = {AWAIT, BODY} if outcome is Outcome.PROTOCOL else {phase}
    assert set(run.endings) <= {(phase, outcome) for phase in phases}
    assert outcome is Outcome.TIMEOUT or all(attempt.detail for attempt in run.attempts)


def test_a_body_beyond_its_bound_is_protocol(server, monkeypatch):
    monkeypatch.setattr(module, "MAX_BODY", 100_000)

    def act(peer, stream):
        peer.begin(stream)
        for _ in range(20):
            peer.h2.send_data(stream, bytes(10_000))
            peer.flush()

    server.script = answering(act)

    assert H2Run(server.url, 2, lanes=ONE_BY_ONE).endings == {(BODY, Outcome.PROTOCOL): 2}


def test_a_server_that_speaks_http_1_1_is_protocol(server):
    server.script = lambda peer: (
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        peer.wait_closed(),
    )

    assert H2Run(server.url, 2).endings == {(AWAIT, Outcome.PROTOCOL): 2}


def test_an_endless_frame_is_no_trap(server):
    server.script = without_end(frame(0, bytes(10), stream=1), b"a")
    run = H2Run(server.url, 2)

    assert run.endings == {(AWAIT, Outcome.PROTOCOL): 2}


def any_frame(dice: random.Random) -> bytes:
    """A frame that may be good, or good at another time, or for another stream, or no frame at all."""
    stream = dice.choice([0, 1, 1, 1, 2, 3])
    status = dice.choice(["200", "204", "100", "304", "0", "", "abc", "99999999999"])
    head = hpack.Encoder().encode([(":status", status), ("content-length", dice.choice(["2", "0", "-1", "x"]))])
    return dice.choice(
        [
            frame(1, head, flags=dice.choice([4, 5, 0, 0x24]), stream=stream),
            frame(1, hpack.Encoder().encode([("x", "y")]), flags=5, stream=stream),
            frame(0, dice.randbytes(dice.randrange(9)), flags=dice.choice([0, 1, 8]), stream=stream),
            frame(3, dice.randbytes(dice.choice([4, 3])), stream=stream),
            frame(4, dice.randbytes(dice.choice([0, 6, 5])), flags=dice.choice([0, 1])),
            frame(5, dice.randbytes(4) + head, flags=4, stream=stream),
            frame(6, dice.randbytes(dice.choice([8, 7]))),
            frame(7, dice.randbytes(dice.choice([8, 3, 30]))),
            frame(8, dice.randbytes(4), stream=stream),
            frame(9, head, flags=4, stream=stream),
            frame(dice.randrange(12), dice.randbytes(10), stream=stream)[: dice.randrange(1, 15)],
            dice.randbytes(dice.randrange(1, 30)),
        ]
    )


@pytest.mark.parametrize("seed", range(3))
def test_whatever_frames_come_each_arrival_has_one_outcome(server, seed):
    dice = random.Random(seed)

    def act(peer):
        if peer.request():
            peer.peer.send(b"".join(any_frame(dice) for _ in range(dice.randrange(1, 6))))

    server.script = h2_script(act)
    run = H2Run(server.url, 40, lanes=FRESH)  # which checks its accounts

    assert len(run.endings) > 1


# TLS


@pytest.fixture(scope="module")
def certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("offers", [["h2"], ["http/1.1", "h2"]])
def test_http_2_is_agreed_on_with_tls(server, certificate, offers):
    certificate.set_alpn_protocols(offers)
    server.context = certificate
    server.script = h2_script(h2server.serve_well)
    run = H2Run(server.url, 6, lanes=REUSED)

    assert run.attempts == []
    assert run.count("ok") == 6


def test_a_tls_server_without_http_2_is_said_to_be_one(server):
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(server.context)
    run = H2Run(server.url, 2)

    assert run.endings == {(Phase.TLS, Outcome.PROTOCOL): 2}
    assert {attempt.detail for attempt in run.attempts} == {"the server does not speak HTTP/2 on this port"}


def test_a_reset_under_tls_is_no_close(server, certificate):
    certificate.set_alpn_protocols(["h2"])
    server.context = certificate
    server.script = h2_script(lambda peer: (peer.request(), peer.peer.reset()))
    run = H2Run(server.url, 4, lanes=ONE_BY_ONE)

    assert run.endings == {(AWAIT, Outcome.RESET): 4}


def test_without_h2_the_way_out_is_named(monkeypatch, server):
    monkeypatch.setattr(module, "_load_h2", lambda: ())
    with pytest.raises(UsageError, match="pip install"):
        H2Run(server.url, 1)
