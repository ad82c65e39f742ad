"""One lane's connections: which one an arrival takes, or that it waits. Decisions only; callers open and close.

The reused lane first fills its pool, one connection per arrival, then takes the connection that has been idle
longest: that way all its connections stay in use, and with them the pods that they reach.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from rollcheck.facts.attempts import Lane, Stage
from rollcheck.facts.clock import Instant

if TYPE_CHECKING:
    from rollcheck.load.connection import Connection
    from rollcheck.load.recorder import LaneBook

Arrival = tuple[int, Stage, Instant, Instant]
"""Number, stage, intended, released."""

FRESH_LIMIT = 1000
"""Connections of the fresh lane at once, unless its plan says otherwise."""


class LaneState:
    """What one lane has under way.

    Attributes:
        request: the bytes that each of its requests is.
        open: connections that are connecting, busy or idle.
        limit: the most of them at once.
        waiting: released arrivals without a connection, oldest first.
        scheduled: arrivals released so far.
    """

    __slots__ = ("_idle", "book", "fresh", "limit", "name", "open", "request", "scheduled", "waiting")

    def __init__(self, name: Lane, *, limit: int, request: bytes, book: LaneBook) -> None:
        self.name = name
        self.fresh = name is not Lane.REUSED
        self.limit = limit
        self.request = request
        self.book = book
        self.open = 0
        self.scheduled = 0
        self.waiting: deque[Arrival] = deque()
        self._idle: deque[Connection] = deque()

    def put_idle(self, connection: Connection) -> None:
        """The connection is free for another request."""
        self._idle.append(connection)

    def take_idle(self) -> Connection | None:
        """The connection that has been idle longest; None when there is none."""
        idle = self._idle
        while idle:
            connection = idle.popleft()
            if connection.is_idle:  # else it was closed while it stood in the queue
                return connection
        return None

    def may_open(self) -> bool:
        """Whether one more connection fits."""
        return self.open < self.limit
