"""A Deployment's status from its ReplicaSets: counts, Available, Progressing, and when it has timed out.

Kubernetes' rules (`pkg/controller/deployment/{sync,progress}.go`), reasons and messages. Pure: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollcheck.sandbox.controllers import conditions
from rollcheck.sandbox.controllers.fenceposts import ROLLING, Bounds, bounds_of
from rollcheck.sandbox.controllers.objects import created_at, generation_of, parse_time, status_of, without_condition
from rollcheck.sandbox.trees import Json, clone, name_of

PROGRESSING = "Progressing"
AVAILABLE = "Available"
REPLICA_FAILURE = "ReplicaFailure"
NO_DEADLINE = 2**31 - 1
OFTEN_S = 0.2


@dataclass(slots=True)
class Rollout:
    """A Deployment and its ReplicaSets while it is looked at.

    Attributes:
        deployment: as it was last written.
        new: the ReplicaSet of its present template; None before there is one.
        old: all others, oldest first.
    """

    deployment: Json
    new: Json | None
    old: list[Json]

    @property
    def sets(self) -> list[Json]:
        """All its ReplicaSets, the new one last."""
        return [*self.old, self.new] if self.new is not None else list(self.old)

    @property
    def desired(self) -> int:
        """spec.replicas."""
        return size_of(self.deployment)

    def replace(self, updated: Json) -> None:
        """Take in a ReplicaSet as it was written."""
        uid = updated["metadata"]["uid"]
        if self.new is not None and self.new["metadata"]["uid"] == uid:
            self.new = updated
        self.old = [updated if piece["metadata"]["uid"] == uid else piece for piece in self.old]


def size_of(workload: Json) -> int:
    """spec.replicas, 1 where it says nothing."""
    replicas = workload["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def count(sets: Iterable[Json], field: str) -> int:
    """The sum of one count over the statuses of ReplicaSets."""
    return sum(int(status_of(piece).get(field) or 0) for piece in sets)


def by_age(sets: Iterable[Json]) -> list[Json]:
    """ReplicaSets, oldest first."""
    return sorted(sets, key=lambda piece: (created_at(piece), name_of(piece)))


def strategy_of(deployment: Json) -> str:
    """RollingUpdate or Recreate."""
    return str((deployment["spec"].get("strategy") or {}).get("type") or ROLLING)


def bounds(deployment: Json) -> Bounds:
    """How far the Deployment may go while it rolls."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    return bounds_of(
        strategy_of(deployment), rolling.get("maxSurge"), rolling.get("maxUnavailable"), size_of(deployment)
    )


