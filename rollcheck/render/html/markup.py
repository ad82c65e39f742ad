"""Elements of HTML out of text that nobody vouches for.

`el` is the only way to make markup of text, and it cleans (`render.text.clean`: one line, nothing invisible) and
escapes whatever is not `Html` already. A template engine would escape too, but would not clean, and would let a name
into an attribute without quotes.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from rollcheck.render.text import clean, clean_lines

VOID = frozenset({"br", "hr", "input", "link", "meta"})


class Html(str):
    """Markup that is right already; only `el`, `verbatim` and `joined` make it of text."""

    __slots__ = ()


Child = str | None | Iterable["Child"]
"""Text, markup, nothing, or several of these."""


def joined(*children: Child) -> Html:
    """One after the other; text among them is cleaned and escaped."""
    return Html("".join(_one(child) for child in children))


def el(tag: str, /, *children: Child, **attributes: str | float | bool | None) -> Html:
    """An element.

    Args:
        tag: its name.
        children: what is in it.
        attributes: `class_` is class, `aria_label` aria-label; True stands without a value, None and False not at all.
    """
    told = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in VOID:
        return Html(f"<{tag}{told}>")
    return Html(f"<{tag}{told}>{joined(*children)}</{tag}>")


def verbatim(text: str) -> Html:
    """Lines that stay lines, for `pre`; each cleaned and escaped."""
    return Html(escape("\n".join(clean_lines(text.rstrip("\n")))))


def _one(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        plain = escape(clean(child))
        # A blank at an end sets words apart from the element beside them.
        edges = " " * child.startswith(" "), " " * child.endswith(" ")
        return f"{edges[0]}{plain}{edges[1]}" if plain else edges[0]
    return "".join(_one(each) for each in child)


def _attribute(name: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(clean(str(value)))}"'
