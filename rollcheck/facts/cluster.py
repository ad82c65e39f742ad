"""What the API server showed us, one fact for each change seen.

`seen_ns` is our clock when the watch delivered it: an upper bound, milliseconds late. Times in `*_at` are the API
server's own text: whole seconds, its clock (`ClockAnchor.bracket`). Only what analysis needs is kept of an object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rollcheck.facts.clock import Instant


class Change(StrEnum):
    """How an observation came to us."""

    LISTED = "listed"
    """It was there when we first looked."""
    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    VANISHED = "vanished"
    """A relist after a gap no longer had it: deleted at some instant inside the gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe of a container.

    Attributes:
        kind: "http", "tcp", "exec" or "grpc".
        detail: path, port or command, as text.
        initial_delay_s, period_s, timeout_s, success_threshold, failure_threshold: as in the spec, defaults filled in.
    """

    kind: str
    detail: str = ""
    initial_delay_s: int = 0
    period_s: int = 10
    timeout_s: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PreStop:
    """A preStop hook.

    Attributes:
        kind: "sleep", "exec", "http" or "tcp".
        detail: the command, joined by spaces, or the path.
        sleep_s: seconds it takes when that can be told: `sleep.seconds`, or an exec that is `sleep N` (also behind
            `sh -c`); None when it cannot.
    """

    kind: str
    detail: str = ""
    sleep_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """What the template says of one container.

    Attributes:
        command: command and args, joined into one list; empty when the image decides.
        sidecar: a restartable init container.
    """

    name: str
    image: str
    command: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    readiness: Probe | None = None
    liveness: Probe | None = None
    startup: Probe | None = None
    prestop: PreStop | None = None
    stop_signal: str = ""
    sidecar: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """What decides how a pod starts and ends."""

    grace_s: int
    containers: tuple[ContainerSpec, ...]
    readiness_gates: tuple[str, ...] = ()
    host_network: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """One container of a pod, as its status has it.

    Attributes:
        state: "waiting", "running" or "terminated".
        reason: of waiting (ImagePullBackOff, CrashLoopBackOff …) or terminated (Completed, Error, OOMKilled …).
        message: of the same, at most 300 characters.
        started_at, finished_at: the server's text, empty when it has none.
        exit_code, signal: of the current termination; None when not terminated.
        last_exit_code, last_reason, last_finished_at: of the previous run of this container.
    """

    name: str
    ready: bool
    restarts: int
    state: str
    reason: str = ""
    message: str = ""
    started_at: str = ""
    finished_at: str = ""
    exit_code: int | None = None
    signal: int | None = None
    last_exit_code: int | None = None
    last_reason: str = ""
    last_finished_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSeen:
    """A pod, as one change showed it.

    Attributes:
        owner_uid, owner_name: of the controlling ReplicaSet (or other controller), empty when none.
        template_hash: label pod-template-hash, else controller-revision-hash, empty when there is neither.
        phase: Pending, Running, Succeeded, Failed, Unknown.
        deletion_at: the server's deletionTimestamp (request time + grace), empty when not being deleted.
        deletion_grace_s: deletionGracePeriodSeconds, None when not being deleted.
        ready, scheduled: the conditions' status.
        ready_at: lastTransitionTime of the Ready condition.
        unready_reason: reason of a false Ready or PodScheduled condition.
        disruption: reason of a true DisruptionTarget condition, else empty.
        spec: only with the first observation of this pod.
        workload: which of several workloads it is of ("deployment/web"); empty where one alone is watched.
        beside: whether it is of none of them, but a backend of one of their Services: a canary beside the stable one.
    """

    seen_ns: Instant
    change: Change
    uid: str
    namespace: str
    name: str
    resource_version: str
    owner_uid: str
    owner_name: str
    template_hash: str
    node: str
    ip: str
    phase: str
    created_at: str
    deletion_at: str
    deletion_grace_s: int | None
    ready: bool
    ready_at: str
    scheduled: bool
    unready_reason: str
    disruption: str
    containers: tuple[ContainerState, ...]
    init_containers: tuple[ContainerState, ...] = ()
    labels: dict[str, str]
    spec: PodSpec | None = None
    workload: str = ""
    beside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One address of an EndpointSlice; the API's nil conditions read as true, true, false."""

    ip: str
    pod_uid: str
    pod_name: str
    node: str
    ready: bool
    serving: bool
    terminating: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceSeen:
    """An EndpointSlice, as one change showed it.

    Attributes:
        trigger_at: annotation endpoints.kubernetes.io/last-change-trigger-time, empty when absent.
        ports: port numbers that it serves.
    """

    seen_ns: Instant
    change: Change
    uid: str
    namespace: str
    name: str
    service: str
    resource_version: str
    trigger_at: str
    ports: tuple[int, ...]
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeEvent:
    """A Kubernetes Event about an object that concerns the run.

    Attributes:
        reason, message, type: as in the Event (Killing, "Stopping container web", Normal).
        kind, uid, name: of the involved object; `field` is its fieldPath (spec.containers{web}).
        first_at, last_at: the server's times (eventTime, or first and last timestamp).
        count: how often it happened so far.
        source: reporting component.
    """

    seen_ns: Instant
    change: Change
    reason: str
    message: str
    type: str
    kind: str
    uid: str
    name: str
    field: str
    first_at: str
    last_at: str
    count: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition of a workload."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSeen:
    """A workload, as one change showed it: a Deployment, a StatefulSet or a DaemonSet.

    Attributes:
        replicas: as the spec has them; of a DaemonSet the nodes that are to run one.
        strategy: RollingUpdate or Recreate (Deployment), OnDelete (the other two).
        partition: of a StatefulSet's rolling update: pods below this ordinal are left alone.
        settled: of a StatefulSet: whether every pod has its newest revision, as its status tells.
        max_surge, max_unavailable: as the spec has them ("25%", "1"), empty for Recreate.
        template: what its template says of pods.
        revision: annotation deployment.kubernetes.io/revision.
        selector: its matchLabels; pod_selector is the whole selector as the API's `labelSelector` takes it.
        template_labels: labels of the pods it makes; a Service selects the workload by them.
    """

    seen_ns: Instant
    change: Change
    uid: str
    namespace: str
    kind: str
    name: str
    resource_version: str
    generation: int
    observed_generation: int
    replicas: int
    status_replicas: int
    updated: int
    ready: int
    available: int
    strategy: str
    max_surge: str
    max_unavailable: str
    min_ready_s: int
    progress_deadline_s: int
    paused: bool
    revision: str
    selector: dict[str, str]
    template: PodSpec
    conditions: tuple[Condition, ...]
    template_labels: dict[str, str] = field(default_factory=dict)
    pod_selector: str = ""
    partition: int = 0
    settled: bool = True

    @property
    def ref(self) -> str:
        """What kubectl calls it: `deployment/web`."""
        return f"{self.kind.lower()}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSetSeen:
    """A ReplicaSet of the workload, as one change showed it."""

    seen_ns: Instant
    change: Change
    uid: str
    namespace: str
    name: str
    resource_version: str
    owner_uid: str
    template_hash: str
    revision: str
    replicas: int
    ready: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSeen:
    """A Service that selects the workload, read once before the run."""

    seen_ns: Instant
    uid: str
    namespace: str
    name: str
    type: str
    cluster_ip: str
    ports: tuple[int, ...]
    session_affinity: str
    external_traffic_policy: str
    publish_not_ready: bool
    selector: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchGap:
    """From `start_ns` to `end_ns` the watch of `resource` delivered nothing we can trust: what lies there was guessed.

    Attributes:
        relisted: whether a fresh list closed the gap (else the watch resumed without losing a change).
    """

    resource: str
    start_ns: Instant
    end_ns: Instant
    reason: str
    relisted: bool
