"""Where a replacement of an evicted pod could be placed: the scheduler's filters, one at a time."""

from __future__ import annotations

from typing import Any

import pytest

from rollcheck.kube.drainforecast import placements
from rollcheck.kube.placement import Board, Wish
from rollcheck.kube.volumes import Volumes

Json = dict[str, Any]

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
WEB: Json = {"matchLabels": {"app": "web"}}


def pod(name: str = "web-1", on: str = "n1", *, app: str = "web", namespace: str = "shop", **spec: Any) -> Json:
    meta: Json = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": {"app": app}}
    return {"metadata": meta, "spec": {"nodeName": on, **spec}, "status": {"phase": "Running"}}


def node(
    name: str, *, zone: str = "", taints: list[Json] | None = None, labels: Json | None = None, **room: Any
) -> Json:
    marks = {HOST: name, **({ZONE: zone} if zone else {}), **(labels or {})}
    return {
        "metadata": {"name": name, "labels": marks},
        "spec": {"taints": taints or []},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "110", **room}},
    }


def refused(one: Json, there: list[Json], *, to: Json | None = None, more: list[Json] | None = None, **own: Any) -> str:
    """Why n2 does not take a pod that is evicted from n1; `more` are further nodes."""
    nodes = [node("n1", zone="a"), to or node("n2", zone="b"), *(more or [])]
    board = Board.of(nodes, [one, *there], evicted=[one], leaving="n1", **own)
    return Wish(one, board).why_not("n2")


def hungry(**requests: str) -> Json:
    return {"containers": [{"name": "app", "resources": {"requests": requests}}]}


SPOT: Json = {"key": "spot", "value": "yes", "effect": "NoSchedule"}


def terms(key: str, value: str) -> Json:
    return {"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}]}


def to_nodes(key: str, value: str) -> Json:
    return {"affinity": {"nodeAffinity": {REQUIRED: terms(key, value)}}}


class TestTheNodeItself:
    @pytest.mark.parametrize(
        ("spec", "to", "why"),
        [
            ({}, node("n2"), ""),
            ({}, node("n2", taints=[SPOT]), "taint spot"),
            ({"tolerations": [{"key": "spot", "operator": "Exists"}]}, node("n2", taints=[SPOT]), ""),
            ({"tolerations": [{"key": "spot", "value": "no"}]}, node("n2", taints=[SPOT]), "taint spot"),
            ({"tolerations": [{"operator": "Exists"}]}, node("n2", taints=[SPOT]), ""),
            ({}, node("n2", taints=[{"key": "soft", "effect": "PreferNoSchedule"}]), ""),
            ({"nodeSelector": {"disk": "ssd"}}, node("n2"), "nodeSelector disk=ssd"),
            ({"nodeSelector": {"disk": "ssd"}}, node("n2", labels={"disk": "ssd"}), ""),
            (to_nodes(ZONE, "a"), node("n2", zone="b"), "its node affinity"),
            (to_nodes(ZONE, "b"), node("n2", zone="b"), ""),
        ],
    )
    def test_what_of_it_keeps_a_pod_off(self, spec: Json, to: Json, why: str) -> None:
        assert refused(pod(**spec), [], to=to) == why


GPU: Json = {"example.com/gpu": "1"}


class TestRoom:
    @pytest.mark.parametrize(
        ("one", "there", "to", "why"),
        [
            (pod(**hungry(cpu="3")), [], node("n2"), "too little cpu"),
            (pod(**hungry(cpu="1500m")), [pod("x", "n2", **hungry(cpu="600m"))], node("n2"), "too little cpu"),
            (pod(**hungry(memory="2Gi")), [], node("n2"), "too little memory"),
            (pod(), [pod("x", "n2")], node("n2", pods="1"), "it holds 1 pods already"),
            (pod(**hungry(**GPU)), [], node("n2"), "too little example.com/gpu"),
            (pod(**hungry(**GPU)), [], node("n2", **GPU), ""),
        ],
    )
    def test_requests_and_the_number_of_pods(self, one: Json, there: list[Json], to: Json, why: str) -> None:
        assert refused(one, there, to=to) == why

    def test_a_host_port_is_taken_once(self) -> None:
        port: Json = {"containers": [{"name": "app", "ports": [{"hostPort": 80}]}]}
        assert refused(pod(**port), [pod("x", "n2", **port)]) == "host port 80 is taken"

    def test_pods_that_ended_take_no_room(self) -> None:
        done = pod("x", "n2", **hungry(cpu="2"))
        done["status"]["phase"] = "Succeeded"
        assert refused(pod(**hungry(cpu="2")), [done]) == ""


def apart(key: str = HOST, **more: Any) -> Json:
    return {"affinity": {"podAntiAffinity": {REQUIRED: [{"topologyKey": key, "labelSelector": WEB, **more}]}}}


def together(key: str, app: str) -> Json:
    rule = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}}
    return {"affinity": {"podAffinity": {REQUIRED: [rule]}}}


