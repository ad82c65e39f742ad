"""The rules of the network, without sockets: who is asked, when a node knows it, which route a request takes."""

from __future__ import annotations

import random

import pytest

from rollcheck.sandbox.network.endpoints import Endpoint, chosen, endpoints_of
from rollcheck.sandbox.network.places import Place, places_of
from rollcheck.sandbox.network.propagation import Lag, Lagging
from rollcheck.sandbox.network.rules import NGINX_MANNER, TRAEFIK_MANNER, matching, port_name_of, routes_of


def raw(host, *, node="node-1", ready=True, serving=None, terminating=False):
    conditions = {"ready": ready, "serving": ready if serving is None else serving, "terminating": terminating}
    return {"addresses": [host], "nodeName": node, "conditions": conditions}


def sliced(*endpoints, port=8080, name="http"):
    return {"ports": [{"name": name, "port": port, "protocol": "TCP"}], "endpoints": list(endpoints)}


def hosts(endpoints):
    return [e.host for e in endpoints]


def test_only_ready_endpoints_are_chosen_while_there_is_one():
    found = endpoints_of(
        [sliced(raw("10.0.0.1"), raw("10.0.0.2", ready=False, serving=True, terminating=True))], "http"
    )

    assert hosts(chosen(found)) == ["10.0.0.1"]


def test_without_a_ready_one_those_that_end_and_still_serve_are_chosen():
    ending = raw("10.0.0.1", ready=False, serving=True, terminating=True)
    found = endpoints_of([sliced(ending, raw("10.0.0.2", ready=False, serving=False))], "http")

    assert hosts(chosen(found)) == ["10.0.0.1"]


def test_an_endpoint_that_ends_and_serves_no_more_is_never_chosen():
    found = endpoints_of([sliced(raw("10.0.0.1", ready=False, serving=False, terminating=True))], "http")

    assert chosen(found) == ()


def test_a_local_policy_counts_the_nodes_own_endpoints_alone():
    found = endpoints_of([sliced(raw("10.0.0.1", node="a"), raw("10.0.0.2", node="b"))], "http")

    assert hosts(chosen(found, "b")) == ["10.0.0.2"]
    assert chosen(found, "c") == ()


def test_conditions_that_are_not_said_mean_ready_and_serving():
    found = endpoints_of([sliced({"addresses": ["10.0.0.1"]})], "http")

    assert found == (Endpoint("10.0.0.1", 8080, ""),)


def test_each_slice_has_ports_of_its_own_and_an_address_counts_once():
    found = endpoints_of(
        [sliced(raw("10.0.0.1"), port=1), sliced(raw("10.0.0.1"), port=2), sliced(raw("10.0.0.1"), port=2)], "http"
    )

    assert [e.address for e in found] == [("10.0.0.1", 1), ("10.0.0.1", 2)]


def test_a_port_of_another_name_is_not_ours():
    assert endpoints_of([sliced(raw("10.0.0.1"), name="metrics")], "http") == ()


def test_a_change_is_known_when_it_is_due_and_not_before():
    lagging = Lagging("old")
    lagging.send("new", at=5)

    assert not lagging.arrive(4.9)
    assert lagging.known == "old"
    assert lagging.arrive(5)
    assert lagging.known == "new"


def test_a_change_with_a_short_lag_does_not_overtake_the_one_before():
    lagging = Lagging("0")
    lagging.send("1", at=5)
    lagging.send("2", at=3)

    lagging.arrive(3)

    assert lagging.known == "0"
    assert lagging.newest == "2"
    assert lagging.due == 5


def test_a_lag_lies_between_its_bounds():
    chance = random.Random(1)
    drawn = [Lag(0.2, 0.4).draw(chance) for _ in range(100)]

    assert 0.2 <= min(drawn) < 0.25
    assert 0.35 < max(drawn) <= 0.4


SERVICE = {
    "metadata": {"namespace": "ns", "name": "web"},
    "spec": {"clusterIP": "127.1.200.1", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]},
}
NODES = {"node-1": "127.1.0.11", "node-2": "127.1.0.12"}


def places(**spec):
    return places_of({**SERVICE, "spec": {**SERVICE["spec"], **spec}}, NODES, "node-1", {})


def test_a_service_answers_at_its_cluster_ip_and_at_each_node():
    assert places() == (
        Place("127.1.200.1", 80, ("ns", "web"), "http", "node-1"),
        Place("127.1.0.11", 30080, ("ns", "web"), "http", "node-1"),
        Place("127.1.0.12", 30080, ("ns", "web"), "http", "node-2"),
    )


