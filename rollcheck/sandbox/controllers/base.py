"""What every controller is: changes that wake keys, and what is done for a key.

`Controller` gives its subclasses the registry, a queue, events under their name, and the few writes that most of them
make. `Feed` brings one resource's changes to whoever wants them, first everything there is.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Mapping
from datetime import datetime
from typing import ClassVar

import trio

from rollcheck.sandbox import selectors
from rollcheck.sandbox.controllers.fenceposts import slow_start
from rollcheck.sandbox.controllers.objects import controller_of, is_controlled_by, is_deleting, key_of, labels_of
from rollcheck.sandbox.controllers.pods import vital_signs
from rollcheck.sandbox.controllers.workqueue import LOG, UNREADABLE, Key, WorkQueue, work_off
from rollcheck.sandbox.events import EventRecorder
from rollcheck.sandbox.pace import Pace
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import PODS, Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, clone, name_of, namespace_of, uid_of

Handler = Callable[[Change], None]

MANAGER = "kube-controller-manager"
MANY_PODS = 500
REST_S = 0.0002
BURST = 500


class TryLater(Exception):
    """A key could not be finished; the sentence says why. It is tried again after a delay."""


class Controller:
    """One kind of loop. Subclasses say which changes wake which key, and make one key's object as it should be.

    Attributes:
        component: the name under which its events are written.
        pace: the order among those who work; one of its own, unless it is given that of others.
    """

    component: ClassVar[str] = "controllermanager"
    manager: ClassVar[str] = MANAGER

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.queue = WorkQueue()
        self.pace = Pace()
        self.events = EventRecorder(registry, self.component)

    def watched(self) -> Mapping[Resource, Handler]:
        """The resources whose changes it wants, and what takes them."""
        raise NotImplementedError

    async def reconcile(self, key: Key) -> None:
        """Make the object of that key as it should be, or a step towards it.

        Raises:
            ApiFailure: the registry refused a write; the key is tried again.
            TryLater: something is not there yet; likewise.
        """
        raise NotImplementedError

    async def run(self) -> None:
        """Work off the queue, for ever."""
        await work_off(self.queue, self.reconcile, (ApiFailure, TryLater), self.component, self.pace)

    def now(self) -> datetime:
        """The sandbox's time."""
        return self.registry.clock.now()

    def wake(self, change: Change) -> None:
        """The handler for what the controller itself looks after."""
        self.queue.add(key_of(change.object))

    def wake_owner(self, kind: str) -> Handler:
        """A handler that wakes the managing owner of that kind; the former one too where it has changed hands."""

        def handler(change: Change) -> None:
            for obj in (change.object, change.previous):
                owner = controller_of(obj) if obj is not None else None
                if obj is not None and owner is not None and owner["kind"] == kind:
                    self.queue.add((namespace_of(obj), owner["name"]))

        return handler

    def wake_owner_of_pod(self, kind: str) -> Handler:
        """`wake_owner` for pods, when something has changed that an owner counts."""
        wake = self.wake_owner(kind)

        def handler(change: Change) -> None:
            before = change.previous
            if change.type != "MODIFIED" or before is None or vital_signs(before) != vital_signs(change.object):
                wake(change)

        return handler

    def wake_selecting(self, resource: Resource, handler: Handler) -> Handler:
        """`handler`, and for an orphan a look by everyone of that resource whose selector takes it."""

        def wrapped(change: Change) -> None:
            handler(change)
            pod = change.object
            if controller_of(pod) is None and change.type != "DELETED":
                for owner in self.registry.list(resource, namespace_of(pod)):
                    if chooser(owner["spec"].get("selector"))(labels_of(pod)):
                        self.queue.add(key_of(owner))

        return wrapped

    def claim(self, resource: Resource, owner: Json, owner_ref: Json) -> list[Json]:
        """The objects of that resource which `owner` manages: orphans that it selects adopted, strangers let go."""
        selects, uid = chooser(owner["spec"].get("selector")), uid_of(owner)
        mine: list[Json] = []
        for obj in self.registry.list(resource, namespace_of(owner)):
            if is_controlled_by(obj, uid):
                if selects(labels_of(obj)):
                    mine.append(obj)
                elif not is_deleting(owner):
                    self._release(resource, obj, uid)
            elif _is_free(obj, owner) and selects(labels_of(obj)):
                mine.append(self._adopt(resource, obj, owner_ref))
        return mine

    def _adopt(self, resource: Resource, obj: Json, owner_ref: Json) -> Json:
        def change(copy: Json) -> None:
            copy["metadata"].setdefault("ownerReferences", []).append(owner_ref)

        return self.registry.modify(resource, namespace_of(obj), name_of(obj), change, manager=self.manager)

    def _release(self, resource: Resource, obj: Json, uid: str) -> None:
        def change(copy: Json) -> None:
            rest = [ref for ref in copy["metadata"].get("ownerReferences") or () if ref.get("uid") != uid]
            if rest:
                copy["metadata"]["ownerReferences"] = rest
            else:
                copy["metadata"].pop("ownerReferences", None)

        self.registry.modify(resource, namespace_of(obj), name_of(obj), change, manager=self.manager)

    def rest(self, key: Key, pods: int) -> None:
        """Let a key with very many pods rest after a look, so that their changes are taken together."""
        if pods > MANY_PODS:
            self.queue.rest(key, pods * REST_S)

    def set_status(self, resource: Resource, obj: Json, status: Json) -> Json:
        """Write the status whole; nothing is written where it already is so."""

        def change(copy: Json) -> None:
            copy["status"] = clone(status)

        return self.registry.modify(
            resource, namespace_of(obj) or None, name_of(obj), change, subresource="status", manager=self.manager
        )

    def create_pod(self, owner: Json, pod: Json) -> Json | None:
        """Create the pod and say so in an event; None in a namespace that is going away.

        Raises:
            ApiFailure: it was refused; an event says why.
        """
        try:
            created = self.registry.create(PODS, namespace_of(owner), pod, manager=self.manager)
        except ApiFailure as failure:
            if namespace_is_ending(failure):
                return None
            self.events.emit(owner, "Warning", "FailedCreate", f"Error creating: {failure.message}")
            raise
        self.events.emit(owner, "Normal", "SuccessfulCreate", f"Created pod: {name_of(created)}")
        return created

    def delete_pod(self, owner: Json, pod: Json) -> None:
        """Delete the pod with its own grace and say so in an event; nothing where it is gone already.

        Raises:
            ApiFailure: it was refused; an event says why.
        """
        try:
            self.registry.delete(PODS, namespace_of(pod), name_of(pod), uid=uid_of(pod))
        except ApiFailure as failure:
            if failure.code == 404:
                return
            self.events.emit(owner, "Warning", "FailedDelete", f"Error deleting: {failure.message}")
            raise
        self.events.emit(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")


def chooser(selector: Json | None) -> Callable[[Mapping[str, str]], bool]:
    """Whether labels are chosen by a LabelSelector; quicker than `selectors` where it only names labels."""
    wanted = (selector or {}).get("matchLabels")
    if selector is None or not wanted or selector.get("matchExpressions"):
        return selectors.of_object(selector).matches
    pairs: ItemsView[str, str] = wanted.items()
    return lambda labels: pairs <= labels.items()


def _is_free(obj: Json, owner: Json) -> bool:
    return controller_of(obj) is None and not is_deleting(obj) and not is_deleting(owner)


def namespace_is_ending(failure: ApiFailure) -> bool:
    """Whether a create was refused because its namespace is being deleted."""
    causes = failure.details.get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


async def in_batches(actions: Iterable[Callable[[], object]]) -> int:
    """Do all of it in batches of 1, 2, 4, 8 …; a batch in which something failed is the last one.

    The loop is given back after every action, so that a large batch holds up nobody.

    Returns:
        How many went well.

    Raises:
        ApiFailure: the first failure, once its batch is done.
    """
    waiting = list(actions)[:BURST]
    done = 0
    for size in slow_start(len(waiting)):
        failures: list[ApiFailure] = []
        for action in waiting[:size]:
            try:
                action()
                done += 1
            except ApiFailure as failure:
                failures.append(failure)
            await trio.lowlevel.checkpoint()
        if failures:
            raise failures[0]
        waiting = waiting[size:]
    return done


async def feed(
    registry: Registry,
    resource: Resource,
    handlers: list[Handler],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Bring a resource's changes to the handlers, for ever: first all there is, as added, then what happens.

    A watch that the registry compacted away (410) is taken up by a new list, compared with what was known.
    """
    known: dict[str, Json] = {}
    while True:
        version = registry.version()
        for change in _difference(known, registry.list(resource)):
            _hand_out(change, handlers, known)
        task_status.started()
        task_status = trio.TASK_STATUS_IGNORED
        try:
            async for change in registry.watch(resource, since=version):
                if change.type != "BOOKMARK":
                    _hand_out(change, handlers, known)
        except ApiFailure as failure:
            if failure.code != 410:
                raise


def _hand_out(change: Change, handlers: list[Handler], known: dict[str, Json]) -> None:
    uid = uid_of(change.object)
    if change.type == "DELETED":
        known.pop(uid, None)
    else:
        known[uid] = change.object
    for handler in handlers:
        try:
            handler(change)
        except UNREADABLE as error:
            LOG.error("a change of %s cannot be read: %r", "/".join(filter(None, key_of(change.object))), error)


def _difference(known: Mapping[str, Json], listed: list[Json]) -> list[Change]:
    """The changes between what was known and what is listed now."""
    now = {uid_of(obj): obj for obj in listed}
    changes = [Change("DELETED", obj, obj, 0) for uid, obj in known.items() if uid not in now]
    for uid, obj in now.items():
        before = known.get(uid)
        if before is not obj:
            changes.append(Change("ADDED" if before is None else "MODIFIED", obj, before, 0))
    return changes
