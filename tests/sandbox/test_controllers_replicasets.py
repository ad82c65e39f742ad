"""ReplicaSets on the real registry: how many pods, which go first, what is adopted, what is told."""

from __future__ import annotations

from typing import Any

import trio
from little_cluster import LittleCluster, deployment, on_cluster, pod_template

from rollcheck.sandbox.resources import DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS
from rollcheck.sandbox.status import ApiFailure

Json = dict[str, Any]


def replica_set(replicas: int = 3, **spec: Any) -> Json:
    selector = {"matchLabels": {"app": "web"}}
    return {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": selector, "template": pod_template(), **spec},
    }


async def stand(cluster: LittleCluster, replicas: int = 3) -> None:
    cluster.registry.create(REPLICA_SETS, "default", replica_set(replicas))
    await cluster.until(lambda: status(cluster).get("availableReplicas", 0) == replicas)
    await cluster.settle()


def status(cluster: LittleCluster) -> Json:
    found: Json = cluster.registry.get(REPLICA_SETS, "default", "web")["status"]
    return found


def resize(cluster: LittleCluster, replicas: int) -> None:
    cluster.edit(REPLICA_SETS, "web", lambda obj: obj["spec"].update(replicas=replicas))


def test_every_pod_made_and_deleted_is_told_by_name() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        names = {pod["metadata"]["name"] for pod in cluster.pods()}
        assert set(cluster.events("ReplicaSet", "SuccessfulCreate")) == {f"Created pod: {name}" for name in names}
        resize(cluster, 2)
        await cluster.settle()
        gone = names - {pod["metadata"]["name"] for pod in cluster.pods()}

        assert cluster.events("ReplicaSet", "SuccessfulDelete") == [f"Deleted pod: {gone.pop()}"]

    on_cluster(story)


def test_a_hundred_pods_are_made_once() -> None:
    async def story(cluster: LittleCluster) -> None:
        made = 0

        async def count() -> None:
            nonlocal made
            async for change in cluster.registry.watch(PODS):
                made += change.type == "ADDED"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(count)
            await stand(cluster, 100)
            nursery.cancel_scope.cancel()
        assert made == 100
        assert len(cluster.pods(alive=False)) == 100

    on_cluster(story)


def test_a_deleted_pod_is_replaced_before_it_is_gone() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        cluster.registry.delete(PODS, "default", cluster.pods()[0]["metadata"]["name"])
        await cluster.settle(0.5)

        assert len(cluster.pods()) == 3
        assert len(cluster.pods(alive=False)) == 4

    on_cluster(story)


def test_a_pod_that_ended_is_replaced_and_kept() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        cluster.say(cluster.pods()[0], "Failed", ready=False)
        await cluster.settle()

        assert status(cluster)["replicas"] == 3
        assert len(cluster.pods()) == 4

    on_cluster(story)


def test_pods_that_are_not_ready_go_first() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        weak = cluster.pods()[1]
        cluster.say(weak, "Running", ready=False)
        resize(cluster, 2)
        await cluster.settle()

        assert weak["metadata"]["uid"] not in {pod["metadata"]["uid"] for pod in cluster.pods()}

    on_cluster(story)


def test_a_lower_deletion_cost_goes_first() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        cheap = cluster.pods()[2]["metadata"]["name"]
        note = {"controller.kubernetes.io/pod-deletion-cost": "-5"}
        cluster.edit(PODS, cheap, lambda obj: obj["metadata"].setdefault("annotations", {}).update(note))
        resize(cluster, 2)
        await cluster.settle()

        assert cheap not in {pod["metadata"]["name"] for pod in cluster.pods()}

    on_cluster(story)


def test_of_a_crowded_node_a_pod_goes_first() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, 3)
        resize(cluster, 2)
        await cluster.settle()

        assert len({pod["spec"]["nodeName"] for pod in cluster.pods()}) == 2  # n1 had two, n2 one

    on_cluster(story, nodes=2)


def test_a_pod_that_loses_its_label_is_let_go_and_replaced() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        name = cluster.pods()[0]["metadata"]["name"]
        cluster.edit(PODS, name, lambda obj: obj["metadata"]["labels"].update(app="other"))
        await cluster.settle()

        assert "ownerReferences" not in cluster.registry.get(PODS, "default", name)["metadata"]
        assert len(cluster.pods(labels="app=web")) == 3

    on_cluster(story)


def test_an_orphan_that_is_selected_is_adopted_in_place_of_a_new_pod() -> None:
    async def story(cluster: LittleCluster) -> None:
        orphan = {"metadata": {"name": "orphan", "labels": {"app": "web"}}, "spec": pod_template()["spec"]}
        cluster.registry.create(PODS, "default", orphan)
        await cluster.settle()
        await stand(cluster)

        owners = cluster.registry.get(PODS, "default", "orphan")["metadata"]["ownerReferences"]
        assert [(owner["kind"], owner["name"], owner["controller"]) for owner in owners] == [
            ("ReplicaSet", "web", True)
        ]
        assert len(cluster.pods()) == 3

    on_cluster(story)


def test_pods_that_are_refused_are_a_condition_and_an_event_and_are_tried_again(monkeypatch: Any) -> None:
    async def story(cluster: LittleCluster) -> None:
        create, refusing = cluster.registry.create, True
        tried = 0

        def refuse(resource: Any, *args: Any, **kwargs: Any) -> Json:
            nonlocal tried
            if resource is PODS and refusing:
                tried += 1
                raise ApiFailure(403, "Forbidden", 'pods "web-" is forbidden: exceeded quota')
            return create(resource, *args, **kwargs)

        monkeypatch.setattr(cluster.registry, "create", refuse)
        cluster.registry.create(REPLICA_SETS, "default", replica_set(10))
        await cluster.settle(0.0)
        assert tried <= 1  # one of ten: a slow start
        await cluster.settle(3)
        condition = status(cluster)["conditions"][0]
        assert (condition["type"], condition["reason"]) == ("ReplicaFailure", "FailedCreate")
        assert cluster.events("ReplicaSet", "FailedCreate")[0].startswith('Error creating: pods "web-" is forbidden')
        assert tried < 15

        refusing = False
        await cluster.until(lambda: status(cluster).get("availableReplicas") == 10)
        assert "conditions" not in status(cluster)

    on_cluster(story)


def test_what_keeps_a_replica_set_from_making_pods_is_told_of_its_deployment(monkeypatch: Any) -> None:
    async def story(cluster: LittleCluster) -> None:
        create = cluster.registry.create

        def refuse(resource: Any, *args: Any, **kwargs: Any) -> Json:
            if resource is PODS:
                raise ApiFailure(403, "Forbidden", "exceeded quota")
            return create(resource, *args, **kwargs)

        monkeypatch.setattr(cluster.registry, "create", refuse)
        cluster.registry.create(DEPLOYMENTS, "default", deployment())
        await cluster.settle(3)

        condition = cluster.condition(cluster.deployment(), "ReplicaFailure")
        assert (condition["status"], condition["reason"], condition["message"]) == (
            "True",
            "FailedCreate",
            "exceeded quota",
        )

    on_cluster(story)


def test_in_a_namespace_that_is_going_away_nothing_is_made_and_nothing_told() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, 2)
        cluster.stop_s = 20.0
        cluster.registry.delete(NAMESPACES, None, "default")
        await cluster.settle()

        assert cluster.pods() == []

    on_cluster(story)
