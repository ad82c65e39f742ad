"""The file: head, style, script, data, and a policy that lets nothing else in.

The Content-Security-Policy names the one style and the one script by their hashes: should a name from a cluster ever
come into the page as markup, a browser still runs nothing of it and loads nothing for it.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from rollcheck.render.html.markup import Html, el, joined
from rollcheck.render.html.pack import Json, packed

SCRIPTS = ("unpack.js", "format.js", "scene.js", "painter.js", "timeline.js", "inspector.js", "facts.js", "main.js")
"""In the order in which they build on each other; one function around all of them keeps their names to themselves."""
LATER = "raw-"
"""What the id of data begins with that is looked up, not drawn."""
COLOURS = {"good": "#0f7b55", "bad": "#c2410c", "unsure": "#8a6d00"}


def page(
    title: str, tone: str, nav: list[tuple[str, str]], body: Html, data: dict[str, Json], *, kicker: Html | None = None
) -> bytes:
    """A whole page.

    Args:
        title: of the tab.
        tone: "good", "bad" or "unsure".
        nav: (id, words) of the parts that one can jump to.
        body: what the page says.
        data: id → what the script is given.
        kicker: what the page is about, beside the name of the tool.
    """
    style, script = _static("style.css"), _script()
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title),
        el("link", rel="icon", href=f"data:image/svg+xml;base64,{_icon(COLOURS[tone])}"),
        Html(f"<style>{style}</style>"),
    )
    header = el(
        "header",
        el("a", "Skip to the verdict", href="#main", class_="skip"),
        el("p", el("span", "rollcheck", class_="brand"), " ", kicker, class_="kicker"),
        el("nav", [el("a", words, href=f"#{part}") for part, words in nav], aria_label="Parts of this report"),
        class_="top",
    )
    # What is drawn comes before the script, and what is only looked up after it: that is most of the page, and a reader
    # need not wait until it has been read.
    soon = [_block(name, each) for name, each in data.items() if not name.startswith(LATER)]
    later = [_block(name, each) for name, each in data.items() if name.startswith(LATER)]
    whole = el("body", header, el("main", body, id="main"), soon, Html(f"<script>{script}</script>"), later)
    return f"<!doctype html>\n{el('html', head, whole, lang='en')}\n".encode()


def section(part: str, title: str, *children: Html | None) -> Html | None:
    """A part with a heading; None when there is nothing in it."""
    inside = joined(*children)
    return el("section", el("h2", title), inside, id=part) if inside else None


def _block(name: str, data: Json) -> Html:
    return Html(f'<script type="text/plain" id="{name}">{packed(data)}</script>')


@cache
def _static(name: str) -> str:
    return (files(__package__) / "static" / name).read_text(encoding="utf-8").strip()


@cache
def _script() -> str:
    parts = "\n".join(_static(name) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();'


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _icon(colour: str) -> str:
    disc = f'<circle cx="8" cy="8" r="7" fill="{colour}"/>'
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">{disc}</svg>'
    return base64.b64encode(drawn.encode()).decode()
