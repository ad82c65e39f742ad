"""EndpointSlices: the arithmetic in tables, then the controller on the real registry."""

from __future__ import annotations

import json
from typing import Any

import pytest
from little_cluster import LittleCluster, deployment, on_cluster, pod_template

from rollcheck.sandbox.controllers import endpoints
from rollcheck.sandbox.resources import DEPLOYMENTS, ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES

Json = dict[str, Any]
PORTS = [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]


def service(**spec: Any) -> Json:
    whole = {"selector": {"app": "web"}, "clusterIP": "127.9.200.1", "ports": PORTS, **spec}
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "service-uid", "labels": {"team": "a"}},
        "spec": whole,
    }


def pod(name: str, *, ready: bool = True, going: bool = False, **more: Any) -> Json:
    meta: Json = {"name": name, "namespace": "default", "uid": f"{name}-uid", "labels": {"app": "web"}}
    if going:
        meta["deletionTimestamp"] = "2026-01-01T12:00:30Z"
    meta["annotations"] = more.get("annotations", {})
    number = sum(name.encode()) % 250
    status = {
        "phase": more.get("phase", "Running"),
        "conditions": [{"type": "Ready", "status": str(ready)}],
        "podIP": f"127.9.1.{number}",
        "podIPs": [{"ip": f"127.9.1.{number}"}],
    }
    containers = [{"name": "main", "image": "a", "ports": more.get("ports", [])}]
    return {
        "metadata": meta,
        "spec": {"nodeName": "n1", "containers": containers},
        "status": more.get("status", status),
    }


def plan(pods: list[Json], slices: list[Json] | None = None, **options: Any) -> endpoints.Plan:
    wanted = options.pop("service", service())
    found = [endpoints.candidate(pod, wanted, {"n1": ""}, **options) for pod in pods]
    return endpoints.plan_slices(wanted, [one for one in found if one is not None], slices or [])


def stored(piece: Json, name: str) -> Json:
    """A slice as the registry would hold it."""
    meta = {key: value for key, value in piece["metadata"].items() if key != "generateName"}
    return {**piece, "metadata": {**meta, "name": name}}


def names(piece: Json) -> list[str]:
    return [endpoint["targetRef"]["name"] for endpoint in piece["endpoints"] or ()]


@pytest.mark.parametrize(
    ("ready", "going", "publishes", "expected"),
    [
        (True, False, False, (True, True, False)),
        (False, False, False, (False, False, False)),
        (True, True, False, (False, True, True)),
        (False, True, False, (False, False, True)),
        (False, False, True, (True, False, False)),
        (True, True, True, (True, True, True)),  # published though it ends: row 32 of the taxonomy
        (False, True, True, (True, False, True)),
    ],
)
def test_conditions_of_an_endpoint(ready: bool, going: bool, publishes: bool, expected: tuple[bool, ...]) -> None:
    made = endpoints.endpoint_of(pod("a", ready=ready, going=going), service(publishNotReadyAddresses=publishes))

    assert tuple(made["conditions"][key] for key in ("ready", "serving", "terminating")) == expected


