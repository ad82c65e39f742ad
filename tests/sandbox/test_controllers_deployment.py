"""Deployments on the real registry, with a kubelet that only writes statuses."""

from __future__ import annotations

import trio
from little_cluster import LittleCluster, deployment, on_cluster, pod_template, set_image

from rollcheck.sandbox.controllers.hashes import template_hash
from rollcheck.sandbox.controllers.pods import is_ready
from rollcheck.sandbox.resources import DEPLOYMENTS, PODS, REPLICA_SETS


def test_a_new_deployment_gets_its_pods_and_says_that_it_is_available() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.registry.create(DEPLOYMENTS, "default", deployment())
        await cluster.until(lambda: cluster.deployment()["status"].get("availableReplicas") == 3)
        await cluster.settle()

        status = cluster.deployment()["status"]
        assert status["replicas"] == status["updatedReplicas"] == status["readyReplicas"] == 3
        assert "unavailableReplicas" not in status
        assert status["observedGeneration"] == cluster.deployment()["metadata"]["generation"] == 1
        assert cluster.condition(cluster.deployment(), "Available")["reason"] == "MinimumReplicasAvailable"
        progressing = cluster.condition(cluster.deployment(), "Progressing")
        piece = cluster.replica_sets()[0]["metadata"]["name"]
        assert progressing["reason"] == "NewReplicaSetAvailable"
        assert progressing["message"] == f'ReplicaSet "{piece}" has successfully progressed.'
        assert cluster.events("Deployment") == [f"Scaled up replica set {piece} from 0 to 3"]

    on_cluster(story)


async def stand(cluster: LittleCluster, **spec: object) -> None:
    """A deployment of the first revision, complete."""
    cluster.registry.create(DEPLOYMENTS, "default", deployment(**spec))  # type: ignore[arg-type]
    await cluster.until(lambda: done(cluster))
    await cluster.settle()


def done(cluster: LittleCluster) -> bool:
    now = cluster.deployment()
    status, desired = now["status"], now["spec"]["replicas"]
    seen = status.get("observedGeneration", 0) >= now["metadata"]["generation"]
    counts = (status.get(field, 0) for field in ("replicas", "updatedReplicas", "availableReplicas"))
    return seen and all(count == desired for count in counts)


async def roll(cluster: LittleCluster, image: str = "web:2") -> None:
    cluster.edit(DEPLOYMENTS, "web", set_image(image))
    await cluster.until(lambda: done(cluster))
    await cluster.settle()


def scalings(cluster: LittleCluster) -> list[str]:
    """The scaling events since the first, with the two ReplicaSets called old and new."""
    old, new = (piece["metadata"]["name"] for piece in cluster.replica_sets())
    texts = [text.replace(old, "old").replace(new, "new") for text in cluster.events("Deployment", "ScalingReplicaSet")]
    return texts[1:]


class Extremes:
    """The most pods asked for and the fewest ready ones that a watcher of pods saw, since it began to look.

    Asked for, not there: the bounds hold for the sizes of ReplicaSets. Of two that change at about the same time the
    one that grows may be looked at first, here as in Kubernetes.
    """

    def __init__(self, cluster: LittleCluster) -> None:
        self.most, self.fewest = 0, 10**6
        self._cluster = cluster

    async def watch(self) -> None:
        async for _ in self._cluster.registry.watch(PODS):
            sizes = sum(piece["spec"]["replicas"] for piece in self._cluster.replica_sets())
            self.most = max(self.most, sizes)
            self.fewest = min(self.fewest, sum(is_ready(pod) for pod in self._cluster.pods()))


def test_a_rolling_update_goes_step_by_step_within_its_bounds() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, replicas=4)
        extremes = Extremes(cluster)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(extremes.watch)
            await roll(cluster)
            nursery.cancel_scope.cancel()

        assert scalings(cluster) == [
            "Scaled up replica set new from 0 to 1",
            "Scaled down replica set old from 4 to 3",
            "Scaled up replica set new from 1 to 2",
            "Scaled down replica set old from 3 to 1",
            "Scaled up replica set new from 2 to 4",
            "Scaled down replica set old from 1 to 0",
        ]
        assert extremes.most <= 5
        assert extremes.fewest >= 3

    on_cluster(story)


def test_no_surge_and_no_unavailable_by_rounding_become_one_unavailable() -> None:
    async def story(cluster: LittleCluster) -> None:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "25%"}}
        await stand(cluster, replicas=2, strategy=rolling)
        await roll(cluster)

        assert scalings(cluster)[:2] == [
            "Scaled down replica set old from 2 to 1",
            "Scaled up replica set new from 0 to 1",
        ]

    on_cluster(story)


