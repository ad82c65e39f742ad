"""A run's document: a header, facts in the order in which they were recorded, a seal.

It is JSON Lines, one fact a line, appended while the run goes on. A document without a seal was cut short (kill -9, a
full disk): everything in it is true, but it is not the whole run, so analysis calls it inconclusive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from rollcheck.facts.actions import Action, CommandOutput, Note, StageMark
from rollcheck.facts.attempts import Attempt, Interval, PodTally
from rollcheck.facts.clock import ClockAnchor, Instant
from rollcheck.facts.cluster import KubeEvent, PodSeen, ReplicaSetSeen, ServiceSeen, SliceSeen, WatchGap, WorkloadSeen
from rollcheck.facts.connections import Connection
from rollcheck.facts.health import HealthSample
from rollcheck.facts.wiretotals import SlotTotals, WireTotals

SCHEMA = "rollcheck.facts/1"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePlan:
    """What one lane was asked to do.

    Attributes:
        share: of the arrivals, 0 to 1.
        connections: how many it may hold, 0 for as many as it takes.
        min_idle_s: seconds that a connection rests before it is used again.
        path: what is asked for instead of the target's own path, empty for that.
    """

    lane: str
    share: float
    connections: int
    min_idle_s: float = 0
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the run was asked to do, by which versions, on which clock.

    Attributes:
        run_id: unique for a run; also names its folder.
        anchor: pairs the run's axis with the wall clock.
        versions: "rollcheck", "python", "kubernetes" (server), … → version.
        workload, namespace, context: what was replaced; workload is "deployment/web".
        url: what was asked; route says how it was found: "url", "ingress", "loadbalancer", "nodeport", "clusterip".
        service: name of the Service behind it, empty when not known.
        method, qps, timeout_s: of the load; lanes is its mix.
        expect: what counts as good, as a person would say it.
        trigger: "restart", or the user's command joined by spaces.
        options: every further option with the value it had, as text.
        interval_s: nominal length of an `Interval`.
        pod_header: response header that names the pod, empty when there is none.
        sandbox: whether the cluster was rollcheck's own embedded one: no evidence about a real one.
        kind: "run" or "load"; a load has no workload, namespace, context, service and trigger.
        calls, duration_s: what a load was asked for, 0 when it was not; qps 0 means as fast as answers came.
        workers: processes that put the load on.
    """

    schema: str = SCHEMA
    run_id: str
    anchor: ClockAnchor
    versions: dict[str, str]
    workload: str
    namespace: str
    context: str
    url: str
    route: str
    service: str
    method: str
    qps: float
    timeout_s: float
    lanes: tuple[LanePlan, ...]
    expect: str
    trigger: str
    options: dict[str, str]
    interval_s: float = 1.0
    pod_header: str = ""
    sandbox: bool = False
    kind: str = "run"
    calls: int = 0
    duration_s: float = 0
    workers: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The last line of a complete document.

    Attributes:
        ended_ns: when the run ended.
        lines: lines before this one, the header included.
        interrupted: empty for a run that ended by itself, else why it was cut short ("SIGINT", "SIGTERM", an error).
        scheduled: arrivals that the timetable released for good, by lane: a cross-check of the counts.
        probes: fresh probes sent.
    """

    ended_ns: Instant
    lines: int
    interrupted: str = ""
    scheduled: dict[str, int] = field(default_factory=dict)
    probes: int = 0


Fact = (
    Attempt
    | Interval
    | PodTally
    | Connection
    | HealthSample
    | SlotTotals
    | WireTotals
    | StageMark
    | Action
    | CommandOutput
    | Note
    | PodSeen
    | SliceSeen
    | KubeEvent
    | WorkloadSeen
    | ReplicaSetSeen
    | ServiceSeen
    | WatchGap
)
"""Any line of a document between its header and its seal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A run as it was recorded.

    Attributes:
        seal: None when the document was cut short.
        damaged: what could not be read at its end, in one sentence; empty when every line was whole.
    """

    header: Header
    facts: tuple[Fact, ...]
    seal: Seal | None = None
    damaged: str = ""

    def of(self, kind: type[T]) -> list[T]:
        """The facts of one kind, in the order in which they were recorded."""
        return [fact for fact in self.facts if isinstance(fact, kind)]
