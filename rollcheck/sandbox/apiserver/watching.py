"""Watches: changes as they happen, one JSON object a line, with bookmarks."""

from __future__ import annotations

import trio

from rollcheck.sandbox.apiserver import documents, options
from rollcheck.sandbox.apiserver.documents import Documents, Wanted, dump
from rollcheck.sandbox.apiserver.routing import Target
from rollcheck.sandbox.apiserver.wire import Answer, Request, Send
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.store import Watch
from rollcheck.sandbox.trees import Json

BOOKMARK_S = 60.0
"""As the real server's watch cache: about one a minute, and one shortly before a timeout's end."""
LONGEST_S = 3600.0
PIECE = 256 * 1024


class Feed:
    """One client's watch: what it was promised, and how its lines are made."""

    def __init__(self, papers: Documents, resource: Resource, want: Wanted, watch: Watch, *, bookmarks: bool) -> None:
        self._papers = papers
        self._resource = resource
        self._want = want
        self._watch = watch
        self._bookmarks = bookmarks
        self._header = True

    def line(self, type_: str, obj: Json) -> bytes:
        """One change; a table has its columns in the first line alone."""
        found = self._papers.event(type_, self._resource, obj, self._want, header=self._header)
        self._header = False
        return found

    def bookmark(self, *, initial_end: bool = False) -> bytes:
        """How far the watch has come."""
        return self._papers.bookmark(self._resource, self._watch.version(), self._want, initial_end=initial_end)

    async def run(self, send: Send, first: list[Json], seconds: float, *, mark_first: bool) -> None:
        """Send the objects of the beginning, then every change, until the time is over."""
        await self._send_first(send, first)
        if mark_first:
            await send(self.bookmark(initial_end=True))
        end = trio.current_time() + seconds
        while (now := trio.current_time()) < end:
            changes = None
            # never cut off while sending: half a line would be taken for a broken server
            with trio.move_on_at(min(end, now + BOOKMARK_S)):
                changes = await self._watch.batch()
            if changes:
                await send(b"".join(self.line(change.type, change.object) for change in changes))
            elif self._bookmarks:
                await send(self.bookmark())

    async def _send_first(self, send: Send, first: list[Json]) -> None:
        lines: list[bytes] = []
        for obj in first:
            lines.append(self.line("ADDED", obj))
            if sum(map(len, lines)) > PIECE:
                await send(b"".join(lines))
                lines.clear()
        await send(b"".join(lines))


class Watching:
    """Answers `?watch=true`."""

    def __init__(self, registry: Registry, papers: Documents) -> None:
        self.registry = registry
        self.papers = papers

    def answer(self, request: Request, target: Target) -> Answer:
        """A stream of changes; what history has forgotten is told inside it, as one ERROR event (410)."""
        want = documents.wanted(request.headers.get("accept", ""), request.query)
        options.check_match(request, watching=True)
        since = options.version(request)
        options.check_version(since, self.registry.version())
        seconds = float(options.integer(request, "timeoutSeconds") or LONGEST_S)
        labels, fields = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
        if target.name:
            fields = ",".join(filter(None, (fields, f"metadata.name={target.name}")))
        resource, namespace = target.resource, target.namespace
        initial = request.flag("sendInitialEvents") or (not since and "sendInitialEvents" not in request.query)
        first = self.registry.list(resource, namespace, labels=labels, fields=fields) if initial else []
        try:
            start = None if initial or not since else since
            watch = self.registry.watch(resource, namespace, since=start, labels=labels, fields=fields)
        except ApiFailure as e:
            if e.code != 410:
                raise
            body = dump({"type": "ERROR", "object": e.body()})
            return Answer(pump=lambda send: send(body))
        bookmarks = request.flag("allowWatchBookmarks")
        mark = bookmarks and request.flag("sendInitialEvents")
        feed = Feed(self.papers, resource, want, watch, bookmarks=bookmarks)
        return Answer(pump=lambda send: feed.run(send, first, seconds, mark_first=mark))


def is_asked(request: Request) -> bool:
    """Whether a GET of a collection is a watch."""
    return request.flag("watch")
