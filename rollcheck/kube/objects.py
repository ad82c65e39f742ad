"""Raw JSON of the API → facts, with the API's own defaults filled in. Pure, and tolerant of anything that is missing.

The only place where an object's JSON is read field by field; behind it there are facts only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypedDict

from rollcheck.facts.clock import Instant
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
    WorkloadSeen,
)

Json = dict[str, Any]

MESSAGE_LENGTH = 300
REVISION = "deployment.kubernetes.io/revision"
SERVICE_NAME = "kubernetes.io/service-name"
TEMPLATE_HASH = "pod-template-hash"
CONTROLLER_HASH = "controller-revision-hash"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"

_SLEEP = re.compile(r"(?:exec\s+)?(?:/usr)?(?:/bin/)?sleep\s+(\d+(?:\.\d+)?)(s?)\s*;?", re.ASCII)
_SHELLS = {"sh", "bash", "ash", "dash"}


class Sight(TypedDict):
    """What every object that is watched has in common, with when and how it was seen."""

    seen_ns: Instant
    change: Change
    uid: str
    namespace: str
    name: str
    resource_version: str


def _sight(meta: Json, seen_ns: Instant, change: Change) -> Sight:
    return Sight(
        seen_ns=seen_ns,
        change=change,
        uid=_text(meta, "uid"),
        namespace=_text(meta, "namespace"),
        name=_text(meta, "name"),
        resource_version=_text(meta, "resourceVersion"),
    )


def pod(raw: Json, seen_ns: Instant, change: Change, *, with_spec: bool) -> PodSeen:
    """A Pod; its spec only when asked for, as it does not change."""
    meta, spec, status = _map(raw, "metadata"), _map(raw, "spec"), _map(raw, "status")
    conditions = {_text(c, "type"): c for c in _maps(status, "conditions")}
    ready, scheduled = conditions.get("Ready", {}), conditions.get("PodScheduled", {})
    disruption = conditions.get("DisruptionTarget", {})
    owner = _owner(meta)
    grace = meta.get("deletionGracePeriodSeconds")
    return PodSeen(
        **_sight(meta, seen_ns, change),
        owner_uid=_text(owner, "uid"),
        owner_name=_text(owner, "name"),
        template_hash=_text(_map(meta, "labels"), TEMPLATE_HASH) or _text(_map(meta, "labels"), CONTROLLER_HASH),
        node=_text(spec, "nodeName"),
        ip=_text(status, "podIP"),
        phase=_text(status, "phase") or "Unknown",
        created_at=_text(meta, "creationTimestamp"),
        deletion_at=_text(meta, "deletionTimestamp"),
        deletion_grace_s=grace if isinstance(grace, int) else None,
        ready=_text(ready, "status") == "True",
        ready_at=_text(ready, "lastTransitionTime"),
        scheduled=_text(scheduled, "status") == "True",
        unready_reason=next(
            (_text(c, "reason") for c in (scheduled, ready) if c and _text(c, "status") != "True"),
            "",
        ),
        disruption=_text(disruption, "reason") if _text(disruption, "status") == "True" else "",
        containers=tuple(_container_state(c) for c in _maps(status, "containerStatuses")),
        init_containers=tuple(_container_state(c) for c in _maps(status, "initContainerStatuses")),
        labels=_strings(_map(meta, "labels")),
        spec=pod_spec(spec) if with_spec else None,
    )


def pod_spec(spec: Json) -> PodSpec:
    """What a pod's spec, or a template's, says of its start and end."""
    grace = spec.get("terminationGracePeriodSeconds")
    return PodSpec(
        grace_s=grace if isinstance(grace, int) else 30,
        containers=(
            *(_container_spec(c, sidecar=False) for c in _maps(spec, "containers")),
            *(
                _container_spec(c, sidecar=True)
                for c in _maps(spec, "initContainers")
                if _text(c, "restartPolicy") == "Always"
            ),
        ),
        readiness_gates=tuple(_text(g, "conditionType") for g in _maps(spec, "readinessGates")),
        host_network=spec.get("hostNetwork") is True,
    )


def workload(raw: Json, seen_ns: Instant, change: Change, kind: str = "Deployment") -> WorkloadSeen:
    """A Deployment, a StatefulSet or a DaemonSet; items of a list do not say which, so `kind` does."""
    meta, spec, status = _map(raw, "metadata"), _map(raw, "spec"), _map(raw, "status")
    template = _map(spec, "template")
    course = _course(kind, spec, status)
    return WorkloadSeen(
        **_sight(meta, seen_ns, change),
        kind=kind,
        generation=_int(meta, "generation"),
        observed_generation=_int(status, "observedGeneration"),
        **course,
        min_ready_s=_int(spec, "minReadySeconds"),
        progress_deadline_s=_int(spec, "progressDeadlineSeconds", 600),
        paused=spec.get("paused") is True,
        revision=_text(_map(meta, "annotations"), REVISION),
        selector=_strings(_map(_map(spec, "selector"), "matchLabels")),
        template=pod_spec(_map(template, "spec")),
        conditions=tuple(
            Condition(
                type=_text(c, "type"),
                status=_text(c, "status"),
                reason=_text(c, "reason"),
                message=_text(c, "message")[:MESSAGE_LENGTH],
            )
            for c in _maps(status, "conditions")
        ),
        template_labels=_strings(_map(_map(template, "metadata"), "labels")),
        pod_selector=selector_text(_map(spec, "selector")),
    )


class Course(TypedDict):
    """How many pods a workload is to have and has, and how it replaces them."""

    replicas: int
    status_replicas: int
    updated: int
    ready: int
    available: int
    strategy: str
    max_surge: str
    max_unavailable: str
    partition: int
    settled: bool


def _course(kind: str, spec: Json, status: Json) -> Course:
    if kind == "DaemonSet":
        return _daemon_course(spec, status)
    stateful = kind == "StatefulSet"
    strategy = _map(spec, "updateStrategy" if stateful else "strategy")
    rolling = _map(strategy, "rollingUpdate")
    surge, unavailable = ("0", "1") if stateful else ("25%", "25%")
    sort = _text(strategy, "type") or "RollingUpdate"
    moves = sort == "RollingUpdate"
    return Course(
        replicas=_int(spec, "replicas", 1),
        status_replicas=_int(status, "replicas"),
        updated=_int(status, "updatedReplicas"),
        ready=_int(status, "readyReplicas"),
        available=_int(status, "availableReplicas"),
        strategy=sort,
        max_surge=str(rolling.get("maxSurge", surge)) if moves else "",
        max_unavailable=str(rolling.get("maxUnavailable", unavailable)) if moves else "",
        partition=_int(rolling, "partition") if stateful else 0,
        settled=not stateful or _text(status, "currentRevision") == _text(status, "updateRevision"),
    )


def _daemon_course(spec: Json, status: Json) -> Course:
    strategy = _map(spec, "updateStrategy")
    rolling = _map(strategy, "rollingUpdate")
    sort = _text(strategy, "type") or "RollingUpdate"
    moves = sort == "RollingUpdate"
    return Course(
        replicas=_int(status, "desiredNumberScheduled"),
        status_replicas=_int(status, "currentNumberScheduled"),
        updated=_int(status, "updatedNumberScheduled"),
        ready=_int(status, "numberReady"),
        available=_int(status, "numberAvailable"),
        strategy=sort,
        max_surge=str(rolling.get("maxSurge", "0")) if moves else "",
        max_unavailable=str(rolling.get("maxUnavailable", "1")) if moves else "",
        partition=0,
        settled=True,
    )


def replica_set(raw: Json, seen_ns: Instant, change: Change) -> ReplicaSetSeen:
    """A ReplicaSet."""
    meta, status = _map(raw, "metadata"), _map(raw, "status")
    return ReplicaSetSeen(
        **_sight(meta, seen_ns, change),
        owner_uid=_text(_owner(meta), "uid"),
        template_hash=_text(_map(meta, "labels"), TEMPLATE_HASH),
        revision=_text(_map(meta, "annotations"), REVISION),
        replicas=_int(_map(raw, "spec"), "replicas", 1),
        ready=_int(status, "readyReplicas"),
    )


def scale_target(raw: Json) -> tuple[str, str, str]:
    """Of a HorizontalPodAutoscaler: kind and name of what it scales, and its own uid."""
    target = _map(_map(raw, "spec"), "scaleTargetRef")
    return _text(target, "kind"), _text(target, "name"), _text(_map(raw, "metadata"), "uid")


def endpoint_slice(raw: Json, seen_ns: Instant, change: Change) -> SliceSeen:
    """An EndpointSlice, one `Endpoint` for each address in it."""
    meta = _map(raw, "metadata")
    return SliceSeen(
        **_sight(meta, seen_ns, change),
        service=_text(_map(meta, "labels"), SERVICE_NAME),
        trigger_at=_text(_map(meta, "annotations"), TRIGGER_TIME),
        ports=tuple(p["port"] for p in _maps(raw, "ports") if isinstance(p.get("port"), int)),
        endpoints=tuple(
            Endpoint(
                ip=str(address),
                pod_uid=_text(_map(e, "targetRef"), "uid"),
                pod_name=_text(_map(e, "targetRef"), "name"),
                node=_text(e, "nodeName"),
                ready=_map(e, "conditions").get("ready") is not False,
                serving=_map(e, "conditions").get("serving") is not False,
                terminating=_map(e, "conditions").get("terminating") is True,
            )
            for e in _maps(raw, "endpoints")
            for address in _list(e, "addresses")
        ),
    )


def kube_event(raw: Json, seen_ns: Instant, change: Change) -> KubeEvent:
    """A core/v1 Event; of its times the most exact ones it has."""
    concerned, series = _map(raw, "involvedObject"), _map(raw, "series")
    exact = _text(raw, "eventTime")
    return KubeEvent(
        seen_ns=seen_ns,
        change=change,
        reason=_text(raw, "reason"),
        message=_text(raw, "message")[:MESSAGE_LENGTH],
        type=_text(raw, "type"),
        kind=_text(concerned, "kind"),
        uid=_text(concerned, "uid"),
        name=_text(concerned, "name"),
        field=_text(concerned, "fieldPath"),
        first_at=exact or _text(raw, "firstTimestamp") or _text(_map(raw, "metadata"), "creationTimestamp"),
        last_at=_text(series, "lastObservedTime") or exact or _text(raw, "lastTimestamp"),
        count=_int(series, "count") or _int(raw, "count", 1),
        source=_text(raw, "reportingComponent") or _text(_map(raw, "source"), "component"),
    )


def service(raw: Json, seen_ns: Instant) -> ServiceSeen:
    """A Service."""
    meta, spec = _map(raw, "metadata"), _map(raw, "spec")
    return ServiceSeen(
        seen_ns=seen_ns,
        uid=_text(meta, "uid"),
        namespace=_text(meta, "namespace"),
        name=_text(meta, "name"),
        type=_text(spec, "type") or "ClusterIP",
        cluster_ip=_text(spec, "clusterIP"),
        ports=tuple(p["port"] for p in _maps(spec, "ports") if isinstance(p.get("port"), int)),
        session_affinity=_text(spec, "sessionAffinity") or "None",
        external_traffic_policy=_text(spec, "externalTrafficPolicy") or "Cluster",
        publish_not_ready=spec.get("publishNotReadyAddresses") is True,
        selector=_strings(_map(spec, "selector")),
    )


def uid_and_version(raw: Json) -> tuple[str, str]:
    """What identifies an object for good, and its state."""
    meta = _map(raw, "metadata")
    return _text(meta, "uid") or _text(meta, "name"), _text(meta, "resourceVersion")


def labels_of(raw: Json) -> dict[str, str]:
    """Of any object."""
    return _strings(_map(_map(raw, "metadata"), "labels"))


def controller_of(raw: Json) -> tuple[str, str, str]:
    """Kind, name and uid of the controlling owner; empty where there is none."""
    owner = _owner(_map(raw, "metadata"))
    return _text(owner, "kind"), _text(owner, "name"), _text(owner, "uid")


def selector_text(selector: Json) -> str:
    """A label selector as the query parameter `labelSelector` takes it, empty for one that selects everything."""
    terms = [f"{k}={v}" for k, v in _strings(_map(selector, "matchLabels")).items()]
    for e in _maps(selector, "matchExpressions"):
        key, values = _text(e, "key"), ",".join(map(str, _list(e, "values")))
        operator = _text(e, "operator")
        terms.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": key,
                "DoesNotExist": f"!{key}",
            }.get(operator, key)
        )
    return ",".join(terms)


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether a Service's selector picks pods with these labels; an empty one picks none."""
    return bool(selector) and selector.items() <= labels.items()


