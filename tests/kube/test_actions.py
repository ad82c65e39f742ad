"""A restart with kubectl's semantics, and what it refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import trio

from rollcheck.errors import ClusterDenied, ClusterRefused, UsageError
from rollcheck.facts.actions import Action
from rollcheck.facts.clock import parse_time
from rollcheck.facts.cluster import Change
from rollcheck.kube import objects
from rollcheck.kube.actions import rollouts as actions
from rollcheck.kube.api import Api
from tests.fakes import recorded
from tests.fakes.api import Answer, FakeApi, Request, Stream, access_to, serving, status_object

pytestmark = pytest.mark.loopback

WORKLOAD = objects.workload(recorded.objects()["deployments"]["web"], 0, Change.LISTED)


def restart(
    change: dict[str, Any],
    *,
    raw: dict[str, Any] | None = None,
    patched: Answer | Callable[[], Answer] | None = None,
    now: str = "",
) -> tuple[Action, FakeApi]:
    raw = raw or copy.deepcopy(recorded.objects()["deployments"]["web"])
    raw["spec"].update(change)

    async def handler(request: Request, _: Stream) -> Answer:
        if request.method == "PATCH" and patched:
            return patched() if callable(patched) else patched
        return Answer(200, raw)

    async def main() -> tuple[Action, FakeApi]:
        from kubernetes.client import Configuration

        async with serving(handler) as fake:
            access = access_to(fake.url)
            access.credentials.configuration = Configuration(host=fake.url)
            try:
                async with Api(access) as api:
                    return await actions.restart(api, WORKLOAD, told.append, now_text=now), fake
            finally:
                asked.extend(fake.requests)

    asked.clear()
    told.clear()
    return trio.run(main)


asked: list[Request] = []
told: list[Action] = []


def test_a_restart_stamps_the_template_and_nothing_else() -> None:
    restart({}, now="2026-01-01T00:00:00Z")
    (patch,) = [r for r in asked if r.method == "PATCH"]
    assert patch.path == "/apis/apps/v1/namespaces/default/deployments/web"
    assert patch.json == {
        "spec": {
            "template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}}
        }
    }


def test_the_stamp_is_a_time_in_whole_seconds() -> None:
    restart({})
    (patch,) = [r for r in asked if r.method == "PATCH"]
    stamp = patch.json["spec"]["template"]["metadata"]["annotations"][actions.RESTARTED_AT]
    assert parse_time(stamp)
    assert "." not in stamp


def test_a_restart_is_an_action_with_the_status_and_its_times() -> None:
    action, _ = restart({})
    assert (action.kind, action.description, action.status) == ("restart", "restart deployment/web", 200)
    assert action.succeeded
    assert told == [action]
    assert action.ended_ns is not None
    assert action.started_ns < action.ended_ns


def test_a_paused_deployment_is_refused_and_nothing_is_sent() -> None:
    with pytest.raises(UsageError, match=r"is paused .*`kubectl rollout resume deployment/web`"):
        restart({"paused": True})
    assert [r.method for r in asked] == ["GET"]


def test_a_second_restart_within_the_same_second_is_refused() -> None:
    stamp = "2026-01-01T00:00:00Z"
    with pytest.raises(UsageError, match="within this very second"):
        restart({"template": {"metadata": {"annotations": {actions.RESTARTED_AT: stamp}}}}, now=stamp)
    assert [r.method for r in asked] == ["GET"]


def test_a_restart_without_the_right_is_denied() -> None:
    with pytest.raises(ClusterDenied, match="cannot patch"):
        restart({}, patched=status_object(403, "Forbidden", "cannot patch resource deployments"))
    assert told == []


def test_a_restart_that_is_refused_was_not_begun() -> None:
    with pytest.raises(ClusterRefused, match="422"):
        restart({}, patched=status_object(422, "Invalid", "spec.template is invalid"))
    assert told == []


def test_after_a_server_error_it_is_not_known_whether_a_restart_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "UNSURE_S", 0.05)
    action, _ = restart({}, patched=status_object(500, "InternalError", "etcdserver: request timed out"))
    assert (action.status, action.succeeded) == (None, False)
    assert "etcdserver: request timed out" in action.message
    assert told == [action]


def test_a_stamp_that_is_there_after_all_says_that_it_began() -> None:
    stamp = "2026-01-01T00:00:00Z"
    raw = copy.deepcopy(recorded.objects()["deployments"]["web"])

    def patched() -> Answer:
        raw["spec"]["template"]["metadata"]["annotations"][actions.RESTARTED_AT] = stamp
        return status_object(504, "Timeout", "no answer in time")

    action, _ = restart({}, raw=raw, patched=patched, now=stamp)
    assert action.succeeded
    assert action.message.endswith("the Deployment carries its stamp, so it was taken")
