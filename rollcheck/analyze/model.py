"""The values that analysis produces, and that every renderer reads. Instants are nanoseconds on the run's axis."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rollcheck.facts.actions import Action
from rollcheck.facts.attempts import Attempt, Interval, Lane, PodTally, Stage
from rollcheck.facts.clock import Instant, Window
from rollcheck.facts.cluster import KubeEvent, PodSpec, WorkloadSeen
from rollcheck.facts.document import Document


def began(attempt: Attempt) -> Instant:
    """When an attempt began on the network, or was meant to when it never did: where it is placed on the timeline.

    Its end may lie seconds later: a SYN pinned to a dead pod times out long after the Service is healthy again.
    """
    return attempt.intended_ns if attempt.sent_ns is None else attempt.sent_ns


class Verdict(StrEnum):
    """The answer to the one question that a run asks."""

    GRACEFUL = "graceful"
    NOT_GRACEFUL = "not graceful"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When something happened in the cluster.

    Attributes:
        seen_ns: when our watch delivered it: an upper bound.
        reported: the bracket in which the server's own time lies, None when it gave none.
    """

    seen_ns: Instant
    reported: Window | None = None

    @property
    def earliest(self) -> Instant:
        """The earliest instant at which it can have happened, as far as the clocks agree."""
        return min(self.reported.start, self.seen_ns) if self.reported else self.seen_ns


