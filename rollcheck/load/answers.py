"""What the parser made of an answer: kept with the very bytes, so that the parser sees each answer once."""

from __future__ import annotations

from rollcheck.facts.attempts import Outcome

KNOWN_BYTES = 4_096
"""Answers up to this size are remembered; hashing larger ones costs more than it saves."""
KNOWN_LIMIT = 512
ROOMY, SNUG = 8_192, 479
"""Bytes to read at first: nearly every answer fits into the former; for the latter Python has room at hand (its own
allocator serves up to 512 bytes, 33 of which are the object's)."""


class Answer:
    """A whole answer, judged.

    Attributes:
        head_bytes, total_bytes: of its head, and of head and body together.
        hits: how often it came again, byte for byte, since that was last counted.
        known: whether its hits will be counted.
    """

    __slots__ = ("head_bytes", "hits", "keep_alive", "known", "outcome", "pod", "status", "total_bytes")

    def __init__(
        self,
        status: int,
        outcome: Outcome,
        *,
        keep_alive: bool,
        pod: str = "",
        head_bytes: int = 0,
        total_bytes: int = 0,
    ) -> None:
        self.status = status
        self.outcome = outcome
        self.keep_alive = keep_alive
        self.pod = pod
        self.head_bytes = head_bytes
        self.total_bytes = total_bytes
        self.hits = 0
        self.known = False
