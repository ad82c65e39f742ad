"""What a drain would meet: budgets that block it, pods that go at once, pods that fit nowhere else. Pure.

The scheduler decides in the end; what is looked at here is what keeps pods from nodes most often: taints, nodeSelector,
required node affinity, required anti-affinity, CPU, memory, the number of pods and host ports. Volumes are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rollcheck.kube.drain import ENDED, full_name, name_of, namespace_of

Json = dict[str, Any]

_SUFFIXES = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip


def quantity(text: object) -> float:
    """A Kubernetes quantity as a number; 0 for what is none."""
    raw = str(text).strip()
    digits = raw.rstrip("KMGTPEkmnui")
    try:
        return float(digits) * _SUFFIXES[raw[len(digits) :]]
    except (ValueError, KeyError):
        pass
    try:
        return float(raw)
    except ValueError:
        return 0.0


def selects(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector picks these labels; an empty one picks all, none at all picks nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_meets(rule, labels) for rule in selector.get("matchExpressions") or [])


def _meets(rule: Json, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(str(rule.get("key"))), rule.get("values") or []
    match rule.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and quantity(value) > quantity(values[0])
        case "Lt":
            return value is not None and quantity(value) < quantity(values[0])
    return True


def budgets_of(pod: Json, budgets: Iterable[Json]) -> list[Json]:
    """The PodDisruptionBudgets that cover a pod."""
    labels = (pod.get("metadata") or {}).get("labels") or {}
    return [
        budget
        for budget in budgets
        if namespace_of(budget) == namespace_of(pod) and selects((budget.get("spec") or {}).get("selector"), labels)
    ]


def budget_sentences(node: str, evicted: Sequence[Json], budgets: Sequence[Json]) -> list[str]:
    """Which evictions would block on which budget, and which would not."""
    found = []
    covered: dict[str, list[str]] = {}
    for pod in evicted:
        own = budgets_of(pod, budgets)
        if len(own) > 1:
            names = " and ".join(sorted(name_of(b) for b in own))
            found.append(
                f"pod {name_of(pod)} is covered by more than one budget ({names}): the API server refuses its eviction "
                "with 500"
            )
        for budget in own:
            covered.setdefault(full_name(budget), []).append(name_of(pod))
    return [*found, *(_budget_sentence(node, b, covered[full_name(b)]) for b in budgets if full_name(b) in covered)]


def _budget_sentence(node: str, budget: Json, pods: Sequence[str]) -> str:
    status = budget.get("status") or {}
    allowed, name = int(status.get("disruptionsAllowed") or 0), name_of(budget)
    healthy, wanted = int(status.get("currentHealthy") or 0), int(status.get("desiredHealthy") or 0)
    expected, listed = int(status.get("expectedPods") or 0), ", ".join(pods)
    if not allowed:
        ever = f": it wants all of its {expected} pods" if expected and wanted >= expected else ""
        return (
            f"budget {name} allows no disruption now (it needs {wanted} healthy pods and has {healthy}): the "
            f"eviction of {listed} would block{ever or ' until it does'}"
        )
    if allowed < len(pods):
        return (
            f"budget {name} allows {allowed} at a time: of its {len(pods)} pods on {node} ({listed}) each further one "
            "would wait until a replacement is ready elsewhere"
        )
    return f"budget {name} allows the eviction of {listed} at once ({allowed} allowed)"


def placements(evicted: Iterable[Json], nodes: Sequence[Json], pods: Iterable[Json]) -> list[str]:
    """Which of the evicted pods would fit on no other node, one placed after the other, and why not."""
    on: dict[str, list[Json]] = {name_of(node): [] for node in nodes}
    for pod in pods:
        if (pod.get("status") or {}).get("phase") not in ENDED:
            on.get(str((pod.get("spec") or {}).get("nodeName") or ""), []).append(pod)
    found = []
    for pod in evicted:
        reasons = {name_of(node): why_not(pod, node, on[name_of(node)]) for node in nodes}
        free = next((name for name, reason in reasons.items() if not reason), None)
        if free is not None:
            on[free].append(pod)
            continue
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or "there is no other node"
        found.append(f"a replacement of pod {name_of(pod)} fits on no other node ({why})")
    return found


def why_not(pod: Json, node: Json, there: Sequence[Json]) -> str:
    """Why a pod cannot be placed on a node that holds these; empty when nothing of what is looked at keeps it off."""
    spec, labels = pod.get("spec") or {}, (node.get("metadata") or {}).get("labels") or {}
    for taint in (node.get("spec") or {}).get("taints") or []:
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not _tolerated(taint, spec.get("tolerations") or []):
            return f"taint {taint.get('key')}"
    for key, value in (spec.get("nodeSelector") or {}).items():
        if labels.get(key) != value:
            return f"nodeSelector {key}={value}"
    if not _affine(spec, node, labels):
        return "its node affinity"
    if _repelled(pod, labels, there):
        return "its anti-affinity to pods there"
    taken = _host_ports(there)
    if busy := _host_ports([pod]) & taken:
        return f"host port {min(busy)} is taken"
    return _too_little(pod, node, there)


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
    wanted = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not wanted:
        return True
    fields = {"metadata.name": name_of(node)}
    return any(
        all(_meets(rule, labels) for rule in term.get("matchExpressions") or [])
        and all(_meets(rule, fields) for rule in term.get("matchFields") or [])
        for term in wanted.get("nodeSelectorTerms") or []
        if term.get("matchExpressions") or term.get("matchFields")
    )


def _repelled(pod: Json, labels: Mapping[str, str], there: Iterable[Json]) -> bool:
    """By required anti-affinity over host names, its own and that of the pods there; wider zones are not looked at."""
    there = list(there)
    own = (pod.get("metadata") or {}).get("labels") or {}
    for other in there:
        theirs = (other.get("metadata") or {}).get("labels") or {}
        if any(_repels(rule, pod, other, theirs, labels) for rule in _anti(pod)):
            return True
        if any(_repels(rule, other, pod, own, labels) for rule in _anti(other)):
            return True
    return False


def _anti(pod: Json) -> list[Json]:
    affinity = ((pod.get("spec") or {}).get("affinity") or {}).get("podAntiAffinity") or {}
    return list(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or [])


def _repels(rule: Json, owner: Json, other: Json, labels: Mapping[str, str], node: Mapping[str, str]) -> bool:
    spaces = rule.get("namespaces") or [namespace_of(owner)]
    within = rule.get("topologyKey") == "kubernetes.io/hostname" or rule.get("topologyKey") in node
    return within and namespace_of(other) in spaces and selects(rule.get("labelSelector"), labels)


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
    for resource in ("cpu", "memory", "ephemeral-storage"):
        asked = _asked(pod, resource)
        if asked and resource in room and _used(there, resource) + asked > quantity(room[resource]):
            return f"too little {resource}"
    return ""


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
