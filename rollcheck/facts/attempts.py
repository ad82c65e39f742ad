"""What became of every request that the timetable asked for, the ones never sent included."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rollcheck.facts.clock import Instant


class Phase(StrEnum):
    """How far an attempt had come when it ended."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    SEND = "send"
    AWAIT = "await"
    BODY = "body"


class Outcome(StrEnum):
    """How an attempt ended; read together with its `Phase`."""

    OK = "ok"
    BAD_STATUS = "bad_status"
    WRONG_BODY = "wrong_body"
    """A good status, but not the body that `--expect-body` asks for (a circuit breaker's page, another app's)."""
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    RESET = "reset"
    TIMEOUT = "timeout"
    CLOSED_BEFORE_RESPONSE = "closed_before_response"
    """The peer closed in an orderly way (FIN) before the first byte of an answer."""
    TRUNCATED_BODY = "truncated_body"
    PROTOCOL = "protocol"
    NOT_RESOLVED = "not_resolved"
    TLS_FAILED = "tls_failed"
    DROPPED = "dropped"
    """Never sent, by us: no free connection in time, no local port, no file descriptor."""
    ABANDONED = "abandoned"
    """Still under way when the run was interrupted."""


class Lane(StrEnum):
    """The kinds of client whose requests die at different moments of a pod's end."""

    REUSED = "reused"
    FRESH = "fresh"
    IDLE_AGED = "idle_aged"
    LONG = "long"
    PROBE = "probe"
    """The fresh connection that follows a failure on a reused one at once; not on the timetable, counted apart."""


class Stage(StrEnum):
    """The parts of a run, in order."""

    PREFLIGHT = "preflight"
    BASELINE = "baseline"
    REPLACEMENT = "replacement"
    TAIL = "tail"


class ConnectionUse(StrEnum):
    """Whether the attempt was the first request on its connection."""

    NEW = "new"
    REUSED = "reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One arrival of the timetable that did not end OK (those that did are folded into intervals and tallies).

    intended → released → sent → ended. Response time is ended − intended, service time ended − sent. The lag
    sent − intended is ours up to `released_ns` (the generator was late) and the target's after it (no free
    connection). `sent_ns` is the first act on the network for this attempt: connect() on a new connection, the first
    byte of the request on a reused one; None when it never came to that.

    Attributes:
        seq: number of the arrival on the run's timetable, from 0; a probe bears the number of the attempt it follows.
        lane: which kind of client.
        stage: the stage in which the attempt was intended.
        phase: how far it came.
        outcome: how it ended.
        status: HTTP status when there was one, else 0.
        detail: the error's own words (an errno's name, a parser's message), short, without addresses.
        connection: id of the connection (`facts.connections`), 0 when there never was one.
        use: whether it was the first request on that connection.
        connection_age_ns: age of the connection when the attempt was sent.
        requests_before: requests answered on this connection before this one.
        local, peer: addresses as "ip:port"; `peer` is empty when not connected, `local` only when no port was had.
        bytes_received: bytes of the answer that arrived.
        pod: name of the pod that answered, when the response says so, else the pod that this connection was last
            known to reach, else empty.
        pod_from: "response", "connection" or "".
        worker: the process that sent it; slot is the place of its connection in its lane, −1 when it had none.
    """

    seq: int
    lane: Lane
    stage: Stage
    phase: Phase
    outcome: Outcome
    intended_ns: Instant
    released_ns: Instant
    sent_ns: Instant | None
    ended_ns: Instant
    connected_ns: Instant | None = None
    first_byte_ns: Instant | None = None
    status: int = 0
    detail: str = ""
    connection: int = 0
    use: ConnectionUse = ConnectionUse.NEW
    connection_age_ns: int = 0
    requests_before: int = 0
    local: str = ""
    peer: str = ""
    bytes_received: int = 0
    pod: str = ""
    pod_from: str = ""
    worker: int = 0
    slot: int = -1

    @property
    def kind(self) -> str:
        """`phase/outcome`, with the status of an answer that came whole: `body/bad_status 503`."""
        name = f"{self.phase}/{self.outcome}"
        # A status known of any other failure came without the rest of its answer.
        return f"{name} {self.status}" if self.outcome in {Outcome.BAD_STATUS, Outcome.WRONG_BODY} else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What one lane did in [start_ns, end_ns): exact counts, and the latencies of the attempts that ended OK.

    Attempts are counted in the interval in which they *ended*. An interval ends each second, and whenever a stage
    changes or a pod's life does (so that counts can be read before and after it).

    Attributes:
        ok, failed, not_sent: attempts that ended here; failed + not_sent have a line each unless `unlisted`.
        unlisted: failed or not sent attempts beyond the bound on kept lines: counted, their details lost.
        response_hdr, service_hdr: HDR V2 blobs, base64, of microseconds from intended and from sent to ended.
            Empty when ok is 0.
        failed_hdr: the same from sent to ended of the attempts that were sent and failed; recorded by `load` only.
        statuses: HTTP status (as text) → OK attempts that had it.
        failures: `Attempt.kind` → attempts that failed or were not sent, the unlisted ones included; recorded by
            `load` only.
    """

    start_ns: Instant
    end_ns: Instant
    stage: Stage
    lane: Lane
    ok: int
    failed: int
    not_sent: int
    unlisted: int = 0
    response_hdr: str = ""
    service_hdr: str = ""
    failed_hdr: str = ""
    statuses: dict[str, int]
    worker: int = 0
    failures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTally:
    """The OK attempts that one pod answered in one interval, by lane and use of the connection.

    Attributes:
        first_sent_ns, last_sent_ns: earliest and latest `sent` among them.
        last_ended_ns: latest end among them.
    """

    start_ns: Instant
    end_ns: Instant
    lane: Lane
    use: ConnectionUse
    pod: str
    ok: int
    first_sent_ns: Instant
    last_sent_ns: Instant
    last_ended_ns: Instant
