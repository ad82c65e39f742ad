"""The words of a refusal: one function for each kind of `field.Error`, and the checks that are used everywhere.

Source: `k8s.io/apimachinery/pkg/util/validation/field/errors.go`, `.../validation/validation.go`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from rollcheck.sandbox.status import Cause

Causes = Iterator[Cause]

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"
PORT_RANGE = "must be between 1 and 65535, inclusive"
PERCENT = re.compile(r"[0-9]+%")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")


def shown(value: Any) -> str:
    """A value as a message shows it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def required(path: str, detail: str = "") -> Cause:
    """There is nothing where something must be."""
    return Cause("FieldValueRequired", "Required value" + (f": {detail}" if detail else ""), path)


def invalid(path: str, value: Any, detail: str) -> Cause:
    """What is there cannot be."""
    return Cause("FieldValueInvalid", f"Invalid value: {shown(value)}: {detail}", path)


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


def _expected(what: str, pattern: re.Pattern[str], *examples: str) -> str:
    shown_examples = ",  or ".join(f"'{example}'" for example in examples)
    return f"{what} (e.g. {shown_examples}, regex used for validation is '{pattern.pattern}')"


LABEL_WORDS = _expected(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character",
    LABEL,
    "my-name",
    "123-abc",
)
LABEL_1035_WORDS = _expected(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    LABEL_1035,
    "my-name",
    "abc-123",
)
SUBDOMAIN_WORDS = _expected(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character",
    SUBDOMAIN,
    "example.com",
)
QUALIFIED_WORDS = _expected(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
LABEL_VALUE_WORDS = _expected(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character",
    LABEL_VALUE,
    "MyValue",
    "my_value",
    "12345",
)
PERCENT_WORDS = _expected(
    "a valid percent string must be a numeric string followed by an ending '%'", PERCENT, "1%", "93%"
)


def _named(text: str, pattern: re.Pattern[str], most: int, words: str) -> Iterator[str]:
    if len(text) > most:
        yield f"must be no more than {most} characters"
    if not pattern.fullmatch(text):
        yield words


def label_faults(text: str) -> Iterator[str]:
    """What is wrong with a DNS label, such as a container's name."""
    return _named(text, LABEL, 63, LABEL_WORDS)


def label_1035_faults(text: str) -> Iterator[str]:
    """What is wrong with a DNS label that may not begin with a digit, such as a Service's name."""
    return _named(text, LABEL_1035, 63, LABEL_1035_WORDS)


def subdomain_faults(text: str) -> Iterator[str]:
    """What is wrong with a DNS name, such as a pod's."""
    return _named(text, SUBDOMAIN, 253, SUBDOMAIN_WORDS)


def qualified_faults(text: str) -> Iterator[str]:
    """What is wrong with a key: `name` or `prefix/name`."""
    prefix, slash, name = text.rpartition("/")
    if slash and "/" in prefix:
        yield (
            "a qualified name "
            + QUALIFIED_WORDS.replace(
                " (e.g.", " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')", 1
            ).partition("MyName')")[0]
            + "MyName')"
        )
        return
    if slash:
        if not prefix:
            yield "prefix part must be non-empty"
        else:
            for fault in subdomain_faults(prefix):
                yield f"prefix part {fault}"
    if not name:
        yield "name part must be non-empty"
    elif len(name) > 63:
        yield "name part must be no more than 63 characters"
    if not QUALIFIED.fullmatch(name):
        yield f"name part {QUALIFIED_WORDS}"


def label_value_faults(text: str) -> Iterator[str]:
    """What is wrong with a label's value."""
    if len(text) > 63:
        yield "must be no more than 63 characters"
    if not LABEL_VALUE.fullmatch(text):
        yield LABEL_VALUE_WORDS


def port_name_faults(text: str) -> Iterator[str]:
    """What is wrong with the name of a port."""
    if len(text) > 15:
        yield "must be no more than 15 characters"
    if not re.fullmatch(r"[-a-z0-9]+", text):
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search(r"[a-z]", text):
        yield "must contain at least one letter (a-z)"
    if "--" in text:
        yield "must not contain consecutive hyphens"
    if text and (text[0] == "-" or text[-1] == "-"):
        yield "must not begin or end with a hyphen"


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
