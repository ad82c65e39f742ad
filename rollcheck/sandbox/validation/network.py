"""Services, Ingresses, EndpointSlices (`pkg/apis/{core,networking,discovery}/validation/validation.go`)."""

from __future__ import annotations

import re
from typing import Any

from rollcheck.sandbox.names import (
    ADDRESS_WORDS,
    is_address,
    label_1035_faults,
    label_faults,
    port_name_faults,
    subdomain_faults,
)
from rollcheck.sandbox.trees import Json
from rollcheck.sandbox.validation.causes import (
    IMMUTABLE,
    Causes,
    duplicate,
    faults,
    forbidden,
    invalid,
    one_of,
    port_number,
    port_or_name,
    required,
    unsupported,
)
from rollcheck.sandbox.validation.metadata import check_labels

WITH_ADDRESS = ("ClusterIP", "NodePort", "LoadBalancer")
AFFINITY_AT_MOST_S = 86400
TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
FAMILIES = ("IPv4", "IPv6")
FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
POLICIES = ("Cluster", "Local")
PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")


def check_service(service: Json) -> Causes:
    """A Service, before it gets an address."""
    spec = service["spec"]
    kind, address, ports = spec.get("type"), spec.get("clusterIP", ""), spec.get("ports") or []
    if not ports and kind != "ExternalName" and address != "None":
        yield required("spec.ports")
    if kind in ("NodePort", "LoadBalancer"):
        if address == "None":
            yield invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    elif kind == "ExternalName":
        yield from _check_external_name(spec, address)
    names: set[str] = set()
    for index, port in enumerate(ports):
        yield from _check_port(f"spec.ports[{index}]", port, len(ports) > 1, names)
    yield from check_labels("spec.selector", spec.get("selector") or {})
    yield from one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    seconds = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    if seconds is not None and not 0 < seconds <= AFFINITY_AT_MOST_S:
        what = f"must be greater than 0 and less than {AFFINITY_AT_MOST_S}"
        yield invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, what)
    yield from _check_address(spec, address)
    yield from one_of("spec.type", kind, TYPES)
    yield from _check_port_numbers(kind, ports)
    yield from _check_policies(spec, kind)


def _check_external_name(spec: Json, address: str) -> Causes:
    if address:
        yield forbidden("spec.clusterIPs[0]", "may not be set for ExternalName services")
    name = spec.get("externalName", "")
    if not name:
        yield required("spec.externalName")
    else:
        yield from faults("spec.externalName", name, subdomain_faults(name.removesuffix(".")))


def _check_port(path: str, port: Json, must_have_name: bool, names: set[str]) -> Causes:
    name = port.get("name", "")
    if not name:
        if must_have_name:
            yield required(f"{path}.name")
    else:
        yield from faults(f"{path}.name", name, label_faults(name))
        if name in names:
            yield duplicate(f"{path}.name", name)
        names.add(name)
    yield from port_number(f"{path}.port", port.get("port", 0))
    yield from one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
    yield from port_or_name(f"{path}.targetPort", port.get("targetPort"))


def _check_address(spec: Json, address: str) -> Causes:
    addresses = spec.get("clusterIPs") or ([address] if address else [])
    if addresses and addresses[0] != address:
        yield invalid("spec.clusterIPs", addresses, "first value must match `clusterIP`")
    for index, one in enumerate(addresses):
        if one != "None" and not is_address(one):
            yield invalid(f"spec.clusterIPs[{index}]", one, ADDRESS_WORDS)


def _check_port_numbers(kind: str, ports: list[Json]) -> Causes:
    seen: set[tuple[Any, Any]] = set()
    nodes: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        number = port.get("nodePort")
        if number and kind == "ClusterIP":
            yield forbidden(f"spec.ports[{index}].nodePort", "may not be used when `type` is 'ClusterIP'")
        if number and (port.get("protocol"), number) in nodes:
            yield duplicate(f"spec.ports[{index}].nodePort", number)
        nodes.add((port.get("protocol"), number))
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            shown = {"Name": "", "Protocol": key[0], "AppProtocol": None, "Port": key[1]}
            yield duplicate(f"spec.ports[{index}]", {**shown, "TargetPort": 0, "NodePort": 0})
        seen.add(key)


