"""StatefulSets and DaemonSets: when a rollout of theirs is done, which pods it reaches; several workloads at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import trio

from rollcheck.facts.cluster import Change, KubeEvent, PodSeen, WorkloadSeen
from rollcheck.kube import objects, rollout
from rollcheck.kube.api import Api
from rollcheck.kube.observer import Observer
from tests.fakes import recorded
from tests.fakes.api import Answer, Request, Stream, access_to, serving

POD = objects.pod(recorded.objects()["pods"]["web"], 0, Change.LISTED, with_spec=True)


def stateful(**status: Any) -> WorkloadSeen:
    counts = {"replicas": 3, "readyReplicas": 3, "updatedReplicas": 3, "availableReplicas": 3, "observedGeneration": 2}
    revisions = {"currentRevision": "web-2", "updateRevision": "web-2"}
    spec = {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": status.pop("partition", 0)}}}
    raw = {"metadata": {"name": "web", "generation": 2}, "spec": spec, "status": {**counts, **revisions, **status}}
    return objects.workload(raw, 0, Change.LISTED, "StatefulSet")


def daemon(**status: Any) -> WorkloadSeen:
    counts = {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2, "observedGeneration": 2}
    raw = {"metadata": {"name": "web", "generation": 2}, "spec": {}, "status": {**counts, **status}}
    return objects.workload(raw, 0, Change.LISTED, "DaemonSet")


@pytest.mark.parametrize(
    ("workload", "done"),
    [
        (stateful(), True),
        (stateful(observedGeneration=1), False),
        (stateful(readyReplicas=2), False),
        (stateful(updateRevision="web-3"), False),
        (stateful(updateRevision="web-3", updatedReplicas=1, partition=2), True),
        (stateful(updateRevision="web-3", updatedReplicas=0, partition=2), False),
        (replace(stateful(updateRevision="web-3"), strategy="OnDelete"), True),
        (daemon(), True),
        (daemon(updatedNumberScheduled=1), False),
        (daemon(numberAvailable=1), False),
        (daemon(observedGeneration=1), False),
    ],
)
def test_a_rollout_is_done_as_kubectl_says(workload: WorkloadSeen, done: bool) -> None:
    assert rollout.is_complete(workload) is done


@pytest.mark.parametrize(("name", "reached"), [("web-0", False), ("web-1", False), ("web-2", True), ("web-10", True)])
def test_a_rollout_reaches_pods_from_the_partition_on(name: str, reached: bool) -> None:
    assert rollout.replaced_by_rollout(stateful(partition=2), replace(POD, name=name)) is reached


def test_a_daemonset_without_a_node_is_not_fit_for_a_run() -> None:
    assert "no node to run on" in rollout.problems_before(daemon(desiredNumberScheduled=0), [])


def test_a_problem_is_told_with_the_kind() -> None:
    problem = rollout.problems_before(stateful(readyReplicas=1), [])
    assert problem.startswith("statefulset/web in namespace")


def test_a_pod_of_a_controller_revision_has_its_hash() -> None:
    raw = {"metadata": {"labels": {"controller-revision-hash": "web-5d"}}}
    assert objects.pod(raw, 0, Change.LISTED, with_spec=False).template_hash == "web-5d"


@pytest.mark.loopback
class TestSeveralWorkloads:
    def observed(self, lists: dict[str, list[Any]]) -> tuple[Observer, list[Any]]:
        deployment = objects.workload(recorded.objects()["deployments"]["web"], 0, Change.LISTED)
        database = replace(stateful(), name="db", namespace="default", uid="uid-db", pod_selector="app=db")
        facts: list[Any] = []

        async def handler(request: Request, stream: Stream) -> Answer | None:
            key = f"{request.path.rpartition('/')[2]} {request.query.get('labelSelector', '')}".strip()
            if "watch" not in request.query:
                return Answer(200, {"metadata": {"resourceVersion": "1"}, "items": lists.get(key, [])})
            await stream.start()
            await trio.sleep_forever()
            return None

        async def main() -> Observer:
            async with serving(handler) as fake, Api(access_to(fake.url)) as api:
                observer = Observer(api, deployment, [], facts.append, others=[database])
                async with trio.open_nursery() as nursery:
                    await nursery.start(observer.run)
                    nursery.cancel_scope.cancel()
                return observer

        return trio.run(main), facts

    def pod(self, name: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "uid": f"uid-{name}", "namespace": "default"}, "spec": {}, "status": {}}

    def test_each_pod_is_of_the_workload_whose_selector_picked_it(self) -> None:
        observer, _ = self.observed({"pods app=web": [self.pod("web-1")], "pods app=db": [self.pod("db-0")]})
        named = {ref: w for ref, w in observer.workloads.items() if w is not None}
        assert set(named) == {"deployment/web", "statefulset/db"}
        assert [p.name for p in observer.pods_of(named["deployment/web"])] == ["web-1"]
        assert [p.name for p in observer.pods_of(named["statefulset/db"])] == ["db-0"]

    def test_a_pod_that_two_selectors_pick_is_told_once(self) -> None:
        both = [self.pod("web-1")]
        _, facts = self.observed({"pods app=web": both, "pods app=db": both})
        assert len([f for f in facts if isinstance(f, PodSeen)]) == 1

    def test_an_autoscalers_words_are_kept_when_it_scales_one_of_them(self) -> None:
        def scaler(name: str, target: str) -> dict[str, Any]:
            reference = {"kind": "StatefulSet", "name": target}
            return {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {"scaleTargetRef": reference}}

        def word(name: str) -> dict[str, Any]:
            about = {"kind": "HorizontalPodAutoscaler", "uid": f"uid-{name}", "name": name}
            return {"metadata": {"uid": f"event-{name}"}, "reason": "SuccessfulRescale", "involvedObject": about}

        _, facts = self.observed(
            {
                "horizontalpodautoscalers": [scaler("ours", "db"), scaler("theirs", "cache")],
                "events": [word("ours"), word("theirs")],
            }
        )
        assert [f.name for f in facts if isinstance(f, KubeEvent)] == ["ours"]
