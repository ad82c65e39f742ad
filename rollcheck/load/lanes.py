"""One lane's connections: which one an arrival takes, or that it waits. Decisions only; callers open and close.

The reused lane first fills its pool, one connection per arrival, then takes the connection that has been idle
longest: that way all its connections stay in use, and with them the pods that they reach.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Sequence
from heapq import heappop, heappush
from operator import mul
from random import Random
from typing import TYPE_CHECKING

from rollcheck.facts.attempts import Lane, Stage
from rollcheck.facts.clock import SECOND, Instant
from rollcheck.facts.wiretotals import Moments, SlotTotals
from rollcheck.load.transport import format_address

if TYPE_CHECKING:
    from rollcheck.load.book import LaneBook
    from rollcheck.load.connection import Connection
    from rollcheck.load.plan import LoadPlan

Arrival = tuple[int, Stage, Instant, Instant]
"""Number, stage, intended, released."""

FRESH_LIMIT = 1000
"""Connections of a lane at once, unless its plan says otherwise."""

FOR_EVER = 2**60
FOLD_AT = 1024


class Slot:
    """One place for a connection, and what went through it.

    Attributes:
        sockets: opened here.
        connects: nanoseconds that connecting took, those since the last `fold`.
        addresses: connections by where they led.
    """

    __slots__ = ("_connect", "addresses", "connects", "sockets")

    def __init__(self) -> None:
        self.sockets = 0
        self.connects: array[int] = array("q")
        self._connect = Moments()
        self.addresses: Counter[Sequence[object]] = Counter()

    def fold(self) -> Moments:
        """Sum up the connect times; gives back the sums of all so far."""
        values = self.connects
        if values:
            squares = sum(map(mul, values, values))
            self._connect += Moments(
                count=len(values), sum=sum(values), squares=squares, low=min(values), high=max(values)
            )
            del values[:]
        return self._connect


class LaneState:
    """What one lane has under way.

    Attributes:
        request: the bytes that each of its requests is.
        fresh: whether a connection carries one request only.
        fills: whether new connections are opened before any is used again.
        closed_loop: whether a request follows each answer at once, instead of a timetable.
        open: connections that are connecting, busy or idle.
        limit: the most of them at once.
        waiting: released arrivals without a connection, oldest first.
        idle: connections that were idle when they were put there, the longest first.
        scheduled: arrivals released so far.
        caps: least and greatest number of requests a connection may carry, None for no cap.
        max_age_ns: a connection older than that is replaced when it is free.
        slots: what each place for a connection has seen; only filled for whoever asks for `SlotTotals`.
        spare: connections that are over and kept with their places, to be begun anew before any is made.
    """

    __slots__ = (
        "_free",
        "_random",
        "book",
        "caps",
        "closed_loop",
        "fills",
        "fresh",
        "idle",
        "limit",
        "max_age_ns",
        "name",
        "open",
        "request",
        "scheduled",
        "slots",
        "spare",
        "waiting",
        "worker",
    )

    def __init__(
        self,
        name: Lane,
        *,
        limit: int,
        request: bytes,
        book: LaneBook,
        plan: LoadPlan | None = None,
        worker: int = 0,
    ) -> None:
        self.name = name
        self.fresh = name in {Lane.FRESH, Lane.PROBE} or (plan is not None and not plan.keep_alive)
        self.fills = name in {Lane.REUSED, Lane.IDLE_AGED}
        self.limit = limit
        self.request = request
        self.book = book
        book.reusing = not self.fresh
        self.worker = worker
        self.open = 0
        self.scheduled = 0
        self.waiting: deque[Arrival] = deque()
        self.idle: deque[Connection] = deque()
        self.slots: list[Slot] = []
        self.spare: list[Connection] = []
        self._free: list[int] = []
        self.closed_loop = plan is not None and plan.closed_loop
        self.caps = plan.reuse if plan is not None else None
        self.max_age_ns = int(plan.reconnect_every_s * SECOND) if plan and plan.reconnect_every_s else FOR_EVER
        self._random = Random((plan.seed if plan else 0) * 1000 + worker)

    def put_idle(self, connection: Connection) -> None:
        """The connection is free for another request."""
        self.idle.append(connection)

    def take_idle(self) -> Connection | None:
        """The connection that has been idle longest; None when there is none."""
        idle = self.idle
        while idle:
            connection = idle.popleft()
            if connection.is_idle:  # else it was closed while it stood in the queue
                return connection
        return None

    def may_open(self) -> bool:
        """Whether one more connection fits."""
        return self.open < self.limit

    def draw_cap(self) -> int:
        """How many requests the next connection may carry."""
        return self._random.randint(*self.caps) if self.caps else FOR_EVER

    # Places

    def take_slot(self) -> int:
        """The lowest free place for a connection."""
        if self._free:
            return heappop(self._free)
        self.slots.append(Slot())
        return len(self.slots) - 1

    def free_slot(self, slot: int) -> None:
        """The place is free again."""
        heappush(self._free, slot)

    def fold_slots(self) -> None:
        """Keep what the places remember within bounds."""
        for slot in self.slots:
            if len(slot.connects) > FOLD_AT:
                slot.fold()

    def slot_totals(self) -> list[SlotTotals]:
        """What every place has seen."""
        return [
            SlotTotals(
                worker=self.worker,
                lane=self.name,
                slot=number,
                sockets=slot.sockets,
                connect_ns=slot.fold(),
                addresses={format_address(address): n for address, n in slot.addresses.items()},
            )
            for number, slot in enumerate(self.slots)
        ]
