"""Deployments on the real registry, with a kubelet that only writes statuses."""

from __future__ import annotations

from little_cluster import LittleCluster, deployment, on_cluster, set_image

from rollcheck.sandbox.resources import DEPLOYMENTS


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
