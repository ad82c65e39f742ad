"""All watches together: what is told, in which order, and what goes on when something is forbidden or dies."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import trio

from rollcheck.errors import ClusterDenied
from rollcheck.facts.actions import Note
from rollcheck.facts.cluster import (
    Change,
    KubeEvent,
    PodSeen,
    ReplicaSetSeen,
    ServiceSeen,
    SliceSeen,
    WatchGap,
    WorkloadSeen,
)
from rollcheck.kube import objects
from rollcheck.kube import observer as module
from rollcheck.kube import reflector as reflector_module
from rollcheck.kube.api import Api
from rollcheck.kube.observer import Observer, is_life
from tests.fakes import recorded
from tests.fakes.api import Answer, Request, Stream, access_to, serving, status_object

pytestmark = [pytest.mark.loopback, pytest.mark.anyio]

Json = dict[str, Any]

WORKLOAD = objects.workload(recorded.objects()["deployments"]["web"], 0, Change.LISTED)
SERVICES = [objects.service(recorded.objects()["services"]["web"], 0)]
OWNED = [recorded.objects()["replicasets"][0]]


class Cluster:
    """Lists what it is given; a watch says the recorded bytes (or the test's), then falls silent."""

    def __init__(self) -> None:
        pods, pod_bytes = recorded.watch("pods")
        slices, slice_bytes = recorded.watch("slices")
        self.lists: dict[str, list[Json]] = {
            "deployments": [recorded.objects()["deployments"]["web"]],
            "replicasets": copy.deepcopy(OWNED),
            "pods": pods["items"],
            "endpointslices": slices["items"],
            "horizontalpodautoscalers": [],
            "events": [],
        }
        self.watches: dict[str, bytes] = {"pods": pod_bytes, "endpointslices": slice_bytes}
        self.refuse: dict[str, int] = {}
        self.requests: list[Request] = []
        self.version_answers = True

    async def __call__(self, request: Request, stream: Stream) -> Answer | None:
        self.requests.append(request)
        name = request.path.rpartition("/")[2]
        if name == "version":
            if not self.version_answers:
                await trio.sleep(math.inf)
            return Answer(200, {"gitVersion": "v1.34.4"})
        if name in self.refuse:
            return status_object(self.refuse[name], "Forbidden", f"{name} is forbidden")
        if "watch" not in request.query:
            return Answer(200, {"metadata": {"resourceVersion": "1"}, "items": self.lists[name]})
        await stream.start()
        await stream.send(self.watches.get(name, b"\n"))
        await trio.sleep(math.inf)
        return None


class Run:
    """An observer until `enough`, and what it told; `cuts` holds how many facts there were at each `on_life`."""

    def __init__(self) -> None:
        self.facts: list[Any] = []
        self.cuts: list[int] = []
        self.observer: Observer | None = None

    async def until(
        self,
        cluster: Cluster,
        enough: Callable[[Run], bool],
        *,
        services: list[ServiceSeen] | None = None,
        workload: WorkloadSeen = WORKLOAD,
    ) -> Run:
        async with serving(cluster) as fake, Api(access_to(fake.url)) as api:
            self.observer = Observer(
                api,
                workload,
                SERVICES if services is None else services,
                self.facts.append,
                lambda: self.cuts.append(len(self.facts)),
            )
            with trio.fail_after(10):
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.observer.run)
                    while not enough(self):
                        await self.observer.wait_change()
                    nursery.cancel_scope.cancel()
        return self

    def of(self, kind: type[Any]) -> list[Any]:
        return [f for f in self.facts if isinstance(f, kind)]


def at_once(_: Run) -> bool:
    return True


def old_pods_gone(run: Run) -> bool:
    return len([p for p in run.of(PodSeen) if p.change is Change.DELETED]) == 2


def slices_done(run: Run) -> bool:
    return len(run.of(SliceSeen)) == 9


async def test_started_means_that_every_resource_has_been_listed() -> None:
    cluster = Cluster()
    run = await Run().until(cluster, at_once)
    listed = [r.path.rpartition("/")[2] for r in cluster.requests if "watch" not in r.query]
    resources = ["deployments", "replicasets", "pods", "endpointslices", "horizontalpodautoscalers", "events"]
    assert listed[:6] == resources
    assert {type(f) for f in run.facts[:3]} == {WorkloadSeen, ReplicaSetSeen, PodSeen}


async def test_each_resource_is_narrowed_to_what_concerns_us() -> None:
    cluster = Cluster()
    await Run().until(cluster, at_once)
    narrowed = {
        r.path.rpartition("/")[2]: r.query.get("labelSelector") or r.query.get("fieldSelector")
        for r in cluster.requests
    }
    assert narrowed == {
        "deployments": "metadata.name=web",
        "replicasets": "app=web",
        "pods": "app=web",
        "endpointslices": "kubernetes.io/service-name in (web)",
        "horizontalpodautoscalers": None,
        "events": None,
    }


