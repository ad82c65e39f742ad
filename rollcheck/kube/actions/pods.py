"""Actions on single pods of a workload: delete-pod and evict. Their controllers then replace them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import trio

from rollcheck.errors import ClusterError, ClusterRefused, UsageError
from rollcheck.facts.cluster import PodSeen, WorkloadSeen
from rollcheck.kube import discover, eviction, rollout
from rollcheck.kube.actions.action import Ground, Unclear, acted, is_unclear, status_of, stepped, words_of
from rollcheck.kube.actions.request import Request
from rollcheck.kube.api import Api
from rollcheck.kube.tasks import one_error

RETRY_S = 5.0
"""After a refusal that may pass, as kubectl drain does."""


class PodEnds:
    """What both have in common: which pods, and waiting until each is gone and replaced."""

    def __init__(self, api: Api, workloads: Sequence[WorkloadSeen], asked: Request) -> None:
        self.api = api
        self.workloads = tuple(workloads)
        self.asked = asked
        self.description = (
            f"{asked.text if asked.words else f'{asked.name} 1'} of {', '.join(w.ref for w in workloads)}"
        )

    async def check(self) -> None:
        """As `Doing.check`."""
        present = [pod for w in self.workloads for pod in await discover.find_pods(self.api, w)]
        chosen(self.asked, present, self.workloads)

    async def predict(self) -> list[str]:
        """As `Doing.predict`."""
        present = [pod for w in self.workloads for pod in await discover.find_pods(self.api, w)]
        pods = chosen(self.asked, present, self.workloads)
        names = ", ".join(f"{p.name} on {p.node}" for p in pods)
        return [f"{self.asked.name} would end {len(pods)} of {len(present)} pods: {names}"]

    async def stop(self, ground: Ground) -> None:
        """Each pod is asked for once; none that was not asked for so far will be."""

    def _chosen(self, ground: Ground) -> list[PodSeen]:
        return chosen(self.asked, list(ground.pods.values()), self.workloads)

    async def _replaced(self, ground: Ground, gone: Sequence[PodSeen]) -> bool:
        uids = {pod.uid for pod in gone}

        def done() -> bool:
            return not uids & set(ground.pods) and is_whole(ground)

        def where() -> str:
            return f"{len(uids & set(ground.pods))} of {len(uids)} pods left"

        return await ground.until(done, where)


class DeletePods(PodEnds):
    """Delete pods, all of them at once, as `kubectl delete pod a b c` does: no budget is asked."""

    async def perform(self, ground: Ground) -> bool:
        """As `Doing.perform`."""
        pods = self._chosen(ground)
        started = time.monotonic_ns()
        ground.say(f"deleting {', '.join(p.name for p in pods)}")
        ground.record(acted("delete-pod", self.description, started, 200))
        with one_error():
            async with trio.open_nursery() as nursery:
                for pod in pods:
                    nursery.start_soon(delete_pod, ground, pod, self.asked.grace_s)
        return await self._replaced(ground, pods)


class Evict(PodEnds):
    """Evict pods by the Eviction API: each after the one before was replaced, or all at once."""

    async def predict(self) -> list[str]:
        """As `Doing.predict`."""
        found = await super().predict()
        present = [pod for w in self.workloads for pod in await discover.find_pods(self.api, w)]
        for pod in chosen(self.asked, present, self.workloads):
            answer = await eviction.evict(self.api, pod.namespace, pod.name, uid=pod.uid, dry_run=True)
            if answer.refusal:
                found.append(f"the API server would refuse to evict {pod.name} now ({answer.status}: {answer.message})")
        return found

    async def perform(self, ground: Ground) -> bool:
        """As `Doing.perform`."""
        pods = self._chosen(ground)
        ground.record(acted("evict", self.description, time.monotonic_ns(), 201))
        groups = [pods] if self.asked.at_once else [[pod] for pod in pods]
        for group in groups:
            ground.say(f"evicting {', '.join(p.name for p in group)}")
            blocked: list[str] = []
            with one_error():
                async with trio.open_nursery() as nursery:
                    for pod in group:
                        nursery.start_soon(self._evict, ground, pod, blocked)
            if blocked:
                ground.give_up(blocked[0])
                return False
            if not await self._replaced(ground, group):
                return False
        return True

    async def _evict(self, ground: Ground, pod: PodSeen, blocked: list[str]) -> None:
        if why := await evict_until_taken(ground, pod.namespace, pod.name, pod.uid, self.asked.grace_s):
            blocked.append(why)


def chosen(asked: Request, pods: Sequence[PodSeen], workloads: Sequence[WorkloadSeen]) -> list[PodSeen]:
    """The pods that the request means: by name, so many, or all; those that end already never count.

    Raises:
        UsageError: a pod is not one of the workloads', or there are fewer than asked for.
    """
    refs = " and ".join(w.ref for w in workloads)
    alive = sorted((p for p in pods if not p.deletion_at and p.phase not in rollout.ENDED_PHASES), key=lambda p: p.name)
    if asked.words == ("all",):
        return alive
    if not asked.words or asked.words[0].isdecimal():
        count = int(asked.words[0]) if asked.words else 1
        if count > len(alive):
            raise UsageError(f"--action {asked.name}: {refs} has {len(alive)} pods, not {count}; or write all")
        return alive[:count]
    by_name = {pod.name: pod for pod in alive}
    missing = [name for name in asked.words if name not in by_name]
    if missing:
        known = ", ".join(sorted(by_name)[:10]) or "none"
        raise UsageError(f"there is no pod {missing[0]!r} of {refs} that could be ended; there are: {known}")
    return [by_name[name] for name in asked.words]


def is_whole(ground: Ground) -> bool:
    """Whether every workload has all the pods it is to have, ready, and none on its way out."""
    wanted = 0
    for present in ground.workloads.values():
        if present is None or not rollout.is_complete(present):
            return False
        wanted += present.replicas
    live = sum(1 for pod in ground.pods.values() if pod.ready and not pod.deletion_at)
    return live >= wanted and not any(pod.deletion_at for pod in ground.pods.values())


async def delete_pod(ground: Ground, pod: PodSeen, grace_s: int | None) -> None:
    """Delete one pod, if it is still that one.

    Raises:
        ClusterError: the API server refused, or gave no answer.
    """
    options: dict[str, object] = {"preconditions": {"uid": pod.uid}}
    if grace_s is not None:
        options["gracePeriodSeconds"] = grace_s
    target = f"pod/{pod.name}"
    try:
        status, _ = await ground.api.delete(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", options)
    except Unclear as e:
        ground.record(stepped("delete", target, pod.uid, status_of(e), "other", words_of(e)))
        if isinstance(e, ClusterRefused) and e.status in (404, 409):
            return  # it went by itself
        if not is_unclear(e):
            raise
        ground.say(f"no clear answer to the deletion of {target} ({words_of(e)}); waiting for what comes of it")
        return
    ground.record(stepped("delete", target, pod.uid, status))


async def evict_until_taken(
    ground: Ground, namespace: str, pod: str, uid: str, grace_s: int | None, *, home: bool = True
) -> str:
    """Evict one pod; what may pass is tried again every `RETRY_S`, without an end: the caller's time is the end.

    Args:
        home: whether it is in the workload's own namespace.

    Returns:
        Empty when it is on its way out; why the API server refuses for good, in a sentence, else.
    """
    told, target = "", f"pod/{pod}" if home else f"pod/{namespace}/{pod}"
    while True:
        try:
            answer = await eviction.evict(ground.api, namespace, pod, uid=uid, grace_s=grace_s)
        except ClusterError as e:
            if not is_unclear(e):
                raise
            ground.record(stepped("evict", target, uid, None, eviction.OTHER, words_of(e)))
            await trio.sleep(RETRY_S)
            continue
        ground.record(stepped("evict", target, uid, answer.status, answer.refusal, answer.message))
        if answer.refusal in (eviction.DONE, eviction.GONE):
            return ""
        words = refusal_words(pod, answer)
        if answer.refusal not in eviction.RETRIED:
            return words
        if answer.refusal != eviction.DOOMED:  # what ends by itself is not what one waits for
            ground.doing(words)
        if words != told:
            ground.say(f"{words}; trying again every {RETRY_S:g} s")
            told = words
        await trio.sleep(RETRY_S)


def refusal_words(pod: str, answer: eviction.Verdict) -> str:
    """Why a pod is not evicted, the three kinds of 429 told apart."""
    match answer.refusal:
        case eviction.BUDGET:
            return f"the eviction of pod {pod} is blocked by a disruption budget: {answer.message}"
        case eviction.UNSETTLED:
            return f"the eviction of pod {pod} has to wait for the budget's own controller: {answer.message}"
        case eviction.THROTTLED:
            return f"the API server throttles us (429, no budget), so pod {pod} is not evicted yet: {answer.message}"
        case eviction.DOOMED:
            return f"pod {pod} is in a namespace that is being deleted and goes with it, so it is not evicted"
        case eviction.BUDGETS:
            return f"pod {pod} cannot be evicted: more than one PodDisruptionBudget matches it ({answer.message})"
        case _:
            return f"the API server refuses to evict pod {pod} ({answer.status}: {answer.message})"
