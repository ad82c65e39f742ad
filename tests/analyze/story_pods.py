"""What a watch would have shown of the pods of a story: their observations and events. See `builders`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from rollcheck.facts.clock import SECOND
from rollcheck.facts.cluster import (
    Change,
    ContainerSpec,
    ContainerState,
    Endpoint,
    KubeEvent,
    PodSeen,
    PodSpec,
    PreStop,
    Probe,
    SliceSeen,
)

ORIGIN = 5_000 * SECOND
"""The instant of the run's axis at second 0 of a story."""
WALL = 1_768_478_400
"""Unix seconds at second 0 of a story: 2026-01-15T12:00:00Z."""
WATCH_LAG = 0.005
"""Seconds between a change in the API server and its delivery to us."""
HTTP_READY = Probe(kind="http", detail="/", period_s=1)


def ns(seconds: float) -> int:
    """The instant of the run's axis at that second of the story."""
    return ORIGIN + round(seconds * SECOND)


def wall(seconds: float) -> str:
    """What the API server writes at that second of the story: whole seconds."""
    return datetime.fromtimestamp(WALL + seconds // 1, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod_spec(
    *,
    grace: int = 30,
    prestop: PreStop | None = None,
    readiness: Probe | None = HTTP_READY,
    command: tuple[str, ...] = (),
    liveness: Probe | None = None,
) -> PodSpec:
    """A pod of one container `web`."""
    web = ContainerSpec(
        name="web",
        image="example/web:1",
        command=command,
        ports=(8080,),
        readiness=readiness,
        liveness=liveness,
        prestop=prestop,
    )
    return PodSpec(grace_s=grace, containers=(web,))


def sleep(seconds: float) -> PreStop:
    """The native preStop sleep."""
    return PreStop(kind="sleep", detail=str(seconds), sleep_s=seconds)


@dataclass
class StoryPod:
    """What happens to one pod; seconds of the story, None for what never does."""

    name: str
    template_hash: str
    spec: PodSpec
    ip: str
    created: float
    listed: bool
    node: str = "node-1"
    listening: float | None = None
    ready: float | None = None
    endpoint_in: float | None = None
    endpoint_out: float | None = None
    serves_until: float | None = None
    deleted: float | None = None
    grace: int | None = None
    killing: float | None = None
    prestop_failed: float | None = None
    exited: float | None = None
    code: int = 0
    reason: str = "Completed"
    gone: float | None = None
    vanishes: bool = False
    waiting: str = ""
    restarts: list[float] = field(default_factory=list)
    disruption: str = ""

    @property
    def uid(self) -> str:
        """Derived from the name, so that tests can guess it."""
        return f"uid-{self.name}"

    def serves(self, at: float) -> bool:
        """Whether a client's request of that instant lands on it and is answered."""
        begin = self.endpoint_in
        ends = [e for e in (self.serves_until, self.endpoint_out, self.exited) if e is not None]
        if begin is None or at < begin or (self.exited is not None and at >= self.exited):
            return False
        return not ends or at < ends[0]


def is_ready(pod: StoryPod, at: float) -> bool:
    return pod.ready is not None and pod.ready <= at and (pod.exited is None or at < pod.exited)


def in_endpoints(pod: StoryPod, at: float) -> bool:
    if pod.endpoint_in is None or at < pod.endpoint_in:
        return False
    return pod.endpoint_out is None or at < pod.endpoint_out


def _state(pod: StoryPod, at: float) -> ContainerState:
    name = pod.spec.containers[0].name
    restarts = sum(1 for r in pod.restarts if r <= at)
    if pod.exited is not None and pod.exited <= at:
        return ContainerState(
            name=name,
            ready=False,
            restarts=restarts,
            state="terminated",
            reason=pod.reason,
            started_at=wall(pod.listening or 0),
            finished_at=wall(pod.exited),
            exit_code=pod.code,
        )
    if pod.listening is not None and pod.listening <= at:
        last: dict[str, Any] = {"last_exit_code": 137, "last_reason": "Error"} if restarts else {}
        return ContainerState(
            name=name,
            ready=is_ready(pod, at),
            restarts=restarts,
            state="running",
            started_at=wall(pod.listening),
            **last,
        )
    return ContainerState(
        name=name, ready=False, restarts=0, state="waiting", reason=pod.waiting or "ContainerCreating"
    )


