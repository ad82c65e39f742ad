"""Fact ↔ one line of JSON: bytes to bytes, no files.

A line is a JSON object whose "fact" names the dataclass; fields that have their default are left out, so that an
added field with a default keeps old documents readable. Numbers that are no finite JSON are never written.
"""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from rollcheck.errors import DocumentError, UnsupportedSchema
from rollcheck.facts.document import SCHEMA, Document, Fact, Header, Seal

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (*get_args(Fact), Header, Seal)}


def encode_line(fact: Fact | Header | Seal) -> bytes:
    """One line of a document, newline included."""
    return (
        json.dumps({"fact": type(fact).__name__, **plain(fact)}, separators=(",", ":"), allow_nan=False).encode()
        + b"\n"
    )


def decode_line(line: bytes) -> Fact | Header | Seal:
    """The fact that a line holds.

    Raises:
        DocumentError: it is no JSON object, names no known fact, or lacks a field.
    """
    try:
        raw = json.loads(line)
        made: Fact | Header | Seal = _maker(_KINDS[raw.pop("fact")])(raw)  # type: ignore[arg-type]  # a class is hashable
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise DocumentError(f"not a line of a facts document ({e!r}): {line[:80]!r}") from e
    return made


def decode_document(lines: Iterable[bytes]) -> Document:
    """The document that the lines hold; a torn end is cut off and said in `damaged`.

    Raises:
        UnsupportedSchema: its header names another schema.
        DocumentError: it has no header at all.
    """
    header: Header | None = None
    facts: list[Fact] = []
    seal: Seal | None = None
    damaged = ""
    for number, line in enumerate(lines, 1):
        try:
            fact = decode_line(line)
        except DocumentError as e:
            if header is None:
                raise _no_header(line) from e
            damaged = f"line {number} and what may follow it cannot be read"
            break
        if header is None:
            if not isinstance(fact, Header):
                raise _no_header(line)
            if fact.schema != SCHEMA:
                raise UnsupportedSchema(f"this document has schema {fact.schema!r}; this rollcheck reads {SCHEMA!r}")
            header = fact
        elif isinstance(fact, Seal):
            seal = fact
            if seal.lines != number - 1:
                damaged = f"the seal counts {seal.lines} lines before it, but there are {number - 1}"
            break
        elif not isinstance(fact, Header):
            facts.append(fact)
    if header is None:
        raise DocumentError("the document is empty: the run ended before it began")
    return Document(header=header, facts=tuple(facts), seal=None if damaged else seal, damaged=damaged)


def _no_header(line: bytes) -> DocumentError:
    try:
        schema = json.loads(line).get("schema", "")
    except (ValueError, AttributeError):
        schema = ""
    if schema and schema != SCHEMA:
        return UnsupportedSchema(f"this document has schema {schema!r}; this rollcheck reads {SCHEMA!r}")
    return DocumentError("this is not a rollcheck document: its first line is no header")


@cache
def _defaults(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((f.name, f.default_factory() if f.default_factory is not MISSING else f.default) for f in fields(kind))


def plain(value: Any) -> Any:
    """A value of a fact as JSON has it; fields that have their default are left out."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            name: plain(v)
            for name, default in _defaults(type(value))
            if (v := getattr(value, name)) != default or name == "schema"
        }
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    return value


@cache
def _maker(kind: Any) -> Callable[[Any], Any]:
    """A function from plain JSON to a value of type `kind`."""
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        makers = {f.name: _maker(hints[f.name]) for f in fields(kind)}
        return lambda raw: kind(**{name: makers[name](v) for name, v in raw.items() if name in makers})
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind
    origin = get_origin(kind)
    if origin is tuple:
        inner = _maker(get_args(kind)[0])
        return lambda raw: tuple(inner(v) for v in raw)
    if origin in (Union, types.UnionType):
        inner = _maker(next(a for a in get_args(kind) if a is not type(None)))
        return lambda raw: None if raw is None else inner(raw)
    if kind is float:
        return float
    return lambda raw: raw
