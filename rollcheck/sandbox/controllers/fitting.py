"""Where a pod may run: what the scheduler asks of every node, and its words when none will do.

Kubernetes' filters in their order, with their reasons (`pkg/scheduler/framework/plugins`): unschedulable, taints, node
selector and affinity, host ports, room for pods, cpu and memory, topology spread, pod affinity and anti-affinity. Left
out: volumes, devices, preemption, and every preference but that for nodes and the spread of like pods. Pure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from rollcheck.sandbox import quantities
from rollcheck.sandbox.controllers.objects import is_deleting, labels_of, status_of
from rollcheck.sandbox.controllers.pods import is_terminal, node_of
from rollcheck.sandbox.trees import Json, name_of, namespace_of

Matches = Callable[[Mapping[str, object], Mapping[str, str]], bool]
IsLike = Callable[[Json], bool]

UNSCHEDULABLE_TAINT = "node.kubernetes.io/unschedulable"
POD_ROOM = 110
NO_CLAIMS = "no new claims to deallocate"


@dataclass(frozen=True, slots=True)
class Needs:
    """What a pod asks a node to set aside: thousandths of a cpu, and bytes."""

    cpu_m: int = 0
    memory: int = 0


@dataclass(slots=True)
class Place:
    """A node and what runs there.

    Attributes:
        node: the Node.
        pods: the pods on it that have not ended.
        shy: those of them that want others elsewhere.
        cpu_m: thousandths of a cpu that they ask for together.
        memory: bytes that they ask for together.
    """

    node: Json
    pods: list[Json] = field(default_factory=list)
    shy: list[Json] = field(default_factory=list)
    cpu_m: int = 0
    memory: int = 0

    def add(self, pod: Json, needs: Needs) -> None:
        """Count one more pod here."""
        self.pods.append(pod)
        self.cpu_m += needs.cpu_m
        self.memory += needs.memory
        if "podAntiAffinity" in (pod["spec"].get("affinity") or ()):
            self.shy.append(pod)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node will not do, and whether it still would not if other pods were put off it."""

    reasons: tuple[str, ...]
    final: bool


def places_of(
    nodes: Iterable[Json], pods: Iterable[Json], needs: Callable[[Json], Needs] | None = None
) -> dict[str, Place]:
    """Every node with the pods that take room there; `needs` may know faster than `needs_of` what they ask for."""
    needs = needs or needs_of
    places = {name_of(node): Place(node) for node in nodes}
    for pod in pods:
        place = places.get(node_of(pod))
        if place is not None and not is_terminal(pod):
            place.add(pod, needs(pod))
    return places


def needs_of(pod: Json) -> Needs:
    """The pod's requests: its containers and sidecars together, or the largest of its init containers."""
    spec = pod["spec"]
    total = [_requests(c) for c in spec.get("containers") or ()]
    largest = Needs()
    for container in spec.get("initContainers") or ():
        needs = _requests(container)
        if container.get("restartPolicy") == "Always":
            total.append(needs)
        else:
            largest = Needs(max(largest.cpu_m, needs.cpu_m), max(largest.memory, needs.memory))
    return Needs(
        max(sum(n.cpu_m for n in total), largest.cpu_m),
        max(sum(n.memory for n in total), largest.memory),
    )


def refusal(pod: Json, place: Place, places: Mapping[str, Place], matches: Matches) -> Refusal | None:
    """Why the pod may not run there; None where it may."""
    needs, node = needs_of(pod), place.node
    spec = node.get("spec") or {}
    if spec.get("unschedulable") and not tolerates(pod, {"key": UNSCHEDULABLE_TAINT, "effect": "NoSchedule"}):
        return Refusal(("node(s) were unschedulable",), final=True)
    taint = untolerated(pod, spec.get("taints") or (), ("NoSchedule", "NoExecute"))
    if taint is not None:
        shown = f"{{{taint.get('key', '')}: {taint.get('value') or ''}}}"
        return Refusal((f"node(s) had untolerated taint {shown}",), final=True)
    if not fits_affinity(pod, node):
        return Refusal(("node(s) didn't match Pod's node affinity/selector",), final=True)
    if _host_ports(pod) & {port for other in place.pods for port in _host_ports(other)}:
        return Refusal(("node(s) didn't have free ports for the requested pod ports",), final=False)
    short = _short_of(needs, place)
    if short:
        return short
    return _spread_refusal(pod, place, places, matches) or _affinity_refusal(pod, place, places, matches)


