"""Everything that is watched during a run, in one nursery: facts go out as they come in, the present state is kept.

Two resources are indispensable, the workloads and their Pods. Of the others each can be forbidden (403) or unknown
(404) on its own: then a `Note` says what the run cannot see, and it goes on without.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import trio

from rollcheck.errors import ClusterDenied, ClusterError, ClusterRefused
from rollcheck.facts.actions import Note
from rollcheck.facts.clock import SECOND, Instant
from rollcheck.facts.cluster import Change, PodSeen, ReplicaSetSeen, ServiceSeen, SliceSeen, WatchGap, WorkloadSeen
from rollcheck.facts.document import Fact
from rollcheck.kube import objects
from rollcheck.kube.actions.table import RESOURCES
from rollcheck.kube.api import Api, CredentialsRefused, Json, NoAnswer
from rollcheck.kube.beside import is_backend, selectors_beside
from rollcheck.kube.reflector import Delta, Reflector, Resource
from rollcheck.kube.tasks import one_error

PING_EVERY_S = 5.0
PING_WAIT_S = 5.0
SILENT_AFTER_S = 15.0

BESIDE = "beside "
"""Stands, with the watch that told of them, for the owner of pods that are of none of the workloads."""

GONE = (Change.DELETED, Change.VANISHED)

_HASH = "[bcdfghjklmnpqrstvwxz0-9]"
"""The letters that Kubernetes makes names from: no vowels, so `web-admin` is no ReplicaSet of `web`."""

_WITHOUT = {
    "replicasets": "old and new pods are told apart by their labels only",
    "endpointslices": "it cannot be told when a pod left its Service",
    "events": "what the kubelet and the controllers said (preStop, SIGTERM, failing probes) is not known",
    "horizontalpodautoscalers": "an autoscaler's scaling cannot be told from anybody else's",
}


class Observer:
    """Watches workloads and what belongs to them.

    Args:
        api: the API server.
        workload: the first workload as it was found; others: those beside it, in the same namespace.
        services: the Services whose EndpointSlices count; with none, every slice that names one of our pods does. Pods
            of other workloads that they have beside ours are facts too.
        sink: called, sync, with each fact in the order in which it arrived.
        on_life: called just before the facts of a pod's deletion, disappearance, exit or change of readiness, and of a
            change of endpoints, are recorded.

    Attributes:
        pods: uid → pod, those that exist now.
        slices: uid → EndpointSlice, likewise.
        replica_sets: uid → ReplicaSet of the workload, likewise.
        workloads: `deployment/web` → as it is now; None once it was deleted.
        last_contact_ns: the last sign of life of the API server.
    """

    def __init__(
        self,
        api: Api,
        workload: WorkloadSeen,
        services: list[ServiceSeen],
        sink: Callable[[Fact], None],
        on_life: Callable[[], None] | None = None,
        *,
        others: Sequence[WorkloadSeen] = (),
    ) -> None:
        self.pods: dict[str, PodSeen] = {}
        self.slices: dict[str, SliceSeen] = {}
        self.replica_sets: dict[str, ReplicaSetSeen] = {}
        self.workloads: dict[str, WorkloadSeen | None] = {w.ref: w for w in (workload, *others)}
        self.last_contact_ns: Instant = time.monotonic_ns()
        self._api = api
        self._targets = (workload, *others)
        self._owners: dict[str, str] = {}
        self._set_owners: dict[str, str] = {}
        self._beside: dict[str, PodSeen] = {}
        self._served = tuple(services)
        self._services = {s.name for s in services}
        self._sink = sink
        self._on_life = on_life or (lambda: None)
        self._specs_known: set[str] = set()
        self._uids = {w.uid for w in self._targets}
        names = "|".join(re.escape(w.name) for w in self._targets)
        self._names = re.compile(rf"({names})-{_HASH}+(-{_HASH}+)?")
        self._changed = trio.Event()
        self._silence: tuple[Instant, str] | None = None
        self._reflectors: list[Reflector] = []

    @property
    def workload(self) -> WorkloadSeen | None:
        """The first workload as it is now; None once it was deleted."""
        return self.workloads[self._targets[0].ref]

    def pods_of(self, workload: WorkloadSeen) -> list[PodSeen]:
        """The pods of one of the workloads that exist now."""
        return [pod for uid, pod in self.pods.items() if self._owners.get(uid) == workload.ref]

    @property
    def healthy(self) -> bool:
        """Whether the API server gave a sign of life within the last `SILENT_AFTER_S`, and answers when asked."""
        return self._silence is None and time.monotonic_ns() - self.last_contact_ns < SILENT_AFTER_S * SECOND

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled; `started()` once every resource has been listed.

        A gap that is open at the end is recorded then.

        Raises:
            ClusterError: the Deployment or its Pods cannot be listed at all.
        """
        try:
            with one_error():
                async with trio.open_nursery() as nursery:
                    # one after the other: what an event or a slice concerns is told by the pods and ReplicaSets before
                    for resource, take in self._plan():
                        await self._start(nursery, resource, take)
                    nursery.start_soon(self._ping)
                    task_status.started()
        finally:
            for reflector in self._reflectors:
                reflector.close_gap()
            self._end_silence()

    async def _start(self, nursery: trio.Nursery, resource: Resource, take: Callable[[Delta, Instant], None]) -> None:
        reflector = Reflector(self._api, resource, partial(self._take, take), self._sink, self._note_contact)
        try:
            await nursery.start(reflector.run)
        except CredentialsRefused:
            raise
        except (ClusterDenied, ClusterRefused) as e:
            if not self._can_do_without(resource.name, e):
                raise
        else:
            self._reflectors.append(reflector)

    async def wait_change(self) -> None:
        """Return after the next change of anything that is watched."""
        await self._changed.wait()

    def _plan(self) -> list[tuple[Resource, Callable[[Delta, Instant], None]]]:
        namespace = self._targets[0].namespace
        apps = f"/apis/apps/v1/namespaces/{namespace}"
        core = f"/api/v1/namespaces/{namespace}"
        discovery = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}"
        scaling = f"/apis/autoscaling/v2/namespaces/{namespace}"
        slices = f"{objects.SERVICE_NAME} in ({','.join(sorted(self._services))})" if self._services else ""
        plan: list[tuple[Resource, Callable[[Delta, Instant], None]]] = []
        for one in self._targets:
            kind, ours, named = RESOURCES[one.kind], one.pod_selector, f"metadata.name={one.name}"
            plan.append((Resource(kind, f"{apps}/{kind}", fields=named), partial(self._take_workload, one)))
            if one.kind == "Deployment":
                plan.append((Resource("replicasets", f"{apps}/replicasets", labels=ours), self._take_replica_set))
            plan.append((Resource("pods", f"{core}/pods", labels=ours), partial(self._take_pod, one)))
        beside = selectors_beside(self._served, self._targets)
        return [
            *plan,
            *((Resource("pods", f"{core}/pods", labels=text), partial(self._take_beside, text)) for text in beside),
            (Resource("endpointslices", f"{discovery}/endpointslices", labels=slices), self._take_slice),
            (Resource("horizontalpodautoscalers", f"{scaling}/horizontalpodautoscalers"), self._take_autoscaler),
            (Resource("events", f"{core}/events"), self._take_event),
        ]

    def _can_do_without(self, name: str, error: ClusterError) -> bool:
        lost = _WITHOUT.get(name)
        if lost is None or (isinstance(error, ClusterRefused) and error.status != 404):
            return False
        why = "unknown to this API server" if isinstance(error, ClusterRefused) else "forbidden"
        self._sink(
            Note(at_ns=time.monotonic_ns(), topic="permission", text=f"{name} cannot be watched ({why}), so {lost}")
        )
        return True

    def _take(self, take: Callable[[Delta, Instant], None], delta: Delta, seen_ns: Instant) -> None:
        take(delta, seen_ns)
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    def _take_workload(self, target: WorkloadSeen, delta: Delta, seen_ns: Instant) -> None:
        seen = objects.workload(delta.raw, seen_ns, delta.change, target.kind)
        self._uids.add(seen.uid)
        self.workloads[target.ref] = None if delta.change in GONE else seen
        self._sink(seen)

    def _take_autoscaler(self, delta: Delta, _: Instant) -> None:
        """Only its events are facts: they say what it did, and why."""
        kind, name, uid = objects.scale_target(delta.raw)
        if any((w.kind, w.name) == (kind, name) for w in self._targets):
            self._uids.add(uid)

    def _take_replica_set(self, delta: Delta, seen_ns: Instant) -> None:
        seen = objects.replica_set(delta.raw, seen_ns, delta.change)
        self._set_owners[seen.uid] = seen.owner_uid
        if seen.owner_uid not in {w.uid for w in self._targets} and seen.uid not in self.replica_sets:
            return  # another workload's, whose labels happen to fit
        self._uids.add(seen.uid)
        _keep(self.replica_sets, seen)
        self._sink(seen)

    def _take_pod(self, target: WorkloadSeen, delta: Delta, seen_ns: Instant) -> None:
        uid, _ = objects.uid_and_version(delta.raw)
        if uid not in self._owners:
            self._owners[uid] = self._whose(target, delta.raw)
        whose = self._owners[uid]
        if whose == target.ref:
            self._keep_pod(self.pods, delta, seen_ns, workload=whose if len(self._targets) > 1 else "")
        elif whose == BESIDE + target.ref and is_backend(objects.labels_of(delta.raw), self._served):
            self._keep_pod(self._beside, delta, seen_ns, beside=True)

    def _take_beside(self, selector: str, delta: Delta, seen_ns: Instant) -> None:
        """A pod of somebody else's that a Service of ours has as well."""
        uid, _ = objects.uid_and_version(delta.raw)
        labels = objects.labels_of(delta.raw)
        if any(objects.selects(w.selector, labels) for w in self._targets):
            return  # the watch of that workload's pods tells of it
        if self._owners.setdefault(uid, BESIDE + selector) == BESIDE + selector:  # else another watch told of it first
            self._keep_pod(self._beside, delta, seen_ns, beside=True)

    def _keep_pod(
        self,
        present: dict[str, PodSeen],
        delta: Delta,
        seen_ns: Instant,
        *,
        workload: str = "",
        beside: bool = False,
    ) -> None:
        uid, _ = objects.uid_and_version(delta.raw)
        seen = objects.pod(delta.raw, seen_ns, delta.change, with_spec=uid not in self._specs_known)
        if workload or beside:
            seen = replace(seen, workload=workload, beside=beside)
        before = present.get(uid)
        if before is not None and is_life(before, seen):
            self._on_life()
        self._specs_known.add(uid)
        self._uids.add(uid)
        _keep(present, seen)
        self._sink(seen)

    def _whose(self, target: WorkloadSeen, raw: Json) -> str:
        """Which workload a pod is of that the selector of `target` picks: selectors of two may overlap.

        Where that cannot be told by its controller, it is the one whose selector picked it first.
        """
        kind, name, uid = objects.controller_of(raw)
        owner = self._set_owners.get(uid, uid)
        for one in self._targets:
            present = self.workloads[one.ref]
            if owner in (one.uid, present.uid if present else ""):
                return one.ref
        if kind == "ReplicaSet" and target.kind == "Deployment":
            return BESIDE + target.ref if uid in self._set_owners else target.ref
        own = not kind or (kind, name) == (target.kind, target.name)
        return target.ref if own else BESIDE + target.ref

    def _take_slice(self, delta: Delta, seen_ns: Instant) -> None:
        seen = objects.endpoint_slice(delta.raw, seen_ns, delta.change)
        before = self.slices.get(seen.uid)
        if not self._services and before is None and not any(e.pod_uid in self._specs_known for e in seen.endpoints):
            return
        if (before.endpoints if before else ()) != seen.endpoints or delta.change in GONE:
            self._on_life()
        _keep(self.slices, seen)
        self._sink(seen)

    def _take_event(self, delta: Delta, seen_ns: Instant) -> None:
        if delta.change in GONE:
            return  # an Event that expires says nothing
        seen = objects.kube_event(delta.raw, seen_ns, delta.change)
        if seen.uid in self._uids or (
            # an event may overtake its pod
            seen.kind in ("Pod", "ReplicaSet") and self._names.fullmatch(seen.name) and delta.change != Change.LISTED
        ):
            self._sink(seen)

    def _note_contact(self, at_ns: Instant) -> None:
        self.last_contact_ns = at_ns
        self._end_silence()

    async def _ping(self) -> None:
        """Ask for a sign of life: a watch on which nothing comes looks like one whose server hangs."""
        while True:
            await trio.sleep(PING_EVERY_S)
            try:
                await self._api.get("/version", timeout_s=PING_WAIT_S)
            except (ClusterDenied, ClusterRefused):
                self._note_contact(time.monotonic_ns())  # it answers, and that is all we wanted to know
            except ClusterError as e:
                if self._silence is None:
                    self._silence = (self.last_contact_ns, e.words if isinstance(e, NoAnswer) else str(e))
            else:
                self._note_contact(time.monotonic_ns())

    def _end_silence(self) -> None:
        silence, self._silence = self._silence, None
        if silence is not None:
            start, reason = silence
            self._sink(
                WatchGap(
                    resource="API server", start_ns=start, end_ns=time.monotonic_ns(), reason=reason, relisted=False
                )
            )


Seen = TypeVar("Seen", PodSeen, SliceSeen, ReplicaSetSeen)


def _keep(present: dict[str, Seen], seen: Seen) -> None:
    """Have `present` hold what exists now, by uid."""
    if seen.change in GONE:
        present.pop(seen.uid, None)
    else:
        present[seen.uid] = seen


def is_life(before: PodSeen, now: PodSeen) -> bool:
    """Whether a change of a pod is one that its clients may feel: counts must be readable before and after it."""
    if now.change in GONE or before.ready != now.ready or bool(before.deletion_at) != bool(now.deletion_at):
        return True
    states = {c.name: (c.state, c.restarts) for c in before.containers}
    return any(states.get(c.name) != (c.state, c.restarts) for c in now.containers)
