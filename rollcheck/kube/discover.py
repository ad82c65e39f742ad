"""From a workload's name to a URL that answers: Deployment → Services → ways in → the first that answers.

Finding is done here, asking is not: `choose_route` is given the function that asks.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from urllib.parse import quote

import trio

from rollcheck.errors import ClusterDenied, ClusterRefused, TargetUnreachable, UsageError
from rollcheck.facts.cluster import Change, PodSeen, ServiceSeen, WorkloadSeen
from rollcheck.kube import objects, routes
from rollcheck.kube.actions.table import RESOURCES
from rollcheck.kube.api import Api, CredentialsRefused, Json
from rollcheck.kube.beside import is_backend, selectors_beside
from rollcheck.kube.routes import Candidate
from rollcheck.kube.tasks import one_error

__all__ = ["Candidate", "choose_route", "find_beside", "find_candidates", "find_pods", "find_services", "find_workload"]

ASKED_AT_ONCE = 4
RESOLVE_WAIT_S = 3.0


async def find_workload(api: Api, namespace: str, name: str, kind: str = "Deployment") -> WorkloadSeen:
    """The workload of that name, a Deployment unless `kind` says otherwise.

    Raises:
        UsageError: there is none; the message names what is near: other names, other namespaces.
        ClusterError: the API server does not answer, or does not let us.
    """
    path = f"/apis/apps/v1/namespaces/{quote(namespace, safe='')}/{RESOURCES[kind]}/{quote(name, safe='')}"
    try:
        raw = await api.get(path)
    except ClusterRefused as e:
        if e.status != 404:
            raise
        raise UsageError(await _not_found(api, namespace, name, kind)) from e
    return objects.workload(raw, time.monotonic_ns(), Change.LISTED, kind)


async def find_pods(api: Api, workload: WorkloadSeen) -> list[PodSeen]:
    """The workload's pods as they are now, with their specs: those that its selector picks and no other controls.

    Raises:
        ClusterError: the API server does not answer, or does not let us.
    """
    listing = await api.list_all(_pods_path(workload), {"labelSelector": workload.pod_selector})
    now = time.monotonic_ns()
    own = await _own(api, workload, listing.items)
    return [objects.pod(raw, now, Change.LISTED, with_spec=True) for raw in own]


async def find_beside(
    api: Api, workloads: Sequence[WorkloadSeen], services: Sequence[ServiceSeen], own: Iterable[PodSeen]
) -> list[PodSeen]:
    """The pods that these Services have beside the workloads' `own`, as they are now.

    Raises:
        ClusterError: the API server does not answer, or does not let us.
    """
    ours, found = {pod.uid for pod in own}, dict[str, PodSeen]()
    for selector in selectors_beside(services, workloads):
        listing = await api.list_all(_pods_path(workloads[0]), {"labelSelector": selector})
        now = time.monotonic_ns()
        for raw in listing.items:
            pod = objects.pod(raw, now, Change.LISTED, with_spec=False)
            if pod.uid not in ours and is_backend(pod.labels, services):
                found[pod.uid] = pod
    return list(found.values())


async def _own(api: Api, workload: WorkloadSeen, raws: list[Json]) -> list[Json]:
    """Without those that another controller has: the selectors of two workloads may overlap."""
    if workload.kind != "Deployment":
        mine = [("", ""), (workload.kind, workload.name)]
        return [raw for raw in raws if objects.controller_of(raw)[:2] in mine]
    sets = {uid for kind, _, uid in map(objects.controller_of, raws) if kind == "ReplicaSet"}
    foreign: set[str] = set()
    if len(sets) > 1:  # of one alone there is nobody to tell it from
        path = f"/apis/apps/v1/namespaces/{workload.namespace}/replicasets"
        for raw in await _list_or_nothing(api, path, {"labelSelector": workload.pod_selector}):
            kind, _, owner = objects.controller_of(raw)
            if kind == "Deployment" and owner != workload.uid:
                foreign.add(str(raw["metadata"].get("uid", "")))
    return [
        raw for raw in raws if (kept := objects.controller_of(raw))[0] in ("", "ReplicaSet") and kept[2] not in foreign
    ]


async def find_services(api: Api, workload: WorkloadSeen) -> list[ServiceSeen]:
    """The Services that select the workload's pods, by name; empty when there is none or they may not be listed."""
    raws = await _services(api, workload)
    now = time.monotonic_ns()
    return [objects.service(raw, now) for raw in raws]