def prestop(hook: Json) -> PreStop | None:
    """A preStop hook; None when there is none.

    `sleep_s` is set only for a hook that is one sleep and nothing else: of `sleep 5 && nginx -s quit` the second half
    takes an unknown time, and half an answer would be taken for SIGTERM's instant.
    """
    if (asleep := hook.get("sleep")) is not None:
        seconds = _int(asleep, "seconds") if isinstance(asleep, dict) else 0
        return PreStop(kind="sleep", detail=str(seconds), sleep_s=float(seconds))
    if isinstance(hook.get("exec"), dict):
        command = [str(word) for word in _list(hook["exec"], "command")]
        return PreStop(kind="exec", detail=" ".join(command)[:MESSAGE_LENGTH], sleep_s=_sleep_of(command))
    if isinstance(hook.get("httpGet"), dict):
        get = hook["httpGet"]
        return PreStop(kind="http", detail=f":{get.get('port', '')}{get.get('path') or '/'}")
    if isinstance(hook.get("tcpSocket"), dict):
        return PreStop(kind="tcp", detail=str(hook["tcpSocket"].get("port", "")))
    return None


def _sleep_of(command: list[str]) -> float | None:
    """Seconds of an exec command that is one sleep, also behind `sh -c`; None for anything else."""
    is_shell = len(command) == 3 and command[0].rsplit("/", 1)[-1] in _SHELLS
    if is_shell and command[1].startswith("-") and command[1].endswith("c"):
        text = command[2].strip()
    elif len(command) == 2:
        text = " ".join(command)
    else:
        return None
    found = _SLEEP.fullmatch(text)
    return float(found[1]) if found else None


