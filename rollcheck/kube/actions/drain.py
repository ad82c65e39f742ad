"""Drain a node as `kubectl drain` does: cordon it, evict its pods at once, wait until each is gone; and uncordon."""

from __future__ import annotations

import difflib
import time
from collections import Counter
from collections.abc import Sequence
from urllib.parse import quote

import trio

from rollcheck.errors import ClusterDenied, ClusterError, ClusterRefused, UsageError
from rollcheck.facts.cluster import PodSeen, WorkloadSeen
from rollcheck.kube import discover, drainforecast, eviction
from rollcheck.kube.actions.action import Ground, acted, is_unclear, status_of, stepped, words_of
from rollcheck.kube.actions.pods import evict_until_taken, is_whole
from rollcheck.kube.actions.request import Request
from rollcheck.kube.api import Api, CredentialsRefused, Json
from rollcheck.kube.drain import (
    Filters,
    Selection,
    daemonsets_of,
    full_name,
    is_schedulable,
    name_of,
    namespace_of,
    select,
)
from rollcheck.kube.journal import Entry
from rollcheck.kube.placement import Board
from rollcheck.kube.tasks import one_error
from rollcheck.kube.volumes import Volumes, bound_to, claims_of

NODES = "/api/v1/nodes"
POLL_S = 1.0
"""How often a pod of somebody else's is looked for, as kubectl drain does."""


