"""The DaemonSet controller: a pod on every node that should have one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio

from rollcheck.sandbox.controllers import daemon_pods as daemons
from rollcheck.sandbox.controllers import revisions
from rollcheck.sandbox.controllers.base import BURST, Controller, Handler, in_batches
from rollcheck.sandbox.controllers.daemon_pods import Todo, should_run
from rollcheck.sandbox.controllers.hashes import REVISION_HASH
from rollcheck.sandbox.controllers.objects import controller_ref, generation_of, is_deleting, key_of, status_of
from rollcheck.sandbox.controllers.pods import available_in, from_template, phase_of
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import DAEMON_SETS, NODES, PODS, Resource
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, name_of, namespace_of

FAILED_FIRST_S = 1.0
FAILED_MOST_S = 900.0


class DaemonSetController(Controller):
    """Keeps a pod on every node."""

    component = "daemonset-controller"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._failed: dict[tuple[str, str], tuple[int, float]] = {}

    def watched(self) -> Mapping[Resource, Handler]:
        """DaemonSets, pods, and nodes, for which all DaemonSets are looked at."""
        return {
            DAEMON_SETS: self.wake,
            PODS: self.wake_selecting(DAEMON_SETS, self.wake_owner_of_pod("DaemonSet")),
            NODES: self._node_changed,
        }

    def _node_changed(self, change: Change) -> None:
        before, after = change.previous, change.object
        if change.type == "MODIFIED" and before is not None and _place(before) == _place(after):
            return  # heartbeats move nobody
        for owner in self.registry.list(DAEMON_SETS):
            self.queue.add(key_of(owner))

    async def reconcile(self, key: Key) -> None:
        """Pods where they are missing or too many, one step of the update; then the status."""
        owner = self.registry.peek(DAEMON_SETS, *key)
        if owner is None or is_deleting(owner):
            return
        nodes = self.registry.list(NODES)
        current, history, _ = revisions.ensure(self.registry, owner, "DaemonSet")
        digest = revisions.hash_of(current)
        seen = self._by_node(owner)
        await self._carry_out(owner, self._missing_and_surplus(owner, nodes, digest), digest)
        by_node = self._by_node(owner)
        if (owner["spec"].get("updateStrategy") or {}).get("type") != "OnDelete":
            fit = {name_of(node) for node in nodes if should_run(owner, node)[0]}
            everywhere = {**{name: [] for name in fit}, **by_node}
            todo = daemons.plan_update(owner, everywhere, fit, digest, self.now())
            await self._carry_out(owner, todo, digest)
        live = {revisions.hash_of(current)} | {
            pod["metadata"].get("labels", {}).get(REVISION_HASH, "") for pods in by_node.values() for pod in pods
        }
        names = {name_of(revision) for revision in history if revisions.hash_of(revision) in live}
        revisions.truncate(self.registry, owner, history, names)
        # As in Kubernetes the status tells of the pods there were before this look.
        self._write_status(key, digest, nodes, seen)

    def _by_node(self, owner: Json) -> dict[str, list[Json]]:
        by_node: dict[str, list[Json]] = {}
        for pod in self.claim(PODS, owner, controller_ref(owner, "apps/v1", "DaemonSet")):
            by_node.setdefault(daemons.target_of(pod), []).append(pod)
        return by_node

    def _missing_and_surplus(self, owner: Json, nodes: list[Json], digest: str) -> Todo:
        todo, by_node = Todo(), self._by_node(owner)
        for node in nodes:
            pods = by_node.pop(name_of(node), None)
            wanted, may_stay = should_run(owner, node)
            if pods is None:
                if wanted:
                    todo.create.append(name_of(node))
                continue
            living = [pod for pod in pods if not is_deleting(pod)]
            if not may_stay:
                todo.delete.extend(living)
                continue
            running = self._running(owner, name_of(node), living, todo)
            todo.delete.extend(daemons.surplus(owner, running, digest, self.now()))
            if not running and wanted and daemons.allows_surge(owner):
                todo.create.append(name_of(node))
        for pods in by_node.values():  # meant for nodes that are gone
            todo.delete.extend(pod for pod in pods if not pod["spec"].get("nodeName") and not is_deleting(pod))
        return todo

    def _running(self, owner: Json, node: str, pods: list[Json], todo: Todo) -> list[Json]:
        """The pods that have not ended; those that have are to go, failed ones ever later."""
        running: list[Json] = []
        for pod in pods:
            what = f"daemon pod {namespace_of(pod)}/{name_of(pod)} on node {node}"
            if phase_of(pod) == "Succeeded":
                text = f"Found succeeded {what}, will try to delete it"
                self.events.emit(owner, "Normal", "SucceededDaemonPod", text)
                todo.delete.append(pod)
            elif phase_of(pod) != "Failed":
                running.append(pod)
            elif self._may_replace(owner, node):
                text = f"Found failed {what}, will try to kill it"
                self.events.emit(owner, "Warning", "FailedDaemonPod", text)
                todo.delete.append(pod)
        return running

    def _may_replace(self, owner: Json, node: str) -> bool:
        """Whether a failed pod of that node may go now; asks for another look when not."""
        place, now = (owner["metadata"]["uid"], node), trio.current_time()
        failures, since = self._failed.get(place, (0, now))
        wait = min(FAILED_FIRST_S * 2 ** min(failures - 1, 12), FAILED_MOST_S) if failures else 0.0
        if since + wait > now:
            self.queue.add_after(key_of(owner), since + wait - now)
            return False
        self._failed[place] = (failures + 1 if now < since + 2 * wait or not failures else 1, now)
        return True

    async def _carry_out(self, owner: Json, todo: Todo, digest: str) -> None:
        owner_ref = controller_ref(owner, "apps/v1", "DaemonSet")

        def creating(node: str) -> Callable[[], object]:
            template = daemons.template_for(owner, node, digest)
            return lambda: self.create_pod(owner, from_template(template, owner, owner_ref))

        await in_batches([creating(node) for node in todo.create])
        for pod in todo.delete[:BURST]:
            self.delete_pod(owner, pod)
            await trio.lowlevel.checkpoint()

    def _write_status(self, key: Key, digest: str, nodes: list[Json], by_node: dict[str, list[Json]]) -> None:
        owner = self.registry.peek(DAEMON_SETS, *key)
        if owner is None:
            return
        now, before = self.now(), status_of(owner)
        kept = {field: value for field, value in before.items() if field in ("collisionCount", "conditions")}
        counts = daemons.calculate(owner, by_node, nodes, digest, now)
        status: Json = {**counts, "observedGeneration": generation_of(owner), **kept}
        if status != before:
            self.set_status(DAEMON_SETS, owner, status)
        wait = int(owner["spec"].get("minReadySeconds") or 0)
        again = available_in([pod for pods in by_node.values() for pod in pods], wait, now)
        if again is not None:
            self.queue.add_after(key, again)


def _place(node: Json) -> tuple[object, object, object]:
    spec = node.get("spec") or {}
    return spec.get("taints"), spec.get("unschedulable"), node["metadata"].get("labels")
