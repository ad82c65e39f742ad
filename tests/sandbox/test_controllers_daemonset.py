"""DaemonSets on the real registry."""

from __future__ import annotations

from typing import Any

from little_cluster import LittleCluster, on_cluster, pod_template, set_image

from rollcheck.sandbox.controllers import daemon_pods
from rollcheck.sandbox.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS

Json = dict[str, Any]


def daemon_set(**spec: Any) -> Json:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    whole = {
        "selector": {"matchLabels": {"app": "agent"}},
        "template": pod_template("agent"),
        "updateStrategy": rolling,
        "revisionHistoryLimit": 10,
        **spec,
    }
    return {"metadata": {"name": "agent", "namespace": "default"}, "spec": whole}


def status(cluster: LittleCluster) -> Json:
    found: Json = cluster.registry.get(DAEMON_SETS, "default", "agent")["status"]
    return found


async def stand(cluster: LittleCluster, **spec: Any) -> None:
    cluster.registry.create(DAEMON_SETS, "default", daemon_set(**spec))
    await cluster.until(lambda: status(cluster).get("numberAvailable") == status(cluster)["desiredNumberScheduled"])
    await cluster.settle()


def nodes_of(cluster: LittleCluster) -> list[str]:
    return sorted(pod["spec"].get("nodeName", "") for pod in cluster.pods())


def images(cluster: LittleCluster) -> list[str]:
    return sorted(pod["spec"]["containers"][0]["image"] for pod in cluster.pods())


async def fewest_while_rolling(cluster: LittleCluster, image: str) -> tuple[int, int]:
    """Roll; (the fewest ready pods, the most pods not on their way out) seen."""
    cluster.edit(DAEMON_SETS, "agent", set_image(image))
    fewest, most = 99, 0
    for _ in range(600):
        await cluster.settle(0.1)
        ready = sum(
            cluster.condition(p, "Ready")["status"] == "True"
            for p in cluster.pods()
            if "conditions" in p["status"] and p["status"]["phase"] == "Running"
        )
        fewest, most = min(fewest, ready), max(most, len(cluster.pods()))
    return fewest, most


def test_every_node_gets_a_pod_and_new_nodes_get_theirs() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        assert nodes_of(cluster) == ["n1", "n2", "n3"]
        cluster.node("n4")
        await cluster.settle()

        assert nodes_of(cluster) == ["n1", "n2", "n3", "n4"]
        assert status(cluster)["desiredNumberScheduled"] == status(cluster)["numberReady"] == 4

    on_cluster(story)


def test_a_cordoned_node_keeps_and_gets_its_daemon_pod() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.registry.modify(NODES, None, "n1", lambda obj: obj["spec"].update(unschedulable=True))
        await stand(cluster)

        assert nodes_of(cluster) == ["n1", "n2", "n3"]

    on_cluster(story)


def test_a_taint_keeps_the_pod_away_and_no_execute_removes_it() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        for name, effect in (("n1", "NoSchedule"), ("n2", "NoExecute")):
            taint = {"key": "dedicated", "value": "db", "effect": effect}
            cluster.registry.modify(NODES, None, name, lambda obj, t=taint: obj["spec"].update(taints=[t]))
        await cluster.settle(10)

        assert nodes_of(cluster) == ["n1", "n3"]
        assert status(cluster)["desiredNumberScheduled"] == 1
        assert status(cluster)["numberMisscheduled"] == 1

    on_cluster(story)


def test_a_node_selector_chooses_nodes() -> None:
    async def story(cluster: LittleCluster) -> None:
        template = pod_template("agent", nodeSelector={"kubernetes.io/hostname": "n2"})
        await stand(cluster, template=template)

        assert nodes_of(cluster) == ["n2"]

    on_cluster(story)


def test_a_rolling_update_takes_one_node_at_a_time() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        assert await fewest_while_rolling(cluster, "agent:2") == (2, 3)

        assert images(cluster) == ["agent:2"] * 3
        assert status(cluster)["updatedNumberScheduled"] == 3

    on_cluster(story)


def test_with_surge_the_new_pod_is_ready_before_the_old_one_goes() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(
            cluster, updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        )
        fewest, most = await fewest_while_rolling(cluster, "agent:2")

        assert fewest == 3
        assert most == 4
        assert images(cluster) == ["agent:2"] * 3

    on_cluster(story)


def test_an_update_stops_at_a_pod_that_does_not_become_ready() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        cluster.readiness = lambda pod: pod["spec"]["containers"][0]["image"] != "broken"
        cluster.edit(DAEMON_SETS, "agent", set_image("broken"))
        await cluster.settle(60)

        assert images(cluster) == ["broken", "web:1", "web:1"]
        assert status(cluster)["numberUnavailable"] == 1

    on_cluster(story)


def test_on_delete_updates_only_what_is_deleted() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster, updateStrategy={"type": "OnDelete"})
        cluster.edit(DAEMON_SETS, "agent", set_image("agent:2"))
        await cluster.settle(30)
        assert images(cluster) == ["web:1"] * 3
        cluster.registry.delete(PODS, "default", cluster.pods()[0]["metadata"]["name"])
        await cluster.settle(10)

        assert images(cluster) == ["agent:2", "web:1", "web:1"]

    on_cluster(story)


def test_undo_takes_the_old_revision_up_again() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        for image in ("agent:2", "web:1"):
            cluster.edit(DAEMON_SETS, "agent", set_image(image))
            await cluster.settle(60)

        assert sorted(r["revision"] for r in cluster.registry.list(CONTROLLER_REVISIONS, "default")) == [2, 3]
        assert images(cluster) == ["web:1"] * 3

    on_cluster(story)


def test_a_failed_pod_is_told_and_replaced() -> None:
    async def story(cluster: LittleCluster) -> None:
        await stand(cluster)
        failed = cluster.pods()[0]
        cluster.say(failed, "Failed", ready=False)
        await cluster.settle(10)

        name, node = failed["metadata"]["name"], failed["spec"]["nodeName"]
        text = f"Found failed daemon pod default/{name} on node {node}, will try to kill it"
        assert cluster.events("DaemonSet", "FailedDaemonPod") == [text]
        assert nodes_of(cluster) == ["n1", "n2", "n3"]

    on_cluster(story)


def test_both_amounts_are_rounded_up_and_both_nothing_becomes_one() -> None:
    def limits(surge: Any, unavailable: Any, desired: int) -> tuple[int, int]:
        rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
        return daemon_pods.limits(
            {"spec": {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}, desired
        )

    assert limits(0, "10%", 11) == (0, 2)
    assert limits("10%", 0, 11) == (2, 0)
    assert limits(0, 0, 3) == (0, 1)
