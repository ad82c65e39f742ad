"""Numbers in sentences: exact counts, plain plurals."""

from __future__ import annotations

import math


def rounded_up(seconds: float) -> float:
    """A bound in tenths of a second, never below what it bounds; a float's last bits make it no tenth more."""
    return math.ceil(round(seconds * 10, 6)) / 10


def number(count: int, noun: str, plural: str = "") -> str:
    """`1 pod`, `8,412 requests`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listing(items: list[str], most: int = 5) -> str:
    """`a, b and c`; what is beyond `most` is counted."""
    shown = items[:most] + ([f"{len(items) - most:,} more"] if len(items) > most else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
