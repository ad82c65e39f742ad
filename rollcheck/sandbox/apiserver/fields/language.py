"""How the tables of this package are read.

A line is a type: `Name [kind] [atomic]: field type, field type, …`, continued on indented lines. `kind` says that it
is an object of the API (apiVersion, kind and metadata go without saying), `atomic` that server-side apply treats it
as one value.

A field's type is a scalar (`string`, `bool`, `int32`, `int64`, `number`, `bytes`, `quantity`, `time`, `microtime`,
`intstr`), `any` (JSON of whatever shape), another line's name, `[type]` or `{type}` (a map from strings). Behind it:

    @k1+k2      a list whose elements are told apart by these keys in server-side apply; @set: by their value;
                a list without is one value. `{string}@atomic`: a map that is one value.
    ~key        strategic merge merges this list by that key; `~` alone: a list of scalars as a set;
                `+retainKeys` behind it, or `~retainKeys`, `~replace` of a struct: the patch strategy of that name
    !           required
    =text       its default where it is a key of a list
    #3, #1.2    its number in protobuf, or the numbers on the way where Go inlines a struct that protobuf does not
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto


class Shape(Enum):
    """What JSON a type is."""

    SCALAR = auto()
    ANY = auto()
    LIST = auto()
    MAP = auto()
    STRUCT = auto()


SCALARS = frozenset({"string", "bool", "int32", "int64", "number", "bytes", "quantity", "time", "microtime", "intstr"})


@dataclass(frozen=True, slots=True)
class Type:
    """What a field may hold.

    Attributes:
        name: of the scalar or the struct; empty for lists and maps.
        item: type of a list's elements or a map's values.
        keys: the fields that tell a list's elements apart in server-side apply.
        is_set: whether a list's elements are told apart by value.
        atomic: whether server-side apply treats it as one value.
    """

    shape: Shape
    name: str = ""
    item: Type | None = None
    keys: tuple[str, ...] = ()
    is_set: bool = False
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct.

    Attributes:
        strategies: of strategic merge: merge, replace, retainKeys.
        merge_key: of strategic merge; empty for lists of scalars and for what is not merged.
        default: the value that stands for a missing key of a list's element.
        number: protobuf's field numbers, outermost first; () where protobuf has none.
    """

    name: str
    type: Type
    required: bool = False
    strategies: frozenset[str] = frozenset()
    merge_key: str = ""
    default: str = ""
    number: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Struct:
    """A type with fields.

    Attributes:
        full_name: as OpenAPI calls it, such as `io.k8s.api.core.v1.Container`.
        kind: whether it is an object of the API.
    """

    name: str
    full_name: str
    fields: dict[str, Field]
    kind: bool = False
    atomic: bool = False


KIND_FIELDS = "apiVersion string, kind string, metadata ObjectMeta#1"

_FIELD = re.compile(
    r"(?P<name>\S+) (?P<base>[^@~!=#]+)(?:@(?P<keys>[^~!=#]+))?(?P<merged>~(?P<merge>[^!=#]*))?(?P<required>!)?"
    r"(?:=(?P<default>[^#]+))?(?:#(?P<number>[\d.]+))?"
)
_HEAD = re.compile(r"(?P<name>\w+)(?P<kind> kind)?(?P<atomic> atomic)?: ?(?P<fields>.*)")


def parse(prefix: str, table: str) -> list[Struct]:
    """The types that a table tells of; `prefix` is OpenAPI's, such as `io.k8s.api.core.v1`."""
    lines: list[str] = []
    for line in table.strip().splitlines():
        if line.startswith(" "):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    return [_struct(prefix, line) for line in lines]


def _struct(prefix: str, line: str) -> Struct:
    head = _HEAD.fullmatch(line)
    assert head is not None, line
    text = ", ".join(filter(None, (KIND_FIELDS if head["kind"] else "", head["fields"])))
    fields = [_field(part) for part in text.split(", ")] if text else []
    return Struct(
        name=head["name"],
        full_name=f"{prefix}.{head['name'].removeprefix('Slice') if 'discovery' in prefix else head['name']}",
        fields={field.name: field for field in fields},
        kind=head["kind"] is not None,
        atomic=head["atomic"] is not None,
    )


def _field(text: str) -> Field:
    found = _FIELD.fullmatch(text)
    assert found is not None, text
    keys = found["keys"] or ""
    type_ = _type(found["base"], keys)
    strategies, merge_key = _merge(found["merge"], is_list=type_.shape is Shape.LIST) if found["merged"] else ((), "")
    return Field(
        name=found["name"],
        type=type_,
        required=found["required"] is not None,
        strategies=frozenset(strategies),
        merge_key=merge_key,
        default=found["default"] or "",
        number=tuple(int(part) for part in (found["number"] or "").split(".") if part),
    )


def _merge(text: str, *, is_list: bool) -> tuple[tuple[str, ...], str]:
    key, *more = text.split("+")
    return (("merge", *more), key) if is_list else ((key,), "")


def _type(base: str, keys: str = "") -> Type:
    if base.startswith("["):
        parts = () if keys in ("", "set") else tuple(keys.split("+"))
        return Type(Shape.LIST, item=_type(base[1:-1]), keys=parts, is_set=keys == "set", atomic=not keys)
    if base.startswith("{"):
        return Type(Shape.MAP, item=_type(base[1:-1]), atomic=keys == "atomic")
    if base in SCALARS:
        return Type(Shape.SCALAR, base)
    return Type(Shape.ANY) if base == "any" else Type(Shape.STRUCT, base)
