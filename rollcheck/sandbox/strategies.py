"""What differs from kind to kind when an object is written: status, generation, what a client cannot set.

Source: kubernetes `pkg/registry/*/*/strategy.go`, one entry of the tables below for each.
"""

from __future__ import annotations

from collections.abc import Callable

from rollcheck.sandbox import allocation
from rollcheck.sandbox.defaults import pods, workloads
from rollcheck.sandbox.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    HPAS,
    INGRESS_CLASSES,
    INGRESSES,
    JOBS,
    NAMESPACES,
    NODES,
    PDBS,
    PODS,
    PVCS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)
from rollcheck.sandbox.trees import Json

FIRST_STATUS: dict[Resource, Json] = {
    PODS: {"phase": "Pending"},
    SERVICES: {"loadBalancer": {}},
    NAMESPACES: {"phase": "Active"},
    DEPLOYMENTS: {},
    REPLICA_SETS: {"replicas": 0},
    STATEFUL_SETS: {"replicas": 0, "availableReplicas": 0},
    DAEMON_SETS: {
        "currentNumberScheduled": 0,
        "numberMisscheduled": 0,
        "desiredNumberScheduled": 0,
        "numberReady": 0,
    },
    JOBS: {},
    PDBS: {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
    INGRESSES: {"loadBalancer": {}},
    HPAS: {"desiredReplicas": 0, "currentMetrics": None},
    PVCS: {"phase": "Pending"},
}
"""The status of a new object, whatever the client sent. Nodes are missing: a kubelet registers itself with a status."""

WITH_STATUS = frozenset((*FIRST_STATUS, NODES))
"""Kinds whose status is written through its own subresource."""

KEPT_BY_SERVER = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "selfLink",
    "namespace",
    "name",
)
"""Parts of metadata that no update changes."""

_BY_SPEC = frozenset((PODS, REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS, JOBS, PDBS, INGRESSES, INGRESS_CLASSES))
GENERATED = _BY_SPEC | {DEPLOYMENTS, ENDPOINT_SLICES}
"""Kinds that count their generations at all."""


def _spec(old: Json, new: Json) -> bool:
    return bool(old.get("spec") != new.get("spec"))


def _spec_or_annotations(old: Json, new: Json) -> bool:
    return _spec(old, new) or (old["metadata"].get("annotations") or {}) != (new["metadata"].get("annotations") or {})


def _anything_but_annotations(old: Json, new: Json) -> bool:
    labels = (old["metadata"].get("labels") or {}) != (new["metadata"].get("labels") or {})
    return labels or {**old, "metadata": None} != {**new, "metadata": None}


_CHANGED: dict[Resource, Callable[[Json, Json], bool]] = {
    **dict.fromkeys(_BY_SPEC, _spec),
    DEPLOYMENTS: _spec_or_annotations,
    ENDPOINT_SLICES: _anything_but_annotations,
}


def next_generation(resource: Resource, old: Json, new: Json) -> int | None:
    """The generation of `new`: one more when what the user wants has changed; None for kinds that do not count."""
    changed = _CHANGED.get(resource)
    if changed is None:
        return None
    generation = int(old["metadata"].get("generation", 0))
    return generation + 1 if changed(old, new) else generation


def prepare_create(resource: Resource, obj: Json) -> None:
    """Set what the server alone decides in a new object: its first status and generation, a Namespace's finalizer."""
    first = FIRST_STATUS.get(resource)
    if first is not None:
        obj["status"] = dict(first)
    if resource is PODS:
        obj["status"]["qosClass"] = pods.quality(obj["spec"])
    elif resource is SERVICES:
        allocation.normalize(obj["spec"], None)
    if resource in GENERATED:
        obj["metadata"]["generation"] = 1
    else:
        obj["metadata"].pop("generation", None)
    if resource is JOBS:
        workloads.select_own_pods(obj)
    elif resource is DAEMON_SETS:
        workloads.count_template(obj, None)
    if resource is NAMESPACES:
        finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
        if "kubernetes" not in finalizers:
            finalizers.append("kubernetes")


def merge_status(resource: Resource, old: Json, new: Json) -> Json:
    """What a write of the status subresource makes of `old`: its status, and of its metadata what may come along."""
    metadata = dict(new["metadata"])
    for part in ("labels", "ownerReferences"):
        if part == "labels" and resource in (PODS, NODES, SERVICES, PVCS, NAMESPACES):
            continue
        metadata.pop(part, None)
        if part in old["metadata"]:
            metadata[part] = old["metadata"][part]
    merged = {**old, "metadata": metadata}
    if "status" in new:
        merged["status"] = new["status"]
    else:
        merged.pop("status", None)
    if resource is PODS and "qosClass" in old.get("status", {}):
        merged["status"] = {**merged.get("status", {}), "qosClass": old["status"]["qosClass"]}
    return merged


def merge_spec(resource: Resource, old: Json, new: Json) -> Json:
    """What a write of the object itself makes of `old`: everything but its status."""
    if resource not in WITH_STATUS:
        return new
    merged = dict(new)
    merged.pop("status", None)
    if "status" in old:
        merged["status"] = old["status"]
    if resource is NAMESPACES:
        merged["spec"] = old.get("spec", {})
    return merged


def prepare_update(resource: Resource, old: Json, new: Json) -> None:
    """Set what a write of the object itself cannot change, in place: a Service's address, a DaemonSet's count."""
    if resource is SERVICES:
        allocation.carry_over(new["spec"], old["spec"])
        allocation.normalize(new["spec"], old["spec"])
    elif resource is DAEMON_SETS:
        new["metadata"]["annotations"] = dict(new["metadata"].get("annotations") or {})
        workloads.count_template(new, old)
