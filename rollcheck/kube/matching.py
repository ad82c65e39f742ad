"""Label selectors and quantities of the API, over raw JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]

_SUFFIXES = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip


def quantity(text: object) -> float:
    """A Kubernetes quantity as a number; 0 for what is none."""
    raw = str(text).strip()
    digits = raw.rstrip("KMGTPEkmnui")
    try:
        return float(digits) * _SUFFIXES[raw[len(digits) :]]
    except (ValueError, KeyError):
        pass
    try:
        return float(raw)
    except ValueError:
        return 0.0


def selects(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """Whether a label selector picks these labels; an empty one picks all, none at all picks nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return meet(selector.get("matchExpressions") or [], labels)


def any_term(terms: Iterable[Json], labels: Mapping[str, str], fields: Mapping[str, str]) -> bool:
    """Whether a term of a node selector picks a node with these labels and fields; an empty term picks none."""
    return any(
        meet(term.get("matchExpressions") or [], labels) and meet(term.get("matchFields") or [], fields)
        for term in terms
        if term.get("matchExpressions") or term.get("matchFields")
    )


def meet(rules: Iterable[Json], labels: Mapping[str, str]) -> bool:
    """Whether labels meet every expression."""
    return all(_meets(rule, labels) for rule in rules)


def _meets(rule: Json, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(str(rule.get("key"))), rule.get("values") or []
    match rule.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and quantity(value) > quantity(values[0])
        case "Lt":
            return value is not None and quantity(value) < quantity(values[0])
    return True
