"""Tables as columns, packed so that half an hour of a busy run fits into a page.

A column is a JSON list, or one of three shorter ways to say it: `{"c": value}` all alike, `{"d": [first, step, …]}`
whole numbers by their differences, `{"v": […], "i": […]}` the distinct values and which of them each row has. The
page's script undoes this (`static/unpack.js`), after base64 and zlib.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from rollcheck.render.text import clean

Json = Any
"""What `json` can write: the shapes here are told by the field types of facts, not by ours."""


LEVEL = 6
"""Of zlib; 9 takes four times as long and saves two per cent."""


def packed(data: Json) -> str:
    """Base64 of the zlib stream of its JSON; nothing in it means anything to HTML."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode(), LEVEL)).decode()


def column(values: Sequence[Json]) -> Json:
    """The shortest way to say a column; texts in it are cleaned."""
    if not values:
        return []
    kinds = set(map(type, values))
    if kinds == {int}:
        if min(values) == max(values):
            return {"c": values[0]}
        return {"d": [values[0], *(b - a for a, b in pairwise(values))]}
    hashable = all(issubclass(kind, str) for kind in kinds) or (len(kinds) == 1 and kinds <= {bool, float})
    keys = values if hashable else [_key(value) for value in values]
    places: dict[Json, int] = {}
    numbers = [places.setdefault(key, len(places)) for key in keys]
    firsts: dict[int, Json] = {}
    for number, value in zip(numbers, values, strict=True):
        firsts.setdefault(number, value)
    distinct = [cleaned(value) for value in firsts.values()]
    if len(distinct) == 1:
        return {"c": distinct[0]}
    if len(distinct) <= len(values) // 2:
        return {"v": distinct, "i": numbers}
    return [distinct[number] for number in numbers]


def _key(value: Json) -> Json:
    """What tells a value from others: "5" from 5, and 1 from true."""
    return (type(value), json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value)


def cleaned(value: Json) -> Json:
    """A JSON value, every text in it cleaned."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): cleaned(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(each) for each in value]
    return value