def _probe(raw: Any) -> Probe | None:
    if not isinstance(raw, dict):
        return None
    if isinstance(raw.get("httpGet"), dict):
        get = raw["httpGet"]
        kind, detail = "http", f":{get.get('port', '')}{get.get('path') or '/'}"
    elif isinstance(raw.get("tcpSocket"), dict):
        kind, detail = "tcp", str(raw["tcpSocket"].get("port", ""))
    elif isinstance(raw.get("exec"), dict):
        kind, detail = "exec", " ".join(map(str, _list(raw["exec"], "command")))
    elif isinstance(raw.get("grpc"), dict):
        kind, detail = "grpc", str(raw["grpc"].get("port", ""))
    else:
        return None
    return Probe(
        kind=kind,
        detail=detail[:MESSAGE_LENGTH],
        initial_delay_s=_int(raw, "initialDelaySeconds"),
        period_s=_int(raw, "periodSeconds") or 10,
        timeout_s=_int(raw, "timeoutSeconds") or 1,
        success_threshold=_int(raw, "successThreshold") or 1,
        failure_threshold=_int(raw, "failureThreshold") or 3,
    )


def _container_spec(raw: Json, *, sidecar: bool) -> ContainerSpec:
    lifecycle = _map(raw, "lifecycle")
    return ContainerSpec(
        name=_text(raw, "name"),
        image=_text(raw, "image"),
        command=tuple(map(str, (*_list(raw, "command"), *_list(raw, "args")))),
        ports=tuple(p["containerPort"] for p in _maps(raw, "ports") if isinstance(p.get("containerPort"), int)),
        readiness=_probe(raw.get("readinessProbe")),
        liveness=_probe(raw.get("livenessProbe")),
        startup=_probe(raw.get("startupProbe")),
        prestop=prestop(_map(lifecycle, "preStop")),
        stop_signal=_text(lifecycle, "stopSignal"),
        sidecar=sidecar,
    )


