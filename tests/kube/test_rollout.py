"""Fit, done or stuck: decisions over facts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rollcheck.facts.cluster import Change, Condition, ContainerState, PodSeen, PodSpec, WorkloadSeen
from rollcheck.kube.rollout import is_complete, old_uids, problems_before, stuck

WORKLOAD = WorkloadSeen(
    seen_ns=0,
    change=Change.LISTED,
    uid="w",
    namespace="shop",
    kind="Deployment",
    name="web",
    resource_version="1",
    generation=2,
    observed_generation=2,
    replicas=3,
    status_replicas=3,
    updated=3,
    ready=3,
    available=3,
    strategy="RollingUpdate",
    max_surge="25%",
    max_unavailable="25%",
    min_ready_s=0,
    progress_deadline_s=600,
    paused=False,
    revision="2",
    selector={"app": "web"},
    template=PodSpec(grace_s=30, containers=()),
    conditions=(),
)


def pod(**values: Any) -> PodSeen:
    base: dict[str, Any] = {
        "seen_ns": 0,
        "change": Change.MODIFIED,
        "uid": "p",
        "namespace": "shop",
        "name": "web-1",
        "resource_version": "1",
        "owner_uid": "",
        "owner_name": "",
        "template_hash": "",
        "node": "n1",
        "ip": "10.0.0.1",
        "phase": "Running",
        "created_at": "2026-01-01T00:00:00Z",
        "deletion_at": "",
        "deletion_grace_s": None,
        "ready": True,
        "ready_at": "",
        "scheduled": True,
        "unready_reason": "",
        "disruption": "",
        "containers": (),
        "labels": {},
    }
    return PodSeen(**{**base, **values})


def waiting(reason: str, **values: Any) -> PodSeen:
    state = ContainerState(name="web", ready=False, restarts=4, state="waiting", reason=reason, **values)
    return pod(phase="Pending", ready=False, containers=(state,))


def test_a_healthy_workload_is_fit() -> None:
    assert problems_before(WORKLOAD, [pod()]) == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"paused": True}, "is paused: run `kubectl rollout resume deployment/web` first"),
        ({"replicas": 0}, "has 0 replicas: run `kubectl scale deployment/web --replicas=3` first"),
        ({"observed_generation": 1}, "has a change that its controller has not taken up yet"),
        ({"ready": 2, "available": 2}, "2 of 3 pods are available"),
        ({"available": 1}, "1 of 3 pods are available"),
        ({"updated": 2}, "in the middle of a rollout"),
        ({"status_replicas": 4}, "in the middle of a rollout"),
    ],
)
def test_a_workload_that_is_not_fit_is_named_with_the_way_out(change: dict[str, Any], why: str) -> None:
    sentence = problems_before(replace(WORKLOAD, **change), [pod()])
    assert sentence.startswith("deployment/web in namespace shop ")
    assert why in sentence


def test_what_keeps_a_workload_from_being_ready_is_said_rather_than_the_count() -> None:
    unready = replace(WORKLOAD, ready=0, available=0)
    assert "CrashLoopBackOff" in problems_before(unready, [waiting("CrashLoopBackOff")])


@pytest.mark.parametrize(
    ("change", "complete"),
    [
        ({}, True),
        ({"observed_generation": 1}, False),
        ({"updated": 2}, False),
        ({"status_replicas": 4}, False),
        ({"available": 2}, False),
        ({"replicas": 0, "updated": 0, "status_replicas": 0, "available": 0}, True),
    ],
)
def test_complete_is_what_kubectl_rollout_status_calls_done(change: dict[str, Any], complete: bool) -> None:
    assert is_complete(replace(WORKLOAD, **change)) is complete


def test_the_controllers_own_deadline_makes_it_stuck() -> None:
    late = Condition(type="Progressing", status="False", reason="ProgressDeadlineExceeded", message="RS has timed out")
    assert stuck(replace(WORKLOAD, conditions=(late,)), []) == (
        "its rollout made no progress for 600 s (RS has timed out)"
    )


def test_a_quota_that_forbids_pods_makes_it_stuck() -> None:
    quota = Condition(type="ReplicaFailure", status="True", reason="FailedCreate", message="exceeded quota: pods=3")
    assert "exceeded quota" in stuck(replace(WORKLOAD, conditions=(quota,)), [])


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError"])
def test_a_container_that_cannot_start_makes_it_stuck(reason: str) -> None:
    sentence = stuck(WORKLOAD, [pod(), waiting(reason, message="no such image")])
    assert sentence == f"container web of pod web-1 is in {reason} (no such image)"


def test_a_crash_loop_names_the_code_of_the_last_end() -> None:
    assert "(it ended with 3, 4 times)" in stuck(WORKLOAD, [waiting("CrashLoopBackOff", last_exit_code=3)])


def test_a_pod_that_fits_on_no_node_makes_it_stuck() -> None:
    assert "fits on no node" in stuck(WORKLOAD, [pod(phase="Pending", scheduled=False, unready_reason="Unschedulable")])


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", ""])
def test_a_container_that_is_being_created_is_not_stuck(reason: str) -> None:
    assert stuck(WORKLOAD, [waiting(reason)]) == ""


def test_a_pod_that_is_being_deleted_says_nothing_of_the_new_version() -> None:
    dying = replace(waiting("CrashLoopBackOff"), deletion_at="2026-01-01T00:00:30Z")
    assert stuck(WORKLOAD, [dying]) == ""


def test_the_old_pods_are_those_that_are_there() -> None:
    pods = [pod(uid="a"), pod(uid="b", change=Change.DELETED), pod(uid="c", change=Change.VANISHED)]
    assert old_uids(pods) == {"a"}


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_ended_by_itself_is_none_that_a_rollout_must_end(phase: str) -> None:
    assert old_uids([pod(uid="evicted", phase=phase), pod(uid="a", phase="Running")]) == {"a"}
