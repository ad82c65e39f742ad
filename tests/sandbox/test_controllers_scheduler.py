"""The scheduler: its filters in a table, then binding on the real registry."""

from __future__ import annotations

from typing import Any

import pytest
from little_cluster import LittleCluster, deployment, on_cluster, pod_template

from rollcheck.sandbox import selectors
from rollcheck.sandbox.controllers import fitting
from rollcheck.sandbox.resources import DEPLOYMENTS, EVENTS, NODES, PODS

Json = dict[str, Any]


def matches(selector: Any, labels: Any) -> bool:
    return selectors.of_object(selector).matches(labels)


def node(name: str = "n1", *, labels: Json | None = None, taints: list[Json] | None = None, **more: Any) -> Json:
    room = more.pop("room", {"cpu": "2", "memory": "1Gi", "pods": "3"})
    spec = {"taints": taints or [], **more}
    return {
        "metadata": {"name": name, "labels": {"host": name, **(labels or {})}},
        "spec": spec,
        "status": {"allocatable": room},
    }


def pod(name: str = "p", *, on: str = "", requests: Json | None = None, app: str = "web", **spec: Any) -> Json:
    containers = [{"name": "main", "resources": {"requests": requests or {}}, "ports": spec.pop("ports", [])}]
    whole = {"containers": containers, **({"nodeName": on} if on else {}), **spec}
    meta = {"name": name, "namespace": "default", "uid": name, "labels": {"app": app}}
    return {"metadata": meta, "spec": whole, "status": {"phase": "Running"}}


def why_not(wanted: Json, where: Json, *others: Json, nodes: tuple[Json, ...] = ()) -> tuple[str, ...]:
    places = fitting.places_of([where, *nodes], others)
    refused = fitting.refusal(wanted, places[where["metadata"]["name"]], places, matches)
    return refused.reasons if refused is not None else ()


