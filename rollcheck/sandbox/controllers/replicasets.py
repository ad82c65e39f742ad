"""The ReplicaSet controller: as many active pods as asked for."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from rollcheck.sandbox.controllers import conditions
from rollcheck.sandbox.controllers.base import BURST, Controller, Handler, in_batches
from rollcheck.sandbox.controllers.deployment_status import REPLICA_FAILURE, size_of
from rollcheck.sandbox.controllers.objects import (
    controller_of,
    controller_ref,
    generation_of,
    is_deleting,
    labels_of,
    status_of,
    without_condition,
)
from rollcheck.sandbox.controllers.pods import available_in, from_template, is_active, is_available, is_ready
from rollcheck.sandbox.controllers.victims import victims
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.resources import PODS, REPLICA_SETS, Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.trees import Json, namespace_of, uid_of


class ReplicaSetController(Controller):
    """Makes and deletes pods until there are as many as a ReplicaSet asks for."""

    component = "replicaset-controller"

    def watched(self) -> Mapping[Resource, Handler]:
        """ReplicaSets and pods."""
        return {
            REPLICA_SETS: self.wake,
            PODS: self.wake_selecting(REPLICA_SETS, self.wake_owner_of_pod("ReplicaSet")),
        }

    async def reconcile(self, key: Key) -> None:
        """Make or delete what is missing or too many; then the status."""
        owner = self.registry.peek(REPLICA_SETS, *key)
        if owner is None:
            return
        owner_ref = controller_ref(owner, "apps/v1", "ReplicaSet")
        active = [pod for pod in self.claim(PODS, owner, owner_ref) if is_active(pod)]
        failure = None
        if not is_deleting(owner):
            try:
                await self._manage(owner, owner_ref, active)
            except ApiFailure as refused:
                failure = refused
        # As in Kubernetes the status tells of the pods there were before this look; what it made comes with the next.
        self._write_status(key, active, failure)
        self.rest(key, len(active))
        if failure is not None:
            raise failure

    async def _manage(self, owner: Json, owner_ref: Json, active: list[Json]) -> None:
        too_many = len(active) - size_of(owner)
        if too_many < 0:
            template = owner["spec"].get("template") or {}

            def create() -> None:
                self.create_pod(owner, from_template(template, owner, owner_ref))

            await in_batches([create] * -too_many)
        elif too_many > 0:
            chosen = victims(active, min(too_many, BURST), self._related(owner), self.now())
            await self._delete(owner, chosen)

    async def _delete(self, owner: Json, chosen: list[Json]) -> None:
        failures: list[ApiFailure] = []
        for pod in chosen:
            try:
                self.delete_pod(owner, pod)
            except ApiFailure as refused:
                failures.append(refused)
            await trio.lowlevel.checkpoint()
        if failures:
            raise failures[0]

    def _related(self, owner: Json) -> list[Json]:
        """The pods of all ReplicaSets of the same Deployment: who crowds a node counts them."""
        above = controller_of(owner)
        uids = {uid_of(owner)}
        if above is not None:
            for piece in self.registry.list(REPLICA_SETS, namespace_of(owner)):
                if (controller_of(piece) or {}).get("uid") == above["uid"]:
                    uids.add(uid_of(piece))
        pods = self.registry.list(PODS, namespace_of(owner))
        return [pod for pod in pods if (controller_of(pod) or {}).get("uid") in uids]

    def _write_status(self, key: Key, active: list[Json], failure: ApiFailure | None) -> None:
        owner = self.registry.peek(REPLICA_SETS, *key)
        if owner is None:
            return
        wait, now = int(owner["spec"].get("minReadySeconds") or 0), self.now()
        status = calculate(owner, active, [pod for pod in active if is_available(pod, wait, now)])
        status["conditions"] = self._conditions(owner, len(active), failure)
        if not status["conditions"]:
            del status["conditions"]
        if status != status_of(owner):
            self.set_status(REPLICA_SETS, owner, status)
        again = available_in(active, wait, now)
        if again is not None:
            self.queue.add_after(key, again)

    def _conditions(self, owner: Json, active: int, failure: ApiFailure | None) -> list[Json]:
        before = status_of(owner).get("conditions")
        if failure is None:
            return without_condition(before, REPLICA_FAILURE)
        if conditions.find(before, REPLICA_FAILURE) is not None:
            return list(before or ())
        reason = "FailedCreate" if active < size_of(owner) else "FailedDelete"
        stamp = self.registry.clock.stamp()
        return conditions.put(before, conditions.new_condition(REPLICA_FAILURE, "True", reason, failure.message, stamp))


def calculate(owner: Json, active: list[Json], available: list[Json]) -> Json:
    """The counts of a ReplicaSet's status; what is nothing is left out, `replicas` never."""
    wanted = ((owner["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
    labelled = [pod for pod in active if wanted.items() <= labels_of(pod).items()]
    counts = {
        "fullyLabeledReplicas": len(labelled),
        "readyReplicas": sum(1 for pod in active if is_ready(pod)),
        "availableReplicas": len(available),
        "observedGeneration": generation_of(owner),
    }
    return {"replicas": len(active), **{field: number for field, number in counts.items() if number}}
