"""Scale to N replicas, as `kubectl scale` does, and back: whichever way it goes first, the other way ends pods."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rollcheck.errors import ClusterError, UsageError
from rollcheck.facts.cluster import WorkloadSeen
from rollcheck.kube import rollout
from rollcheck.kube.actions.action import Ground, Unclear, acted, is_unclear, status_of, stepped, words_of
from rollcheck.kube.actions.request import Request
from rollcheck.kube.actions.table import path_of
from rollcheck.kube.api import MERGE, Api
from rollcheck.kube.journal import Entry


class Scale:
    """There and back, each time until it stands."""

    def __init__(self, api: Api, workloads: Sequence[WorkloadSeen], asked: Request) -> None:
        self.api = api
        self.workloads = tuple(workloads)
        self.asked = asked
        self.replicas = int(asked.words[0])
        self.description = f"scale {', '.join(w.ref for w in workloads)} to {self.replicas} and back"

    async def check(self) -> None:
        """As `Doing.check`."""
        for workload in self.workloads:
            if workload.replicas == self.replicas:
                raise UsageError(
                    f"{workload.ref} has {self.replicas} replicas already, so nothing would change; name another number"
                )

    async def predict(self) -> list[str]:
        """As `Doing.predict`."""
        found = []
        for workload in self.workloads:
            more = self.replicas - workload.replicas
            what = (
                f"{-more} of its pods would end, and be started again" if more < 0 else f"{more} would start, and end"
            )
            none = "; no pod would be left in between" if not self.replicas else ""
            found.append(
                f"{workload.ref} would be scaled from {workload.replicas} to {self.replicas} and back: {what}{none}"
            )
        return found

    async def perform(self, ground: Ground) -> bool:
        """As `Doing.perform`."""
        entered = {}
        for workload in self.workloads:
            path = f"{path_of(workload)}/scale"
            before = (await ground.api.get(path)).get("spec", {}).get("replicas") or 0
            entered[workload.ref] = ground.journal.enter(
                Entry(
                    kind="replicas",
                    path=path,
                    uid=workload.uid,
                    what=workload.ref,
                    before={"replicas": before},
                    after={"replicas": self.replicas},
                )
            )
            await self._scale(ground, workload, self.replicas, entered[workload.ref])
        wanted = dict.fromkeys((w.ref for w in self.workloads), self.replicas)
        if not await self._stands(ground, wanted):
            return False
        entries = dict(ground.journal.open)
        ground.turn()
        for workload in self.workloads:
            number = entered[workload.ref]
            wanted[workload.ref] = int(entries[number].before["replicas"])
            await self._scale(ground, workload, wanted[workload.ref], None)
            ground.journal.strike(number)
        return await self._stands(ground, wanted)

    async def stop(self, ground: Ground) -> None:
        """The journal has the former number."""

    async def _scale(self, ground: Ground, workload: WorkloadSeen, replicas: int, entry: int | None) -> None:
        what = f"scale {workload.ref} to {replicas}"
        ground.say(what)
        started = time.monotonic_ns()
        try:
            status, _ = await ground.api.patch(
                f"{path_of(workload)}/scale", {"spec": {"replicas": replicas}}, kind=MERGE
            )
        except Unclear as e:
            ground.record(stepped("scale", workload.ref, workload.uid, status_of(e), "other", words_of(e)))
            if entry is not None and not is_unclear(e):
                ground.journal.strike(entry)
            raise
        except ClusterError:
            if entry is not None:
                ground.journal.strike(entry)
            raise
        ground.record(stepped("scale", workload.ref, workload.uid, status))
        ground.record(acted("scale", what, started, status))

    async def _stands(self, ground: Ground, wanted: dict[str, int]) -> bool:
        def done() -> bool:
            for ref, replicas in wanted.items():
                present = ground.workloads.get(ref)
                if present is None or present.replicas != replicas or not rollout.is_complete(present):
                    return False
            live = [pod for pod in ground.pods.values() if not pod.deletion_at and pod.ready]
            return len(live) == sum(wanted.values()) and not any(pod.deletion_at for pod in ground.pods.values())

        def where() -> str:
            ending = sum(1 for pod in ground.pods.values() if pod.deletion_at)
            return f"{len(ground.pods)} pods, {ending} ending, {sum(wanted.values())} wanted"

        return await ground.until(done, where)
