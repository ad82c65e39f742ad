"""Jobs on the real registry: completions, indexes, failures, the order of conditions."""

from __future__ import annotations

from typing import Any

from little_cluster import LittleCluster, on_cluster, pod_template

from rollcheck.sandbox.controllers.indexes import INDEX
from rollcheck.sandbox.resources import JOBS, PODS

Json = dict[str, Any]


def job(**spec: Any) -> Json:
    template = pod_template("work", restartPolicy="Never")
    whole = {
        "parallelism": 1,
        "completions": 1,
        "completionMode": "NonIndexed",
        "backoffLimit": 6,
        "suspend": False,
        "template": template,
        **spec,
    }
    return {"metadata": {"name": "work"}, "spec": {key: value for key, value in whole.items() if value is not None}}


def start(cluster: LittleCluster, **spec: Any) -> None:
    cluster.registry.create(JOBS, "default", job(**spec))


def status(cluster: LittleCluster) -> Json:
    found: Json = cluster.registry.get(JOBS, "default", "work")["status"]
    return found


def conditions(cluster: LittleCluster) -> list[tuple[str, str]]:
    return [(c["type"], c.get("reason", "")) for c in status(cluster).get("conditions", []) if c["status"] == "True"]


def is_over(cluster: LittleCluster) -> bool:
    return any(kind in ("Complete", "Failed") for kind, _ in conditions(cluster))


