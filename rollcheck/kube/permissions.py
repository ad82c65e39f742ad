"""What the run needs to be allowed, asked of the API server itself (SelfSubjectAccessReview needs no right)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import trio

from rollcheck.errors import ClusterDenied, ClusterRefused
from rollcheck.kube.actions.table import needs_of
from rollcheck.kube.api import Api, CredentialsRefused
from rollcheck.kube.tasks import one_error

ASKED_AT_ONCE = 32
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource.

    Attributes:
        namespace: empty for the whole cluster.
        why: what it is for, or what is lost without it.
        required: whether a run cannot be without it.
        beforehand: whether only `--dry-run` makes use of it.
    """

    verb: str
    resource: str
    group: str
    namespace: str
    why: str
    required: bool
    beforehand: bool = False

    def __str__(self) -> str:
        where = f"in namespace {self.namespace}" if self.namespace else "in the whole cluster"
        name, _, part = self.resource.partition("/")
        return f"{self.verb} {name}{'.' + self.group if self.group else ''}{'/' + part if part else ''} {where}"


def needed_rights(namespace: str, action: str, kinds: Iterable[str] = ("Deployment",)) -> list[Right]:
    """Everything a run asks for, by the table of actions: what the action itself needs comes first."""
    return [
        Right(
            need.verb,
            need.resource,
            need.group,
            "" if need.cluster else namespace,
            need.why,
            need.required,
            need.beforehand,
        )
        for need in needs_of(action, kinds)
    ]


async def missing_rights(api: Api, namespace: str, action: str, kinds: Iterable[str] = ("Deployment",)) -> list[Right]:
    """The rights that the run would use and does not have; empty as well when the server lets nobody ask.

    Raises:
        ClusterError: the API server does not answer, or does not know us.
    """
    rights = needed_rights(namespace, action, kinds)
    allowed = await rights_allowed(api, rights)
    return [right for right in rights if not allowed[right]]


async def rights_allowed(api: Api, rights: Iterable[Right]) -> dict[Right, bool]:
    """Of each right whether it is there; each verb on each resource is asked for once.

    Raises:
        ClusterError: the API server does not answer, or does not know us.
    """
    alike: dict[str, list[Right]] = {}
    for right in rights:
        alike.setdefault(str(right), []).append(right)
    allowed: dict[Right, bool] = {}
    limit = trio.CapacityLimiter(ASKED_AT_ONCE)

    async def ask(same: list[Right]) -> None:
        async with limit:
            answer = await _is_allowed(api, same[0])
        allowed.update(dict.fromkeys(same, answer))

    with one_error():
        async with trio.open_nursery() as nursery:
            for same in alike.values():
                nursery.start_soon(ask, same)
    return allowed


async def _is_allowed(api: Api, right: Right) -> bool:
    resource, _, part = right.resource.partition("/")
    attributes = {"namespace": right.namespace, "verb": right.verb, "resource": resource, "group": right.group}
    if part:
        attributes["subresource"] = part
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    try:
        answer = await api.post(REVIEWS, review)
    except CredentialsRefused:
        raise
    except (ClusterDenied, ClusterRefused):
        return True  # nobody may ask here: the request itself will tell
    return (answer.get("status") or {}).get("allowed") is True
