"""A container's environment: what the manifest sets, where it takes it from, and `$(NAME)` in it. Pure.

As the kubelet does it (pkg/kubelet/kubelet_pods.go, makeEnvironmentVariables): envFrom first, then env in order, each
value expanded with what came before and with the links to Services; an error is a `ConfigFailure`, which the
container shows as CreateContainerConfigError. Not here: resourceFieldRef of `limits` that a container does not set is
0 instead of the node's capacity.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Lookup = Callable[[str, str], "dict[str, Any] | None"]
"""("configmap" | "secret", name) → the object of the pod's namespace, None when there is none."""

REAL_PORTS = "sandbox.rollcheck/ports"
REFERENCES = re.compile(r"\$(?:\$|\(([^)$]*)\))")
SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
DECIMAL = {"m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
SUFFIXES = DECIMAL | {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


class ConfigFailure(Exception):
    """What a container's configuration refers to is not there."""


def expand(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` replaced by its value; unknown names stay as they are, `$$` is one `$`.

    Source of the rules: third_party/forked/golang/expansion of Kubernetes.
    """

    def value(found: re.Match[str]) -> str:
        if found[1] is None:
            return "$"
        return values.get(found[1], found[0])

    return REFERENCES.sub(value, text)


def field_value(pod: Mapping[str, Any], path: str, *, ip: str, host_ip: str) -> str:
    """A field of the downward API.

    Raises:
        ConfigFailure: the API has no such field.
    """
    meta, spec = pod["metadata"], pod["spec"]
    subscript = SUBSCRIPT.fullmatch(path)
    if subscript is not None:
        return str(meta.get(subscript[1], {}).get(subscript[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        values = meta.get(path.partition(".")[2], {})
        return "\n".join(f'{name}="{escaped(values[name])}"' for name in sorted(values))
    simple = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": ip,
        "status.podIPs": ip,
        "status.hostIP": host_ip,
        "status.hostIPs": host_ip,
    }
    if path not in simple:
        raise ConfigFailure(f"unsupported fieldPath: {path}")
    return str(simple[path])


def escaped(value: str) -> str:
    """A label's or annotation's value as the downward API quotes it."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def resource_value(containers: Iterable[Mapping[str, Any]], own: str, reference: Mapping[str, Any]) -> str:
    """A resource field: an amount divided by the divisor, rounded up.

    Raises:
        ConfigFailure: there is no such container or resource.
    """
    name = reference.get("containerName", own)
    container = next((c for c in containers if c["name"] == name), None)
    kind, _, resource = str(reference["resource"]).partition(".")
    if container is None or kind not in ("limits", "requests") or not resource:
        raise ConfigFailure(f"unsupported container resource: {reference['resource']}")
    amount = amount_of(str(container.get("resources", {}).get(kind, {}).get(resource, "0")))
    divisor = amount_of(str(reference.get("divisor", "0"))) or 1.0
    return str(-int(-amount // divisor))


def amount_of(quantity: str) -> float:
    """A quantity as a number."""
    found = re.fullmatch(r"([0-9.]+(?:[eE][-+]?[0-9]+)?)([a-zA-Z]*)", quantity)
    if found is None or found[2] not in SUFFIXES:
        raise ConfigFailure(f"{quantity!r} is no quantity")
    return float(found[1]) * SUFFIXES[found[2]]


def service_links(services: Iterable[Mapping[str, Any]], *, all_links: bool, namespace: str) -> dict[str, str]:
    """The variables that name Services: of the pod's namespace when it enables links; `kubernetes` always."""
    made: dict[str, str] = {}
    for service in services:
        meta, spec = service["metadata"], service["spec"]
        master = (meta["namespace"], meta["name"]) == ("default", "kubernetes")
        if not master and (not all_links or meta["namespace"] != namespace):
            continue
        address = spec.get("clusterIP", "")
        if address in ("", "None") or not spec.get("ports"):
            continue
        made.update(link(str(meta["name"]).upper().replace("-", "_"), address, spec["ports"], moved_ports(meta)))
    return made


def moved_ports(metadata: Mapping[str, Any]) -> dict[str, int]:
    """Port of a Service → where it answers instead, for those that could not be had."""
    try:
        return dict(json.loads((metadata.get("annotations") or {}).get(REAL_PORTS, "{}")))
    except (TypeError, ValueError):
        return {}  # somebody wrote his own


def link(name: str, address: str, ports: list[dict[str, Any]], moved: Mapping[str, int]) -> dict[str, str]:
    """The variables of one Service; `moved` tells where it answers for ports that could not be had."""
    made = {f"{name}_SERVICE_HOST": address}
    for index, port in enumerate(ports):
        protocol, real = port.get("protocol", "TCP"), str(moved.get(str(port["port"]), port["port"]))
        url, prefix = f"{protocol.lower()}://{address}:{real}", f"{name}_PORT_{port['port']}_{protocol}"
        if index == 0:
            made |= {f"{name}_SERVICE_PORT": real, f"{name}_PORT": url}
        if port.get("name"):
            made[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = real
        made |= {prefix: url, f"{prefix}_PROTO": protocol.lower(), f"{prefix}_PORT": real}
        made[f"{prefix}_ADDR"] = address
    return made


def data_of(kind: str, found: Mapping[str, Any]) -> dict[str, bytes]:
    """The contents of a ConfigMap or a Secret."""
    if kind == "secret":
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    plain = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    return plain | {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}


class Environment:
    """Makes the environment of a pod's containers.

    Args:
        pod: the pod.
        ip: its address.
        host_ip: its node's.
        lookup: finds ConfigMaps and Secrets.
        links: what `service_links` made.
    """

    def __init__(self, pod: Mapping[str, Any], *, ip: str, host_ip: str, lookup: Lookup, links: dict[str, str]) -> None:
        self.pod = pod
        self.ip = ip
        self.host_ip = host_ip
        self.lookup = lookup
        self.links = links

    def of(self, container: Mapping[str, Any], base: Mapping[str, str]) -> dict[str, str]:
        """The environment of a container on top of `base`.

        Raises:
            ConfigFailure: something that it takes a value from is not there.
        """
        own: dict[str, str] = {}
        for source in container.get("envFrom") or ():
            own |= self.from_source(source)
        for variable in container.get("env") or ():
            value = variable.get("value", "")
            if value:
                own[variable["name"]] = expand(value, {**self.links, **own})
                continue
            taken = self.value_from(container, variable.get("valueFrom") or {})
            if taken is not None:
                own[variable["name"]] = taken
        return {**base, **self.links, **own}

    def from_source(self, source: Mapping[str, Any]) -> dict[str, str]:
        """All of a ConfigMap or Secret."""
        for field, kind in (("configMapRef", "configmap"), ("secretRef", "secret")):
            if field in source:
                data = self.read(kind, source[field])
                prefix = source.get("prefix", "")
                return {prefix + key: value.decode(errors="replace") for key, value in (data or {}).items()}
        return {}

    def value_from(self, container: Mapping[str, Any], source: Mapping[str, Any]) -> str | None:
        """One value; None when what it comes from is optional and missing."""
        if "fieldRef" in source:
            return field_value(self.pod, source["fieldRef"]["fieldPath"], ip=self.ip, host_ip=self.host_ip)
        if "resourceFieldRef" in source:
            spec = self.pod["spec"]
            everyone = [*(spec.get("initContainers") or ()), *spec["containers"]]
            return resource_value(everyone, container["name"], source["resourceFieldRef"])
        for field, kind in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")):
            if field in source:
                return self.key_of(kind, source[field])
        return ""

    def key_of(self, kind: str, reference: Mapping[str, Any]) -> str | None:
        """One key of a ConfigMap or Secret."""
        data = self.read(kind, reference)
        if data is None:
            return None
        key = reference["key"]
        if key not in data:
            if reference.get("optional"):
                return None
            name = {"configmap": "ConfigMap", "secret": "Secret"}[kind]
            where = f"{name} {self.pod['metadata']['namespace']}/{reference['name']}"
            raise ConfigFailure(f"couldn't find key {key} in {where}")
        return data[key].decode(errors="replace")

    def read(self, kind: str, reference: Mapping[str, Any]) -> dict[str, bytes] | None:
        """The contents of what is referred to; None when it is optional and missing."""
        name = reference.get("name", "")
        found = self.lookup(kind, name)
        if found is not None:
            return data_of(kind, found)
        if reference.get("optional"):
            return None
        raise ConfigFailure(f'{kind} "{name}" not found')
