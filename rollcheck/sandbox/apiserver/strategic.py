"""Strategic merge patch: a merge patch that knows which lists are keyed.

Rules: k8s.io/apimachinery `pkg/util/strategicpatch`. Maps merge key by key, null takes away. Lists with a merge key
merge element by element, lists of scalars with the strategy merge are united, all others are replaced. Directives:
`$patch: replace|delete|merge` in maps and in elements, `$deleteFromPrimitiveList/F`, `$setElementOrder/F`,
`$retainKeys`. Orders: what the patch brings comes in the patch's order; what only the server has keeps its place
before the first element that it stood before.
"""

from __future__ import annotations

from typing import Any

from rollcheck.sandbox.apiserver.fields import Field, Shape, Type, struct_of
from rollcheck.sandbox.apiserver.fieldsets import interleaved
from rollcheck.sandbox.trees import Json, clone

PATCH, RETAIN = "$patch", "$retainKeys"
DELETE_SCALARS, ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"


class BadStrategicPatch(Exception):
    """The patch breaks its own rules; the text is the real server's.

    Attributes:
        code: the HTTP status: 500 for what the real server does not catch, 422 for the rest.
    """

    def __init__(self, message: str, code: int = 500) -> None:
        super().__init__(message)
        self.code = code


def strategic_merge(target: Json, patch: Json, type_: Type) -> Json:
    """A new tree: `target`, an object of `type_`, with `patch` merged into it. Raises BadStrategicPatch."""
    return _merge_map(target, patch, type_)


def _fields(type_: Type | None) -> dict[str, Field]:
    return struct_of(type_).fields if type_ is not None and type_.shape is Shape.STRUCT else {}


def _type_at(type_: Type | None, field: Field | None) -> Type | None:
    if field is not None:
        return field.type
    return type_.item if type_ is not None and type_.shape is Shape.MAP else None


def _merge_map(target: Json, patch: Json, type_: Type | None) -> Json:
    directive = patch.get(PATCH)
    if directive is not None:
        rest = {key: value for key, value in patch.items() if key != PATCH}
        if directive == "replace":
            return _cleaned_map(rest)
        if directive == "delete":
            return {}
        if directive != "merge":
            raise BadStrategicPatch(f"unknown patch type: {directive} in map: {go_text(patch)}")
        patch = rest
    found = dict(target)
    retained = patch.get(RETAIN)
    if isinstance(retained, list):
        found = {key: value for key, value in found.items() if key in retained}
    known = _fields(type_)
    for key, value in patch.items():
        if key == RETAIN or key.startswith(ORDER):
            continue
        if key.startswith(DELETE_SCALARS):
            name = key.removeprefix(DELETE_SCALARS)
            if isinstance(found.get(name), list) and isinstance(value, list):
                found[name] = [one for one in found[name] if one not in value]
            continue
        _merge_member(found, key, value, patch.get(ORDER + key), known.get(key), type_)
    for key, order in patch.items():  # an order may come without its list: elements are only put in another order
        name = key.removeprefix(ORDER)
        if key.startswith(ORDER) and name not in patch and isinstance(found.get(name), list):
            field = known.get(name)
            found[name] = _ordered(found[name], [], order, field.merge_key if field is not None else "")
    return found


def _merge_member(found: Json, key: str, value: Any, order: Any, field: Field | None, type_: Type | None) -> None:
    if value is None:
        found.pop(key, None)
        return
    old, member = found.get(key), _type_at(type_, field)
    strategies = field.strategies if field is not None else frozenset()
    if isinstance(value, dict):
        if isinstance(old, list) or (member is not None and member.shape is Shape.LIST):
            raise BadStrategicPatch("cannot restore slice from map", 422)
        if "replace" in strategies or not isinstance(old, dict):
            old = {}
        found[key] = _merge_map(old, value, member)
    elif isinstance(value, list):
        merged = field is not None and "merge" in strategies
        item = member.item if member is not None else None
        if merged and field is not None:
            before = old if isinstance(old, list) else []
            found[key] = _merge_list(before, value, order, field.merge_key, item)
        else:
            found[key] = [_cleaned(one) for one in value]
    else:
        found[key] = value


def _merge_list(old: list[Any], patch: list[Any], order: Any, key: str, item: Type | None) -> list[Any]:
    for one in patch:
        name = one.get(key) if key and isinstance(one, dict) else one
        if isinstance(name, dict | list) or (key and not isinstance(one, dict)):
            raise BadStrategicPatch(f"{go_text(one)} cannot be told from others in its list", 422)
    if not key:
        known = list(old)
        known += [one for at, one in enumerate(patch) if one not in old and one not in patch[:at]]
        return _ordered(known, old, order if isinstance(order, list) else patch, "")
    if any(isinstance(one, dict) and one.get(PATCH) == "replace" for one in patch):
        return [_cleaned(one) for one in patch if one.get(PATCH) != "replace"]
    merged = list(old)
    for one in patch:
        if not isinstance(one, dict) or key not in one:
            raise BadStrategicPatch(f"map: {go_text(one)} does not contain declared merge key: {key}")
        at = next((at for at, old_one in enumerate(merged) if old_one.get(key) == one[key]), None)
        if one.get(PATCH) == "delete":
            merged = [other for other in merged if other.get(key) != one[key]]
        elif at is None:
            merged.append(_merge_map({}, one, item))
        else:
            merged[at] = _merge_map(merged[at], one, item)
    return _ordered(merged, old, order if isinstance(order, list) else patch, key)


def _ordered(merged: list[Any], server: list[Any], order: list[Any], key: str) -> list[Any]:
    """Put what the patch names into the patch's order, and what it does not know about where the server had it."""

    def name(one: Any) -> Any:
        return one.get(key) if key and isinstance(one, dict) else one

    wanted = [name(one) for one in order]
    theirs = sorted((one for one in merged if name(one) in wanted), key=lambda one: wanted.index(name(one)))
    only_server = [one for one in merged if name(one) not in wanted]
    return interleaved(only_server, theirs, [name(one) for one in (server or merged)], name)


def _cleaned(value: Any) -> Any:
    """A value of the patch as it is stored where there was none: without directives and nulls."""
    if isinstance(value, dict):
        return _cleaned_map(value)
    return clone(value)


def _cleaned_map(patch: Json) -> Json:
    return {
        key: _cleaned_map(value) if isinstance(value, dict) else _cleaned(value)
        for key, value in patch.items()
        if value is not None and not key.startswith("$")
    }


def go_text(value: Any) -> str:
    """A tree as Go's %v prints it: `map[a:1 b:[x y]]`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_text(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(go_text, value)) + "]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)