def test_nodes_that_share_an_address_have_a_node_port_once():
    shared = places_of(SERVICE, {"node-1": "127.0.0.1", "node-2": "127.0.0.1"}, "node-2", {80: 4711})

    assert [(p.address, p.port, p.node) for p in shared] == [
        ("127.1.200.1", 4711, "node-2"),
        ("127.0.0.1", 30080, "node-1"),
    ]


def test_a_headless_service_answers_nowhere():
    assert places(clusterIP="None") == ()


def test_an_external_name_answers_nowhere():
    assert places(type="ExternalName") == ()


def test_a_udp_port_is_not_proxied():
    assert places(ports=[{"port": 53, "protocol": "UDP"}]) == ()


def test_local_policies_concern_node_ports_and_cluster_ips_apart():
    assert [p.local for p in places(externalTrafficPolicy="Local")] == [False, True, True]
    assert [p.local for p in places(internalTrafficPolicy="Local")] == [True, False, False]


def test_a_sticky_service_keeps_a_client_for_as_long_as_it_says():
    sticky = places(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})

    assert {p.sticky_s for p in sticky} == {60}
    assert {p.sticky_s for p in places(sessionAffinity="ClientIP")} == {10800}


def ingress(*rules, ingress_class="nginx", annotations=None, **spec):
    return {
        "metadata": {"namespace": "ns", "name": "i", "annotations": annotations or {}},
        "spec": {"ingressClassName": ingress_class, "rules": list(rules), **spec},
    }


def rule(host, *paths):
    made = [
        {"path": path, "pathType": kind, "backend": {"service": {"name": service, "port": {"number": 80}}}}
        for path, kind, service in paths
    ]
    return {"host": host, "http": {"paths": made}}


def service_for(routes, host, path):
    found = matching(routes, host, path)
    return found.backend.service if found else None


ROUTES = routes_of(
    ingress(
        rule("shop.test", ("/", "Prefix", "root"), ("/api", "Prefix", "api"), ("/api/x", "Exact", "exact")),
        rule("*.shop.test", ("/", "Prefix", "wild")),
        rule("", ("/any", "Prefix", "any")),
        defaultBackend={"service": {"name": "default", "port": {"number": 80}}},
    )
)


@pytest.mark.parametrize(
    ("host", "path", "service"),
    [
        ("shop.test", "/", "root"),
        ("SHOP.test:8080", "/x", "root"),
        ("shop.test", "/api", "api"),
        ("shop.test", "/api/y", "api"),
        ("shop.test", "/apis", "root"),
        ("shop.test", "/api/x", "exact"),
        ("shop.test", "/api/x/y", "api"),
        ("a.shop.test", "/", "wild"),
        ("a.b.shop.test", "/", "default"),
        ("other.test", "/any/thing", "any"),
        ("other.test", "/", "default"),
    ],
)
def test_a_request_takes_the_most_particular_route(host, path, service):
    assert service_for(ROUTES, host, path) == service


def test_an_ingress_of_a_class_that_nobody_serves_has_no_routes():
    assert routes_of(ingress(rule("a.test", ("/", "Prefix", "s")), ingress_class="haproxy")) == ()


def test_the_class_decides_whether_a_failing_backend_is_hidden():
    hiding = routes_of(ingress(rule("a.test", ("/", "Prefix", "s"))))
    open_about_it = routes_of(ingress(rule("a.test", ("/", "Prefix", "s")), ingress_class="traefik"))

    assert hiding[0].manner == NGINX_MANNER
    assert open_about_it[0].manner == TRAEFIK_MANNER
    assert NGINX_MANNER.tries > TRAEFIK_MANNER.tries == 1


def test_annotations_of_ingress_nginx_change_its_manner():
    said = {
        "nginx.ingress.kubernetes.io/proxy-next-upstream": "off",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "3",
    }
    route = routes_of(ingress(rule("a.test", ("/", "Prefix", "s")), annotations=said))[0]

    assert (route.manner.tries, route.manner.read_s) == (1, 3)


def test_a_backend_names_its_port_by_number_or_by_name():
    service = {"spec": {"ports": [{"name": "web", "port": 80}, {"name": "admin", "port": 81}]}}

    assert port_name_of(service, 81) == "admin"
    assert port_name_of(service, "web") == "web"
    assert port_name_of(service, 82) is None
