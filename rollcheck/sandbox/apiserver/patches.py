"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386), on trees."""

from __future__ import annotations

from typing import Any

from rollcheck.sandbox.trees import Json, clone

MAX_OPERATIONS = 10_000


class PatchFails(Exception):
    """A JSON patch that cannot be applied to this object."""


class PatchMalformed(Exception):
    """What was sent is no patch."""


def merge_patch(target: Any, patch: Any) -> Any:
    """A new tree: `target` with `patch` merged into it; null takes away."""
    if not isinstance(patch, dict):
        return clone(patch)
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merge_patch(found.get(key), value)
    return found


def json_patch(target: Json, operations: Any) -> Any:
    """A new tree: `target` after the operations, all or none. Raises PatchMalformed or PatchFails.

    As on the real server, `replace` of a member that is not there adds it, and `remove` of one fails.
    """
    if not isinstance(operations, list):
        raise PatchMalformed("json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp")
    if len(operations) > MAX_OPERATIONS:
        raise PatchMalformed(
            f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        )
    tree: Any = clone(target)
    for operation in operations:
        if not isinstance(operation, dict):
            raise PatchMalformed("json: cannot unmarshal into Go value of type handlers.jsonPatchOp")
        tree = _operate(tree, operation)
    return tree


def _operate(tree: Any, operation: Json) -> Any:
    op, path = operation.get("op"), operation.get("path")
    if not isinstance(path, str):
        raise PatchFails("an operation needs a path")
    match op:
        case "add" | "replace":
            if "value" not in operation:
                raise PatchFails(f"{op} operation needs a value")
            return _write(tree, path, clone(operation["value"]), replace=op == "replace")
        case "remove":
            return _remove(tree, path)
        case "test":
            if _read(tree, path, missing=None) != operation.get("value"):
                raise PatchFails(f"testing value {path} failed")
            return tree
        case "move":
            value = _read(tree, str(operation.get("from")))
            return _write(_remove(tree, str(operation.get("from"))), path, value, replace=False)
        case "copy":
            return _write(tree, path, clone(_read(tree, str(operation.get("from")))), replace=False)
        case _:
            raise PatchFails(f"Unexpected kind: {op}")


_FAIL = object()


def _steps(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise PatchFails(f"the path {path} does not begin with /")
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _child(node: Any, step: str, path: str) -> Any:
    if isinstance(node, dict) and step in node:
        return node[step]
    if isinstance(node, list):
        return node[_index(node, step, path, len(node) - 1)]
    raise PatchFails(f"doc is missing path: {path}")


def _index(node: list[Any], step: str, path: str, highest: int) -> int:
    if not step.isdigit() or int(step) > highest:
        raise PatchFails(f"invalid array index in {path}")
    return int(step)


def _read(tree: Any, path: str, missing: Any = _FAIL) -> Any:
    for step in _steps(path):
        try:
            tree = _child(tree, step, path)
        except PatchFails:
            if missing is _FAIL:
                raise
            return missing
    return tree


def _write(tree: Any, path: str, value: Any, *, replace: bool) -> Any:
    steps = _steps(path)
    if not steps:
        return value
    parent = tree
    for step in steps[:-1]:
        parent = _child(parent, step, path)
    last = steps[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif not isinstance(parent, list):
        raise PatchFails(f"doc is missing path: {path}")
    elif replace:
        parent[_index(parent, last, path, len(parent) - 1)] = value
    elif last == "-":
        parent.append(value)
    else:
        parent.insert(_index(parent, last, path, len(parent)), value)
    return tree


def _remove(tree: Any, path: str) -> Any:
    steps = _steps(path)
    if not steps:
        raise PatchFails("the whole document cannot be removed")
    parent = tree
    for step in steps[:-1]:
        parent = _child(parent, step, path)
    _child(parent, steps[-1], path)
    if isinstance(parent, dict):
        del parent[steps[-1]]
    else:
        del parent[int(steps[-1])]
    return tree
