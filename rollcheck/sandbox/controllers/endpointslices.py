"""The EndpointSlice controller: every Service's slices show its pods as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rollcheck.sandbox.controllers import endpoints
from rollcheck.sandbox.controllers.base import Controller, Handler, namespace_is_ending
from rollcheck.sandbox.controllers.endpoints import Candidate
from rollcheck.sandbox.controllers.objects import (
    annotations_of,
    has_condition,
    is_deleting,
    key_of,
    labels_of,
    status_of,
)
from rollcheck.sandbox.controllers.pods import is_ready, is_terminal, node_of
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES, Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, clone, name_of, namespace_of

ZONE = "topology.kubernetes.io/zone"


@dataclass(slots=True)
class Triggers:
    """The times at which a Service and its pods were last seen to change; RFC 3339, which sorts as text."""

    service: str = ""
    pods: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sketches:
    """What was made of every pod of a Service at the last look; it holds while both are the same objects."""

    service: Json
    zones: dict[str, str]
    made: dict[str, tuple[Json, Candidate | None]]


class EndpointSliceController(Controller):
    """Keeps EndpointSlices in step with pods.

    Attributes:
        shared: whether pods share an address and tell their ports by an annotation.
    """

    component = "endpoint-slice-controller"

    def __init__(self, registry: Registry, *, shared: bool = False) -> None:
        super().__init__(registry)
        self.shared = shared
        self._triggers: dict[Key, Triggers] = {}
        self._sketches: dict[Key, Sketches] = {}

    def watched(self) -> Mapping[Resource, Handler]:
        """Services, pods as far as endpoints show them, nodes, and slices that somebody else changed."""
        return {
            SERVICES: self.wake,
            PODS: self._pod_changed,
            NODES: self._node_changed,
            ENDPOINT_SLICES: self._slice_changed,
        }

    def _pod_changed(self, change: Change) -> None:
        before, after = change.previous, change.object
        if change.type == "MODIFIED" and before is not None and _sight(before) == _sight(after):
            return
        labels = [labels_of(pod) for pod in (before, after) if pod is not None]
        for service in self.registry.list(SERVICES, namespace_of(after)):
            selector = (service["spec"].get("selector") or {}).items()
            if selector and any(selector <= each.items() for each in labels):
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
            self._triggers.pop(key, None)
            self._sketches.pop(key, None)
            return
        if service["spec"].get("type") == "ExternalName" or not service["spec"].get("selector"):
            return
        selector = service["spec"]["selector"].items()
        pods = [pod for pod in self.registry.list(PODS, key[0]) if selector <= labels_of(pod).items()]
        plan = endpoints.plan_slices(service, self._candidates(key, service, pods), self._slices(service))
        trigger = self._trigger(key, service, pods)
        try:
            self._carry_out(service, plan, trigger)
        except ApiFailure as failure:
            if not namespace_is_ending(failure):
                raise

    def _candidates(self, key: Key, service: Json, pods: list[Json]) -> list[Candidate]:
        """The pods as endpoints; what was made of a pod that has not changed since is taken from the last look."""
        zones = {name_of(node): labels_of(node).get(ZONE, "") for node in self.registry.list(NODES)}
        before = self._sketches.get(key)
        known = before.made if before is not None and before.service is service and before.zones == zones else {}
        made: dict[str, tuple[Json, Candidate | None]] = {}
        for pod in pods:
            sketch = known.get(name_of(pod))
            if sketch is None or sketch[0] is not pod:
                sketch = pod, endpoints.candidate(pod, service, zones, shared=self.shared)
            made[name_of(pod)] = sketch
        self._sketches[key] = Sketches(service, zones, made)
        return [found for _, found in made.values() if found is not None]

    def _slices(self, service: Json) -> list[Json]:
        return [
            piece
            for piece in self.registry.list(ENDPOINT_SLICES, namespace_of(service))
            if labels_of(piece).get(endpoints.SERVICE_NAME) == name_of(service)
            and labels_of(piece).get(endpoints.MANAGED_BY) == endpoints.MANAGER_NAME
            and not is_deleting(piece)
        ]

    def _trigger(self, key: Key, service: Json, pods: list[Json]) -> str:
        """The earliest change that these slices have not shown yet; empty where there is none."""
        times = {name_of(pod): _readiness_time(pod) for pod in pods}
        born = str(service["metadata"]["creationTimestamp"])
        before = self._triggers.get(key)
        self._triggers[key] = Triggers(born, {name: time for name, time in times.items() if time})
        if before is None:
            return born
        changed = [time for name, time in times.items() if time > before.pods.get(name, "")]
        if born > before.service:
            changed.append(born)
        return min(changed, default="")

    def _carry_out(self, service: Json, plan: endpoints.Plan, trigger: str) -> None:
        namespace = namespace_of(service)
        for piece in plan.create:
            self.registry.create(ENDPOINT_SLICES, namespace, _triggered(piece, trigger), manager=self.manager)
        for piece in plan.update:
            self.registry.update(ENDPOINT_SLICES, _triggered(piece, trigger), manager=self.manager)
        for name in plan.delete:
            self.registry.delete(ENDPOINT_SLICES, namespace, name)


def _triggered(piece: Json, trigger: str) -> Json:
    copy: Json = clone(piece)
    notes = {key: value for key, value in annotations_of(copy).items() if key != endpoints.TRIGGER_TIME}
    if trigger:
        notes[endpoints.TRIGGER_TIME] = trigger
    if notes:
        copy["metadata"]["annotations"] = notes
    else:
        copy["metadata"].pop("annotations", None)
    return copy


def _readiness_time(pod: Json) -> str:
    condition = has_condition(status_of(pod), "Ready")
    return str(condition.get("lastTransitionTime") or "") if condition is not None else ""


def _sight(pod: Json) -> tuple[object, ...]:
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