def test_a_slice_says_whose_it_is_and_whom_it_holds() -> None:
    piece = plan([pod("a")]).create[0]

    assert piece["metadata"]["generateName"] == "web-"
    assert piece["metadata"]["labels"] == {
        "team": "a",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    assert piece["metadata"]["ownerReferences"][0]["uid"] == "service-uid"
    assert piece["addressType"] == "IPv4"
    assert piece["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
    assert piece["endpoints"] == [
        {
            "addresses": ["127.9.1.97"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "a-uid"},
            "nodeName": "n1",
        }
    ]


def test_a_headless_service_says_so() -> None:
    assert plan([], service=service(clusterIP="None")).create[0]["metadata"]["labels"][endpoints.HEADLESS] == ""


@pytest.mark.parametrize(
    "left_out",
    [
        pod("b", phase="Succeeded"),
        pod("b", phase="Failed"),
        pod("b", status={"phase": "Running"}),
        {**pod("b"), "spec": {"nodeName": "gone", "containers": []}},
    ],
)
def test_pods_that_ended_have_no_address_or_no_node_are_no_endpoints(left_out: Json) -> None:
    assert names(plan([pod("a"), left_out]).create[0]) == ["a"]


def test_a_hundred_and_fifty_pods_take_two_slices() -> None:
    pods = [pod(f"p{number}") for number in range(150)]

    assert [len(piece["endpoints"]) for piece in plan(pods).create] == [100, 50]


def test_nothing_is_written_while_nothing_changes() -> None:
    piece = stored(plan([pod("a"), pod("b")]).create[0], "web-1")

    assert plan([pod("b"), pod("a")], [piece]) == endpoints.Plan()


def test_a_change_touches_only_the_slice_it_is_in_and_new_ones_fill_it_up() -> None:
    pods = [pod(f"p{number}") for number in range(150)]
    slices = [stored(piece, f"web-{index}") for index, piece in enumerate(plan(pods).create)]
    made = plan([*pods[:149], pod("new"), pod("p149", ready=False)], slices)

    assert (made.create, made.delete) == ([], [])
    assert [piece["metadata"]["name"] for piece in made.update] == ["web-1"]
    assert len(made.update[0]["endpoints"]) == 51


def test_new_pods_go_into_the_slice_they_fill_best() -> None:
    pods = [pod(f"p{number}") for number in range(150)]
    slices = [stored(piece, f"web-{index}") for index, piece in enumerate(plan(pods).create)]
    made = plan([*pods, *(pod(f"q{number}") for number in range(10))], slices)

    assert [(piece["metadata"]["name"], len(piece["endpoints"])) for piece in made.update] == [("web-1", 60)]


def test_a_service_without_pods_keeps_one_empty_slice() -> None:
    empty = plan([]).create[0]

    assert (empty["endpoints"], empty["ports"]) == (None, None)
    assert plan([], [stored(empty, "web-1")]) == endpoints.Plan()


def test_the_empty_slice_becomes_the_first_full_one_and_back_in_one_change() -> None:
    empty = stored(plan([]).create[0], "web-1")
    filled = plan([pod("a")], [empty])
    assert (filled.create, filled.delete) == ([], [])
    assert filled.update[0]["metadata"]["name"] == "web-1"
    assert names(filled.update[0]) == ["a"]

    emptied = plan([], [filled.update[0]])
    assert (emptied.create, emptied.delete) == ([], [])
    assert (emptied.update[0]["metadata"]["name"], emptied.update[0]["endpoints"]) == ("web-1", None)


def test_slices_of_an_earlier_service_of_that_name_are_deleted() -> None:
    strange = stored(
        plan([pod("a")], service={**service(), "metadata": {**service()["metadata"], "uid": "x"}}).create[0], "old"
    )
    made = plan([pod("a")], [strange])

    assert made.delete == ["old"]
    assert [names(piece) for piece in made.create] == [["a"]]


@pytest.mark.parametrize(
    ("target", "declared", "expected"),
    [
        (8080, [], 8080),
        ("http", [{"name": "http", "containerPort": 5000}], 5000),
        ("http", [{"name": "http", "containerPort": 5000, "protocol": "UDP"}], None),
        ("http", [], None),
    ],
)
def test_a_named_port_is_what_the_pod_calls_so(target: Any, declared: list[Json], expected: int | None) -> None:
    assert endpoints.find_port(pod("a", ports=declared), {"port": 80, "targetPort": target}) == expected


def test_pods_with_other_ports_under_the_same_name_get_a_slice_of_their_own() -> None:
    wanted = service(ports=[{"name": "web", "port": 80, "targetPort": "http"}])
    old, new = (pod(n, ports=[{"name": "http", "containerPort": p}]) for n, p in (("a", 80), ("b", 8080)))

    assert sorted(piece["ports"][0]["port"] for piece in plan([old, new], service=wanted).create) == [80, 8080]


def test_with_shared_addresses_every_pod_has_a_slice_with_its_real_port() -> None:
    pods = [
        pod(name, annotations={endpoints.REAL_PORTS: json.dumps({"8080": port})})
        for name, port in (("a", 40001), ("b", 40002))
    ]
    made = plan(pods, shared=True).create

    assert sorted((piece["ports"][0]["port"], names(piece)) for piece in made) == [(40001, ["a"]), (40002, ["b"])]


def test_with_shared_addresses_a_port_that_nobody_has_told_is_left_out() -> None:
    assert endpoints.ports_for(pod("a"), service(), shared=True) == []


def slices(cluster: LittleCluster) -> list[Json]:
    return cluster.registry.list(ENDPOINT_SLICES, "default")


def ready(cluster: LittleCluster) -> list[str]:
    return [e["targetRef"]["name"] for s in slices(cluster) for e in s["endpoints"] or () if e["conditions"]["ready"]]


def create_service(cluster: LittleCluster, **spec: Any) -> None:
    wanted = {"selector": {"app": "web"}, "ports": PORTS, **spec}
    cluster.registry.create(SERVICES, "default", {"metadata": {"name": "web"}, "spec": wanted})


def test_a_pod_leaves_the_ready_endpoints_the_moment_its_deletion_is_asked_for() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_service(cluster)
        cluster.registry.create(DEPLOYMENTS, "default", deployment())
        await cluster.until(lambda: len(ready(cluster)) == 3)
        cluster.stop_s = 10.0
        name = cluster.pods()[0]["metadata"]["name"]
        cluster.registry.delete(PODS, "default", name)
        await cluster.settle(0.1)

        found = next(e for s in slices(cluster) for e in s["endpoints"] if e["targetRef"]["name"] == name)
        assert found["conditions"] == {"ready": False, "serving": True, "terminating": True}
        await cluster.settle(11)
        assert name not in {e["targetRef"]["name"] for s in slices(cluster) for e in s["endpoints"]}

    on_cluster(story)


def test_a_slice_tells_when_the_change_it_shows_took_place() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_service(cluster)
        await cluster.settle()
        notes = slices(cluster)[0]["metadata"]["annotations"]
        assert (
            notes[endpoints.TRIGGER_TIME]
            == cluster.registry.get(SERVICES, "default", "web")["metadata"]["creationTimestamp"]
        )

        cluster.registry.create(
            PODS, "default", {"metadata": {"name": "a", "labels": {"app": "web"}}, "spec": pod_template()["spec"]}
        )
        await cluster.until(lambda: ready(cluster) == ["a"])
        since = cluster.condition(cluster.registry.get(PODS, "default", "a"), "Ready")["lastTransitionTime"]
        assert slices(cluster)[0]["metadata"]["annotations"][endpoints.TRIGGER_TIME] == since

        cluster.registry.delete(PODS, "default", "a")
        await cluster.settle(0.1)
        assert endpoints.TRIGGER_TIME not in slices(cluster)[0]["metadata"].get("annotations", {})

    on_cluster(story)


def test_a_deleted_slice_comes_back_and_a_deleted_service_takes_its_slices_along() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_service(cluster)
        await cluster.settle()
        first = slices(cluster)[0]["metadata"]["name"]
        cluster.registry.delete(ENDPOINT_SLICES, "default", first)
        await cluster.settle()
        assert len(slices(cluster)) == 1

        cluster.registry.delete(SERVICES, "default", "web")
        await cluster.settle()
        assert slices(cluster) == []

    on_cluster(story)


def test_a_service_without_a_selector_is_left_alone() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_service(cluster, selector=None)
        await cluster.settle()

        assert slices(cluster) == []

    on_cluster(story)


def test_a_changed_selector_and_a_changed_label_change_the_endpoints() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_service(cluster)
        cluster.registry.create(
            PODS, "default", {"metadata": {"name": "a", "labels": {"app": "web"}}, "spec": pod_template()["spec"]}
        )
        await cluster.until(lambda: ready(cluster) == ["a"])
        cluster.edit(PODS, "a", lambda obj: obj["metadata"]["labels"].update(app="other"))
        await cluster.settle(0.1)
        assert ready(cluster) == []
        cluster.edit(SERVICES, "web", lambda obj: obj["spec"].update(selector={"app": "other"}))
        await cluster.settle(0.1)

        assert ready(cluster) == ["a"]

    on_cluster(story)


def test_heartbeats_of_nodes_write_no_slice() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_service(cluster)
        await cluster.settle()
        before = slices(cluster)[0]["metadata"]["resourceVersion"]
        cluster.registry.modify(NODES, None, "n1", lambda obj: obj["metadata"].update(annotations={"beat": "1"}))
        await cluster.settle()

        assert slices(cluster)[0]["metadata"]["resourceVersion"] == before

    on_cluster(story)


def test_endpoints_follow_a_moment_later_without_those_that_end() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_service(cluster)
        cluster.registry.create(DEPLOYMENTS, "default", deployment())
        await cluster.until(lambda: len(ready(cluster)) == 3)
        cluster.stop_s = 20.0
        cluster.start_s = 20.0
        names = [pod["metadata"]["name"] for pod in cluster.pods()]
        cluster.registry.delete(PODS, "default", names[0])
        cluster.say(cluster.registry.get(PODS, "default", names[1]), "Running", ready=False)
        await cluster.settle(1)

        found = cluster.registry.get(ENDPOINTS, "default", "web")
        assert found["metadata"]["labels"] == {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
        (subset,) = found["subsets"]
        assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
        assert [address["targetRef"]["name"] for address in subset["addresses"]] == [names[2]]
        assert [address["targetRef"]["name"] for address in subset["notReadyAddresses"]] == [names[1]]

        cluster.registry.delete(SERVICES, "default", "web")
        await cluster.settle(1)
        assert cluster.registry.peek(ENDPOINTS, "default", "web") is None

    on_cluster(story)


def test_with_shared_addresses_a_pod_becomes_an_endpoint_with_the_port_it_tells() -> None:
    async def story(cluster: LittleCluster) -> None:
        create_service(cluster)
        cluster.registry.create(DEPLOYMENTS, "default", deployment(replicas=2))
        await cluster.until(lambda: len(ready(cluster)) == 2)
        for number, one in enumerate(cluster.pods()):
            note = {endpoints.REAL_PORTS: json.dumps({"8080": 40000 + number})}
            cluster.edit(PODS, one["metadata"]["name"], lambda obj, n=note: obj["metadata"].update(annotations=n))
        await cluster.settle(0.1)

        assert sorted(piece["ports"][0]["port"] for piece in slices(cluster)) == [40000, 40001]
        assert len(ready(cluster)) == 2

    on_cluster(story, shared=True)
