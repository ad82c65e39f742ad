"""The words of a refusal: one function for each kind of `field.Error`, and the checks that are used everywhere.

Source: `k8s.io/apimachinery/pkg/util/validation/field/errors.go`, `.../validation/validation.go`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from rollcheck.sandbox.names import expected, port_name_faults
from rollcheck.sandbox.status import Cause

Causes = Iterator[Cause]

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"
PORT_RANGE = "must be between 1 and 65535, inclusive"
PERCENT = re.compile(r"[0-9]+%")
PERCENT_WORDS = expected(
    "a valid percent string must be a numeric string followed by an ending '%'", PERCENT, "1%", "93%"
)


def shown(value: Any) -> str:
    """A value as a message shows it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def required(path: str, detail: str = "") -> Cause:
    """There is nothing where something must be."""
    return Cause("FieldValueRequired", "Required value" + (f": {detail}" if detail else ""), path)


def invalid(path: str, value: Any, detail: str) -> Cause:
    """What is there cannot be."""
    return Cause("FieldValueInvalid", f"Invalid value: {shown(value)}" + (f": {detail}" if detail else ""), path)


def unsupported(path: str, value: Any, choices: Iterable[str]) -> Cause:
    """Not one of the few words that are understood."""
    words = ", ".join(shown(choice) for choice in choices)
    return Cause("FieldValueNotSupported", f"Unsupported value: {shown(value)}: supported values: {words}", path)


def forbidden(path: str, detail: str) -> Cause:
    """It may not be there now."""
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", path)


def duplicate(path: str, value: Any) -> Cause:
    """It is there already."""
    return Cause("FieldValueDuplicate", f"Duplicate value: {shown(value)}", path)


def missing(path: str, value: Any) -> Cause:
    """It names something that is not there."""
    return Cause("FieldValueNotFound", f"Not found: {shown(value)}", path)


def not_negative(path: str, value: Any) -> Causes:
    """A count or a time."""
    if value is not None and value < 0:
        yield invalid(path, value, NOT_NEGATIVE)


def one_of(path: str, value: Any, choices: Iterable[str]) -> Causes:
    """A word of a closed set."""
    words = tuple(choices)
    if value not in words:
        yield unsupported(path, value, words)


def port_number(path: str, value: Any) -> Causes:
    """A port that can be connected to."""
    if not isinstance(value, int) or not 1 <= value <= 65535:
        yield invalid(path, value, PORT_RANGE)


def faults(path: str, value: Any, found: Iterable[str]) -> Causes:
    """Each fault of `value` as a cause at `path`."""
    for fault in found:
        yield invalid(path, value, fault)


def port_or_name(path: str, value: Any) -> Causes:
    """A port by number or by name."""
    if isinstance(value, str):
        yield from faults(path, value, port_name_faults(value))
    else:
        yield from port_number(path, 0 if value is None else value)


def number_or_percent(path: str, value: Any) -> Causes:
    """A count, or a share such as `25%`."""
    if isinstance(value, str):
        if not PERCENT.fullmatch(value):
            yield invalid(path, value, PERCENT_WORDS)
    else:
        yield from not_negative(path, value)


def at_most_all(path: str, value: Any) -> Causes:
    """A share of no more than everything."""
    if isinstance(value, str) and PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        yield invalid(path, value, "must not be greater than 100%")


def amount(value: Any) -> int:
    """A count or a percentage as a bare number, as the checks for "both are zero" take it."""
    if isinstance(value, str):
        return int(value[:-1]) if PERCENT.fullmatch(value) else 0
    return int(value or 0)
