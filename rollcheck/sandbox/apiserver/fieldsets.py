"""Sets of fields: which parts of an object a manager owns.

A path is a tuple of elements as FieldsV1 writes them: `f:spec`, `k:{"name":"web"}` for the element of a keyed list,
`v:"x"` for that of a set. A set of fields is a Python set of paths, so union and difference are Python's.
Rules: sigs.k8s.io/structured-merge-diff `typed/tofieldset.go`, `typed/compare.go`, `typed/merge.go`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from rollcheck.sandbox.apiserver.fields import Shape, Type, struct_of
from rollcheck.sandbox.trees import Json

Path = tuple[str, ...]
Fields = set[Path]

MISSING: Any = object()
ALWAYS_THERE = frozenset({"metadata", "spec", "status", "template", "strategy", "updateStrategy", "loadBalancer"})
"""Members that Go holds as structs, not as pointers: they are there even when nothing is in them."""

IGNORED: frozenset[Path] = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "generation",
            "managedFields",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        )
    }
)


class Duplicates(Exception):
    """Two elements of a keyed list have the same key; the text is the path and the key."""


def decode(tree: Json, path: Path = ()) -> Fields:
    """FieldsV1 → a set of paths."""
    found: Fields = set()
    for key, below in tree.items():
        if key == ".":
            found.add(path)
        elif below:
            found |= decode(below, (*path, key))
        else:
            found.add((*path, key))
    return found


def encode(fields: Fields) -> Json:
    """A set of paths → FieldsV1."""
    tree: Json = {}
    for path in sorted(fields):
        node = tree
        for element in path:
            node = node.setdefault(element, {})
    for path in fields:
        node = tree
        for element in path:
            node = node[element]
        if node:
            node["."] = {}
    return _sorted(tree)


def _sorted(tree: Json) -> Json:
    return {key: _sorted(tree[key]) for key in sorted(tree)}


def kept(fields: Fields, *, drop: tuple[str, ...] = ()) -> Fields:
    """Without what nobody owns, and without the members of the object that `drop` names."""
    gone = {f"f:{name}" for name in drop}
    return {path for path in fields if path not in IGNORED and path[0] not in gone}


def text(path: Path) -> str:
    """A path as conflicts name it: `.spec.containers[name="web"].image`."""
    parts = []
    for element in path:
        if element.startswith("f:"):
            parts.append("." + element[2:])
        elif element.startswith("k:"):
            keys = json.loads(element[2:])
            parts.append("[" + ",".join(f"{key}={json.dumps(value)}" for key, value in keys.items()) + "]")
        else:
            parts.append(f"[={element[2:]}]")
    return "".join(parts)


def is_leaf(type_: Type) -> bool:
    """Whether a value of that type is owned as a whole."""
    if type_.shape is Shape.STRUCT:
        return struct_of(type_).atomic
    return type_.atomic or type_.shape in (Shape.SCALAR, Shape.ANY)


def element(type_: Type, value: Any) -> str:
    """How an element of a keyed list or a set is told from the others."""
    if type_.is_set:
        return "v:" + json.dumps(value, separators=(",", ":"))
    assert type_.item is not None
    known = struct_of(type_.item).fields
    keys = {key: value.get(key, known[key].default or None) for key in type_.keys}
    said = {key: keys[key] for key in sorted(keys) if keys[key] is not None}
    return "k:" + json.dumps(said, separators=(",", ":"))


def children(type_: Type, value: Any) -> Iterator[tuple[str, Type, Any]]:
    """The parts of a struct, a map, a keyed list or a set: element, type, value."""
    if type_.shape is Shape.LIST:
        assert type_.item is not None
        for one in value:
            yield element(type_, one), type_.item, one
        return
    known = struct_of(type_).fields if type_.shape is Shape.STRUCT else {}
    for key, one in value.items():
        if key in known:
            yield f"f:{key}", known[key].type, one
        elif type_.shape is Shape.MAP and type_.item is not None:
            yield f"f:{key}", type_.item, one


def of_config(type_: Type, value: Any, path: Path = ()) -> Fields:
    """The fields that an applied configuration names. Raises Duplicates."""
    if is_leaf(type_):
        return {path}
    found: Fields = set()
    seen: set[str] = set()
    for name, below, one in children(type_, value):
        here = (*path, name)
        if name in seen:
            raise Duplicates(f"{text(path)}: duplicate entries for key {text((name,))}")
        seen.add(name)
        if type_.is_set or type_.shape is Shape.LIST or type_.shape is Shape.MAP or one == {}:
            found.add(here)
        if not type_.is_set:
            found |= of_config(below, one, here)
    return found


def difference(type_: Type, old: Any, new: Any) -> tuple[Fields, Fields]:
    """What `new` has that `old` has not or has otherwise; and what it has no more."""
    changed: Fields = set()
    removed: Fields = set()
    _compare(type_, old, new, (), changed, removed)
    return changed, removed


def _compare(type_: Type, old: Any, new: Any, path: Path, changed: Fields, removed: Fields) -> None:
    if old is not MISSING and new is not MISSING and old == new:
        return  # most of an object, in most writes: told by one comparison in C
    leaf = is_leaf(type_) or not (_parts(old) or _parts(new))
    if leaf or old is MISSING or new is MISSING:
        (removed if new is MISSING else changed).add(path)
        if leaf:
            return
    before = {name: (below, one) for name, below, one in children(type_, old)} if old is not MISSING else {}
    after = {name: (below, one) for name, below, one in children(type_, new)} if new is not MISSING else {}
    for name in before.keys() | after.keys():
        below = (after.get(name) or before[name])[0]
        was, now = before.get(name, (below, MISSING))[1], after.get(name, (below, MISSING))[1]
        here = (*path, name)
        if type_.is_set:
            if was is MISSING or now is MISSING:
                (removed if now is MISSING else changed).add(here)
            continue
        if was is MISSING and isinstance(now, dict | list) and now and _always_there(type_, name):
            was = {} if isinstance(now, dict) else []
        _compare(below, was, now, here, changed, removed)


def _parts(value: Any) -> bool:
    return value is not MISSING and bool(value) and isinstance(value, dict | list)


def _always_there(type_: Type, name: str) -> bool:
    if type_.shape is not Shape.STRUCT:
        return False
    field = struct_of(type_).fields[name[2:]]
    return field.required or (field.name in ALWAYS_THERE and field.type.shape is Shape.STRUCT)


def merged(type_: Type, old: Any, new: Any) -> Any:
    """`old` with everything that `new` says; elements of keyed lists come in the order of `new`, as far as it says."""
    if old is MISSING or is_leaf(type_):
        return new
    if type_.shape is Shape.LIST:
        return _merged_list(type_, old, new)
    found = dict(old)
    for name, below, one in children(type_, new):
        key = name[2:]
        found[key] = merged(below, old.get(key, MISSING), one)
    return found


def _merged_list(type_: Type, old: list[Any], new: list[Any]) -> list[Any]:
    def name(one: Any) -> str:
        return element(type_, one)

    assert type_.item is not None
    before = {name(one): one for one in old}
    theirs = [one if type_.is_set else merged(type_.item, before.get(name(one), MISSING), one) for one in new]
    return _in_order(old, theirs, name)


def _in_order(old: list[Any], new: list[Any], name: Callable[[Any], str]) -> list[Any]:
    """What only `old` has stays where it stands; what `new` has comes in its order, around that."""
    wanted = {name(one) for one in new}
    found: list[Any] = []
    done: set[str] = set()
    left, right = list(reversed(old)), list(reversed(new))
    while left or right:
        mine = name(left[-1]) if left else ""
        if left and mine not in wanted:
            found.append(left.pop())
        elif left and (mine in done or (right and mine == name(right[-1]))):
            left.pop()
            if mine not in done:
                done.add(mine)
                found.append(right.pop())
        else:
            done.add(name(right[-1]))
            found.append(right.pop())
    return found


def interleaved(ours: list[Any], theirs: list[Any], had: list[Any], name: Callable[[Any], Any]) -> list[Any]:
    """Two lists in one: `theirs` in its order, each of `ours` before what it stood before in `had`."""
    place = {one: at for at, one in enumerate(had)}
    found: list[Any] = []
    ours, theirs = list(ours), list(theirs)
    while ours and theirs:
        first, second = place.get(name(ours[0])), place.get(name(theirs[0]))
        stood_before = first is not None and second is not None and first < second
        found.append((ours if stood_before else theirs).pop(0))
    return found + theirs + ours


def without(type_: Type, value: Any, gone: Fields, owned: Fields) -> Any:
    """`value` without the fields in `gone`, but for those that are in `owned` or that hold something owned.

    What becomes empty by it goes, too, unless it is owned.
    """
    roots = {path[:1] for path in gone}
    if not roots or not isinstance(value, dict | list) or is_leaf(type_):
        return value
    parts: list[tuple[str, Any]] = []
    for name, below, one in children(type_, value):
        if (name,) not in roots:
            parts.append((name, one))
            continue
        ours = {path[1:] for path in gone if path[0] == name and len(path) > 1}
        theirs = {path[1:] for path in owned if path and path[0] == name}
        if (name,) in gone and not theirs:
            continue
        left = one if type_.is_set else without(below, one, ours, theirs)
        if left or left == one or theirs:
            parts.append((name, left))
    if isinstance(value, list):
        return [one for _, one in parts]
    kept_parts = {name[2:]: one for name, one in parts}
    known = struct_of(type_).fields if type_.shape is Shape.STRUCT else {}
    unknown = {key: one for key, one in value.items() if type_.shape is Shape.STRUCT and key not in known}
    return kept_parts | unknown
