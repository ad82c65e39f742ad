"""Reads the protobuf in which kubectl sends what it makes itself (`kubectl create deployment`, `kubectl auth can-i`).

Only reading: every client that sends protobuf also accepts JSON. Field numbers come from the same tables as the rest.
Source: k8s.io/apimachinery `pkg/runtime/serializer/protobuf`: four magic bytes, then a runtime.Unknown message.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from rollcheck.sandbox.apiserver.fields import Field, Shape, Struct, Type, struct_of, type_of
from rollcheck.sandbox.clock import micro_text, seconds_text
from rollcheck.sandbox.trees import Json

MAGIC = b"k8s\x00"
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MICRO = timedelta(microseconds=1)

Value = int | bytes


def decode(data: bytes) -> Json:
    """The object in a protobuf body, as JSON would hold it; raises ValueError."""
    if not data.startswith(MAGIC):
        raise ValueError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    api_version = kind = ""
    raw = b""
    for number, value in _fields(data[len(MAGIC) :]):
        if number == 1 and isinstance(value, bytes):
            meta = dict(_fields(value))
            api_version, kind = _text(meta.get(1, b"")), _text(meta.get(2, b""))
        elif number == 2 and isinstance(value, bytes):
            raw = value
    type_ = type_of(api_version, kind)
    if type_ is None:
        raise ValueError(f'no kind "{kind}" is registered for version "{api_version}"')
    return {"apiVersion": api_version, "kind": kind, **_message(struct_of(type_), raw)}


def _fields(data: bytes) -> Iterator[tuple[int, Value]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = _varint(data, at)
            yield number, value
        elif wire in (BYTES, FIXED64, FIXED32):
            size, at = _varint(data, at) if wire == BYTES else (8 if wire == FIXED64 else 4, at)
            if at + size > len(data):
                raise ValueError("unexpected EOF")
            yield number, data[at : at + size]
            at += size
        else:
            raise ValueError(f"proto: illegal wireType {wire}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("proto: integer overflow")
    raise ValueError("unexpected EOF")


@cache
def _numbers(name: str) -> dict[tuple[int, ...], Field]:
    return {field.number: field for field in struct_of(Type(Shape.STRUCT, name)).fields.values() if field.number}


def _message(struct: Struct, data: bytes) -> Json:
    found: Json = {}
    _collect(_numbers(struct.name), (), data, found)
    return found


def _collect(known: dict[tuple[int, ...], Field], outer: tuple[int, ...], data: bytes, found: Json) -> None:
    """Put the fields of a message into `found`; messages that Go inlines share their parent's object."""
    for number, value in _fields(data):
        place = (*outer, number)
        field = known.get(place)
        if field is not None:
            _put(found, field, value)
        elif isinstance(value, bytes) and any(other[: len(place)] == place for other in known):
            _collect(known, place, value, found)


def _put(found: Json, field: Field, value: Value) -> None:
    type_ = field.type
    if type_.shape is Shape.LIST and type_.item is not None:
        found.setdefault(field.name, []).append(_value(type_.item, value))
    elif type_.shape is Shape.MAP and type_.item is not None:
        pair = dict(_fields(_bytes(value)))
        found.setdefault(field.name, {})[_text(pair.get(1, b""))] = _value(type_.item, pair.get(2, b""))
    else:
        made = _value(type_, value)
        # Go's protobuf writes its zero values, which its JSON leaves out; pointers to zero cannot be told from them
        if made not in ("", None) and not (made is False and not field.required):
            found[field.name] = made


def _value(type_: Type, value: Value) -> Any:
    if type_.shape is Shape.STRUCT:
        return _message(struct_of(type_), _bytes(value))
    if type_.shape is Shape.LIST and type_.item is not None:  # `extra`: a map of messages that hold the list as field 1
        return [_value(type_.item, one) for _, one in _fields(_bytes(value))]
    if type_.shape is Shape.ANY:
        raw = _bytes(dict(_fields(_bytes(value))).get(1, b""))
        return json.loads(raw) if raw else None
    return _scalar(type_.name, value)


def _scalar(name: str, value: Value) -> Any:
    match name:
        case "bool":
            return bool(value)
        case "int32" | "int64":
            number = value if isinstance(value, int) else int.from_bytes(value, "little")
            return number - (1 << 64) if number >> 63 else number
        case "bytes":
            return base64.b64encode(_bytes(value)).decode()
        case "quantity":
            return _text(dict(_fields(_bytes(value))).get(1, b"0"))
        case "time" | "microtime":
            parts = dict(_fields(_bytes(value)))
            return _time(name, int(parts.get(1, 0)), int(parts.get(2, 0)))
        case "intstr":
            parts = dict(_fields(_bytes(value)))
            return _text(parts.get(3, b"")) if parts.get(1) else _scalar("int32", parts.get(2, 0))
        case _:
            return _text(value)


def _time(name: str, seconds: int, nanos: int) -> str | None:
    if seconds >> 63 or not seconds:  # Go's zero time lies in the year 1
        return None
    at = datetime.fromtimestamp(seconds, UTC) + nanos // 1000 * MICRO
    return seconds_text(at) if name == "time" else micro_text(at)


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise ValueError("proto: wrong wireType")
    return value


def _text(value: Value) -> str:
    return _bytes(value).decode()
