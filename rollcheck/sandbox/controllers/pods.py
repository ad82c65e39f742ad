"""What a controller sees in a pod: ready, available, active, terminating; and a pod made from a template.

The rules are Kubernetes 1.34's (`pkg/api/v1/pod`, `pkg/controller/controller_utils.go`). All pure: the time is an
argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from rollcheck.sandbox.controllers.objects import generate_prefix, has_condition, is_deleting, parse_time, status_of
from rollcheck.sandbox.trees import Json, clone, name_of

TERMINAL = ("Succeeded", "Failed")
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def phase_of(pod: Json) -> str:
    """`status.phase`; empty for a pod that nobody has stored yet."""
    return str(status_of(pod).get("phase") or "")


def node_of(pod: Json) -> str:
    """The node it is bound to; empty while it is not."""
    return str(pod["spec"].get("nodeName") or "")


def is_ready(pod: Json) -> bool:
    """Whether the Ready condition is True."""
    for condition in status_of(pod).get("conditions") or ():
        if condition.get("type") == "Ready":
            return bool(condition.get("status") == "True")
    return False


def ready_since(pod: Json) -> datetime | None:
    """When the Ready condition last became True; None for a pod that is not ready."""
    condition = has_condition(status_of(pod), "Ready")
    if condition is None or condition.get("status") != "True":
        return None
    return parse_time(condition.get("lastTransitionTime"))


def is_available(pod: Json, min_ready_s: int, now: datetime) -> bool:
    """Ready, and for `min_ready_s` seconds at least."""
    if not is_ready(pod):
        return False
    since = ready_since(pod)
    return min_ready_s == 0 or (since is not None and since + timedelta(seconds=min_ready_s) <= now)


def available_in(pods: Iterable[Json], min_ready_s: int, now: datetime) -> float | None:
    """Seconds until the next of these ready pods becomes available; None where none is waiting for that."""
    if min_ready_s <= 0:
        return None
    waits = [
        (since + timedelta(seconds=min_ready_s) - now).total_seconds()
        for since in (ready_since(pod) for pod in pods)
        if since is not None
    ]
    return min((wait for wait in waits if wait > 0), default=None)


def is_terminal(pod: Json) -> bool:
    """Whether all its containers have ended for good."""
    return phase_of(pod) in TERMINAL


def is_active(pod: Json) -> bool:
    """Whether it counts as a replica: neither ended nor being deleted."""
    return not is_terminal(pod) and not is_deleting(pod)


def is_terminating(pod: Json) -> bool:
    """Being deleted, and not ended yet."""
    return not is_terminal(pod) and is_deleting(pod)


def vital_signs(pod: Json) -> tuple[object, ...]:
    """What of a pod decides how it counts for its owner; the rest of what a kubelet writes moves nobody."""
    meta, status = pod["metadata"], status_of(pod)
    return (
        meta.get("deletionTimestamp"),
        meta.get("labels"),
        meta.get("ownerReferences"),
        meta.get("finalizers"),
        status.get("phase"),
        has_condition(status, "Ready"),
        node_of(pod),
    )


def deletion_cost(pod: Json) -> int:
    """The annotation that moves a pod in the order of victims; 0 where it is missing or no number."""
    try:
        return int((pod["metadata"].get("annotations") or {}).get(DELETION_COST, 0))
    except ValueError:
        return 0


def restarts(pod: Json) -> tuple[int, int]:
    """The most restarts of a container, and of a sidecar."""
    status = status_of(pod)
    sidecars = {c["name"] for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"}
    beside = [c for c in status.get("initContainerStatuses") or () if c["name"] in sidecars]
    return _most_restarts(status.get("containerStatuses") or ()), _most_restarts(beside)


def from_template(template: Json, owner: Json, owner_ref: Json, *, prefix: str = "") -> Json:
    """A pod as a controller asks for it: the template's labels, annotations and spec under a generated name."""
    source = template.get("metadata") or {}
    meta: dict[str, Any] = {
        "generateName": prefix or generate_prefix(name_of(owner)),
        "ownerReferences": [owner_ref],
    }
    for field in ("labels", "annotations", "finalizers"):
        if source.get(field):
            meta[field] = clone(source[field])
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": clone(template.get("spec") or {})}


def _most_restarts(statuses: Iterable[Json]) -> int:
    return max((int(status.get("restartCount") or 0) for status in statuses), default=0)
