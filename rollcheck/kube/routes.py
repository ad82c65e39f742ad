"""The ways in to a Service, from raw JSON alone: pure, so that every odd Ingress is one line of a test's table.

A candidate that cannot work is kept with its `problem`: when nothing answers, the user sees what was not even tried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

Json = dict[str, Any]

SANDBOX_PORTS = "sandbox.rollcheck/ports"
"""Annotation of a sandbox's Service, '{"80": 10080}': where a port answers that could not be had itself."""

NODES_MOST = 4
"""How many node addresses are tried for one NodePort: the first that answers is as good as the hundredth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way in.

    Attributes:
        url: what a client would ask for.
        connect_host: name or address to connect to instead of the URL's host; empty when that is the URL's own.
        host_header: what to send as Host (and SNI) when it differs from the connect address; else empty.
        kind: "ingress", "loadbalancer", "nodeport" or "clusterip".
        service: name of the Service it ends at.
        description: what a person would call it.
        problem: why it cannot be tried at all, else empty.
    """

    url: str
    kind: str
    service: str
    description: str
    connect_host: str = ""
    host_header: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port of a Service."""

    number: int
    name: str
    node_port: int
    https: bool


def service_ports(raw: Json) -> list[Port]:
    """The TCP ports of a Service, those that look like HTTP first."""
    ports = [_port(p) for p in _items(_map(raw, "spec"), "ports") if p.get("protocol", "TCP") == "TCP"]
    return sorted(ports, key=_unlike_http)


def ingress_candidates(ingress: Json, services: Iterable[str], resolves: dict[str, bool]) -> list[Candidate]:
    """The ways through one Ingress to any of the Services.

    Args:
        ingress: the Ingress.
        services: names of the Services that count.
        resolves: host → whether it resolves from here.
    """
    wanted = set(services)
    spec, name = _map(ingress, "spec"), str(_map(ingress, "metadata").get("name", ""))
    balanced = _balanced_at(ingress), _balanced_port(ingress)
    found: list[Candidate] = []
    for rule in _items(spec, "rules"):
        for path in _items(_map(rule, "http"), "paths"):
            service = str(_map(_map(path, "backend"), "service").get("name") or "")
            if service in wanted:
                host = str(rule.get("host") or "")
                found += _through(name, host, _plain_path(path), service, balanced, _items(spec, "tls"), resolves)
    default = str(_map(_map(spec, "defaultBackend"), "service").get("name") or "")
    if default in wanted:
        found += _through(name, "", "/", default, balanced, _items(spec, "tls"), resolves)
    return found


def ingress_hosts(ingress: Json) -> set[str]:
    """The hosts that an Ingress serves, as a client can ask for them."""
    return {concrete_host(str(r["host"])) for r in _items(_map(ingress, "spec"), "rules") if r.get("host")}


def concrete_host(host: str) -> str:
    """A host that a rule's host matches: `*.example.com` has to be asked as some name below it."""
    return "rollcheck" + host[1:] if host.startswith("*.") else host


def load_balancer_candidates(raw: Json) -> list[Candidate]:
    """The ways through a Service of type LoadBalancer."""
    name = str(_map(raw, "metadata").get("name", ""))
    if _map(raw, "spec").get("type") != "LoadBalancer":
        return []
    addresses = _balanced_at(raw)
    if not addresses:
        return [_impossible("loadbalancer", name, f"service/{name} has no load balancer address yet")]
    return _ways_in("LoadBalancer", name, [(port.https, port.number) for port in service_ports(raw)], addresses)


def node_port_candidates(raw: Json, nodes: Iterable[str]) -> list[Candidate]:
    """The ways through a node's port, for at most `NODES_MOST` node addresses."""
    name = str(_map(raw, "metadata").get("name", ""))
    if _map(raw, "spec").get("type") not in ("NodePort", "LoadBalancer"):
        return []
    ports = [p for p in service_ports(raw) if p.node_port]
    addresses = list(nodes)[:NODES_MOST]
    if ports and not addresses:
        return [_impossible("nodeport", name, f"no address of a node is known for service/{name}")]
    return _ways_in("NodePort", name, [(port.https, port.node_port) for port in ports], addresses)


