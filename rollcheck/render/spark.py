"""A row of numbers as a row of blocks, one column for one or more of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

BLOCKS = "▁▂▃▄▅▆▇█"
NOTHING = "·"
"""Of a zero, and of a gap: the smallest block already says that there was something."""

T = TypeVar("T")


def grouped(rows: Sequence[T], width: int) -> list[Sequence[T]]:
    """The rows in at most `width` runs of equal length, the last one perhaps shorter."""
    size = max(1, -(-len(rows) // max(1, width)))
    return [rows[at : at + size] for at in range(0, len(rows), size)]


def spark(values: Sequence[float | None]) -> str:
    """Blocks from zero to the greatest of the values."""
    top = max((v for v in values if v), default=0.0)
    return "".join(_block(v, top) if v else NOTHING for v in values)


def _block(value: float, top: float) -> str:
    return BLOCKS[min(len(BLOCKS) - 1, int(value / top * len(BLOCKS)))]


def sparked(rows: Sequence[T], width: int, of: Callable[[Sequence[T]], float | None]) -> tuple[str, list[float | None]]:
    """The blocks of rows that were grouped to fit, and the value of each group."""
    values = [of(group) for group in grouped(rows, width)]
    return spark(values), values