def test_recreate_waits_until_the_last_old_pod_is_gone() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, replicas=3, strategy={"type": "Recreate"})
        cluster.stop_s = 7.0
        cluster.edit(DEPLOYMENTS, "web", set_image("web:2"))
        await cluster.settle(6.0)
        assert len(cluster.replica_sets()) == 1
        assert len(cluster.pods(alive=False)) == 3
        assert cluster.pods() == []

        await cluster.until(lambda: done(cluster))
        assert scalings(cluster) == ["Scaled down replica set old from 3 to 0", "Scaled up replica set new from 0 to 3"]

    on_cluster(story)


def test_undo_brings_the_old_replica_set_back_under_a_new_revision() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        first = cluster.replica_sets()[0]["metadata"]["name"]
        await roll(cluster)
        await roll(cluster, "web:1")

        revisions = {piece["metadata"]["name"]: piece["metadata"]["annotations"] for piece in cluster.replica_sets()}
        assert len(revisions) == 2
        assert revisions[first]["deployment.kubernetes.io/revision"] == "3"
        assert revisions[first]["deployment.kubernetes.io/revision-history"] == "1"
        assert cluster.deployment()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"

    on_cluster(story)


def test_no_more_old_replica_sets_are_kept_than_the_history_limit() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, revisionHistoryLimit=1)
        for number in (2, 3, 4):
            await roll(cluster, f"web:{number}")

        kept = [
            piece["metadata"]["annotations"]["deployment.kubernetes.io/revision"] for piece in cluster.replica_sets()
        ]
        assert kept == ["3", "4"]

    on_cluster(story)


def test_pods_and_replica_set_carry_the_hash_of_their_template() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        piece = cluster.replica_sets()[0]
        digest = piece["metadata"]["labels"]["pod-template-hash"]

        assert piece["metadata"]["name"] == f"web-{digest}"
        assert piece["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
        assert {pod["metadata"]["labels"]["pod-template-hash"] for pod in cluster.pods()} == {digest}
        assert all(pod["metadata"]["name"].startswith(f"web-{digest}-") for pod in cluster.pods())

    on_cluster(story)


def test_pods_are_available_only_after_min_ready_seconds() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.registry.create(DEPLOYMENTS, "default", deployment(minReadySeconds=20))
        await cluster.until(lambda: cluster.deployment()["status"].get("readyReplicas") == 3)
        ready_at = cluster.registry.clock.monotonic()
        assert "availableReplicas" not in cluster.deployment()["status"]
        await cluster.until(lambda: done(cluster))

        assert 19.0 <= cluster.registry.clock.monotonic() - ready_at <= 21.0

    on_cluster(story)


def test_a_rollout_that_does_not_move_is_told_after_its_deadline_and_nothing_is_undone() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, progressDeadlineSeconds=60)
        cluster.readiness = lambda pod: False
        cluster.edit(DEPLOYMENTS, "web", set_image("broken"))
        began = cluster.registry.clock.monotonic()
        reason = lambda: cluster.condition(cluster.deployment(), "Progressing")["reason"]  # noqa: E731
        await cluster.until(lambda: reason() == "ProgressDeadlineExceeded")
        new = cluster.replica_sets()[-1]["metadata"]["name"]

        assert 60.0 <= cluster.registry.clock.monotonic() - began <= 66.0
        condition = cluster.condition(cluster.deployment(), "Progressing")
        assert condition["status"] == "False"
        assert condition["message"] == f'ReplicaSet "{new}" has timed out progressing.'
        assert sum(is_ready(pod) for pod in cluster.pods()) == 3
        assert cluster.condition(cluster.deployment(), "Available")["status"] == "True"

    on_cluster(story)


def test_after_a_bad_image_undo_removes_the_pods_that_never_became_ready() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, replicas=4)
        cluster.readiness = lambda pod: pod["spec"]["containers"][0]["image"] != "broken"
        cluster.edit(DEPLOYMENTS, "web", set_image("broken"))
        await cluster.settle(30)
        await roll(cluster, "web:1")

        assert {pod["spec"]["containers"][0]["image"] for pod in cluster.pods()} == {"web:1"}

    on_cluster(story)


def test_a_second_rollout_first_removes_what_never_became_ready() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, replicas=4)
        cluster.readiness = lambda pod: pod["spec"]["containers"][0]["image"] != "broken"
        cluster.edit(DEPLOYMENTS, "web", set_image("broken"))
        await cluster.settle(30)
        assert sum(is_ready(pod) for pod in cluster.pods()) == 3
        extremes = Extremes(cluster)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(extremes.watch)
            await roll(cluster, "web:3")
            nursery.cancel_scope.cancel()

        assert extremes.fewest == 3
        assert {pod["spec"]["containers"][0]["image"] for pod in cluster.pods()} == {"web:3"}

    on_cluster(story)


