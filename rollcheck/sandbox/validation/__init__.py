"""What the API server refuses, and its words for it: 422 with a cause for each field.

What belongs here: rules for one object, or one object and its old self, as pure functions from JSON to causes. Not
here: defaults (they are filled in before), types and unknown fields (told apart where bytes are read), other objects
(a Namespace that is missing, a name that is taken, a port in use: the registry and `allocation`).

The rules are those that people run into with pods, what makes them and what leads to them; fields that the sandbox
does not act on (affinity terms, security contexts) are taken as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rollcheck.sandbox.resources import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    HPAS,
    INGRESS_CLASSES,
    INGRESSES,
    JOBS,
    PDBS,
    PODS,
    PVCS,
    REPLICA_SETS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)
from rollcheck.sandbox.status import Cause
from rollcheck.sandbox.trees import Json
from rollcheck.sandbox.validation import network, others, pods, workloads
from rollcheck.sandbox.validation.metadata import check_metadata

_NEW: dict[Resource, Callable[[Json], Iterable[Cause]]] = {
    PODS: pods.check_pod,
    DEPLOYMENTS: workloads.check_deployment,
    REPLICA_SETS: workloads.check_replica_set,
    STATEFUL_SETS: workloads.check_stateful_set,
    DAEMON_SETS: workloads.check_daemon_set,
    JOBS: workloads.check_job,
    SERVICES: network.check_service,
    INGRESSES: network.check_ingress,
    INGRESS_CLASSES: network.check_ingress_class,
    ENDPOINT_SLICES: network.check_endpoint_slice,
    PDBS: others.check_budget,
    HPAS: others.check_autoscaler,
    CONFIG_MAPS: others.check_config_map,
    SECRETS: others.check_secret,
    PVCS: others.check_claim,
}

_CHANGED: dict[Resource, Callable[[Json, Json], Iterable[Cause]]] = {
    PODS: pods.check_pod_update,
    DEPLOYMENTS: workloads.check_deployment_update,
    REPLICA_SETS: workloads.check_replica_set_update,
    STATEFUL_SETS: workloads.check_stateful_set_update,
    DAEMON_SETS: workloads.check_daemon_set_update,
    JOBS: workloads.check_job_update,
    SERVICES: network.check_service_update,
    ENDPOINT_SLICES: network.check_endpoint_slice_update,
    CONFIG_MAPS: others.check_config_map_update,
    SECRETS: others.check_secret_update,
    PVCS: others.check_claim_update,
}


def check_new(resource: Resource, obj: Json) -> list[Cause]:
    """What is wrong with an object that is to be; nothing when it is right."""
    found = list(check_metadata(resource, obj["metadata"]))
    check = _NEW.get(resource)
    return found if check is None else found + list(check(obj))


def check_status(resource: Resource, obj: Json) -> list[Cause]:
    """What is wrong with a status that is to be written."""
    return list(others.check_budget_status(obj)) if resource is PDBS else []


def check_changed(resource: Resource, obj: Json, old: Json) -> list[Cause]:
    """What is wrong with what `old` is to become."""
    found = list(check_metadata(resource, obj["metadata"])) if obj["metadata"] != old["metadata"] else []
    check = _CHANGED.get(resource)
    if check is not None:
        return found + list(check(obj, old))
    check_alone = _NEW.get(resource)
    return found if check_alone is None else found + list(check_alone(obj))
