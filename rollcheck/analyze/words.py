"""Numbers in sentences: exact counts, plain plurals."""

from __future__ import annotations


def number(count: int, noun: str, plural: str = "") -> str:
    """`1 pod`, `8,412 requests`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listing(items: list[str], most: int = 5) -> str:
    """`a, b and c`; what is beyond `most` is counted."""
    shown = items[:most] + ([f"{len(items) - most:,} more"] if len(items) > most else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
