"""The ways to a target, through the real engine: Unix sockets, client certificates, every address of a name."""

import socket
import ssl
from dataclasses import replace
from itertools import pairwise

import pytest
import trustme
from hostile import BOTH, FRESH, ONE_BY_ONE, REUSED, Run
from scripted import OK, Peer, Server, well

from rollcheck.facts.attempts import Outcome, Phase
from rollcheck.facts.connections import ClosedBy
from rollcheck.load import resolver
from rollcheck.load.plan import parse_target

pytestmark = pytest.mark.loopback


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop.example", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def unix_server(tmp_path):
    path = str(tmp_path / "shop.sock")
    with Server(path) as running:
        running.path = path
        yield running


def by_unix(path: str, scheme: str = "http"):
    return replace(parse_target(f"{scheme}://shop.example/"), unix_socket=path)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_unix_socket_serves_every_lane(unix_server, certificate, scheme):
    unix_server.context = certificate if scheme == "https" else None
    run = Run("http://unused/", 20, target=by_unix(unix_server.path, scheme), lanes=BOTH)

    assert run.attempts == []
    assert {(fact.peer, fact.local) for fact in run.closed} == {(unix_server.path, "")}


@pytest.mark.parametrize(
    ("script", "endings"),
    [
        (lambda peer: peer.request(), {(Phase.AWAIT, Outcome.CLOSED_BEFORE_RESPONSE)}),
        (lambda peer: (peer.request(), peer.send(OK[:-1])), {(Phase.BODY, Outcome.TRUNCATED_BODY)}),
        # There is no RST: closing with something unread is what comes nearest.
        (lambda peer: peer.sock.recv(1), {(Phase.AWAIT, Outcome.RESET)}),
    ],
    ids=["fin", "cut", "unread"],
)
def test_what_goes_wrong_on_a_unix_socket_has_its_usual_name(unix_server, script, endings):
    unix_server.script = script
    run = Run("http://unused/", 8, target=by_unix(unix_server.path))

    assert set(run.endings) == endings


def test_a_unix_socket_that_is_not_there_is_unreachable(tmp_path):
    run = Run("http://unused/", 4, target=by_unix(str(tmp_path / "none.sock")))

    assert run.endings == {(Phase.CONNECT, Outcome.UNREACHABLE): 4}
    assert {(attempt.detail, attempt.local, attempt.peer) for attempt in run.attempts} == {("ENOENT", "", "")}


def test_a_unix_socket_that_nobody_accepts_on_refuses_when_its_queue_is_full(tmp_path):
    path = str(tmp_path / "full.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        run = Run("http://unused/", 4, target=by_unix(path), lanes=FRESH, timeout_s=0.2)

    assert run.endings == {(Phase.AWAIT, Outcome.TIMEOUT): 1, (Phase.CONNECT, Outcome.REFUSED): 3}


@pytest.fixture
def strict(authority, server, certificate, tmp_path):
    """A server that asks its clients for a certificate, and the files of one."""
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server.context)
    authority.configure_trust(server.context)
    server.context.verify_mode = ssl.CERT_REQUIRED
    issued = authority.issue_cert("client.example")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    return {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}


def test_our_certificate_is_shown_on_every_connection(server, strict):
    run = Run(server.url, 12, lanes=BOTH, **strict)

    assert run.attempts == []


@pytest.fixture
def two_servers(server):
    with Server() as other:
        yield server, other


def say(monkeypatch, *answers) -> None:
    """The resolver's answers one after another, each with addresses of some servers; the last one for ever."""
    left = list(answers)

    def lookup(*_):
        servers = left.pop(0) if len(left) > 1 else left[0]
        return tuple((socket.AF_INET, ("127.0.0.1", server.port)) for server in servers)

    monkeypatch.setattr(resolver, "lookup", lookup)


@pytest.mark.parametrize(
    ("policy", "shares"), [("round-robin", [10, 10]), ("cached", [10, 10]), ("reresolve", [20, 0])]
)
def test_connections_go_to_the_addresses_that_the_policy_names(two_servers, monkeypatch, policy, shares):
    say(monkeypatch, two_servers)
    run = Run("http://shop.test/", 20, lanes=ONE_BY_ONE, dns=policy)

    assert run.attempts == []
    assert [server.accepted for server in two_servers] == shares


def test_round_robin_takes_up_a_new_address_and_drops_a_vanished_one(two_servers, monkeypatch):
    one, other = two_servers
    monkeypatch.setattr(resolver, "MAX_AGE_NS", 100_000_000)
    say(monkeypatch, [one], [one], [one, other], [other, one], [other])
    order = []
    for server in two_servers:
        server.script = lambda peer, server=server: (order.append(server), well(peer))
    run = Run("http://shop.test/", 60, lanes=ONE_BY_ONE, dns="round-robin", qps=100)

    assert run.attempts == []
    assert order[0] is one
    assert order[-1] is other
    both = order[order.index(other) : len(order) - order[::-1].index(one)]
    assert abs(sum(server is one for server in both) - sum(server is other for server in both)) <= 1
    assert all(a is not b for a, b in pairwise(both))


def test_cached_stays_with_the_first_answer(two_servers, monkeypatch):
    one, other = two_servers
    monkeypatch.setattr(resolver, "MAX_AGE_NS", 10_000_000)
    say(monkeypatch, [one], [other])
    Run("http://shop.test/", 20, lanes=ONE_BY_ONE, dns="cached", qps=100)

    assert (one.accepted, other.accepted) == (20, 0)


def test_an_ip_given_for_a_name_is_connected_to_under_that_name(server):
    heads = []
    server.script = lambda peer: (heads.append(peer.request()), peer.send(OK))
    target = parse_target(f"http://shop.example:{server.port}/", connect_host="127.0.0.1")
    run = Run("http://unused/", 2, target=target, lanes=FRESH)

    assert run.attempts == []
    assert all(f"Host: shop.example:{server.port}".encode() in head for head in heads)


def test_one_bad_address_of_two_fails_half_of_the_connections(two_servers, monkeypatch):
    _, other = two_servers
    other.script = Peer.reset
    say(monkeypatch, two_servers)
    run = Run("http://shop.test/", 20, lanes=ONE_BY_ONE)

    assert run.count("ok") == 10
    assert {attempt.outcome for attempt in run.attempts} == {Outcome.RESET}


def test_a_close_of_an_idle_unix_connection_is_no_reset(unix_server):
    unix_server.script = lambda peer: (peer.request(), peer.send(OK))
    run = Run("http://unused/", 3, target=by_unix(unix_server.path), lanes=REUSED, qps=20)

    assert run.attempts == []
    assert {fact.closed_by for fact in run.closed} - {ClosedBy.US_END} == {ClosedBy.PEER_IDLE}
    assert not any(fact.reset for fact in run.closed)


def test_without_our_certificate_every_attempt_fails_in_tls_words(server, strict):
    run = Run(server.url, 12, lanes=BOTH)

    # With TLS 1.3 our side of the handshake is over before the server looks at what it got.
    assert {outcome for _, outcome in run.endings} == {Outcome.TLS_FAILED}
    assert {phase for phase, _ in run.endings} <= {Phase.SEND, Phase.AWAIT}
    assert {attempt.detail for attempt in run.attempts} == {"TLSV13_ALERT_CERTIFICATE_REQUIRED"}
