"""List, then watch, for as long as it takes: a mirror of one resource, and every gap in it.

`WatchMachine` is the whole logic without I/O: a list or the bytes of a watch go in, changes come out, and `lost` says
why the mirror must be listed again. `Reflector` is the thin loop around it: requests, back-off, deadlines.

The rules (Kubernetes' own for clients): list, watch from the list's resourceVersion with bookmarks, go on from the
last version seen when a watch ends, list again and compare when the server no longer has that version (410, as a status
or as an event). A line that was cut off by a broken connection is dropped and never advances the version, so the
next watch brings it again.

What counts as a gap: any time in which a change may have reached us late or never. A watch that the server ended in
good order and that was taken up again within `SEAMLESS_S` is none.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio

from rollcheck.errors import ClusterDenied, ClusterError
from rollcheck.facts.clock import SECOND, Instant
from rollcheck.facts.cluster import Change, WatchGap
from rollcheck.kube import objects
from rollcheck.kube.api import Api, ClusterThrottled, NoAnswer

Json = dict[str, Any]

WATCH_S = 300
READ_SLACK_S = 30.0
SEAMLESS_S = 1.0
LINE_LIMIT = 32 * 1024 * 1024
BACKOFF_FIRST_S = 0.25
BACKOFF_MOST_S = 5.0
WAIT_MOST_S = 30.0


@dataclass(frozen=True, slots=True)
class Delta:
    """One change of one object; `raw` is the object as it is now, or as it last was."""

    change: Change
    raw: Json


class WatchMachine:
    """What is known of one resource, and how it changes.

    Attributes:
        version: the resourceVersion to watch from; empty before the first list.
        lost: why the mirror must be listed anew (empty while a watch can go on from `version`).
        known: uid → object, as the server last showed it.
    """

    def __init__(self) -> None:
        self.version = ""
        self.lost = "not listed yet"
        self.known: dict[str, Json] = {}
        self._torn = bytearray()
        self._listed_before = False

    def listed(self, items: list[Json], version: str) -> list[Delta]:
        """Take a whole list: the difference to what was known."""
        deltas: list[Delta] = []
        new: dict[str, Json] = {}
        first = Change.ADDED if self._listed_before else Change.LISTED
        for raw in items:
            uid, state = objects.uid_and_version(raw)
            new[uid] = raw
            before = self.known.get(uid)
            if before is None:
                deltas.append(Delta(first, raw))
            elif objects.uid_and_version(before)[1] != state:
                deltas.append(Delta(Change.MODIFIED, raw))
        gone = [Delta(Change.VANISHED, raw) for uid, raw in self.known.items() if uid not in new]
        self.known, self.version, self.lost, self._listed_before = new, version, "", True
        self._torn.clear()
        return gone + deltas

    def receive(self, data: bytes) -> list[Delta]:
        """Take the next bytes of a watch. After `lost` is set, what follows in the stream is ignored."""
        if self.lost:
            return []
        self._torn += data
        if b"\n" not in data:
            if len(self._torn) > LINE_LIMIT:
                self._lose("the watch sent a line without an end")
            return []
        *lines, rest = bytes(self._torn).split(b"\n")
        self._torn = bytearray(rest)
        deltas: list[Delta] = []
        for line in lines:
            if line.strip() and not self.lost:
                deltas += self._line(line)
        return deltas

    def end(self) -> bool:
        """The stream ended; whether it ended between two lines. What was cut off will come again."""
        whole = not self._torn.strip()
        self._torn.clear()
        return whole

    def gone(self, reason: str) -> None:
        """The server refused to go on from `version` (status 410)."""
        self._lose(reason)

    def _lose(self, reason: str) -> None:
        self.lost = reason
        self._torn.clear()

    def _line(self, line: bytes) -> list[Delta]:
        try:
            event = json.loads(line)
            kind, raw = event["type"], event["object"]
            if not isinstance(raw, dict):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            self._lose(f"the watch sent a line that is no watch event: {line[:60]!r}")
            return []
        if kind == "ERROR":
            self._lose(f"{raw.get('code', '')} {raw.get('reason') or raw.get('message') or 'error'}".strip())
            return []
        uid, state = objects.uid_and_version(raw)
        self.version = state or self.version
        if kind == "DELETED":
            return [Delta(Change.DELETED, raw)] if self.known.pop(uid, None) is not None else []
        if kind in ("ADDED", "MODIFIED"):
            before = self.known.get(uid)
            self.known[uid] = raw
            if before is None:
                return [Delta(Change.ADDED, raw)]
            same = objects.uid_and_version(before)[1] == state
            return [] if same else [Delta(Change.MODIFIED, raw)]
        return []  # BOOKMARK has done its work with the version; of a type not known yet nothing can be told


@dataclass(frozen=True, slots=True)
class Resource:
    """What to watch: `name` for people ("pods"), the path of its collection, and selectors."""

    name: str
    path: str
    labels: str = ""
    fields: str = ""

    @property
    def params(self) -> dict[str, str]:
        """The selectors as query parameters."""
        pairs = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {k: v for k, v in pairs.items() if v}


@dataclass(slots=True)
class _Break:
    """A span without a watch, while it is open."""

    start_ns: Instant
    reason: str
    seamless: bool
    relisted: bool = False


class Reflector:
    """Keeps one resource mirrored and hands on every change at once.

    Args:
        api: the API server.
        resource: what to mirror.
        on_change: called, sync, with each change and the instant at which its bytes arrived.
        on_gap: called once a gap has closed.
        on_contact: called with the instant of every sign of life of the API server.
    """

    def __init__(
        self,
        api: Api,
        resource: Resource,
        on_change: Callable[[Delta, Instant], None],
        on_gap: Callable[[WatchGap], None],
        on_contact: Callable[[Instant], None] = lambda _: None,
    ) -> None:
        self.machine = WatchMachine()
        self.resource = resource
        self._api = api
        self._on_change = on_change
        self._on_gap = on_gap
        self._on_contact = on_contact
        self._break: _Break | None = None
        self._contact_ns = 0
        self._failures = 0
        # since when nothing has proved that the watch is whole: a server may accept a version and only then, on the
        # open stream, say that it has expired
        self._doubt_ns: Instant | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Mirror until cancelled; `started()` after the first list.

        Raises:
            ClusterError: the first list failed. Later failures become gaps, and are tried again.
        """
        await self._list()
        task_status.started()
        while True:
            pause_s = 0.0
            try:
                if self.machine.lost:
                    await self._list()
                    if self._break is not None:
                        self._break.relisted = True
                await self._watch()
            except ClusterDenied as e:
                pause_s = self._failed(str(e))
            except ClusterError as e:
                asked = e.retry_after_s if isinstance(e, ClusterThrottled) else 0.0
                if getattr(e, "status", 0) == 410:
                    self.machine.gone(str(e))
                words, silent = (e.words, e.silent) if isinstance(e, NoAnswer) else (str(e), False)
                pause_s = self._failed(words, asked_s=asked, silent=silent)
            await trio.sleep(pause_s)

    def close_gap(self) -> None:
        """Hand on the gap that is open now, if there is one: the run ends in it."""
        self._mend()

    async def _list(self) -> None:
        listing = await self._api.list_all(self.resource.path, self.resource.params)
        now = self._heard()
        for delta in self.machine.listed(listing.items, listing.resource_version):
            self._on_change(delta, now)
        self._doubt_ns = None

    async def _watch(self) -> None:
        """One watch, to its end."""
        began = trio.current_time()
        params = {
            **self.resource.params,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
            "resourceVersion": self.machine.version,
        }
        async with self._api.stream(self.resource.path, params, read_s=WATCH_S + READ_SLACK_S) as pieces:
            self._heard()
            self._mend()
            with trio.CancelScope() as scope:
                async for piece in pieces:
                    now = self._heard()
                    version = self.machine.version
                    for delta in self.machine.receive(piece):
                        self._on_change(delta, now)
                    if self.machine.version != version:
                        self._doubt_ns = None
                    if self.machine.lost:
                        scope.cancel()  # not `break`: that would leave httpx's generators half read
        whole = self.machine.end()
        reason = self.machine.lost or ("the watch ended" if whole else "the watch was cut off within a line")
        self._open(reason, seamless=whole and not self.machine.lost)
        if trio.current_time() - began >= SEAMLESS_S:
            self._failures = 0
        else:
            # a server that ends every watch at once must not be asked as fast as it answers
            await trio.sleep(self._back_off())

    def _failed(self, reason: str, *, asked_s: float = 0.0, silent: bool = False) -> float:
        """Note a failed request; seconds to wait before the next."""
        self.machine.end()
        self._open(reason, seamless=False, silent=silent)
        return min(max(asked_s, self._back_off()), WAIT_MOST_S)

    def _back_off(self) -> float:
        pause_s = min(BACKOFF_FIRST_S * 2.0**self._failures, BACKOFF_MOST_S)
        self._failures = min(self._failures + 1, 10)
        return pause_s * random.uniform(0.5, 1.0)

    def _heard(self) -> Instant:
        self._contact_ns = time.monotonic_ns()
        self._on_contact(self._contact_ns)
        return self._contact_ns

    def _open(self, reason: str, *, seamless: bool, silent: bool = False) -> None:
        # a peer that ended the connection had delivered all before; one that fell silent had not
        start = self._contact_ns if silent else time.monotonic_ns()
        if self._break is None:
            self._break = _Break(start, reason, seamless)
        elif self._break.seamless and not seamless:
            self._break.reason, self._break.seamless = reason, False
        if self.machine.lost and self._doubt_ns is not None:
            self._break.start_ns = min(self._break.start_ns, self._doubt_ns)
        if self._doubt_ns is None:
            self._doubt_ns = self._break.start_ns

    def _mend(self) -> None:
        broken, self._break = self._break, None
        if broken is None:
            return
        end = time.monotonic_ns()
        if broken.seamless and not broken.relisted and end - broken.start_ns < SEAMLESS_S * SECOND:
            return
        self._on_gap(
            WatchGap(
                resource=self.resource.name,
                start_ns=broken.start_ns,
                end_ns=end,
                reason=broken.reason,
                relisted=broken.relisted,
            )
        )
