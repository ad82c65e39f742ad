"""Who is told what became of attempts and connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rollcheck.facts.attempts import Attempt
    from rollcheck.facts.clock import Instant
    from rollcheck.facts.connections import Connection as ConnectionFact
    from rollcheck.load.answers import Answer
    from rollcheck.load.connection import Connection


class Listener(Protocol):
    """Who is told what became of the attempts and the connections."""

    def on_ok(self, connection: Connection, answer: Answer, now: Instant) -> None:
        """An attempt of a scheduled lane ended OK."""

    def on_end(self, attempt: Attempt) -> None:
        """An attempt that is kept whole ended: it was not OK, or it was a probe."""

    def on_closed(self, fact: ConnectionFact) -> None:
        """A connection worth a line was closed."""
