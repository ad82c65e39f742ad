"""Whether the workloads of a sandbox are up, and in Kubernetes' own words why one is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import trio

from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import DAEMON_SETS, DEPLOYMENTS, EVENTS, PODS, STATEFUL_SETS, Resource
from rollcheck.sandbox.status import ApiFailure

Json = dict[str, Any]
LOOK_S = 0.02
STUCK_S = 3.0
"""How long all that is missing must look hopeless before nobody waits for it any more."""
UNMOUNTED = "FailedMount"
"""Everything is created before anybody waits: a ConfigMap that is not there by then will not come."""
HARMLESS = ("ContainerCreating", "PodInitializing")


class Workload(NamedTuple):
    """A workload by its name."""

    resource: Resource
    namespace: str
    name: str

    @property
    def title(self) -> str:
        """As kubectl says it: `deployment/web`."""
        return f"{self.resource.singular}/{self.name}"


def workloads_of(objects: Iterable[Json], namespace: str) -> list[Workload]:
    """Those objects that own pods for good."""
    kinds = {r.kind: r for r in (DEPLOYMENTS, STATEFUL_SETS, DAEMON_SETS)}
    return [
        Workload(kinds[o["kind"]], o.get("metadata", {}).get("namespace") or namespace, o["metadata"]["name"])
        for o in objects
        if o["kind"] in kinds
    ]


async def wait_available(
    registry: Registry, workloads: Sequence[Workload], settled: Callable[[], bool], seconds: float
) -> tuple[str, ...]:
    """Wait until every pod of them is available and every node knows it.

    Args:
        settled: whether every node knows every endpoint.

    Returns:
        A sentence for each workload that did not come up in time, or never will.
    """
    hopeless_since = None
    deadline = trio.current_time() + seconds
    while missing := [w for w in workloads if not is_available(w, registry)]:
        hopeless = all(is_stuck(registry, w) for w in missing)
        hopeless_since = (hopeless_since or trio.current_time()) if hopeless else None
        patient = hopeless_since is None or trio.current_time() - hopeless_since < STUCK_S
        if trio.current_time() > deadline or not patient:
            return tuple(why_missing(registry, w) for w in missing)
        await trio.sleep(LOOK_S)
    while not settled() and trio.current_time() < deadline:  # noqa: ASYNC110  # the lag is a clock, nobody tells
        await trio.sleep(LOOK_S)
    return ()


def is_available(workload: Workload, registry: Registry) -> bool:
    """Whether as many of its pods are available as it wants, all of its present template."""
    found = registry.peek(workload.resource, workload.namespace, workload.name)
    if found is None:
        return True  # deleted meanwhile: nobody waits for it
    spec, status = found.get("spec") or {}, found.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(found["metadata"].get("generation") or 0):
        return False
    if workload.resource is DAEMON_SETS:
        wanted, updated = int(status.get("desiredNumberScheduled") or 0), status.get("updatedNumberScheduled")
        return int(status.get("numberAvailable") or 0) >= wanted and int(updated or 0) >= wanted
    wanted = int(spec.get("replicas", 1))
    updated = int(status.get("updatedReplicas") or 0)
    return int(status.get("availableReplicas") or 0) >= wanted and updated >= wanted


def is_stuck(registry: Registry, workload: Workload) -> bool:
    """Whether none of its pods that are missing looks as if it would come up."""
    missing = [pod for pod in _pods(registry, workload) if not _ready(pod)]
    return bool(_failure_of(workload, registry)) or bool(missing and all(trouble(registry, p) for p in missing))


def why_missing(registry: Registry, workload: Workload) -> str:
    """One sentence: how many are there, and what the cluster says of one that is not."""
    found = registry.peek(workload.resource, workload.namespace, workload.name) or {}
    status = found.get("status") or {}
    wanted = status.get("desiredNumberScheduled", (found.get("spec") or {}).get("replicas", 1))
    there = status.get("numberAvailable", status.get("availableReplicas", 0)) or 0
    why = _failure_of(workload, registry)
    if not why:
        missing = [pod for pod in _pods(registry, workload) if not _ready(pod)]
        troubled = [(pod, words) for pod in missing if (words := trouble(registry, pod))]
        troubled = troubled or [(pod, _said(event)) for pod in missing if (event := _warned(registry, pod))]
        if troubled:
            pod, words = troubled[0]
            more = f" (and {len(troubled) - 1} more)" if len(troubled) > 1 else ""
            why = f"pod {pod['metadata']['name']}{more}: {words}"
    return f"{workload.title}: {there} of {wanted} pods are available; {why or 'the others are still starting'}"


def trouble(registry: Registry, pod: Json) -> str:
    """Reason and message of what keeps a pod from running, empty while nothing seems to."""
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return _said(condition)
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in HARMLESS:
            return _said(waiting) + _ended(container)
    event = _warned(registry, pod)
    return _said(event) if event.get("reason") == UNMOUNTED else ""


def _warned(registry: Registry, pod: Json) -> Json:
    """The newest warning about it, the only place where some of what a kubelet waits for is said; empty for none."""
    try:
        events = registry.list(EVENTS, pod["metadata"].get("namespace"))
    except ApiFailure:
        return {}
    about = (e for e in events if e.get("involvedObject", {}).get("uid") == pod["metadata"].get("uid"))
    warnings = (e for e in about if e.get("type") == "Warning")
    return max(warnings, key=lambda e: int(e["metadata"]["resourceVersion"]), default={})


def _ended(container: Json) -> str:
    """How it ended the last time; empty when it never did."""
    last = (container.get("lastState") or {}).get("terminated") or {}
    if not last:
        return ""
    why = f": {last['message']}" if last.get("message") else ""
    return f" (it ended with {last.get('exitCode')}, {last.get('reason') or 'without a reason'}{why})"


def _failure_of(workload: Workload, registry: Registry) -> str:
    """What a controller says when it cannot even create pods."""
    found = registry.peek(workload.resource, workload.namespace, workload.name) or {}
    for condition in (found.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return _said(condition)
    return ""


def _said(where: Json) -> str:
    reason, message = str(where.get("reason") or ""), str(where.get("message") or "")
    return f"{reason}: {message}" if message and reason else reason or message


def _pods(registry: Registry, workload: Workload) -> list[Json]:
    found = registry.peek(workload.resource, workload.namespace, workload.name) or {}
    labels = ((found.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    try:
        return registry.list(PODS, workload.namespace, labels=selector) if selector else []
    except ApiFailure:
        return []


def _ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
