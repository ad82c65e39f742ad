"""Which connections are past their time; looked at no more often than one of them can be."""

from __future__ import annotations

from collections.abc import Iterable

from rollcheck.facts.clock import MILLISECOND, Instant
from rollcheck.load.arrivals import NEVER
from rollcheck.load.connection import LINGERING, Connection

LINGER_NS = 250 * MILLISECOND
"""How long a connection that we asked to be closed waits for the peer's FIN. Whoever closes first keeps the port in
TIME_WAIT, and our ephemeral ports are the scarcer ones."""
GRAIN_NS = MILLISECOND


class Deadlines:
    """All attempts have the same timeout, so none that begins later can be due sooner than the earliest one there is:
    looking at all connections once per earliest deadline costs nothing per request.

    Attributes:
        next_check: before that instant nothing is overdue.
    """

    __slots__ = ("_timeout_ns", "next_check")

    def __init__(self, timeout_ns: int) -> None:
        self._timeout_ns = timeout_ns
        self.next_check: Instant = NEVER

    def begin(self, now: Instant) -> None:
        """An attempt begins."""
        if now + self._timeout_ns < self.next_check:
            self.next_check = now + self._timeout_ns

    def linger(self, now: Instant) -> None:
        """A connection begins to linger."""
        if now + LINGER_NS < self.next_check:
            self.next_check = now + LINGER_NS

    def find(self, connections: Iterable[Connection], now: Instant) -> list[Connection]:
        """Those past their time; and when to look again."""
        overdue = []
        earliest = NEVER
        some = False
        for connection in connections:
            some = True
            if connection.is_busy:
                due = connection.sent + self._timeout_ns
            elif connection.state == LINGERING:
                due = connection.ended + LINGER_NS
            else:
                continue
            if due <= now:
                overdue.append(connection)
            else:
                earliest = min(earliest, due)
        if some:
            # Whoever sends on an idle connection need not tell.
            earliest = min(earliest, now + self._timeout_ns)
        self.next_check = max(earliest, now + GRAIN_NS)
        return overdue
