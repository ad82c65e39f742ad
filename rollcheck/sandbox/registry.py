"""What the API server does with objects, without HTTP: the rules of every verb, over the store.

All calls are plain and quick; nothing here waits. What is handed out is the stored object itself: never change it,
`trees.clone` it first, or use `modify`. Every refusal is a `status.ApiFailure`, worded as the real server words it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from rollcheck.sandbox import deletion, naming, selectors, status, strategies
from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.clock import Clock
from rollcheck.sandbox.resources import EVENTS, NAMESPACES, PODS, Resource
from rollcheck.sandbox.selectors import Selector
from rollcheck.sandbox.store import HISTORY, Change, Store, Watch
from rollcheck.sandbox.trees import Json, at, clone

NAMES_TRIED = 8
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
        self.manage: Manage | None = None
        for name in SYSTEM_NAMESPACES:
            self.create(NAMESPACES, None, {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}})

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
        new = clone(obj)
        metadata = self._identify(resource, namespace, new)
        strategies.prepare_create(resource, new)
        if manager and self.manage is not None:
            self.manage(resource, None, new, manager, "")
        if dry_run:
            return new
        stored = self.store.put(resource, new, None)
        assert metadata is stored["metadata"]
        return stored

    def _identify(self, resource: Resource, namespace: str | None, new: Json) -> Json:
        """Give a new object its type, place, name, uid and birth."""
        new["apiVersion"], new["kind"] = resource.api_version, resource.kind
        metadata: Json = new.setdefault("metadata", {})
        if metadata.get("resourceVersion"):
            raise status.internal_error("resourceVersion should not be set on objects to be created")
        for part in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"):
            metadata.pop(part, None)
        self._place(resource, namespace, metadata)
        self._name(resource, metadata)
        metadata["uid"] = naming.new_uid()
        metadata["creationTimestamp"] = self.clock.stamp()
        return metadata

    def _place(self, resource: Resource, namespace: str | None, metadata: Json) -> None:
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        place = metadata.setdefault("namespace", namespace)
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
            if self.peek(resource, place, metadata["name"]) is not None:
                raise status.already_exists(resource, metadata["name"])
            return
        base = metadata.get("generateName")
        if not base:
            what = "Required value: name or generateName is required"
            cause = status.Cause("FieldValueRequired", what, "metadata.name")
            raise status.invalid(resource, "", (cause,))
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
            deletion.check_preconditions(resource, old, metadata["uid"], "")
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
        generation = strategies.next_generation(resource, old, new)
        if generation is not None:
            metadata["generation"] = generation
        if manager and self.manage is not None:
            self.manage(resource, old, new, manager, subresource)
        if dry_run:
            return new
        stored = self.store.put(resource, new, old)
        return self._remove(resource, stored) if _is_over(resource, stored) else stored

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
        return self.store.remove(resource, obj)

    def bind(self, namespace: str, pod: str, node: str) -> None:
        """Give a pod its node, as the scheduler does; raises ApiFailure 404, and 409 when it has one."""
        old = self.get(PODS, namespace, pod)
        if "deletionTimestamp" in old["metadata"]:
            raise status.conflict(PODS, pod, f"pod {pod} is being deleted, cannot be assigned to a host")
        if at(old, "spec", "nodeName"):
            raise status.conflict(PODS, pod, f'pod {pod} is already assigned to node "{old["spec"]["nodeName"]}"')
        new = {**old, "metadata": dict(old["metadata"]), "spec": {**old["spec"], "nodeName": node}}
        conditions = [one for one in at(old, "status", "conditions") or () if one["type"] != "PodScheduled"]
        scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
        scheduled["lastTransitionTime"] = self.clock.stamp()
        new["status"] = {**old.get("status", {}), "conditions": [*conditions, scheduled]}
        self.store.put(PODS, new, old)

    def forget_events(self, older_than_s: float) -> None:
        """Drop events that nothing has added to for so long, as their lease in etcd does after an hour."""
        limit = self.clock.now() - timedelta(seconds=older_than_s)
        for event in self.list(EVENTS):
            last = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
            if deletion.parse_time(last) < limit:
                self._remove(EVENTS, event)


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
