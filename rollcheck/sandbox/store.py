"""Objects, their versions and their history: etcd and the watch cache, in a few dicts.

Writes are plain calls and never wait for a reader. Every kind has one chain of changes, each pointing to the next; a
watcher only holds the last link it has seen. So a slow watcher loses nothing and costs the writer nothing, and what no
watcher and no bounded history holds any more is freed by Python. Only who comes with an old version can be told that
the history no longer reaches so far back (410).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import trio

from rollcheck.sandbox import status
from rollcheck.sandbox.resources import RESOURCES, Resource
from rollcheck.sandbox.trees import Json

HISTORY = 20_000
"""Changes of one kind that can still be watched from. Beyond, a client lists anew, as after etcd's compaction."""


@dataclass(frozen=True, slots=True)
class Change:
    """One write, as a watcher is told.

    Attributes:
        type: ADDED, MODIFIED, DELETED or BOOKMARK.
        object: as it is now; for DELETED as it last was, with the version of the deletion.
        previous: as it was before, None for ADDED.
        version: of the whole store, after this write.
    """

    type: str
    object: Json
    previous: Json | None
    version: int


class _Link:
    """A change and, once there is one, the next."""

    __slots__ = ("change", "next")

    def __init__(self, change: Change | None) -> None:
        self.change = change
        self.next: _Link | None = None


class Shelf:
    """All objects of one kind, by namespace and name, and what happened to them.

    Attributes:
        compacted: the version up to which history has been forgotten.
    """

    def __init__(self, history: int = HISTORY) -> None:
        self._objects: dict[str, dict[str, Json]] = {}
        self._names: dict[str, list[str]] = {}
        self._namespaces: list[str] = []
        self._history: deque[_Link] = deque()
        self._limit = history
        self.compacted = 0
        self.last = _Link(None)
        self.waiting = trio.lowlevel.ParkingLot()

    def get(self, namespace: str, name: str) -> Json | None:
        """The object, or None."""
        shelf = self._objects.get(namespace)
        return shelf.get(name) if shelf is not None else None

    def each(self, namespace: str | None) -> Iterator[Json]:
        """Objects of one namespace, or of all, in the order of etcd's keys."""
        for place in self._namespaces if namespace is None else (namespace,):
            objects = self._objects.get(place, {})
            for name in self._names.get(place, ()):
                yield objects[name]

    def count(self) -> int:
        """How many objects there are."""
        return sum(map(len, self._objects.values()))

    def record(self, change: Change, namespace: str, name: str) -> None:
        """Make `change` true, and wake who waits for it."""
        if change.type == "DELETED":
            self._remove(namespace, name)
        else:
            if change.previous is None:
                self._insert(namespace, name)
            self._objects[namespace][name] = change.object
        link = _Link(change)
        self.last.next = link
        self.last = link
        self._history.append(link)
        while len(self._history) > self._limit:
            self._forget_oldest()
        if self.waiting:
            self.waiting.unpark_all()

    def compact(self, version: int) -> None:
        """Forget the history up to and with `version`; watchers under way lose nothing."""
        while self._history and (change := self._history[0].change) and change.version <= version:
            self._forget_oldest()
        self.compacted = max(self.compacted, version)

    def after(self, version: int) -> _Link:
        """The link whose `next` is the first change after `version`; raises 410 when that is forgotten."""
        if version < self.compacted:
            raise status.too_old(version, self.compacted)
        place = bisect_left(self._history, version + 1, key=_version_of)
        if place == len(self._history):
            return self.last
        start = _Link(None)
        start.next = self._history[place]
        return start

    def _insert(self, namespace: str, name: str) -> None:
        if namespace not in self._objects:
            self._objects[namespace] = {}
            self._names[namespace] = []
            insort(self._namespaces, namespace, key=lambda place: place + "/")  # etcd sorts "a-b/x" before "a/x"
        insort(self._names[namespace], name)

    def _remove(self, namespace: str, name: str) -> None:
        objects, names = self._objects[namespace], self._names[namespace]
        del objects[name]
        del names[bisect_left(names, name)]
        if not objects:
            del self._objects[namespace], self._names[namespace]
            self._namespaces.remove(namespace)

    def _forget_oldest(self) -> None:
        self.compacted = _version_of(self._history.popleft())


