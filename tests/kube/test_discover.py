"""From a name to a URL: tables of Services and Ingresses, and a cluster that refuses this or that."""

from __future__ import annotations

import copy
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trio

from rollcheck.errors import ClusterDenied, TargetUnreachable, UsageError
from rollcheck.facts.cluster import ServiceSeen, WorkloadSeen
from rollcheck.kube import discover, routes
from rollcheck.kube.api import Api
from rollcheck.kube.routes import Candidate
from tests.fakes import recorded
from tests.fakes.api import Answer, Request, Stream, access_to, serving, status_object

Json = dict[str, Any]


def service(**spec: Any) -> Json:
    return {
        "metadata": {"name": "web"},
        "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.9", "selector": {"app": "web"}, **spec},
        "status": {},
    }


def ingress(
    *rules: Json, tls: list[Json] | None = None, addresses: list[Json] | None = None, default: str = ""
) -> Json:
    spec: Json = {"rules": list(rules), "tls": tls or []}
    if default:
        spec["defaultBackend"] = {"service": {"name": default}}
    at = [{"ip": "10.99.0.1"}] if addresses is None else addresses
    return {"metadata": {"name": "front"}, "spec": spec, "status": {"loadBalancer": {"ingress": at}}}


def rule(host: str = "", path: str = "/", to: str = "web", kind: str = "Prefix") -> Json:
    made: Json = {"http": {"paths": [{"path": path, "pathType": kind, "backend": {"service": {"name": to}}}]}}
    return {"host": host, **made} if host else made


def told(candidates: list[Candidate]) -> list[tuple[str, str, str]]:
    return [(c.url, c.connect_host, c.host_header) for c in candidates]


@pytest.mark.parametrize(
    ("given", "resolves", "expected"),
    [
        (ingress(rule("a.test")), False, [("http://a.test/", "10.99.0.1", "a.test")]),
        (ingress(rule("a.test")), True, [("http://a.test/", "", ""), ("http://a.test/", "10.99.0.1", "a.test")]),
        (ingress(rule()), False, [("http://10.99.0.1/", "", "")]),
        (ingress(rule("a.test", "/blog")), False, [("http://a.test/blog", "10.99.0.1", "a.test")]),
        (ingress(rule("a.test", to="other")), False, []),
        (ingress(rule("a.test"), tls=[{"hosts": ["a.test"]}]), False, [("https://a.test/", "10.99.0.1", "a.test")]),
        (ingress(rule("a.test"), tls=[{"hosts": ["b.test"]}]), False, [("http://a.test/", "10.99.0.1", "a.test")]),
        (ingress(rule("a.b.c"), tls=[{"hosts": ["*.b.c"]}]), False, [("https://a.b.c/", "10.99.0.1", "a.b.c")]),
        (ingress(rule("a.test"), tls=[{"secretName": "x"}]), False, [("https://a.test/", "10.99.0.1", "a.test")]),
        (ingress(rule("*.b.c")), False, [("http://rollcheck.b.c/", "10.99.0.1", "rollcheck.b.c")]),
        (
            ingress(rule("a.test"), addresses=[{"hostname": "lb.example"}]),
            False,
            [("http://a.test/", "lb.example", "a.test")],
        ),
        (ingress(rule(), addresses=[{"ip": "fd00::1"}]), False, [("http://[fd00::1]/", "", "")]),
        (ingress(default="web"), False, [("http://10.99.0.1/", "", "")]),
        (
            ingress(rule("a.test", "/shop(/|$)(.*)", kind="ImplementationSpecific")),
            False,
            [("http://a.test/shop", "10.99.0.1", "a.test")],
        ),
        (ingress(rule("a.test"), addresses=[]), True, [("http://a.test/", "", "")]),
    ],
)
def test_an_ingress_gives_the_ways_to_our_service(given: Json, resolves: bool, expected: list[Any]) -> None:
    hosts = routes.ingress_hosts(given)
    assert told(routes.ingress_candidates(given, ["web"], dict.fromkeys(hosts, resolves))) == expected