def test_a_paused_deployment_scales_and_does_not_roll() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        cluster.edit(DEPLOYMENTS, "web", lambda obj: obj["spec"].update(paused=True))
        cluster.edit(DEPLOYMENTS, "web", set_image("web:2"))
        cluster.edit(DEPLOYMENTS, "web", lambda obj: obj["spec"].update(replicas=5))
        await cluster.until(lambda: cluster.deployment()["status"].get("availableReplicas") == 5)
        assert len(cluster.replica_sets()) == 1
        assert cluster.condition(cluster.deployment(), "Progressing")["reason"] == "DeploymentPaused"

        cluster.edit(DEPLOYMENTS, "web", lambda obj: obj["spec"].pop("paused"))
        await cluster.until(lambda: done(cluster))
        assert len(cluster.replica_sets()) == 2

    on_cluster(story)


def test_scaling_in_the_middle_of_a_rollout_is_shared_out_in_proportion() -> None:
    async def story(cluster: LittleCluster) -> None:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
        await stand(cluster, replicas=10, strategy=rolling)
        cluster.readiness = lambda pod: pod["spec"]["containers"][0]["image"] != "broken"
        cluster.edit(DEPLOYMENTS, "web", set_image("broken"))
        await cluster.settle(30)
        assert [piece["spec"]["replicas"] for piece in cluster.replica_sets()] == [8, 5]

        cluster.edit(DEPLOYMENTS, "web", lambda obj: obj["spec"].update(replicas=15))
        await cluster.settle(0.5)
        assert [piece["spec"]["replicas"] for piece in cluster.replica_sets()] == [11, 7]  # kubernetes.io's own example

    on_cluster(story)


def test_scaling_to_nothing_and_back_takes_one_replica_set() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        cluster.edit(DEPLOYMENTS, "web", lambda obj: obj["spec"].update(replicas=0))
        await cluster.until(lambda: cluster.pods(alive=False) == [])
        assert "replicas" not in cluster.deployment()["status"]

        cluster.edit(DEPLOYMENTS, "web", lambda obj: obj["spec"].update(replicas=2))
        await cluster.until(lambda: done(cluster))
        assert len(cluster.replica_sets()) == 1

    on_cluster(story)


def test_a_restart_stamp_in_the_template_replaces_every_pod() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        before = {pod["metadata"]["uid"] for pod in cluster.pods()}
        stamp = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T12:00:09Z"}
        cluster.edit(DEPLOYMENTS, "web", lambda obj: obj["spec"]["template"]["metadata"].update(annotations=stamp))
        await cluster.until(lambda: done(cluster))

        assert not before & {pod["metadata"]["uid"] for pod in cluster.pods()}
        assert all(pod["metadata"]["annotations"] == stamp for pod in cluster.pods())

    on_cluster(story)


def test_writing_its_own_status_and_revision_counts_no_generation() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        await roll(cluster)

        assert cluster.deployment()["metadata"]["generation"] == 2

    on_cluster(story)


def test_a_deployment_that_stands_writes_nothing() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        before = cluster.registry.version()
        await cluster.settle(600)

        assert cluster.registry.version() == before

    on_cluster(story)


def test_available_is_false_below_the_least_and_true_again_above_it() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, replicas=4)
        for pod in cluster.pods()[:2]:
            cluster.say(pod, "Running", ready=False)
        await cluster.settle(0.5)
        condition = cluster.condition(cluster.deployment(), "Available")
        assert (condition["status"], condition["reason"]) == ("False", "MinimumReplicasUnavailable")
        assert condition["message"] == "Deployment does not have minimum availability."
        assert cluster.deployment()["status"]["unavailableReplicas"] == 2

        for pod in cluster.pods():
            cluster.say(pod, "Running", ready=True)
        await cluster.settle(0.5)
        assert cluster.condition(cluster.deployment(), "Available")["status"] == "True"

    on_cluster(story)


def test_another_template_under_the_same_hash_is_told_apart_by_a_count() -> None:
    async def story(cluster: LittleCluster) -> None:
        digest = template_hash(cluster.registry.create(DEPLOYMENTS, "default", deployment())["spec"]["template"])
        cluster.registry.delete(DEPLOYMENTS, "default", "web")
        labels = {"app": "web", "mine": "yes"}
        spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod_template()}
        spec["template"]["metadata"]["labels"] = labels
        cluster.registry.create(REPLICA_SETS, "default", {"metadata": {"name": f"web-{digest}"}, "spec": spec})
        await stand(cluster)

        assert cluster.deployment()["status"]["collisionCount"] == 1
        assert f"web-{digest}" not in {pod["metadata"]["generateName"].rstrip("-") for pod in cluster.pods()}

    on_cluster(story)