async def find_candidates(api: Api, workload: WorkloadSeen, services: list[ServiceSeen]) -> list[Candidate]:
    """Every way in to these Services, in the order in which to try them.

    Ingress, LoadBalancer, NodePort, ClusterIP; those that cannot work are there with their problem.
    """
    names = [s.name for s in services]
    raws = [raw for raw in await _services(api, workload) if raw["metadata"]["name"] in names]
    found = await _ingress_routes(api, workload.namespace, names)
    for raw in raws:
        found += routes.load_balancer_candidates(raw)
    for raw in raws:
        if (raw.get("spec") or {}).get("type") in ("NodePort", "LoadBalancer"):
            found += routes.node_port_candidates(raw, await _node_addresses(api, workload, raw))
    for raw in raws:
        found += routes.cluster_ip_candidates(raw)
    return list(dict.fromkeys(found))


async def choose_route(candidates: Iterable[Candidate], ask: Callable[[Candidate], Awaitable[str]]) -> Candidate:
    """The first candidate that answers well; those of one kind are asked at the same time.

    Args:
        candidates: in order of preference, each kind together.
        ask: "" when the candidate answers well, else why not.

    Raises:
        TargetUnreachable: none does; the message lists each with its reason.
    """
    reasons: list[str] = []
    for _, group in groupby(candidates, key=attrgetter("kind")):
        alike = list(group)
        answers: dict[int, str] = {}
        limit = trio.CapacityLimiter(ASKED_AT_ONCE)
        with one_error():
            async with trio.open_nursery() as nursery:
                for i, candidate in enumerate(alike):
                    nursery.start_soon(_ask_one, ask, candidate, answers, i, limit)
        for i, candidate in enumerate(alike):
            if not answers[i]:
                return candidate
            reasons.append(f"  {_shown(candidate)}: {answers[i]}")
    if not reasons:
        raise TargetUnreachable(
            "no Service that we may see selects the pods of this workload, so there is no URL to be found; give one "
            "with --url"
        )
    raise TargetUnreachable(
        "no URL of the workload gave a good answer; give one that does with --url. Tried were:\n" + "\n".join(reasons)
    )


async def _ask_one(
    ask: Callable[[Candidate], Awaitable[str]],
    candidate: Candidate,
    answers: dict[int, str],
    i: int,
    limit: trio.CapacityLimiter,
) -> None:
    if candidate.problem:
        answers[i] = candidate.problem
        return
    async with limit:
        answers[i] = await ask(candidate)


def _shown(candidate: Candidate) -> str:
    if not candidate.url:
        return candidate.description
    at = f" at {candidate.connect_host}" if candidate.connect_host else ""
    return f"{candidate.url}{at} ({candidate.kind})"


async def _services(api: Api, workload: WorkloadSeen) -> list[Json]:
    listing = await _list_or_nothing(api, f"/api/v1/namespaces/{workload.namespace}/services")
    ours = [
        raw
        for raw in listing
        if objects.selects((raw.get("spec") or {}).get("selector") or {}, workload.template_labels)
    ]
    return sorted(ours, key=lambda raw: str(raw["metadata"]["name"]))


