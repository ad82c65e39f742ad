"""The Deployment controller: from one ReplicaSet to the next, as far at a time as the bounds allow.

What a look does follows `pkg/controller/deployment` step by step, because the steps are what a watcher sees: one change
of one ReplicaSet's size, then the status, then the next look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rollcheck.sandbox.controllers import conditions
from rollcheck.sandbox.controllers import deployment_revisions as revisions
from rollcheck.sandbox.controllers import deployment_status as progress
from rollcheck.sandbox.controllers.base import Controller, Handler, namespace_is_ending
from rollcheck.sandbox.controllers.deployment_status import PROGRESSING, Rollout, bounds, size_of
from rollcheck.sandbox.controllers.fenceposts import RECREATE, ROLLING, Generation, new_size, share_out, shrink_old
from rollcheck.sandbox.controllers.objects import (
    annotations_of,
    controller_of,
    controller_ref,
    created_at,
    is_deleting,
    status_of,
)
from rollcheck.sandbox.controllers.pods import is_terminal
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.resources import DEPLOYMENTS, PODS, REPLICA_SETS, Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, clone, name_of, namespace_of, uid_of


class DeploymentController(Controller):
    """Keeps Deployments rolling."""

    component = "deployment-controller"

    def watched(self) -> Mapping[Resource, Handler]:
        """Deployments, their ReplicaSets, and the end of pods, for which Recreate waits."""
        return {
            DEPLOYMENTS: self.wake,
            REPLICA_SETS: self.wake_selecting(DEPLOYMENTS, self.wake_owner("Deployment")),
            PODS: self._pod_changed,
        }

    def _pod_changed(self, change: Change) -> None:
        if change.type != "DELETED" and not is_terminal(change.object):
            return
        owner = controller_of(change.object)
        if owner is None or owner["kind"] != "ReplicaSet":
            return
        piece = self.registry.peek(REPLICA_SETS, namespace_of(change.object), owner["name"])
        above = controller_of(piece) if piece is not None else None
        if above is not None and above["kind"] == "Deployment":
            self.queue.add((namespace_of(change.object), above["name"]))

    async def reconcile(self, key: Key) -> None:
        """One step of the Deployment's rollout."""
        deployment = self.registry.peek(DEPLOYMENTS, *key)
        if deployment is None:
            return
        sets = self.claim(REPLICA_SETS, deployment, controller_ref(deployment, "apps/v1", "Deployment"))
        new = revisions.find_new(deployment, sets)
        old = [piece for piece in progress.by_age(sets) if piece is not new]
        rollout = Rollout(deployment, new, old)
        if is_deleting(deployment):
            self._write_status(rollout, progress.calculate(rollout, self.registry.clock.stamp()))
            return
        self._note_pause(rollout)
        if rollout.deployment["spec"].get("paused"):
            self._resize(rollout)
            return
        self._sync_revision(rollout)
        if _was_scaled(rollout):
            self._resize(rollout)
        elif progress.strategy_of(deployment) == RECREATE:
            self._recreate(rollout)
        else:
            self._roll(rollout)

    # What a rollout does

    def _roll(self, rollout: Rollout) -> None:
        self._ensure_new(rollout)
        if not self._grow_new(rollout) and not self._shrink_old(rollout):
            self._clean_up_when_complete(rollout)
        self._write_progress(rollout)

    def _recreate(self, rollout: Rollout) -> None:
        active = [piece for piece in rollout.old if size_of(piece) > 0]
        for piece in active:
            self._scale(rollout, piece, 0)
        if active or self._old_pods_run(rollout):
            self._write_progress(rollout)
            return
        self._ensure_new(rollout)
        assert rollout.new is not None
        self._scale(rollout, rollout.new, rollout.desired)
        self._clean_up_when_complete(rollout)
        self._write_progress(rollout)

    def _resize(self, rollout: Rollout) -> None:
        """The Deployment was scaled, or is paused: sizes change in proportion, nothing rolls on."""
        self._sync_revision(rollout)
        self._share_out(rollout)
        if rollout.deployment["spec"].get("paused"):
            self._clean_up(rollout)
        self._write_status(rollout, progress.calculate(rollout, self.registry.clock.stamp()))

    def _grow_new(self, rollout: Rollout) -> bool:
        new = rollout.new
        assert new is not None
        if size_of(new) == rollout.desired:
            return False
        if size_of(new) > rollout.desired:
            return self._scale(rollout, new, rollout.desired)
        total = sum(size_of(piece) for piece in rollout.sets)
        return self._scale(rollout, new, new_size(bounds(rollout.deployment), size_of(new), total))

    def _shrink_old(self, rollout: Rollout) -> bool:
        assert rollout.new is not None
        old = [_generation(piece) for piece in rollout.old if size_of(piece) > 0]
        moves = shrink_old(bounds(rollout.deployment), _generation(rollout.new), old)
        for name, size in moves:
            piece = next(p for p in rollout.old if name_of(p) == name)
            self._scale(rollout, piece, size)
        return bool(moves)

    def _share_out(self, rollout: Rollout) -> None:
        active = [piece for piece in rollout.sets if size_of(piece) > 0]
        if len(active) <= 1:
            newest = active[0] if active else rollout.new or (rollout.old[-1] if rollout.old else None)
            if newest is not None and size_of(newest) != rollout.desired:
                self._scale(rollout, newest, rollout.desired)
        elif _is_saturated(rollout):
            for piece in [p for p in rollout.old if size_of(p) > 0]:
                self._scale(rollout, piece, 0)
        elif progress.strategy_of(rollout.deployment) == ROLLING:
            before = int(status_of(rollout.deployment).get("replicas") or 0)
            sizes = share_out(bounds(rollout.deployment), [_generation(piece) for piece in active], before)
            for name, size in sizes.items():
                piece = next(p for p in rollout.sets if name_of(p) == name)
                self._scale(rollout, piece, size, always=True)

    def _scale(self, rollout: Rollout, piece: Json, size: int, *, always: bool = False) -> bool:
        """Give a ReplicaSet its size, with an event; `always` renews its annotations though the size stays."""
        before = size_of(piece)
        if before == size and not always:
            return False

        def change(copy: Json) -> None:
            copy["spec"]["replicas"] = size
            revisions.set_size_annotations(rollout.deployment, copy)

        updated = self.registry.modify(REPLICA_SETS, namespace_of(piece), name_of(piece), change, manager=self.manager)
        rollout.replace(updated)
        if before != size:
            way = "up" if before < size else "down"
            text = f"Scaled {way} replica set {name_of(piece)} from {before} to {size}"
            self.events.emit(rollout.deployment, "Normal", "ScalingReplicaSet", text)
        return before != size

    def _old_pods_run(self, rollout: Rollout) -> bool:
        """Whether a pod of an old ReplicaSet has not ended, terminating ones included."""
        if progress.count(rollout.old, "replicas") > 0:
            return True
        uids = {uid_of(piece) for piece in rollout.old}
        return any(
            (controller_of(pod) or {}).get("uid") in uids and not is_terminal(pod)
            for pod in self.registry.list(PODS, namespace_of(rollout.deployment))
        )

    def _clean_up_when_complete(self, rollout: Rollout) -> None:
        if progress.is_complete(rollout.deployment, status_of(rollout.deployment)):
            self._clean_up(rollout)

    def _clean_up(self, rollout: Rollout) -> None:
        for piece in revisions.outlived(rollout.deployment, rollout.old):
            self.registry.delete(REPLICA_SETS, namespace_of(piece), name_of(piece), uid=uid_of(piece))

    # The new ReplicaSet and its revision

    def _sync_revision(self, rollout: Rollout) -> None:
        """Give the new ReplicaSet, where there is one, its revision; and the Deployment the same."""
        new = rollout.new
        if new is None:
            return
        deployment, number = rollout.deployment, revisions.next_revision(rollout.old)
        wait = deployment["spec"].get("minReadySeconds") or 0

        def change(copy: Json) -> None:
            revisions.set_annotations(deployment, copy, number, exists=True)
            if (copy["spec"].get("minReadySeconds") or 0) != wait:
                copy["spec"]["minReadySeconds"] = wait

        updated = self.registry.modify(REPLICA_SETS, namespace_of(new), name_of(new), change, manager=self.manager)
        rollout.replace(updated)
        first = None
        if conditions.find(status_of(deployment).get("conditions"), PROGRESSING) is None:
            first = self._progress("True", "FoundNewReplicaSet", f'Found new replica set "{name_of(new)}"')
        self._note_revision(rollout, str(revisions.revision_of(updated)), first)

    def _ensure_new(self, rollout: Rollout) -> None:
        """Create the ReplicaSet of the present template where there is none."""
        if rollout.new is not None:
            return
        deployment = rollout.deployment
        wanted = revisions.new_replica_set(deployment, rollout.old)
        try:
            created = self.registry.create(REPLICA_SETS, namespace_of(deployment), wanted, manager=self.manager)
        except ApiFailure as failure:
            rollout.new = self._found_instead(rollout, wanted, failure)
            return
        rollout.new = created
        if size_of(created) > 0:
            text = f"Scaled up replica set {name_of(created)} from 0 to {size_of(created)}"
            self.events.emit(deployment, "Normal", "ScalingReplicaSet", text)
        first = self._progress("True", "NewReplicaSetCreated", f'Created new replica set "{name_of(created)}"')
        self._note_revision(rollout, str(revisions.revision_of(created)), first)

    def _found_instead(self, rollout: Rollout, wanted: Json, failure: ApiFailure) -> Json:
        """What to do when the new ReplicaSet could not be created: it is there, its name is taken, or it is refused."""
        deployment = rollout.deployment
        if failure.code == 409:
            there = self.registry.peek(REPLICA_SETS, namespace_of(deployment), name_of(wanted))
            if there is not None and revisions.is_same_owner_and_template(there, deployment):
                return there
            status = clone(status_of(deployment))
            status["collisionCount"] = int(status.get("collisionCount") or 0) + 1
            self._write_status(rollout, status)
        elif not namespace_is_ending(failure):
            text = f'Failed to create new replica set "{name_of(wanted)}": {failure.message}'
            refused = self._progress("False", "ReplicaSetCreateError", text)
            self._note_revision(rollout, annotations_of(deployment).get(revisions.REVISION, ""), refused)
            self.events.emit(deployment, "Warning", "ReplicaSetCreateError", text)
        raise failure

    def _note_revision(self, rollout: Rollout, revision: str, condition: Json | None) -> None:
        """Write the Deployment's revision and, where it cares about progress, a first condition, in one go."""
        deadline = progress.deadline_of(rollout.deployment)

        def change(copy: Json) -> None:
            if revision:
                copy["metadata"].setdefault("annotations", {})[revisions.REVISION] = revision
            if condition is not None and deadline is not None:
                status = copy.setdefault("status", {})
                status["conditions"] = conditions.put(status.get("conditions"), condition)

        self._modify_status(rollout, change)

    def _note_pause(self, rollout: Rollout) -> None:
        """Say in the status that the Deployment was paused or resumed: a pause is no lack of progress."""
        deployment = rollout.deployment
        current = conditions.find(status_of(deployment).get("conditions"), PROGRESSING)
        reason = current.get("reason") if current is not None else None
        if progress.deadline_of(deployment) is None or reason == "ProgressDeadlineExceeded":
            return
        paused = bool(deployment["spec"].get("paused"))
        if paused and reason != "DeploymentPaused":
            condition = self._progress("Unknown", "DeploymentPaused", "Deployment is paused")
        elif not paused and reason == "DeploymentPaused":
            condition = self._progress("Unknown", "DeploymentResumed", "Deployment is resumed")
        else:
            return

        def change(copy: Json) -> None:
            status = copy.setdefault("status", {})
            status["conditions"] = conditions.put(status.get("conditions"), condition)

        self._modify_status(rollout, change)

    def _progress(self, status: str, reason: str, message: str) -> Json:
        stamp = self.registry.clock.stamp()
        return conditions.new_condition(PROGRESSING, status, reason, message, stamp, updated=True)

    # Status

    def _write_progress(self, rollout: Rollout) -> None:
        now, stamp = self.now(), self.registry.clock.stamp()
        status = progress.with_progress(rollout, progress.calculate(rollout, stamp), now, stamp)
        if status != status_of(rollout.deployment):
            self._write_status(rollout, status)
            return
        again = progress.check_again_in(rollout.deployment, status, now)
        if again is not None:
            self.queue.add_after((namespace_of(rollout.deployment), name_of(rollout.deployment)), again)

    def _write_status(self, rollout: Rollout, status: Json) -> None:
        rollout.deployment = self.set_status(DEPLOYMENTS, rollout.deployment, status)

    def _modify_status(self, rollout: Rollout, change: Callable[[Json], None]) -> None:
        deployment = rollout.deployment
        rollout.deployment = self.registry.modify(
            DEPLOYMENTS,
            namespace_of(deployment),
            name_of(deployment),
            change,
            subresource="status",
            manager=self.manager,
        )


def _generation(piece: Json) -> Generation:
    return Generation(
        name_of(piece),
        size_of(piece),
        int(status_of(piece).get("availableReplicas") or 0),
        created_at(piece),
        revisions.number_noted(piece, revisions.MOST) or 0,
    )


def _was_scaled(rollout: Rollout) -> bool:
    """Whether spec.replicas is not what an active ReplicaSet was last sized for."""
    active = [piece for piece in rollout.sets if size_of(piece) > 0]
    noted = [revisions.number_noted(piece, revisions.DESIRED) for piece in active]
    return any(number is not None and number != rollout.desired for number in noted)


def _is_saturated(rollout: Rollout) -> bool:
    new = rollout.new
    if new is None:
        return False
    available = int(status_of(new).get("availableReplicas") or 0)
    noted = revisions.number_noted(new, revisions.DESIRED)
    return size_of(new) == rollout.desired and noted == rollout.desired and available == rollout.desired