def untolerated(pod: Json, taints: Iterable[Json], effects: tuple[str, ...]) -> Json | None:
    """The first taint of these effects that the pod does not tolerate."""
    for taint in taints:
        if taint.get("effect") in effects and not tolerates(pod, taint):
            return taint
    return None


def tolerates(pod: Json, taint: Json) -> bool:
    """Whether the pod tolerates the taint, for a time at least."""
    return toleration_of(pod, taint) is not None


def toleration_of(pod: Json, taint: Json) -> Json | None:
    """The toleration of the pod that covers the taint; None where none does."""
    for toleration in pod["spec"].get("tolerations") or ():
        key, effect = toleration.get("key"), toleration.get("effect")
        if (effect and effect != taint.get("effect")) or (key and key != taint.get("key")):
            continue
        same = bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")
        if toleration.get("operator") == "Exists" or same:
            return dict(toleration)
    return None


def fits_affinity(pod: Json, node: Json) -> bool:
    """Whether the node has what the pod's nodeSelector and required node affinity ask for."""
    labels = labels_of(node)
    spec = pod["spec"]
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not affinity:
        return True
    return any(_term_fits(term, node) for term in affinity.get("nodeSelectorTerms") or ())


def explain(refusals: Mapping[str, Refusal]) -> str:
    """The scheduler's sentence when no node will do."""
    count = len(refusals)
    if count == 0:
        return "no nodes available to schedule pods"
    reasons = Counter(reason for refused in refusals.values() for reason in refused.reasons)
    text = ", ".join(sorted(f"{number} {reason}" for reason, number in reasons.items()))
    hopeless = sum(1 for refused in refusals.values() if refused.final)
    preemption = Counter({"Preemption is not helpful for scheduling": hopeless})
    preemption["No preemption victims found for incoming pod"] = count - hopeless
    outlook = ", ".join(sorted(f"{number} {reason}" for reason, number in preemption.items() if number))
    head = f"0/{count} nodes are available:"
    return f"{head} {text}. {NO_CLAIMS}, preemption: {head} {outlook}."


def best(pod: Json, candidates: Iterable[Place], is_like: IsLike) -> str | None:
    """The node that the pod prefers, then the one with the fewest like pods, the fewest pods, the first by name.

    NodeAffinity's score counts as much as the spread's and is whole for the node preferred most: that one wins
    whatever runs there already. None of no candidates.
    """

    def cost(place: Place) -> tuple[int, int, int, str]:
        like = sum(1 for other in place.pods if is_like(other) and namespace_of(other) == namespace_of(pod))
        return -_preference(pod, place.node), like, len(place.pods), name_of(place.node)

    return min((cost(place) for place in candidates), default=(0, 0, 0, None))[3]


def _preference(pod: Json, node: Json) -> int:
    """The weights of the pod's preferred node affinity that the node has earned."""
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return sum(int(each["weight"]) for each in preferred if _term_fits(each["preference"], node))


def _requests(container: Json) -> Needs:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return Needs(_amount(asked.get("cpu"), 1000), _amount(asked.get("memory"), 1))


def _amount(text: object, scale: int) -> int:
    """An amount in whole units; what cannot be read, which a node may tell of itself, is nothing."""
    try:
        return 0 if text is None else math.ceil(quantities.parse(str(text)) * scale)
    except quantities.NotAQuantity:
        return 0


def _short_of(needs: Needs, place: Place) -> Refusal | None:
    room = status_of(place.node).get("allocatable") or {}
    short: list[str] = []
    if len(place.pods) + 1 > _amount(room.get("pods", POD_ROOM), 1):
        short.append("Too many pods")
    lacks_for_good = False
    for resource, asked, used, scale in (
        ("cpu", needs.cpu_m, place.cpu_m, 1000),
        ("memory", needs.memory, place.memory, 1),
    ):
        if resource not in room or asked == 0:
            continue
        whole = _amount(room[resource], scale)
        if asked > whole - used:
            short.append(f"Insufficient {resource}")
            lacks_for_good |= asked > whole
    return Refusal(tuple(short), final=lacks_for_good) if short else None


def _term_fits(term: Json, node: Json) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    labels = labels_of(node)
    return all(_says(e, labels.get(e["key"])) for e in expressions) and all(_says(f, name_of(node)) for f in fields)


def _says(expression: Json, value: str | None) -> bool:
    operator, values = expression["operator"], expression.get("values") or ()
    if operator == "In":
        return value in values
    if operator == "NotIn":
        return value not in values
    if operator == "Exists":
        return value is not None
    if operator == "DoesNotExist":
        return value is None
    if value is None or not value.lstrip("-").isdecimal() or not values:
        return False
    return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])


