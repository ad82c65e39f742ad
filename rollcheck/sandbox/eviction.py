"""Eviction: a delete that asks the PodDisruptionBudgets first (`pkg/registry/core/pod/storage/eviction.go`).

Of the three kinds of 429 two are made here: no disruption is left (no Retry-After), and the budget's status does not
know of its newest spec yet (Retry-After 10). The third, a server that is too busy, says nothing of budgets; since this
one is never that busy, a pod with the annotation `sandbox.rollcheck/evictions: throttled` gets it.
"""

from __future__ import annotations

from collections.abc import Iterable

from rollcheck.sandbox import status
from rollcheck.sandbox.resources import PDBS
from rollcheck.sandbox.selectors import of_object
from rollcheck.sandbox.status import ApiFailure, Cause
from rollcheck.sandbox.trees import Json, at, clone, name_of

DISRUPTED_AT_MOST = 2000
REFUSAL = "Cannot evict pod as it would violate the pod's disruption budget."
SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
RETRY_S = 10
THROTTLED = ("sandbox.rollcheck/evictions", "throttled")


def check_load(pod: Json) -> None:
    """Raise ApiFailure 429 for a pod that stands for an overloaded server."""
    key, value = THROTTLED
    if (pod["metadata"].get("annotations") or {}).get(key) == value:
        raise status.overloaded()


def ignores_budgets(pod: Json) -> bool:
    """Whether evicting this pod takes nothing from anybody: it does not run yet, or no longer, or is ending."""
    return at(pod, "status", "phase") in ("Succeeded", "Failed", "Pending") or "deletionTimestamp" in pod["metadata"]


def is_ready(pod: Json) -> bool:
    """Whether the pod counts as healthy."""
    conditions = at(pod, "status", "conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def budget_of(pod: Json, budgets: Iterable[Json]) -> Json | None:
    """The budget of its namespace that covers the pod; raises ApiFailure 500 when there are several."""
    labels = pod["metadata"].get("labels")
    found = [one for one in budgets if of_object(at(one, "spec", "selector")).matches(labels)]
    if len(found) > 1:
        raise ApiFailure(500, "", SEVERAL)
    return found[0] if found else None


def is_free(pod: Json, budget: Json) -> bool:
    """Whether an unready pod may go without being counted (`unhealthyPodEvictionPolicy`)."""
    if is_ready(pod):
        return False
    if at(budget, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    healthy, desired = at(budget, "status", "currentHealthy") or 0, at(budget, "status", "desiredHealthy") or 0
    return bool(healthy >= desired > 0)


def refuse(budget: Json) -> None:
    """Raise ApiFailure 429 (or 403) unless the budget allows one more disruption."""
    name, now = name_of(budget), budget.get("status") or {}
    if now.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        why = f"The disruption budget {name} is still being processed by the server."
        raise status.too_many_requests(REFUSAL, RETRY_S, (Cause("DisruptionBudget", why),))
    allowed = now.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise status.forbidden(PDBS, name, "pdb disruptions allowed is negative")
    if len(now.get("disruptedPods") or ()) > DISRUPTED_AT_MOST:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise status.forbidden(PDBS, name, why)
    if allowed == 0:
        desired, healthy = now.get("desiredHealthy", 0), now.get("currentHealthy", 0)
        why = f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        raise status.too_many_requests(REFUSAL, None, (Cause("DisruptionBudget", why),))


def spent(budget: Json, pod: str, stamp: str) -> Json:
    """The budget's status after `pod` was taken from it: one less, and the pod is known to be going."""
    new: Json = clone(budget.get("status") or {})
    new["disruptionsAllowed"] -= 1
    new["disruptedPods"] = {**(new.get("disruptedPods") or {}), pod: stamp}
    if new["disruptionsAllowed"] == 0:
        new["conditions"] = with_condition(
            new.get("conditions") or [],
            {
                "type": "DisruptionAllowed",
                "status": "False",
                "observedGeneration": new.get("observedGeneration", 0),
                "lastTransitionTime": stamp,
                "reason": "InsufficientPods",
                "message": "",
            },
        )
    return new


def with_condition(conditions: list[Json], new: Json) -> list[Json]:
    """The conditions with `new` in them; its time stays the old one's while its status does."""
    kept = []
    for one in conditions:
        if one["type"] != new["type"]:
            kept.append(one)
        elif one["status"] == new["status"]:
            new = {**new, "lastTransitionTime": one.get("lastTransitionTime", new["lastTransitionTime"])}
    place = next((index for index, one in enumerate(conditions) if one["type"] == new["type"]), len(kept))
    return [*kept[:place], new, *kept[place:]]


def targeted(pod: Json, stamp: str) -> Json:
    """The pod's status with the condition that tells an eviction from any other deletion."""
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": stamp,
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    now = pod.get("status") or {}
    return {**now, "conditions": with_condition(now.get("conditions") or [], condition)}