class TestOtherPods:
    def test_a_pod_is_not_put_beside_one_that_it_must_be_apart_from(self) -> None:
        assert refused(pod(**apart()), [pod("x", "n2")]) == "its anti-affinity to pods there"

    def test_nor_beside_one_that_must_be_apart_from_it(self) -> None:
        assert refused(pod(), [pod("x", "n2", app="api", **apart())]) == "its anti-affinity to pods there"

    def test_apart_means_the_whole_zone_where_that_is_the_topology(self) -> None:
        away = [pod("x", "n3")]
        more = [node("n3", zone="b")]
        assert refused(pod(**apart(ZONE)), away, more=more) == f"its anti-affinity to pods in {ZONE} b"
        assert refused(pod(**apart(HOST)), away, more=more) == ""

    def test_the_evicted_pod_itself_is_not_in_its_replacements_way(self) -> None:
        one = pod(**apart(ZONE))
        assert refused(one, [], to=node("n2", zone="a")) == ""

    def test_pods_of_another_namespace_count_only_where_it_is_named(self) -> None:
        other = pod("x", "n2", namespace="else")
        assert refused(pod(**apart()), [other]) == ""
        assert refused(pod(**apart(namespaces=["else"])), [other]) == "its anti-affinity to pods there"
        assert refused(pod(**apart(namespaceSelector={})), [other]) == "its anti-affinity to pods there"

    def test_a_pod_goes_where_the_pods_are_that_it_wants_to_be_with(self) -> None:
        wants = pod(**together(ZONE, "db"))
        assert refused(wants, [pod("db-0", "n2", app="db")]) == ""
        assert "none in its topology.kubernetes.io/zone" in refused(wants, [pod("db-0", "n1", app="db")])

    def test_the_first_of_a_group_that_wants_to_be_together_may_go_anywhere(self) -> None:
        assert refused(pod(**together(HOST, "web")), []) == ""
        assert "none in its" in refused(pod(**together(HOST, "web")), [pod("x", "n1")])


def spread(key: str = HOST, **more: Any) -> Json:
    rule = {"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": WEB, **more}
    return {"topologySpreadConstraints": [rule]}


class TestTopologySpread:
    def test_the_drained_node_is_still_the_emptiest_domain(self) -> None:
        """Nodes that take no pods count unless nodeTaintsPolicy is Honor."""
        said = refused(pod(**spread()), [pod("x", "n2")])
        assert said == f"its topology spread over {HOST}: 1 there and 0 in the emptiest, which may differ by 1"
        assert refused(pod(**spread(nodeTaintsPolicy="Honor")), [pod("x", "n2")]) == ""

    def test_a_skew_that_is_allowed_is_no_reason(self) -> None:
        assert refused(pod(**spread(maxSkew=2)), [pod("x", "n2")]) == ""
        assert refused(pod(**spread()), []) == ""

    def test_a_soft_constraint_is_no_reason(self) -> None:
        assert refused(pod(**spread(whenUnsatisfiable="ScheduleAnyway")), [pod("x", "n2")]) == ""

    def test_a_node_outside_of_the_topology_is_refused(self) -> None:
        assert refused(pod(**spread(ZONE)), [], to=node("n2")) == f"its topology spread: the node has no label {ZONE}"

    def test_nodes_that_the_pod_cannot_choose_are_no_domains(self) -> None:
        there = [pod("x", "n2")]
        assert "1 there" in refused(pod(**spread(), nodeSelector={}), there)
        only = to_nodes(ZONE, "b")
        assert refused(pod(**spread(), **only), there) == ""
        assert "1 there" in refused(pod(**spread(nodeAffinityPolicy="Ignore"), **only), there)

    def test_too_few_domains_make_the_emptiest_count_as_empty(self) -> None:
        there, only = [pod("x", "n2")], to_nodes(ZONE, "b")
        assert "0 in the emptiest" in refused(pod(**spread(minDomains=2), **only), there)

    def test_pods_on_their_way_out_do_not_count(self) -> None:
        ending = pod("x", "n2")
        ending["metadata"]["deletionTimestamp"] = "2026-01-15T12:00:00Z"
        assert refused(pod(**spread()), [ending]) == ""

    def test_only_pods_with_the_same_label_count_where_keys_are_to_match(self) -> None:
        one, other = pod(**spread(matchLabelKeys=["pod-template-hash"])), pod("x", "n2")
        one["metadata"]["labels"]["pod-template-hash"], other["metadata"]["labels"]["pod-template-hash"] = "b", "a"
        assert refused(one, [other]) == ""
        other["metadata"]["labels"]["pod-template-hash"] = "b"
        assert "1 there" in refused(one, [other])