def cluster_ip_candidates(raw: Json) -> list[Candidate]:
    """The ways over the cluster's inner address; few clients outside of it have a route there."""
    name = str(_map(raw, "metadata").get("name", ""))
    address = str(_map(raw, "spec").get("clusterIP") or "")
    if not address or address == "None":
        return [_impossible("clusterip", name, f"service/{name} is headless: it has no address of its own")]
    moved = _moved_ports(raw)
    ports = [(port.https, moved.get(str(port.number), port.number)) for port in service_ports(raw)]
    return _ways_in("ClusterIP", name, ports, [address])


def _moved_ports(raw: Json) -> dict[str, int]:
    """Ports of a Service that answer elsewhere; only a sandbox has such."""
    text = _map(_map(raw, "metadata"), "annotations").get(SANDBOX_PORTS)
    try:
        moved = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return {}
    return {k: v for k, v in moved.items() if isinstance(v, int)} if isinstance(moved, dict) else {}


def service_behind(url: str, candidates: Iterable[Candidate]) -> str:
    """The Service that a URL of the user's own leads to, where one of the known ways in is alike; empty where none is.

    Host and port tell; of a NodePort the port does, which is one Service's on every node; of several paths of an
    Ingress the longest that the URL begins with.
    """
    asked = urlsplit(url)
    found: dict[str, int] = {}
    for candidate in candidates:
        way = urlsplit(candidate.url)
        same = (way.hostname, _port_of(way)) == (asked.hostname, _port_of(asked))
        node_port = candidate.kind == "nodeport" and _port_of(way) == _port_of(asked)
        if candidate.url and (same or node_port) and (asked.path or "/").startswith(way.path or "/"):
            found[candidate.service] = max(found.get(candidate.service, 0), len(way.path))
    longest = [service for service, length in found.items() if length == max(found.values())]
    return longest[0] if len(longest) == 1 else ""


def _port_of(url: SplitResult) -> int:
    """0 where the URL has one that is none."""
    try:
        return url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        return 0


