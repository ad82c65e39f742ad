"""Defaults of the small kinds."""

from __future__ import annotations

import base64

from rollcheck.sandbox.defaults.pods import fill_resources
from rollcheck.sandbox.trees import Json

CPU_PERCENT = 80
NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)
NAME_LABEL = "kubernetes.io/metadata.name"


def fill_autoscaler(autoscaler: Json) -> None:
    """At least one replica, by CPU use."""
    spec = autoscaler.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": CPU_PERCENT}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def fill_secret(secret: Json) -> None:
    """Opaque; what was given as text is encoded."""
    secret["type"] = secret.get("type") or "Opaque"
    for key, text in (secret.pop("stringData", None) or {}).items():
        secret.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()


def fill_namespace(namespace: Json) -> None:
    """A label with its own name, for selectors."""
    if namespace["metadata"].get("name"):
        namespace["metadata"].setdefault("labels", {})[NAME_LABEL] = namespace["metadata"]["name"]


def fill_node(node: Json) -> None:
    """Everything that the node has can be used, and its system says nothing of itself."""
    node.setdefault("spec", {})
    status = node.setdefault("status", {})
    for kind in ("capacity", "allocatable"):
        fill_resources({"limits": status.get(kind)})
    if "capacity" in status:
        status.setdefault("allocatable", dict(status["capacity"]))
    status.setdefault("daemonEndpoints", {"kubeletEndpoint": {"Port": 0}})
    status.setdefault("nodeInfo", dict.fromkeys(NODE_INFO, ""))


def fill_event(event: Json) -> None:
    """Parts that Go writes even when they are empty."""
    for name, value in (
        ("source", {}),
        ("firstTimestamp", None),
        ("lastTimestamp", None),
        ("eventTime", None),
        ("reportingComponent", ""),
        ("reportingInstance", ""),
        ("involvedObject", {}),
    ):
        event.setdefault(name, value)


def fill_claim(claim: Json) -> None:
    """A file system."""
    spec = claim.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    fill_resources(spec.setdefault("resources", {}))
