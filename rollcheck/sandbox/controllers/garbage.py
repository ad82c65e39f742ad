"""The garbage collector: what an owner's end means for what it owns.

Background (the owner is gone, its dependents follow), foreground (the owner waits with `foregroundDeletion` until those
that block it are gone) and orphan (the owner waits with `orphan` until its dependents have forgotten it), as
`pkg/controller/garbagecollector` does it. The graph of owners is kept by uid from the changes of every kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rollcheck.sandbox.controllers.base import Controller, Handler
from rollcheck.sandbox.controllers.objects import is_deleting
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.deletion import FOREGROUND, ORPHAN
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import EVENTS, LEASES, NAMESPACES, RESOURCES, Resource, of_kind
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, name_of, namespace_of, uid_of

IGNORED = (EVENTS, LEASES, NAMESPACES)


@dataclass(slots=True)
class Spot:
    """Where an object is to be found, and by whom it is owned."""

    resource: Resource
    namespace: str
    name: str
    owners: set[str] = field(default_factory=set)


class GarbageCollector(Controller):
    """Deletes, or lets go, what an owner leaves behind. Its keys are ("", uid)."""

    component = "garbage-collector-controller"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._spots: dict[str, Spot] = {}
        self._dependents: dict[str, set[str]] = {}

    def watched(self) -> Mapping[Resource, Handler]:
        """Everything that can own or be owned."""
        return {resource: self._handler(resource) for resource in RESOURCES if resource not in IGNORED}

    def _handler(self, resource: Resource) -> Handler:
        def handler(change: Change) -> None:
            uid = uid_of(change.object)
            if change.type == "DELETED":
                self._forget(uid)
            else:
                self._note(resource, uid, change.object)

        return handler

    def _note(self, resource: Resource, uid: str, obj: Json) -> None:
        owners = {str(ref["uid"]) for ref in obj["metadata"].get("ownerReferences") or ()}
        spot = self._spots.get(uid)
        if spot is None:
            spot = self._spots[uid] = Spot(resource, namespace_of(obj), name_of(obj))
        for gone in spot.owners - owners:
            self._unlink(gone, uid)
        for owner in owners - spot.owners:
            self._dependents.setdefault(owner, set()).add(uid)
            if owner not in self._spots:  # perhaps gone before its dependent was seen
                self.queue.add(("", uid))
        spot.owners = owners
        if is_deleting(obj) and (obj["metadata"].get("finalizers") or owners):
            self.queue.add(("", uid))

    def _forget(self, uid: str) -> None:
        spot = self._spots.pop(uid, None)
        for owner in spot.owners if spot is not None else ():
            self._unlink(owner, uid)
            self.queue.add(("", owner))  # which may have waited for this one
        for dependent in sorted(self._dependents.get(uid, ())):
            self.queue.add(("", dependent))

    def _unlink(self, owner: str, uid: str) -> None:
        dependents = self._dependents.get(owner, set())
        dependents.discard(uid)
        if not dependents:
            self._dependents.pop(owner, None)

    async def reconcile(self, key: Key) -> None:
        """End what the object's owners' end asks for, or finish its own."""
        uid = key[1]
        spot = self._spots.get(uid)
        obj = self._object(uid)
        if spot is None or obj is None:
            return
        finalizers = obj["metadata"].get("finalizers") or ()
        if is_deleting(obj) and ORPHAN in finalizers:
            self._orphan(spot, obj)
        elif is_deleting(obj) and FOREGROUND in finalizers:
            self._finish_foreground(spot, obj)
        elif not is_deleting(obj):
            self._collect(spot, obj)

    def _object(self, uid: str) -> Json | None:
        spot = self._spots.get(uid)
        found = self.registry.peek(spot.resource, spot.namespace, spot.name) if spot is not None else None
        return found if found is not None and uid_of(found) == uid else None

    def _collect(self, spot: Spot, obj: Json) -> None:
        """Delete the object once no owner of it lives that does not itself wait for it."""
        solid, waiting, dangling = self._owners(obj)
        if not waiting and not dangling:
            return
        if solid:
            self._drop_owners(spot, {*waiting, *dangling})
            return
        propagation = "Foreground" if waiting and self._dependents.get(uid_of(obj)) else "Background"
        finalizers = obj["metadata"].get("finalizers") or ()
        if ORPHAN in finalizers or FOREGROUND in finalizers:
            propagation = "Orphan" if ORPHAN in finalizers else "Foreground"
        self._delete(spot, obj, propagation)

    def _owners(self, obj: Json) -> tuple[set[str], set[str], set[str]]:
        """The uids of owners that live, that wait for their dependents to go, and that are gone."""
        solid: set[str] = set()
        waiting: set[str] = set()
        dangling: set[str] = set()
        for reference in obj["metadata"].get("ownerReferences") or ():
            uid = str(reference["uid"])
            owner = self._owner(reference, namespace_of(obj))
            if owner is None:
                dangling.add(uid)
            elif is_deleting(owner) and FOREGROUND in (owner["metadata"].get("finalizers") or ()):
                waiting.add(uid)
            else:
                solid.add(uid)
        return solid, waiting, dangling

    def _owner(self, reference: Json, namespace: str) -> Json | None:
        resource = of_kind(reference["apiVersion"], reference["kind"])
        if resource is None:
            return {"metadata": {}}  # of a kind that is not kept here: nothing is known, so nothing is deleted
        found = self.registry.peek(resource, namespace if resource.namespaced else None, reference["name"])
        return found if found is not None and uid_of(found) == reference["uid"] else None

    def _finish_foreground(self, spot: Spot, obj: Json) -> None:
        """Delete the dependents; take the finalizer off once none that blocks is left."""
        blocking = False
        for uid in sorted(self._dependents.get(uid_of(obj), ())):
            dependent = self._object(uid)
            if dependent is None:
                continue
            if not is_deleting(dependent):
                self.queue.add(("", uid))
            references = dependent["metadata"].get("ownerReferences") or ()
            blocking |= any(r["uid"] == uid_of(obj) and r.get("blockOwnerDeletion") for r in references)
        if not blocking:
            self._drop_finalizer(spot, FOREGROUND)

    def _orphan(self, spot: Spot, obj: Json) -> None:
        for uid in sorted(self._dependents.get(uid_of(obj), ())):
            dependent = self._spots.get(uid)
            if dependent is not None:
                self._drop_owners(dependent, {uid_of(obj)})
        self._drop_finalizer(spot, ORPHAN)

    def _drop_owners(self, spot: Spot, uids: set[str]) -> None:
        def change(copy: Json) -> None:
            rest = [r for r in copy["metadata"].get("ownerReferences") or () if r["uid"] not in uids]
            if rest:
                copy["metadata"]["ownerReferences"] = rest
            else:
                copy["metadata"].pop("ownerReferences", None)

        if self.registry.peek(spot.resource, spot.namespace, spot.name) is not None:
            self.registry.modify(spot.resource, spot.namespace, spot.name, change, manager=self.manager)

    def _drop_finalizer(self, spot: Spot, finalizer: str) -> None:
        def change(copy: Json) -> None:
            rest = [f for f in copy["metadata"].get("finalizers") or () if f != finalizer]
            if rest:
                copy["metadata"]["finalizers"] = rest
            else:
                copy["metadata"].pop("finalizers", None)

        self.registry.modify(spot.resource, spot.namespace, spot.name, change, manager=self.manager)

    def _delete(self, spot: Spot, obj: Json, propagation: str) -> None:
        try:
            self.registry.delete(
                spot.resource, spot.namespace or None, spot.name, uid=uid_of(obj), propagation=propagation
            )
        except ApiFailure as failure:
            if failure.code != 404:
                raise
