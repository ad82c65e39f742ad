"""What names, labels and ports may look like, and the API's words for those that do not.

Source: `k8s.io/apimachinery/pkg/util/validation/validation.go`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from ipaddress import ip_address
from typing import Any

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
ADDRESS_WORDS = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def cached(find: Callable[[str], Iterator[str]]) -> Callable[[str], tuple[str, ...]]:
    """Remember what was found: the same few labels and names come again with every pod."""
    return lru_cache(maxsize=4096)(wraps(find)(lambda text: tuple(find(text))))


def expected(what: str, pattern: re.Pattern[str], *examples: str) -> str:
    """The API's sentence for a text that does not look like `pattern`."""
    shown_examples = ",  or ".join(f"'{example}'" for example in examples)
    return f"{what} (e.g. {shown_examples}, regex used for validation is '{pattern.pattern}')"


LABEL_WORDS = expected(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character",
    LABEL,
    "my-name",
    "123-abc",
)
LABEL_1035_WORDS = expected(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character",
    LABEL_1035,
    "my-name",
    "abc-123",
)
SUBDOMAIN_WORDS = expected(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character",
    SUBDOMAIN,
    "example.com",
)
QUALIFIED_WORDS = expected(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
LABEL_VALUE_WORDS = expected(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character",
    LABEL_VALUE,
    "MyValue",
    "my_value",
    "12345",
)


def _named(text: str, pattern: re.Pattern[str], most: int, words: str) -> Iterator[str]:
    if len(text) > most:
        yield f"must be no more than {most} characters"
    if not pattern.fullmatch(text):
        yield words


@cached
def label_faults(text: str) -> Iterator[str]:
    """What is wrong with a DNS label, such as a container's name."""
    only_dots = "." in text and SUBDOMAIN.fullmatch(text) is not None
    return _named(text, LABEL, 63, "must not contain dots" if only_dots else LABEL_WORDS)


def label_1035_faults(text: str) -> Iterator[str]:
    """What is wrong with a DNS label that may not begin with a digit, such as a Service's name."""
    return _named(text, LABEL_1035, 63, LABEL_1035_WORDS)


@cached
def subdomain_faults(text: str) -> Iterator[str]:
    """What is wrong with a DNS name, such as a pod's."""
    return _named(text, SUBDOMAIN, 253, SUBDOMAIN_WORDS)


@cached
def qualified_faults(text: str) -> Iterator[str]:
    """What is wrong with a key: `name` or `prefix/name`."""
    prefix, slash, name = text.rpartition("/")
    if slash and "/" in prefix:
        prefixed = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        yield f"a qualified name {QUALIFIED_WORDS} {prefixed}"
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


@cached
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


def is_address(text: Any) -> bool:
    """Whether it is an IP address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