def _version_of(link: _Link) -> int:
    assert link.change is not None
    return link.change.version


class Watch:
    """The changes of one kind from some version on: `async for change in watch`.

    Nothing is lost between its making and the first step. It holds no resource but memory: leave it when done.
    """

    def __init__(
        self, shelf: Shelf, start: _Link, view: Callable[[Change], Change | None], version: Callable[[], int]
    ) -> None:
        self._shelf = shelf
        self._link = start
        self._view = view
        self._now = version

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Change:
        await trio.lowlevel.checkpoint()  # before taking anything: a cancelled step loses no change
        while (change := self.pending()) is None:
            await self._shelf.waiting.park()
        return change

    def pending(self) -> Change | None:
        """The next change if it has already happened, without waiting."""
        while (link := self._link.next) is not None:
            self._link = link
            assert link.change is not None
            if (seen := self._view(link.change)) is not None:
                return seen
        return None

    async def batch(self, most: int = 500) -> list[Change]:
        """Wait for a change, then give all that have happened, at most `most`."""
        found = [await anext(self)]
        while len(found) < most and (change := self.pending()) is not None:
            found.append(change)
        return found

    def version(self) -> int:
        """The newest version up to which this watch has told everything: what a bookmark may say."""
        if self._link.next is None:
            return self._now()
        return self._link.change.version if self._link.change is not None else 0

    async def aclose(self) -> None:
        """Let go of the history."""
        self._link = self._shelf.last
        await trio.lowlevel.checkpoint()


class Store:
    """One shelf a kind, and one version for all.

    Attributes:
        version: the resourceVersion of the newest write.
    """

    def __init__(self, resources: tuple[Resource, ...] = RESOURCES, history: int = HISTORY) -> None:
        self.version = 1
        self.shelves = {resource: Shelf(history) for resource in resources}

    def put(self, resource: Resource, obj: Json, previous: Json | None) -> Json:
        """Write `obj`, which the store then owns, under the next version."""
        self.version += 1
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(self.version)
        kind = "MODIFIED" if previous is not None else "ADDED"
        change = Change(kind, obj, previous, self.version)
        self.shelves[resource].record(change, metadata.get("namespace", ""), metadata["name"])
        return obj

    def remove(self, resource: Resource, obj: Json) -> Json:
        """Delete the stored `obj`; gives it as watchers see it last, under the version of its deletion."""
        self.version += 1
        metadata = obj["metadata"]
        last = {**obj, "metadata": {**metadata, "resourceVersion": str(self.version)}}
        change = Change("DELETED", last, obj, self.version)
        self.shelves[resource].record(change, metadata.get("namespace", ""), metadata["name"])
        return last

    def compact(self) -> None:
        """Forget all history: every watch from an older version gets 410."""
        for shelf in self.shelves.values():
            shelf.compact(self.version)

    def watch(self, resource: Resource, since: int | None, view: Callable[[Change], Change | None]) -> Watch:
        """Changes after `since`, or from now on, as `view` shows them (None: not at all).

        Raises ApiFailure 410 when the history no longer reaches back to `since`.
        """
        shelf = self.shelves[resource]
        if since is None or since == self.version:
            return Watch(shelf, shelf.last, view, lambda: self.version)
        if since < self.version:
            return Watch(shelf, shelf.after(since), view, lambda: self.version)
        # A version of the future, from a client that knew another cluster here: as in etcd, it waits for its time.
        return Watch(shelf, shelf.last, lambda change: view(change) if change.version > since else None, lambda: since)
