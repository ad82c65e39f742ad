"""Pods → EndpointSlices: conditions, ports, and how endpoints are shared out among slices.

The rules are Kubernetes 1.34's (`staging/src/k8s.io/endpointslice`): serving follows the pod's readiness, terminating
its deletion, ready is serving and not terminating unless the Service publishes what is not ready; ended pods are left
out; a slice holds 100 endpoints at most, all with the same ports; as few slices as possible are touched. Pure.

In shared-address mode every pod listens on ports of its own, which it tells by an annotation. They stand in the place
of the ports that the manifest names, and since ports then differ, every pod gets a slice of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rollcheck.sandbox.controllers.objects import (
    annotations_of,
    generate_prefix,
    is_controlled_by,
    is_deleting,
    labels_of,
    status_of,
)
from rollcheck.sandbox.controllers.pods import is_ready, is_terminal, node_of
from rollcheck.sandbox.trees import Json, clone, name_of, namespace_of, uid_of

REAL_PORTS = "sandbox.rollcheck/ports"
MOST = 100
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER_NAME = "endpointslice-controller.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
HEADLESS = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
RESERVED = (MANAGED_BY, SERVICE_NAME, HEADLESS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done to a Service's slices: whole objects to create or update, names to delete."""

    create: list[Json] = field(default_factory=list)
    update: list[Json] = field(default_factory=list)
    delete: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that is to be in a slice.

    Attributes:
        key: the same for the same ports.
        ports: its ports.
        identity: the same for the same endpoint, whatever its conditions.
        endpoint: as it is to stand in the slice.
    """

    key: str
    ports: list[Json]
    identity: str
    endpoint: Json


def belongs(pod: Json) -> bool:
    """Whether the pod is an endpoint at all: it has an address and has not ended."""
    status = status_of(pod)
    return not is_terminal(pod) and bool(status.get("podIP") or status.get("podIPs"))


def endpoint_of(pod: Json, service: Json, zone: str = "") -> Json:
    """The pod as an endpoint of the Service."""
    serving, terminating = is_ready(pod), is_deleting(pod)
    spec = service["spec"]
    endpoint: Json = {
        "addresses": addresses_of(pod),
        "conditions": {
            "ready": bool(spec.get("publishNotReadyAddresses")) or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
    }
    hostname = pod["spec"].get("hostname")
    if hostname and pod["spec"].get("subdomain") == name_of(service):
        endpoint["hostname"] = hostname
    endpoint["targetRef"] = {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}
    if node_of(pod):
        endpoint["nodeName"] = node_of(pod)
    if zone:
        endpoint["zone"] = zone
    return endpoint


def addresses_of(pod: Json) -> list[str]:
    """The pod's IPv4 addresses."""
    status = status_of(pod)
    addresses = [entry["ip"] for entry in status.get("podIPs") or () if ":" not in entry["ip"]]
    return addresses or ([status["podIP"]] if status.get("podIP") else [])


def ports_for(pod: Json, service: Json, *, shared: bool = False) -> list[Json]:
    """The Service's ports as this pod has them; a named port that it does not have is left out."""
    real = real_ports(pod)
    ports: list[Json] = []
    for port in service["spec"].get("ports") or ():
        number = find_port(pod, port)
        if number is not None:
            # without an address of its own a pod listens nowhere until it has said where
            number = real.get(str(number), None if shared else number)
        if number is None:
            continue
        entry: Json = {"name": port.get("name") or "", "port": number, "protocol": port.get("protocol") or "TCP"}
        if port.get("appProtocol"):
            entry["appProtocol"] = port["appProtocol"]
        ports.append(entry)
    return ports


def real_ports(pod: Json) -> dict[str, int]:
    """The ports a pod really listens on, by the ports its manifest names; empty until it says so."""
    try:
        ports = json.loads(annotations_of(pod).get(REAL_PORTS, "{}"))
    except ValueError:
        return {}
    return {str(key): int(value) for key, value in ports.items()} if isinstance(ports, dict) else {}


def find_port(pod: Json, port: Json) -> int | None:
    """The number of a Service port on this pod: its targetPort, looked up among the containers where it is a name."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    protocol = port.get("protocol") or "TCP"
    sidecars = (c for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always")
    for container in (*pod["spec"].get("containers", ()), *sidecars):
        for declared in container.get("ports") or ():
            if declared.get("name") == target and (declared.get("protocol") or "TCP") == protocol:
                return int(declared["containerPort"])
    return None


def labels_for(service: Json) -> dict[str, str]:
    """The labels of a Service's slices: its own, and the three that say whose they are."""
    labels = {key: value for key, value in labels_of(service).items() if key not in RESERVED}
    if service["spec"].get("clusterIP") in (None, "", "None"):
        labels[HEADLESS] = ""
    labels[SERVICE_NAME] = name_of(service)
    labels[MANAGED_BY] = MANAGER_NAME
    return labels


def candidate(pod: Json, service: Json, zones: Mapping[str, str], *, shared: bool = False) -> Candidate | None:
    """The pod as an endpoint of the Service that selects it; None while it is none.

    Args:
        pod: the pod.
        service: the Service.
        zones: node name → zone; pods on nodes that are not in it are left out, as Kubernetes does.
        shared: ports come from the pod's annotation.
    """
    if not belongs(pod) or not addresses_of(pod):
        return None
    if node_of(pod) not in zones and not service["spec"].get("publishNotReadyAddresses"):
        return None
    ports = ports_for(pod, service, shared=shared)
    endpoint = endpoint_of(pod, service, zones.get(node_of(pod), ""))
    return Candidate(ports_key(ports), ports, identity(endpoint), endpoint)


