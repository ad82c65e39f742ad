"""The Job controller: pods until enough have succeeded, or too many failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from rollcheck.sandbox.controllers import conditions, indexes, job_status
from rollcheck.sandbox.controllers.base import BURST, Controller, Handler, in_batches
from rollcheck.sandbox.controllers.objects import controller_of, controller_ref, is_deleting, status_of
from rollcheck.sandbox.controllers.pods import from_template, is_active, is_ready, is_terminating, phase_of
from rollcheck.sandbox.controllers.victims import in_deletion_order
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import JOBS, PODS, Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, clone, name_of, namespace_of, uid_of


@dataclass(slots=True)
class Backoff:
    """Failures since the last success, and when the last one was."""

    failures: int = 0
    last: float = 0.0
    seen: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Look:
    """A Job and its pods while it is looked at.

    Attributes:
        job: as it was last written.
        pods: all its pods.
        status: the status as it will be written.
        end: (kind, reason, message) of the condition that ends it; None while it goes on.
    """

    job: Json
    pods: list[Json]
    status: Json
    end: tuple[str, str, str] | None = None

    @property
    def active(self) -> list[Json]:
        """The pods that run or are about to."""
        return [pod for pod in self.pods if is_active(pod)]


class JobController(Controller):
    """Runs Jobs to their end."""

    component = "job-controller"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._backoffs: dict[str, Backoff] = {}

    def watched(self) -> Mapping[Resource, Handler]:
        """Jobs and pods."""
        return {JOBS: self._job_changed, PODS: self.wake_selecting(JOBS, self.wake_owner_of_pod("Job"))}

    def _job_changed(self, change: Change) -> None:
        self.wake(change)
        if change.type == "DELETED":
            self._backoffs.pop(uid_of(change.object), None)

    async def reconcile(self, key: Key) -> None:
        """Pods as they are needed, those that ended counted, the status."""
        job = self.registry.peek(JOBS, *key)
        self._let_go(self._orphans(key, uid_of(job) if job is not None else ""))
        if job is None:
            return
        pods = self.claim(PODS, job, controller_ref(job, "batch/v1", "Job"))
        if job_status.is_finished(job):
            self._let_go([pod for pod in pods if job_status.is_tracked(pod)])
            self._backoffs.pop(uid_of(job), None)
            self._expire(key, job)
            return
        look = Look(job, pods, clone(status_of(job)))
        if not job_status.is_suspended(job):
            look.status.setdefault("startTime", self.registry.clock.stamp())
        self._note_failures(look)
        failure: ApiFailure | None = None
        try:
            await self._act(look, key)
        except ApiFailure as refused:
            failure = refused
        self._track(look)
        if failure is not None:
            raise failure

    def _expire(self, key: Key, job: Json) -> None:
        """Delete a finished Job once its ttlSecondsAfterFinished is over."""
        left = job_status.expires_in(job, self.now())
        if left is None or is_deleting(job):
            return
        if left > 0:
            self.queue.add_after(key, left)
        else:
            self.registry.delete(JOBS, key[0], key[1], uid=uid_of(job), propagation="Foreground")

    def _orphans(self, key: Key, uid: str) -> list[Json]:
        """Pods that a Job of this name, which is gone, left uncounted: nobody else takes their finalizer off."""
        return [
            pod
            for pod in self.registry.list(PODS, key[0])
            if job_status.is_tracked(pod) and _is_left_by(controller_of(pod), key[1], uid)
        ]

    async def _act(self, look: Look, key: Key) -> None:
        job = look.job
        succeeded, failed = self._succeeded(look), self._failed(look)
        look.end = job_status.ending(look.status)
        if look.end is None:
            why = job_status.why_failed({**job, "status": look.status}, look.pods, failed, self.now())
            look.end = (job_status.FAILURE_TARGET, *why) if why is not None else None
        if look.end is not None:
            await self._remove(look, look.active)
            return
        left = job_status.deadline_in({**job, "status": look.status}, self.now())
        if left is not None:
            self.queue.add_after(key, left)
        if not is_deleting(job):
            await self._adjust(look, key, succeeded)
        if job_status.is_complete(job, len(look.active), succeeded):
            text = "Reached expected number of succeeded pods"
            look.end = (job_status.CRITERIA_MET, "CompletionsReached", text)
        else:
            self._note_suspension(look)

    async def _adjust(self, look: Look, key: Key, succeeded: int) -> None:
        """Make or remove pods until as many run as should."""
        active = look.active
        wanted = job_status.wanted_active(look.job, len(active), succeeded)
        doomed: list[Json] = []
        kept = active
        if job_status.is_indexed(look.job):
            doomed, kept = job_status.duplicates(active, job_status.completions_of(look.job))
        excess = len(active) - wanted - len(doomed)
        if excess > 0:
            doomed = [*doomed, *in_deletion_order(kept)[:excess]]
        if doomed:
            self._let_go(doomed)  # who goes because the Job wants fewer is no failure
            await self._remove(look, doomed)
            return
        missing = wanted - len(active)
        if missing <= 0 or job_status.is_suspended(look.job):
            return
        wait = self._wait(look)
        if wait > 0:
            self.queue.add_after(key, wait)
        else:
            await self._create(look, missing)

    async def _create(self, look: Look, missing: int) -> None:
        job = look.job
        wanted: list[int | None] = [None] * min(missing, BURST)
        if job_status.is_indexed(job):
            completions = job_status.completions_of(job)
            done = indexes.parse_indexes(look.status.get("completedIndexes", ""), completions)
            done |= {i for i in map(indexes.index_of, self._of_phase(look, "Succeeded")) if i is not None}
            active = [indexes.index_of(pod) for pod in look.active]
            wanted = list(indexes.pending_indexes(completions, done, active, len(wanted)))
        owner_ref = controller_ref(job, "batch/v1", "Job")

        def creating(index: int | None) -> Callable[[], None]:
            def create() -> None:
                template, prefix = job_status.pod_template(job, index)
                pod = self.create_pod(job, from_template(template, job, owner_ref, prefix=prefix))
                if pod is not None:
                    look.pods.append(pod)

            return create

        await in_batches([creating(index) for index in wanted])

    async def _remove(self, look: Look, doomed: list[Json]) -> None:
        for pod in doomed[:BURST]:
            self.delete_pod(look.job, pod)
            await trio.lowlevel.checkpoint()
        self._reread(look)

    def _reread(self, look: Look) -> None:
        again = [self.registry.peek(PODS, namespace_of(pod), name_of(pod)) for pod in look.pods]
        look.pods = [pod for pod in again if pod is not None]

    # Counting

    def _of_phase(self, look: Look, phase: str) -> list[Json]:
        return [pod for pod in look.pods if phase_of(pod) == phase and job_status.is_tracked(pod)]

    def _succeeded(self, look: Look) -> int:
        fresh = self._of_phase(look, "Succeeded")
        if job_status.is_indexed(look.job):
            completions = job_status.completions_of(look.job)
            done = indexes.parse_indexes(look.status.get("completedIndexes", ""), completions)
            found = {index for index in map(indexes.index_of, fresh) if index is not None and index < completions}
            return len(done | found)
        return int(look.status.get("succeeded") or 0) + len(fresh)

    def _failed(self, look: Look) -> int:
        fresh = [pod for pod in look.pods if job_status.is_tracked(pod) and job_status.has_failed(pod)]
        return int(look.status.get("failed") or 0) + len(fresh)

    def _note_failures(self, look: Look) -> None:
        """Remember failures since the last success: the next pod waits the longer for them."""
        backoff = self._backoffs.setdefault(uid_of(look.job), Backoff())
        for pod in look.pods:
            failed, end = job_status.has_failed(pod), job_status.finished_at(pod)
            if uid_of(pod) in backoff.seen or not job_status.is_tracked(pod) or end is None:
                continue
            if failed:
                backoff.failures += 1
                backoff.last = max(backoff.last, end.timestamp())
            elif phase_of(pod) == "Succeeded" and end.timestamp() >= backoff.last:
                backoff.failures = 0
            if failed or phase_of(pod) == "Succeeded":
                backoff.seen.add(uid_of(pod))

    def _wait(self, look: Look) -> float:
        backoff = self._backoffs[uid_of(look.job)]
        return backoff.last + indexes.backoff_s(backoff.failures) - self.now().timestamp()

    def _note_suspension(self, look: Look) -> None:
        stamp = self.registry.clock.stamp()
        listed = look.status.get("conditions")
        current = conditions.find(listed, "Suspended")
        suspended = job_status.is_suspended(look.job)
        if suspended and (current is None or current.get("status") != "True"):
            text, event = ("JobSuspended", "Job suspended"), "Suspended"
        elif not suspended and current is not None and current.get("status") == "True":
            text, event = ("JobResumed", "Job resumed"), "Resumed"
            look.status["startTime"] = stamp
        else:
            return
        condition = {**job_status.ended_condition("Suspended", *text, stamp), "status": str(suspended)}
        look.status["conditions"] = conditions.put(listed, condition)
        self.events.emit(look.job, "Normal", event, text[1])

    def _track(self, look: Look) -> None:
        """Count what ended, let those pods go, and write the status; the end itself once nothing of it runs."""
        ended = [pod for pod in look.pods if job_status.is_tracked(pod) and self._counts(look, pod)]
        status = look.status
        succeeded = [pod for pod in ended if phase_of(pod) == "Succeeded"]
        failed = [pod for pod in ended if phase_of(pod) != "Succeeded"]
        uncounted: Json = {}
        if job_status.is_indexed(look.job):
            self._count_indexes(look, succeeded)
        elif succeeded:
            uncounted["succeeded"] = [uid_of(pod) for pod in succeeded]
        if failed:
            uncounted["failed"] = [uid_of(pod) for pod in failed]
        self._count_active(look)
        self._note_end(look, final=False)
        status["uncountedTerminatedPods"] = uncounted
        self._write(look)
        self._let_go(ended)
        if not job_status.is_indexed(look.job) and succeeded:
            status["succeeded"] = int(status.get("succeeded") or 0) + len(succeeded)
        if failed:
            status["failed"] = int(status.get("failed") or 0) + len(failed)
        status["uncountedTerminatedPods"] = {}
        if look.end is not None and not status.get("terminating"):
            self._note_end(look, final=True)
        self._write(look)

    def _counts(self, look: Look, pod: Json) -> bool:
        """Whether the pod is done with: it ended, or the Job did."""
        return phase_of(pod) in ("Succeeded", "Failed") or (
            is_deleting(pod) and (look.end is not None or is_deleting(look.job) or job_status.has_failed(pod))
        )

    def _count_indexes(self, look: Look, succeeded: list[Json]) -> None:
        completions = job_status.completions_of(look.job)
        done = indexes.parse_indexes(look.status.get("completedIndexes", ""), completions)
        done |= {i for i in map(indexes.index_of, succeeded) if i is not None and i < completions}
        if done:
            look.status["completedIndexes"] = indexes.write_indexes(done)
            look.status["succeeded"] = len(done)

    def _count_active(self, look: Look) -> None:
        active = look.active
        if active:
            look.status["active"] = len(active)
        else:
            look.status.pop("active", None)
        look.status["ready"] = sum(1 for pod in active if is_ready(pod))
        look.status["terminating"] = sum(1 for pod in look.pods if is_terminating(pod))

    def _note_end(self, look: Look, *, final: bool) -> None:
        if look.end is None:
            return
        kind, reason, message = look.end
        stamp = self.registry.clock.stamp()
        listed = look.status.get("conditions") or []
        if final:
            kind = job_status.FAILED if kind == job_status.FAILURE_TARGET else job_status.COMPLETE
            if kind == job_status.COMPLETE:
                look.status["completionTime"] = stamp
                self.events.emit(look.job, "Normal", "Completed", "Job completed")
            else:
                self.events.emit(look.job, "Warning", reason, message)
        if conditions.find(listed, kind) is None:
            listed = [*listed, job_status.ended_condition(kind, reason, message, stamp)]
        look.status["conditions"] = listed

    def _write(self, look: Look) -> None:
        if look.status != status_of(look.job):
            look.job = self.set_status(JOBS, look.job, look.status)

    def _let_go(self, pods: list[Json]) -> None:
        """Take the finalizer off pods that have been counted."""

        def change(copy: Json) -> None:
            rest = [f for f in copy["metadata"].get("finalizers") or () if f != job_status.TRACKING]
            if rest:
                copy["metadata"]["finalizers"] = rest
            else:
                copy["metadata"].pop("finalizers", None)

        for pod in pods:
            try:
                self.registry.modify(PODS, namespace_of(pod), name_of(pod), change, manager=self.manager)
            except ApiFailure as failure:
                if failure.code != 404:
                    raise


def _is_left_by(owner: Json | None, name: str, uid: str) -> bool:
    return owner is not None and owner["kind"] == "Job" and owner["name"] == name and owner["uid"] != uid
