"""What the answers to an eviction mean."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from rollcheck.errors import ClusterUnreachable
from rollcheck.kube import eviction
from rollcheck.kube.api import Api
from tests.fakes.api import Answer, Request, Stream, access_to, serving, status_object
from tests.fakes.disruptable import BLOCKED, refusal

pytestmark = pytest.mark.loopback

asked: list[Request] = []


def evict(answer: Answer | None, **options: Any) -> eviction.Verdict:
    async def handler(request: Request, stream: Stream) -> Answer | None:
        asked.append(request)
        if answer is None:
            await stream.cut()
        return answer

    async def main() -> eviction.Verdict:
        from kubernetes.client import Configuration

        async with serving(handler) as fake:
            access = access_to(fake.url)
            access.credentials.configuration = Configuration(host=fake.url)
            access.credentials.configuration.retries = False
            async with Api(access) as api:
                return await eviction.evict(api, "shop", "web-1", **options)

    asked.clear()
    return trio.run(main)


def test_an_eviction_is_asked_for_once_of_that_very_pod() -> None:
    assert evict(Answer(201, {}), uid="u1", grace_s=5) == eviction.Verdict(status=201)
    (request,) = asked
    assert (request.method, request.path) == ("POST", "/api/v1/namespaces/shop/pods/web-1/eviction")
    assert request.json["apiVersion"] == "policy/v1"
    assert request.json["deleteOptions"] == {"preconditions": {"uid": "u1"}, "gracePeriodSeconds": 5}


def test_a_rehearsal_is_a_dry_run_of_the_server() -> None:
    evict(Answer(201, {}), dry_run=True)
    assert asked[0].json["deleteOptions"] == {"dryRun": ["All"]}


def test_a_budget_says_no_by_its_cause() -> None:
    verdict = evict(BLOCKED)
    assert (verdict.refusal, verdict.budget) == (eviction.BUDGET, "web")
    assert verdict.message == "The disruption budget web needs 2 healthy pods and has 2 currently"


def test_a_budget_whose_controller_lags_is_no_budget_that_says_no() -> None:
    words = "The disruption budget web is still being processed by the server."
    verdict = evict(refusal(429, "Cannot evict pod …", ("DisruptionBudget", words)))
    assert (verdict.refusal, verdict.budget) == (eviction.UNSETTLED, "web")


def test_a_429_without_that_cause_is_the_servers_own() -> None:
    verdict = evict(refusal(429, "too many requests, please try again later"))
    assert (verdict.refusal, verdict.budget) == (eviction.THROTTLED, "")


def test_two_budgets_are_told_by_the_words_of_the_500() -> None:
    assert evict(refusal(500, "This pod has more than one PodDisruptionBudget, which …")).refusal == eviction.BUDGETS


def test_a_pod_that_is_not_there_is_gone() -> None:
    assert evict(status_object(404, "NotFound", "pods not found")).refusal == eviction.GONE


def test_another_pod_of_its_name_is_not_evicted_in_its_stead() -> None:
    words = "Precondition failed: UID in precondition: u1, UID in object meta: u2"
    assert evict(status_object(409, "Conflict", words)).refusal == eviction.GONE


@pytest.mark.parametrize("code", [403, 422, 409])
def test_any_other_refusal_is_told_in_the_servers_words(code: int) -> None:
    verdict = evict(status_object(code, "Odd", "the pod is odd"))
    assert (verdict.status, verdict.refusal) == (code, eviction.OTHER)
    assert "the pod is odd" in verdict.message


def test_a_pod_whose_namespace_is_being_deleted_is_waited_for_as_kubectl_does() -> None:
    """As Kubernetes 1.34 answers it."""
    verdict = evict(refusal(403, 'pods "web-1" is forbidden: unable', ("NamespaceTerminating", "is being terminated")))
    assert (verdict.status, verdict.refusal) == (403, eviction.DOOMED)
    assert verdict.refusal in eviction.RETRIED


def test_any_other_403_is_not_tried_again() -> None:
    assert evict(refusal(403, 'pods "web-1" is forbidden')).refusal == eviction.OTHER


def test_silence_is_no_verdict() -> None:
    with pytest.raises(ClusterUnreachable):
        evict(None)