def _host_ports(pod: Json) -> set[tuple[str, int]]:
    return {
        (port.get("protocol") or "TCP", int(port["hostPort"]))
        for container in pod["spec"].get("containers") or ()
        for port in container.get("ports") or ()
        if port.get("hostPort")
    }


def _domains(key: str, places: Mapping[str, Place]) -> dict[str, list[Json]]:
    """The pods in every zone, rack or node that the topology key tells apart."""
    domains: dict[str, list[Json]] = {}
    for place in places.values():
        value = labels_of(place.node).get(key)
        if value is not None:
            domains.setdefault(value, []).extend(place.pods)
    return domains


def _spread_refusal(pod: Json, place: Place, places: Mapping[str, Place], matches: Matches) -> Refusal | None:
    for rule in pod["spec"].get("topologySpreadConstraints") or ():
        if rule.get("whenUnsatisfiable") != "DoNotSchedule":
            continue
        key, selector = rule["topologyKey"], rule.get("labelSelector") or {}
        here = labels_of(place.node).get(key)
        if here is None:
            text = "node(s) didn't match pod topology spread constraints (missing required label)"
            return Refusal((text,), final=True)
        eligible = {name: p for name, p in places.items() if _is_counted(rule, pod, p.node)}
        counts = {
            domain: sum(1 for other in pods if not is_deleting(other) and _is_like(other, pod, selector, matches))
            for domain, pods in _domains(key, eligible).items()
        }
        itself = 1 if matches(selector, labels_of(pod)) else 0
        if counts.get(here, 0) + itself - min(counts.values(), default=0) > int(rule["maxSkew"]):
            return Refusal(("node(s) didn't match pod topology spread constraints",), final=False)
    return None


def _is_counted(rule: Json, pod: Json, node: Json) -> bool:
    """Whether the spread takes in a node: by default one that the pod selects, whatever its taints."""
    if rule.get("nodeAffinityPolicy") != "Ignore" and not fits_affinity(pod, node):
        return False
    taints = (node.get("spec") or {}).get("taints") or ()
    return rule.get("nodeTaintsPolicy") != "Honor" or untolerated(pod, taints, ("NoSchedule", "NoExecute")) is None


def _affinity_refusal(pod: Json, place: Place, places: Mapping[str, Place], matches: Matches) -> Refusal | None:
    if not all(_has_company(term, pod, place, places, matches) for term in _terms(pod, "podAffinity")):
        return Refusal(("node(s) didn't match pod affinity rules",), final=True)
    if any(_near(term, pod, place, places, matches) for term in _terms(pod, "podAntiAffinity")):
        return Refusal(("node(s) didn't match pod anti-affinity rules",), final=False)
    for other_place in places.values():
        for other in other_place.shy:
            for term in _terms(other, "podAntiAffinity"):
                key = term["topologyKey"]
                together = labels_of(other_place.node).get(key) == labels_of(place.node).get(key, object())
                if together and _is_like(pod, other, term.get("labelSelector") or {}, matches):
                    text = "node(s) didn't satisfy existing pods anti-affinity rules"
                    return Refusal((text,), final=False)
    return None


def _terms(pod: Json, kind: str) -> list[Json]:
    affinity = (pod["spec"].get("affinity") or {}).get(kind) or {}
    return list(affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ())


def _near(term: Json, pod: Json, place: Place, places: Mapping[str, Place], matches: Matches) -> bool:
    here = labels_of(place.node).get(term["topologyKey"])
    if here is None:
        return False
    selector = term.get("labelSelector") or {}
    return any(_is_like(o, pod, selector, matches) for o in _domains(term["topologyKey"], places).get(here, ()))


def _has_company(term: Json, pod: Json, place: Place, places: Mapping[str, Place], matches: Matches) -> bool:
    """Near a pod the term selects; the first of a group that selects itself may go anywhere."""
    if _near(term, pod, place, places, matches):
        return True
    selector = term.get("labelSelector") or {}
    everywhere = [other for p in places.values() for other in p.pods]
    alone = not any(_is_like(other, pod, selector, matches) for other in everywhere)
    has_key = term["topologyKey"] in labels_of(place.node)
    return alone and has_key and matches(selector, labels_of(pod))


def _is_like(other: Json, pod: Json, selector: Mapping[str, object], matches: Matches) -> bool:
    return namespace_of(other) == namespace_of(pod) and matches(selector, labels_of(other))
