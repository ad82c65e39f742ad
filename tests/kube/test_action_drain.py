"""Which pods a drain evicts, and what it would meet: kubectl's filters, budgets, and room elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from rollcheck.kube.drain import Filters, daemonsets_of, full_name, is_schedulable, select
from rollcheck.kube.drainforecast import budget_sentences
from rollcheck.kube.matching import quantity, selects

Json = dict[str, Any]


def pod(name: str = "web-1", *, owner: str = "ReplicaSet", phase: str = "Running", **spec: Any) -> Json:
    meta: Json = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": {"app": "web"}}
    if owner:
        meta["ownerReferences"] = [{"kind": owner, "name": f"own-{owner.lower()}", "controller": True}]
    return {"metadata": meta, "spec": {"nodeName": "n1", **spec}, "status": {"phase": phase}}


def node(name: str = "n2", *, labels: Json | None = None, taints: list[Json] | None = None, **room: Any) -> Json:
    ready = {"type": "Ready", "status": "True"}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": {"taints": taints or []},
        "status": {"conditions": [ready], "allocatable": {"cpu": "2", "memory": "1Gi", "pods": "110", **room}},
    }


def budget(name: str = "keep", *, allowed: int, healthy: int = 2, wanted: int = 1, expected: int = 2) -> Json:
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": wanted,
            "expectedPods": expected,
        },
    }


MIRROR = {"kubernetes.io/config.mirror": "x"}
EMPTY_DIR = {"volumes": [{"name": "cache", "emptyDir": {}}]}


def evicted(one: Json, exists: bool = True, **flags: bool) -> bool:
    return bool(select([one], Filters(**flags), dict.fromkeys(daemonsets_of([one]), exists)).evicted)


def problem(one: Json, exists: bool = True, **flags: bool) -> str:
    return select([one], Filters(**flags), dict.fromkeys(daemonsets_of([one]), exists)).problem


def test_a_pod_of_a_replica_set_is_evicted() -> None:
    assert evicted(pod())
    assert problem(pod()) == ""


def test_a_pod_of_a_daemonset_stops_a_drain_unless_they_are_ignored() -> None:
    assert "use --ignore-daemonsets to ignore): shop/web-1" in problem(pod(owner="DaemonSet"))
    assert not evicted(pod(owner="DaemonSet"), ignore_daemonsets=True)
    assert problem(pod(owner="DaemonSet"), ignore_daemonsets=True) == ""


def test_a_pod_whose_daemonset_is_gone_needs_force() -> None:
    assert "is not there any more" in problem(pod(owner="DaemonSet"), exists=False)
    assert evicted(pod(owner="DaemonSet"), exists=False, force=True)


def test_a_static_pod_is_always_left_alone() -> None:
    static = pod(owner="Node", **EMPTY_DIR)
    static["metadata"]["annotations"] = MIRROR
    assert not evicted(static)
    assert problem(static) == ""


def test_an_empty_dir_needs_a_word() -> None:
    assert "use --delete-emptydir-data" in problem(pod(**EMPTY_DIR))
    assert evicted(pod(**EMPTY_DIR), delete_emptydir_data=True)


def test_a_pod_without_a_controller_needs_force() -> None:
    assert "declare no controller" in problem(pod(owner=""))
    assert evicted(pod(owner=""), force=True)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_may_always_go(phase: str) -> None:
    assert evicted(pod(owner="", phase=phase, **EMPTY_DIR))
    assert evicted(pod(owner="DaemonSet", phase=phase))


def test_pods_with_one_problem_are_named_together() -> None:
    found = select([pod("b", owner=""), pod("a", owner="")], Filters(), {})
    assert found.problem.endswith("shop/a, shop/b")
    assert [full_name(p) for p in found.evicted] == []


def test_a_cordoned_or_unready_node_takes_no_pods() -> None:
    cordoned, away = node(), node()
    cordoned["spec"]["unschedulable"] = True
    away["status"]["conditions"][0]["status"] = "Unknown"
    assert [is_schedulable(n) for n in (node(), cordoned, away)] == [True, False, False]


def test_a_budget_that_allows_nothing_blocks() -> None:
    (said,) = budget_sentences("n1", [pod("a"), pod("b")], [budget(allowed=0, wanted=2)])
    assert "allows no disruption now (it needs 2 healthy pods and has 2)" in said
    assert said.endswith("would block: it wants all of its 2 pods")


def test_a_budget_that_allows_one_makes_the_others_wait() -> None:
    (said,) = budget_sentences("n1", [pod("a"), pod("b")], [budget(allowed=1)])
    assert "allows 1 at a time" in said


def test_two_budgets_for_one_pod_are_foretold() -> None:
    said = budget_sentences("n1", [pod("a")], [budget("one", allowed=1), budget("two", allowed=1)])
    assert "more than one budget (one and two)" in said[0]


def test_a_budget_of_another_namespace_does_not_count() -> None:
    foreign = budget(allowed=0)
    foreign["metadata"]["namespace"] = "other"
    assert budget_sentences("n1", [pod("a")], [foreign]) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [("100m", 0.1), ("2", 2), ("0.5", 0.5), ("128Mi", 128 * 2**20), ("1G", 1e9), ("1e3", 1000), ("", 0), ("x", 0)],
)
def test_a_quantity_is_a_number(text: str, value: float) -> None:
    assert quantity(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("rule", "picked"),
    [
        ({"key": "app", "operator": "In", "values": ["web"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["web"]}, False),
        ({"key": "tier", "operator": "NotIn", "values": ["web"]}, True),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "tier", "operator": "DoesNotExist"}, True),
        ({"key": "rank", "operator": "Gt", "values": ["2"]}, True),
        ({"key": "rank", "operator": "Lt", "values": ["2"]}, False),
    ],
)
def test_an_expression_picks_labels(rule: Json, picked: bool) -> None:
    assert selects({"matchExpressions": [rule]}, {"app": "web", "rank": "3"}) is picked


def test_an_empty_selector_picks_all_and_none_picks_nothing() -> None:
    assert selects({}, {"a": "b"})
    assert not selects(None, {"a": "b"})