def plan_slices(service: Json, candidates: Iterable[Candidate], slices: list[Json]) -> Plan:
    """What makes the Service's slices show these endpoints.

    Args:
        service: a Service with a selector.
        candidates: its pods that are endpoints.
        slices: its slices as they are, those of this controller only.
    """
    wanted: dict[str, tuple[list[Json], dict[str, Json]]] = {}
    for one in candidates:
        wanted.setdefault(one.key, (one.ports, {}))[1][one.identity] = one.endpoint
    plan = Plan()
    there: dict[str, list[Json]] = {}
    for piece in slices:
        if is_owned(piece, service):
            there.setdefault(ports_key(piece.get("ports") or []), []).append(piece)
        else:
            plan.delete.append(name_of(piece))
    for key, (ports, endpoints) in wanted.items():
        _fill(plan, service, ports, endpoints, there.pop(key, []))
    plan.delete.extend(name_of(piece) for pieces in there.values() for piece in pieces)
    _placeholder(plan, service, slices)
    _reuse(plan, service, slices)
    return plan


def is_owned(piece: Json, service: Json) -> bool:
    """Whether the slice belongs to this very Service."""
    return is_controlled_by(piece, uid_of(service))


def ports_key(ports: Iterable[Json]) -> str:
    """The same text for the same ports, whatever their order."""
    return "|".join(sorted(f"{p.get('name')}/{p['port']}/{p['protocol']}/{p.get('appProtocol')}" for p in ports))


def identity(endpoint: Json) -> str:
    """The same text for the same endpoint, whatever its conditions: its addresses, hostname and pod's name."""
    target = endpoint.get("targetRef") or {}
    addresses = ",".join(endpoint.get("addresses") or ())
    return f"{addresses}|{endpoint.get('hostname', '')}|{target.get('namespace')}/{target.get('name')}"


def new_slice(service: Json, ports: list[Json], endpoints: list[Json]) -> Json:
    """A slice that does not exist yet."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": generate_prefix(name_of(service)),
            "namespace": namespace_of(service),
            "labels": labels_for(service),
            "ownerReferences": [_owner(service)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints or None,
        "ports": ports or None,
    }


def _owner(service: Json) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "name": name_of(service),
        "uid": uid_of(service),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _fill(plan: Plan, service: Json, ports: list[Json], wanted: dict[str, Json], slices: list[Json]) -> None:
    """Place the endpoints that share these ports: first where they are, then in slices that change anyway."""
    labels = labels_for(service)
    changed: list[Json] = []
    unchanged: list[Json] = []
    for piece in slices:
        before = piece.get("endpoints") or []
        kept = [wanted.pop(name) for name in map(identity, before) if name in wanted]
        if kept == before and labels_of(piece) == labels:
            unchanged.append(piece)
        elif kept or not before:
            changed.append(_with(piece, kept, labels))
        else:
            plan.delete.append(name_of(piece))
    rest = list(wanted.values())
    for piece in sorted(changed, key=lambda p: -len(p["endpoints"] or ())):
        rest = _top_up(piece, rest)
    while rest:
        room = _best_fit(unchanged, len(rest))
        if room is None:
            plan.create.append(new_slice(service, ports, rest[:MOST]))
            rest = rest[MOST:]
        else:
            unchanged.remove(room)
            changed.append(_with(room, room.get("endpoints") or [], labels))
            rest = _top_up(changed[-1], rest)
    plan.update.extend(changed)


def _with(piece: Json, endpoints: list[Json], labels: dict[str, str]) -> Json:
    copy = clone({key: value for key, value in piece.items() if key != "endpoints"})
    copy["metadata"]["labels"] = dict(labels)
    return {**copy, "endpoints": list(endpoints) or None}


def _top_up(piece: Json, rest: list[Json]) -> list[Json]:
    endpoints = piece["endpoints"] or []
    room = MOST - len(endpoints)
    piece["endpoints"] = [*endpoints, *rest[:room]] or None
    return rest[room:]


def _best_fit(slices: list[Json], count: int) -> Json | None:
    """The slice that these endpoints fill best without overflowing it."""
    if count >= MOST:
        return None
    room = [(MOST - count - len(piece.get("endpoints") or ()), index) for index, piece in enumerate(slices)]
    fitting = [entry for entry in room if 0 <= entry[0] < MOST]
    return slices[min(fitting)[1]] if fitting else None


def _placeholder(plan: Plan, service: Json, slices: list[Json]) -> None:
    """A Service always has a slice, an empty one where nothing is behind it."""
    if len(plan.delete) < len(slices) or plan.create:
        return
    empty = new_slice(service, [], [])
    if len(slices) == 1 and _is_placeholder(slices[0], empty) and is_owned(slices[0], service):
        plan.delete.clear()
    else:
        plan.create.append(empty)


def _is_placeholder(piece: Json, empty: Json) -> bool:
    return not piece.get("endpoints") and not piece.get("ports") and labels_of(piece) == labels_of(empty)


def _reuse(plan: Plan, service: Json, slices: list[Json]) -> None:
    """Write what would be created over what would be deleted: one change for watchers to see, not two."""
    by_name = {name_of(piece): piece for piece in slices}
    for name in list(plan.delete):
        piece = by_name[name]
        if not plan.create or not is_owned(piece, service):
            continue
        fresh = plan.create.pop()
        copy: dict[str, Any] = {**clone(piece), "endpoints": fresh["endpoints"], "ports": fresh["ports"]}
        copy["metadata"]["labels"] = fresh["metadata"]["labels"]
        plan.update.append(copy)
        plan.delete.remove(name)
