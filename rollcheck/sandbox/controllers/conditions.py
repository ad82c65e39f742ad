"""Conditions of workloads: set, kept and removed as Kubernetes' controllers do. Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Iterable

from rollcheck.sandbox.controllers.objects import without_condition
from rollcheck.sandbox.trees import Json


def find(conditions: Iterable[Json] | None, kind: str) -> Json | None:
    """The condition of that type; None where there is none."""
    for condition in conditions or ():
        if condition.get("type") == kind:
            return condition
    return None


def new_condition(kind: str, status: str, reason: str, message: str, stamp: str, *, updated: bool = False) -> Json:
    """A condition that begins now; with `lastUpdateTime` where the kind of object has one."""
    condition = {"type": kind, "status": status}
    if updated:
        condition["lastUpdateTime"] = stamp
    condition["lastTransitionTime"] = stamp
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def put(conditions: Iterable[Json] | None, condition: Json) -> list[Json]:
    """The conditions with this one in it: as it was where status and reason are the same, last otherwise.

    The transition time stays where the status does.
    """
    before = list(conditions or ())
    current = find(before, condition["type"])
    if current is not None and current.get("status") == condition["status"]:
        if current.get("reason") == condition.get("reason"):
            return before
        condition = {**condition, "lastTransitionTime": current.get("lastTransitionTime")}
    return [*without_condition(before, condition["type"]), condition]
