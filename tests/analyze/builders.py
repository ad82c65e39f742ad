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
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from typing import Any, Self

from hdrh.histogram import HdrHistogram

from rollcheck.facts.actions import Action, CommandOutput, Note, StageMark
from rollcheck.facts.attempts import Attempt, ConnectionUse, Interval, Lane, Outcome, Phase, PodTally, Stage
from rollcheck.facts.clock import SECOND, ClockAnchor
from rollcheck.facts.cluster import (
    Change,
    Condition,
    ContainerSpec,
    ContainerState,
    Endpoint,
    KubeEvent,
    PodSeen,
    PodSpec,
    PreStop,
    Probe,
    ReplicaSetSeen,
    ServiceSeen,
    SliceSeen,
    WatchGap,
    WorkloadSeen,
)
from rollcheck.facts.connections import ClosedBy, Connection
from rollcheck.facts.document import Document, Fact, Header, LanePlan, Seal
from rollcheck.facts.health import HealthSample

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


@cache
def blob(micros: int, count: int) -> str:
    """A histogram of `count` equal values, as a recorder writes it; empty when there is none."""
    if not count:
        return ""
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    histogram.record_value(micros, count)
    return str(histogram.encode().decode())


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


@dataclass
class Loss:
    """Arrivals that do not end OK: a whole span of a lane (every `every`-th arrival), or one at `start`."""

    lane: Lane
    start: float
    end: float | None
    every: int
    fields: dict[str, Any]
    took: float


class Story:
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

    def _stages(self) -> list[tuple[float, Stage]]:
        stages = [(0.0, Stage.PREFLIGHT), (self.baseline_from, Stage.BASELINE)]
        if self.triggered is not None:
            stages.append((self.triggered, Stage.REPLACEMENT))
            stages.append((self.tail_from if self.tail_from is not None else self.ends - 10.0, Stage.TAIL))
        return [stage for stage in stages if stage[0] < self.ends]

    def _marks(self) -> list[tuple[int, Fact]]:
        return [(ns(at), StageMark(at_ns=ns(at), stage=stage)) for at, stage in self._stages()]

    def _cluster(self) -> list[tuple[int, Fact]]:
        facts: list[Fact] = [self._service(), self._workload(0.0, Change.LISTED), *self._replica_sets()]
        for pod in self.story_pods.values():
            facts += _observations(pod)
            facts += _pod_events(pod)
        facts += self._slices()
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

    def _slices(self) -> list[SliceSeen]:
        pods = self.story_pods.values()
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
                    ready=_in_endpoints(pod, at),
                    serving=_is_ready(pod, at),
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

    # load

    def _load(self) -> list[tuple[int, Fact]]:
        until = self.load_until if self.load_until is not None else self.ends
        cuts = sorted({*_whole_seconds(self.load_from, self.ends), *self._life_changes(), *self._stage_cuts()})
        facts: list[tuple[int, Fact]] = []
        seq = 0
        per_second: dict[int, int] = defaultdict(int)
        for number, (lane, share) in enumerate(self.lanes.items()):
            rate = self.qps * share
            count = int((until - self.load_from) * rate)
            arrivals = [self.load_from + (i + number / len(self.lanes)) / rate for i in range(count)]
            for at in arrivals:
                per_second[int(at)] += 1
            good, bad = self._split(lane, arrivals)
            attempts = [self._attempt(lane, at, seq + i, loss) for i, (at, loss) in enumerate(bad)]
            seq += len(bad)
            facts += [(attempt.ended_ns, attempt) for attempt in attempts]
            facts += self._fold(lane, good, attempts, cuts)
        facts += self._health(per_second)
        return facts

    def _split(self, lane: Lane, arrivals: list[float]) -> tuple[list[float], list[tuple[float, Loss]]]:
        """The arrivals that end OK, and those that do not with why."""
        good = list(arrivals)
        bad: list[tuple[float, Loss]] = []
        for loss in (loss for loss in self.losses if loss.lane is lane):
            if loss.end is None:
                if good:
                    good.remove(min(good, key=lambda at: abs(at - loss.start)))
                bad.append((loss.start, loss))
                continue
            hit = [at for at in good if loss.start <= at < loss.end][:: loss.every]
            bad += [(at, loss) for at in hit]
            gone = set(hit)
            good = [at for at in good if at not in gone]
        return good, sorted(bad, key=lambda pair: pair[0])

    def _attempt(self, lane: Lane, at: float, seq: int, loss: Loss) -> Attempt:
        use = ConnectionUse.REUSED if lane is Lane.REUSED else ConnectionUse.NEW
        values: dict[str, Any] = {
            "seq": seq,
            "lane": lane,
            "stage": self._stage_at(at),
            "use": use,
            "intended_ns": ns(at),
            "released_ns": ns(at),
            "sent_ns": ns(at),
            "ended_ns": ns(at + loss.took),
            **loss.fields,
        }
        if loss.fields.get("pod") and "pod_from" not in loss.fields:
            values["pod_from"] = "connection"
        return Attempt(**values)

    def _fold(
        self, lane: Lane, good: list[float], attempts: list[Attempt], cuts: list[float]
    ) -> list[tuple[int, Fact]]:
        use = ConnectionUse.REUSED if lane is Lane.REUSED else ConnectionUse.NEW
        latest = max([self.ends, *((a.ended_ns - ORIGIN) / SECOND for a in attempts)]) + 0.001
        edges = [*cuts, *(c for c in _whole_seconds(self.ends, latest) if c > self.ends), latest]
        edges = sorted(set(edges))
        answered: dict[int, list[tuple[float, float, str]]] = defaultdict(list)
        for number, at in enumerate(good):
            took = next((slow for start, end, slow in self.slow if start <= at < end), self.latency)
            serving = [pod.name for pod in self.story_pods.values() if pod.serves(at)] if self.named else []
            pod = serving[number % len(serving)] if serving else ""
            answered[_slot(edges, min(at + took, self.ends - 1e-6))].append((at, took, pod))
        facts: list[tuple[int, Fact]] = []
        for slot, (start, end) in enumerate(pairwise(edges)):
            lost = [a for a in attempts if ns(start) <= a.ended_ns < ns(end)]
            done = answered[slot]
            if start >= self.ends and not lost:
                continue
            facts.append((ns(end), self._interval(lane, start, end, done, lost)))
            facts += [(ns(end), tally) for tally in _tallies(lane, use, start, end, done)]
        return facts

    def _interval(
        self, lane: Lane, start: float, end: float, done: list[tuple[float, float, str]], lost: list[Attempt]
    ) -> Interval:
        not_sent = sum(1 for a in lost if a.outcome is Outcome.DROPPED or a.sent_ns is None)
        slowest = max((took for _, took, _ in done), default=0.0)
        return Interval(
            start_ns=ns(start),
            end_ns=ns(end),
            stage=self._stage_at(start),
            lane=lane,
            ok=len(done),
            failed=len(lost) - not_sent,
            not_sent=not_sent,
            response_hdr=blob(round(slowest * 1e6), len(done)),
            service_hdr=blob(round(slowest * 1e6), len(done)),
            statuses={"200": len(done)} if done else {},
        )

    def _health(self, per_second: dict[int, int]) -> list[tuple[int, Fact]]:
        facts: list[tuple[int, Fact]] = []
        for second in range(int(self.load_from), int(self.ends)):
            asked = per_second[second]
            values: dict[str, Any] = {
                "asked": asked,
                "released": asked,
                "lag_hdr": blob(40, asked),
                "wait_hdr": blob(10, asked),
                "backlog": 0,
                "in_flight": 1,
                "connections": 9,
                "stall_ns": 2_000_000,
                "cpu_share": 0.1,
                "open_files": 40,
                "file_limit": 1024,
                **self.health_fields.get(second, {}),
            }
            facts.append((ns(second + 1), HealthSample(start_ns=ns(second), end_ns=ns(second + 1), **values)))
        return facts

    def _stage_at(self, at: float) -> Stage:
        return [stage for start, stage in self._stages() if start <= at][-1]

    def _life_changes(self) -> list[float]:
        changes = [
            t + WATCH_LAG
            for pod in self.story_pods.values()
            for t in (pod.created, pod.ready, pod.deleted, pod.exited, pod.gone)
            if t is not None
        ]
        return [t for t in changes if self.load_from < t < self.ends]

    def _stage_cuts(self) -> list[float]:
        return [at for at, _ in self._stages() if self.load_from < at < self.ends]


