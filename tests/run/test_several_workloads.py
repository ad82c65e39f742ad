"""Of several workloads: every one's Services are found, one URL is asked, and what gets no load is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio

from rollcheck.facts.cluster import Change, ServiceSeen, WorkloadSeen
from rollcheck.kube import objects
from rollcheck.kube.api import Api
from rollcheck.kube.discover import Candidate
from rollcheck.load.plan import LoadPlan, parse_target
from rollcheck.preflight import find_route
from rollcheck.run import lanes_of
from tests.fakes.api import Answer, Request, Stream, access_to, serving
from tests.fakes.target import Target

pytestmark = pytest.mark.loopback

Json = dict[str, Any]
Found = tuple[Candidate, tuple[ServiceSeen, ...], tuple[str, ...]]


@pytest.fixture
def server() -> Iterator[Target]:
    with Target() as answering:
        yield answering


def workload(name: str, **labels: str) -> WorkloadSeen:
    marks = labels or {"app": name}
    spec = {"selector": {"matchLabels": marks}, "template": {"metadata": {"labels": marks}}}
    raw = {"metadata": {"name": name, "uid": f"uid-{name}", "namespace": "shop"}, "spec": spec}
    return objects.workload(raw, 0, Change.LISTED, "Deployment")


def service(name: str, port: int, **selector: str) -> Json:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "namespace": "shop"},
        "spec": {"type": "LoadBalancer", "selector": selector, "ports": [{"port": port}], "clusterIP": "None"},
        "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}},
    }


def found(services: list[Json], workloads: list[WorkloadSeen], url: str = "") -> Found:
    async def handler(request: Request, _: Stream) -> Answer:
        items = services if request.path.endswith("/services") else []
        return Answer(200, {"metadata": {"resourceVersion": "1"}, "items": items})

    plan = LoadPlan(
        target=parse_target("http://found-by-preflight.invalid/"),
        qps=10,
        lanes=lanes_of(10, 2, 0.5),
        timeout_s=2,
        interval_s=0.1,
    )

    async def main() -> Found:
        async with serving(handler) as fake, Api(access_to(fake.url)) as api:
            return await find_route(api, workloads, plan, url)

    return trio.run(main)


def test_a_service_that_selects_two_workloads_is_found_once_and_all_of_it_gets_load(server: Target) -> None:
    services = [service("web", server.port, app="web")]
    both = [workload("stable", app="web", track="stable"), workload("canary", app="web", track="canary")]
    route, seen, notes = found(services, both)

    assert (route.service, [s.name for s in seen], notes) == ("web", ["web"], ())


def test_of_two_services_both_are_watched_and_the_one_without_load_is_said(server: Target) -> None:
    services = [service("web", server.port, app="web"), service("api", 1, app="api")]
    route, seen, notes = found(services, [workload("web"), workload("api")])

    assert route.service == "web"
    assert {s.name for s in seen} == {"web", "api"}
    assert notes[0].startswith("the load goes to service/web alone, which has no pod of deployment/api")


def test_the_first_workload_that_has_a_service_is_asked(server: Target) -> None:
    route, _, notes = found([service("web", server.port, app="web")], [workload("worker"), workload("web")])

    assert route.service == "web"
    assert "no pod of deployment/worker" in notes[0]


def test_the_service_behind_a_url_of_the_users_own_is_told_and_nothing_is_noted(server: Target) -> None:
    services = [service("api", 1, app="api"), service("web", server.port, app="web")]
    route, seen, notes = found(services, [workload("api"), workload("web")], server.url)

    assert (route.kind, route.service, notes) == ("url", "web", ())
    assert {s.name for s in seen} == {"web", "api"}