def node_addresses(nodes: Iterable[Json], hosting: set[str], *, local: bool) -> list[str]:
    """Addresses of nodes: those that run a pod of ours first, alone when the Service's policy is Local.

    Ready nodes before others, and all internal addresses before the external ones.
    """
    ranked = sorted(nodes, key=lambda n: (_name(n) not in hosting, not _is_ready(n), _name(n)))
    if local:
        ranked = [n for n in ranked if _name(n) in hosting] or ranked
    ranked = ranked[:NODES_MOST]
    by_type: dict[str, list[str]] = {"InternalIP": [], "ExternalIP": []}
    for node in ranked:
        for address in _items(_map(node, "status"), "addresses"):
            kept = by_type.get(str(address.get("type")))
            if kept is not None:
                kept.append(str(address.get("address")))
    inner, outer = by_type["InternalIP"], by_type["ExternalIP"]
    # half of each when there are both: which of them is reachable depends on where we are
    return inner[: NODES_MOST // 2] + outer[: NODES_MOST // 2] if outer else inner


def _ways_in(kind: str, service: str, ports: Iterable[tuple[bool, int]], addresses: list[str]) -> list[Candidate]:
    """One for each port (whether it speaks https, and its number) at each address."""
    return [
        Candidate(
            url=_url(https, address, number),
            kind=kind.lower(),
            service=service,
            description=f"{kind} of service/{service}",
        )
        for https, number in ports
        for address in addresses
    ]


def _balanced_at(raw: Json) -> list[str]:
    """The addresses of what balances an Ingress, or a Service of type LoadBalancer."""
    entries = _items(_map(_map(raw, "status"), "loadBalancer"), "ingress")
    return [str(e.get("ip") or e.get("hostname")) for e in entries if e.get("ip") or e.get("hostname")]


def _balanced_port(raw: Json) -> int:
    """The port at which it answers, when its status names one; 0 for the usual one."""
    entries = _items(_map(_map(raw, "status"), "loadBalancer"), "ingress")
    ports = [int(p.get("port") or 0) for e in entries for p in _items(e, "ports") if p.get("protocol", "TCP") == "TCP"]
    return ports[0] if ports and not {80, 443} & set(ports) else 0


def _through(
    ingress: str,
    rule_host: str,
    path: str,
    service: str,
    balanced: tuple[list[str], int],
    tls: list[Json],
    resolves: dict[str, bool],
) -> list[Candidate]:
    """By the host's own name if it resolves, and by the Ingress's address with the host as Host."""
    addresses, port = balanced
    host = concrete_host(rule_host)
    scheme = "https" if _has_tls(rule_host, tls) else "http"
    what = f"Ingress {ingress}"
    found: list[Candidate] = []
    if host and resolves.get(host):
        found.append(
            Candidate(
                url=f"{scheme}://{host}{path}", kind="ingress", service=service, description=f"{what}, host {host}"
            )
        )
    for address in addresses:
        if host:
            found.append(
                Candidate(
                    url=f"{scheme}://{host}{f':{port}' if port else ''}{path}",
                    connect_host=address,
                    host_header=host,
                    kind="ingress",
                    service=service,
                    description=f"{what} at {address}, host {host}",
                )
            )
        else:
            url = f"{scheme}://{_bracketed(address)}{f':{port}' if port else ''}{path}"
            found.append(Candidate(url=url, kind="ingress", service=service, description=f"{what} at {address}"))
    if not found:
        why = f"host {host} does not resolve from here and " if host else ""
        shown = f"{scheme}://{host or '?'}{path}"
        problem = f"{why}Ingress {ingress} has no address in its status"
        found.append(Candidate(url=shown, kind="ingress", service=service, description=what, problem=problem))
    return found


def _has_tls(host: str, tls: list[Json]) -> bool:
    for entry in tls:
        hosts = entry.get("hosts") or []
        if not hosts or host in hosts or any(h.startswith("*.") and host.partition(".")[2] == h[2:] for h in hosts):
            return True
    return False


def _plain_path(path: Json) -> str:
    """A path that the rule matches; of a regular expression (ImplementationSpecific) what stands before its signs."""
    text = str(path.get("path") or "/")
    if path.get("pathType") == "ImplementationSpecific":
        text = re.split(r"[()\[\]{}*+?|\\^$]", text, maxsplit=1)[0]
    return text if text.startswith("/") else "/" + text


def _impossible(kind: str, service: str, problem: str) -> Candidate:
    return Candidate(url="", kind=kind, service=service, description=f"service/{service}", problem=problem)


def _port(raw: Json) -> Port:
    name, protocol = str(raw.get("name") or ""), str(raw.get("appProtocol") or "")
    number = int(raw.get("port") or 0)
    https = "https" in (name, protocol) or name.startswith("https-") or number in (443, 8443)
    return Port(number, name or protocol, int(raw.get("nodePort") or 0), https)


def _unlike_http(port: Port) -> int:
    if port.name.startswith("http") or port.name == "web" or port.number in (80, 8080):
        return 1 if port.https else 0
    return 2 if port.https else 3


def _url(https: bool, host: str, port: int) -> str:
    usual = 443 if https else 80
    return f"{'https' if https else 'http'}://{_bracketed(host)}{'' if port == usual else f':{port}'}/"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _name(raw: Json) -> str:
    return str(_map(raw, "metadata").get("name", ""))


def _is_ready(node: Json) -> bool:
    conditions = _items(_map(node, "status"), "conditions")
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _map(raw: Json, key: str) -> Json:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _items(raw: Json, key: str) -> list[Json]:
    value = raw.get(key)
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []
