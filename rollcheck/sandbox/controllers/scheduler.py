"""The scheduler: a node for every pod that has none, or a sentence why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import ClassVar

from rollcheck.sandbox import selectors
from rollcheck.sandbox.controllers import conditions, fitting
from rollcheck.sandbox.controllers.base import Controller, Handler
from rollcheck.sandbox.controllers.fitting import Needs
from rollcheck.sandbox.controllers.objects import (
    controller_of,
    generation_of,
    is_deleting,
    key_of,
    labels_of,
    status_of,
)
from rollcheck.sandbox.controllers.pods import is_terminal, node_of
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.events import reference
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import EVENTS, NODES, PODS, Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, name_of, namespace_of, uid_of

NAME = "default-scheduler"
RETRY_S = 300.0
ALIKE = ("ReplicaSet", "StatefulSet", "Job")
NOTE_LIMIT = 1024


class Scheduler(Controller):
    """Binds pods to nodes, one at a time.

    What was said to one pod of an owner is said to the next of its kind until something changes: of 10,000 replicas the
    most find no node.
    """

    component = NAME
    manager: ClassVar[str] = "kube-scheduler"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._waiting: set[Key] = set()
        self._verdicts: dict[str, str] = {}
        self._needs: dict[str, tuple[object, Needs]] = {}
        self._told: dict[tuple[str, str], tuple[str, str]] = {}

    def watched(self) -> Mapping[Resource, Handler]:
        """Pods that have no node, and whatever may make room for those that found none."""
        return {PODS: self._pod_changed, NODES: self._node_changed}

    def _pod_changed(self, change: Change) -> None:
        pod, key = change.object, key_of(change.object)
        if change.type != "DELETED" and not node_of(pod):
            if change.previous is None or _asks(change.previous) != _asks(pod):
                self.queue.add(key)
            return
        self._waiting.discard(key)
        if change.type == "DELETED":
            self._needs.pop(uid_of(pod), None)
            self._told.pop((uid_of(pod), "FailedScheduling"), None)
        had_room = change.previous is not None and not is_terminal(change.previous) and node_of(change.previous)
        if had_room:
            self._verdicts.clear()
        if had_room and (change.type == "DELETED" or is_terminal(pod)):
            self._retry_all()

    def _node_changed(self, change: Change) -> None:
        before, after = change.previous, change.object
        if change.type != "MODIFIED" or before is None or _offers(before) != _offers(after):
            self._verdicts.clear()
            self._retry_all()

    def _needs_of(self, pod: Json) -> Needs:
        """What the pod asks for, worked out once for every spec."""
        spec, uid = pod["spec"], uid_of(pod)
        known = self._needs.get(uid)
        if known is None or known[0] is not spec:
            known = self._needs[uid] = spec, fitting.needs_of(pod)
        return known[1]

    def _retry_all(self) -> None:
        for key in sorted(self._waiting):
            self.queue.add(key)

    async def reconcile(self, key: Key) -> None:
        """Bind the pod to the best node that will do; say so when none will."""
        pod = self.registry.peek(PODS, *key)
        if pod is None or node_of(pod) or is_deleting(pod) or is_terminal(pod) or not _is_ours(pod):
            self._waiting.discard(key)
            return
        owner = _owner_of_likes(pod)
        known = self._verdicts.get(owner)
        if known is not None:
            if not _says(pod, known):
                self._refuse(key, pod, known)
            return
        places = fitting.places_of(self.registry.list(NODES), self.registry.list(PODS), self._needs_of)
        refusals = {name: fitting.refusal(pod, place, places, _matches) for name, place in places.items()}
        fitting_places = [place for name, place in places.items() if refusals[name] is None]
        node = fitting.best(pod, fitting_places, _like(pod))
        if node is None:
            why = fitting.explain({n: r for n, r in refusals.items() if r is not None})
            if owner:
                self._verdicts[owner] = why
            self._refuse(key, pod, why)
            return
        self.registry.bind(key[0], key[1], node)
        self._verdicts.clear()
        self._waiting.discard(key)
        text = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
        self._tell(pod, "Normal", "Scheduled", "Binding", text)

    def _refuse(self, key: Key, pod: Json, why: str) -> None:
        self._waiting.add(key)
        self.queue.add_after(key, RETRY_S)
        self._tell(pod, "Warning", "FailedScheduling", "Scheduling", why)
        stamp = self.registry.clock.stamp()

        def change(copy: Json) -> None:
            status = copy.setdefault("status", {})
            before = conditions.find(status.get("conditions"), "PodScheduled")
            condition = conditions.new_condition("PodScheduled", "False", "Unschedulable", why, stamp)
            condition["lastProbeTime"] = None
            condition["observedGeneration"] = generation_of(copy)
            if before is not None and before.get("status") == "False":
                condition["lastTransitionTime"] = before.get("lastTransitionTime")
            rest = [c for c in status.get("conditions") or () if c.get("type") != "PodScheduled"]
            status["conditions"] = [*rest, condition]

        self.registry.modify(PODS, *key, change, subresource="status", manager=self.manager)

    def _tell(self, pod: Json, kind: str, reason: str, action: str, text: str) -> None:
        """An event as the scheduler writes them, of events.k8s.io: counted in a series, not in `count`."""
        told = (pod["metadata"]["uid"], reason)
        before = self._told.get(told)
        try:
            if before is not None and self.registry.peek(EVENTS, *before) is not None:
                self.registry.modify(EVENTS, *before, self._again)
                return
            event = self._event(pod, kind, reason, action, text)
            self.registry.create(EVENTS, namespace_of(pod), event)
            if reason == "FailedScheduling":
                self._told[told] = (namespace_of(pod), event["metadata"]["name"])
            else:
                self._told.pop((told[0], "FailedScheduling"), None)
        except ApiFailure:
            return  # an event is best effort: its namespace may be going away

    def _again(self, event: Json) -> None:
        count = int((event.get("series") or {}).get("count") or 1) + 1
        event["series"] = {"count": count, "lastObservedTime": self.registry.clock.micro()}

    def _event(self, pod: Json, kind: str, reason: str, action: str, text: str) -> Json:
        now = self.registry.clock.now()
        number = int(now.timestamp() * 1e6) * 1000 + self.registry.version() % 1000
        return {
            "metadata": {"name": f"{name_of(pod)}.{number:x}", "namespace": namespace_of(pod)},
            "involvedObject": reference(pod),
            "reason": reason,
            "message": text if len(text) <= NOTE_LIMIT else f"{text[: NOTE_LIMIT - 4]} ...",
            "source": {},
            "firstTimestamp": None,
            "lastTimestamp": None,
            "type": kind,
            "eventTime": self.registry.clock.micro(),
            "action": action,
            "reportingComponent": NAME,
            "reportingInstance": f"{NAME}-sandbox",
        }


def _is_ours(pod: Json) -> bool:
    spec = pod["spec"]
    return spec.get("schedulerName", NAME) == NAME and not spec.get("schedulingGates")


def _owner_of_likes(pod: Json) -> str:
    """The uid of the owner all of whose pods ask for the same; empty for a pod that may be one of a kind."""
    owner = controller_of(pod)
    return str(owner["uid"]) if owner is not None and owner["kind"] in ALIKE else ""


def _says(pod: Json, why: str) -> bool:
    """Whether the pod tells already that it found no node for this reason."""
    condition = conditions.find(status_of(pod).get("conditions"), "PodScheduled")
    return condition is not None and condition.get("message") == why


def _asks(pod: Json) -> tuple[object, object]:
    return pod["spec"], labels_of(pod)


def _offers(node: Json) -> tuple[object, ...]:
    spec = node.get("spec") or {}
    return spec.get("taints"), spec.get("unschedulable"), labels_of(node), status_of(node).get("allocatable")


def _like(pod: Json) -> fitting.IsLike:
    """Whether another pod is of the same owner: what the spread over nodes counts."""
    owner = controller_of(pod)

    def same_owner(other: Json) -> bool:
        return owner is not None and (controller_of(other) or {}).get("uid") == owner["uid"]

    return same_owner


def _matches(selector: Mapping[str, object], labels: Mapping[str, str]) -> bool:
    return _compiled(selectors.text_of(dict(selector))).matches(labels)


@lru_cache(maxsize=256)
def _compiled(text: str) -> selectors.Selector:
    return selectors.parse(text)
