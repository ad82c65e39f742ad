"""Amounts of a resource, as text: `500m`, `128Mi`, `1e3`.

Source: `k8s.io/apimachinery/pkg/api/resource/quantity.go`. Exact: no floats.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from math import ceil

_QUANTITY = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL_NAMES = {power: name for name, power in _DECIMAL.items()}
_BINARY_NAMES = {power: name for name, power in _BINARY.items()}
MILLI, NANO = Fraction(1, 1000), Fraction(1, 10**9)
DIGITS_AT_MOST = 18


class NotAQuantity(ValueError):
    """The text is none; says so as the API does."""

    def __init__(self, text: object) -> None:
        super().__init__("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
        self.text = text


def parse(text: str | float) -> Fraction:
    """The amount, exactly, rounded up to a billionth; raises NotAQuantity."""
    return _read(str(text))[0]


def canonical(text: str | float) -> str:
    """The amount as the API server writes it in lists of resources: `1000m` → `1`, `1024Ki` → `1Mi`, `0.5` → `500m`.

    Rounded up to a thousandth. What is nearly canonical is left as it was written: `+1`, `1E3`.
    """
    return _canonical(str(text))


def _kept(text: str, amount: Fraction, suffix: str) -> bool:
    """Whether the parser takes the text for canonical (ParseQuantity's fast path, which looks no closer)."""
    whole, _, part = text.removesuffix(suffix).lstrip("+-").partition(".")
    digits = whole.lstrip("0") + part
    if suffix in _BINARY:
        return not part and int(whole or 0) & 7 != 0
    power = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
    scale = power - len(part)
    if len(digits) > DIGITS_AT_MOST or scale < -3 or scale % 3:
        return False
    return digits != "" and not digits.endswith("000") and not digits.startswith("0")


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str:
    amount, suffix = _read(text)
    if _kept(text, amount, suffix):
        return text
    amount = ceil(amount / MILLI) * MILLI if amount > 0 else amount
    if suffix in _BINARY and abs(amount) >= 1024 and amount.denominator == 1:
        return _scaled(amount.numerator, 1024, _BINARY_NAMES)
    nano = int(amount / NANO)
    if nano == 0:
        return "0"
    power = -9
    while nano % 1000 == 0 and power < 18:
        nano, power = nano // 1000, power + 3
    if suffix[:1] in ("e", "E") and suffix != "E":
        return f"{nano}e{power}" if power else str(nano)
    return f"{nano}{_DECIMAL_NAMES[power]}"


def _scaled(number: int, base: int, names: dict[int, str]) -> str:
    power = 0
    while number % base == 0 and power < max(names):
        number, power = number // base, power + 1
    return f"{number}{names.get(power, '')}"


@lru_cache(maxsize=4096)
def _read(text: str) -> tuple[Fraction, str]:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise NotAQuantity(text)
    sign, digits, suffix = found[1], found[2], found[3] or ""
    amount = Fraction(digits)
    if suffix in _BINARY:
        amount *= 1024 ** _BINARY[suffix]
    elif suffix in _DECIMAL:
        amount *= Fraction(10) ** _DECIMAL[suffix]
    else:
        amount *= Fraction(10) ** int(suffix[1:])
    amount = ceil(amount / NANO) * NANO  # anything smaller than a billionth is rounded away from zero
    return (-amount if sign == "-" else amount), suffix
