"""The queue of keys that a controller works off, and the loop that does it.

Level-triggered: a key says *look at this object*, never what happened to it. However often a key is added before its
turn comes, it is worked on once; added while it is worked on, it comes again. A key that failed comes again after a
delay that doubles, from 5 ms up to 16 min 40 s as in client-go; one may also be asked for after so many seconds.

One task works off one queue, so no key is ever worked on twice at the same time. Controllers read the registry itself,
not a cache that lags behind it: what one has created it sees at its next look. That is why none of them needs the
expectations that keep Kubernetes' controllers from creating a pod twice.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Awaitable, Callable

import trio

from rollcheck.sandbox.pace import Pace

Key = tuple[str, str]

LOG = logging.getLogger(__name__)
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError)
"""What a look at an object raises whose fields are not what they should be. It must not end the other controllers."""

BACKOFF_FIRST_S = 0.005
BACKOFF_MOST_S = 1000.0


class WorkQueue:
    """Keys in the order in which they were first added, and keys that wait for their time."""

    def __init__(self) -> None:
        self._ready: dict[Key, None] = {}
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._failures: dict[Key, int] = {}
        self._resting: dict[Key, float] = {}
        self._wake = trio.Event()

    def __len__(self) -> int:
        """Keys that could be worked on now."""
        return len(self._ready)

    def add(self, key: Key) -> None:
        """Have the key looked at as soon as its turn comes, or once it has rested."""
        if self._resting:
            left = self._resting.get(key, 0.0) - trio.current_time()
            if left > 0:
                self.add_after(key, left)
                return
            self._resting.pop(key, None)
        self._ready[key] = None
        self._wake.set()

    def rest(self, key: Key, seconds: float) -> None:
        """Have the key not looked at for so long, though it is added: its looks are dear."""
        self._resting[key] = trio.current_time() + seconds

    def add_after(self, key: Key, seconds: float) -> None:
        """Have the key looked at in so many seconds, or sooner where that was asked for before."""
        if seconds <= 0:
            self.add(key)
            return
        due = trio.current_time() + seconds
        if self._due.get(key, math.inf) > due:
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._wake.set()

    def retry(self, key: Key) -> None:
        """Have a key that failed looked at again, later after every failure."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(BACKOFF_FIRST_S * 2 ** min(failures, 30), BACKOFF_MOST_S))

    def forget(self, key: Key) -> None:
        """The key went well: its next failure is its first."""
        self._failures.pop(key, None)

    def failures(self, key: Key) -> int:
        """How often the key failed in a row."""
        return self._failures.get(key, 0)

    async def next(self) -> Key:
        """The next key to look at; waits for one."""
        while True:
            next_due = self._ripen()
            if self._ready:
                key = next(iter(self._ready))
                del self._ready[key]
                return key
            self._wake = trio.Event()
            with trio.move_on_at(next_due):
                await self._wake.wait()

    def _ripen(self) -> float:
        """Move what is due to the ready keys; when the next one will be."""
        now = trio.current_time()
        while self._heap:
            due, key = self._heap[0]
            if self._due.get(key) != due:  # an earlier time was asked for since
                heapq.heappop(self._heap)
            elif due > now:
                return due
            else:
                heapq.heappop(self._heap)
                del self._due[key]
                self._ready[key] = None
        return math.inf


async def work_off(
    queue: WorkQueue,
    reconcile: Callable[[Key], Awaitable[None]],
    failing: tuple[type[Exception], ...],
    name: str,
    pace: Pace,
) -> None:
    """Look at one key after the other, for ever; others run in between.

    Args:
        queue: the keys.
        reconcile: makes one object as it should be.
        failing: the errors after which a key is tried again without a word.
        name: who it is, for the log: an object that cannot be read is told there, and tried again as well.
        pace: the order among those who work.
    """
    while True:
        key = await queue.next()
        await pace.turn()
        try:
            await reconcile(key)
        except failing:
            queue.retry(key)
        except UNREADABLE as error:
            LOG.error("%s: %s cannot be worked on: %r", name, "/".join(filter(None, key)), error)
            queue.retry(key)
        else:
            queue.forget(key)