def test_an_ingress_that_cannot_be_reached_is_kept_with_the_reason() -> None:
    (found,) = routes.ingress_candidates(ingress(rule("a.test"), addresses=[]), ["web"], {})
    assert found.problem == "host a.test does not resolve from here and Ingress front has no address in its status"


def test_the_recorded_ingress_is_asked_at_its_own_address() -> None:
    found = routes.ingress_candidates(recorded.objects()["ingresses"][0], ["web"], {"web.example.test": False})
    assert told(found) == [("http://web.example.test/", "10.99.0.1", "web.example.test")]


@pytest.mark.parametrize(
    ("ports", "urls"),
    [
        ([{"port": 80}], ["http://1.2.3.4/"]),
        ([{"port": 8080, "name": "http"}], ["http://1.2.3.4:8080/"]),
        ([{"port": 443, "name": "https"}], ["https://1.2.3.4/"]),
        ([{"port": 9000, "appProtocol": "https"}], ["https://1.2.3.4:9000/"]),
        (
            [{"port": 9090, "name": "metrics"}, {"port": 443}, {"port": 80, "name": "http"}],
            ["http://1.2.3.4/", "https://1.2.3.4/", "http://1.2.3.4:9090/"],
        ),
        ([{"port": 53, "protocol": "UDP"}], []),
    ],
)
def test_a_load_balancer_is_asked_at_each_port_those_like_http_first(ports: list[Json], urls: list[str]) -> None:
    raw = service(type="LoadBalancer", ports=ports)
    raw["status"] = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}
    assert [c.url for c in routes.load_balancer_candidates(raw)] == urls


def test_a_load_balancer_without_an_address_is_kept_with_the_reason() -> None:
    (found,) = routes.load_balancer_candidates(service(type="LoadBalancer", ports=[{"port": 80}]))
    assert found.problem == "service/web has no load balancer address yet"


def test_other_services_are_no_load_balancers_and_have_no_node_port() -> None:
    raw = service(ports=[{"port": 80}])
    assert routes.load_balancer_candidates(raw) == []
    assert routes.node_port_candidates(raw, ["10.0.0.1"]) == []


def test_a_node_port_is_asked_at_a_few_nodes() -> None:
    raw = service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}])
    found = routes.node_port_candidates(raw, [f"10.0.0.{i}" for i in range(50)])
    assert [c.url for c in found] == [f"http://10.0.0.{i}:30080/" for i in range(routes.NODES_MOST)]


def test_a_load_balancers_node_port_is_a_way_too() -> None:
    raw = service(type="LoadBalancer", ports=[{"port": 443, "nodePort": 30443}])
    assert [c.url for c in routes.node_port_candidates(raw, ["10.0.0.1"])] == ["https://10.0.0.1:30443/"]


def test_a_headless_service_is_kept_with_the_reason() -> None:
    (found,) = routes.cluster_ip_candidates(service(clusterIP="None", ports=[{"port": 80}]))
    assert "headless" in found.problem


