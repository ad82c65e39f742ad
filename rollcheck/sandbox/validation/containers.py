"""Containers: ports, environment, amounts, probes, hooks (`pkg/apis/core/validation/validation.go`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from rollcheck.sandbox.names import label_faults, port_name_faults, qualified_faults, subdomain_faults
from rollcheck.sandbox.quantities import NotAQuantity, parse
from rollcheck.sandbox.trees import Json
from rollcheck.sandbox.validation.causes import (
    Causes,
    duplicate,
    faults,
    forbidden,
    invalid,
    missing,
    not_negative,
    one_of,
    port_number,
    port_or_name,
    required,
    unsupported,
)

SIGNALS = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP "
    "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ"
)
PROTOCOLS = ("SCTP", "TCP", "UDP")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
RESOURCES = ("cpu", "memory", "ephemeral-storage")
HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
PROBE_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
"""What an environment variable can be taken from; labels and annotations by their key besides."""
STOP_SIGNALS = tuple(
    sorted(
        {
            *(f"SIG{name}" for name in SIGNALS.split()),
            "SIGRTMIN",
            *(f"SIGRTMIN+{number}" for number in range(1, 16)),
            *(f"SIGRTMAX-{number}" for number in range(1, 15)),
            "SIGRTMAX",
        }
    )
)
SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['[^']+'\]")


@dataclass(frozen=True, slots=True)
class Around:
    """What a container's rules need to know of its pod.

    Attributes:
        volumes: their names.
        grace: terminationGracePeriodSeconds.
        system: spec.os.name; empty when it is not told.
    """

    volumes: frozenset[str]
    grace: int
    system: str


def check_containers(path: str, containers: list[Json], pod: Around) -> Causes:
    """The main containers: at least one."""
    if not containers:
        yield required(path)
    names: set[str] = set()
    for index, container in enumerate(containers):
        here = f"{path}[{index}]"
        yield from _check_container(here, container, pod)
        if container.get("name") in names:
            yield duplicate(f"{here}.name", container["name"])
        elif container.get("name"):
            names.add(container["name"])
        yield from _check_life(here, container, pod)


def check_init_containers(path: str, containers: list[Json], others: set[str], pod: Around) -> Causes:
    """Init containers, sidecars among them: only those may have probes and hooks."""
    names = set(others)
    for index, container in enumerate(containers):
        here = f"{path}[{index}]"
        yield from _check_container(here, container, pod)
        if container.get("name") in names:
            yield duplicate(f"{here}.name", container["name"])
        names.add(container.get("name", ""))
        if container.get("restartPolicy") == "Always":
            yield from _check_life(here, container, pod)
            continue
        for part in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if part in container:
                yield forbidden(f"{here}.{part}", "may not be set for init containers without restartPolicy=Always")


def _check_container(path: str, container: Json, pod: Around) -> Causes:
    name, image = container.get("name", ""), container.get("image", "")
    if not name:
        yield required(f"{path}.name")
    else:
        yield from faults(f"{path}.name", name, label_faults(name))
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy", ""), PULL_POLICIES)
    policy = container.get("terminationMessagePolicy", "File")
    if policy not in ("File", "FallbackToLogsOnError"):
        yield unsupported(f"{path}.terminationMessagePolicy", policy, ("File", "FallbackToLogsOnError"))
    yield from _check_ports(f"{path}.ports", container.get("ports") or [])
    yield from _check_env(f"{path}.env", container.get("env") or [])
    yield from _check_env_from(f"{path}.envFrom", container.get("envFrom") or [])
    yield from _check_mounts(f"{path}.volumeMounts", container.get("volumeMounts") or [], pod.volumes)
    yield from check_resources(f"{path}.resources", container.get("resources") or {})


def _check_ports(path: str, ports: list[Json]) -> Causes:
    names: set[str] = set()
    for index, port in enumerate(ports):
        here = f"{path}[{index}]"
        name = port.get("name")
        if name:
            found = list(faults(f"{here}.name", name, port_name_faults(name)))
            yield from found
            if not found and name in names:
                yield duplicate(f"{here}.name", name)
            names.add(name)
        if not port.get("containerPort"):
            yield required(f"{here}.containerPort")
        else:
            yield from port_number(f"{here}.containerPort", port["containerPort"])
        if port.get("hostPort"):
            yield from port_number(f"{here}.hostPort", port["hostPort"])
        protocol = port.get("protocol", "")
        if not protocol:
            yield required(f"{here}.protocol")
        else:
            yield from one_of(f"{here}.protocol", protocol, PROTOCOLS)


def _check_env(path: str, variables: list[Json]) -> Causes:
    for index, variable in enumerate(variables):
        here = f"{path}[{index}]"
        name = variable.get("name", "")
        if not name:
            yield required(f"{here}.name")
        elif not re.fullmatch(r"[ -<>-~]+", name):
            what = "a valid environment variable name must consist only of printable ASCII characters other than '='"
            yield invalid(f"{here}.name", name, what)
        if "valueFrom" in variable:
            yield from _check_source(f"{here}.valueFrom", variable["valueFrom"], bool(variable.get("value")))


def _check_source(path: str, source: Json, has_value: bool) -> Causes:
    given = [kind for kind in SOURCES if kind in source]
    if has_value:
        if given:
            yield invalid(path, "", "may not be specified when `value` is not empty")
    elif len(given) > 1:
        yield invalid(path, "", "may not have more than one field specified at a time")
    elif not given:
        words = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        yield invalid(path, "", words)
    if "fieldRef" in source:
        yield from check_field(f"{path}.fieldRef", source["fieldRef"], FIELDS)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if kind in source:
            if not source[kind].get("name"):
                yield required(f"{path}.{kind}.name")
            if not source[kind].get("key"):
                yield required(f"{path}.{kind}.key")


def check_field(path: str, reference: Json, fields: tuple[str, ...]) -> Causes:
    """A reference to a field of the pod itself."""
    field = reference.get("fieldPath", "")
    if not field:
        yield required(f"{path}.fieldPath")
    elif not _SUBSCRIPT.fullmatch(field) and field not in fields:
        what = f"error converting fieldPath: field label not supported: {field}"
        yield invalid(f"{path}.fieldPath", field, what)


def _check_env_from(path: str, sources: list[Json]) -> Causes:
    for index, source in enumerate(sources):
        for kind in ("configMapRef", "secretRef"):
            if kind in source:
                name = source[kind].get("name", "")
                here = f"{path}[{index}].{kind}.name"
                if name:
                    yield from faults(here, name, subdomain_faults(name))
                else:
                    yield required(here)
        if "configMapRef" not in source and "secretRef" not in source:
            words = "must specify one of: `configMapRef` or `secretRef`"
            yield invalid(path, "", words)  # without an index, as the real one has it


def _check_mounts(path: str, mounts: list[Json], volumes: frozenset[str]) -> Causes:
    places: set[str] = set()
    for index, mount in enumerate(mounts):
        here = f"{path}[{index}]"
        name, place = mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            yield required(f"{here}.name")
        if name not in volumes:
            yield missing(f"{here}.name", name)
        if not place:
            yield required(f"{here}.mountPath")
        if place in places:
            yield invalid(f"{here}.mountPath", place, "must be unique")
        places.add(place)
        yield from check_descent(f"{path}.subPath", mount.get("subPath", ""))


def check_descent(path: str, text: str) -> Causes:
    """A path that stays below where it begins."""
    if text.startswith("/"):
        yield invalid(path, text, "must be a relative path")
    if ".." in text.split("/"):
        yield invalid(path, text, "must not contain '..'")


def check_resources(path: str, resources: Json) -> Causes:
    """Limits and requests."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name in sorted(amounts):
            here = f"{path}.{kind}[{name}]"
            yield from _check_resource_name(here, name)
            try:
                if parse(amounts[name]) < 0:
                    yield invalid(here, amounts[name], "must be greater than or equal to 0")
            except NotAQuantity as e:
                yield invalid(here, amounts[name], str(e))
                return
    for name in sorted(requests):
        if name in limits and parse(requests[name]) > parse(limits[name]):
            what = f"must be less than or equal to {name} limit of {limits[name]}"
            yield invalid(f"{path}.requests", requests[name], what)


