"""Two runs cannot fight: a Lease for each workload, held while a run goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio

from rollcheck.errors import UsageError
from rollcheck.facts.cluster import Change
from rollcheck.kube import lease, objects
from rollcheck.kube.api import Api
from tests.fakes import recorded
from tests.fakes.api import Answer, Request, Stream, access_to, serving, status_object

pytestmark = pytest.mark.loopback

WORKLOAD = objects.workload(recorded.objects()["deployments"]["web"], 0, Change.LISTED)


def held_since(seconds: float) -> dict[str, Any]:
    renewed = (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": "web-1 of alice@host", "leaseDurationSeconds": 30, "renewTime": renewed}
    return {"metadata": {"uid": "u1", "resourceVersion": "7"}, "spec": spec}


def hold(create: Answer, present: dict[str, Any] | None = None) -> tuple[str, list[Request]]:
    async def handler(request: Request, _: Stream) -> Answer:
        if request.method == "POST":
            return create
        return Answer(200, present or {"metadata": {"uid": "u1"}})

    async def main() -> tuple[str, list[Request]]:
        from kubernetes.client import Configuration

        async with serving(handler) as fake:
            access = access_to(fake.url)
            access.credentials.configuration = Configuration(host=fake.url)
            async with Api(access) as api, lease.held(api, [WORKLOAD], "web-2") as why:
                pass
            return why, fake.requests

    return trio.run(main)


CREATED = Answer(201, {"metadata": {"uid": "u1"}})
TAKEN = status_object(409, "AlreadyExists", "already exists")


def test_a_lease_is_made_and_deleted_again() -> None:
    why, requests = hold(CREATED)
    assert why == ""
    assert [r.method for r in requests] == ["POST", "DELETE"]
    assert requests[0].json["metadata"]["name"] == "rollcheck-deployment-web"
    assert requests[0].json["spec"]["holderIdentity"].startswith("web-2 of ")
    assert requests[1].json["preconditions"] == {"uid": "u1"}


def test_a_lease_that_another_run_holds_is_respected() -> None:
    with pytest.raises(UsageError, match=r"another run is at deployment/web \(web-1 of alice@host\).*ends in 2\d s"):
        hold(TAKEN, held_since(2))


def test_a_stale_lease_is_taken_over_as_it_was_read() -> None:
    _, requests = hold(TAKEN, held_since(40))
    (patch,) = [r for r in requests if r.method == "PATCH"]
    assert patch.json["metadata"] == {"resourceVersion": "7"}
    assert patch.json["spec"]["holderIdentity"].startswith("web-2")


@pytest.mark.parametrize("code", [403, 404])
def test_where_no_lease_may_be_held_the_run_goes_on_and_says_so(code: int) -> None:
    why, requests = hold(status_object(code, "No", "no leases here"))
    assert "another rollcheck on the same workload goes unnoticed" in why
    assert [r.method for r in requests] == ["POST"]


def test_a_very_long_name_is_cut_and_still_its_own() -> None:
    from dataclasses import replace

    one, two = (lease.lease_name(replace(WORKLOAD, name="w" * 240 + end)) for end in "ab")
    assert one != two
    assert len(one) <= 253