async def test_the_pods_that_exist_are_kept_through_a_recorded_restart() -> None:
    run = await Run().until(Cluster(), old_pods_gone)
    assert run.observer is not None
    new = {p.uid for p in run.of(PodSeen) if p.change is Change.ADDED}
    assert set(run.observer.pods) == new
    assert all(p.ready for p in run.observer.pods.values())


async def test_a_pods_spec_is_told_with_its_first_observation_only() -> None:
    run = await Run().until(Cluster(), old_pods_gone)
    for uid in {p.uid for p in run.of(PodSeen)}:
        specs = [p.spec is not None for p in run.of(PodSeen) if p.uid == uid]
        assert specs == [True] + [False] * (len(specs) - 1)


async def test_counts_are_cut_just_before_the_fact_that_the_clients_may_feel() -> None:
    run = await Run().until(Cluster(), lambda r: old_pods_gone(r) and slices_done(r))
    after = [run.facts[at] for at in run.cuts]
    assert {type(f) for f in after} == {PodSeen, SliceSeen}
    deletions = [p for p in run.of(PodSeen) if p.change is Change.DELETED]
    assert all(p in after for p in deletions)
    first_marked = next(p for p in run.of(PodSeen) if p.deletion_at)
    assert first_marked in after


async def test_what_was_there_before_the_run_cuts_no_counts_but_its_slices_do_once() -> None:
    cluster = Cluster()
    cluster.watches = {}
    run = await Run().until(cluster, at_once)
    assert [type(run.facts[at]) for at in run.cuts] == [SliceSeen]


@pytest.mark.parametrize(
    ("change", "felt"),
    [
        ({}, False),
        ({"resource_version": "99"}, False),
        ({"ready": False}, True),
        ({"deletion_at": "2026-01-01T00:00:00Z"}, True),
        ({"change": Change.DELETED}, True),
        ({"change": Change.VANISHED}, True),
        ({"phase": "Failed"}, False),
    ],
)
async def test_which_changes_of_a_pod_its_clients_may_feel(change: dict[str, Any], felt: bool) -> None:
    pod = objects.pod(recorded.objects()["pods"]["web"], 0, Change.LISTED, with_spec=False)
    assert is_life(pod, replace(pod, **{"change": Change.MODIFIED, **change})) is felt


async def test_an_exit_and_a_restart_of_a_container_can_be_felt() -> None:
    pod = objects.pod(recorded.objects()["pods"]["web"], 0, Change.MODIFIED, with_spec=False)
    container = pod.containers[0]
    ended = replace(container, state="terminated", exit_code=0)
    assert is_life(pod, replace(pod, containers=(ended,)))
    assert is_life(pod, replace(pod, containers=(replace(container, restarts=container.restarts + 1),)))


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("name", ["replicasets", "endpointslices", "events"])
async def test_what_may_not_be_watched_is_named_and_the_run_goes_on(name: str, status: int) -> None:
    cluster = Cluster()
    cluster.refuse[name] = status
    run = await Run().until(cluster, old_pods_gone)
    (note,) = run.of(Note)
    assert (note.topic, note.fatal) == ("permission", False)
    assert note.text.startswith(f"{name} cannot be watched (")


@pytest.mark.parametrize("name", ["pods", "deployments"])
async def test_without_pods_or_the_deployment_there_is_no_run(name: str) -> None:
    cluster = Cluster()
    cluster.refuse[name] = 403
    with pytest.raises(ClusterDenied, match=f"{name} is forbidden"):
        await one_sentence(Run().until(cluster, at_once))


async def test_credentials_that_are_refused_are_not_taken_for_a_missing_right() -> None:
    cluster = Cluster()
    cluster.refuse["events"] = 401
    with pytest.raises(ClusterDenied, match="log in again"):
        await one_sentence(Run().until(cluster, at_once))


async def one_sentence(run: Any) -> None:
    """The observer's error without the nursery of this test around it."""
    try:
        await run
    except BaseExceptionGroup as group:
        inner: BaseException = group
        while isinstance(inner, BaseExceptionGroup):
            (inner,) = inner.exceptions
        raise inner from None


def event(kind: str, name: str, uid: str = "elsewhere") -> Json:
    return {
        "metadata": {"uid": f"event-{kind}-{name}-{uid}", "resourceVersion": "5"},
        "involvedObject": {"kind": kind, "name": name, "uid": uid},
        "reason": "Tested",
    }


def watch_line(kind: str, raw: Json) -> bytes:
    return json.dumps({"type": kind, "object": raw}).encode() + b"\n"


