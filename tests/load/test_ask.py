import ssl
import time

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
