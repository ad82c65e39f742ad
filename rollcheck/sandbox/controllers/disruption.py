"""The disruption controller: what every PodDisruptionBudget allows now."""

from __future__ import annotations

from collections.abc import Mapping

from rollcheck.sandbox.controllers import budgets, conditions
from rollcheck.sandbox.controllers.base import Controller, Handler, TryLater, chooser
from rollcheck.sandbox.controllers.deployment_status import size_of
from rollcheck.sandbox.controllers.objects import controller_of, generation_of, key_of, labels_of, spec_of, status_of
from rollcheck.sandbox.controllers.pods import vital_signs
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.resources import DEPLOYMENTS, PDBS, PODS, REPLICA_SETS, STATEFUL_SETS, Resource
from rollcheck.sandbox.selectors import text_of
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, name_of, namespace_of


class DisruptionController(Controller):
    """Keeps the status of PodDisruptionBudgets."""

    component = "controllermanager"

    def watched(self) -> Mapping[Resource, Handler]:
        """Budgets, pods, and the workloads whose size they are about."""
        return {
            PDBS: self.wake,
            PODS: self._pod_changed,
            DEPLOYMENTS: self._workload_changed,
            STATEFUL_SETS: self._workload_changed,
            REPLICA_SETS: self._workload_changed,
        }

    def _pod_changed(self, change: Change) -> None:
        before = change.previous
        if change.type == "MODIFIED" and before is not None and vital_signs(before) == vital_signs(change.object):
            return
        sights = [labels_of(pod) for pod in (change.previous, change.object) if pod is not None]
        for budget in self.registry.list(PDBS, namespace_of(change.object)):
            if any(map(chooser(spec_of(budget).get("selector")), sights)):
                self.queue.add(key_of(budget))

    def _workload_changed(self, change: Change) -> None:
        before, after = change.previous, change.object
        if change.type == "MODIFIED" and before is not None and size_of(before) == size_of(after):
            return
        labels = labels_of(after["spec"].get("template") or {"metadata": {}})
        for budget in self.registry.list(PDBS, namespace_of(after)):
            if chooser(spec_of(budget).get("selector"))(labels):
                self.queue.add(key_of(budget))

    async def reconcile(self, key: Key) -> None:
        """Count, and write what may go."""
        budget = self.registry.peek(PDBS, *key)
        if budget is None:
            return
        selects = chooser(spec_of(budget).get("selector"))
        pods = [pod for pod in self.registry.list(PODS, key[0]) if selects(labels_of(pod))]
        self.rest(key, len(pods))
        if not pods:
            self.events.emit(budget, "Normal", "NoPods", "No matching pods found")
        try:
            expected = self._expected(budget, pods)
            desired = budgets.desired_healthy(spec_of(budget), expected)
        except (ValueError, TryLater) as trouble:
            text = f"Failed to calculate the number of expected pods: {trouble}"
            self.events.emit(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            self._fail_safe(budget, str(trouble))
            return
        self._write(key, budget, pods, expected, desired)

    def _write(self, key: Key, budget: Json, pods: list[Json], expected: int, desired: int) -> None:
        now, before = self.now(), status_of(budget)
        disrupted, stale, again = budgets.still_disrupted(pods, before.get("disruptedPods") or {}, now)
        for pod in stale:
            where = f"{namespace_of(budget)}/{namespace_of(budget)}"  # sic: Kubernetes names the namespace twice
            text = f"Pod was expected by PDB {where} to be deleted but it wasn't"
            self.events.emit(pod, "Warning", "NotDeleted", text)
        counted = budgets.Budget(expected, desired, budgets.healthy(pods, disrupted, now))
        generation, listed = generation_of(budget), before.get("conditions")
        condition = budgets.condition(
            counted.allowed, generation, self.registry.clock.stamp(), conditions.find(listed, budgets.ALLOWED)
        )
        others = [c for c in listed or () if c.get("type") != budgets.ALLOWED]
        status: Json = {
            "observedGeneration": generation,
            "disruptionsAllowed": counted.allowed,
            "currentHealthy": counted.healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "conditions": [*others, condition],
        }
        if disrupted:
            status["disruptedPods"] = disrupted
        if status != before:
            self._replace_status(budget, status)
        if again is not None:
            self.queue.add_after(key, again)

    def _fail_safe(self, budget: Json, why: str) -> None:
        """Allow nothing while the count is not known."""
        before = status_of(budget)
        failed = conditions.new_condition(budgets.ALLOWED, "False", "SyncFailed", why, self.registry.clock.stamp())
        failed["observedGeneration"] = int(before.get("observedGeneration") or 0)
        status = {**before, "disruptionsAllowed": 0, "conditions": conditions.put(before.get("conditions"), failed)}
        if status != before:
            self._replace_status(budget, status)

    def _replace_status(self, budget: Json, status: Json) -> None:
        """Write over the budget as it was read: an eviction that came in between must not be forgotten.

        Raises:
            ApiFailure: 409 where one did; the budget is counted anew.
        """
        self.registry.update(PDBS, {**budget, "status": status}, subresource="status", manager=self.manager)

    def _expected(self, budget: Json, pods: list[Json]) -> int:
        if not budgets.needs_scale(spec_of(budget)):
            return len(pods)
        scales: dict[str, int] = {}
        unmanaged: list[str] = []
        for pod in pods:
            owner = controller_of(pod)
            if owner is None:
                unmanaged.append(name_of(pod))
            elif owner["uid"] not in scales:
                uid, size = self._scale_of(pod, owner)
                scales[owner["uid"]] = 0  # its own entry, so that the next pod of the same ReplicaSet is quick
                scales[uid] = size
        if unmanaged:
            self.events.emit(budget, "Warning", "UnmanagedPods", _unmanaged(budget))
        return sum(scales.values())

    def _scale_of(self, pod: Json, owner: Json) -> tuple[str, int]:
        """(uid, size) of the workload above a pod: the Deployment above its ReplicaSet."""
        resource = {"ReplicaSet": REPLICA_SETS, "StatefulSet": STATEFUL_SETS}.get(owner["kind"])
        found = self.registry.peek(resource, namespace_of(pod), owner["name"]) if resource is not None else None
        if found is None or found["metadata"]["uid"] != owner["uid"]:
            raise TryLater(f'found no controllers for pod "{name_of(pod)}"')
        above = controller_of(found)
        if above is not None and above["kind"] == "Deployment":
            deployment = self.registry.peek(DEPLOYMENTS, namespace_of(pod), above["name"])
            if deployment is not None and deployment["metadata"]["uid"] == above["uid"]:
                return str(above["uid"]), size_of(deployment)
        return str(owner["uid"]), size_of(found)


def _unmanaged(budget: Json) -> str:
    return (
        f"Pods selected by this PodDisruptionBudget (selector: {text_of(budget['spec'].get('selector'))}) were found "
        "to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in "
        'undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer '
        "value."
    )
