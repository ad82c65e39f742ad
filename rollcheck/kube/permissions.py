"""What the run needs to be allowed, asked of the API server itself (SelfSubjectAccessReview needs no right)."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from rollcheck.errors import ClusterDenied, ClusterRefused
from rollcheck.kube.api import Api, CredentialsRefused
from rollcheck.kube.tasks import one_error

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource.

    Attributes:
        why: what is lost without it.
        required: whether a run cannot be without it.
    """

    verb: str
    resource: str
    group: str
    namespace: str
    why: str
    required: bool

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{'.' + self.group if self.group else ''} in namespace {self.namespace}"


def needed_rights(namespace: str, *, restart: bool) -> list[Right]:
    """Everything a run asks for, the required first."""
    needs = [
        ("deployments", "apps", "the workload itself is read from it", True, ("get", "list", "watch")),
        ("pods", "", "the ends of pods are read from it", True, ("list", "watch")),
        ("replicasets", "apps", "without it pods are told apart by labels only", False, ("list", "watch")),
        ("endpointslices", "discovery.k8s.io", "without it it cannot be told when a pod left its Service", False,
         ("list", "watch")),
        ("events", "", "without it preStop and SIGTERM cannot be placed", False, ("list", "watch")),
        ("services", "", "without it no URL can be found: give --url", False, ("list",)),
        ("ingresses", "networking.k8s.io", "without it no URL is looked for behind an Ingress", False, ("list",)),
    ]  # fmt: skip
    rights = [
        Right(verb, resource, group, namespace, why, required)
        for resource, group, why, required, verbs in needs
        for verb in verbs
    ]
    if restart:
        rights.insert(0, Right("patch", "deployments", "apps", namespace, "a restart is a patch of it", True))
    return rights


async def missing_rights(api: Api, namespace: str, *, restart: bool) -> list[Right]:
    """The rights that the run would use and does not have; empty as well when the server lets nobody ask.

    Raises:
        ClusterError: the API server does not answer, or does not know us.
    """
    rights = needed_rights(namespace, restart=restart)
    allowed: dict[Right, bool] = {}

    async def ask(right: Right) -> None:
        allowed[right] = await _is_allowed(api, right)

    with one_error():
        async with trio.open_nursery() as nursery:
            for right in rights:
                nursery.start_soon(ask, right)
    return [right for right in rights if not allowed[right]]


async def _is_allowed(api: Api, right: Right) -> bool:
    attributes = {
        "namespace": right.namespace,
        "verb": right.verb,
        "resource": right.resource,
        "group": right.group,
    }
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
