"""The life of a Node: taints that follow from its state, and the pods of a node that nobody hears of any more.

A cordoned node gets the taint `unschedulable`; one whose kubelet says it is not ready, or says nothing for 50 s, gets
`not-ready` or `unreachable`. Pods that do not tolerate a NoExecute taint are deleted, at once or when their toleration
is over (300 s by default), and carry the condition DisruptionTarget. Pods bound to a node that is gone are removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from rollcheck.sandbox.controllers import conditions
from rollcheck.sandbox.controllers.base import Controller, Handler
from rollcheck.sandbox.controllers.fitting import UNSCHEDULABLE_TAINT, toleration_of
from rollcheck.sandbox.controllers.objects import generation_of, is_deleting, parse_time, status_of
from rollcheck.sandbox.controllers.pods import is_terminal, node_of
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import LEASES, NODES, PODS, Resource
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, name_of, namespace_of, uid_of

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
OURS = (NOT_READY, UNREACHABLE, UNSCHEDULABLE_TAINT)
GRACE_S = 50.0
LOOK_S = 5.0
QUARANTINE_S = 40.0
LEASE_NAMESPACE = "kube-node-lease"
SILENT = "Kubelet stopped posting node status."


class NodeController(Controller):
    """Watches over Nodes. Its keys are ("", node)."""

    component = "node-controller"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._gone: dict[str, datetime] = {}
        self._heard: dict[str, tuple[tuple[object, object], float]] = {}

    def watched(self) -> Mapping[Resource, Handler]:
        """Nodes, and pods as they are bound."""
        return {NODES: self._node_changed, PODS: self._pod_changed}

    def _node_changed(self, change: Change) -> None:
        self.queue.add(("", name_of(change.object)))
        if change.type == "ADDED":
            name = name_of(change.object)
            text = f"Node {name} event: Registered Node {name} in Controller"
            self.events.emit(change.object, "Normal", "RegisteredNode", text)

    def _pod_changed(self, change: Change) -> None:
        pod = change.object
        if change.type != "DELETED" and node_of(pod) and (change.previous is None or not node_of(change.previous)):
            self.queue.add(("", node_of(pod)))

    async def reconcile(self, key: Key) -> None:
        """See to one Node."""
        node = self.registry.peek(NODES, None, key[1])
        if node is None:
            self._remove_pods(key)
            return
        self._gone.pop(key[1], None)
        if self._is_silent(node):
            node = self._call_unknown(node)
        node = self._set_taints(node)
        self._evict(key, node)
        self.queue.add_after(key, LOOK_S)

    def _is_silent(self, node: Json) -> bool:
        """Whether its kubelet has renewed neither its Lease nor its status for too long.

        Measured from when a renewal was seen, on the clock that stands still while the machine sleeps: a laptop that
        wakes up finds its nodes as it left them.
        """
        ready = conditions.find(status_of(node).get("conditions"), "Ready")
        if ready is None or ready.get("status") == "Unknown":
            return False
        lease = self.registry.peek(LEASES, LEASE_NAMESPACE, name_of(node))
        beat = ready.get("lastHeartbeatTime"), (lease or {}).get("spec", {}).get("renewTime")
        now = self.registry.clock.monotonic()
        heard = self._heard.get(name_of(node))
        if heard is None or heard[0] != beat:
            heard = self._heard[name_of(node)] = beat, now
        return beat != (None, None) and now - heard[1] > GRACE_S

    def _call_unknown(self, node: Json) -> Json:
        stamp = self.registry.clock.stamp()

        def change(copy: Json) -> None:
            for condition in copy["status"]["conditions"]:
                condition.update(status="Unknown", reason="NodeStatusUnknown", message=SILENT, lastTransitionTime=stamp)

        node = self.registry.modify(NODES, None, name_of(node), change, subresource="status", manager=self.manager)
        self.events.emit(node, "Normal", "NodeNotReady", f"Node {name_of(node)} status is now: NodeNotReady")
        for pod in self._pods(name_of(node)):
            self._call_not_ready(pod, stamp)
        return node

    def _call_not_ready(self, pod: Json, stamp: str) -> None:
        """A pod of a silent node serves nobody that is known of: its endpoint is taken away."""

        def change(copy: Json) -> None:
            for condition in status_of(copy).get("conditions") or ():
                if condition["type"] == "Ready" and condition["status"] == "True":
                    condition.update(status="False", lastTransitionTime=stamp)

        self.registry.modify(PODS, namespace_of(pod), name_of(pod), change, subresource="status", manager=self.manager)

    def _set_taints(self, node: Json) -> Json:
        spec = node.get("spec") or {}
        wanted = _wanted_taints(node)
        before = [taint for taint in spec.get("taints") or () if taint.get("key") in OURS]
        kept = [taint for taint in spec.get("taints") or () if taint.get("key") not in OURS]
        if {(t["key"], t["effect"]) for t in before} == {(t["key"], t["effect"]) for t in wanted}:
            return node
        stamp = self.registry.clock.stamp()
        since = {(t["key"], t["effect"]): t.get("timeAdded", stamp) for t in before}
        taints = [*kept, *({**t, "timeAdded": since.get((t["key"], t["effect"]), stamp)} for t in wanted)]

        def change(copy: Json) -> None:
            if taints:
                copy["spec"]["taints"] = taints
            else:
                copy["spec"].pop("taints", None)

        return self.registry.modify(NODES, None, name_of(node), change, manager=self.manager)

    def _evict(self, key: Key, node: Json) -> None:
        """Delete the pods that do not, or no longer, tolerate its NoExecute taints."""
        taints = [t for t in (node.get("spec") or {}).get("taints") or () if t.get("effect") == "NoExecute"]
        if not taints:
            return
        now = self.now()
        for pod in self._pods(name_of(node)):
            left = min((_time_left(pod, taint, now) for taint in taints), default=float("inf"))
            if left <= 0:
                self._delete(pod)
            elif left != float("inf"):
                self.queue.add_after(key, left)

    def _delete(self, pod: Json) -> None:
        place = namespace_of(pod), name_of(pod)
        self.events.emit(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {place[0]}/{place[1]}")
        self._note_disruption(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint", "")
        self.registry.delete(PODS, *place, uid=uid_of(pod))

    def _note_disruption(self, pod: Json, reason: str, text: str, phase: str) -> None:
        """Say on the pod why it is to go, and in which phase it ends where nobody else will say so."""
        stamp = self.registry.clock.stamp()
        condition = conditions.new_condition("DisruptionTarget", "True", reason, text, stamp)
        condition["observedGeneration"] = generation_of(pod)

        def change(copy: Json) -> None:
            status = copy.setdefault("status", {})
            status["conditions"] = conditions.put(status.get("conditions"), condition)
            if phase and not is_terminal(copy):
                status["phase"] = phase

        place = namespace_of(pod), name_of(pod)
        self.registry.modify(PODS, *place, change, subresource="status", manager=self.manager)

    def _remove_pods(self, key: Key) -> None:
        """Remove what is bound to a node that is gone, once it has been so for a while: nobody else would."""
        pods = self.registry.list(PODS, fields=f"spec.nodeName={key[1]}")
        if not pods:
            self._gone.pop(key[1], None)
            return
        since = self._gone.setdefault(key[1], self.now())
        left = (since + timedelta(seconds=QUARANTINE_S) - self.now()).total_seconds()
        if left > 0:
            self.queue.add_after(key, left)
            return
        for pod in pods:
            self._note_disruption(pod, "DeletionByPodGC", "PodGC: node no longer exists", "Failed")
            self.registry.delete(PODS, namespace_of(pod), name_of(pod), grace=0, uid=uid_of(pod))

    def _pods(self, node: str) -> list[Json]:
        pods = self.registry.list(PODS, fields=f"spec.nodeName={node}")
        return [pod for pod in pods if not is_terminal(pod) and not is_deleting(pod)]


def _wanted_taints(node: Json) -> list[Json]:
    taints: list[Json] = []
    if (node.get("spec") or {}).get("unschedulable"):
        taints.append({"key": UNSCHEDULABLE_TAINT, "effect": "NoSchedule"})
    ready = conditions.find(status_of(node).get("conditions"), "Ready")
    if ready is None or ready.get("status") == "True":
        return taints
    key = NOT_READY if ready.get("status") == "False" else UNREACHABLE
    return [*taints, {"key": key, "effect": "NoSchedule"}, {"key": key, "effect": "NoExecute"}]


def _time_left(pod: Json, taint: Json, now: datetime) -> float:
    """Seconds that the pod still tolerates the taint: none, some, or for ever."""
    toleration = toleration_of(pod, taint)
    if toleration is None:
        return 0.0
    seconds, since = toleration.get("tolerationSeconds"), parse_time(taint.get("timeAdded"))
    if seconds is None or since is None:
        return float("inf")
    return (since + timedelta(seconds=max(0, int(seconds))) - now).total_seconds()