def node(name: str, *addresses: tuple[str, str], ready: bool = True) -> Json:
    return {
        "metadata": {"name": name},
        "status": {
            "addresses": [{"type": t, "address": a} for t, a in addresses],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


NODES = [
    node("n1", ("InternalIP", "10.0.0.1")),
    node("n2", ("InternalIP", "10.0.0.2"), ready=False),
    node("n3", ("InternalIP", "10.0.0.3"), ("Hostname", "n3")),
]


@pytest.mark.parametrize(
    ("hosting", "local", "expected"),
    [
        (set(), False, ["10.0.0.1", "10.0.0.3", "10.0.0.2"]),
        ({"n3"}, False, ["10.0.0.3", "10.0.0.1", "10.0.0.2"]),
        ({"n3"}, True, ["10.0.0.3"]),
        (set(), True, ["10.0.0.1", "10.0.0.3", "10.0.0.2"]),
    ],
)
def test_nodes_that_run_our_pods_come_first_then_ready_ones(
    hosting: set[str], local: bool, expected: list[str]
) -> None:
    assert routes.node_addresses(NODES, hosting, local=local) == expected


def test_external_addresses_are_tried_as_well_after_internal_ones() -> None:
    nodes = [node(f"n{i}", ("InternalIP", f"10.0.0.{i}"), ("ExternalIP", f"5.0.0.{i}")) for i in range(4)]
    assert routes.node_addresses(nodes, set(), local=False) == ["10.0.0.0", "10.0.0.1", "5.0.0.0", "5.0.0.1"]


# ---- choosing


def candidate(kind: str, url: str, problem: str = "") -> Candidate:
    return Candidate(url=url, kind=kind, service="web", description=f"{kind} of web", problem=problem)


INGRESS = candidate("ingress", "http://a/")
NODE_1, NODE_2 = candidate("nodeport", "http://n1:30080/"), candidate("nodeport", "http://n2:30080/")
INNER = candidate("clusterip", "http://10.96.0.9/")


def chosen(candidates: list[Candidate], answers: dict[str, str]) -> tuple[Candidate, list[str]]:
    asked: list[str] = []

    async def ask(c: Candidate) -> str:
        asked.append(c.url)
        return answers.get(c.url, "")

    return trio.run(lambda: discover.choose_route(candidates, ask)), asked


def test_the_first_kind_that_answers_wins_and_the_later_are_not_asked() -> None:
    assert chosen([INGRESS, NODE_1, INNER], {}) == (INGRESS, ["http://a/"])


def test_the_next_kind_is_asked_when_none_of_the_first_answers() -> None:
    found, asked = chosen([INGRESS, NODE_1, INNER], {"http://a/": "status 404"})
    assert (found, asked) == (NODE_1, ["http://a/", "http://n1:30080/"])


def test_of_one_kind_the_order_wins_however_fast_they_answer() -> None:
    async def ask(c: Candidate) -> str:
        await trio.sleep(0.02 if c is NODE_1 else 0)
        return ""

    assert trio.run(lambda: discover.choose_route([NODE_1, NODE_2], ask)) == NODE_1


def test_when_none_answers_each_is_named_with_its_reason() -> None:
    hostless = Candidate(
        url="http://a.test/",
        connect_host="10.99.0.1",
        host_header="a.test",
        kind="ingress",
        service="web",
        description="Ingress front",
    )
    hopeless = candidate("clusterip", "", "service/web is headless: it has no address of its own")
    reasons = {"http://a.test/": "status 404", NODE_1.url: "connection refused"}
    with pytest.raises(TargetUnreachable) as failure:
        chosen([hostless, NODE_1, hopeless], reasons)
    assert str(failure.value).splitlines() == [
        "no URL of the workload gave a good answer; give one that does with --url. Tried were:",
        "  http://a.test/ at 10.99.0.1 (ingress): status 404",
        "  http://n1:30080/ (nodeport): connection refused",
        "  clusterip of web: service/web is headless: it has no address of its own",
    ]


def test_a_candidate_with_a_problem_is_not_asked() -> None:
    hopeless = candidate("ingress", "http://a/", "no address")
    assert chosen([hopeless, INNER], {}) == (INNER, [INNER.url])


def test_no_candidate_at_all_asks_for_a_url() -> None:
    with pytest.raises(TargetUnreachable, match="give one with --url"):
        chosen([], {})


# ---- against an API server


class Cluster:
    """Serves the recorded objects; what a path in `refuse` starts with is answered with that status."""

    def __init__(self, refuse: dict[str, int] | None = None, namespaces: tuple[str, ...] = ("default", "shop")) -> None:
        self.refuse = refuse or {}
        self.namespaces = namespaces
        self.objects = copy.deepcopy(recorded.objects())

    async def __call__(self, request: Request, _: Stream) -> Answer:
        for path, status in self.refuse.items():
            if request.path.startswith(path):
                return status_object(status, "Forbidden" if status == 403 else "Error", f"no {path}")
        parts = request.path.strip("/").split("/")
        if "namespaces" in parts and parts[-2] == "namespaces":
            found = parts[-1] in self.namespaces
            return Answer(200, {"metadata": {"name": parts[-1]}}) if found else status_object(404, "NotFound")
        if parts[-1] == "namespaces":
            return self.list([{"metadata": {"name": n}} for n in self.namespaces])
        if parts[-2] == "deployments":
            raw = self.objects["deployments"].get(parts[-1])
            here = raw is not None and raw["metadata"]["namespace"] == parts[-3]
            return Answer(200, raw) if here else status_object(404, "NotFound", "not found")
        items = self.objects[parts[-1]]
        items = list(items.values()) if isinstance(items, dict) else items
        if parts[-1] == "pods":
            items = [i for i in items if i["metadata"]["labels"]["app"] == "web"]
        if "namespaces" in parts:
            items = [i for i in items if i["metadata"]["namespace"] == parts[parts.index("namespaces") + 1]]
        if (wanted := request.query.get("fieldSelector", "")).startswith("metadata.name="):
            items = [i for i in items if i["metadata"]["name"] == wanted.partition("=")[2]]
        return self.list(items)

    @staticmethod
    def list(items: list[Json]) -> Answer:
        return Answer(200, {"metadata": {"resourceVersion": "1"}, "items": items})


def on(cluster: Cluster, use: Callable[[Api], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        async with serving(cluster) as fake, Api(access_to(fake.url)) as api:
            return await use(api)

    return trio.run(main)


async def everything(api: Api) -> tuple[WorkloadSeen, list[ServiceSeen], list[Candidate]]:
    workload = await discover.find_workload(api, "default", "web")
    services = await discover.find_services(api, workload)
    return workload, services, await discover.find_candidates(api, workload, services)


@pytest.mark.loopback
def test_a_recorded_cluster_offers_ingress_then_node_ports_then_the_cluster_ip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(_: str) -> bool:
        return False

    monkeypatch.setattr(discover, "_resolves", never)
    workload, services, candidates = on(Cluster(), everything)
    assert (workload.name, [s.name for s in services]) == ("web", ["web"])
    assert [c.kind for c in candidates] == ["ingress", "nodeport", "nodeport", "clusterip"]
    assert [c.url for c in candidates][1:3] == ["http://10.99.0.11:30080/", "http://10.99.0.12:30080/"]


@pytest.mark.loopback
def test_where_nodes_may_not_be_listed_the_pods_say_where_they_run() -> None:
    _, _, candidates = on(Cluster({"/api/v1/nodes": 403, "/apis/networking": 403}), everything)
    host_ip = recorded.objects()["pods"]["web"]["status"]["hostIP"]
    assert [c.url for c in candidates if c.kind == "nodeport"] == [f"http://{host_ip}:30080/"]


@pytest.mark.loopback
def test_a_cluster_without_ingresses_is_no_failure() -> None:
    _, _, candidates = on(Cluster({"/apis/networking": 404}), everything)
    assert "ingress" not in {c.kind for c in candidates}


@pytest.mark.loopback
def test_services_that_may_not_be_listed_are_none() -> None:
    _, services, candidates = on(Cluster({"/api/v1/namespaces/default/services": 403}), everything)
    assert (services, [c for c in candidates if c.kind != "ingress"]) == ([], [])


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("namespace", "name", "refuse", "sentence"),
    [
        ("default", "wep", {}, "there is no deployment 'wep' in namespace 'default'; did you mean 'web'?"),
        ("shop", "web", {}, "there is no deployment 'web' in namespace 'shop', but in default; choose with -n"),
        (
            "shop",
            "web",
            {"/apis/apps/v1/deployments": 403},
            "there is no deployment 'web' in namespace 'shop', nor any other; choose another namespace with -n",
        ),
        (
            "default",
            "xyzzy",
            {},
            "there is no deployment 'xyzzy' in namespace 'default'; there are bad-crash, bad-fit, bad-image, web",
        ),
        ("shob", "web", {}, "there is no namespace 'shob'; did you mean 'shop'? (there are: default, shop)"),
        (
            "shob",
            "web",
            {"/api/v1/namespaces": 403},
            "there is no deployment 'web' in namespace 'shob', but in default",
        ),
        ("zzz", "web", {}, "there is no namespace 'zzz'; choose another with -n (there are: default, shop)"),
        ("default", "a/../b", {}, "there is no deployment 'a/../b' in namespace 'default'"),
    ],
)
def test_a_deployment_that_is_not_there_is_named_with_what_is_near(
    namespace: str, name: str, refuse: dict[str, int], sentence: str
) -> None:
    with pytest.raises(UsageError) as failure:
        on(Cluster(refuse), lambda api: discover.find_workload(api, namespace, name))
    assert str(failure.value).startswith(sentence)


@pytest.mark.loopback
def test_a_deployment_that_may_not_be_read_is_denied() -> None:
    with pytest.raises(ClusterDenied):
        on(Cluster({"/apis/apps": 403}), lambda api: discover.find_workload(api, "default", "web"))


@pytest.mark.loopback
def test_the_pods_of_a_workload_come_with_their_specs() -> None:
    async def pods(api: Api) -> Any:
        return await discover.find_pods(api, await discover.find_workload(api, "default", "web"))

    (found,) = on(Cluster(), pods)
    assert found.spec is not None
    assert found.name == recorded.objects()["pods"]["web"]["metadata"]["name"]


def test_a_sandboxs_service_says_where_a_port_answers_that_could_not_be_had_itself():
    raw = {
        "metadata": {"name": "web", "annotations": {"sandbox.rollcheck/ports": '{"80": 10080}'}},
        "spec": {"clusterIP": "127.16.200.1", "ports": [{"port": 80}]},
    }

    assert [c.url for c in routes.cluster_ip_candidates(raw)] == ["http://127.16.200.1:10080/"]


def test_an_ingress_whose_status_names_another_port_is_asked_there():
    rule = {"host": "shop.test", "http": {"paths": [{"path": "/", "backend": {"service": {"name": "web"}}}]}}
    raw = {
        "metadata": {"name": "web"},
        "spec": {"rules": [rule]},
        "status": {"loadBalancer": {"ingress": [{"ip": "127.16.0.2", "ports": [{"port": 10080, "protocol": "TCP"}]}]}},
    }

    found = routes.ingress_candidates(raw, ["web"], {"shop.test": False})

    assert [(c.url, c.connect_host) for c in found] == [("http://shop.test:10080/", "127.16.0.2")]


def way(url: str, kind: str, service: str) -> Candidate:
    return Candidate(url=url, kind=kind, service=service, description=service)


WAYS = [
    way("http://10.0.0.1:30080/", "nodeport", "web"),
    way("http://10.0.0.1:30081/", "nodeport", "api"),
    way("http://10.96.0.5/", "clusterip", "web"),
    way("https://shop.test/", "ingress", "web"),
    way("https://shop.test/api/", "ingress", "api"),
]


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("http://10.0.0.1:30081/health", "api"),
        ("http://10.0.0.9:30081/", "api"),
        ("http://10.96.0.5:80/", "web"),
        ("https://shop.test/cart", "web"),
        ("https://shop.test/api/orders", "api"),
        ("https://elsewhere.test/", ""),
        ("http://10.0.0.1:99999999/", ""),
    ],
)
def test_the_service_behind_a_url_of_the_users_own_is_told_by_host_port_and_path(url: str, service: str) -> None:
    assert routes.service_behind(url, WAYS) == service


def test_a_url_that_could_be_two_services_is_told_to_be_none() -> None:
    assert (
        routes.service_behind("http://a/", [way("http://a/", "ingress", "web"), way("http://a/", "ingress", "api")])
        == ""
    )
