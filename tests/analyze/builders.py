"""Runs told as stories: a `Story` says what pods and clients did, in seconds from the start, and becomes a document.

    document = (
        Story(qps=100)
        .pods(2)
        .restart(at=10)
        .new_pod("new-1", created=10.1, ready=12)
        .delete("old-1", at=12.1, exit_after=0.1, code=143)
        .lose(Lane.FRESH, 12.2, 12.5)
        .end(at=40)
        .document()
    )

Load runs evenly paced from `load_from` to the end in every lane; arrivals are answered in turn by the pods that serve
at that instant, and become intervals and tallies as a recorder would write them. `lose` and `fail` take arrivals out of
that stream. Facts come in the order in which a run would have recorded them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any, Self

from rollcheck.facts.actions import Action, CommandOutput, Note, StageMark
from rollcheck.facts.attempts import Attempt, Interval, Lane, Outcome, Phase
from rollcheck.facts.clock import SECOND, ClockAnchor
from rollcheck.facts.cluster import (
    Change,
    Condition,
    KubeEvent,
    PodSpec,
    ReplicaSetSeen,
    ServiceSeen,
    WatchGap,
    WorkloadSeen,
)
from rollcheck.facts.connections import ClosedBy, Connection
from rollcheck.facts.document import Document, Fact, Header, LanePlan, Seal
from tests.analyze.story_load import Loss, StoryLoad, blob
from tests.analyze.story_pods import (
    HTTP_READY,
    ORIGIN,
    WALL,
    WATCH_LAG,
    StoryPod,
    ns,
    observations,
    pod_events,
    pod_spec,
    sleep,
    slices,
    wall,
)

__all__ = ["HTTP_READY", "ORIGIN", "WALL", "WATCH_LAG", "Story", "StoryPod", "blob", "ns", "pod_spec", "sleep", "wall"]


class Story(StoryLoad):
    """See the module. Every method returns the story itself, so that calls chain.

    Args:
        qps: arrivals a second over all lanes.
        lanes: lane → share of the arrivals.
        spec: the template of the pods; `new_spec` of the new ones where it differs.
        named: whether responses name the pod that answered.
        baseline_from, load_from: when those begin.
        strategy, max_surge, max_unavailable, replicas: of the Deployment.
        header: further fields of the header.
    """

    def __init__(
        self,
        *,
        qps: float = 100.0,
        lanes: dict[Lane, float] | None = None,
        spec: PodSpec | None = None,
        new_spec: PodSpec | None = None,
        named: bool = True,
        load_from: float = 1.0,
        baseline_from: float = 1.0,
        latency: float = 0.004,
        strategy: str = "RollingUpdate",
        max_surge: str = "25%",
        max_unavailable: str = "25%",
        header: dict[str, Any] | None = None,
    ) -> None:
        self.qps = qps
        self.lanes = lanes or {Lane.REUSED: 0.5, Lane.FRESH: 0.5}
        self.spec = spec or pod_spec()
        self.new_spec = new_spec or self.spec
        self.named = named
        self.load_from = load_from
        self.baseline_from = baseline_from
        self.latency = latency
        self.deployment = {"strategy": strategy, "max_surge": max_surge, "max_unavailable": max_unavailable}
        self.header_fields = header or {}
        self.story_pods: dict[str, StoryPod] = {}
        self.losses: list[Loss] = []
        self.timed: list[tuple[int, Fact]] = []
        self.health_fields: dict[int, dict[str, Any]] = {}
        self.slow: list[tuple[float, float, float]] = []
        self.triggered: float | None = None
        self.tail_from: float | None = None
        self.ends = 40.0
        self.load_until: float | None = None
        self.trigger = "restart"
        self.publish_not_ready = False
        self.condition: Condition | None = None

    # pods

    def pods(self, count: int, *, nodes: tuple[str, ...] = ("node-1", "node-2")) -> Self:
        """`count` ready pods old-1, old-2, … that were there long before the run."""
        for number in range(1, count + 1):
            self._add(
                StoryPod(
                    name=f"old-{number}",
                    template_hash="aaaa",
                    spec=self.spec,
                    ip=f"10.0.0.{number}",
                    created=-600.0,
                    listed=True,
                    node=nodes[(number - 1) % len(nodes)],
                    listening=-598.0,
                    ready=-597.0,
                    endpoint_in=-597.0,
                )
            )
        return self

    def new_pod(
        self,
        name: str,
        *,
        created: float,
        listening: float | None = None,
        ready: float | None = None,
        never_ready: str = "",
        **changes: Any,
    ) -> Self:
        """A pod of the new template. `listening` is when its container starts, a second after creation by default.

        It is in the endpoints 20 ms after it is ready. `never_ready` is the waiting reason of one that never starts.
        """
        started = None if never_ready else (created + 1.0 if listening is None else listening)
        ready_at = None if never_ready else (max(started or 0.0, ready or 0.0) if ready else started)
        pod = StoryPod(
            name=name,
            template_hash="bbbb",
            spec=self.new_spec,
            ip=f"10.0.1.{len(self.story_pods) + 1}",
            created=created,
            listed=False,
            node="node-1",
            listening=started,
            ready=ready_at,
            endpoint_in=None if ready_at is None else ready_at + 0.02,
            waiting=never_ready,
        )
        return self._add(replace(pod, **changes))

    def change(self, name: str, **changes: Any) -> Self:
        """Set fields of a pod of the story outright."""
        self.story_pods[name] = replace(self.story_pods[name], **changes)
        return self

    def delete(
        self,
        name: str,
        *,
        at: float,
        exit_after: float | None = 1.0,
        code: int = 0,
        reason: str = "",
        endpoint_after: float | None = 0.03,
        serves_for: float | None = None,
        killing_after: float | None = 0.1,
        gone_after: float | None = 0.5,
        grace: int | None = None,
        prestop_failed_after: float | None = None,
    ) -> Self:
        """The API call that deletes it comes `at`; the rest is counted from there (`gone_after` from the exit).

        Args:
            name: of the pod.
            at: second of the delete request.
            exit_after: when its container ended, None for never within the run.
            code: its exit code; `reason` follows from it (Completed or Error) unless given.
            reason: of the termination.
            endpoint_after: when it left the endpoints, None for never.
            serves_for: how long clients still get answers from it, else until it leaves the endpoints.
            killing_after: when the Killing event came, None for a lost one.
            gone_after: when the object went after the exit, None for never.
            grace: the grace of this deletion, else the spec's.
            prestop_failed_after: when FailedPreStopHook came.
        """
        exited = None if exit_after is None else at + exit_after
        return self.change(
            name,
            deleted=at,
            grace=self.story_pods[name].spec.grace_s if grace is None else grace,
            killing=None if killing_after is None else at + killing_after,
            prestop_failed=None if prestop_failed_after is None else at + prestop_failed_after,
            exited=exited,
            code=code,
            reason=reason or ("Error" if code else "Completed"),
            endpoint_out=None if endpoint_after is None else at + endpoint_after,
            serves_until=None if serves_for is None else at + serves_for,
            gone=None if exited is None or gone_after is None else exited + gone_after,
        )

    def graceful_rollout(self, at: float = 11.0, *, pods: int = 3, drain: float = 6.0, step: float = 3.0) -> Self:
        """`pods` old pods, replaced one after the other by pods that drain for `drain` seconds and exit with 0."""
        if not self.story_pods:
            self.pods(pods)
        self.restart(at=at)
        for number in range(1, pods + 1):
            born = at + 0.1 + (number - 1) * step
            self.new_pod(f"new-{number}", created=born, ready=born + 2.0)
            self.delete(f"old-{number}", at=born + 2.1, exit_after=drain, serves_for=0.4)
        return self

    # what rollcheck did

    def restart(self, *, at: float, status: int | None = 200, message: str = "") -> Self:
        """The restart of the Deployment, which begins the replacement."""
        self.triggered = at
        action = Action(
            kind="restart",
            description="restart deployment/web",
            started_ns=ns(at),
            ended_ns=ns(at + 0.02),
            status=status,
            message=message,
        )
        return self._at(at + 0.02, action)

    def command(self, text: str, *, at: float, until: float, status: int | None = 0, output: str = "") -> Self:
        """The user's own deploy command, which begins the replacement."""
        self.triggered, self.trigger = at, text
        if output:
            self._at(at, CommandOutput(at_ns=ns(at), stream="stderr", text=output))
        action = Action(kind="command", description=text, started_ns=ns(at), ended_ns=ns(until), status=status)
        return self._at(until, action)

    def note(self, text: str, *, at: float, topic: str = "rollout", fatal: bool = False) -> Self:
        """A Note of the run."""
        return self._at(at, Note(at_ns=ns(at), topic=topic, text=text, fatal=fatal))

    def tail(self, *, at: float) -> Self:
        """When every old pod was gone and the tail began; ten seconds before the end by default."""
        self.tail_from = at
        return self

    def end(self, *, at: float, load_until: float | None = None) -> Self:
        """When the run ended, and its load (the same instant by default)."""
        self.ends, self.load_until = at, load_until
        return self

    # traffic

    def lose(
        self,
        lane: Lane,
        start: float,
        end: float,
        phase: Phase = Phase.CONNECT,
        outcome: Outcome = Outcome.REFUSED,
        *,
        every: int = 1,
        took: float = 0.001,
        **fields: Any,
    ) -> Self:
        """Every `every`-th arrival of a lane in [start, end) fails; `fields` are of the Attempt."""
        self.losses.append(Loss(lane, start, end, every, {"phase": phase, "outcome": outcome, **fields}, took))
        return self

    def fail(
        self,
        lane: Lane,
        at: float,
        phase: Phase = Phase.CONNECT,
        outcome: Outcome = Outcome.REFUSED,
        *,
        took: float = 0.001,
        **fields: Any,
    ) -> Self:
        """One attempt fails: the arrival nearest to `at` is taken out of the stream and put there."""
        self.losses.append(Loss(lane, at, None, 1, {"phase": phase, "outcome": outcome, **fields}, took))
        return self

    def slowly(self, start: float, end: float, latency: float) -> Self:
        """Answers to arrivals in [start, end) take `latency` seconds."""
        self.slow.append((start, end, latency))
        return self

    def connection(self, id: int, *, opened: float, closed: float, by: ClosedBy, **fields: Any) -> Self:  # noqa: A002
        """A connection that closed."""
        values: dict[str, Any] = {"lane": Lane.REUSED, "local": "", "peer": "", "requests": 10, **fields}
        fact = Connection(id=id, opened_ns=ns(opened), closed_ns=ns(closed), closed_by=by, **values)
        return self._at(closed, fact)

    def health(self, second: int, **fields: Any) -> Self:
        """Fields of the generator's health in that second of the story which are not as good as can be."""
        self.health_fields.setdefault(second, {}).update(fields)
        return self

    # cluster

    def event(self, reason: str, *, at: float, uid: str = "", name: str = "", message: str = "", **fields: Any) -> Self:
        """A Kubernetes Event."""
        values: dict[str, Any] = {
            "change": Change.ADDED,
            "type": "Normal",
            "kind": "Pod",
            "field": "",
            "count": 1,
            "source": "kubelet",
            "first_at": wall(at),
            "last_at": wall(at),
            **fields,
        }
        seen = at + WATCH_LAG
        return self._at(seen, KubeEvent(seen_ns=ns(seen), reason=reason, message=message, uid=uid, name=name, **values))

    def gap(self, start: float, end: float, *, resource: str = "pods", relisted: bool = True) -> Self:
        """A gap in a watch."""
        gap = WatchGap(
            resource=resource, start_ns=ns(start), end_ns=ns(end), reason="the stream ended", relisted=relisted
        )
        return self._at(end, gap)

    def workload(self, *, at: float, **fields: Any) -> Self:
        """The Deployment's state at that second, beside the one of second 0."""
        return self._at(at, self._workload(at, Change.MODIFIED, **fields))

    def add(self, fact: Fact, *, at: float) -> Self:
        """Any fact, recorded at that second."""
        return self._at(at, fact)

    # the document

    def document(self, *, seal: bool = True, interrupted: str = "", miscount: int = 0) -> Document:
        """The document of the run; `miscount` makes the seal claim that many arrivals too many on the fresh lane."""
        timed = [*self.timed, *self._marks(), *self._cluster(), *self._load()]
        facts = tuple(fact for _, fact in sorted(timed, key=lambda pair: pair[0]))
        scheduled: dict[str, int] = defaultdict(int)
        for fact in facts:
            if isinstance(fact, Interval) and fact.lane is not Lane.PROBE:
                scheduled[fact.lane] += fact.ok + fact.failed + fact.not_sent
        if miscount:
            scheduled[Lane.FRESH] += miscount
        probes = sum(1 for f in facts if isinstance(f, Attempt) and f.lane is Lane.PROBE)
        sealed = Seal(
            ended_ns=ns(self.ends),
            lines=len(facts) + 1,
            interrupted=interrupted,
            scheduled=dict(scheduled),
            probes=probes,
        )
        return Document(header=self._header(), facts=facts, seal=sealed if seal else None)

    def _header(self) -> Header:
        values: dict[str, Any] = {
            "run_id": "web-20260115-120000",
            "anchor": ClockAnchor(monotonic_ns=ORIGIN, wall_ns=WALL * SECOND),
            "versions": {"rollcheck": "0.1.0", "kubernetes": "v1.34.2"},
            "workload": "deployment/web",
            "namespace": "default",
            "context": "test",
            "url": "http://10.0.9.1:30080/",
            "route": "nodeport",
            "service": "web",
            "method": "GET",
            "qps": self.qps,
            "timeout_s": 5.0,
            "lanes": tuple(LanePlan(lane=lane, share=share, connections=8) for lane, share in self.lanes.items()),
            "expect": "status 200",
            "trigger": self.trigger,
            "options": {},
            "pod_header": "X-Pod" if self.named else "",
            **self.header_fields,
        }
        return Header(**values)

    def _add(self, pod: StoryPod) -> Self:
        self.story_pods[pod.name] = pod
        return self

    def _at(self, at: float, fact: Fact) -> Self:
        self.timed.append((ns(at), fact))
        return self

    def _marks(self) -> list[tuple[int, Fact]]:
        return [(ns(at), StageMark(at_ns=ns(at), stage=stage)) for at, stage in self._stages()]

    def _cluster(self) -> list[tuple[int, Fact]]:
        facts: list[Fact] = [self._service(), self._workload(0.0, Change.LISTED), *self._replica_sets()]
        for pod in self.story_pods.values():
            facts += observations(pod)
            facts += pod_events(pod)
        facts += slices(self.story_pods.values())
        kept = [f for f in facts if f.seen_ns <= ns(self.ends)]  # type: ignore[union-attr]
        return [(f.seen_ns, f) for f in kept]  # type: ignore[union-attr]

    def _service(self) -> ServiceSeen:
        return ServiceSeen(
            seen_ns=ns(0),
            uid="uid-service",
            namespace="default",
            name="web",
            type="NodePort",
            cluster_ip="10.0.8.1",
            ports=(80,),
            session_affinity="None",
            external_traffic_policy="Cluster",
            publish_not_ready=self.publish_not_ready,
            selector={"app": "web"},
        )

    def _workload(self, at: float, change: Change, **fields: Any) -> WorkloadSeen:
        old = sum(1 for pod in self.story_pods.values() if pod.listed)
        values: dict[str, Any] = {
            "seen_ns": ns(at),
            "change": change,
            "uid": "uid-deployment",
            "namespace": "default",
            "kind": "Deployment",
            "name": "web",
            "resource_version": str(1000 + round(at * 1000)),
            "generation": 1,
            "observed_generation": 1,
            "replicas": old,
            "status_replicas": old,
            "updated": old,
            "ready": old,
            "available": old,
            "min_ready_s": 0,
            "progress_deadline_s": 600,
            "paused": False,
            "revision": "1",
            "selector": {"app": "web"},
            "template": self.spec,
            "conditions": (),
            **self.deployment,
            **fields,
        }
        return WorkloadSeen(**values)

    def _replica_sets(self) -> list[ReplicaSetSeen]:
        seen: dict[str, ReplicaSetSeen] = {}
        for pod in self.story_pods.values():
            at = 0.0 if pod.listed else pod.created
            fact = ReplicaSetSeen(
                seen_ns=ns(at),
                change=Change.LISTED if pod.listed else Change.ADDED,
                uid=f"uid-rs-{pod.template_hash}",
                namespace="default",
                name=f"web-{pod.template_hash}",
                resource_version="1",
                owner_uid="uid-deployment",
                template_hash=pod.template_hash,
                revision="1" if pod.listed else "2",
                replicas=1,
                ready=1,
            )
            seen.setdefault(pod.template_hash, fact)
        return list(seen.values())