async def test_only_events_about_our_own_objects_are_told() -> None:
    cluster = Cluster()
    pod = recorded.watch("pods")[0]["items"][0]["metadata"]
    ours = [
        event("Pod", pod["name"], pod["uid"]),
        event("Deployment", "web", WORKLOAD.uid),
        event("ReplicaSet", "web-77dd85b9fd", OWNED[0]["metadata"]["uid"]),
        event("Pod", "web-77dd85b9fd-x2z5k"),  # of a pod that its own watch has not shown yet
    ]
    others = [
        event("Pod", "web-admin-77dd85b9fd-x2z5k"),
        event("ReplicaSet", "web-admin"),
        event("Node", "web-77dd85b9fd"),
        event("Deployment", "web"),
        event("Pod", "db-0"),
    ]
    cluster.watches["events"] = b"".join(watch_line("ADDED", e) for e in [*others, *ours])
    run = await Run().until(cluster, lambda r: len(r.of(KubeEvent)) == len(ours))
    assert [(e.kind, e.name) for e in run.of(KubeEvent)] == [
        (e["involvedObject"]["kind"], e["involvedObject"]["name"]) for e in ours
    ]


async def test_an_event_that_expires_is_not_told() -> None:
    cluster = Cluster()
    about = event("Deployment", "web", WORKLOAD.uid)
    then = {**event("Deployment", "web", WORKLOAD.uid), "reason": "Later"}
    then["metadata"] = {"uid": "later", "resourceVersion": "7"}
    cluster.lists["events"] = [about]
    cluster.watches["events"] = watch_line("DELETED", about) + watch_line("ADDED", then)
    run = await Run().until(cluster, lambda r: len(r.of(KubeEvent)) == 2)
    assert [(e.change, e.reason) for e in run.of(KubeEvent)] == [(Change.LISTED, "Tested"), (Change.ADDED, "Later")]


async def test_replica_sets_of_another_workload_with_the_same_labels_are_left_out() -> None:
    cluster = Cluster()
    foreign = copy.deepcopy(OWNED[0])
    foreign["metadata"].update(uid="foreign", name="canary-1")
    foreign["metadata"]["ownerReferences"][0]["uid"] = "another-deployment"
    cluster.lists["replicasets"].append(foreign)
    run = await Run().until(cluster, at_once)
    assert [r.name for r in run.of(ReplicaSetSeen)] == [OWNED[0]["metadata"]["name"]]


async def test_without_a_service_the_slices_that_name_our_pods_count() -> None:
    cluster = Cluster()
    foreign = copy.deepcopy(cluster.lists["endpointslices"][0])
    foreign["metadata"].update(uid="foreign", name="db-1")
    foreign["endpoints"] = [{"addresses": ["10.0.0.9"], "targetRef": {"uid": "db"}}]
    cluster.lists["endpointslices"] = [foreign, *cluster.lists["endpointslices"]]
    run = await Run().until(cluster, slices_done, services=[])
    assert {s.service for s in run.of(SliceSeen)} == {"web"}
    assert "foreign" not in {s.uid for s in run.of(SliceSeen)}


async def test_a_deployment_that_is_deleted_in_mid_run_is_none() -> None:
    cluster = Cluster()
    raw = copy.deepcopy(recorded.objects()["deployments"]["web"])
    cluster.watches["deployments"] = watch_line("DELETED", raw)
    run = Run()
    await run.until(cluster, lambda r: r.observer is not None and r.observer.workload is None)
    assert run.of(WorkloadSeen)[-1].change is Change.DELETED


async def test_a_server_that_stops_answering_is_unhealthy_and_its_silence_a_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PING_EVERY_S", 0.05)
    monkeypatch.setattr(module, "PING_WAIT_S", 0.1)
    cluster = Cluster()
    cluster.version_answers = False
    run = Run()
    async with serving(cluster) as fake, Api(access_to(fake.url)) as api:
        observer = Observer(api, WORKLOAD, SERVICES, run.facts.append)
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                await nursery.start(observer.run)
                assert observer.healthy
                while observer.healthy:
                    await trio.sleep(0.01)
                cluster.version_answers = True
                while not observer.healthy:
                    await trio.sleep(0.01)
                nursery.cancel_scope.cancel()
    (gap,) = run.of(WatchGap)
    assert (gap.resource, gap.reason, gap.relisted) == ("API server", "it did not answer in time", False)
    assert gap.end_ns > gap.start_ns


async def test_gaps_that_are_open_when_the_run_ends_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector_module, "BACKOFF_FIRST_S", 0.01)
    cluster = Cluster()
    run = Run()
    async with serving(cluster) as fake, Api(access_to(fake.url)) as api:
        observer = Observer(api, WORKLOAD, SERVICES, run.facts.append)
        async with trio.open_nursery() as nursery:
            cluster.watches = {}
            await nursery.start(observer.run)
            cluster.refuse = dict.fromkeys(cluster.lists, 500)
            fake.stop()
            while sum("watch" in r.query for r in cluster.requests) < 12:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert {g.resource for g in run.of(WatchGap)} == set(cluster.lists)
