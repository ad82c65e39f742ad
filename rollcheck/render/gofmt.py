"""Numbers, durations and times as Go prints them, to the character: people grep fortio's lines.

`%.8g` and its like mean the same in Go and in Python; what differs is `%g` without a precision, `%v` of a duration, and
RFC 3339 with nanoseconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from rollcheck.facts.clock import SECOND

_UNITS = ((1_000_000, "ms"), (1_000, "µs"), (1, "ns"))


def shortest(value: float) -> str:
    """`%g`: the fewest digits that name this number, with an exponent below 1e-4 and from 1e6 on."""
    sign, digits, exponent = Decimal(repr(float(value))).as_tuple()
    assert isinstance(exponent, int), "finite"
    whole = "".join(map(str, digits)).rstrip("0") or "0"
    scale = exponent + len(digits) - 1
    if whole != "0" and not -4 <= scale < 6:
        point = f".{whole[1:]}" if whole[1:] else ""
        return f"{'-' * sign}{whole[0]}{point}e{'+' if scale >= 0 else '-'}{abs(scale):02d}"
    plain = f"{Decimal(repr(float(value))):f}"
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def significant(value: float, digits: int) -> str:
    """`%.Ng`."""
    return format(float(value), f".{digits}g")


def duration(ns: int) -> str:
    """A `time.Duration`: `1m0s`, `3.001396926s`, `11.758956ms`, `0s`."""
    if ns < 0:
        return f"-{duration(-ns)}"
    if ns < SECOND:
        unit, name = next(((u, n) for u, n in _UNITS if ns >= u), (SECOND, "s"))
        return f"{_parts(ns, unit)}{name}"
    minutes, rest = divmod(ns, 60 * SECOND)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h" if hours else ""
    return f"{text}{minutes}m{_parts(rest, SECOND)}s" if hours or minutes else f"{_parts(rest, SECOND)}s"


def _parts(ns: int, unit: int) -> str:
    """`ns` in that unit, with as many decimals as it takes."""
    whole, rest = divmod(ns, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else str(whole)


def timestamp(wall_ns: int) -> str:
    """RFC 3339 in UTC with up to nine decimals, of Unix nanoseconds."""
    whole, rest = divmod(wall_ns, SECOND)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
