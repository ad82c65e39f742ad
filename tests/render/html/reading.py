"""Reads pages back: their elements and text as HTML has them, and their data as the script unpacks it."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import accumulate
from typing import Any

VOID = {"br", "hr", "input", "link", "meta"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        """This element and those in it, in order, that have that tag and those attributes."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        fits = (not tag or self.tag == tag) and all(self.attributes.get(n) == v for n, v in wanted.items())
        inside = [
            each for child in self.children if isinstance(child, Element) for each in child.all(tag, **attributes)
        ]
        return [self] * fits + inside


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(page: bytes) -> Element:
    """The page as a tree; every element in it is closed."""
    builder = _Builder()
    builder.feed(page.decode())
    builder.close()
    assert builder.open == [builder.root]
    return builder.root


def program(tree: Element) -> str:
    """The page's own script; the other script elements hold data."""
    (script,) = [each for each in tree.all("script") if "type" not in each.attributes]
    return script.text


def data_of(page: bytes, name: str) -> Any:
    """What the script is given under that id."""
    (holder,) = read(page).all("script", id=name)
    return json.loads(zlib.decompress(base64.b64decode(holder.text)))


def cells(column: Any, rows: int) -> list[Any]:
    """A column as `unpack.js` reads it."""
    if isinstance(column, list):
        return column
    if "c" in column:
        return [column["c"]] * rows
    if "d" in column:
        return list(accumulate(column["d"]))
    return [column["v"][number] for number in column["i"]]
