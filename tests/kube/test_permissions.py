"""Rights asked of the API server itself."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from rollcheck.errors import ClusterDenied
from rollcheck.kube.api import Api
from rollcheck.kube.permissions import Right, missing_rights
from tests.fakes.api import Answer, Request, Stream, access_to, serving, status_object

pytestmark = pytest.mark.loopback

VIEW = {"get", "list", "watch"}


def missing(allows: Any, *, restart: bool = True) -> list[Right]:
    async def handler(request: Request, _: Stream) -> Answer:
        answer = allows(request.json["spec"]["resourceAttributes"])
        return answer if isinstance(answer, Answer) else Answer(201, {"status": {"allowed": answer}})

    async def main() -> list[Right]:
        async with serving(handler) as fake, Api(access_to(fake.url)) as api:
            return await missing_rights(api, "shop", "restart" if restart else "command")

    return trio.run(main)


def test_an_administrator_misses_nothing() -> None:
    assert missing(lambda _: True) == []


def test_a_viewer_misses_the_patch_that_a_restart_is() -> None:
    (right,) = [r for r in missing(lambda a: a["verb"] in VIEW) if r.required]
    assert str(right) == "patch deployments.apps in namespace shop"


def test_a_viewer_with_a_command_of_his_own_misses_only_what_claims_the_workload() -> None:
    rights = missing(lambda a: a["verb"] in VIEW, restart=False)
    assert {(r.resource, r.required) for r in rights} == {("leases", False)}


def test_what_the_run_can_do_without_is_not_required() -> None:
    rights = missing(lambda a: a["resource"] not in ("events", "endpointslices"))
    assert [(r.resource, r.verb, r.required) for r in rights] == [
        ("endpointslices", "list", False),
        ("endpointslices", "watch", False),
        ("events", "list", False),
        ("events", "watch", False),
    ]


def test_without_pods_there_is_no_run() -> None:
    assert [r.required for r in missing(lambda a: a["resource"] != "pods")] == [True, True]


def test_each_right_is_asked_for_in_the_namespace_and_group() -> None:
    seen: list[dict[str, str]] = []

    def allows(attributes: dict[str, str]) -> bool:
        seen.append(attributes)
        return True

    missing(allows)
    assert {a["namespace"] for a in seen} == {"shop"}
    assert {a["resource"]: a["group"] for a in seen}["endpointslices"] == "discovery.k8s.io"


@pytest.mark.parametrize("status", [403, 404])
def test_where_nobody_may_ask_nothing_is_said_to_be_missing(status: int) -> None:
    assert missing(lambda _: status_object(status, "No")) == []


def test_refused_credentials_are_one_sentence_of_their_own() -> None:
    with pytest.raises(ClusterDenied, match="log in again"):
        missing(lambda _: status_object(401, "Unauthorized"))
