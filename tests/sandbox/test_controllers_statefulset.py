"""StatefulSets on the real registry: order, names, partition, revisions."""

from __future__ import annotations

from typing import Any

from little_cluster import LittleCluster, on_cluster, pod_template, set_image

from rollcheck.sandbox.resources import CONTROLLER_REVISIONS, PODS, PVCS, STATEFUL_SETS

Json = dict[str, Any]


def stateful_set(replicas: int = 3, **spec: Any) -> Json:
    whole = {
        "replicas": replicas,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": pod_template("db"),
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "revisionHistoryLimit": 10,
        **spec,
    }
    return {"metadata": {"name": "db", "namespace": "default"}, "spec": whole}


def owner(cluster: LittleCluster) -> Json:
    return cluster.registry.get(STATEFUL_SETS, "default", "db")


async def stand(cluster: LittleCluster, replicas: int = 3, **spec: Any) -> None:
    cluster.registry.create(STATEFUL_SETS, "default", stateful_set(replicas, **spec))
    await cluster.until(lambda: owner(cluster)["status"].get("availableReplicas") == replicas)
    await cluster.settle()


def resize(cluster: LittleCluster, replicas: int) -> None:
    cluster.edit(STATEFUL_SETS, "db", lambda obj: obj["spec"].update(replicas=replicas))


def names(cluster: LittleCluster, *, alive: bool = True) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.pods(alive=alive)]


def images(cluster: LittleCluster) -> list[str]:
    return [pod["spec"]["containers"][0]["image"] for pod in cluster.pods()]


def test_ordered_pods_come_one_after_the_other_each_ready_before_the_next() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.registry.create(STATEFUL_SETS, "default", stateful_set())
        seen = []
        for _ in range(40):
            await cluster.settle(0.1)
            if not seen or names(cluster) != seen[-1]:
                seen.append(names(cluster))
        assert seen == [["db-0"], ["db-0", "db-1"], ["db-0", "db-1", "db-2"]]
        assert cluster.events("StatefulSet")[0] == "create Pod db-0 in StatefulSet db successful"

    on_cluster(story)


def test_parallel_pods_come_at_once() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.registry.create(STATEFUL_SETS, "default", stateful_set(podManagementPolicy="Parallel"))
        await cluster.settle(0.1)

        assert names(cluster) == ["db-0", "db-1", "db-2"]

    on_cluster(story)


def test_a_pod_knows_its_name_number_revision_and_service() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, 1)
        pod = cluster.pods()[0]

        assert pod["metadata"]["labels"] == {
            "app": "db",
            "statefulset.kubernetes.io/pod-name": "db-0",
            "apps.kubernetes.io/pod-index": "0",
            "controller-revision-hash": owner(cluster)["status"]["updateRevision"],
        }
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-0", "db")
        assert pod["metadata"]["generateName"] == "db-"

    on_cluster(story)


def test_a_first_number_can_be_chosen() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, 2, ordinals={"start": 5})

        assert names(cluster) == ["db-5", "db-6"]

    on_cluster(story)


def test_scaling_down_goes_from_the_top_one_after_the_other() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        cluster.stop_s = 5.0
        resize(cluster, 1)
        await cluster.settle(1)
        assert (names(cluster), len(names(cluster, alive=False))) == (["db-0", "db-1"], 3)
        await cluster.settle(5)
        assert (names(cluster), len(names(cluster, alive=False))) == (["db-0"], 2)

    on_cluster(story)


def test_a_deleted_pod_comes_back_under_its_name_once_it_is_gone() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        before = cluster.registry.get(PODS, "default", "db-1")["metadata"]["uid"]
        cluster.stop_s = 5.0
        cluster.registry.delete(PODS, "default", "db-1")
        await cluster.settle(4)
        assert names(cluster) == ["db-0", "db-2"]
        await cluster.settle(3)

        assert names(cluster) == ["db-0", "db-1", "db-2"]
        assert cluster.registry.get(PODS, "default", "db-1")["metadata"]["uid"] != before

    on_cluster(story)


