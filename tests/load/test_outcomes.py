import errno
import os
import socket
import ssl

import pytest

from rollcheck.facts.attempts import Outcome, Phase
from rollcheck.load.outcomes import ERRNOS, LOCAL_ERRNOS, Fault, find_outcome
from rollcheck.load.transport import read_cause

EARLY = (Phase.RESOLVE, Phase.CONNECT)


def test_every_errno_of_this_system_in_every_phase_is_exactly_one_failure():
    for number in errno.errorcode:
        for phase in Phase:
            outcome = find_outcome(phase, number)
            assert isinstance(outcome, Outcome)
            assert outcome is not Outcome.OK
            assert find_outcome(phase, number) is outcome


def test_every_fault_in_every_phase_is_exactly_one_failure():
    for fault in Fault:
        for phase in Phase:
            assert find_outcome(phase, fault) not in {Outcome.OK, Outcome.BAD_STATUS, Outcome.WRONG_BODY}


def test_our_own_limits_and_the_targets_errors_are_apart():
    assert not LOCAL_ERRNOS & ERRNOS.keys()


def test_dropped_by_us_is_said_only_while_nothing_was_sent():
    for number in LOCAL_ERRNOS:
        assert [find_outcome(phase, number) is Outcome.DROPPED for phase in Phase] == [p in EARLY for p in Phase]


@pytest.mark.parametrize(
    ("phase", "cause", "outcome"),
    [
        (Phase.CONNECT, errno.ECONNREFUSED, Outcome.REFUSED),
        (Phase.CONNECT, errno.EHOSTUNREACH, Outcome.UNREACHABLE),
        (Phase.CONNECT, errno.ENETUNREACH, Outcome.UNREACHABLE),
        (Phase.CONNECT, errno.EPERM, Outcome.UNREACHABLE),
        (Phase.CONNECT, errno.ETIMEDOUT, Outcome.TIMEOUT),
        (Phase.CONNECT, errno.EADDRNOTAVAIL, Outcome.DROPPED),
        (Phase.CONNECT, errno.EMFILE, Outcome.DROPPED),
        (Phase.SEND, errno.EPIPE, Outcome.RESET),
        (Phase.AWAIT, errno.ECONNRESET, Outcome.RESET),
        (Phase.BODY, errno.ECONNRESET, Outcome.RESET),
        (Phase.TLS, errno.ECONNRESET, Outcome.RESET),
        (Phase.AWAIT, Fault.EOF, Outcome.CLOSED_BEFORE_RESPONSE),
        (Phase.AWAIT, Fault.CUT, Outcome.TRUNCATED_BODY),
        (Phase.BODY, Fault.CUT, Outcome.TRUNCATED_BODY),
        (Phase.TLS, Fault.EOF, Outcome.CLOSED_BEFORE_RESPONSE),
        (Phase.TLS, Fault.TLS, Outcome.TLS_FAILED),
        (Phase.RESOLVE, Fault.LOOKUP, Outcome.NOT_RESOLVED),
        (Phase.CONNECT, Fault.NO_CONNECTION, Outcome.DROPPED),
        (Phase.CONNECT, Fault.DEADLINE, Outcome.TIMEOUT),
        (Phase.AWAIT, Fault.END, Outcome.ABANDONED),
        (Phase.BODY, Fault.PARSER, Outcome.PROTOCOL),
    ],
)
def test_what_a_rollout_shows_has_the_name_people_know(phase, cause, outcome):
    assert find_outcome(phase, cause) is outcome


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConnectionResetError(errno.ECONNRESET, "x"), errno.ECONNRESET),
        (BrokenPipeError(errno.EPIPE, "x"), errno.EPIPE),
        (OSError(errno.EHOSTUNREACH, "x"), errno.EHOSTUNREACH),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), Fault.LOOKUP),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), Fault.EOF),
        (ssl.SSLZeroReturnError(6, "closed"), Fault.EOF),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), Fault.TLS),
        (ssl.SSLError(1, "alert"), Fault.TLS),
    ],
)
def test_an_exception_of_the_system_is_one_cause(error, cause):
    assert read_cause(error)[0] == cause


def test_the_detail_of_a_system_error_is_its_symbol_without_addresses():
    error = OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET), "10.0.0.1:80")

    assert read_cause(error) == (errno.ECONNRESET, "ECONNRESET")
