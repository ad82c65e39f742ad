"""Whether a workload is fit for a run, whether its rollout is done, whether it is stuck. Pure, over facts."""

from __future__ import annotations

from collections.abc import Iterable

from rollcheck.facts.cluster import Change, ContainerState, PodSeen, WorkloadSeen

STUCK_WAITING = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}
"""Reasons of a waiting container that do not pass by themselves, or not soon."""


ENDED_PHASES = ("Succeeded", "Failed")


def problems_before(workload: WorkloadSeen, pods: Iterable[PodSeen]) -> str:
    """Why a run on this workload would show nothing, in one sentence with the way out; empty when it is fit."""
    what = f"{workload.ref} in namespace {workload.namespace}"
    if workload.paused:
        return f"{what} is paused: run `kubectl rollout resume {workload.ref}` first"
    if workload.replicas == 0 and workload.kind == "DaemonSet":
        return f"{what} has no node to run on: see its nodeSelector and the taints of the nodes"
    if workload.replicas == 0:
        return f"{what} has 0 replicas: run `kubectl scale {workload.ref} --replicas=3` first"
    if workload.observed_generation < workload.generation:
        return f"{what} has a change that its controller has not taken up yet: is kube-controller-manager running?"
    why = stuck(workload, pods)
    if why:
        return f"{what} is not ready: {why}; a run needs a healthy start"
    if workload.ready < workload.replicas or workload.available < workload.replicas:
        ready = min(workload.ready, workload.available)
        return f"{what} is not ready: {ready} of {workload.replicas} pods are available; a run needs a healthy start"
    if not is_complete(workload):
        return f"{what} is in the middle of a rollout: wait for `kubectl rollout status {workload.ref}`"
    return ""


def is_complete(workload: WorkloadSeen) -> bool:
    """What `kubectl rollout status` calls done. Old pods may still be serving, and dying, at that moment.

    A StatefulSet with a partition is done when the pods above it are; one with OnDelete when every pod is ready, as
    there is nothing else to wait for.
    """
    if workload.observed_generation < workload.generation:
        return False
    if workload.strategy == "OnDelete":
        return workload.ready >= workload.replicas
    if workload.kind == "DaemonSet":
        return workload.updated >= workload.replicas and workload.available >= workload.replicas
    if workload.kind == "StatefulSet":
        moved = workload.updated >= workload.replicas - workload.partition if workload.partition else workload.settled
        return workload.ready >= workload.replicas and workload.status_replicas == workload.replicas and moved
    return (
        workload.updated == workload.replicas
        and workload.status_replicas == workload.updated
        and workload.available == workload.updated
    )


def stuck(workload: WorkloadSeen, pods: Iterable[PodSeen]) -> str:
    """Why the rollout does not get on, in one sentence; empty while nothing says that it does not.

    What a pod says of itself comes first: it names the cause, long before the controller's own deadline. A pod that is
    being deleted says nothing about the new version.
    """
    for pod in sorted(pods, key=lambda p: (p.created_at, p.name), reverse=True):
        if not pod.deletion_at and (why := _stuck_pod(pod)):
            return why
    for condition in workload.conditions:
        if condition.type == "ReplicaFailure" and condition.status == "True":
            return f"its pods cannot be created ({condition.message or condition.reason})"
        if condition.type == "Progressing" and condition.reason == "ProgressDeadlineExceeded":
            return f"its rollout made no progress for {workload.progress_deadline_s} s ({condition.message})"
    return ""


def replaced_by_rollout(workload: WorkloadSeen, pod: PodSeen) -> bool:
    """Whether a new template ends this pod: not below a StatefulSet's partition."""
    ordinal = pod.name.removeprefix(f"{workload.name}-")
    return not (workload.partition and ordinal.isdecimal() and int(ordinal) < workload.partition)


def old_uids(pods: Iterable[PodSeen]) -> frozenset[str]:
    """The pods that a replacement must end: those that are there before it and have not ended by themselves.

    One that was evicted, or ran to its end, stays as an object for as long as nobody collects it: its ReplicaSet no
    longer counts it, and no rollout deletes it.
    """
    return frozenset(
        p.uid for p in pods if p.change not in (Change.DELETED, Change.VANISHED) and p.phase not in ENDED_PHASES
    )


def _stuck_pod(pod: PodSeen) -> str:
    if pod.phase == "Pending" and not pod.scheduled and pod.unready_reason == "Unschedulable":
        return f"pod {pod.name} fits on no node (Unschedulable)"
    for container in (*pod.init_containers, *pod.containers):
        if container.state == "waiting" and container.reason in STUCK_WAITING:
            return f"container {container.name} of pod {pod.name} is in {container.reason}{_of(container)}"
    return ""


def _of(container: ContainerState) -> str:
    if container.reason == "CrashLoopBackOff" and container.last_exit_code is not None:
        return f" (it ended with {container.last_exit_code}, {container.restarts} times)"
    return f" ({container.message})" if container.message else ""