def test_an_update_goes_from_the_top_and_waits_for_each() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        old = owner(cluster)["status"]["currentRevision"]
        cluster.edit(STATEFUL_SETS, "db", set_image("db:2"))
        seen = []
        for _ in range(200):
            await cluster.settle(0.1)
            if not seen or images(cluster) != seen[-1]:
                seen.append(images(cluster))

        assert seen == [
            ["web:1", "web:1"],
            ["web:1", "web:1", "db:2"],
            ["web:1", "db:2"],
            ["web:1", "db:2", "db:2"],
            ["db:2", "db:2"],
            ["db:2", "db:2", "db:2"],
        ]
        status = owner(cluster)["status"]
        assert status["currentRevision"] == status["updateRevision"] != old
        assert (status["currentReplicas"], status["updatedReplicas"]) == (3, 3)

    on_cluster(story)


def test_an_update_stops_at_a_pod_that_does_not_become_ready() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        cluster.readiness = lambda pod: pod["spec"]["containers"][0]["image"] != "broken"
        cluster.edit(STATEFUL_SETS, "db", set_image("broken"))
        await cluster.settle(60)

        assert images(cluster) == ["web:1", "web:1", "broken"]
        status = owner(cluster)["status"]
        assert (status["readyReplicas"], status["updatedReplicas"], status["currentReplicas"]) == (2, 1, 2)

    on_cluster(story)


def test_pods_below_the_partition_keep_their_template_even_when_they_come_anew() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 2}})
        cluster.edit(STATEFUL_SETS, "db", set_image("db:2"))
        await cluster.settle(30)
        assert images(cluster) == ["web:1", "web:1", "db:2"]
        cluster.registry.delete(PODS, "default", "db-0")
        await cluster.settle(30)

        assert images(cluster) == ["web:1", "web:1", "db:2"]

    on_cluster(story)


def test_on_delete_updates_only_what_is_deleted() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, updateStrategy={"type": "OnDelete"})
        cluster.edit(STATEFUL_SETS, "db", set_image("db:2"))
        await cluster.settle(30)
        assert images(cluster) == ["web:1", "web:1", "web:1"]
        cluster.registry.delete(PODS, "default", "db-1")
        await cluster.settle(30)

        assert images(cluster) == ["web:1", "db:2", "web:1"]

    on_cluster(story)


def test_min_ready_seconds_hold_up_the_next_pod() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.registry.create(STATEFUL_SETS, "default", stateful_set(2, minReadySeconds=15))
        await cluster.settle(12)
        assert names(cluster) == ["db-0"]
        await cluster.until(lambda: owner(cluster)["status"]["availableReplicas"] == 2)

        assert names(cluster) == ["db-0", "db-1"]

    on_cluster(story)


def test_undo_takes_the_old_revision_up_again_as_the_newest() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        first = owner(cluster)["status"]["updateRevision"]
        for image in ("db:2", "web:1"):
            cluster.edit(STATEFUL_SETS, "db", set_image(image))
            await cluster.settle(60)

        revisions = {
            r["metadata"]["name"]: r["revision"] for r in cluster.registry.list(CONTROLLER_REVISIONS, "default")
        }
        assert len(revisions) == 2
        assert revisions[first] == 3
        assert owner(cluster)["status"]["currentRevision"] == first

    on_cluster(story)


def test_old_revisions_past_the_limit_are_deleted() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, 1, revisionHistoryLimit=1)
        for number in range(2, 6):
            cluster.edit(STATEFUL_SETS, "db", set_image(f"db:{number}"))
            await cluster.settle(20)

        revisions = [r["revision"] for r in cluster.registry.list(CONTROLLER_REVISIONS, "default")]
        assert sorted(revisions) == [4, 5]

    on_cluster(story)


def test_claims_are_made_once_bound_and_mounted_by_number() -> None:
    async def story(cluster: LittleCluster) -> None:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        await stand(cluster, 2, volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": spec}])

        claims = {claim["metadata"]["name"]: claim for claim in cluster.registry.list(PVCS, "default")}
        assert list(claims) == ["data-db-0", "data-db-1"]
        assert claims["data-db-0"]["status"]["phase"] == "Bound"
        volume = cluster.registry.get(PODS, "default", "db-1")["spec"]["volumes"][0]
        assert volume == {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}

    on_cluster(story)


def test_a_failed_pod_is_removed_and_comes_anew() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        cluster.say(cluster.registry.get(PODS, "default", "db-0"), "Failed", ready=False)
        await cluster.settle(10)

        assert cluster.registry.get(PODS, "default", "db-0")["status"]["phase"] == "Running"

    on_cluster(story)
