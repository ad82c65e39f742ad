"""Which pods a DaemonSet should have where, and how its update goes about it. Pure.

Kubernetes' rules (`pkg/controller/daemon`): without surge old pods that serve nobody go at once and others as
maxUnavailable allows; with surge new pods come as maxSurge allows and the old one of a node goes once its new one is
available. Both amounts are rounded up; both nothing becomes one unavailable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rollcheck.sandbox.controllers.fenceposts import scaled
from rollcheck.sandbox.controllers.fitting import fits_affinity, untolerated
from rollcheck.sandbox.controllers.hashes import REVISION_HASH
from rollcheck.sandbox.controllers.objects import created_at, is_deleting, labels_of
from rollcheck.sandbox.controllers.pods import is_available, is_ready, node_of
from rollcheck.sandbox.trees import Json, clone, name_of

GENERATION = "pod-template-generation"
ALWAYS_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)


@dataclass(slots=True)
class Todo:
    """Nodes that need a pod, and pods that are to go."""

    create: list[str] = field(default_factory=list)
    delete: list[Json] = field(default_factory=list)


def template_for(owner: Json, node: str, digest: str) -> Json:
    """The pod template for one node: the DaemonSet's, tolerating the node's troubles and bound to it by affinity."""
    template: Json = clone(owner["spec"]["template"])
    labels = template.setdefault("metadata", {}).setdefault("labels", {})
    labels[REVISION_HASH] = digest
    notes = owner["metadata"].get("annotations") or {}
    if notes.get("deprecated.daemonset.template.generation"):
        labels[GENERATION] = notes["deprecated.daemonset.template.generation"]
    spec = template["spec"]
    present = {(t.get("key"), t.get("effect")) for t in spec.get("tolerations") or ()}
    added = [
        {"key": key, "operator": "Exists", "effect": effect}
        for key, effect in ALWAYS_TOLERATED
        if (key, effect) not in present
    ]
    spec["tolerations"] = [*(spec.get("tolerations") or ()), *added]
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    required = {"nodeSelectorTerms": [term]}
    node_affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = required
    return template


def target_of(pod: Json) -> str:
    """The node a daemon pod is on, or is meant for."""
    if node_of(pod):
        return node_of(pod)
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    for term in (affinity or {}).get("nodeSelectorTerms") or ():
        for condition in term.get("matchFields") or ():
            if condition.get("key") == "metadata.name" and len(condition.get("values") or ()) == 1:
                return str(condition["values"][0])
    return ""


def should_run(owner: Json, node: Json) -> tuple[bool, bool]:
    """(whether the node should have a pod, whether one that is there may stay)."""
    template = owner["spec"]["template"]
    pod = {"metadata": template.get("metadata") or {}, "spec": dict(template["spec"])}
    wanted = pod["spec"].get("nodeName")
    if (wanted and wanted != name_of(node)) or not fits_affinity(pod, node):
        return False, False
    tolerated = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in ALWAYS_TOLERATED]
    pod["spec"]["tolerations"] = [*(pod["spec"].get("tolerations") or ()), *tolerated]
    taints = (node.get("spec") or {}).get("taints") or ()
    if untolerated(pod, taints, ("NoSchedule", "NoExecute")) is None:
        return True, True
    return False, untolerated(pod, taints, ("NoExecute",)) is None


def limits(owner: Json, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods."""
    strategy = owner["spec"].get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    if strategy.get("type") == "OnDelete":
        return 0, 0
    surge = scaled(rolling.get("maxSurge"), desired, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", 1), desired, up=True)
    return surge, 1 if desired > 0 and surge == 0 and unavailable == 0 else unavailable


def allows_surge(owner: Json) -> bool:
    """Whether two pods may be on a node while it is updated."""
    return limits(owner, 1)[0] > 0


def in_order(pods: list[Json]) -> list[Json]:
    """Pods of one node: bound ones first, then the older."""
    return sorted(pods, key=lambda pod: (not node_of(pod), created_at(pod), name_of(pod)))


def surplus(owner: Json, pods: list[Json], digest: str, now: datetime) -> list[Json]:
    """Of the running pods of one node, those that must go because there is one too many."""
    if not allows_surge(owner):
        return in_order(pods)[1:]
    if len(pods) <= 1:
        return []
    new = [pod for pod in in_order(pods) if labels_of(pod).get(REVISION_HASH) == digest]
    old = [pod for pod in in_order(pods) if labels_of(pod).get(REVISION_HASH) != digest]
    gone = [*new[1:], *old[1:]]
    wait = int(owner["spec"].get("minReadySeconds") or 0)
    if new and old and (not is_ready(old[0]) or is_available(new[0], wait, now)):
        gone.append(old[0])
    return gone


def plan_update(owner: Json, by_node: Mapping[str, list[Json]], fit: set[str], digest: str, now: datetime) -> Todo:
    """The next step of a rolling update.

    Args:
        owner: the DaemonSet.
        by_node: node name → its daemon pods, with every node that should have one.
        fit: the nodes that should have one.
        digest: the hash of the present template.
        now: the time.
    """
    surge, unavailable = limits(owner, len(fit))
    if surge == 0:
        return _without_surge(owner, by_node, unavailable, digest, now)
    return _with_surge(owner, by_node, fit, surge, digest, now)


def _pair(pods: list[Json], digest: str) -> tuple[Json | None, Json | None, bool]:
    """(the new pod, the old pod, whether there is at most one of each), terminating ones left aside."""
    living = [pod for pod in pods if not is_deleting(pod)]
    new = [pod for pod in living if labels_of(pod).get(REVISION_HASH) == digest]
    old = [pod for pod in living if labels_of(pod).get(REVISION_HASH) != digest]
    return (new[0] if new else None), (old[0] if old else None), len(new) <= 1 and len(old) <= 1


def _without_surge(
    owner: Json, by_node: Mapping[str, list[Json]], unavailable: int, digest: str, now: datetime
) -> Todo:
    wait = int(owner["spec"].get("minReadySeconds") or 0)
    missing, useless, candidates = 0, [], []
    for name in sorted(by_node):
        new, old, clear = _pair(by_node[name], digest)
        if not clear or (old is None) == (new is None):
            missing += 1
        elif new is not None:
            missing += not is_available(new, wait, now)
        elif old is not None and not is_available(old, wait, now):
            useless.append(old)
            missing += 1
        elif old is not None:
            candidates.append(old)
    return Todo([], [*useless, *candidates[: max(0, unavailable - missing)]])


def _with_surge(
    owner: Json, by_node: Mapping[str, list[Json]], fit: set[str], surge: int, digest: str, now: datetime
) -> Todo:
    wait = int(owner["spec"].get("minReadySeconds") or 0)
    todo, surging, available = Todo(), 0, 0
    candidates: list[str] = []
    misplaced: list[Json] = []
    for name in sorted(by_node):
        new, old, clear = _pair(by_node[name], digest)
        if not clear:
            surging += 1
            continue
        serving = old or new
        available += serving is not None and is_available(serving, wait, now)
        if old is None:
            continue
        if new is not None:
            if is_available(new, wait, now):
                todo.delete.append(old)
            else:
                surging += 1
        elif name not in fit:
            (misplaced if is_available(old, wait, now) else todo.delete).append(old)
        else:
            (candidates if is_available(old, wait, now) else todo.create).append(name)
    todo.delete.extend(misplaced[: max(0, available - len(fit))])
    todo.create.extend(candidates[: max(0, surge - surging)])
    return todo


def calculate(owner: Json, by_node: Mapping[str, list[Json]], nodes: list[Json], digest: str, now: datetime) -> Json:
    """The counts of a DaemonSet's status; those that the API leaves out where they are nothing are left out."""
    wait = int(owner["spec"].get("minReadySeconds") or 0)
    desired = current = misscheduled = ready = available = updated = 0
    for node in nodes:
        pods = in_order(by_node.get(name_of(node)) or [])
        if not should_run(owner, node)[0]:
            misscheduled += bool(pods)
            continue
        desired += 1
        if pods:
            current += 1
            ready += is_ready(pods[0])
            available += is_available(pods[0], wait, now)
            updated += labels_of(pods[0]).get(REVISION_HASH) == digest
    optional = {
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
    return {
        "currentNumberScheduled": current,
        "numberMisscheduled": misscheduled,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        **{key: value for key, value in optional.items() if value},
    }
