"""Where a pod could be placed, as far as the API tells: the scheduler's filters that keep pods from nodes. Pure.

The scheduler decides in the end. Looked at are taints, nodeSelector, required node affinity, volumes, required affinity
and anti-affinity to pods, topology spread that must not be broken, requests and host ports. Not looked at are
namespaceSelector of affinity terms (labels of namespaces are not read), limits of volumes per node, and plugins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollcheck.kube.drain import ENDED, name_of, namespace_of
from rollcheck.kube.matching import any_term, quantity, selects
from rollcheck.kube.volumes import Volumes

Json = dict[str, Any]
Domain = tuple[str, str]
"""A topology key and the value that some nodes have of it."""

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
HARD = "DoNotSchedule"


@dataclass(slots=True)
class Board:
    """The nodes, and the pods on each.

    Attributes:
        nodes: name → every node, those that take no pods included: they count as domains of a topology spread.
        on: name → the pods there that have not ended.
        leaving: the node that is being drained.
    """

    nodes: dict[str, Json]
    on: dict[str, list[Json]]
    leaving: str = ""
    volumes: Volumes = field(default_factory=Volumes)

    @classmethod
    def of(
        cls,
        nodes: Iterable[Json],
        pods: Iterable[Json],
        *,
        evicted: Iterable[Json] = (),
        leaving: str = "",
        volumes: Volumes | None = None,
    ) -> Board:
        """As it is when the evicted pods are gone, and nothing has come in their place."""
        gone = {_uid(pod) for pod in evicted}
        board = cls({name_of(n): n for n in nodes}, {}, leaving, volumes or Volumes())
        board.on = {name: [] for name in board.nodes}
        for pod in pods:
            if (pod.get("status") or {}).get("phase") not in ENDED and _uid(pod) not in gone:
                board.on.get(str((pod.get("spec") or {}).get("nodeName") or ""), []).append(pod)
        return board

    def placed(self) -> Iterator[tuple[Json, str]]:
        """Every pod, and the name of its node."""
        return ((pod, name) for name, pods in self.on.items() for pod in pods)

    def labels(self, node: str) -> Mapping[str, str]:
        """Of a node."""
        found: Mapping[str, str] = (self.nodes[node].get("metadata") or {}).get("labels") or {}
        return found

    def domain(self, node: str, key: object) -> Domain | None:
        """The domain of a topology that a node belongs to, None when it has no such label."""
        value = self.labels(node).get(str(key))
        return None if value is None else (str(key), value)


class Wish:
    """What one pod asks of the board, worked out once for all nodes."""

    def __init__(self, pod: Json, board: Board) -> None:
        self.pod = pod
        self.board = board
        self.spec: Json = pod.get("spec") or {}
        self._repelling = _repelling(pod, board)
        self._attracting = _attracting(pod, board)
        self._spreads = [_Spread(rule, pod, board) for rule in _hard_spreads(self.spec)]

    def why_not(self, node: str) -> str:
        """Why it cannot be placed on a node; empty when nothing of what is looked at keeps it off."""
        raw, there = self.board.nodes[node], self.board.on[node]
        if why := why_not_by_node(self.spec, raw):
            return why
        if why := self.board.volumes.why_not(self.pod, raw, self.board.nodes.values()):
            return why
        labels = self.board.labels(node)
        for key, value in self._repelling:
            if labels.get(key) == value:
                return f"its anti-affinity to pods {_there(key, value)}"
        for key, values in self._attracting:
            if labels.get(key) not in values:
                return f"its affinity to pods, of which there are none in its {key}"
        for spread in self._spreads:
            if why := spread.why_not(node):
                return why
        if busy := _host_ports([self.pod]) & _host_ports(there):
            return f"host port {min(busy)} is taken"
        return _too_little(self.pod, raw, there)


def why_not_by_node(spec: Json, node: Json) -> str:
    """What of the node itself keeps a pod off."""
    labels = (node.get("metadata") or {}).get("labels") or {}
    for taint in (node.get("spec") or {}).get("taints") or []:
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not _tolerated(taint, spec.get("tolerations") or []):
            return f"taint {taint.get('key')}"
    for key, value in (spec.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return f"nodeSelector {key}={value}"
    return "" if _affine(spec, node, labels) else "its node affinity"


def _tolerated(taint: Json, tolerations: Iterable[Json]) -> bool:
    for tolerance in tolerations:
        if tolerance.get("effect") not in (None, "", taint.get("effect")):
            continue
        if tolerance.get("operator") == "Exists" and tolerance.get("key") in (None, "", taint.get("key")):
            return True
        alike = (tolerance.get("value") or "") == (taint.get("value") or "")
        if tolerance.get("key") == taint.get("key") and alike and tolerance.get("operator") in (None, "", "Equal"):
            return True
    return False


def _affine(spec: Json, node: Json, labels: Mapping[str, str]) -> bool:
    wanted = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED)
    if not wanted:
        return True
    return any_term(wanted.get("nodeSelectorTerms") or [], labels, {"metadata.name": name_of(node)})


# Other pods


def _rules(pod: Json, sort: str) -> list[Json]:
    affinity = ((pod.get("spec") or {}).get("affinity") or {}).get(sort) or {}
    return list(affinity.get(REQUIRED) or [])


def _picks(rule: Json, owner: Json, other: Json) -> bool:
    """Whether the term of `owner` means `other`; an empty namespaceSelector means every namespace."""
    spaces = rule.get("namespaces") or ([] if rule.get("namespaceSelector") else [namespace_of(owner)])
    within = rule.get("namespaceSelector") == {} or namespace_of(other) in spaces
    return within and selects(rule.get("labelSelector"), _labels(other))


def _repelling(pod: Json, board: Board) -> set[Domain]:
    """The domains that hold a pod which it must not be beside, or which must not be beside it."""
    own, found = _rules(pod, "podAntiAffinity"), set[Domain | None]()
    for other, home in board.placed():
        found |= {board.domain(home, rule.get("topologyKey")) for rule in own if _picks(rule, pod, other)}
        for rule in _rules(other, "podAntiAffinity"):
            if _picks(rule, other, pod):
                found.add(board.domain(home, rule.get("topologyKey")))
    return {domain for domain in found if domain is not None}


def _attracting(pod: Json, board: Board) -> list[tuple[str, set[str]]]:
    """Of each affinity to pods: the topology key, and the values of it that hold such a pod.

    The first of a group that wants to be together may go anywhere: it is what it asks for itself.
    """
    rules = _rules(pod, "podAffinity")
    found = []
    for rule in rules:
        key = str(rule.get("topologyKey"))
        homes = {home for other, home in board.placed() if _picks(rule, pod, other)}
        found.append((key, {value for home in homes if (value := board.labels(home).get(key)) is not None}))
    if not any(values for _, values in found) and all(_picks(rule, pod, pod) for rule in rules):
        return []
    return found


def _there(key: str, value: str) -> str:
    return "there" if key == "kubernetes.io/hostname" else f"in {key} {value}"


# Topology spread


def _hard_spreads(spec: Json) -> list[Json]:
    return [r for r in spec.get("topologySpreadConstraints") or [] if r.get("whenUnsatisfiable", HARD) == HARD]


class _Spread:
    """One constraint of a topology spread.

    Nodes that take no pods count as domains all the same unless nodeTaintsPolicy is Honor: a drained node is then the
    emptiest one, and what would go elsewhere is too much there.
    """

    def __init__(self, rule: Json, pod: Json, board: Board) -> None:
        self.key = str(rule.get("topologyKey"))
        self.most = int(rule.get("maxSkew") or 1)
        self.board = board
        labels = _labels(pod)
        selector = _with_keys(rule, labels)
        self.own = int(selects(selector, labels))
        self.count: Counter[str] = Counter()
        for node in _eligible(rule, pod.get("spec") or {}, board):
            self.count[board.labels(node)[self.key]] += sum(
                1 for other in board.on[node] if _counts(other, pod) and selects(selector, _labels(other))
            )
        least = min(self.count.values(), default=0)
        self.least = 0 if len(self.count) < int(rule.get("minDomains") or 1) else least

    def why_not(self, node: str) -> str:
        """Why a pod more on this node would break it."""
        value = self.board.labels(node).get(self.key)
        if value is None:
            return f"its topology spread: the node has no label {self.key}"
        there = self.count[value]
        if there + self.own - self.least <= self.most:
            return ""
        return (
            f"its topology spread over {self.key}: {there} there and {self.least} in the emptiest, which may differ by "
            f"{self.most}"
        )


def _with_keys(rule: Json, labels: Mapping[str, str]) -> Json | None:
    selector: Json | None = rule.get("labelSelector")
    keys = {key: labels[key] for key in rule.get("matchLabelKeys") or [] if key in labels}
    if selector is None or not keys:
        return selector
    return selector | {"matchLabels": {**(selector.get("matchLabels") or {}), **keys}}


def _eligible(rule: Json, spec: Json, board: Board) -> list[str]:
    """The nodes that count: with every key of the pod's constraints, and those that the policies do not leave out."""
    keys = [str(other.get("topologyKey")) for other in _hard_spreads(spec)]
    found = []
    for name, node in board.nodes.items():
        labels = board.labels(name)
        if any(key not in labels for key in keys):
            continue
        if rule.get("nodeAffinityPolicy") != "Ignore" and not _chosen(spec, node, labels):
            continue
        if rule.get("nodeTaintsPolicy") == "Honor" and (name == board.leaving or _tainted(spec, node)):
            continue
        found.append(name)
    return found


