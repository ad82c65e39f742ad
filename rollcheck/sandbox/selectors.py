"""Label and field selectors: what text and what LabelSelector objects choose.

Grammar and messages: k8s.io/apimachinery `pkg/labels/selector.go` and `pkg/fields/selector.go`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rollcheck.sandbox import status
from rollcheck.sandbox.names import label_value_faults, qualified_faults
from rollcheck.sandbox.resources import EVENTS, JOBS, NAMESPACES, NODES, PODS, REPLICA_SETS, SECRETS, Resource
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, at

_TOKEN = re.compile(r"\s*(?:(?P<sign>==|!=|[=!,()<>])|(?P<word>[^\s=!,()<>]+)|(?P<end>\Z))")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on labels.

    Attributes:
        operator: "in", "notin", "exists", "!", "gt" or "lt"; `=` and `!=` are "in" and "notin" with one value.
    """

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether `labels` fulfil it. A missing key fulfils `notin` and `!`."""
        value = labels.get(self.key)
        if self.operator == "in":
            return value in self.values
        if self.operator == "notin":
            return value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "!":
            return value is None
        return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        try:
            left, right = int(value), int(next(iter(self.values)))
        except ValueError:
            return False
        return left > right if self.operator == "gt" else left < right


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that must all hold; none at all chooses everything."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with `labels` is chosen."""
        if self.nothing:
            return False
        return all(one.matches(labels or {}) for one in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def of_labels(labels: Mapping[str, str] | None) -> Selector:
    """What a Service's `spec.selector` chooses: all of these labels; nothing when there are none."""
    if not labels:
        return NOTHING
    return Selector(tuple(Requirement(key, "in", frozenset((value,))) for key, value in labels.items()))


_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def of_object(selector: Json | None) -> Selector:
    """What a LabelSelector object chooses: null chooses nothing, an empty one everything."""
    if selector is None:
        return NOTHING
    found = [Requirement(key, "in", frozenset((value,))) for key, value in (selector.get("matchLabels") or {}).items()]
    found += (
        Requirement(one["key"], _OPERATORS[one["operator"]], frozenset(one.get("values") or ()))
        for one in selector.get("matchExpressions") or ()
    )
    return Selector(tuple(found))


def text_of(selector: Json | None) -> str:
    """A LabelSelector object as text, as `kubectl describe` and a scale's status.selector have it."""
    if selector is None:
        return "<none>"
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        values = ",".join(sorted(one.get("values") or ()))
        texts = {
            "In": f"{one['key']} in ({values})",
            "NotIn": f"{one['key']} notin ({values})",
            "Exists": one["key"],
            "DoesNotExist": f"!{one['key']}",
        }
        parts.append(texts[one["operator"]])
    return ",".join(sorted(parts))


_SIGNS = frozenset(("", ",", "(", ")", "=", "==", "!=", "<", ">", "!"))
_OPERATIONS = {
    "=": "in",
    "==": "in",
    "!=": "notin",
    "in": "in",
    "notin": "notin",
    ">": "gt",
    "<": "lt",
}


def _fail(what: str) -> status.ApiFailure:
    return status.bad_request(what)


def _fail_inside(what: str) -> status.ApiFailure:
    return status.bad_request(f"unable to parse requirement: {what}")


class _Parser:
    """Reads `a=b,c in (d,e),!f`, one token ahead, and fails at the same places as the real one."""

    def __init__(self, text: str) -> None:
        tokens: list[str] = []
        place = 0
        while place < len(text) and (found := _TOKEN.match(text, place)) is not None:
            place = found.end()
            tokens.append(found["sign"] or found["word"] or "")
        self._tokens = [token for token in tokens if token]
        self._at = 0

    def parse(self) -> Selector:
        found: list[Requirement] = []
        while (word := self._peek()) != "":
            if word in _SIGNS and word != "!":
                raise _fail(f"found '{word}', expected: !, identifier, or 'end of string'")
            found.append(self._requirement())
            sign = self._next()
            if sign not in (",", ""):
                raise _fail(f"found '{sign}', expected: ',' or 'end of string'")
            if sign == "," and self._peek() in _SIGNS and self._peek() != "!":
                raise _fail(f"found '{self._peek()}', expected: identifier after ','")
        return Selector(tuple(sorted(found, key=lambda one: one.key)))

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _requirement(self) -> Requirement:
        key = self._next()
        negated = key == "!"
        if negated:
            key = self._next()
        if key in _SIGNS:
            raise _fail_inside(f"found '{key}', expected: identifier")
        wrong = "; ".join(qualified_faults(key))
        if wrong:
            raise _fail_inside(f"<nil>: Invalid value: {json.dumps(key)}: {wrong}")
        sign = self._peek()
        if sign in (",", ""):
            return Requirement(key, "!" if negated else "exists")
        self._next()
        if sign not in _OPERATIONS:
            raise _fail_inside(f"found '{sign}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._values() if sign in ("in", "notin") else (self._value(),)
        return _checked(key, _OPERATIONS[sign], values)

    def _value(self) -> str:
        if self._peek() in ("", ","):
            return ""
        value = self._next()
        if value in _SIGNS:
            raise _fail_inside(f"found '{value}', expected: identifier")
        return value

    def _values(self) -> tuple[str, ...]:
        if (sign := self._next()) != "(":
            raise _fail_inside(f"found '{sign}' expected: '('")
        values: list[str] = []
        while (word := self._next()) != ")":
            if word == ",":
                if not values:
                    values.append("")
                if self._peek() in (",", ")"):
                    values.append("")
                elif self._peek() in _SIGNS:
                    raise _fail_inside(f"found '{self._peek()}', expected: ',', or identifier")
            elif word in _SIGNS:
                raise _fail_inside(f"found '{word}', expected: ',', ')' or identifier")
            else:
                values.append(word)
                if self._peek() not in (",", ")"):
                    raise _fail_inside(f"found '{self._peek()}', expected: ',' or ')'")
        return tuple(values or ("",))


def _checked(key: str, operator: str, values: tuple[str, ...]) -> Requirement:
    """A requirement whose values can be labels' values, or numbers to compare with."""
    for index, value in enumerate(sorted(set(values))):
        if operator in ("gt", "lt"):
            if not re.fullmatch(r"[+-]?\d+", value):
                why = "for 'Gt', 'Lt' operators, the value must be an integer"
                raise _fail_inside(f"values[{index}]: Invalid value: {json.dumps(value)}: {why}")
            continue
        wrong = "; ".join(label_value_faults(value))
        if wrong:
            raise _fail_inside(f"values[{index}][{key}]: Invalid value: {json.dumps(value)}: {wrong}")
    return Requirement(key, operator, frozenset(values))


@lru_cache(maxsize=1024)
def parse(text: str) -> Selector:
    """Read a label selector; raises ApiFailure 400 with the real parser's message."""
    return _Parser(text).parse() if text.strip() else EVERYTHING


FIELDS: dict[Resource, dict[str, tuple[str, ...]]] = {
    PODS: {
        name: tuple(name.split("."))
        for name in (
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        )
    },
    EVENTS: {
        **{
            f"involvedObject.{part}": ("involvedObject", part)
            for part in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        },
        "reason": ("reason",),
        "reportingComponent": ("reportingComponent",),
        "source": ("source", "component"),
        "type": ("type",),
    },
    NODES: {"spec.unschedulable": ("spec", "unschedulable")},
    NAMESPACES: {"status.phase": ("status", "phase")},
    SECRETS: {"type": ("type",)},
    JOBS: {"status.successful": ("status", "succeeded")},
    REPLICA_SETS: {"status.replicas": ("status", "replicas")},
}
_NUMBERS = ("status.successful", "status.replicas")
_TRUTHS = ("spec.hostNetwork", "spec.unschedulable")
_EVERYWHERE = {"metadata.name": ("metadata", "name"), "metadata.namespace": ("metadata", "namespace")}

Matcher = Callable[[Json], bool]


def _field_text(obj: Json, name: str, path: tuple[str, ...]) -> str:
    value: Any = at(obj, *path)
    if name in _TRUTHS:
        return "true" if value else "false"
    if value is None:
        return "0" if name in _NUMBERS else ""
    return str(value)


def fields(resource: Resource, text: str) -> Matcher | None:
    """Read a field selector; None when it chooses everything. Raises ApiFailure 400 for an unsupported field."""
    terms: list[tuple[str, tuple[str, ...], str, bool]] = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        found = re.fullmatch(r"([^=!]*?)\s*(!=|==|=)\s*(.*)", part)
        if found is None:
            raise status.bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        name, sign, value = found.groups()
        if "=" in value:
            raise status.bad_request("invalid field selector: unescaped character in value: 61")
        path = FIELDS.get(resource, {}).get(name) or _EVERYWHERE.get(name)
        if path is None:
            raise status.bad_request(f"field label not supported: {name}")
        terms.append((name, path, value, sign == "!="))
    if not terms:
        return None
    if len(terms) == 1 and not terms[0][3] and terms[0][0] not in (*_NUMBERS, *_TRUTHS) and len(terms[0][1]) == 2:
        (outer, inner), value = terms[0][1], terms[0][2]
        return lambda obj: ((obj.get(outer) or {}).get(inner) or "") == value
    return lambda obj: all((_field_text(obj, name, path) == value) is not unlike for name, path, value, unlike in terms)


def matcher(resource: Resource, labels: str | Selector, wanted: str) -> Matcher | None:
    """Whether an object is chosen by a label selector and a field selector; None when everything is."""
    selector = parse(labels) if isinstance(labels, str) else labels
    by_field = fields(resource, wanted) if wanted else None
    if selector == EVERYTHING:
        return by_field
    if by_field is None:
        return _by_labels(selector)
    chosen = by_field
    return lambda obj: selector.matches(obj["metadata"].get("labels")) and chosen(obj)


def _by_labels(selector: Selector) -> Matcher:
    """By labels alone; by a comparison of sets where each label has to have one value, as nearly always."""
    found = selector.requirements
    if selector.nothing or any(one.operator != "in" or len(one.values) != 1 for one in found):
        return lambda obj: selector.matches(obj["metadata"].get("labels"))
    wanted = {(one.key, *one.values) for one in found}
    return lambda obj: wanted <= (obj["metadata"].get("labels") or {}).items()


def seen_through(change: Change, matches: Matcher) -> Change | None:
    """What a watcher with a selector sees: an object that begins to match is ADDED, one that ceases to is DELETED."""
    now = change.type != "DELETED" and matches(change.object)
    before = change.previous is not None and matches(change.previous)
    if now:
        return change if before or change.type == "ADDED" else Change("ADDED", change.object, None, change.version)
    if not before:
        return None
    if change.type == "DELETED":
        return change
    assert change.previous is not None
    metadata = {**change.previous["metadata"], "resourceVersion": change.object["metadata"]["resourceVersion"]}
    return Change("DELETED", {**change.previous, "metadata": metadata}, change.previous, change.version)