def affinity(kind: str, *terms: Json) -> Json:
    return {kind: {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def node_affinity(*expressions: Json, fields: tuple[Json, ...] = ()) -> Json:
    term = {"matchExpressions": list(expressions), "matchFields": list(fields)}
    required = {"nodeSelectorTerms": [term]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
WEB = {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "host"}
SELECTOR = "node(s) didn't match Pod's node affinity/selector"


@pytest.mark.parametrize(
    ("wanted", "where", "reasons"),
    [
        (pod(), node(), ()),
        (pod(), node(unschedulable=True), ("node(s) were unschedulable",)),
        (pod(tolerations=[{"operator": "Exists"}]), node(unschedulable=True), ()),
        (pod(), node(taints=[TAINT]), ("node(s) had untolerated taint {dedicated: db}",)),
        (pod(), node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), ()),
        (pod(tolerations=[{"key": "dedicated", "value": "db"}]), node(taints=[TAINT]), ()),
        (pod(tolerations=[{"key": "dedicated", "value": "x"}]), node(taints=[TAINT]), None),
        (
            pod(tolerations=[{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}]),
            node(taints=[TAINT]),
            None,
        ),
        (pod(nodeSelector={"disk": "ssd"}), node(), (SELECTOR,)),
        (pod(nodeSelector={"disk": "ssd"}), node(labels={"disk": "ssd"}), ()),
        (pod(affinity=node_affinity({"key": "disk", "operator": "In", "values": ["ssd"]})), node(), (SELECTOR,)),
        (pod(affinity=node_affinity({"key": "disk", "operator": "DoesNotExist"})), node(), ()),
        (pod(affinity=node_affinity({"key": "age", "operator": "Gt", "values": ["3"]})), node(labels={"age": "4"}), ()),
        (
            pod(affinity=node_affinity(fields=({"key": "metadata.name", "operator": "In", "values": ["n2"]},))),
            node(),
            (SELECTOR,),
        ),
        (pod(requests={"cpu": "2"}), node(), ()),
        (pod(requests={"cpu": "2001m"}), node(), ("Insufficient cpu",)),
        (pod(requests={"cpu": "3", "memory": "2Gi"}), node(), ("Insufficient cpu", "Insufficient memory")),
    ],
)
def test_what_one_node_says_to_a_pod(wanted: Json, where: Json, reasons: tuple[str, ...] | None) -> None:
    found = why_not(wanted, where)

    assert found == reasons if reasons is not None else found


def test_what_runs_already_counts() -> None:
    busy = pod("busy", on="n1", requests={"cpu": "1500m"})

    assert why_not(pod(requests={"cpu": "500m"}), node(), busy) == ()
    assert why_not(pod(requests={"cpu": "501m"}), node(), busy) == ("Insufficient cpu",)
    assert why_not(pod(), node(), *(pod(f"p{n}", on="n1") for n in range(3))) == ("Too many pods",)
    assert why_not(pod(requests={"cpu": "2"}), node(), {**busy, "status": {"phase": "Succeeded"}}) == ()


def test_init_containers_count_with_the_largest_and_sidecars_beside() -> None:
    wanted = pod(requests={"cpu": "1"})
    wanted["spec"]["initContainers"] = [
        {"name": "big", "resources": {"requests": {"cpu": "1500m"}}},
        {"name": "side", "restartPolicy": "Always", "resources": {"limits": {"cpu": "250m"}}},
    ]

    assert fitting.needs_of(wanted).cpu_m == 1500
    wanted["spec"]["initContainers"].pop(0)
    assert fitting.needs_of(wanted).cpu_m == 1250


def test_a_host_port_is_held_by_one_pod_of_a_node() -> None:
    port = [{"containerPort": 80, "hostPort": 80}]
    reason = ("node(s) didn't have free ports for the requested pod ports",)

    assert why_not(pod(ports=port), node(), pod("other", on="n1", ports=port)) == reason


def test_anti_affinity_keeps_like_pods_apart_from_both_sides() -> None:
    shy = {"affinity": affinity("podAntiAffinity", WEB)}
    nodes = (node("n2"),)

    assert why_not(pod(**shy), node(), pod("other", on="n1")) == ("node(s) didn't match pod anti-affinity rules",)
    assert why_not(pod(**shy), node(), pod("other", on="n2"), nodes=nodes) == ()
    assert why_not(pod(), node(), pod("shy", on="n1", app="db", **shy)) == (
        "node(s) didn't satisfy existing pods anti-affinity rules",
    )


def test_affinity_wants_company_but_lets_the_first_of_its_kind_begin() -> None:
    social = {"affinity": affinity("podAffinity", WEB)}

    assert why_not(pod(app="db", **social), node()) == ("node(s) didn't match pod affinity rules",)
    assert why_not(pod(app="db", **social), node(), pod("other", on="n1")) == ()
    assert why_not(pod(**social), node()) == ()


def test_spread_constraints_hold_their_skew() -> None:
    rule = {**WEB, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    wanted, others = pod(topologySpreadConstraints=[rule]), [pod("a", on="n1")]
    uneven = ("node(s) didn't match pod topology spread constraints",)

    assert why_not(wanted, node(), *others, nodes=(node("n2"),)) == uneven
    assert why_not(wanted, node("n2"), *others, nodes=(node(),)) == ()
    assert (
        why_not(pod(topologySpreadConstraints=[{**rule, "whenUnsatisfiable": "ScheduleAnyway"}]), node(), *others) == ()
    )


@pytest.mark.parametrize(
    ("policy", "empty", "refused"),
    [
        ({}, node("n2", taints=[TAINT]), True),
        ({"nodeTaintsPolicy": "Honor"}, node("n2", taints=[TAINT]), False),
        ({"nodeAffinityPolicy": "Ignore"}, node("n2"), True),
        ({}, node("n2"), False),
    ],
    ids=["a tainted node counts", "unless taints are honoured", "an unwanted node if asked for", "else not"],
)
def test_a_spread_counts_the_nodes_that_its_policies_say(policy: Json, empty: Json, refused: bool) -> None:
    rule = {**WEB, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", **policy}
    wants = {} if empty["spec"]["taints"] else {"nodeSelector": {"host": "n1"}}

    assert bool(why_not(pod(topologySpreadConstraints=[rule], **wants), node(), pod("a", on="n1"), nodes=(empty,))) is (
        refused
    )


def test_pods_that_end_are_nowhere_for_a_spread() -> None:
    rule = {**WEB, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    ending = pod("b", on="n2")
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z"

    assert why_not(pod(topologySpreadConstraints=[rule]), node(), pod("a", on="n1"), ending, nodes=(node("n2"),))
    assert not why_not(pod(topologySpreadConstraints=[rule]), node("n2"), pod("a", on="n1"), ending, nodes=(node(),))


def test_the_sentence_counts_reasons_over_nodes() -> None:
    full, off = (
        fitting.Refusal(("Insufficient cpu",), final=False),
        fitting.Refusal(("node(s) were unschedulable",), final=True),
    )

    assert fitting.explain({"n1": full, "n2": off, "n3": full}) == (
        "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu. no new claims to deallocate, "
        "preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims "
        "found for incoming pod."
    )
    assert fitting.explain({}) == "no nodes available to schedule pods"


def create(cluster: LittleCluster, name: str = "a", **spec: Any) -> None:
    cluster.registry.create(
        PODS, "default", {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": pod_template(**spec)["spec"]}
    )


def test_pods_of_one_owner_are_spread_by_count() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.registry.create(DEPLOYMENTS, "default", deployment(replicas=7))
        await cluster.until(lambda: all(p["spec"].get("nodeName") for p in cluster.pods()) and len(cluster.pods()) == 7)

        on = [p["spec"]["nodeName"] for p in cluster.pods()]
        assert sorted(on.count(name) for name in ("n1", "n2", "n3")) == [2, 2, 3]

    on_cluster(story)


def test_the_node_that_is_preferred_gets_all_the_pods_whatever_the_spread() -> None:
    async def story(cluster: LittleCluster) -> None:
        made = deployment(replicas=3)
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}
        preferred = [{"weight": 100, "preference": term}]
        made["spec"]["template"]["spec"]["affinity"] = {
            "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}
        }
        cluster.registry.create(DEPLOYMENTS, "default", made)
        await cluster.until(lambda: all(p["spec"].get("nodeName") for p in cluster.pods()) and len(cluster.pods()) == 3)

        assert {p["spec"]["nodeName"] for p in cluster.pods()} == {"n2"}

    on_cluster(story)


def test_binding_is_told_as_the_scheduler_tells_it() -> None:
    async def story(cluster: LittleCluster) -> None:
        create(cluster)
        await cluster.settle()

        event = next(e for e in cluster.registry.list(EVENTS, "default") if e["reason"] == "Scheduled")
        assert event["message"] == "Successfully assigned default/a to n1"
        assert event["reportingComponent"] == "default-scheduler"
        assert (event["action"], event["source"], event["firstTimestamp"]) == ("Binding", {}, None)
        assert event["eventTime"].startswith("2026-01-01T12:00:00.4")

    on_cluster(story)


def test_a_pod_that_fits_nowhere_says_why_and_goes_where_room_is_made() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.registry.modify(NODES, None, "n1", lambda obj: obj["spec"].update(unschedulable=True))
        await cluster.settle()
        create(cluster)
        await cluster.settle()
        condition = cluster.condition(cluster.pods()[0], "PodScheduled")
        assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
        assert condition["message"].startswith("0/1 nodes are available: 1 node(s) were unschedulable.")
        assert cluster.events("Pod", "FailedScheduling") == [condition["message"]]

        cluster.registry.modify(NODES, None, "n1", lambda obj: obj["spec"].pop("unschedulable"))
        await cluster.settle()
        assert cluster.condition(cluster.pods()[0], "PodScheduled")["status"] == "True"

    on_cluster(story, nodes=1)


def test_a_pod_waits_for_another_to_go_and_its_refusals_are_one_series() -> None:
    async def story(cluster: LittleCluster) -> None:
        cluster.node("tiny", cpu="1", pods="1")
        create(cluster, "first")
        await cluster.settle()
        create(cluster, "second")
        await cluster.settle(700)
        assert len(cluster.events("Pod", "FailedScheduling")) == 1
        event = next(e for e in cluster.registry.list(EVENTS, "default") if e["reason"] == "FailedScheduling")
        assert event["series"]["count"] >= 2

        cluster.registry.delete(PODS, "default", "first")
        await cluster.settle()
        assert cluster.pods()[0]["spec"]["nodeName"] == "tiny"

    on_cluster(story, nodes=0)


def test_pods_of_another_scheduler_are_left_alone() -> None:
    async def story(cluster: LittleCluster) -> None:
        create(cluster, schedulerName="mine")
        await cluster.settle()

        assert "nodeName" not in cluster.pods()[0]["spec"]

    on_cluster(story)


def test_what_one_replica_was_told_the_next_is_told_without_another_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def counting(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        return real(*args)

    real = fitting.refusal
    monkeypatch.setattr(fitting, "refusal", counting)

    async def story(cluster: LittleCluster) -> None:
        cluster.registry.modify(NODES, None, "n1", lambda obj: obj["spec"].update(unschedulable=True))
        await cluster.settle()
        cluster.registry.create(DEPLOYMENTS, "default", deployment(replicas=40))
        await cluster.settle()
        messages = {cluster.condition(each, "PodScheduled")["message"] for each in cluster.pods()}
        assert (len(messages), looks) == (1, 1)

        cluster.registry.modify(NODES, None, "n1", lambda obj: obj["spec"].pop("unschedulable"))
        await cluster.settle()
        assert all(each["spec"].get("nodeName") for each in cluster.pods())

    on_cluster(story, nodes=1)
