"""The EndpointSlice controller: every Service's slices show its pods as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rollcheck.sandbox.controllers import endpoints
from rollcheck.sandbox.controllers.base import Controller, Handler, namespace_is_ending
from rollcheck.sandbox.controllers.endpoints import Candidate
from rollcheck.sandbox.controllers.objects import (
    annotations_of,
    has_condition,
    is_deleting,
    key_of,
    labels_of,
    spec_of,
    status_of,
)
from rollcheck.sandbox.controllers.pods import is_ready, is_terminal, node_of
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES, Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, name_of, namespace_of

ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True)
class Sketch:
    """What was made of a pod at the last look; it holds while the pod is the same object.

    Attributes:
        pod: the pod.
        endpoint: it as an endpoint; None where it is none.
        since: when its readiness last changed, RFC 3339; empty where it never had any.
    """

    pod: Json
    endpoint: Candidate | None
    since: str


@dataclass(frozen=True, slots=True)
class Memory:
    """A Service at the last look: it, the zones of nodes, and its pods by name."""

    service: Json
    zones: dict[str, str]
    sketches: dict[str, Sketch]


class EndpointSliceController(Controller):
    """Keeps EndpointSlices in step with pods.

    Attributes:
        shared: whether pods share an address and tell their ports by an annotation.
    """

    component = "endpoint-slice-controller"

    def __init__(self, registry: Registry, *, shared: bool = False) -> None:
        super().__init__(registry)
        self.shared = shared
        self._memories: dict[Key, Memory] = {}

    def watched(self) -> Mapping[Resource, Handler]:
        """Services, pods as far as endpoints show them, nodes, and slices that somebody else changed."""
        return {
            SERVICES: self.wake,
            PODS: self._pod_changed,
            NODES: self._node_changed,
            ENDPOINT_SLICES: self._slice_changed,
        }

    def _pod_changed(self, change: Change) -> None:
        for service in services_that_show(self.registry, change):
            self.queue.add(key_of(service))

    def _node_changed(self, change: Change) -> None:
        before, after = change.previous, change.object
        if (
            change.type == "MODIFIED"
            and before is not None
            and labels_of(before).get(ZONE) == labels_of(after).get(ZONE)
        ):
            return
        for service in self.registry.list(SERVICES):
            self.queue.add(key_of(service))

    def _slice_changed(self, change: Change) -> None:
        labels = labels_of(change.object)
        if labels.get(endpoints.MANAGED_BY) == endpoints.MANAGER_NAME and labels.get(endpoints.SERVICE_NAME):
            self.queue.add((namespace_of(change.object), labels[endpoints.SERVICE_NAME]))

    async def reconcile(self, key: Key) -> None:
        """Create, update and delete slices until they show the Service's pods."""
        service = self.registry.peek(SERVICES, *key)
        if service is None:
            self._memories.pop(key, None)
            return
        if service["spec"].get("type") == "ExternalName" or not service["spec"].get("selector"):
            return
        selector = service["spec"]["selector"].items()
        pods = [pod for pod in self.registry.list(PODS, key[0]) if selector <= labels_of(pod).items()]
        self.rest(key, len(pods))
        before = self._memories.get(key)
        now = self._memories[key] = self._look(service, pods, before)
        candidates = [sketch.endpoint for sketch in now.sketches.values() if sketch.endpoint is not None]
        plan = endpoints.plan_slices(service, candidates, self._slices(service))
        trigger = _trigger(before, now)
        try:
            self._carry_out(service, plan, trigger)
        except ApiFailure as failure:
            if not namespace_is_ending(failure):
                raise

    def _look(self, service: Json, pods: list[Json], before: Memory | None) -> Memory:
        """The pods as endpoints; what was made of a pod that has not changed since is taken from the last look."""
        zones = {name_of(node): labels_of(node).get(ZONE, "") for node in self.registry.list(NODES)}
        holds = before is not None and before.service is service and before.zones == zones
        known = before.sketches if before is not None and holds else {}
        made: dict[str, Sketch] = {}
        for pod in pods:
            name = pod["metadata"]["name"]
            sketch = known.get(name)
            if sketch is None or sketch.pod is not pod:
                endpoint = endpoints.candidate(pod, service, zones, shared=self.shared)
                sketch = Sketch(pod, endpoint, _readiness_time(pod))
            made[name] = sketch
        return Memory(service, zones, made)

    def _slices(self, service: Json) -> list[Json]:
        return [
            piece
            for piece in self.registry.list(ENDPOINT_SLICES, namespace_of(service))
            if labels_of(piece).get(endpoints.SERVICE_NAME) == name_of(service)
            and labels_of(piece).get(endpoints.MANAGED_BY) == endpoints.MANAGER_NAME
            and not is_deleting(piece)
        ]

    def _carry_out(self, service: Json, plan: endpoints.Plan, trigger: str) -> None:
        namespace = namespace_of(service)
        for piece in plan.create:
            self.registry.create(ENDPOINT_SLICES, namespace, _triggered(piece, trigger), manager=self.manager)
        for piece in plan.update:
            self.registry.update(ENDPOINT_SLICES, _triggered(piece, trigger), manager=self.manager)
        for name in plan.delete:
            self.registry.delete(ENDPOINT_SLICES, namespace, name)


def _trigger(before: Memory | None, now: Memory) -> str:
    """The earliest change that the slices have not shown yet, RFC 3339; empty where there is none."""
    born = str(now.service["metadata"]["creationTimestamp"])
    if before is None:
        return born
    shown = before.sketches
    changed = [
        sketch.since
        for name, sketch in now.sketches.items()
        if shown.get(name) is not sketch and sketch.since > (shown[name].since if name in shown else "")
    ]
    if born > str(before.service["metadata"]["creationTimestamp"]):
        changed.append(born)
    return min(changed, default="")


def _triggered(piece: Json, trigger: str) -> Json:
    """The slice with the time of the change that it shows, or without where there is none."""
    notes = {key: value for key, value in annotations_of(piece).items() if key != endpoints.TRIGGER_TIME}
    if trigger:
        notes[endpoints.TRIGGER_TIME] = trigger
    meta = {key: value for key, value in piece["metadata"].items() if key != "annotations"}
    return {**piece, "metadata": {**meta, "annotations": notes} if notes else meta}


def _readiness_time(pod: Json) -> str:
    condition = has_condition(status_of(pod), "Ready")
    return str(condition.get("lastTransitionTime") or "") if condition is not None else ""


def services_that_show(registry: Registry, change: Change) -> Iterator[Json]:
    """The Services whose endpoints a pod's change may alter: those that select it as it is, or as it was."""
    before, after = change.previous, change.object
    if change.type == "MODIFIED" and before is not None and sight(before) == sight(after):
        return
    labels = [labels_of(pod) for pod in (before, after) if pod is not None]
    for service in registry.list(SERVICES, namespace_of(after)):
        selector = (spec_of(service).get("selector") or {}).items()
        if selector and any(selector <= each.items() for each in labels):
            yield service


def sight(pod: Json) -> tuple[object, ...]:
    """What of a pod an endpoint shows, or decides whether it is one."""
    status, spec = status_of(pod), pod["spec"]
    return (
        labels_of(pod),
        is_deleting(pod),
        is_ready(pod),
        is_terminal(pod),
        status.get("podIPs") or status.get("podIP"),
        node_of(pod),
        spec.get("hostname"),
        annotations_of(pod).get(endpoints.REAL_PORTS),
    )