def deadline_of(deployment: Json) -> int | None:
    """progressDeadlineSeconds; None for a Deployment that never times out."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds == NO_DEADLINE else int(seconds)


def calculate(rollout: Rollout, stamp: str) -> Json:
    """The status but for progress: counts, and whether enough replicas are available."""
    deployment, sets = rollout.deployment, rollout.sets
    available = count(sets, "availableReplicas")
    wanted = sum(size_of(piece) for piece in sets)
    status: Json = {"observedGeneration": generation_of(deployment)}
    counts = {
        "replicas": count(sets, "replicas"),
        "updatedReplicas": count([rollout.new] if rollout.new else [], "replicas"),
        "readyReplicas": count(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted - available),
    }
    status.update({field: number for field, number in counts.items() if number})
    before = status_of(deployment)
    if before.get("collisionCount") is not None:
        status["collisionCount"] = before["collisionCount"]
    if available >= bounds(deployment).least:
        reason, text, value = "MinimumReplicasAvailable", "Deployment has minimum availability.", "True"
    else:
        reason, text, value = "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", "False"
    condition = conditions.new_condition(AVAILABLE, value, reason, text, stamp, updated=True)
    status["conditions"] = conditions.put(before.get("conditions"), condition)
    return status


def with_progress(rollout: Rollout, status: Json, now: datetime, stamp: str) -> Json:
    """The status with its Progressing condition, and with what keeps ReplicaSets from making pods."""
    deployment = rollout.deployment
    listed = status["conditions"]
    current = conditions.find(status_of(deployment).get("conditions"), PROGRESSING)
    if deadline_of(deployment) is None:
        listed = without_condition(listed, PROGRESSING)
    elif not _is_settled(status, current):
        listed = _progressed(rollout, status, listed, current, now, stamp)
    failure = _replica_failure(rollout)
    kept = conditions.put(listed, failure) if failure is not None else without_condition(listed, REPLICA_FAILURE)
    return {**status, "conditions": kept}


def is_complete(deployment: Json, status: Json) -> bool:
    """Whether every replica is of the new template and available, and no other is left."""
    desired = size_of(deployment)
    counts = ("updatedReplicas", "replicas", "availableReplicas")
    seen = int(status.get("observedGeneration") or 0) >= generation_of(deployment)
    return seen and all(int(status.get(field) or 0) == desired for field in counts)


def is_progressing(before: Json, status: Json) -> bool:
    """Whether more is new, ready or available than before, or less is old."""

    def number(source: Json, field: str) -> int:
        return int(source.get(field) or 0)

    def old(source: Json) -> int:
        return number(source, "replicas") - number(source, "updatedReplicas")

    more = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return old(status) < old(before) or any(number(status, f) > number(before, f) for f in more)


def has_timed_out(deployment: Json, status: Json, now: datetime) -> bool:
    """Whether nothing has moved for progressDeadlineSeconds."""
    condition = conditions.find(status.get("conditions"), PROGRESSING)
    seconds = deadline_of(deployment)
    if condition is None or seconds is None or condition.get("reason") == "NewReplicaSetAvailable":
        return False
    if condition.get("reason") == "ProgressDeadlineExceeded":
        return True
    since = parse_time(condition.get("lastUpdateTime"))
    return since is not None and since + timedelta(seconds=seconds) < now


def check_again_in(deployment: Json, status: Json, now: datetime) -> float | None:
    """Seconds until a Deployment that does not move is to be looked at again; None where it need not be."""
    condition = conditions.find(status_of(deployment).get("conditions"), PROGRESSING)
    seconds = deadline_of(deployment)
    if condition is None or seconds is None or is_complete(deployment, status):
        return None
    since = parse_time(condition.get("lastUpdateTime"))
    if since is None or condition.get("reason") == "ProgressDeadlineExceeded":
        return None
    left = (since + timedelta(seconds=seconds) - now).total_seconds()
    # Past a second it is looked at a second late, because stamps are whole; under it Kubernetes looks all the time.
    return left + 1 if left >= 1 else OFTEN_S


def _is_settled(status: Json, current: Json | None) -> bool:
    same = int(status.get("replicas") or 0) == int(status.get("updatedReplicas") or 0)
    return same and current is not None and current.get("reason") == "NewReplicaSetAvailable"


def _progressed(
    rollout: Rollout, status: Json, listed: list[Json], current: Json | None, now: datetime, stamp: str
) -> list[Json]:
    deployment = rollout.deployment
    what = f'ReplicaSet "{name_of(rollout.new)}"' if rollout.new else f'Deployment "{name_of(deployment)}"'

    def condition(value: str, reason: str, text: str) -> Json:
        return conditions.new_condition(PROGRESSING, value, reason, f"{what} {text}", stamp, updated=True)

    if is_complete(deployment, status):
        return conditions.put(listed, condition("True", "NewReplicaSetAvailable", "has successfully progressed."))
    if is_progressing(status_of(deployment), status):
        moved = condition("True", "ReplicaSetUpdated", "is progressing.")
        if current is not None and current.get("status") == "True":
            moved["lastTransitionTime"] = current.get("lastTransitionTime")
        return [*without_condition(listed, PROGRESSING), moved]
    if has_timed_out(deployment, status, now):
        return conditions.put(listed, condition("False", "ProgressDeadlineExceeded", "has timed out progressing."))
    return listed


def _replica_failure(rollout: Rollout) -> Json | None:
    sets = [rollout.new, *rollout.old] if rollout.new is not None else rollout.old
    for piece in sets:
        failure = conditions.find(status_of(piece).get("conditions"), REPLICA_FAILURE)
        if failure is not None:
            since = failure.get("lastTransitionTime")
            copied: Json = clone(failure)
            return {**copied, "lastUpdateTime": since}
    return None