def _check_resource_name(path: str, name: str) -> Causes:
    yield from faults(path, name, qualified_faults(name))
    if "/" not in name and name not in RESOURCES and not name.startswith("hugepages-"):
        yield invalid(path, name, "must be a standard resource type or fully qualified")
        yield invalid(path, name, "must be a standard resource for containers")


def _check_life(path: str, container: Json, pod: Around) -> Causes:
    """Hooks and probes, in the order in which the real server looks at them."""
    lifecycle = container.get("lifecycle") or {}
    for hook in ("postStart", "preStop"):
        if hook in lifecycle:
            yield from _check_handler(f"{path}.lifecycle.{hook}", lifecycle[hook], pod.grace)
    if "stopSignal" in lifecycle:
        yield from _check_stop_signal(f"{path}.lifecycle.stopSignal", lifecycle["stopSignal"], pod.system)
    yield from check_probe(f"{path}.livenessProbe", container.get("livenessProbe"), pod.grace, once=True)
    yield from _check_readiness(f"{path}.readinessProbe", container.get("readinessProbe"), pod.grace)
    yield from check_probe(f"{path}.startupProbe", container.get("startupProbe"), pod.grace, once=True)


def _check_stop_signal(path: str, signal: str, system: str) -> Causes:
    if not system:
        yield forbidden(path, "may not be set for containers with empty `spec.os.name`")
    elif system == "linux":
        yield from one_of(path, signal, STOP_SIGNALS)


