"""Spans of time as kubectl writes them: `5s`, `3m20s`, `2d4h`. Source: apimachinery `pkg/util/duration`."""

from __future__ import annotations

from datetime import datetime

from rollcheck.sandbox.clock import parse_time

MINUTE, HOUR, DAY = 60, 3600, 86400


def human(seconds: float) -> str:
    """A span in at most two units; the further away, the coarser."""
    span = int(seconds)
    if span < -1:
        return "<invalid>"
    if span <= 0:
        return "0s"
    if span < 2 * MINUTE:
        return f"{span}s"
    if span < 10 * MINUTE:
        return _two(span, MINUTE, "m", 1, "s")
    if span < 3 * HOUR:
        return f"{span // MINUTE}m"
    if span < 8 * HOUR:
        return _two(span, HOUR, "h", MINUTE, "m")
    if span < 2 * DAY:
        return f"{span // HOUR}h"
    if span < 8 * DAY:
        return _two(span, DAY, "d", HOUR, "h")
    if span < 2 * 365 * DAY:
        return f"{span // DAY}d"
    if span < 8 * 365 * DAY:
        return _two(span, 365 * DAY, "y", DAY, "d")
    return f"{span // (365 * DAY)}y"


def _two(span: int, large: int, name: str, small: int, small_name: str) -> str:
    rest = span % large // small
    return f"{span // large}{name}{rest}{small_name}" if rest else f"{span // large}{name}"


def since(text: str | None, now: datetime) -> str:
    """How long ago that RFC 3339 time is."""
    return human((now - parse_time(text)).total_seconds()) if text else "<unknown>"
