"""What each way of ending is called: the one table from (phase, cause) to an outcome.

A cause is either the number of an operating system error or one of `Fault`. The phase is never changed by the cause:
it is how far the attempt had come. Two decisions that the table embodies:

- AWAIT lasts until the head of the answer is complete, BODY comes after it. An answer that is cut inside its head is
  therefore await/truncated_body (some bytes came), and one that never began is await/closed_before_response.
- A peer that goes away inside the TLS handshake (reset, FIN) is not a TLS failure: only what TLS itself complains of
  (an alert, a certificate) is tls_failed.
"""

from __future__ import annotations

import errno
from enum import StrEnum

from rollcheck.facts.attempts import Outcome, Phase
from rollcheck.facts.connections import ClosedBy


class Fault(StrEnum):
    """The ways of failing that have no errno."""

    EOF = "eof"
    """FIN before any byte of the answer."""
    CUT = "cut"
    """FIN after the first byte of the answer and before its last."""
    PARSER = "parser"
    """What arrived is not an HTTP/1.1 answer that we accept."""
    DEADLINE = "deadline"
    LOOKUP = "lookup"
    """The name has no address, or none could be learnt."""
    TLS = "tls"
    """TLS itself refused: an alert, a certificate, a record that does not decrypt."""
    NO_CONNECTION = "no_connection"
    """No free connection within the timeout."""
    END = "end"
    """The run ended first."""


Cause = Fault | int
"""A `Fault`, or an errno."""

LOCAL_ERRNOS = frozenset(
    {
        errno.EADDRNOTAVAIL,
        errno.EADDRINUSE,
        errno.EAGAIN,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
    }
)
"""Our own machine's limits: as long as nothing was sent, the attempt was dropped by us."""

ERRNOS: dict[int, Outcome] = {
    errno.ECONNREFUSED: Outcome.REFUSED,
    errno.EHOSTUNREACH: Outcome.UNREACHABLE,
    errno.ENETUNREACH: Outcome.UNREACHABLE,
    errno.EHOSTDOWN: Outcome.UNREACHABLE,
    errno.ENETDOWN: Outcome.UNREACHABLE,
    # A packet filter on our side answers connect() with these.
    errno.EACCES: Outcome.UNREACHABLE,
    errno.EPERM: Outcome.UNREACHABLE,
    errno.ETIMEDOUT: Outcome.TIMEOUT,
    errno.ECONNRESET: Outcome.RESET,
    errno.ECONNABORTED: Outcome.RESET,
    errno.ENETRESET: Outcome.RESET,
    errno.EPIPE: Outcome.RESET,
    errno.ESHUTDOWN: Outcome.RESET,
    errno.ENOTCONN: Outcome.RESET,
}

_EARLY = frozenset({Phase.RESOLVE, Phase.CONNECT})

_FAULTS: dict[Fault, dict[Phase, Outcome]] = {
    Fault.EOF: {
        Phase.RESOLVE: Outcome.NOT_RESOLVED,
        Phase.CONNECT: Outcome.RESET,
        Phase.TLS: Outcome.CLOSED_BEFORE_RESPONSE,
        Phase.SEND: Outcome.CLOSED_BEFORE_RESPONSE,
        Phase.AWAIT: Outcome.CLOSED_BEFORE_RESPONSE,
        Phase.BODY: Outcome.TRUNCATED_BODY,
    },
    Fault.CUT: {
        Phase.RESOLVE: Outcome.NOT_RESOLVED,
        Phase.CONNECT: Outcome.RESET,
        Phase.TLS: Outcome.CLOSED_BEFORE_RESPONSE,
        Phase.SEND: Outcome.TRUNCATED_BODY,
        Phase.AWAIT: Outcome.TRUNCATED_BODY,
        Phase.BODY: Outcome.TRUNCATED_BODY,
    },
    Fault.PARSER: dict.fromkeys(Phase, Outcome.PROTOCOL),
    Fault.DEADLINE: dict.fromkeys(Phase, Outcome.TIMEOUT),
    Fault.LOOKUP: dict.fromkeys(Phase, Outcome.NOT_RESOLVED),
    Fault.TLS: dict.fromkeys(Phase, Outcome.TLS_FAILED),
    Fault.NO_CONNECTION: dict.fromkeys(Phase, Outcome.DROPPED),
    Fault.END: dict.fromkeys(Phase, Outcome.ABANDONED),
}


def find_outcome(phase: Phase, cause: Cause) -> Outcome:
    """The outcome of an attempt that ended in `phase` by `cause`; total, and the same on every call."""
    if isinstance(cause, Fault):
        return _FAULTS[cause][phase]
    if cause in LOCAL_ERRNOS:
        return Outcome.DROPPED if phase in _EARLY else Outcome.RESET
    # An errno that nobody listed: the connection is unusable, and its name stays in the attempt's detail.
    return ERRNOS.get(cause, Outcome.UNREACHABLE if phase in _EARLY else Outcome.RESET)


def describe_errno(number: int) -> str:
    """The errno's symbolic name, for example `ECONNRESET`."""
    return errno.errorcode.get(number, f"errno {number}")


def closer_of(cause: Cause) -> ClosedBy:
    """Who ended a connection whose attempt failed by that."""
    if cause is Fault.END:
        return ClosedBy.US_END
    if cause in {Fault.DEADLINE, Fault.PARSER, Fault.TLS}:
        return ClosedBy.US_FAILED
    return ClosedBy.PEER_IN_FLIGHT