def _whole_seconds(start: float, end: float) -> list[float]:
    return [start, *(float(s) for s in range(int(start) + 1, int(end) + 1) if s < end), end]


def _slot(edges: list[float], at: float) -> int:
    return max(i for i, edge in enumerate(edges) if edge <= at)


def _tallies(
    lane: Lane, use: ConnectionUse, start: float, end: float, done: list[tuple[float, float, str]]
) -> list[PodTally]:
    by_pod: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for at, took, pod in done:
        if pod:
            by_pod[pod].append((at, took))
    return [
        PodTally(
            start_ns=ns(start),
            end_ns=ns(end),
            lane=lane,
            use=use,
            pod=pod,
            ok=len(hits),
            first_sent_ns=ns(min(at for at, _ in hits)),
            last_sent_ns=ns(max(at for at, _ in hits)),
            last_ended_ns=ns(max(at + took for at, took in hits)),
        )
        for pod, hits in by_pod.items()
    ]


def _is_ready(pod: StoryPod, at: float) -> bool:
    return pod.ready is not None and pod.ready <= at and (pod.exited is None or at < pod.exited)


def _in_endpoints(pod: StoryPod, at: float) -> bool:
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
            ready=_is_ready(pod, at),
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
        ready=_is_ready(pod, at),
        ready_at=wall(pod.ready) if pod.ready is not None and pod.ready <= at else "",
        scheduled=True,
        unready_reason="" if _is_ready(pod, at) else "ContainersNotReady",
        disruption=pod.disruption if deleting else "",
        containers=(_state(pod, at),),
        labels={"app": "web"},
        spec=pod.spec if number == 0 else None,
    )


def _observations(pod: StoryPod) -> list[PodSeen]:
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


def _pod_events(pod: StoryPod) -> list[KubeEvent]:
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