def _chosen(spec: Json, node: Json, labels: Mapping[str, str]) -> bool:
    selector = spec.get("nodeSelector") or {}
    return all(labels.get(key) == value for key, value in selector.items()) and _affine(spec, node, labels)


def _tainted(spec: Json, node: Json) -> bool:
    taints = (node.get("spec") or {}).get("taints") or []
    hard = [taint for taint in taints if taint.get("effect") in ("NoSchedule", "NoExecute")]
    return any(not _tolerated(taint, spec.get("tolerations") or []) for taint in hard)


def _counts(other: Json, pod: Json) -> bool:
    """Pods on their way out do not."""
    return namespace_of(other) == namespace_of(pod) and "deletionTimestamp" not in (other.get("metadata") or {})


# Room


def _host_ports(pods: Iterable[Json]) -> set[int]:
    return {
        int(port["hostPort"])
        for pod in pods
        for container in (pod.get("spec") or {}).get("containers") or []
        for port in container.get("ports") or []
        if port.get("hostPort")
    }


def _too_little(pod: Json, node: Json, there: Sequence[Json]) -> str:
    room = (node.get("status") or {}).get("allocatable") or {}
    if "pods" in room and len(there) + 1 > quantity(room["pods"]):
        return f"it holds {len(there)} pods already"
    for resource in _resources(pod):
        asked = _asked(pod, resource)
        known = resource in room or "/" in resource
        if asked and known and _used(there, resource) + asked > quantity(room.get(resource, 0)):
            return f"too little {resource}"
    return ""


def _resources(pod: Json) -> list[str]:
    """Those it asks for: cpu, memory, and whatever a device plugin offers."""
    spec = pod.get("spec") or {}
    every = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    return sorted({name for c in every for name in (c.get("resources") or {}).get("requests") or {}})


def _used(pods: Iterable[Json], resource: str) -> float:
    return sum(_asked(pod, resource) for pod in pods)


def _asked(pod: Json, resource: str) -> float:
    """What the scheduler counts: the containers and sidecars together, or the largest init container."""
    spec = pod.get("spec") or {}
    steady = sum(_request(c, resource) for c in spec.get("containers") or [])
    first = 0.0
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            steady += _request(container, resource)
        else:
            first = max(first, _request(container, resource))
    return max(steady, first) + quantity((spec.get("overhead") or {}).get(resource, 0))


def _request(container: Json, resource: str) -> float:
    return quantity(((container.get("resources") or {}).get("requests") or {}).get(resource, 0))


def _labels(pod: Json) -> Mapping[str, str]:
    found: Mapping[str, str] = (pod.get("metadata") or {}).get("labels") or {}
    return found


def _uid(pod: Json) -> str:
    return str((pod.get("metadata") or {}).get("uid") or "")