async def _ingress_routes(api: Api, namespace: str, services: list[str]) -> list[Candidate]:
    ingresses = await _list_or_nothing(api, f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses")
    hosts = {host for ingress in ingresses for host in routes.ingress_hosts(ingress)}
    resolves: dict[str, bool] = {}

    async def look_up(host: str) -> None:
        resolves[host] = await _resolves(host)

    async with trio.open_nursery() as nursery:
        for host in hosts:
            nursery.start_soon(look_up, host)
    return [c for ingress in ingresses for c in routes.ingress_candidates(ingress, services, resolves)]


async def _resolves(host: str) -> bool:
    with trio.move_on_after(RESOLVE_WAIT_S):
        try:
            return bool(await trio.socket.getaddrinfo(host, 80, type=trio.socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            return False
    return False


async def _node_addresses(api: Api, workload: WorkloadSeen, service: Json) -> list[str]:
    """Of the nodes; of the pods' own nodes alone where nodes may not be listed."""
    pods = await _list_or_nothing(api, _pods_path(workload), {"labelSelector": workload.pod_selector})
    hosting = {str((p.get("spec") or {}).get("nodeName", "")) for p in pods}
    local = (service.get("spec") or {}).get("externalTrafficPolicy") == "Local"
    nodes = await _list_or_nothing(api, "/api/v1/nodes")
    addresses = routes.node_addresses(nodes, hosting, local=local)
    if addresses:
        return addresses
    return sorted({str(ip) for p in pods if (ip := (p.get("status") or {}).get("hostIP"))})


async def _list_or_nothing(api: Api, path: str, params: dict[str, str] | None = None) -> list[Json]:
    """What may be listed; nothing where it is forbidden (the permission check has named that) or unknown."""
    try:
        return (await api.list_all(path, params)).items
    except CredentialsRefused:
        raise
    except ClusterDenied:
        return []
    except ClusterRefused as e:
        if e.status == 404:
            return []
        raise


async def _not_found(api: Api, namespace: str, name: str, kind: str) -> str:
    """The sentence for a workload that is not there, with what the cluster lets us see of what is."""
    if missing := await _missing_namespace(api, namespace):
        return missing
    resource = RESOURCES[kind]
    here = [_name(raw) for raw in await _list_or_nothing(api, f"/apis/apps/v1/namespaces/{namespace}/{resource}")]
    elsewhere = [
        str(raw["metadata"].get("namespace", ""))
        for raw in await _list_or_nothing(api, f"/apis/apps/v1/{resource}", {"fieldSelector": f"metadata.name={name}"})
    ]
    sentence = f"there is no {kind.lower()} {name!r} in namespace {namespace!r}"
    if elsewhere:
        return f"{sentence}, but in {', '.join(sorted(elsewhere)[:5])}; choose with -n"
    if near := difflib.get_close_matches(name, here, 3):
        return f"{sentence}; did you mean {' or '.join(map(repr, near))}?"
    if here:
        more = ", …" if len(here) > 10 else ""
        return f"{sentence}; there are {', '.join(sorted(here)[:10])}{more}"
    return f"{sentence}, nor any other; choose another namespace with -n"


async def _missing_namespace(api: Api, namespace: str) -> str:
    try:
        await api.get(f"/api/v1/namespaces/{quote(namespace, safe='')}")
    except CredentialsRefused:
        raise
    except ClusterDenied:
        return ""
    except ClusterRefused as e:
        if e.status != 404:
            return ""
        known = [_name(raw) for raw in await _list_or_nothing(api, "/api/v1/namespaces")]
        near = difflib.get_close_matches(namespace, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        names = f" (there are: {', '.join(sorted(known)[:10])}{', …' if len(known) > 10 else ''})" if known else ""
        return f"there is no namespace {namespace!r}{hint or '; choose another with -n'}{names}"
    return ""


def _pods_path(workload: WorkloadSeen) -> str:
    return f"/api/v1/namespaces/{workload.namespace}/pods"


def _name(raw: Json) -> str:
    return str((raw.get("metadata") or {}).get("name", ""))
