"""Defaults of pods and pod templates (`pkg/apis/core/v1/defaults.go`)."""

from __future__ import annotations

import re

from rollcheck.sandbox.quantities import NotAQuantity, canonical, parse
from rollcheck.sandbox.trees import Json

FILE_MODE = 0o644
SCHEDULER = "default-scheduler"
TOLERATION_S = 300
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_NAME = re.compile(r"(?:[\w.-]+(?::\d+)?/)?[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9._-]+)*(?::[\w.-]+)?\Z")
_TAG = re.compile(r":(?P<tag>[\w][\w.-]{0,127})\Z")


def fill_pod(pod: Json) -> None:
    """A pod: its spec, and requests where only limits were given."""
    spec = pod.setdefault("spec", {})
    fill_spec(spec)
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    spec.setdefault("enableServiceLinks", True)
    for container in _containers(spec):
        resources = container["resources"]
        for name, amount in (resources.get("limits") or {}).items():
            resources.setdefault("requests", {}).setdefault(name, amount)


def admit(pod: Json) -> None:
    """The plugins ServiceAccount (its name alone), Priority and DefaultTolerationSeconds, and the pod's class."""
    spec = pod["spec"]
    name = spec.get("serviceAccountName") or spec.get("serviceAccount") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    tolerations = spec.setdefault("tolerations", [])
    for key in (NOT_READY, UNREACHABLE):
        if not any(_tolerates(one, key) for one in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_S}
            )
    if not tolerations:
        del spec["tolerations"]


def _tolerates(toleration: Json, key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")


def quality(spec: Json) -> str:
    """The pod's class (`pkg/apis/core/v1/helper/qos`): Guaranteed, Burstable or BestEffort."""
    guaranteed, any_set = True, False
    for container in _containers(spec):
        resources = container.get("resources") or {}
        amounts: dict[str, dict[str, object]] = {}
        for kind in ("requests", "limits"):
            given = {name: text for name, text in (resources.get(kind) or {}).items() if name in ("cpu", "memory")}
            amounts[kind] = {name: parse(text) for name, text in given.items() if parse(text) > 0}
        any_set = any_set or bool(amounts["requests"] or amounts["limits"])
        guaranteed = guaranteed and len(amounts["limits"]) == 2 and amounts["limits"] == amounts["requests"]
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _containers(spec: Json) -> list[Json]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def fill_template(template: Json) -> None:
    """A pod template: as a pod, without what only pods get."""
    metadata = template.setdefault("metadata", {})
    if metadata.get("creationTimestamp", "") is None:
        del metadata["creationTimestamp"]
    fill_spec(template.setdefault("spec", {}))


def fill_spec(spec: Json) -> None:
    """A pod's spec, in a pod or in a template."""
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("securityContext", {})
    for part, word in (("restartPolicy", "Always"), ("dnsPolicy", "ClusterFirst"), ("schedulerName", SCHEDULER)):
        spec[part] = spec.get(part) or word
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in _containers(spec):
        _fill_container(container, host_network=bool(spec.get("hostNetwork")))
    for volume in spec.get("volumes") or ():
        _fill_volume(volume)
    for part in ("initContainers", "volumes", "tolerations", "nodeSelector", "imagePullSecrets", "hostAliases"):
        if part in spec and not spec[part]:
            del spec[part]


def pull_policy(image: str) -> str:
    """Always for an image that says `latest` or nothing, IfNotPresent for one that is pinned."""
    if "@" in image or not _NAME.match(image):
        return "IfNotPresent"
    found = _TAG.search(image.rpartition("/")[2])
    return "IfNotPresent" if found is not None and found["tag"] != "latest" else "Always"


def _fill_container(container: Json, *, host_network: bool) -> None:
    container["imagePullPolicy"] = container.get("imagePullPolicy") or pull_policy(container.get("image") or "")
    container["terminationMessagePath"] = container.get("terminationMessagePath") or "/dev/termination-log"
    container["terminationMessagePolicy"] = container.get("terminationMessagePolicy") or "File"
    fill_resources(container.setdefault("resources", {}))
    for port in container.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
        if host_network and "containerPort" in port:
            port.setdefault("hostPort", port["containerPort"])
    for variable in container.get("env") or ():
        _fill_variable(variable)
    for name in PROBES:
        if container.get(name) is not None:
            _fill_probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _fill_http(hook)
            if "sleep" in hook:
                hook["sleep"].setdefault("seconds", 0)
    if container.get("restartPolicy", "Always") != "Always":
        del container["restartPolicy"]  # other words are of a feature that is not on
    for part in ("command", "args", "ports", "env", "envFrom", "volumeMounts"):
        if part in container and not container[part]:
            del container[part]


def _fill_variable(variable: Json) -> None:
    if variable.get("value") == "":
        del variable["value"]
    source = variable.get("valueFrom") or {}
    if "fieldRef" in source:
        source["fieldRef"].setdefault("apiVersion", "v1")
    if "resourceFieldRef" in source:
        source["resourceFieldRef"].setdefault("divisor", "0")


def fill_resources(resources: Json) -> None:
    """Write amounts as the API does; what is none stays for validation to refuse."""
    for kind in ("limits", "requests"):
        amounts = resources.get(kind) or {}
        for name, amount in amounts.items():
            try:
                amounts[name] = canonical(amount)
            except NotAQuantity:
                amounts[name] = str(amount)


def _fill_probe(probe: Json) -> None:
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(name):
            probe[name] = value
    if probe.get("initialDelaySeconds") == 0:
        del probe["initialDelaySeconds"]
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")
    _fill_http(probe)


def _fill_http(handler: Json) -> None:
    request = handler.get("httpGet")
    if request is not None:
        request["path"] = request.get("path") or "/"
        request["scheme"] = request.get("scheme") or "HTTP"


_MODED = ("configMap", "secret", "downwardAPI", "projected")


def _fill_volume(volume: Json) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for kind in _MODED:
        if kind in volume:
            volume[kind].setdefault("defaultMode", FILE_MODE)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    if "emptyDir" in volume and "sizeLimit" in volume["emptyDir"]:
        volume["emptyDir"]["sizeLimit"] = canonical(volume["emptyDir"]["sizeLimit"])
    _fill_items(volume.get("downwardAPI") or {})
    for source in (volume.get("projected") or {}).get("sources") or ():
        _fill_items(source.get("downwardAPI") or {})
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)


def _fill_items(downward: Json) -> None:
    for item in downward.get("items") or ():
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")
        if "resourceFieldRef" in item:
            item["resourceFieldRef"].setdefault("divisor", "0")
