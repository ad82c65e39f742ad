"""Budgets, garbage, namespaces, nodes and autoscalers on the real registry."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest
import trio
from little_cluster import LittleCluster, deployment, on_cluster, pod_template, set_image

from rollcheck.sandbox.controllers.autoscaler import clamp
from rollcheck.sandbox.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    HPAS,
    LEASES,
    NAMESPACES,
    NODES,
    PDBS,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from rollcheck.sandbox.status import ApiFailure

Json = dict[str, Any]


async def stand(cluster: LittleCluster, **spec: Any) -> None:
    cluster.registry.create(DEPLOYMENTS, "default", deployment(**spec))
    await cluster.until(lambda: cluster.deployment()["status"].get("availableReplicas") == spec.get("replicas", 3))
    await cluster.settle()


def create_budget(cluster: LittleCluster, **spec: Any) -> None:
    whole = {"selector": {"matchLabels": {"app": "web"}}, **spec}
    cluster.registry.create(PDBS, "default", {"metadata": {"name": "web"}, "spec": whole})


def budget(cluster: LittleCluster) -> tuple[int, int, int, int]:
    status = cluster.registry.get(PDBS, "default", "web")["status"]
    fields = ("expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed")
    return tuple(status[field] for field in fields)  # type: ignore[return-value]


def test_a_budget_counts_what_the_deployment_asks_for_and_follows_readiness() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_budget(cluster, maxUnavailable=1)
        await stand(cluster)
        assert budget(cluster) == (3, 2, 3, 1)
        cluster.say(cluster.pods()[0], "Running", ready=False)
        await cluster.settle(0.1)
        assert budget(cluster) == (3, 2, 2, 0)
        status = cluster.registry.get(PDBS, "default", "web")["status"]
        condition = status["conditions"][0]
        assert (condition["type"], condition["status"], condition["reason"]) == (
            "DisruptionAllowed",
            "False",
            "InsufficientPods",
        )
        assert status["observedGeneration"] == 1

    on_cluster(story)


def test_a_share_is_of_the_size_asked_for_not_of_the_pods_there_are() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_budget(cluster, minAvailable="50%")
        await stand(cluster, replicas=4)
        cluster.edit(DEPLOYMENTS, "web", lambda obj: obj["spec"].update(replicas=8))
        await cluster.settle(0.1)

        assert budget(cluster)[:2] == (8, 4)

    on_cluster(story)


def test_a_budget_without_pods_says_so() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_budget(cluster, minAvailable=1)
        await cluster.settle()

        assert budget(cluster) == (0, 1, 0, 0)
        assert cluster.events("PodDisruptionBudget", "NoPods")[0] == "No matching pods found"

    on_cluster(story)


def test_pods_of_no_workload_are_told_where_a_share_is_asked_for() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_budget(cluster, maxUnavailable=1)
        cluster.registry.create(
            PODS, "default", {"metadata": {"name": "a", "labels": {"app": "web"}}, "spec": pod_template()["spec"]}
        )
        await cluster.settle()

        assert cluster.events("PodDisruptionBudget", "UnmanagedPods")
        assert budget(cluster)[3] == 0

    on_cluster(story)


def test_an_evicted_pod_is_counted_out_at_once_and_a_second_eviction_waits() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_budget(cluster, maxUnavailable=1)
        await stand(cluster)
        cluster.start_s = 10.0
        cluster.registry.delete(PODS, "default", cluster.pods()[0]["metadata"]["name"])
        await cluster.settle(1)
        assert budget(cluster) == (3, 2, 2, 0)
        await cluster.settle(12)

        assert budget(cluster) == (3, 2, 3, 1)

    on_cluster(story)


def evict(cluster: LittleCluster, name: str) -> None:
    cluster.registry.evict("default", name, {"metadata": {"name": name, "namespace": "default"}})


def test_evictions_are_refused_until_the_replacement_is_ready() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_budget(cluster, maxUnavailable=1)
        await stand(cluster)
        cluster.start_s = 10.0
        first, second = (pod["metadata"]["name"] for pod in cluster.pods()[:2])
        evict(cluster, first)
        with pytest.raises(ApiFailure) as refused:
            evict(cluster, second)
        assert refused.value.code == 429
        await cluster.settle(1)
        with pytest.raises(ApiFailure):
            evict(cluster, second)
        await cluster.settle(12)
        evict(cluster, second)

        assert "disruptedPods" in cluster.registry.get(PDBS, "default", "web")["status"]
        await cluster.settle(1)
        assert "disruptedPods" not in cluster.registry.get(PDBS, "default", "web")["status"]

    on_cluster(story)


def test_deleting_a_deployment_takes_replica_sets_and_pods_along() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        cluster.registry.delete(DEPLOYMENTS, "default", "web")
        await cluster.settle()

        assert cluster.replica_sets() == []
        assert cluster.pods(alive=False) == []

    on_cluster(story)


def test_deleting_in_the_foreground_waits_for_the_last_pod() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        cluster.stop_s = 8.0
        cluster.registry.delete(DEPLOYMENTS, "default", "web", propagation="Foreground")
        await cluster.settle(5)
        assert cluster.deployment()["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert len(cluster.pods(alive=False)) == 3
        await cluster.settle(5)

        assert cluster.registry.list(DEPLOYMENTS) == cluster.pods(alive=False) == cluster.replica_sets() == []

    on_cluster(story)


def test_orphans_stay_and_forget_their_owner() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        cluster.registry.delete(DEPLOYMENTS, "default", "web", propagation="Orphan")
        await cluster.settle()

        assert cluster.registry.list(DEPLOYMENTS) == []
        assert "ownerReferences" not in cluster.replica_sets()[0]["metadata"]
        assert len(cluster.pods()) == 3

        cluster.registry.create(DEPLOYMENTS, "default", deployment())
        await cluster.settle()
        assert len(cluster.replica_sets()) == 1  # adopted, for its template is the same
        assert len(cluster.pods()) == 3

    on_cluster(story)


def test_what_names_an_owner_that_never_was_is_deleted() -> None:
    async def story(cluster: LittleCluster) -> None:
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gone", "uid": "gone-uid"}
        cluster.registry.create(CONFIG_MAPS, "default", {"metadata": {"name": "a", "ownerReferences": [owner]}})
        await cluster.settle()

        assert cluster.registry.peek(CONFIG_MAPS, "default", "a") is None

    on_cluster(story)


def test_one_living_owner_is_enough() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        living = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "web",
            "uid": cluster.deployment()["metadata"]["uid"],
        }
        owners = [living, {**living, "name": "gone", "uid": "gone-uid"}]
        cluster.registry.create(CONFIG_MAPS, "default", {"metadata": {"name": "a", "ownerReferences": owners}})
        await cluster.settle()

        assert cluster.registry.get(CONFIG_MAPS, "default", "a")["metadata"]["ownerReferences"] == [living]

    on_cluster(story)


def test_a_namespace_has_an_account_and_goes_once_all_in_it_is_gone() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.registry.create(NAMESPACES, None, {"metadata": {"name": "team"}})
        await cluster.settle()
        assert cluster.registry.peek(SERVICE_ACCOUNTS, "team", "default") is not None
        wanted = deployment()
        wanted["metadata"]["namespace"] = "team"
        cluster.registry.create(DEPLOYMENTS, "team", wanted)
        await cluster.settle()
        cluster.stop_s = 9.0
        cluster.registry.delete(NAMESPACES, None, "team")
        await cluster.settle(5)
        assert cluster.registry.get(NAMESPACES, None, "team")["status"]["phase"] == "Terminating"
        assert cluster.registry.list(DEPLOYMENTS, "team") == []
        await cluster.settle(6)

        assert cluster.registry.peek(NAMESPACES, None, "team") is None
        assert cluster.registry.list(PODS, "team") == []

    on_cluster(story)


def test_a_cordoned_node_is_tainted_and_an_uncordoned_one_no_more() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.registry.modify(NODES, None, "n1", lambda obj: obj["spec"].update(unschedulable=True))
        await cluster.settle()
        taints = cluster.registry.get(NODES, None, "n1")["spec"]["taints"]
        assert [(t["key"], t["effect"]) for t in taints] == [("node.kubernetes.io/unschedulable", "NoSchedule")]
        cluster.registry.modify(NODES, None, "n1", lambda obj: obj["spec"].pop("unschedulable"))
        await cluster.settle()

        assert "taints" not in cluster.registry.get(NODES, None, "n1")["spec"]

    on_cluster(story)


def test_a_silent_kubelet_takes_its_pods_endpoints_and_after_five_minutes_its_pods() -> None:
    async def story(cluster: LittleCluster) -> None:
        beat = cluster.registry.clock.micro()
        spec = {"holderIdentity": "n1", "renewTime": beat}
        cluster.registry.create(LEASES, "kube-node-lease", {"metadata": {"name": "n1"}, "spec": spec})
        await stand(cluster, replicas=1)
        pod = cluster.pods()[0]
        await cluster.settle(60)
        assert cluster.condition(cluster.registry.get(NODES, None, "n1"), "Ready")["status"] == "Unknown"
        keys = {t["key"] for t in cluster.registry.get(NODES, None, "n1")["spec"]["taints"]}
        assert keys == {"node.kubernetes.io/unreachable"}
        assert cluster.condition(cluster.pods()[0], "Ready")["status"] == "False"
        assert cluster.pods()[0]["metadata"]["uid"] == pod["metadata"]["uid"]
        cluster.stop_s = 10_000.0
        await cluster.settle(300)

        found = cluster.registry.get(PODS, "default", pod["metadata"]["name"])
        assert "deletionTimestamp" in found["metadata"]
        assert cluster.condition(found, "DisruptionTarget")["reason"] == "DeletionByTaintManager"

    on_cluster(story, nodes=1)


def test_pods_of_a_node_that_is_gone_are_removed_and_replaced_elsewhere() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, replicas=2)
        cluster.registry.delete(NODES, None, "n1")
        await cluster.settle(35)
        assert len(cluster.pods()) == 2
        await cluster.settle(10)

        assert {pod["spec"]["nodeName"] for pod in cluster.pods()} == {"n2"}
        assert len(cluster.pods(alive=False)) == 2

    on_cluster(story, nodes=2)


@pytest.mark.parametrize(
    ("current", "bounds", "expected"),
    [
        (1, {"minReplicas": 2, "maxReplicas": 5}, 2),
        (7, {"minReplicas": 2, "maxReplicas": 5}, 5),
        (3, {"minReplicas": 2, "maxReplicas": 5}, 3),
        (0, {"minReplicas": 2, "maxReplicas": 5}, 0),
        (3, {"maxReplicas": 1}, 1),
    ],
)
def test_an_autoscaler_keeps_its_bounds_and_leaves_nothing_alone(current: int, bounds: Json, expected: int) -> None:
    assert clamp(current, bounds)[0] == expected


def test_an_autoscaler_scales_a_deployment_up_to_its_least_and_says_that_it_knows_no_metrics() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, replicas=1)
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        spec = {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 5}
        cluster.registry.create(HPAS, "default", {"metadata": {"name": "web"}, "spec": spec})
        await cluster.settle(10)

        assert len(cluster.pods()) == 3
        text = "New size: 3; reason: Current number of replicas below Spec.MinReplicas"
        assert cluster.events("HorizontalPodAutoscaler", "SuccessfulRescale") == [text]
        scaler = cluster.registry.get(HPAS, "default", "web")
        assert cluster.condition(scaler, "ScalingActive")["status"] == "False"

    on_cluster(story)


class LongestStep(trio.abc.Instrument):
    """The longest time on the processor that a controller kept the loop, in seconds; waiting is not counted."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._began = 0.0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._began = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if "controllers" in task.name:
            self.seconds = max(self.seconds, time.thread_time() - self._began)


def test_no_look_of_a_controller_holds_the_loop_while_fifty_pods_are_rolled() -> None:
    longest = LongestStep()

    async def story(cluster: LittleCluster) -> None:
        create_budget(cluster, maxUnavailable="20%")
        ports = [{"port": 80, "targetPort": 8080}]
        spec = {"selector": {"app": "web"}, "ports": ports}
        cluster.registry.create(SERVICES, "default", {"metadata": {"name": "web"}, "spec": spec})
        await stand(cluster, replicas=50)
        trio.lowlevel.add_instrument(longest)
        before = {pod["metadata"]["uid"] for pod in cluster.pods()}
        cluster.edit(DEPLOYMENTS, "web", set_image("web:2"))
        await cluster.until(lambda: not before & {pod["metadata"]["uid"] for pod in cluster.pods(alive=False)})
        trio.lowlevel.remove_instrument(longest)

    gc.disable()  # a collection in the middle of a look is nothing that the look did
    try:
        on_cluster(story)
    finally:
        gc.enable()
    assert 0 < longest.seconds < 0.015
