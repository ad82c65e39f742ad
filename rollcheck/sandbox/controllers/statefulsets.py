"""The StatefulSet controller: pods with names that stay, one after the other unless told otherwise.

The steps are those of `pkg/controller/statefulset/stateful_set_control.go`: replicas from the lowest number up, then
those too many from the highest down, then the update from the highest down to the partition; OrderedReady stops at the
first that is not as it should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import trio

from rollcheck.sandbox.controllers import revisions
from rollcheck.sandbox.controllers import stateful_pods as stateful
from rollcheck.sandbox.controllers.base import Controller, Handler
from rollcheck.sandbox.controllers.deployment_status import size_of
from rollcheck.sandbox.controllers.objects import controller_ref, is_deleting, status_of
from rollcheck.sandbox.controllers.pods import available_in, is_available, is_ready, is_terminal, phase_of
from rollcheck.sandbox.controllers.stateful_pods import is_created, is_missing, ordinal_of, revision_of
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.resources import PODS, PVCS, STATEFUL_SETS, Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.trees import Json, name_of, namespace_of, uid_of


@dataclass(slots=True)
class Crew:
    """A StatefulSet's pods while it is looked at.

    Attributes:
        owner: the StatefulSet.
        current: the revision its pods had before the present update.
        update: the revision of its present template.
        replicas: one pod a number, planned ones where there is none yet.
        condemned: the pods past the last number, highest first.
    """

    owner: Json
    current: Json
    update: Json
    replicas: list[Json]
    condemned: list[Json]

    @property
    def wait(self) -> int:
        """MinReadySeconds."""
        return int(self.owner["spec"].get("minReadySeconds") or 0)


class StatefulSetController(Controller):
    """Keeps StatefulSets in order."""

    component = "statefulset-controller"

    def watched(self) -> Mapping[Resource, Handler]:
        """StatefulSets and pods."""
        return {
            STATEFUL_SETS: self.wake,
            PODS: self.wake_selecting(STATEFUL_SETS, self.wake_owner_of_pod("StatefulSet")),
        }

    async def reconcile(self, key: Key) -> None:
        """As many steps as the StatefulSet's order allows; then the status."""
        owner = self.registry.peek(STATEFUL_SETS, *key)
        if owner is None:
            return
        claimed = self.claim(PODS, owner, controller_ref(owner, "apps/v1", "StatefulSet"))
        pods = [pod for pod in claimed if ordinal_of(pod, owner) >= 0]
        update, history, collisions = revisions.ensure(self.registry, owner, "StatefulSet")
        present = status_of(owner).get("currentRevision")
        current = next((revision for revision in history if name_of(revision) == present), update)
        crew = self._crew(owner, pods, current, update)
        names = name_of(current), name_of(update)
        status = stateful.calculate(owner, pods, *names, collisions, self.now())
        failure: ApiFailure | None = None
        if not is_deleting(owner):
            try:
                deleted = await self._advance(crew)
            except ApiFailure as refused:
                failure, deleted = refused, 0
            status = stateful.calculate(owner, [*crew.replicas, *crew.condemned], *names, collisions, self.now())
            status["currentReplicas"] -= deleted
        status = stateful.completed(owner, status)
        if status != status_of(owner):
            self.set_status(STATEFUL_SETS, owner, status)
        revisions.truncate(self.registry, owner, history, {*names, *(revision_of(pod) for pod in pods)})
        again = available_in(pods, crew.wait, self.now())
        if again is not None:
            self.queue.add_after(key, again)
        if failure is not None:
            raise failure

    def _crew(self, owner: Json, pods: list[Json], current: Json, update: Json) -> Crew:
        first, count = stateful.first_ordinal(owner), size_of(owner)
        by_number = {ordinal_of(pod, owner): pod for pod in pods}
        replicas = [
            by_number.pop(number) if number in by_number else self._planned(owner, current, update, number)
            for number in range(first, first + count)
        ]
        condemned = [by_number[number] for number in sorted(by_number, reverse=True)]
        return Crew(owner, current, update, replicas, condemned)

    def _planned(self, owner: Json, current: Json, update: Json, number: int) -> Json:
        strategy = owner["spec"].get("updateStrategy") or {}
        kept = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
        if "rollingUpdate" not in strategy and strategy.get("type") != stateful.ON_DELETE:
            kept = int(status_of(owner).get("currentReplicas") or 0)
        source = current if number < stateful.first_ordinal(owner) + kept else update
        return stateful.new_pod(owner, revisions.template_of(source), name_of(source), number)

    async def _advance(self, crew: Crew) -> int:
        """Do what may be done now; how many pods of the present revision the update deleted (none or one)."""
        in_order = not stateful.is_parallel(crew.owner)
        weakest = self._weakest(crew)
        for pod in crew.replicas:
            stop = self._tend(crew, pod, in_order=in_order)
            if stop and in_order:
                return 0
            await trio.lowlevel.checkpoint()
        for pod in crew.condemned:
            stop = self._dismiss(crew, pod, weakest, in_order=in_order)
            if stop and in_order:
                return 0
            await trio.lowlevel.checkpoint()
        return self._update(crew)

    def _weakest(self, crew: Crew) -> Json | None:
        """The first pod that is unavailable, which in a scale-down may go although those above it still stand."""
        for pod in (*crew.replicas, *reversed(crew.condemned)):
            if is_missing(pod, crew.wait, self.now()):
                return pod
        return None

    def _tend(self, crew: Crew, pod: Json, *, in_order: bool) -> bool:
        """Make one replica as it should be; whether an ordered StatefulSet has to wait for it."""
        if is_terminal(pod):
            if not is_deleting(pod):
                self._delete(crew.owner, pod)
            return True
        if not is_created(pod):
            self._create(crew.owner, pod)
            return True
        if phase_of(pod) == "Pending":
            self._create_claims(crew.owner, pod)
        if is_deleting(pod) or not (phase_of(pod) == "Running" and is_ready(pod)):
            return in_order
        return in_order and not is_available(pod, crew.wait, self.now())

    def _dismiss(self, crew: Crew, pod: Json, weakest: Json | None, *, in_order: bool) -> bool:
        """Delete one pod that is too many; whether an ordered StatefulSet has to wait for it."""
        if is_deleting(pod):
            return True
        if in_order and pod is not weakest and not is_available(pod, crew.wait, self.now()):
            return True
        self._delete(crew.owner, pod)
        return True

    def _update(self, crew: Crew) -> int:
        if (crew.owner["spec"].get("updateStrategy") or {}).get("type") == stateful.ON_DELETE:
            return 0
        for pod in reversed(crew.replicas[stateful.partition_of(crew.owner) :]):
            if revision_of(pod) != name_of(crew.update) and not is_deleting(pod):
                self._delete(crew.owner, pod)
                return 1
            if is_missing(pod, crew.wait, self.now()):
                return 0
        return 0

    def _create(self, owner: Json, pod: Json) -> None:
        self._create_claims(owner, pod)
        try:
            self.registry.create(PODS, namespace_of(owner), pod, manager=self.manager)
        except ApiFailure as failure:
            self._tell(owner, "create", pod, failure)
            raise
        self._tell(owner, "create", pod, None)

    def _delete(self, owner: Json, pod: Json) -> None:
        try:
            self.registry.delete(PODS, namespace_of(pod), name_of(pod), uid=uid_of(pod))
        except ApiFailure as failure:
            if failure.code == 404:
                return
            self._tell(owner, "delete", pod, failure)
            raise
        self._tell(owner, "delete", pod, None)

    def _create_claims(self, owner: Json, pod: Json) -> None:
        for claim in stateful.claims(owner, ordinal_of(pod, owner)):
            if self.registry.peek(PVCS, namespace_of(owner), name_of(claim)) is None:
                self.registry.create(PVCS, namespace_of(owner), claim, manager=self.manager)
                where = f"Pod {name_of(pod)} in StatefulSet {name_of(owner)}"
                self.events.emit(owner, "Normal", "SuccessfulCreate", f"create Claim {name_of(claim)} {where} success")

    def _tell(self, owner: Json, verb: str, pod: Json, failure: ApiFailure | None) -> None:
        what = f"{verb} Pod {name_of(pod)} in StatefulSet {name_of(owner)}"
        if failure is None:
            self.events.emit(owner, "Normal", f"Successful{verb.title()}", f"{what} successful")
        else:
            text = f"{what} failed error: {failure.message}"
            self.events.emit(owner, "Warning", f"Failed{verb.title()}", text)
