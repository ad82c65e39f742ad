"""The columns and cells of every kind but pods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rollcheck.sandbox import selectors
from rollcheck.sandbox.apiserver.ages import human, since
from rollcheck.sandbox.clock import parse_time
from rollcheck.sandbox.trees import Json, at

SHOWN = 3


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        wide: whether it is shown with `-o wide` alone.
    """

    name: str
    type: str = "string"
    format: str = ""
    wide: bool = False

    def definition(self) -> Json:
        """As a Table has it."""
        described = {"name": self.name, "type": self.type, "format": self.format, "description": ""}
        return described | {"priority": int(self.wide)}


Cells = Callable[[Json, datetime], list[Any]]
NAME, AGE = Column("Name", format="name"), Column("Age")
CONTAINERS = (Column("Containers", wide=True), Column("Images", wide=True))
SELECTOR = Column("Selector", wide=True)


def _names(*names: str, type_: str = "string", wide: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name, type_, wide=wide) for name in names)


def _age(obj: Json, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def _name(obj: Json) -> str:
    return str(obj["metadata"]["name"])


def any_cells(obj: Json, now: datetime) -> list[Any]:
    """For kinds without columns of their own."""
    return [_name(obj), obj["metadata"].get("creationTimestamp", "")]


def _containers(obj: Json) -> list[str]:
    every = at(obj, "spec", "template", "spec", "containers") or ()
    return [",".join(one.get("name", "") for one in every), ",".join(one.get("image", "") for one in every)]


def _selector(obj: Json) -> str:
    return selectors.text_of(at(obj, "spec", "selector")) or "<none>"


def _labels(labels: Json | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def _number(obj: Json, *path: str) -> int:
    return int(at(obj, *path) or 0)


def _some(texts: Sequence[str], most: int = SHOWN, empty: str = "<none>", between: str = ",") -> str:
    """The first few, and how many more."""
    shown = between.join(texts[:most])
    return f"{shown} + {len(texts) - most} more..." if len(texts) > most else shown or empty


def deployment(obj: Json, now: datetime) -> list[Any]:
    """A Deployment."""
    ready = f"{_number(obj, 'status', 'readyReplicas')}/{_number(obj, 'spec', 'replicas')}"
    updated, available = _number(obj, "status", "updatedReplicas"), _number(obj, "status", "availableReplicas")
    return [_name(obj), ready, updated, available, _age(obj, now), *_containers(obj), _selector(obj)]


def replica_set(obj: Json, now: datetime) -> list[Any]:
    """A ReplicaSet."""
    counts = [
        _number(obj, "spec", "replicas"),
        _number(obj, "status", "replicas"),
        _number(obj, "status", "readyReplicas"),
    ]
    return [_name(obj), *counts, _age(obj, now), *_containers(obj), _selector(obj)]


def stateful_set(obj: Json, now: datetime) -> list[Any]:
    """A StatefulSet."""
    ready = f"{_number(obj, 'status', 'readyReplicas')}/{_number(obj, 'spec', 'replicas')}"
    return [_name(obj), ready, _age(obj, now), *_containers(obj)]


def daemon_set(obj: Json, now: datetime) -> list[Any]:
    """A DaemonSet."""
    told = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    counts = [_number(obj, "status", name) for name in told]
    nodes = _labels(at(obj, "spec", "template", "spec", "nodeSelector"))
    return [_name(obj), *counts, nodes, _age(obj, now), *_containers(obj), _selector(obj)]


def job(obj: Json, now: datetime) -> list[Any]:
    """A Job."""
    done, wanted = _number(obj, "status", "succeeded"), at(obj, "spec", "completions")
    parallel = _number(obj, "spec", "parallelism")
    completions = (
        f"{done}/{wanted}" if wanted is not None else f"{done}/1 of {parallel}" if parallel > 1 else f"{done}/1"
    )
    start, end = at(obj, "status", "startTime"), at(obj, "status", "completionTime")
    span = ""
    if start:
        span = human(((parse_time(end) if end else now) - parse_time(start)).total_seconds())
    return [_name(obj), _job_status(obj), completions, span, _age(obj, now), *_containers(obj), _selector(obj)]


def _job_status(obj: Json) -> str:
    true = {one["type"] for one in at(obj, "status", "conditions") or () if one["status"] == "True"}
    for word in ("Complete", "Failed"):
        if word in true:
            return word
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    waiting = ("Suspended", "FailureTarget", "SuccessCriteriaMet")
    return next((word for word in waiting if word in true), "Running")


def service(obj: Json, now: datetime) -> list[Any]:
    """A Service."""
    spec = obj.get("spec") or {}
    ports = ",".join(_service_port(port) for port in spec.get("ports") or ()) or "<none>"
    address = at(spec, "clusterIPs", 0) or spec.get("clusterIP") or "<none>"
    kind = spec.get("type") or "ClusterIP"
    return [_name(obj), kind, address, _external(obj, kind), ports, _age(obj, now), _labels(spec.get("selector"))]


def _service_port(port: Json) -> str:
    node = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port['port']}{node}/{port.get('protocol', 'TCP')}"


def _external(obj: Json, kind: str) -> str:
    spec = obj.get("spec") or {}
    own = list(spec.get("externalIPs") or ())
    if kind == "ExternalName":
        return str(spec.get("externalName", ""))
    if kind == "LoadBalancer":
        return ",".join(_balancers(obj) + own) or "<pending>"
    return ",".join(own) or "<none>"


def _balancers(obj: Json) -> list[str]:
    every = at(obj, "status", "loadBalancer", "ingress") or ()
    return sorted({one.get("ip") or one.get("hostname") or "" for one in every} - {""})


def ingress(obj: Json, now: datetime) -> list[Any]:
    """An Ingress."""
    spec = obj.get("spec") or {}
    rules = spec.get("rules") or ()
    hosts = [rule["host"] for rule in rules[:SHOWN] if rule.get("host")]
    shown = ",".join(hosts) or "*"
    if len(rules) > SHOWN and hosts:
        shown = f"{shown} + {len(rules) - SHOWN} more..."
    ports = "80, 443" if spec.get("tls") else "80"
    address = ",".join(_balancers(obj))
    return [_name(obj), spec.get("ingressClassName") or "<none>", shown, address, ports, _age(obj, now)]


def ingress_class(obj: Json, now: datetime) -> list[Any]:
    """An IngressClass."""
    given = at(obj, "spec", "parameters")
    shown = "<none>"
    if given:
        group = f".{given['apiGroup']}" if given.get("apiGroup") else ""
        shown = f"{given['kind'].lower()}{group}/{given['name']}"
    return [_name(obj), at(obj, "spec", "controller") or "", shown, _age(obj, now)]


def endpoints(obj: Json, now: datetime) -> list[Any]:
    """Endpoints."""
    found: list[str] = []
    for subset in obj.get("subsets") or ():
        every = [one["ip"] for one in subset.get("addresses") or ()]
        ports = subset.get("ports") or ()
        found += [f"{address}:{port['port']}" for port in ports for address in every] if ports else every
    return [_name(obj), _some(found), _age(obj, now)]


def endpoint_slice(obj: Json, now: datetime) -> list[Any]:
    """An EndpointSlice."""
    ports = [str(port.get("port") or port.get("name") or "*") for port in obj.get("ports") or ()]
    every = [address for one in obj.get("endpoints") or () for address in one.get("addresses") or ()]
    shown = _some(ports, empty="<unset>"), _some(every, empty="<unset>")
    return [_name(obj), obj.get("addressType", ""), *shown, _age(obj, now)]


def node(obj: Json, now: datetime) -> list[Any]:
    """A Node."""
    ready = [one["status"] for one in at(obj, "status", "conditions") or () if one["type"] == "Ready"]
    words = ["Ready" if ready[0] == "True" else "NotReady"] if ready else ["Unknown"]
    if at(obj, "spec", "unschedulable"):
        words.append("SchedulingDisabled")
    info = at(obj, "status", "nodeInfo") or {}
    wide = [info.get(name) or "<unknown>" for name in ("osImage", "kernelVersion", "containerRuntimeVersion")]
    addresses = [_address(obj, "InternalIP"), _address(obj, "ExternalIP")]
    version = info.get("kubeletVersion", "")
    return [_name(obj), ",".join(words), _roles(obj), _age(obj, now), version, *addresses, *wide]


def _address(obj: Json, type_: str) -> str:
    every = at(obj, "status", "addresses") or ()
    return next((str(one["address"]) for one in every if one["type"] == type_), "<none>")


def _roles(obj: Json) -> str:
    labels = obj["metadata"].get("labels") or {}
    prefix = "node-role.kubernetes.io/"
    roles = {key.removeprefix(prefix) for key in labels if key.startswith(prefix)} | {
        labels.get("kubernetes.io/role", "")
    }
    return ",".join(sorted(roles - {""})) or "<none>"


def namespace(obj: Json, now: datetime) -> list[Any]:
    """A Namespace."""
    return [_name(obj), at(obj, "status", "phase") or "", _age(obj, now)]


def config_map(obj: Json, now: datetime) -> list[Any]:
    """A ConfigMap."""
    return [_name(obj), len(obj.get("data") or ()) + len(obj.get("binaryData") or ()), _age(obj, now)]


def secret(obj: Json, now: datetime) -> list[Any]:
    """A Secret."""
    return [_name(obj), obj.get("type", ""), len(obj.get("data") or ()), _age(obj, now)]


def service_account(obj: Json, now: datetime) -> list[Any]:
    """A ServiceAccount."""
    return [_name(obj), len(obj.get("secrets") or ()), _age(obj, now)]


def claim(obj: Json, now: datetime) -> list[Any]:
    """A PersistentVolumeClaim."""
    spec, bound = obj.get("spec") or {}, bool(at(obj, "spec", "volumeName"))
    phase = "Terminating" if "deletionTimestamp" in obj["metadata"] else at(obj, "status", "phase") or ""
    short = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    modes = ",".join(short.get(mode, mode) for mode in at(obj, "status", "accessModes") or ()) if bound else ""
    capacity = str(at(obj, "status", "capacity", "storage") or "") if bound else ""
    sort = spec.get("volumeAttributesClassName") or "<unset>"
    place = [spec.get("volumeName") or "", capacity, modes, spec.get("storageClassName") or "", sort]
    return [_name(obj), phase, *place, _age(obj, now), spec.get("volumeMode") or "<unset>"]


def event(obj: Json, now: datetime) -> list[Any]:
    """An Event."""
    first = since(obj.get("firstTimestamp") or obj.get("eventTime"), now)
    series = obj.get("series") or {}
    last = since(series.get("lastObservedTime") or obj.get("lastTimestamp"), now)
    last = first if last == "<unknown>" else last
    about = obj.get("involvedObject") or {}
    what = about.get("kind", "").lower() + (f"/{about['name']}" if about.get("name") else "")
    origin = at(obj, "source", "component") or obj.get("reportingComponent") or ""
    host = at(obj, "source", "host") or obj.get("reportingInstance") or ""
    source = f"{origin}, {host}" if host else origin
    words = [last, obj.get("type", ""), obj.get("reason", ""), what, about.get("fieldPath", ""), source]
    return [*words, obj.get("message", "").strip(), first, series.get("count") or obj.get("count") or 1, _name(obj)]


def budget(obj: Json, now: datetime) -> list[Any]:
    """A PodDisruptionBudget."""
    least, most = at(obj, "spec", "minAvailable"), at(obj, "spec", "maxUnavailable")
    bounds = ["N/A" if bound is None else str(bound) for bound in (least, most)]
    return [_name(obj), *bounds, _number(obj, "status", "disruptionsAllowed"), _age(obj, now)]


def controller_revision(obj: Json, now: datetime) -> list[Any]:
    """A ControllerRevision."""
    owner = next((one for one in obj["metadata"].get("ownerReferences") or () if one.get("controller")), None)
    shown = "<none>"
    if owner is not None:
        group = owner["apiVersion"].rpartition("/")[0]
        shown = f"{owner['kind'].lower()}{'.' + group if group else ''}/{owner['name']}"
    return [_name(obj), shown, obj.get("revision", 0), _age(obj, now)]


def lease(obj: Json, now: datetime) -> list[Any]:
    """A Lease."""
    return [_name(obj), at(obj, "spec", "holderIdentity") or "", _age(obj, now)]


def autoscaler(obj: Json, now: datetime) -> list[Any]:
    """A HorizontalPodAutoscaler."""
    spec = obj.get("spec") or {}
    target = spec.get("scaleTargetRef") or {}
    metrics = [_metric(one) for one in spec.get("metrics") or ()]
    least = "<unset>" if spec.get("minReplicas") is None else str(spec["minReplicas"])
    reference = f"{target.get('kind', '')}/{target.get('name', '')}"
    bounds = [least, spec.get("maxReplicas", 0), _number(obj, "status", "currentReplicas")]
    return [_name(obj), reference, _some(metrics, 2, between=", "), *bounds, _age(obj, now)]


def _metric(metric: Json) -> str:
    """What a metric aims at; the sandbox measures none, so what it is now is never known."""
    for kind in ("resource", "containerResource", "pods", "object", "external"):
        found = metric.get(kind)
        if found is None:
            continue
        target = found.get("target") or {}
        prefix = f"{found.get('name', '')}: " if "esource" in kind else ""
        if target.get("averageUtilization") is not None:
            return f"{prefix}<unknown>/{target['averageUtilization']}%"
        suffix = " (avg)" if target.get("averageValue") and kind in ("object", "external") else ""
        return f"{prefix}<unknown>/{target.get('averageValue') or target.get('value') or '<auto>'}{suffix}"
    return "<unknown type>"


def scale(obj: Json, now: datetime) -> list[Any]:
    """A Scale."""
    return [_name(obj), _number(obj, "spec", "replicas"), _number(obj, "status", "replicas"), _age(obj, now)]


PRINTERS: dict[str, tuple[tuple[Column, ...], Cells]] = {
    "Deployment": ((NAME, *_names("Ready", "Up-to-date", "Available"), AGE, *CONTAINERS, SELECTOR), deployment),
    "ReplicaSet": (
        (NAME, *_names("Desired", "Current", "Ready", type_="integer"), AGE, *CONTAINERS, SELECTOR),
        replica_set,
    ),
    "StatefulSet": ((NAME, Column("Ready"), AGE, *CONTAINERS), stateful_set),
    "DaemonSet": (
        (
            NAME,
            *_names("Desired", "Current", "Ready", "Up-to-date", "Available", type_="integer"),
            Column("Node Selector"),
            AGE,
            *CONTAINERS,
            SELECTOR,
        ),
        daemon_set,
    ),
    "Job": ((NAME, *_names("Status", "Completions", "Duration"), AGE, *CONTAINERS, SELECTOR), job),
    "Scale": ((NAME, *_names("Desired", "Available", type_="integer"), AGE), scale),
    "Service": ((NAME, *_names("Type", "Cluster-IP", "External-IP", "Port(s)"), AGE, SELECTOR), service),
    "Ingress": ((NAME, *_names("Class", "Hosts", "Address", "Ports"), AGE), ingress),
    "IngressClass": ((NAME, *_names("Controller", "Parameters"), AGE), ingress_class),
    "Endpoints": ((NAME, Column("Endpoints"), AGE), endpoints),
    "EndpointSlice": ((NAME, *_names("AddressType", "Ports", "Endpoints"), AGE), endpoint_slice),
    "Node": (
        (
            NAME,
            *_names("Status", "Roles"),
            AGE,
            Column("Version"),
            *_names("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime", wide=True),
        ),
        node,
    ),
    "Namespace": ((NAME, Column("Status"), AGE), namespace),
    "ConfigMap": ((NAME, Column("Data"), AGE), config_map),
    "Secret": ((NAME, *_names("Type", "Data"), AGE), secret),
    "ServiceAccount": ((NAME, Column("Secrets"), AGE), service_account),
    "PersistentVolumeClaim": (
        (
            NAME,
            *_names("Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass"),
            AGE,
            Column("VolumeMode", wide=True),
        ),
        claim,
    ),
    "Event": (
        (
            *_names("Last Seen", "Type", "Reason", "Object"),
            *_names("Subobject", "Source", wide=True),
            Column("Message"),
            *_names("First Seen", "Count", wide=True),
            Column("Name", format="name", wide=True),
        ),
        event,
    ),
    "PodDisruptionBudget": (
        (NAME, *_names("Min Available", "Max Unavailable"), Column("Allowed Disruptions", "integer"), AGE),
        budget,
    ),
    "ControllerRevision": ((NAME, *_names("Controller", "Revision"), AGE), controller_revision),
    "Lease": ((NAME, Column("Holder"), AGE), lease),
    "HorizontalPodAutoscaler": (
        (NAME, *_names("Reference", "Targets", "MinPods", "MaxPods", "Replicas"), AGE),
        autoscaler,
    ),
}
"""By kind: the columns, and what makes the cells."""