def latest(moment: Moment) -> Instant:
    """The latest instant at which it can have happened: the watch had delivered it by then."""
    return min(moment.reported.end, moment.seen_ns) if moment.reported else moment.seen_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class SigtermInference:
    """The span in which SIGTERM was sent, and how that was inferred: it is never an API object.

    Attributes:
        method: a sentence, for example "Killing event + preStop sleep 5 s".
        exact: whether the span is as narrow as the server's clock allows (else it is only a bound).
    """

    window: Window
    method: str
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerExit:
    """The end of one container of a pod; `signal` is read off exit codes above 128."""

    container: str
    code: int | None
    reason: str
    finished: Window | None
    seen_ns: Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTraffic:
    """What clients got from one pod, as far as responses and connections say which pod it was.

    Attributes:
        answered: OK attempts; failed: attempts that failed and are known to have been on it.
        met_terminating: OK attempts that ended after its deletion was seen, plus failed ones; None when responses do
            not name pods.
        last_ok_new_ns, last_ok_reused_ns: start (`sent`) of the last OK attempt on a new, on a reused connection.
        first_fail_new_ns, first_fail_reused_ns: start of the first failed one after its deletion.
    """

    answered: int = 0
    failed: int = 0
    met_terminating: int | None = None
    last_ok_new_ns: Instant | None = None
    last_ok_reused_ns: Instant | None = None
    first_fail_new_ns: Instant | None = None
    first_fail_reused_ns: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLife:
    """One pod from creation to disappearance.

    Attributes:
        generation: "old" (was there when the replacement began, or came after with the template it replaces), "new"
            (came after), "other" (deleted before it began, or of a workload that is not replaced).
        listening: when the first container started running.
        ready: spans during which the Ready condition was true, as seen.
        in_endpoints: spans during which some EndpointSlice had it ready.
        deleted: the API call that deleted it; its bracket is deletionTimestamp - grace.
        grace_s: the grace that this deletion had, else that of the spec.
        killing: the first `Killing` event: the start of preStop, not SIGTERM.
        prestop_failed: message of a FailedPreStopHook event, else empty.
        took_s: seconds from deletion to the last container's end, a bracket (low, high).
        killed: it did not end by itself before its grace did (137 at about the grace).
        gone_ns: when the object disappeared, None when it was still there at the end.
        restarts: restarts of its containers during the run.
        unready_reason: why it is not ready where it was last seen, a container's waiting reason first.
        disruption: reason of its DisruptionTarget condition, empty for a plain deletion.
        vanished: a watch gap hid its end: nothing of it was seen but that it was gone afterwards.
        workload: which workload it is of ("deployment/web"), empty for one that was not replaced.
        beside: whether it is of none of the workloads, but a backend of one of their Services.
        backend: whether a request of this run may have come to it; false for pods of a workload that is replaced along
            with others, behind another Service than the one that is asked.
        arrived: whether it came after the replacement began, and not by the template that was replaced; of a run with
            several actions it may be old for the last of them all the same.
    """

    uid: str
    name: str
    node: str
    generation: str
    template_hash: str
    created: Moment
    spec: PodSpec | None
    listening: Moment | None = None
    ready: tuple[Window, ...] = ()
    in_endpoints: tuple[Window, ...] = ()
    deleted: Moment | None = None
    grace_s: int | None = None
    killing: Moment | None = None
    prestop_failed: str = ""
    sigterm: SigtermInference | None = None
    exits: tuple[ContainerExit, ...] = ()
    took_s: tuple[float, float] | None = None
    killed: bool = False
    gone_ns: Instant | None = None
    restarts: int = 0
    unready_reason: str = ""
    disruption: str = ""
    traffic: PodTraffic = field(default_factory=PodTraffic)
    ip: str = ""
    vanished: bool = False
    arrived: bool = False
    workload: str = ""
    beside: bool = False
    backend: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A maximal span of one lane in which attempts failed and none that began in it succeeded for good.

    Attributes:
        window: from the start of the first failed attempt to the start of the last one.
        bound: from the last success before to the first success after: it cannot have been longer.
        attempts: failed in it; total: every attempt of the lane that began in it, when known, else None.
        full: whether nothing at all succeeded in between.
    """

    lane: Lane
    window: Window
    bound: Window
    attempts: int
    total: int | None
    full: bool
    by_outcome: dict[str, int]
    pods: tuple[str, ...] = ()


class TiedBy(StrEnum):
    """What left an entry for a source port in a node's connection tracking."""

    RESET = "reset"
    SYN = "syn"
    """A SYN that nothing answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """A connect without an answer that came from a source port which was still tied to a dead pod.

    Attributes:
        since_ns: when the connection that tied it was reset, or had ended without an answer.
        pod: the pod of that connection, empty when it is not known.
    """

    attempt: Attempt
    by: TiedBy
    since_ns: Instant
    pod: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Every fact of a document, placed.

    Attributes:
        stages: each stage's span; the last one ends with the run.
        failures: attempts of the timetable that clients lost (not OK, neither dropped by us nor cut off by the end of
            the run), by start. probes: those of the probe lane, the good ones included.
        not_sent: attempts dropped or abandoned before they were sent.
        abandoned: attempts cut off by the end of the run while they were under way: sent, but nobody's loss.
        ties: the failures and probes that came from a source port which was still tied to a dead pod, by start.
        ready_endpoints: (instant, count) steps of the number of distinct pods ready in the Service's slices.
        ready_elsewhere: of several workloads: such steps of each Service that gets no load.
        workloads: the workload's states, in order.
        trigger: what began the replacement, None when nothing did.
        replacement: from the trigger (else the stage's mark) to the end of the run, None when there was neither.
    """

    document: Document
    window: Window
    stages: dict[Stage, Window]
    pods: tuple[PodLife, ...]
    failures: tuple[Attempt, ...]
    not_sent: tuple[Attempt, ...]
    probes: tuple[Attempt, ...]
    intervals: tuple[Interval, ...]
    tallies: tuple[PodTally, ...]
    ready_endpoints: tuple[tuple[Instant, int], ...]
    events: tuple[KubeEvent, ...]
    workloads: tuple[WorkloadSeen, ...]
    abandoned: tuple[Attempt, ...] = ()
    ties: tuple[Tie, ...] = ()
    ready_elsewhere: dict[str, tuple[tuple[Instant, int], ...]] = field(default_factory=dict)
    trigger: Action | None = None
    replacement: Window | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why attempts were lost (or would have been): one mode of the failure taxonomy.

    Attributes:
        mode: number of the row in the taxonomy; name: its short name.
        attempts: how many failed attempts are attributed to it; seqs: which.
        confidence: "high", "medium" or "low".
        summary: one sentence for a tired person.
        evidence: sentences, each naming a fact with its time or bracket.
        competing: modes that explain the same attempts and could not be excluded, each with the reason.
        fix: a patch in YAML (strategic merge, for `kubectl patch`), empty when the fix is not in the manifest.
        advice: what to do, in a sentence or two.
        seqs: (lane, seq) of each attempt, in order of their start.
        of_replacement: whether replacing the pods lost these attempts; false for what was failing before, and for
            what our own machine did.
    """

    mode: int
    name: str
    attempts: int
    confidence: str
    summary: str
    evidence: tuple[str, ...]
    competing: tuple[tuple[int, str], ...] = ()
    fix: str = ""
    advice: str = ""
    seqs: tuple[tuple[str, int], ...] = ()
    of_replacement: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unattributed:
    """A failed attempt that no cause explains, with the facts nearest to it in time."""

    attempt: Attempt
    nearest: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Exact numbers: scheduled = sent + not_sent, sent = ok + failed. Probes are beside them."""

    scheduled: int
    sent: int
    not_sent: int
    ok: int
    failed: int
    probes: int = 0
    probes_failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagation:
    """How long after its deletion new connections still reached an old pod.

    Attributes:
        pod: its name, empty when it can only be told from failures at large.
        seconds: (low, high): low is proven by an attempt, high by the first instant that shows it was over.
        evidence: how it was measured.
    """

    pod: str
    seconds: tuple[float, float]
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What this run could not have seen.

    Attributes:
        shortest_outage_s: an outage of every pod shorter than this may have fallen between two arrivals, by lane.
        loss_per_request: 95 % upper bound of the share of requests lost during the replacement.
        loss_per_pod: 95 % upper bound of the probability that replacing one pod loses a request.
        pods_replaced: old pods that were replaced, pods_lossless: of these, those that lost nothing.
        unmet: names of replaced pods that met no traffic while they ended.
        exposure_known: whether responses name the pod that answered.
    """

    shortest_outage_s: dict[str, float]
    loss_per_request: float
    loss_per_pod: float
    pods_replaced: int
    pods_lossless: int
    unmet: tuple[str, ...]
    exposure_known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineReport:
    """What happened before anything was replaced: counts, and latency in milliseconds."""

    seconds: float
    counts: Counts
    by_outcome: dict[str, int]
    p50_ms: float | None
    p99_ms: float | None
    served_qps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorReport:
    """How well the generator did, and why its figures cannot be trusted where that is so.

    Attributes:
        asked_qps, held_qps: arrivals per second that the timetable asked for and that were released.
        lag_p50_us, lag_p99_us, lag_max_us: released - intended. wait_p99_us: sent - released.
        longest_stall_ms: longest time the event loop did not come round.
        gaps: watch gaps, as sentences.
        faults: why the run's figures are not to be trusted; empty when they are.
    """

    asked_qps: float
    held_qps: float
    lag_p50_us: float | None
    lag_p99_us: float | None
    lag_max_us: float | None
    wait_p99_us: float | None
    longest_stall_ms: float
    gaps: tuple[str, ...]
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLatency:
    """Latency of OK attempts of one lane in one stage, milliseconds, from intended and from sent."""

    lane: Lane
    stage: Stage
    ok: int
    response_ms: dict[str, float]
    service_ms: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Everything a report says about a run.

    Attributes:
        headline: one sentence: why the verdict is what it is.
        reasons: why it is inconclusive; empty otherwise.
        by_outcome: lane → "phase/outcome" (with the status for bad_status: "await/bad_status 502") → count, with OK.
        causes: ranked, the most attempts first.
        blind: what the run could not observe, as sentences.
        observations: facts worth saying that decide nothing (reused connections closed while idle, slow replacement).
        lost: attempts proven to be lost to the replacement; 0 unless the verdict is "not graceful".
    """

    timeline: Timeline
    verdict: Verdict
    exit_code: int
    headline: str
    reasons: tuple[str, ...]
    counts: Counts
    by_outcome: dict[str, dict[str, int]]
    causes: tuple[Cause, ...]
    unattributed: tuple[Unattributed, ...]
    outages: tuple[Outage, ...]
    propagation: tuple[Propagation, ...]
    recommended_prestop_s: int | None
    bounds: Bounds
    baseline: BaselineReport
    generator: GeneratorReport
    latency: tuple[StageLatency, ...]
    blind: tuple[str, ...] = ()
    observations: tuple[str, ...] = ()
    lost: int = 0