def _check_readiness(path: str, probe: Json | None, grace: int) -> Causes:
    yield from check_probe(path, probe, grace, own_grace=False)
    seconds = (probe or {}).get("terminationGracePeriodSeconds")
    if seconds is not None:
        yield invalid(f"{path}.terminationGracePeriodSeconds", seconds, "must not be set for readinessProbes")


def check_probe(path: str, probe: Json | None, grace: int, *, once: bool = False, own_grace: bool = True) -> Causes:
    """A probe; `once`: one success is enough, as for liveness."""
    if probe is None:
        return
    yield from _check_handler(path, probe, grace)
    for name in PROBE_NUMBERS:
        yield from not_negative(f"{path}.{name}", probe.get(name, 0))
    seconds = probe.get("terminationGracePeriodSeconds")
    if own_grace and seconds is not None and seconds <= 0:
        yield invalid(f"{path}.terminationGracePeriodSeconds", seconds, "must be greater than 0")
    if once and probe.get("successThreshold", 1) != 1:
        yield invalid(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _check_handler(path: str, handler: Json, grace: int) -> Causes:
    """What a probe or a hook does: exactly one thing."""
    found = 0
    for kind in HANDLERS:
        if handler.get(kind) is None:
            continue
        if found:
            yield forbidden(f"{path}.{kind}", "may not specify more than 1 handler type")
        else:
            yield from _check_action(f"{path}.{kind}", kind, handler[kind], grace)
        found += 1
    if not found:
        yield required(path, "must specify a handler type")


def _check_action(path: str, kind: str, action: Json, grace: int) -> Causes:
    if kind == "exec":
        if not action.get("command"):
            yield required(f"{path}.command")
    elif kind == "httpGet":
        if not action.get("path"):
            yield required(f"{path}.path")
        yield from port_or_name(f"{path}.port", action.get("port"))
        yield from one_of(f"{path}.scheme", action.get("scheme", "HTTP"), ("HTTP", "HTTPS"))
        for index, header in enumerate(action.get("httpHeaders") or ()):
            name = header.get("name", "")
            if not re.fullmatch(r"[-A-Za-z0-9]+", name):
                what = (
                    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex "
                    "used for validation is '[-A-Za-z0-9]+')"
                )
                yield invalid(f"{path}.httpHeaders[{index}].name", name, what)
    elif kind == "tcpSocket":
        yield from port_or_name(f"{path}.port", action.get("port"))
    elif kind == "grpc":
        yield from port_number(f"{path}.port", action.get("port", 0))
    else:
        yield from _check_sleep(path, action.get("seconds", 0), grace)


def _check_sleep(path: str, seconds: Any, grace: int) -> Causes:
    if not 0 <= seconds <= grace:
        what = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
        yield invalid(path, seconds, what)


def check_hostname(path: str, name: str) -> Causes:
    """The host name of a pod."""
    yield from faults(path, name, label_faults(name))


def check_node_name(path: str, name: str) -> Causes:
    """The name of a node."""
    yield from faults(path, name, subdomain_faults(name))
