"""From a Service to the addresses and ports at which it answers: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

PORTS_ANNOTATION = "sandbox.rollcheck/ports"
"""On a Service: '{"80": 10080}', where its port answers when it could not be had itself."""


@dataclass(frozen=True, slots=True)
class Place:
    """One address and port at which a Service answers, as one node's proxy sees its endpoints.

    Attributes:
        service: namespace and name.
        port_name: of the Service's port; the slices have the same.
        node: whose table it goes by.
        local: whether only that node's endpoints count (policy Local), and silence answers where it has none.
        sticky_s: seconds for which a client keeps its endpoint (sessionAffinity ClientIP), 0 for no such thing.
    """

    address: str
    port: int
    service: tuple[str, str]
    port_name: str
    node: str
    local: bool = False
    sticky_s: int = 0


def places_of(service: Json, nodes: Mapping[str, str], client_node: str, ports: Mapping[int, int]) -> tuple[Place, ...]:
    """Where a Service answers: its cluster IP as `client_node` sees it, its node ports as each node does.

    Args:
        service: the Service; a headless one, or one of type ExternalName, answers nowhere.
        nodes: name → address. Where nodes share an address, the first of them has it.
        client_node: the node that clients of cluster IPs are on.
        ports: port of the Service → port to use for it instead, for those that cannot be had.
    """
    spec, metadata = service.get("spec") or {}, service.get("metadata") or {}
    address = str(spec.get("clusterIP") or "")
    if address in ("", "None") or spec.get("type") == "ExternalName":
        return ()
    key = (str(metadata.get("namespace", "")), str(metadata.get("name", "")))
    sticky = _sticky_s(spec)
    inner = spec.get("internalTrafficPolicy") == "Local"
    outer = spec.get("externalTrafficPolicy") == "Local"
    first_at: dict[str, str] = {}
    for node, at in nodes.items():
        first_at.setdefault(at, node)
    made: list[Place] = []
    for raw in spec.get("ports") or ():
        if raw.get("protocol", "TCP") != "TCP":
            continue
        name, number = str(raw.get("name") or ""), int(raw["port"])
        made.append(Place(address, ports.get(number, number), key, name, client_node, inner, sticky))
        if node_port := raw.get("nodePort"):
            made += [Place(at, int(node_port), key, name, node, outer, sticky) for at, node in first_at.items()]
    return tuple(made)


def _sticky_s(spec: Json) -> int:
    if spec.get("sessionAffinity") != "ClientIP":
        return 0
    config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(config.get("timeoutSeconds") or 10800)
