"""Defaults of Services and EndpointSlices (`pkg/apis/core/v1/defaults.go`, `pkg/apis/discovery/v1/defaults.go`)."""

from __future__ import annotations

from rollcheck.sandbox.trees import Json

AFFINITY_S = 10_800
EXTERNAL = ("NodePort", "LoadBalancer")


def fill_service(service: Json) -> None:
    """A Service inside the cluster, over IPv4; its target ports are its ports."""
    spec = service.setdefault("spec", {})
    spec["type"] = kind = spec.get("type") or "ClusterIP"
    spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client.setdefault("timeoutSeconds", AFFINITY_S)
    for port in spec.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    if "ports" in spec and not spec["ports"]:
        del spec["ports"]
    if "selector" in spec and not spec["selector"]:
        del spec["selector"]
    if kind in EXTERNAL:
        spec["externalTrafficPolicy"] = spec.get("externalTrafficPolicy") or "Cluster"
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if kind != "ExternalName":
        spec["internalTrafficPolicy"] = spec.get("internalTrafficPolicy") or "Cluster"
        _fill_families(spec)


def _fill_families(spec: Json) -> None:
    both = spec.get("clusterIP") == "None" and not spec.get("selector")
    spec.setdefault("ipFamilies", ["IPv4", "IPv6"] if both else ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if both else "SingleStack")


def fill_endpoint_slice(endpoint_slice: Json) -> None:
    """Ports are unnamed TCP; every endpoint has conditions, unknown ones."""
    for part in ("ports", "endpoints"):
        endpoint_slice[part] = endpoint_slice.get(part) or None
    for port in endpoint_slice["ports"] or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")
    for endpoint in endpoint_slice["endpoints"] or ():
        endpoint.setdefault("conditions", {})
