"""The scale subresource: an autoscaling/v1 Scale in place of a whole workload."""

from __future__ import annotations

from rollcheck.sandbox import status
from rollcheck.sandbox.resources import DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS, Resource
from rollcheck.sandbox.selectors import text_of
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.trees import Json, at
from rollcheck.sandbox.validation.causes import not_negative

SCALABLE = (DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS)
SCALE = Resource("autoscaling", "v1", "scales", "Scale", "scale")


def scale_of(workload: Json) -> Json:
    """What GET …/scale shows of a workload."""
    metadata = workload["metadata"]
    parts = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas, now = at(workload, "spec", "replicas"), at(workload, "status", "replicas") or 0
    shown: Json = {"replicas": now}
    selector = text_of(at(workload, "spec", "selector"))
    if selector:
        shown["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {part: metadata[part] for part in parts if part in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": shown,
    }


def wanted(resource: Resource, name: str, scale: Json) -> int:
    """The replicas that a Scale asks for; raises ApiFailure 400 and 422."""
    found = at(scale, "metadata", "name")
    if found != name:
        raise status.bad_request(f"the name of the object ({found}) does not match the name on the URL ({name})")
    replicas = at(scale, "spec", "replicas") or 0
    causes = list(not_negative("spec.replicas", replicas))
    if causes:
        raise status.invalid(SCALE, name, causes)
    return int(replicas)


def check_scalable(resource: Resource) -> None:
    """Raise ApiFailure 404 for a kind that has no scale."""
    if resource not in SCALABLE:
        raise ApiFailure(404, "NotFound", "the server could not find the requested resource")
