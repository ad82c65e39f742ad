import socket
import ssl
import time
from dataclasses import replace

import pytest
import scripted
import trio
import trustme

from rollcheck.errors import UsageError
from rollcheck.facts.attempts import Outcome, Phase
from rollcheck.load.ask import Answer, ask
from rollcheck.load.plan import parse_expectation, parse_target

pytestmark = pytest.mark.loopback


def asked(url: str, **options) -> Answer:
    async def main():
        with trio.fail_after(10):
            return await ask(parse_target(url), **options)

    return trio.run(main)


def test_a_good_answer_comes_with_its_headers_and_body(server):
    server.script = lambda peer: scripted.well(peer, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Pod: a\r\n\r\nok")
    answer = asked(server.url)

    assert (answer.ok, answer.status, answer.body) == (True, 200, b"ok")
    assert ("X-Pod", "a") in answer.headers
    assert answer.peer == f"127.0.0.1:{server.port}"
    assert (answer.phase, answer.outcome) == (Phase.BODY, Outcome.OK)


@pytest.mark.parametrize(
    ("script", "phase", "outcome"),
    [
        (lambda peer: (peer.request(), peer.reset()), Phase.AWAIT, Outcome.RESET),
        (lambda peer: peer.request(), Phase.AWAIT, Outcome.CLOSED_BEFORE_RESPONSE),
        (lambda peer: (peer.request(), peer.send(scripted.OK[:-1])), Phase.BODY, Outcome.TRUNCATED_BODY),
        (lambda peer: (peer.request(), peer.send(b"rubbish\r\n")), Phase.AWAIT, Outcome.PROTOCOL),
        (lambda peer: peer.wait_closed(), Phase.AWAIT, Outcome.TIMEOUT),
    ],
    ids=["rst", "fin", "cut", "rubbish", "silence"],
)
def test_what_the_target_does_wrong_is_in_the_answer(server, script, phase, outcome):
    server.script = script
    answer = asked(server.url, timeout_s=0.2)

    assert (answer.ok, answer.phase, answer.outcome) == (False, phase, outcome)


def test_a_port_nobody_listens_on_is_refused():
    answer = asked(f"http://127.0.0.1:{scripted.closed_port()}/")

    assert (answer.phase, answer.outcome, answer.detail) == (Phase.CONNECT, Outcome.REFUSED, "ECONNREFUSED")


def test_a_name_without_an_address_is_not_resolved():
    answer = asked("http://no-such-name.invalid/")

    assert (answer.phase, answer.outcome) == (Phase.RESOLVE, Outcome.NOT_RESOLVED)
    assert answer.detail


def test_an_answer_that_is_not_the_expected_one_is_not_ok(server):
    assert asked(server.url, expectation=parse_expectation("204")).outcome is Outcome.BAD_STATUS
    assert asked(server.url, expectation=parse_expectation(body="nope")).outcome is Outcome.WRONG_BODY


def test_an_answer_that_came_before_the_request_was_read_counts(server):
    answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    server.script = lambda peer: (peer.request(), peer.send(answer), time.sleep(0.02))
    answered = asked(server.url, method="POST", body=b"x" * (8 << 20))

    assert (answered.phase, answered.outcome, answered.status) == (Phase.BODY, Outcome.BAD_STATUS, 413)


def test_a_request_that_cannot_be_written_and_has_no_answer_failed_in_the_phase_send(server):
    server.script = lambda peer: (peer.request(), peer.reset())
    answered = asked(server.url, method="POST", body=b"x" * (8 << 20))

    assert (answered.phase, answered.outcome) == (Phase.SEND, Outcome.RESET)


def test_a_body_that_ends_with_the_connection_is_whole(server):
    server.script = lambda peer: (peer.request(), peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello"))

    assert asked(server.url).body == b"hello"


def test_the_time_it_took_is_measured(server):
    server.script = lambda peer: (peer.request(), time.sleep(0.05), peer.send(scripted.OK))

    assert asked(server.url).elapsed_ns >= 50_000_000


def test_tls_is_verified_against_the_given_authority(server, tmp_path):
    authority = trustme.CA()
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server.context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    assert asked(server.url, ca_file=str(tmp_path / "ca.pem")).ok
    assert asked(server.url).outcome is Outcome.TLS_FAILED
    assert asked(server.url, verify_tls=False).ok


def test_a_ca_file_that_is_none_is_refused_by_name(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(UsageError, match=str(path)):
        asked("https://127.0.0.1/", ca_file=str(path))
    with pytest.raises(UsageError, match="missing"):
        asked("https://127.0.0.1/", ca_file=str(tmp_path / "missing"))


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def strict_server(server, authority, tmp_path):
    """A server that asks its clients for a certificate; the files of one are in `tmp_path`."""
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "shop.example").configure_cert(server.context)
    authority.configure_trust(server.context)
    server.context.verify_mode = ssl.CERT_REQUIRED
    issued = authority.issue_cert("client.example")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return server


def test_a_client_certificate_is_shown_to_the_server_that_asks_for_one(strict_server, tmp_path):
    named = []
    strict_server.script = lambda peer: (
        named.append(dict(part[0] for part in peer.sock.getpeercert()["subject"])),
        scripted.well(peer),
    )
    files = {"ca_file": str(tmp_path / "ca.pem"), "cert_file": str(tmp_path / "cert.pem")}
    answer = asked(strict_server.url, key_file=str(tmp_path / "key.pem"), **files)

    assert answer.ok, answer
    assert len(named) == 1


def test_a_server_that_misses_our_certificate_fails_the_attempt_in_its_own_words(strict_server, tmp_path):
    answer = asked(strict_server.url, ca_file=str(tmp_path / "ca.pem"))

    # With TLS 1.3 our side of the handshake is over before the server looks at what it got.
    assert (answer.phase in {Phase.SEND, Phase.AWAIT}, answer.outcome) == (True, Outcome.TLS_FAILED)
    assert "CERTIFICATE_REQUIRED" in answer.detail


def test_the_name_that_is_sent_as_host_is_the_one_that_tls_asks_for(strict_server, authority):
    asked_for = []
    strict_server.context.verify_mode = ssl.CERT_NONE
    strict_server.context.sni_callback = lambda sock, name, context: asked_for.append(name)
    target = parse_target("https://127.0.0.1/", host_header="shop.example")

    async def main():
        for host in (target, replace(target, server_name="127.0.0.1")):
            await ask(replace(host, port=strict_server.port), verify_tls=False)

    trio.run(main)

    assert asked_for == ["shop.example", None]  # an IP is never sent (RFC 6066)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    ("script", "phase", "outcome"),
    [
        (scripted.well, Phase.BODY, Outcome.OK),
        (lambda peer: (peer.request(), peer.send(scripted.OK[:-1])), Phase.BODY, Outcome.TRUNCATED_BODY),
        (lambda peer: peer.request(), Phase.AWAIT, Outcome.CLOSED_BEFORE_RESPONSE),
    ],
    ids=["well", "cut", "fin"],
)
def test_a_unix_socket_is_asked_as_a_port_is(tmp_path, authority, script, phase, outcome, tls):
    path = str(tmp_path / "shop.sock")
    with scripted.Server(path) as server:
        server.script = script
        if tls:
            server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("shop.example").configure_cert(server.context)
        url = "https://shop.example/" if tls else "http://shop.example/"
        answer = trio.run(lambda: ask(replace(parse_target(url), unix_socket=path), verify_tls=False))

    assert (answer.phase, answer.outcome, answer.peer) == (phase, outcome, path)


def test_a_unix_socket_that_is_not_there_is_unreachable(tmp_path):
    target = replace(parse_target("http://shop.example/"), unix_socket=str(tmp_path / "none.sock"))
    answer = trio.run(ask, target)

    assert (answer.phase, answer.outcome, answer.detail) == (Phase.CONNECT, Outcome.UNREACHABLE, "ENOENT")


def test_the_family_is_asked_for(monkeypatch):
    from rollcheck.load import ask as module

    families = []
    nobody = (socket.AF_INET, ("127.0.0.1", scripted.closed_port()))
    monkeypatch.setattr(module, "lookup", lambda host, port, family: families.append(family) or [nobody])

    assert asked("http://shop.test/", family="ip6").outcome is Outcome.REFUSED
    assert families == ["ip6"]