def _container_state(raw: Json) -> ContainerState:
    states, last = _map(raw, "state"), _map(_map(raw, "lastState"), "terminated")
    state = next((s for s in ("terminated", "running", "waiting") if s in states), "waiting")
    now = _map(states, state)
    return ContainerState(
        name=_text(raw, "name"),
        ready=raw.get("ready") is True,
        restarts=_int(raw, "restartCount"),
        state=state,
        reason=_text(now, "reason"),
        message=_text(now, "message")[:MESSAGE_LENGTH],
        started_at=_text(now, "startedAt"),
        finished_at=_text(now, "finishedAt"),
        exit_code=_int(now, "exitCode") if state == "terminated" else None,
        signal=_int(now, "signal") if state == "terminated" and now.get("signal") else None,
        last_exit_code=_int(last, "exitCode") if last else None,
        last_reason=_text(last, "reason"),
        last_finished_at=_text(last, "finishedAt"),
    )


def _owner(meta: Json) -> Json:
    """The controlling owner reference."""
    return next((o for o in _maps(meta, "ownerReferences") if o.get("controller") is True), {})


def _map(raw: Json, key: str) -> Json:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _list(raw: Json, key: str) -> list[Any]:
    value = raw.get(key)
    return value if isinstance(value, list) else []


def _maps(raw: Json, key: str) -> Iterable[Json]:
    return [v for v in _list(raw, key) if isinstance(v, dict)]


def _text(raw: Json, key: str) -> str:
    value = raw.get(key)
    return value if isinstance(value, str) else ""


def _int(raw: Json, key: str, default: int = 0) -> int:
    value = raw.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _strings(raw: Json) -> dict[str, str]:
    return {k: v for k, v in raw.items() if isinstance(v, str)}