def test_a_job_runs_as_many_at_once_as_it_may_until_enough_have_succeeded() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.fate = lambda pod: "Succeeded"
        start(cluster, completions=5, parallelism=2)
        most = 0
        while not is_over(cluster):
            await cluster.settle(0.1)
            most = max(most, status(cluster).get("active", 0))

        assert most == 2
        assert status(cluster)["succeeded"] == 5
        assert "active" not in status(cluster)
        assert conditions(cluster) == [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")]
        assert status(cluster)["completionTime"] > status(cluster)["startTime"]
        assert cluster.events("Job", "Completed") == ["Job completed"]
        assert len(cluster.pods()) == 5
        assert all("finalizers" not in pod["metadata"] for pod in cluster.pods())

    on_cluster(story)


def test_an_indexed_job_runs_every_index_once_and_writes_which_are_done() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.fate = lambda pod: "Succeeded" if pod["metadata"]["annotations"][INDEX] != "1" else ""
        start(cluster, completions=4, parallelism=4, completionMode="Indexed")
        await cluster.settle(20)
        assert status(cluster)["completedIndexes"] == "0,2,3"
        assert status(cluster)["succeeded"] == 3
        pod = next(p for p in cluster.pods() if p["metadata"]["annotations"][INDEX] == "1")
        assert pod["metadata"]["name"].startswith("work-1-")
        assert pod["spec"]["hostname"] == "work-1"
        field = {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}
        assert pod["spec"]["containers"][0]["env"] == [
            {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": field}}
        ]

        cluster.say(pod, "Succeeded", ready=False)
        await cluster.settle()
        assert status(cluster)["completedIndexes"] == "0-3"
        assert is_over(cluster)

    on_cluster(story)


def test_a_failed_index_is_tried_again_under_its_number() -> None:
    async def story(cluster: LittleCluster) -> None:
        failures = iter(["Failed"])
        cluster.fate = lambda pod: next(failures, "Succeeded")
        start(cluster, completions=2, parallelism=1, completionMode="Indexed")
        await cluster.until(lambda: is_over(cluster))

        assert (status(cluster)["failed"], status(cluster)["completedIndexes"]) == (1, "0,1")
        assert sorted(pod["metadata"]["annotations"][INDEX] for pod in cluster.pods()) == ["0", "0", "1"]

    on_cluster(story)


def test_failures_wait_longer_each_time_and_end_the_job_at_the_limit() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.fate = lambda pod: "Failed"
        start(cluster, backoffLimit=2)
        born: list[float] = []
        while not is_over(cluster):
            await cluster.settle(0.5)
            if len(cluster.pods()) > len(born):
                born.append(cluster.registry.clock.monotonic())

        assert status(cluster)["failed"] == 3
        assert conditions(cluster) == [("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")]
        assert cluster.events("Job", "BackoffLimitExceeded") == ["Job has reached the specified backoff limit"]
        assert 11 <= born[1] - born[0] <= 14  # 2 s of life, then 10
        assert 21 <= born[2] - born[1] <= 24  # then 20

    on_cluster(story)


def test_a_job_past_its_deadline_ends_its_pods_and_says_so_once_they_are_gone() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.stop_s = 10.0
        start(cluster, completions=2, parallelism=2, activeDeadlineSeconds=20)
        await cluster.settle(24)
        assert conditions(cluster) == [("FailureTarget", "DeadlineExceeded")]
        assert status(cluster)["terminating"] == 2
        await cluster.settle(12)

        assert conditions(cluster)[-1] == ("Failed", "DeadlineExceeded")
        assert cluster.pods(alive=False) == []

    on_cluster(story)


def test_a_suspended_job_has_no_pods_and_goes_on_when_resumed() -> None:
    async def story(cluster: LittleCluster) -> None:
        start(cluster)
        await cluster.settle(5)
        cluster.edit(JOBS, "work", lambda obj: obj["spec"].update(suspend=True))
        await cluster.settle(10)
        assert cluster.pods(alive=False) == []
        assert conditions(cluster) == [("Suspended", "JobSuspended")]
        assert "failed" not in status(cluster)
        cluster.fate = lambda pod: "Succeeded"
        cluster.edit(JOBS, "work", lambda obj: obj["spec"].update(suspend=False))
        await cluster.settle(10)

        assert is_over(cluster)
        assert cluster.events("Job", "Suspended", "Resumed") == ["Job suspended", "Job resumed"]

    on_cluster(story)


def test_without_completions_one_success_ends_a_queue_of_workers() -> None:
    async def story(cluster: LittleCluster) -> None:
        start(cluster, completions=None, parallelism=3)
        await cluster.settle(5)
        for pod in cluster.pods():
            cluster.say(pod, "Succeeded", ready=False)
        await cluster.settle(5)

        assert is_over(cluster)
        assert (status(cluster)["succeeded"], len(cluster.pods())) == (3, 3)

    on_cluster(story)


def test_a_pod_deleted_before_its_end_is_counted_and_replaced() -> None:
    async def story(cluster: LittleCluster) -> None:
        start(cluster)
        await cluster.settle(5)
        cluster.registry.delete(PODS, "default", cluster.pods()[0]["metadata"]["name"])
        await cluster.settle(30)

        assert len(cluster.pods(alive=False)) == 1
        assert status(cluster)["active"] == 1

    on_cluster(story)


def test_deleting_a_job_takes_its_pods_along() -> None:
    async def story(cluster: LittleCluster) -> None:
        start(cluster, completions=3, parallelism=3)
        await cluster.settle(5)
        cluster.registry.delete(JOBS, "default", "work", propagation="Background")
        await cluster.settle(10)

        assert cluster.pods(alive=False) == []

    on_cluster(story)


def test_a_finished_job_goes_with_its_pods_once_its_time_is_over() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.fate = lambda pod: "Succeeded"
        start(cluster, ttlSecondsAfterFinished=60)
        await cluster.until(lambda: is_over(cluster))
        await cluster.settle(50)
        assert len(cluster.pods()) == 1
        await cluster.settle(15)

        assert cluster.registry.list(JOBS, "default") == cluster.pods(alive=False) == []

    on_cluster(story)


def test_scaling_a_job_down_counts_no_failure() -> None:
    async def story(cluster: LittleCluster) -> None:
        start(cluster, completions=4, parallelism=4, backoffLimit=0)
        await cluster.settle(5)
        cluster.edit(JOBS, "work", lambda obj: obj["spec"].update(parallelism=1))
        await cluster.settle(10)

        assert len(cluster.pods(alive=False)) == 1
        assert "failed" not in status(cluster)
        assert not is_over(cluster)

    on_cluster(story)
