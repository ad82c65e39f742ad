"""One call of the Eviction API, and what its answer means: of three kinds of 429 only one is a budget's no."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rollcheck.errors import ClusterDenied, ClusterRefused
from rollcheck.kube.api import Api, ClusterThrottled, CredentialsRefused, Json

DONE, GONE = "", "gone"
BUDGET, UNSETTLED, THROTTLED, BUDGETS, OTHER = "budget", "unsettled", "throttled", "budgets", "other"
DOOMED = "doomed"
RETRIED = (BUDGET, UNSETTLED, THROTTLED, DOOMED)
"""Refusals that may pass by themselves: kubectl drain tries again after 5 s. A pod whose namespace is being deleted is
doomed: nothing may be created in there, evictions neither, but it goes by itself soon."""

_BUDGET_CAUSE = "DisruptionBudget"
_DOOMED_CAUSE = "NamespaceTerminating"
_BUDGET_NAME = re.compile(r"[Tt]he disruption budget (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to one eviction.

    Attributes:
        refusal: empty when the pod is being evicted, "gone" when there is no such pod any more, else as in
            `facts.actions.Step`.
        message: the API server's words, the budget's own sentence where there is one.
        budget: name of the budget that said no, empty when none did.
    """

    status: int
    refusal: str = DONE
    message: str = ""
    budget: str = ""


async def evict(
    api: Api, namespace: str, pod: str, *, uid: str = "", grace_s: int | None = None, dry_run: bool = False
) -> Verdict:
    """Ask for the eviction of a pod, once.

    Raises:
        ClusterUnreachable: no answer came: it may have been done.
        CredentialsRefused: we are nobody.
    """
    options: Json = {}
    if uid:
        options["preconditions"] = {"uid": uid}
    if grace_s is not None:
        options["gracePeriodSeconds"] = grace_s
    if dry_run:
        options["dryRun"] = ["All"]
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": namespace},
        "deleteOptions": options,
    }
    try:
        status, _ = await api.create(f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", body)
    except CredentialsRefused:
        raise
    except ClusterDenied as e:
        doomed = any(reason == _DOOMED_CAUSE for reason, _ in e.causes)
        return Verdict(status=403, refusal=DOOMED if doomed else OTHER, message=str(e))
    except ClusterRefused as e:
        return judge(e)
    return Verdict(status=status)


def judge(error: ClusterRefused) -> Verdict:
    """What a refusal means."""
    words = next((message for reason, message in error.causes if reason == _BUDGET_CAUSE), "")
    text = words or error.words or str(error)
    named = _BUDGET_NAME.search(text)
    budget = named[1] if named else ""
    if error.status == 404:
        return Verdict(status=404, refusal=GONE, message=text)
    if error.status == 409 and "UID in precondition" in text:
        return Verdict(status=409, refusal=GONE, message=text)  # another pod of its name
    if isinstance(error, ClusterThrottled) or error.status == 429:
        if "still being processed" in text:
            return Verdict(status=429, refusal=UNSETTLED, message=text, budget=budget)
        if words:
            return Verdict(status=429, refusal=BUDGET, message=text, budget=budget)
        return Verdict(status=429, refusal=THROTTLED, message=text)
    if "more than one PodDisruptionBudget" in text:
        return Verdict(status=error.status, refusal=BUDGETS, message=text)
    return Verdict(status=error.status, refusal=OTHER, message=text)
