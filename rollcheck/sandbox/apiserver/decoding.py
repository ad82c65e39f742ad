"""Bodies → objects: JSON, YAML and protobuf, checked against the tables of fields.

A wrong type is refused in the words of Go's decoder. Unknown and doubled fields are dropped, and told: as an error
(fieldValidation=Strict), as warnings (Warn, the default) or not at all (Ignore). Empty lists and maps that are not
required vanish, as they do between Go's decoder and encoder.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from rollcheck.sandbox import status
from rollcheck.sandbox.apiserver import protobuf
from rollcheck.sandbox.apiserver.fields import Shape, Type, struct_of, type_of
from rollcheck.sandbox.clock import parse_time
from rollcheck.sandbox.trees import Json

MEDIA_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
QUANTITY = re.compile(r"[+-]?[0-9.]+[eEinumkKMGTP]*[-+]?[0-9]*")
INT_BITS = {"int32": 31, "int64": 63}


class Doubled(dict[str, Any]):
    """A JSON object in which keys stood twice."""

    doubles: list[str]


class Misfit(Exception):
    """A value that Go's decoder does not take; the text is Go's."""


@dataclass(slots=True)
class Findings:
    """What was dropped: `unknown field "spec.foo"`."""

    said: list[str] = field(default_factory=list)


def parse_json(data: bytes) -> Any:
    """JSON → tree; keys that stand twice are remembered. Raises ValueError."""
    try:
        tree = json.loads(data, object_pairs_hook=_pairs, parse_float=_finite, parse_constant=_finite)
    except RecursionError as e:
        raise ValueError("exceeded max depth") from e
    return _whole(tree) if b"\\ud" in data.lower() else tree


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number of JSON")
    return value


def _whole(tree: Any) -> Any:
    """Halves of surrogate pairs replaced, as Go does: nothing that is stored may fail to be written as UTF-8."""
    if isinstance(tree, dict):
        return {_whole(key): _whole(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_whole(value) for value in tree]
    return tree.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(tree, str) else tree


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    keys = [key for key, _ in pairs]
    doubled = Doubled(found)
    doubled.doubles = [key for key in found if keys.count(key) > 1]
    return doubled


def parse_yaml(data: bytes) -> Any:
    """YAML or JSON → tree. Raises ValueError."""
    try:
        return parse_json(data)
    except ValueError:
        pass
    try:
        return _jsonlike(YAML(typ="safe", pure=True).load(data))
    except RecursionError as e:
        raise ValueError("yaml: exceeded max depth") from e
    except YAMLError as e:
        raise ValueError(f"yaml: {' '.join(str(e).split())[:200]}") from e


def _jsonlike(tree: Any) -> Any:
    """What YAML knows and JSON does not, as the text that it was."""
    if isinstance(tree, dict):
        return {str(key): _jsonlike(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_jsonlike(value) for value in tree]
    if isinstance(tree, float) and not math.isfinite(tree):
        raise ValueError(f"yaml: {tree} is no number of JSON")
    return tree if tree is None or isinstance(tree, str | int | float) else str(tree)


def read_body(data: bytes, content_type: str, kind: str) -> Any:
    """A body as a tree, not yet checked; `kind` is the one expected. Raises ApiFailure 400 or 415."""
    media = content_type.partition(";")[0].strip().lower() or MEDIA_TYPES[0]
    if media not in MEDIA_TYPES:
        raise status.unsupported_media_type(MEDIA_TYPES)
    try:
        if media == MEDIA_TYPES[2]:
            return protobuf.decode(data)
        tree = parse_json(data) if media == MEDIA_TYPES[0] else parse_yaml(data)
    except ValueError as e:
        why = f"couldn't get version/kind; json parse error: {e}" if media == MEDIA_TYPES[0] else str(e)
        raise _unrecognized(kind, why) from e
    if not isinstance(tree, dict):
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {_go_name(tree)} is no object")
    return tree


def _unrecognized(kind: str, why: str) -> status.ApiFailure:
    return status.bad_request(f"the object provided is unrecognized (must be of type {kind}): {why}")


def decode(data: bytes, content_type: str, api_version: str, kind: str, validation: str = "") -> tuple[Json, list[str]]:
    """A body as an object of that kind, and what the client is to be warned of.

    Raises ApiFailure 400 for what is no such object, and with `validation` "Strict" for fields that are not in it.
    """
    tree = read_body(data, content_type, kind)
    _check_kind(tree, api_version, kind)
    try:
        return convert(tree, api_version, kind, validation)
    except Misfit as e:
        version = api_version.rpartition("/")[2]
        raise status.bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {e}') from e


def _check_kind(tree: Json, api_version: str, kind: str) -> None:
    """Refuse an object of another kind; what says nothing of itself is taken for what is expected."""
    said_version, said = tree.setdefault("apiVersion", api_version), tree.setdefault("kind", kind)
    if (said_version, said) == (api_version, kind):
        return
    version = str(said_version).rpartition("/")[2]
    if type_of(str(said_version), str(said)) is None:
        version = api_version.rpartition("/")[2] if said == kind else version
        why = f'no kind "{said}" is registered for version "{said_version}" in scheme "pkg/runtime/scheme.go:110"'
    else:
        internal = api_version.rpartition("/")[0].partition(".")[0] or "core"
        why = f"converting (v1.{said}) to ({internal}.{kind}): unknown conversion"
    raise status.bad_request(f'{said} in version "{version}" cannot be handled as a {kind}: {why}')


def convert(tree: Any, api_version: str, kind: str, validation: str = "") -> tuple[Json, list[str]]:
    """A tree as Go's decoder and encoder would leave it, and the warnings.

    Raises Misfit for wrong types, and with `validation` "Strict" for dropped fields.
    """
    type_ = type_of(api_version, kind)
    assert type_ is not None, (api_version, kind)
    findings = Findings()
    obj = _struct(type_, tree, "", findings)
    if validation == "Strict" and findings.said:
        raise Misfit(f"strict decoding error: {', '.join(findings.said)}")
    return obj, [] if validation == "Ignore" else findings.said


def part(tree: Any, name: str) -> Json:
    """A tree as a type that is no object of the API, such as DeleteOptions; raises Misfit."""
    if not isinstance(tree, dict):
        raise Misfit(f"json: cannot unmarshal {_go_name(tree)} into Go value of type v1.{name}")
    return _struct(Type(Shape.STRUCT, name), tree, "", Findings())


def _value(type_: Type, value: Any, path: str, go: tuple[str, str], findings: Findings) -> Any:
    """One value; `go` is the struct and the path by which Go names it."""
    match type_.shape:
        case Shape.SCALAR:
            return _scalar(type_.name, value, go)
        case Shape.STRUCT:
            if not isinstance(value, dict):
                raise _misfit(value, go, f"v1.{type_.name}")
            return _struct(type_, value, path, findings, go[1])
        case Shape.LIST:
            if not isinstance(value, list):
                raise _misfit(value, go, go_type(type_))
            item = type_.item
            assert item is not None
            return [_value(item, one, f"{path}[{at}]", go, findings) for at, one in enumerate(value) if one is not None]
        case Shape.MAP:
            if not isinstance(value, dict):
                raise _misfit(value, go, go_type(type_))
            item = type_.item
            assert item is not None
            _note_doubles(value, path, findings)
            return {
                key: "" if one is None else _value(item, one, f"{path}.{key}", go, findings)
                for key, one in value.items()
            }
        case Shape.ANY:
            return value


def _struct(type_: Type, value: Json, path: str, findings: Findings, go_path: str = "") -> Json:
    struct = struct_of(type_)
    found: Json = {}
    for key, part in value.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, Doubled) and key in value.doubles:
            findings.said.append(f'duplicate field "{here}"')
        known = struct.fields.get(key)
        if known is None:
            findings.said.append(f'unknown field "{here}"')
            continue
        if part is None:
            continue
        made = _value(known.type, part, here, (struct.name, f"{go_path}.{key}" if go_path else key), findings)
        if made or known.required or known.type.shape not in (Shape.LIST, Shape.MAP):
            found[key] = made
    return found


def _note_doubles(value: Json, path: str, findings: Findings) -> None:
    if isinstance(value, Doubled):
        findings.said += [
            f'duplicate field "{path}.{key}"' if path else f'duplicate field "{key}"' for key in value.doubles
        ]


def _scalar(name: str, value: Any, go: tuple[str, str]) -> Any:
    match name:
        case "string":
            if not isinstance(value, str):
                raise _misfit(value, go, "string")
        case "bool":
            if not isinstance(value, bool):
                raise _misfit(value, go, "bool")
        case "int32" | "int64":
            return _integer(name, value, go)
        case "number":
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise _misfit(value, go, "float64")
        case "intstr":
            return value if isinstance(value, str) else _integer("int32", value, go)
        case "quantity":
            return _quantity(value)
        case "time" | "microtime":
            _check_time(value, go)
        case "bytes":
            _check_bytes(value, go)
    return value


def _integer(name: str, value: Any, go: tuple[str, str]) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _misfit(value, go, name)
    if value != int(value) or not -(1 << INT_BITS[name]) <= value < 1 << INT_BITS[name]:
        raise Misfit(f"json: cannot unmarshal number {value} into Go struct field {go[0]}.{go[1]} of type {name}")
    return int(value)


def _quantity(value: Any) -> str:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not QUANTITY.fullmatch(text):
        pattern = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
        raise Misfit(f"quantities must match the regular expression '{pattern}'")
    return text


def _check_time(value: Any, go: tuple[str, str]) -> None:
    if not isinstance(value, str):
        raise _misfit(value, go, "string")
    try:
        parse_time(value)
    except ValueError as e:
        layout = "2006-01-02T15:04:05Z07:00"
        raise Misfit(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"') from e


def _check_bytes(value: Any, go: tuple[str, str]) -> None:
    if not isinstance(value, str):
        raise _misfit(value, go, "[]uint8")
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as e:
        raise Misfit("illegal base64 data at input byte 0") from e


def _misfit(value: Any, go: tuple[str, str], wanted: str) -> Misfit:
    return Misfit(f"json: cannot unmarshal {_go_name(value)} into Go struct field {go[0]}.{go[1]} of type {wanted}")


def _go_name(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    names = ((str, "string"), (dict, "object"), (list, "array"))
    return next((name for kind, name in names if isinstance(value, kind)), "number")


def go_type(type_: Type) -> str:
    """A type as Go's messages call it: `[]v1.Container`."""
    if type_.shape is Shape.LIST and type_.item is not None:
        return f"[]{go_type(type_.item)}"
    if type_.shape is Shape.MAP and type_.item is not None:
        return f"map[string]{go_type(type_.item)}"
    return f"v1.{type_.name}" if type_.shape is Shape.STRUCT else type_.name