def _observation(pod: StoryPod, at: float, change: Change, number: int) -> PodSeen:
    ended = pod.exited is not None and pod.exited <= at
    deleting = pod.deleted is not None and pod.deleted <= at
    grace = pod.grace if deleting else None
    return PodSeen(
        seen_ns=ns(at + WATCH_LAG) if at else ns(0),
        change=change,
        uid=pod.uid,
        namespace="default",
        name=pod.name,
        resource_version=str(2000 + number),
        owner_uid=f"uid-rs-{pod.template_hash}",
        owner_name=f"web-{pod.template_hash}",
        template_hash=pod.template_hash,
        node=pod.node,
        ip=pod.ip if pod.listening is not None and pod.listening <= at else "",
        phase=("Succeeded" if pod.code == 0 else "Failed") if ended else ("Running" if pod.listening else "Pending"),
        created_at=wall(pod.created),
        deletion_at=wall((pod.deleted or 0) + (grace or 0)) if deleting else "",
        deletion_grace_s=grace,
        ready=is_ready(pod, at),
        ready_at=wall(pod.ready) if pod.ready is not None and pod.ready <= at else "",
        scheduled=True,
        unready_reason="" if is_ready(pod, at) else "ContainersNotReady",
        disruption=pod.disruption if deleting else "",
        containers=(_state(pod, at),),
        labels={"app": "web"},
        spec=pod.spec if number == 0 else None,
    )


def observations(pod: StoryPod) -> list[PodSeen]:
    """Every change of the pod, as a watch would have shown it."""
    first = 0.0 if pod.listed else pod.created
    changes = [t for t in (pod.listening, pod.ready, pod.deleted, pod.exited, *pod.restarts) if t is not None]
    if pod.waiting:
        changes.append(pod.created + 0.5)
    last = pod.gone
    facts = [_observation(pod, first, Change.LISTED if pod.listed else Change.ADDED, 0)]
    for at in sorted({t for t in changes if t > first and (last is None or t < last)}):
        if pod.vanishes and pod.deleted is not None and at >= pod.deleted:
            continue
        facts.append(_observation(pod, at, Change.MODIFIED, len(facts)))
    if last is not None and not pod.vanishes:
        facts.append(_observation(pod, last, Change.DELETED, len(facts)))
    elif last is not None:
        facts.append(replace(facts[-1], seen_ns=ns(last), change=Change.VANISHED))
    return facts


def pod_events(pod: StoryPod) -> list[KubeEvent]:
    def event(at: float, reason: str, message: str, kind: str = "Normal") -> KubeEvent:
        return KubeEvent(
            seen_ns=ns(at + WATCH_LAG),
            change=Change.ADDED,
            reason=reason,
            message=message,
            type=kind,
            kind="Pod",
            uid=pod.uid,
            name=pod.name,
            field="spec.containers{web}",
            first_at=wall(at),
            last_at=wall(at),
            count=1,
            source="kubelet",
        )

    events = []
    if pod.killing is not None:
        events.append(event(pod.killing, "Killing", "Stopping container web"))
    if pod.prestop_failed is not None:
        events.append(event(pod.prestop_failed, "FailedPreStopHook", "PreStopHook failed", "Warning"))
    if pod.waiting:
        events.append(event(pod.created + 0.5, "BackOff", f"Back-off: {pod.waiting}", "Warning"))
    return events


def slices(pods: Collection[StoryPod]) -> list[SliceSeen]:
    """The one EndpointSlice of the Service, at every change of it."""
    instants = {0.0}
    for pod in pods:
        instants |= {t for t in (pod.endpoint_in, pod.endpoint_out, pod.deleted, pod.gone) if t is not None}
    facts: list[SliceSeen] = []
    for at in sorted(max(0.0, t) for t in instants):
        endpoints = tuple(
            Endpoint(
                ip=pod.ip,
                pod_uid=pod.uid,
                pod_name=pod.name,
                node=pod.node,
                ready=in_endpoints(pod, at),
                serving=is_ready(pod, at),
                terminating=pod.deleted is not None and pod.deleted <= at,
            )
            for pod in pods
            if pod.listening is not None and pod.listening <= at and (pod.gone is None or at < pod.gone)
        )
        if facts and facts[-1].endpoints == endpoints:
            continue
        seen = at + WATCH_LAG if at else 0.0
        facts.append(
            SliceSeen(
                seen_ns=ns(seen),
                change=Change.LISTED if not facts else Change.MODIFIED,
                uid="uid-slice",
                namespace="default",
                name="web-abcde",
                service="web",
                resource_version=str(5000 + round(at * 1000)),
                trigger_at="",
                ports=(8080,),
                endpoints=endpoints,
            )
        )
    return facts
