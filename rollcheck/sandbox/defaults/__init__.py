"""What the API server fills in: one function a kind, each changing a fresh object in place.

What belongs here: defaults, and the admission plugins that only fill in (tolerations, priority, a Namespace's label).
Not here: refusing anything (`validation`), addresses and ports that must be free (`allocation`), what changes with
each write (`strategies`). Objects come with the right types: who reads them from outside checks those first.
"""

from __future__ import annotations

from collections.abc import Callable

from rollcheck.sandbox.defaults import network, others, pods, workloads
from rollcheck.sandbox.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    HPAS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    PVCS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)
from rollcheck.sandbox.trees import Json

_FILL: dict[Resource, Callable[[Json], None]] = {
    PODS: pods.fill_pod,
    SERVICES: network.fill_service,
    ENDPOINT_SLICES: network.fill_endpoint_slice,
    DEPLOYMENTS: workloads.fill_deployment,
    REPLICA_SETS: workloads.fill_replica_set,
    STATEFUL_SETS: workloads.fill_stateful_set,
    DAEMON_SETS: workloads.fill_daemon_set,
    JOBS: workloads.fill_job,
    HPAS: others.fill_autoscaler,
    SECRETS: others.fill_secret,
    NAMESPACES: others.fill_namespace,
    NODES: others.fill_node,
    EVENTS: others.fill_event,
    PVCS: others.fill_claim,
}


def fill(resource: Resource, obj: Json) -> None:
    """Set every default of `obj`, in place."""
    _drop_nulls(obj)
    fill = _FILL.get(resource)
    if fill is not None:
        fill(obj)


def admit(resource: Resource, obj: Json) -> None:
    """Fill in what the admission plugins add to a new object."""
    if resource is PODS:
        pods.admit(obj)


def _drop_nulls(obj: Json) -> None:
    """Take away nulls, and the empty labels, annotations and finalizers that Go would not write again."""
    metadata = obj["metadata"]
    for part in ("labels", "annotations", "finalizers", "ownerReferences"):
        if part in metadata and not metadata[part]:
            del metadata[part]
    spec = obj.get("spec")
    if isinstance(spec, dict):
        _drop_nulls_below(spec)


def _drop_nulls_below(tree: object) -> None:
    if isinstance(tree, dict):
        if None in tree.values():
            for key in [key for key, value in tree.items() if value is None]:
                del tree[key]
        for value in tree.values():
            if isinstance(value, dict | list):
                _drop_nulls_below(value)
    elif isinstance(tree, list):
        for value in tree:
            _drop_nulls_below(value)