class Drain:
    """One node, and every pod on it that kubectl would evict."""

    def __init__(self, api: Api, workloads: Sequence[WorkloadSeen], asked: Request) -> None:
        self.api = api
        self.workloads = tuple(workloads)
        self.asked = asked
        self.node = "".join(asked.words)
        self.selection = Selection()
        self._begun = False
        self._raw: Json = {}
        self._nodes: list[Json] = []
        self._others: list[Json] = []

    @property
    def description(self) -> str:
        """As `Doing.description`."""
        return f"drain node/{self.node}"

    async def check(self) -> None:
        """As `Doing.check`: kubectl's own refusals, and those that keep other people's pods from harm."""
        own = [pod for w in self.workloads for pod in await discover.find_pods(self.api, w)]
        if self.asked.node_of_pod:
            self.node = _node_of(self.asked.node_of_pod, own, self.workloads)
        await self._examine(own)

    async def _examine(self, own: Sequence[PodSeen]) -> None:
        """Raise `UsageError` unless the node may be drained, of which `own` are the workloads' pods."""
        nodes = (await self.api.list_all(NODES)).items
        self._raw = _named(self.node, nodes)
        self._nodes = nodes
        self._others = [n for n in nodes if name_of(n) != self.node and is_schedulable(n)]
        if not self._others:
            raise UsageError(
                f"node {self.node} is the last schedulable one: nothing that is evicted from it could start again; "
                "uncordon or add another first"
            )
        if not any(pod.node == self.node for pod in own):
            there = ", ".join(sorted({pod.node for pod in own if pod.node})) or "nowhere"
            raise UsageError(
                f"no pod of {_refs(self.workloads)} runs on node {self.node}, so draining it would show nothing; they "
                f"run on {there}"
            )
        self.selection = await self._select()
        if self.selection.problem:
            raise UsageError(f"node {self.node} cannot be drained: {self.selection.problem}")
        self._check_others({pod.uid for pod in own})

    async def predict(self) -> list[str]:
        """As `Doing.predict`: blocked evictions, pods that go at once, pods that fit nowhere else."""
        evicted = self.selection.evicted
        found = [
            f"node {self.node} would be cordoned, and {len(evicted)} pods evicted at the same moment: "
            + ", ".join(full_name(p) for p in evicted)
        ]
        if self.selection.left:
            found.append("left alone: " + ", ".join(f"{full_name(p)} ({why})" for p, why in self.selection.left))
        budgets = await self._budgets()
        if budgets is None:
            found.append("budgets that block are not known: no right to list poddisruptionbudgets")
        else:
            found += drainforecast.budget_sentences(self.node, evicted, budgets)
        owned = [(w, await discover.find_pods(self.api, w)) for w in self.workloads]
        found += self._together(owned, budgets or [])
        volumes, unread = await _read_volumes(self.api, self.node, evicted)
        pods = (await self.api.list_all("/api/v1/pods")).items
        board = Board.of(self._nodes, pods, evicted=evicted, leaving=self.node, volumes=volumes)
        found += drainforecast.placements(evicted, [name_of(n) for n in self._others], board)
        return [*found, *volumes.sentences(evicted), *unread, *await self._rehearse()]

    async def perform(self, ground: Ground) -> bool:
        """As `Doing.perform`."""
        if self._begun and not await self._choose_again(ground):
            return False
        self._begun = True
        started = time.monotonic_ns()
        status: int | None = None
        refused: list[str] = []
        try:
            await self._cordon(ground)
            await self._look_again(ground)
            ground.say(f"evicting {', '.join(full_name(p) for p in self.selection.evicted)}")
            with one_error():
                async with trio.open_nursery() as nursery:
                    for pod in self.selection.evicted:
                        nursery.start_soon(self._end, ground, pod, refused, nursery.cancel_scope)
            status = 409 if refused else 200
        except ClusterError as e:
            status = status_of(e)
            raise
        finally:
            ground.record(acted("drain", self.description, started, status, "; ".join(refused[:1])))
        if refused:
            ground.give_up(refused[0])
            return False
        return await ground.until(lambda: is_whole(ground), lambda: "waiting for the evicted pods' replacements")

    async def stop(self, ground: Ground) -> None:
        """No further pod is evicted; the journal has the node."""

    async def _choose_again(self, ground: Ground) -> bool:
        """Of a further round: the pods are elsewhere by now, so the node that has most of them."""
        own = list(ground.pods.values())
        self.node = _fullest(own)
        try:
            await self._examine(own)
        except UsageError as e:
            ground.give_up(f"there was no further round: {e}")
            return False
        return True

    async def _look_again(self, ground: Ground) -> None:
        """What came to the node before it was cordoned is drained too, or keeps it from being drained."""
        self.selection = await self._select()
        if self.selection.problem:
            raise UsageError(f"node {self.node} cannot be drained: {self.selection.problem}")
        self._check_others(set(ground.pods))

    # Before

    async def _select(self) -> Selection:
        pods = (await self.api.list_all("/api/v1/pods", {"fieldSelector": f"spec.nodeName={self.node}"})).items
        present = {key: await self._exists(*key) for key in daemonsets_of(pods)}
        filters = Filters(
            ignore_daemonsets=self.asked.ignore_daemonsets,
            delete_emptydir_data=self.asked.delete_emptydir_data,
            force=self.asked.force,
        )
        return select(pods, filters, present)

    async def _exists(self, namespace: str, name: str) -> bool:
        try:
            await self.api.get(f"/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}")
        except ClusterRefused as e:
            if e.status == 404:
                return False
            raise
        return True

    def _check_others(self, own: set[str]) -> None:
        others = [full_name(p) for p in self.selection.evicted if p["metadata"]["uid"] not in own]
        if others and not self.asked.yes:
            more = f" and {len(others) - 5} more" if len(others) > 5 else ""
            raise UsageError(
                f"node {self.node} runs other people's pods too ({', '.join(others[:5])}{more}), and a drain evicts "
                "them as well: say with --yes that it may"
            )

    # Prediction

    async def _budgets(self) -> list[Json] | None:
        found = []
        for namespace in sorted({namespace_of(p) for p in self.selection.evicted}):
            here = await _list_if_allowed(self.api, f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets")
            if here is None:
                return None
            found += here
        return found

    def _together(self, owned: Sequence[tuple[WorkloadSeen, Sequence[PodSeen]]], budgets: Sequence[Json]) -> list[str]:
        """Which of the workloads' pods share the node, and no budget keeps apart."""
        bare = {p["metadata"]["uid"] for p in self.selection.evicted if not drainforecast.budgets_of(p, budgets)}
        found = []
        for workload, own in owned:
            alive = [p for p in own if not p.deletion_at]
            here = [p for p in alive if p.uid in bare]
            if here:
                names = ", ".join(p.name for p in here)
                some = f"{len(here)} of the {len(alive)} pods" if len(here) < len(alive) else f"all {len(alive)} pods"
                gap = ", which leaves none until new ones are ready" if len(here) == len(alive) else ""
                found.append(f"no budget covers {some} of {workload.ref} there, so they go at once ({names}){gap}")
        return found

    async def _rehearse(self) -> list[str]:
        """What the API server itself says to each eviction, one by one, without doing it."""
        found = []
        for pod in self.selection.evicted:
            answer = await eviction.evict(self.api, namespace_of(pod), name_of(pod), dry_run=True)
            if answer.refusal and answer.refusal != eviction.GONE:
                found.append(
                    f"the API server would answer {answer.status} to the eviction of {name_of(pod)} now: "
                    f"{answer.message}"
                )
        return found

    # Doing it

    async def _cordon(self, ground: Ground) -> None:
        path = f"{NODES}/{quote(self.node, safe='')}"
        target, uid = f"node/{self.node}", str(self._raw["metadata"]["uid"])
        if ((await ground.api.get(path)).get("spec") or {}).get("unschedulable"):
            ground.say(f"node {self.node} is cordoned already, and stays so")
            return
        ground.say(f"cordoning node {self.node}")
        number = ground.journal.enter(Entry(kind="node", path=path, uid=uid, what=target))
        try:
            status, _ = await ground.api.patch(path, {"spec": {"unschedulable": True}})
        except ClusterError as e:
            ground.record(stepped("cordon", target, uid, status_of(e), eviction.OTHER, words_of(e)))
            if not is_unclear(e):
                ground.journal.strike(number)
            raise
        ground.record(stepped("cordon", target, uid, status))

    async def _end(self, ground: Ground, pod: Json, refused: list[str], rest: trio.CancelScope) -> None:
        """Evict one pod and wait until it is gone."""
        namespace, name, uid = namespace_of(pod), name_of(pod), str(pod["metadata"]["uid"])
        why = ""
        if self.asked.disable_eviction:
            await self._delete(ground, namespace, name, uid)
        else:
            home = namespace == self.workloads[0].namespace
            why = await evict_until_taken(ground, namespace, name, uid, self.asked.grace_s, home=home)
        if why:
            refused.append(why)
            rest.cancel()
            return
        while uid in ground.pods or await self._is_there(namespace, name, uid):  # noqa: ASYNC110  # others' pods
            await trio.sleep(POLL_S)

    async def _delete(self, ground: Ground, namespace: str, name: str, uid: str) -> None:
        options: Json = {"preconditions": {"uid": uid}}
        if self.asked.grace_s is not None:
            options["gracePeriodSeconds"] = self.asked.grace_s
        try:
            status, _ = await ground.api.delete(f"/api/v1/namespaces/{namespace}/pods/{name}", options)
        except ClusterRefused as e:
            if e.status not in (404, 409):
                raise
            status = e.status
        ground.record(stepped("delete", f"pod/{name}", uid, status))

    async def _is_there(self, namespace: str, name: str, uid: str) -> bool:
        try:
            raw = await self.api.get(f"/api/v1/namespaces/{namespace}/pods/{name}")
        except ClusterRefused as e:
            return e.status != 404
        except CredentialsRefused:
            raise
        except ClusterError:
            return True  # it may come back and tell
        return bool(raw["metadata"]["uid"] == uid)


async def _read_volumes(api: Api, node: str, pods: Sequence[Json]) -> tuple[Volumes, list[str]]:
    """The claims of these pods and what they are bound to; and in a sentence what of it could not be read."""
    wanted = {key for pod in pods for key in claims_of(pod)}
    claims: dict[tuple[str, str], Json] = {}
    unread: list[str] = []
    for namespace in sorted({namespace for namespace, _ in wanted}):
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        here = await _list_if_allowed(api, path)
        if here is None:
            unread.append(f"persistentvolumeclaims in namespace {namespace}")
        claims |= {key: raw for raw in here or [] if (key := (namespace, name_of(raw))) in wanted}
    volumes: dict[str, Json] = {}
    if bound := {name for claim in claims.values() if (name := bound_to(claim))}:
        every = await _list_if_allowed(api, "/api/v1/persistentvolumes")
        if every is None:
            unread.append("persistentvolumes")
        volumes = {name: raw for raw in every or [] if (name := name_of(raw)) in bound}
    words = [f"volumes that keep pods on node {node} are not known: no right to list {' and '.join(unread)}"]
    return Volumes(claims, volumes), words if unread else []


async def _list_if_allowed(api: Api, path: str) -> list[Json] | None:
    """None where it is forbidden, or unknown to this API server."""
    try:
        return (await api.list_all(path)).items
    except CredentialsRefused:
        raise
    except ClusterDenied:
        return None
    except ClusterRefused as e:
        if e.status == 404:
            return None
        raise


def _node_of(pod: str, own: Sequence[PodSeen], workloads: Sequence[WorkloadSeen]) -> str:
    for seen in own:
        if seen.name == pod:
            if not seen.node:
                raise UsageError(f"pod {pod} runs on no node yet; name another one with --node-of-pod")
            return seen.node
    known = ", ".join(sorted(p.name for p in own)[:10]) or "none"
    raise UsageError(f"--node-of-pod: there is no pod {pod!r} of {_refs(workloads)}; there are: {known}")


def _fullest(own: Sequence[PodSeen]) -> str:
    """The node with most of the pods; of several the first by name."""
    count = Counter(pod.node for pod in own if pod.node and not pod.deletion_at)
    return min(count, key=lambda node: (-count[node], node), default="")


def _named(node: str, nodes: Sequence[Json]) -> Json:
    names = sorted(name_of(n) for n in nodes)
    for raw in nodes:
        if name_of(raw) == node:
            return raw
    near = difflib.get_close_matches(node, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names[:10])}"
    raise UsageError(f"there is no node {node!r}; {hint}")


def _refs(workloads: Sequence[WorkloadSeen]) -> str:
    return " and ".join(w.ref for w in workloads)