def _check_policies(spec: Json, kind: str) -> Causes:
    outer, inner = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    if kind in ("NodePort", "LoadBalancer"):
        yield from one_of("spec.externalTrafficPolicy", outer, POLICIES)
    elif outer:
        what = "may only be set for externally-accessible services"
        yield invalid("spec.externalTrafficPolicy", outer, what)
    if kind in WITH_ADDRESS:
        yield from one_of("spec.internalTrafficPolicy", inner, POLICIES)
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        yield from one_of(f"spec.ipFamilies[{index}]", family, FAMILIES)
    if "ipFamilyPolicy" in spec:
        yield from one_of("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], FAMILY_POLICIES)


def check_service_update(service: Json, old: Json) -> Causes:
    """A changed Service: its address stays unless its type takes it away."""
    before, after = old["spec"], service["spec"]
    if before.get("type") in WITH_ADDRESS and after.get("type") in WITH_ADDRESS:
        was, now = before.get("clusterIPs") or [], after.get("clusterIPs") or []
        sound = now[:1] == [after.get("clusterIP")] and all(one == "None" or is_address(one) for one in now)
        if was and was[:1] != now[:1] and sound:
            yield invalid("spec.clusterIPs[0]", now, "may not change once set")
    yield from check_service(service)


def check_ingress(ingress: Json) -> Causes:
    """An Ingress."""
    spec = ingress.get("spec") or {}
    if not spec.get("rules") and not spec.get("defaultBackend"):
        yield invalid("spec", spec.get("rules"), "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend"):
        yield from _check_backend("spec.defaultBackend", spec["defaultBackend"])
    for index, rule in enumerate(spec.get("rules") or ()):
        yield from _check_rule(f"spec.rules[{index}]", rule)
    for index, one in enumerate(spec.get("tls") or ()):
        for place, host in enumerate(one.get("hosts") or ()):
            yield from faults(f"spec.tls[{index}].hosts[{place}]", host, subdomain_faults(host.removeprefix("*.")))
        if one.get("secretName"):
            yield from faults(f"spec.tls[{index}].secretName", one["secretName"], subdomain_faults(one["secretName"]))
    name = spec.get("ingressClassName")
    if name is not None:
        yield from faults("spec.ingressClassName", name, subdomain_faults(name))


def _check_rule(path: str, rule: Json) -> Causes:
    host = rule.get("host", "")
    if host and is_address(host):
        yield invalid(f"{path}.host", host, "must be a DNS name, not an IP address")
    elif host:
        bare = host.removeprefix("*.")
        yield from faults(f"{path}.host", host, subdomain_faults(bare))
    if "http" not in rule:
        return
    paths = rule["http"].get("paths") or []
    if not paths:
        yield required(f"{path}.http.paths")
    for index, one in enumerate(paths):
        yield from _check_path(f"{path}.http.paths[{index}]", one)


def _check_path(path: str, one: Json) -> Causes:
    kind, text = one.get("pathType"), one.get("path", "")
    if kind is None:
        yield required(f"{path}.pathType", "pathType must be specified")
        return
    if kind not in PATH_TYPES:
        yield unsupported(f"{path}.pathType", kind, PATH_TYPES)
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            yield invalid(f"{path}.path", text, "must be an absolute path")
    else:
        if not text.startswith("/"):
            yield invalid(f"{path}.path", text, "must be an absolute path")
        for part in ("//", "/./", "/../", "%2f", "%2F"):
            if part in text:
                yield invalid(f"{path}.path", text, f"must not contain '{part}'")
    yield from _check_backend(f"{path}.backend", one.get("backend") or {})


def _check_backend(path: str, backend: Json) -> Causes:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield invalid(path, "", "cannot set both resource and service backends")
    elif service is None and resource is None:
        yield invalid(path, "", "resource or service backend is required")
    elif service is not None:
        name = service.get("name", "")
        if not name:
            yield required(f"{path}.service.name")
        else:
            yield from faults(f"{path}.service.name", name, label_1035_faults(name))
        yield from _check_backend_port(path, service.get("port") or {})


def _check_backend_port(path: str, port: Json) -> Causes:
    name, number = port.get("name", ""), port.get("number", 0)
    if name and number:
        yield invalid(path, "", "cannot set both port name & port number")
    elif name:
        yield from faults(f"{path}.service.port.name", name, port_name_faults(name))
    elif number:
        yield from port_number(f"{path}.service.port.number", number)
    else:
        yield required(path, "port name or number is required")


def check_ingress_class(ingress_class: Json) -> Causes:
    """An IngressClass names its controller."""
    controller = (ingress_class.get("spec") or {}).get("controller", "")
    if not controller:
        yield required("spec.controller")
    elif not re.fullmatch(r"[a-z0-9.-]+/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", controller):
        what = 'must be a domain-prefixed path (such as "acme.io/foo")'
        yield invalid("spec.controller", controller, what)


def check_endpoint_slice(endpoint_slice: Json) -> Causes:
    """An EndpointSlice."""
    kind = endpoint_slice.get("addressType")
    if not kind:
        yield required("addressType")
    else:
        yield from one_of("addressType", kind, ADDRESS_TYPES)
    for index, endpoint in enumerate(endpoint_slice.get("endpoints") or ()):
        path = f"endpoints[{index}].addresses"
        addresses = endpoint.get("addresses") or []
        if not addresses:
            yield required(path, "must contain at least 1 address")
        if kind in ("IPv4", "IPv6"):
            for place, address in enumerate(addresses):
                if not is_address(address):
                    yield invalid(f"{path}[{place}]", address, ADDRESS_WORDS)
    names: set[str] = set()
    for index, port in enumerate(endpoint_slice.get("ports") or ()):
        if port.get("name", "") in names:
            yield duplicate(f"ports[{index}].name", port.get("name", ""))
        names.add(port.get("name", ""))
        yield from one_of(f"ports[{index}].protocol", port.get("protocol"), PROTOCOLS)


def check_endpoint_slice_update(endpoint_slice: Json, old: Json) -> Causes:
    """A changed EndpointSlice keeps its type."""
    yield from check_endpoint_slice(endpoint_slice)
    if endpoint_slice.get("addressType") != old.get("addressType"):
        yield invalid("addressType", endpoint_slice.get("addressType"), IMMUTABLE)
