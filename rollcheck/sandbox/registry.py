"""What the API server does with objects, without HTTP: the rules of every verb, over the store.

All calls are plain and quick; nothing here waits. What is handed out is the stored object itself: never change it,
`trees.clone` it first, or use `modify`. Every refusal is a `status.ApiFailure`, worded as the real server words it.

Objects come with the right types; who reads them from outside checks that first (`apiserver.decoding`).

Otherwise than kube-apiserver 1.34 with its default settings:
- A pod's `lifecycle.stopSignal` is on, as from 1.37. Fields that the sandbox does not act on are not checked.
- Of the admission plugins there are NamespaceLifecycle, DefaultTolerationSeconds, Priority without classes, and of
  ServiceAccount the name alone: no token is mounted, and none has to be there. No node begins with a taint, no claim
  with a finalizer. The Service `kubernetes` is made by whoever serves HTTP.
- Where the real server prints its own Go structs (what changed in a pod, a Job's template), JSON is printed.
- `resize` and `ephemeralcontainers` are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from rollcheck.sandbox import (
    allocation,
    defaults,
    deletion,
    naming,
    scaling,
    selectors,
    status,
    strategies,
    validation,
)
from rollcheck.sandbox import eviction as evicting
from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.allocation import Allocator
from rollcheck.sandbox.clock import Clock, parse_time
from rollcheck.sandbox.resources import EVENTS, NAMESPACES, PDBS, PODS, SERVICES, Resource
from rollcheck.sandbox.selectors import Selector
from rollcheck.sandbox.store import HISTORY, Change, Store, Watch
from rollcheck.sandbox.trees import Json, at, clone

NAMES_TRIED = 8
EVENT_LIFE_S, SWEEP_S = 3600.0, 60.0
"""Events are kept for an hour (--event-ttl); who is over is looked up at most once a minute, when one is written."""
SYSTEM_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")

Manage = Callable[[Resource, Json | None, Json, str, str], None]


class Registry:
    """Every object of a sandbox, and the rules for reading and writing them.

    Attributes:
        clock: where all stamps come from.
        addresses: where Services' addresses come from.
        manage: called as (resource, old or None, new, manager, subresource) before a write that names its manager; may
            set `new`'s metadata.managedFields. None: nobody keeps them.
    """

    def __init__(self, clock: Clock | None = None, addresses: Addresses | None = None, history: int = HISTORY) -> None:
        self.clock = clock or Clock()
        self.addresses = addresses or Addresses()
        self.store = Store(history=history)
        self._allocator = Allocator(self.addresses)
        self.manage: Manage | None = None
        self._swept = self.clock.monotonic()
        for name in SYSTEM_NAMESPACES:
            self.create(NAMESPACES, None, {"metadata": {"name": name}})

    def version(self) -> int:
        """The resourceVersion of the newest write."""
        return self.store.version

    def peek(self, resource: Resource, namespace: str | None, name: str) -> Json | None:
        """The object, or None when there is none."""
        return self.store.shelves[resource].get(namespace or "", name)

    def get(self, resource: Resource, namespace: str | None, name: str) -> Json:
        """The object; raises ApiFailure 404."""
        found = self.peek(resource, namespace, name)
        if found is None:
            raise status.not_found(resource, name)
        return found

    def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str | Selector = "", fields: str = ""
    ) -> list[Json]:
        """Objects of one namespace (None: of all) in the order of their keys, chosen by both selectors."""
        found = self.store.shelves[resource].each(namespace)
        matches = selectors.matcher(resource, labels, fields)
        return list(found) if matches is None else [obj for obj in found if matches(obj)]

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        since: int | None = None,
        labels: str | Selector = "",
        fields: str = "",
    ) -> Watch:
        """Changes after version `since` (None: from now on): `async for change in registry.watch(PODS)`.

        The start is fixed by this call, not by the first step. With selectors, an object that begins to match is
        ADDED and one that ceases is DELETED. Raises ApiFailure 410 when `since` has been compacted.
        """
        matches = selectors.matcher(resource, labels, fields)

        def view(change: Change) -> Change | None:
            if namespace is not None and change.object["metadata"].get("namespace", "") != namespace:
                return None
            return change if matches is None else selectors.seen_through(change, matches)

        return self.store.watch(resource, since, view)

    def create(
        self, resource: Resource, namespace: str | None, obj: Json, *, manager: str = "", dry_run: bool = False
    ) -> Json:
        """Make a new object of a copy of `obj`: name, uid, defaults, addresses.

        Raises ApiFailure 400, 403, 404, 409 or 422.
        """
        new: Json = clone(obj)
        self._identify(resource, namespace, new)
        defaults.fill(resource, new)
        strategies.prepare_create(resource, new)
        defaults.admit(resource, new)
        _refuse(resource, new, validation.check_new(resource, new))
        if self.peek(resource, new["metadata"].get("namespace"), new["metadata"]["name"]) is not None:
            raise status.already_exists(resource, new["metadata"]["name"])
        if resource is SERVICES:
            self._allocate(new, None, dry_run)
        if manager and self.manage is not None:
            self.manage(resource, None, new, manager, "")
        if dry_run:
            return new
        if resource is EVENTS and self.clock.monotonic() - self._swept > SWEEP_S:
            self._swept = self.clock.monotonic()
            self.forget_events(EVENT_LIFE_S)
        return self.store.put(resource, new, None)

    def _identify(self, resource: Resource, namespace: str | None, new: Json) -> None:
        """Give a new object its type, place, name, uid and birth."""
        new["apiVersion"], new["kind"] = resource.api_version, resource.kind
        metadata: Json = new.setdefault("metadata", {})
        if metadata.get("resourceVersion"):
            raise status.ApiFailure(500, "", "resourceVersion should not be set on objects to be created")
        for part in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"):
            metadata.pop(part, None)
        self._place(resource, namespace, metadata)
        self._name(resource, metadata)
        metadata["uid"] = naming.new_uid()
        metadata["creationTimestamp"] = self.clock.stamp()

    def _place(self, resource: Resource, namespace: str | None, metadata: Json) -> None:
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        place: str = metadata.setdefault("namespace", namespace or "default")
        if namespace and place != namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        home = self.peek(NAMESPACES, None, place)
        if home is None:
            raise status.not_found(NAMESPACES, place)
        if "deletionTimestamp" in home["metadata"]:
            why = f"unable to create new content in namespace {place} because it is being terminated"
            cause = status.Cause("NamespaceTerminating", f"namespace {place} is being terminated", "metadata.namespace")
            raise status.forbidden(resource, metadata.get("name", ""), why, (cause,))

    def _name(self, resource: Resource, metadata: Json) -> None:
        place = metadata.get("namespace", "")
        if metadata.get("name"):
            return
        base = metadata.get("generateName")
        if not base:
            return  # validation will say so
        for _ in range(NAMES_TRIED):
            metadata["name"] = naming.generate(base)
            if self.peek(resource, place, metadata["name"]) is None:
                return
        raise status.generate_name_conflict(resource, metadata["name"])

    def update(
        self, resource: Resource, obj: Json, *, subresource: str = "", manager: str = "", dry_run: bool = False
    ) -> Json:
        """Replace the object that has `obj`'s name by a copy of `obj`, or its status alone; the result as it now is.

        A resourceVersion or uid in `obj` must be the current one. Nothing is written when nothing differs. When a
        deleted object loses its last finalizer it goes. Raises ApiFailure 404, 409, 422.
        """
        metadata = obj["metadata"]
        old = self.get(resource, metadata.get("namespace"), metadata["name"])
        if metadata.get("resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
            raise status.stale(resource, metadata["name"])
        if metadata.get("uid") not in (None, "", old["metadata"]["uid"]):
            other, own = metadata["uid"], old["metadata"]["uid"]
            why = f"Precondition failed: UID in precondition: {other}, UID in object meta: {own}"
            raise status.conflict(resource, metadata["name"], why)
        return self._write(resource, old, clone(obj), subresource, manager, dry_run)

    def modify(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        change: Callable[[Json], None],
        *,
        subresource: str = "",
        manager: str = "",
    ) -> Json:
        """Let `change` edit a copy of the object and write it, or only its status; no write when nothing differs."""
        old = self.get(resource, namespace, name)
        new = clone(old)
        change(new)
        return self._write(resource, old, new, subresource, manager, False)

    def _write(self, resource: Resource, old: Json, new: Json, subresource: str, manager: str, dry_run: bool) -> Json:
        """Write `new`, which nobody else holds, over `old`, as far as `subresource` reaches."""
        new = self._merged(resource, old, new, subresource)
        metadata = new["metadata"]
        if new == old:
            return old
        if subresource == "":
            _refuse(resource, new, validation.check_changed(resource, new, old))
            if resource is SERVICES:
                self._allocate(new, old, dry_run)
        if subresource == "status":
            _refuse(resource, new, validation.check_status(resource, new))
        generation = strategies.next_generation(resource, old, new)
        if generation is not None and subresource != "status":
            metadata["generation"] = generation
        if manager and self.manage is not None:
            self.manage(resource, old, new, manager, subresource)
        if dry_run:
            return new
        if _is_over(resource, new):  # the last finalizer goes unseen: a watcher sees the old object deleted
            self._remove(resource, old)
            return new
        stored = self.store.put(resource, new, old)
        if resource is SERVICES:
            self._allocator.release(old["spec"], stored["spec"])
        return stored

    def _allocate(self, service: Json, old: Json | None, dry_run: bool) -> None:
        try:
            self._allocator.allocate(service["spec"], old["spec"] if old else None, dry_run=dry_run)
        except allocation.Refused as e:
            raise status.invalid(SERVICES, service["metadata"]["name"], (e.cause,)) from e

    def _merged(self, resource: Resource, old: Json, new: Json, subresource: str) -> Json:
        if subresource == "":
            new = strategies.merge_spec(resource, old, new)
        elif subresource == "status":
            new = strategies.merge_status(resource, old, new)
        elif subresource == "finalize":
            new = {**old, "spec": {**old["spec"], "finalizers": new["spec"].get("finalizers") or []}}
        new["apiVersion"], new["kind"] = resource.api_version, resource.kind
        before, metadata = old["metadata"], dict(new["metadata"])
        new["metadata"] = metadata
        if subresource == "":
            defaults.fill(resource, new)
            strategies.prepare_update(resource, old, new)
        for part in strategies.KEPT_BY_SERVER:
            if part in before:
                metadata[part] = before[part]
            else:
                metadata.pop(part, None)
        metadata["resourceVersion"] = before["resourceVersion"]
        if "managedFields" in before:
            metadata.setdefault("managedFields", before["managedFields"])
        return new

    def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        grace: int | None = None,
        uid: str = "",
        version: str = "",
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> Json:
        """End an object as the real server does; gives it as it is then, or as it last was.

        A running pod gets its deletionTimestamp (now + `grace`) and stays for its kubelet; `grace` 0 removes it. What
        has finalizers stays until they are gone. Raises ApiFailure 404, and 409 when `uid` or `version` is another's.
        """
        obj = self.get(resource, namespace, name)
        deletion.check_preconditions(resource, obj, uid, version)
        if resource is NAMESPACES:
            return self._delete_namespace(obj, dry_run)
        ending = deletion.end(resource, obj, grace, propagation, self.clock.now())
        if ending.metadata:
            changed = {**obj, "metadata": _with(obj["metadata"], ending.metadata)}
            if dry_run:
                return changed
            obj = self.store.put(resource, changed, obj)
        return self._remove(resource, obj) if ending.remove and not dry_run else obj

    def _delete_namespace(self, obj: Json, dry_run: bool) -> Json:
        """A Namespace stays as Terminating until its controller has emptied it and takes its finalizer."""
        if "deletionTimestamp" not in obj["metadata"]:
            metadata = {**obj["metadata"], "deletionTimestamp": self.clock.stamp()}
            new = {**obj, "metadata": metadata, "status": {**obj.get("status", {}), "phase": "Terminating"}}
            if dry_run:
                return new
            obj = self.store.put(NAMESPACES, new, obj)
        return self._remove(NAMESPACES, obj) if _is_over(NAMESPACES, obj) and not dry_run else obj

    def _remove(self, resource: Resource, obj: Json) -> Json:
        if resource is SERVICES:
            self._allocator.release(obj["spec"], None)
        return self.store.remove(resource, obj)

    def bind(self, namespace: str, pod: str, node: str) -> None:
        """Give a pod its node, as the scheduler does; raises ApiFailure 404, and 409 when it has one."""
        old = self.get(PODS, namespace, pod)
        if "deletionTimestamp" in old["metadata"]:
            raise status.binding_conflict(pod, f"pod {pod} is being deleted, cannot be assigned to a host")
        if at(old, "spec", "nodeName"):
            raise status.binding_conflict(pod, f'pod {pod} is already assigned to node "{old["spec"]["nodeName"]}"')
        new = {**old, "metadata": dict(old["metadata"]), "spec": {**old["spec"], "nodeName": node}}
        conditions = [one for one in at(old, "status", "conditions") or () if one["type"] != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
        scheduled["lastTransitionTime"] = self.clock.stamp()
        new["status"] = {**old.get("status", {}), "conditions": [*conditions, scheduled]}
        self.store.put(PODS, new, old)

    def evict(self, namespace: str, name: str, eviction: Json) -> Json:
        """Delete a pod if its PodDisruptionBudget lets it; gives a Status of success.

        `eviction` is a policy/v1 Eviction; its deleteOptions count. Raises ApiFailure 404; 429 of three kinds and 500
        as the module `eviction` tells; 409 when a precondition fails.
        """
        if at(eviction, "metadata", "name") != name:
            raise status.bad_request("name in URL does not match name in Eviction object")
        options = eviction.get("deleteOptions") or {}
        dry_run = bool(options.get("dryRun"))
        pod = self.get(PODS, namespace, name)
        evicting.check_load(pod)
        budget = None if evicting.ignores_budgets(pod) else evicting.budget_of(pod, self.list(PDBS, namespace))
        if budget is not None and not evicting.is_free(pod, budget):
            evicting.refuse(budget)
            if not dry_run:
                self._write_status(PDBS, budget, evicting.spent(budget, name, self.clock.stamp()))
        preconditions = options.get("preconditions") or {}
        uid, version = preconditions.get("uid", ""), preconditions.get("resourceVersion", "")
        deletion.check_preconditions(PODS, pod, uid, version)
        if not dry_run:
            self._write_status(PODS, pod, evicting.targeted(pod, self.clock.stamp()))
        self.delete(
            PODS,
            namespace,
            name,
            grace=options.get("gracePeriodSeconds"),
            uid=uid,
            propagation=options.get("propagationPolicy", "Background"),
            dry_run=dry_run,
        )
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}

    def _write_status(self, resource: Resource, old: Json, new_status: Json) -> None:
        new = {**old, "metadata": dict(old["metadata"]), "status": new_status}
        self._write(resource, old, new, "status", "", False)

    def get_scale(self, resource: Resource, namespace: str, name: str) -> Json:
        """The autoscaling/v1 Scale of a Deployment, ReplicaSet or StatefulSet."""
        scaling.check_scalable(resource)
        return scaling.scale_of(self.get(resource, namespace, name))

    def put_scale(
        self, resource: Resource, namespace: str, name: str, scale: Json, *, manager: str = "", dry_run: bool = False
    ) -> Json:
        """Set the number of replicas; a resourceVersion in `scale` must be the current one."""
        scaling.check_scalable(resource)
        old = self.get(resource, namespace, name)
        replicas = scaling.wanted(resource, name, scale)
        if at(scale, "metadata", "resourceVersion") not in (None, "", old["metadata"]["resourceVersion"]):
            raise status.stale(resource, name)
        new = {**clone(old), "spec": {**clone(old["spec"]), "replicas": replicas}}
        return scaling.scale_of(self._write(resource, old, new, "", manager, dry_run))

    def forget_events(self, older_than_s: float) -> None:
        """Drop events that nothing has added to for so long, as their lease in etcd does after an hour."""
        limit = self.clock.now() - timedelta(seconds=older_than_s)
        for event in self.list(EVENTS):
            last = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
            if parse_time(last) < limit:
                self._remove(EVENTS, event)


def _refuse(resource: Resource, obj: Json, causes: Sequence[status.Cause]) -> None:
    if causes:
        raise status.invalid(resource, obj["metadata"].get("name", ""), causes)


def _with(metadata: Json, changes: Json) -> Json:
    return {key: value for key, value in {**metadata, **changes}.items() if value is not None}


def _is_over(resource: Resource, obj: Json) -> bool:
    """Whether a deleted object waits for nothing any more (store.go, ShouldDeleteDuringUpdate)."""
    metadata = obj["metadata"]
    if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
        return False
    if resource is NAMESPACES:
        return not at(obj, "spec", "finalizers")
    return not metadata.get("deletionGracePeriodSeconds")