CLAIMED: Json = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}


def volumes(modes: tuple[str, ...] = ("ReadWriteOnce",), labels: Json | None = None, **spec: Any) -> Volumes:
    claim = {
        "metadata": {"name": "data", "namespace": "shop"},
        "spec": {"volumeName": "pv-1", "accessModes": list(modes)},
    }
    return Volumes(
        {("shop", "data"): claim}, {"pv-1": {"metadata": {"name": "pv-1", "labels": labels or {}}, "spec": spec}}
    )


LOCAL: Json = {"local": {"path": "/disk"}, "nodeAffinity": {"required": terms(HOST, "n1")}}


class TestVolumes:
    def test_a_local_volume_stays_on_its_node(self) -> None:
        said = refused(pod(**CLAIMED), [], volumes=volumes(**LOCAL))
        assert said == "its local volume pv-1 (claim data) can be used only on n1"

    def test_a_volume_of_a_zone_can_be_used_in_that_zone(self) -> None:
        there = volumes(csi={}, nodeAffinity={"required": terms(ZONE, "a")})
        assert refused(pod(**CLAIMED), [], volumes=there) == "its volume pv-1 (claim data) can be used only on n1"
        assert refused(pod(**CLAIMED), [], to=node("n2", zone="a"), volumes=there) == ""

    def test_zone_labels_of_an_older_volume_count_as_well(self) -> None:
        there = volumes(labels={ZONE: "a__c"})
        assert refused(pod(**CLAIMED), [], volumes=there) == "its volume pv-1 (claim data) can be used only on n1"
        assert refused(pod(**CLAIMED), [], to=node("n2", zone="c"), volumes=there) == ""
        assert refused(pod(**CLAIMED), [], to=node("n2"), volumes=there) == ""

    def test_a_volume_whose_node_is_gone_can_be_used_nowhere(self) -> None:
        there = volumes(nodeAffinity={"required": terms(HOST, "n9")})
        assert refused(pod(**CLAIMED), [], volumes=there).endswith("can be used on no node that is there")

    def test_a_claim_of_another_pod_is_no_reason(self) -> None:
        assert refused(pod(), [], volumes=volumes(**LOCAL)) == ""

    def test_what_could_not_be_read_is_no_reason(self) -> None:
        assert refused(pod(**CLAIMED), []) == ""

    def test_a_claim_for_one_pod_is_said_to_make_the_replacement_wait(self) -> None:
        (said,) = volumes(("ReadWriteOncePod",)).sentences([pod(**CLAIMED)])
        assert said.endswith("can start only when the pod is gone: its claim data is ReadWriteOncePod")

    def test_a_folder_of_the_node_does_not_move_along(self) -> None:
        (said,) = volumes(hostPath={"path": "/data"}).sentences([pod(**CLAIMED)])
        assert "would find another folder: its volume pv-1 (claim data) is a hostPath" in said


def test_pods_are_placed_one_after_the_other() -> None:
    large = [pod(name, **hungry(cpu="1500m")) for name in ("a", "b")]
    board = Board.of([node("n1"), node("n2")], large, evicted=large, leaving="n1")
    (said,) = placements(large, ["n2"], board)
    assert said == "a replacement of pod b fits on no other node (n2: too little cpu)"


def test_of_many_nodes_only_some_are_told_of() -> None:
    one, names = pod(nodeSelector={"disk": "ssd"}), [f"m{i}" for i in range(13)]
    (said,) = placements([one], names, Board.of([node(n) for n in names], [], evicted=[one]))
    assert said.count("nodeSelector disk=ssd") == 10
    assert said.endswith("; and 3 further nodes)")
