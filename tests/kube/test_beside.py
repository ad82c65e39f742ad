"""Pods that a Service has beside the workload's own: which there may be, and whose a pod is."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from rollcheck.facts.cluster import Change, PodSeen, ServiceSeen, WorkloadSeen
from rollcheck.kube import discover, objects
from rollcheck.kube.api import Api
from rollcheck.kube.beside import selectors_beside
from rollcheck.kube.observer import Observer
from tests.fakes.api import Answer, Request, Stream, access_to, serving

Json = dict[str, Any]


def workload(
    selector: Json, labels: Json | None = None, *, name: str = "web", kind: str = "Deployment", rules: Any = ()
) -> WorkloadSeen:
    raw = {
        "metadata": {"name": name, "uid": f"uid-{name}", "namespace": "shop"},
        "spec": {
            "selector": {"matchLabels": selector, "matchExpressions": list(rules)},
            "template": {"metadata": {"labels": labels or selector}},
        },
    }
    return objects.workload(raw, 0, Change.LISTED, kind)


def service(name: str = "web", **selector: str) -> ServiceSeen:
    raw = {"metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}"}, "spec": {"selector": selector}}
    return objects.service(raw, 0)


WEB = {"app": "web"}
STABLE, CANARY = {"app": "web", "track": "stable"}, {"app": "web", "track": "canary"}


@pytest.mark.parametrize(
    ("services", "workloads", "found"),
    [
        ([service(app="web")], [workload(WEB)], ()),
        ([service(app="web", tier="front")], [workload(WEB, {**WEB, "tier": "front"})], ()),
        ([service(app="web")], [workload(STABLE)], ("app=web,track notin (stable)",)),
        (
            [service(app="web")],
            [workload(STABLE), workload(CANARY, name="canary")],
            ("app=web,track notin (canary,stable)",),
        ),
        ([service(role="front")], [workload(WEB, {**WEB, "role": "front"})], ("role=front,app notin (web)",)),
        ([service(app="web")], [workload({**STABLE, "zone": "a"})], ("app=web",)),
        ([service(app="web"), service("again", app="web")], [workload(STABLE)], ("app=web,track notin (stable)",)),
        ([service(app="other")], [workload(WEB)], ()),
        (
            [service(app="web")],
            [workload(WEB, STABLE, rules=[{"key": "track", "operator": "In", "values": ["stable"]}])],
            ("app=web",),
        ),
    ],
)
def test_what_is_watched_beside(
    services: list[ServiceSeen], workloads: list[WorkloadSeen], found: tuple[str, ...]
) -> None:
    assert selectors_beside(services, workloads) == found


def pod(name: str, labels: Json, *, by: tuple[str, str] | None = None) -> Json:
    meta: Json = {"name": name, "uid": f"uid-{name}", "namespace": "shop", "labels": labels}
    if by:
        meta["ownerReferences"] = [{"kind": by[0], "name": by[1], "uid": f"uid-{by[1]}", "controller": True}]
    return {"metadata": meta, "spec": {}, "status": {}}


def replica_set(name: str, owner: str, labels: Json) -> Json:
    made = pod(name, labels, by=("Deployment", owner))
    return {"metadata": made["metadata"]}


class Lists:
    """Answers lists by resource and label selector; watches stay silent."""

    def __init__(self, **lists: list[Json]) -> None:
        self.lists = lists
        self.asked: list[str] = []

    async def __call__(self, request: Request, stream: Stream) -> Answer | None:
        resource, selector = request.path.rpartition("/")[2], request.query.get("labelSelector", "")
        if "watch" in request.query:
            await stream.start()
            await trio.sleep_forever()
        self.asked.append(f"{resource} {selector}".strip())
        kept = [raw for raw in self.lists.get(resource, []) if picks(selector, raw["metadata"].get("labels", {}))]
        return Answer(200, {"metadata": {"resourceVersion": "1"}, "items": kept})


def picks(selector: str, labels: Json) -> bool:
    """Enough of a label selector: `a=b`, `a=b,c notin (d)`."""
    equal, _, unlike = selector.partition(",track notin ")
    own = all(labels.get(k) == v for k, _, v in (term.partition("=") for term in equal.split(",") if term))
    return own and (not unlike or labels.get("track", "") not in unlike.strip("()").split(","))


def observed(cluster: Lists, services: list[ServiceSeen], *workloads: WorkloadSeen) -> tuple[Observer, list[PodSeen]]:
    facts: list[Any] = []

    async def main() -> Observer:
        async with serving(cluster) as fake, Api(access_to(fake.url)) as api:
            observer = Observer(api, workloads[0], services, facts.append, others=workloads[1:])
            async with trio.open_nursery() as nursery:
                await nursery.start(observer.run)
                nursery.cancel_scope.cancel()
            return observer

    return trio.run(main), [fact for fact in facts if isinstance(fact, PodSeen)]


@pytest.mark.loopback
def test_a_canary_behind_the_same_service_is_a_fact_but_none_of_the_workloads_pods() -> None:
    there = Lists(pods=[pod("web-1", STABLE), pod("canary-1", CANARY), pod("db-0", {"app": "db"})])
    observer, facts = observed(there, [service(app="web")], workload(STABLE))

    assert [(p.name, p.beside) for p in facts] == [("web-1", False), ("canary-1", True)]
    assert [p.name for p in observer.pods.values()] == ["web-1"]


@pytest.mark.loopback
def test_of_one_workload_that_its_service_selects_alone_nothing_more_is_asked_for() -> None:
    there = Lists(pods=[pod("web-1", WEB)])
    observed(there, [service(app="web")], workload(WEB))

    assert [asked for asked in there.asked if asked.startswith("pods")] == ["pods app=web"]


@pytest.mark.loopback
def test_where_selectors_overlap_the_owner_tells_whose_a_pod_is() -> None:
    there = Lists(
        pods=[
            pod("web-a-1", WEB, by=("ReplicaSet", "web-a")),
            pod("canary-b-1", CANARY, by=("ReplicaSet", "canary-b")),
        ],
        replicasets=[replica_set("web-a", "web", WEB), replica_set("canary-b", "canary", CANARY)],
    )
    observer, facts = observed(there, [service(app="web")], workload(WEB))

    assert [(p.name, p.beside) for p in facts] == [("web-a-1", False), ("canary-b-1", True)]
    assert [p.name for p in observer.pods.values()] == ["web-a-1"]


@pytest.mark.loopback
def test_of_two_workloads_with_overlapping_selectors_each_has_its_own_pods() -> None:
    there = Lists(
        pods=[
            pod("web-a-1", STABLE, by=("ReplicaSet", "web-a")),
            pod("canary-b-1", CANARY, by=("ReplicaSet", "canary-b")),
        ],
        replicasets=[replica_set("web-a", "web", WEB), replica_set("canary-b", "canary", CANARY)],
    )
    web, canary = workload(WEB), workload(CANARY, name="canary")
    observer, facts = observed(there, [service(app="web")], web, canary)

    assert [p.name for p in observer.pods_of(web)] == ["web-a-1"]
    assert [p.name for p in observer.pods_of(canary)] == ["canary-b-1"]
    assert {p.name: p.workload for p in facts} == {"web-a-1": "deployment/web", "canary-b-1": "deployment/canary"}


@pytest.mark.loopback
def test_a_pod_of_another_kind_of_workload_is_not_taken_for_one_of_ours() -> None:
    there = Lists(pods=[pod("web-0", WEB, by=("StatefulSet", "web")), pod("job-1", WEB, by=("Job", "job"))])
    observer, facts = observed(there, [service(app="web")], workload(WEB, kind="StatefulSet"))

    assert [p.name for p in observer.pods.values()] == ["web-0"]
    assert [(p.name, p.beside) for p in facts] == [("web-0", False), ("job-1", True)]


def found(there: Lists, one: WorkloadSeen) -> list[str]:
    async def main() -> list[str]:
        async with serving(there) as fake, Api(access_to(fake.url)) as api:
            return [p.name for p in await discover.find_pods(api, one)]

    return trio.run(main)


@pytest.mark.loopback
def test_pods_that_another_workload_controls_are_not_found_as_ours() -> None:
    there = Lists(
        pods=[
            pod("web-a-1", WEB, by=("ReplicaSet", "web-a")),
            pod("canary-b-1", CANARY, by=("ReplicaSet", "canary-b")),
            pod("cache-0", WEB, by=("StatefulSet", "cache")),
        ],
        replicasets=[replica_set("web-a", "web", WEB), replica_set("canary-b", "canary", CANARY)],
    )

    assert found(there, workload(WEB)) == ["web-a-1"]
    assert found(there, workload(WEB, name="cache", kind="StatefulSet")) == ["cache-0"]


@pytest.mark.loopback
def test_the_pods_beside_are_those_of_the_service_that_are_not_ours() -> None:
    there = Lists(pods=[pod("web-1", STABLE), pod("canary-1", CANARY)])

    async def main() -> list[str]:
        async with serving(there) as fake, Api(access_to(fake.url)) as api:
            own = await discover.find_pods(api, workload(STABLE))
            return [p.name for p in await discover.find_beside(api, [workload(STABLE)], [service(app="web")], own)]

    assert trio.run(main) == ["canary-1"]
