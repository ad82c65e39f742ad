"""Durations as Go writes them (500ms, 1m30s, 1.5h) and bare seconds."""

from __future__ import annotations

import re

from rollcheck.errors import UsageError

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)")


def parse_duration(text: str, option: str) -> float:
    """Seconds.

    Raises:
        UsageError: it is no duration, or a negative one; names the option.
    """
    words = text.strip()
    try:
        seconds = float(words) if not words.startswith("-") else -1.0
    except ValueError:
        parts = _PART.findall(words)
        whole = "".join(number + unit for number, unit in parts) == words and parts
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts) if whole else -1.0
    if not 0 <= seconds < 1e7:
        raise UsageError(f"{option}: {text!r} is no duration; write for example 10s, 1m30s, 500ms or 10")
    return seconds
