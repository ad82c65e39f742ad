"""What a Job's pods say of it: how it stands, whether it has ended and why. Pure: the time is an argument.

Kubernetes' rules (`pkg/controller/job`). Every pod of a Job carries a finalizer until it has been counted, so that none
is lost that ends and is deleted at once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from rollcheck.sandbox.controllers import conditions
from rollcheck.sandbox.controllers.indexes import INDEX, index_of
from rollcheck.sandbox.controllers.objects import is_deleting, parse_time, status_of
from rollcheck.sandbox.controllers.pods import is_terminal, phase_of, restarts
from rollcheck.sandbox.trees import Json, clone, name_of

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX_ENV = "JOB_COMPLETION_INDEX"
COMPLETE = "Complete"
FAILED = "Failed"
FAILURE_TARGET = "FailureTarget"
CRITERIA_MET = "SuccessCriteriaMet"


def is_finished(job: Json) -> bool:
    """Whether it is Complete or Failed, for good."""
    listed = status_of(job).get("conditions") or ()
    return any(c.get("type") in (COMPLETE, FAILED) and c.get("status") == "True" for c in listed)


def is_indexed(job: Json) -> bool:
    """Whether every pod has a completion index of its own."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def completions_of(job: Json) -> int:
    """How many indexes an Indexed Job has."""
    spec = job["spec"]
    return int(spec.get("completions") or spec.get("parallelism") or 1)


def is_suspended(job: Json) -> bool:
    """Whether it is to have no pods for now."""
    return bool(job["spec"].get("suspend"))


def is_tracked(pod: Json) -> bool:
    """Whether the pod has not been counted yet."""
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def has_failed(pod: Json) -> bool:
    """Whether the pod counts as a failure: it failed, or it is being deleted before it ended."""
    return phase_of(pod) == "Failed" or (is_deleting(pod) and not is_terminal(pod))


def finished_at(pod: Json) -> datetime | None:
    """When its last container ended; else when it ceased to be ready, was deleted, or was created."""
    ends: list[datetime] = []
    statuses = status_of(pod).get("containerStatuses") or ()
    for container in statuses:
        end = parse_time(((container.get("state") or {}).get("terminated") or {}).get("finishedAt"))
        if end is not None:
            ends.append(end)
    if ends and len(ends) == len(statuses):
        return max(ends)
    ready = conditions.find(status_of(pod).get("conditions"), "Ready")
    if ready is not None and ready.get("status") == "False":
        return parse_time(ready.get("lastTransitionTime"))
    meta = pod["metadata"]
    if is_deleting(pod):
        end = parse_time(meta["deletionTimestamp"])
        grace = timedelta(seconds=int(meta.get("deletionGracePeriodSeconds") or 0))
        return end - grace if end is not None else None
    return parse_time(meta.get("creationTimestamp"))


def ending(status: Json) -> tuple[str, str, str] | None:
    """(kind, reason, message) of an end that was settled before and only waits for pods to go; None for none."""
    for kind in (CRITERIA_MET, FAILURE_TARGET):
        found = conditions.find(status.get("conditions"), kind)
        if found is not None:
            return kind, found.get("reason", ""), found.get("message", "")
    return None


def why_failed(job: Json, pods: list[Json], failed: int, now: datetime) -> tuple[str, str] | None:
    """(reason, message) when the Job is to end as failed; None while it goes on."""
    spec = job["spec"]
    limit = int(spec.get("backoffLimit", 6))
    if failed > limit or _restarted_too_often(job, pods, limit):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = deadline_in(job, now)
    if left is not None and left <= 0:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def deadline_in(job: Json, now: datetime) -> float | None:
    """Seconds until activeDeadlineSeconds is over; None for a Job without one, or suspended."""
    seconds = job["spec"].get("activeDeadlineSeconds")
    start = parse_time(status_of(job).get("startTime"))
    if seconds is None or start is None or is_suspended(job):
        return None
    return (start + timedelta(seconds=int(seconds)) - now).total_seconds()


def expires_in(job: Json, now: datetime) -> float | None:
    """Seconds until a finished Job is to be deleted; None for one that stays."""
    seconds = job["spec"].get("ttlSecondsAfterFinished")
    ends = [c for c in status_of(job).get("conditions") or () if c.get("type") in (COMPLETE, FAILED)]
    end = parse_time(ends[0].get("lastTransitionTime")) if ends else None
    if seconds is None or end is None:
        return None
    return (end + timedelta(seconds=int(seconds)) - now).total_seconds()


def wanted_active(job: Json, active: int, succeeded: int) -> int:
    """How many pods should be running now."""
    parallelism = int(job["spec"].get("parallelism", 1))
    completions = job["spec"].get("completions")
    if is_suspended(job):
        return 0
    if completions is None:
        return active if succeeded > 0 else parallelism
    return max(0, min(int(completions) - succeeded, parallelism))


def is_complete(job: Json, active: int, succeeded: int) -> bool:
    """Whether enough pods have succeeded."""
    completions = job["spec"].get("completions")
    return active == 0 and (succeeded > 0 if completions is None else succeeded >= int(completions))


def pod_template(job: Json, index: int | None) -> tuple[Json, str]:
    """(the template for the next pod, the prefix of its name; empty for the usual one)."""
    template: Json = clone(job["spec"]["template"])
    meta = template.setdefault("metadata", {})
    meta["finalizers"] = [*(f for f in meta.get("finalizers") or () if f != TRACKING), TRACKING]
    if index is None:
        return template, ""
    meta.setdefault("annotations", {})[INDEX] = str(index)
    meta.setdefault("labels", {})[INDEX] = str(index)
    template["spec"]["hostname"] = f"{name_of(job)}-{index}"
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
    for container in (*template["spec"].get("initContainers", ()), *template["spec"]["containers"]):
        env = container.setdefault("env", [])
        if all(entry["name"] != INDEX_ENV for entry in env):
            env.append({"name": INDEX_ENV, "valueFrom": source})
    return template, f"{name_of(job)}-{index}-"


def duplicates(pods: list[Json], completions: int) -> tuple[list[Json], list[Json]]:
    """(pods that must go: a second one for an index, or an index past the last; those that may stay)."""
    taken: set[int] = set()
    gone: list[Json] = []
    kept: list[Json] = []
    for pod in pods:
        index = index_of(pod)
        if index is None or index >= completions or index in taken:
            gone.append(pod)
        else:
            taken.add(index)
            kept.append(pod)
    return gone, kept


def ended_condition(kind: str, reason: str, message: str, stamp: str) -> Json:
    """A condition of a Job's end."""
    return {
        "type": kind,
        "status": "True",
        "lastProbeTime": stamp,
        "lastTransitionTime": stamp,
        "reason": reason,
        "message": message,
    }


def _restarted_too_often(job: Json, pods: list[Json], limit: int) -> bool:
    """With restartPolicy OnFailure the restarts of containers count, not pods."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    total = sum(restarts(pod)[0] for pod in pods if phase_of(pod) in ("Running", "Pending"))
    return total > 0 if limit == 0 else total >= limit
