"""Words for people: cleaning what others named, fitting it to a width, and saying numbers exactly.

Pod names, error texts and URLs come from servers and clusters that may be broken or hostile, so nothing of theirs
reaches a terminal, a picture or a file name uncleaned.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable

_BREAKS = "\t\n\v\f\r\x85\u2028\u2029"
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def clean(text: str) -> str:
    r"""`text` on one line, without anything that a terminal obeys or an eye cannot see.

    White space of any kind becomes one blank; control, format (bidi overrides, zero-width) and unassigned characters
    are spelled out, so that ESC reads as `\x1b`.
    """
    if text.isascii() and text.isprintable():  # nearly always, and a hundred times quicker
        return " ".join(text.split())
    plain = "".join(" " if c in _BREAKS else c if unicodedata.category(c) not in _UNSEEN else _spelled(c) for c in text)
    return " ".join(plain.split())


def clean_lines(text: str) -> list[str]:
    """Each line of `text` cleaned, its indentation kept."""
    cleaned = []
    for line in text.split("\n"):
        body = line.lstrip(" ")
        cleaned.append(" " * (len(line) - len(body)) + clean(body) if body else "")
    return cleaned


def well_formed(text: str) -> str:
    """`text` with lone surrogates (undecodable bytes of an argument) replaced, so that it can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def cells(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    return len(text) if text.isascii() else sum(_cell(c) for c in text)


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` columns, its middle left out: the end of a pod's name tells it from its siblings."""
    if cells(text) <= width:
        return text
    tail = _taken(reversed(text), (width - 1) // 2)[::-1]
    head = _taken(text, width - 1 - cells(tail))
    return f"{head}…{tail}"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """`text` filled with blanks to `width` columns; `right` puts it at the right end."""
    blank = " " * max(0, width - cells(text))
    return blank + text if right else text + blank


def wrap(text: str, width: int, *, first: str = "", rest: str | None = None) -> list[str]:
    """Lines of at most `width` columns, broken between words; a word longer than a line loses its middle.

    Args:
        text: cleaned already.
        width: columns of a whole line.
        first: what the first line begins with.
        rest: what the others begin with; blanks as wide as `first` when None.
    """
    indent = " " * cells(first) if rest is None else rest
    lines: list[str] = []
    line, empty = first, True
    for word in text.split():
        word = shorten(word, max(8, width - max(cells(first), cells(indent))))
        if not empty and cells(line) + 1 + cells(word) > width:
            lines.append(line)
            line, empty = indent, True
        line += word if empty else f" {word}"
        empty = False
    return [*lines, line]


def sentence(text: str) -> str:
    """`text` with a capital at its start, unless it begins with a name (`new-1`, `web.default`)."""
    word, _, _ = text.partition(" ")
    return text[:1].upper() + text[1:] if word.isalpha() else text


def count(number: int) -> str:
    """A count with its thousands set apart: 12,345."""
    return f"{number:,}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 request`, `2 requests`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def seconds(value: float) -> str:
    """A span with three figures: `5.3 ms`, `0.41 s`, `30 s`."""
    if value < 0.1:
        return f"{_figures(value * 1_000)} ms"
    return f"{_figures(value)} s"


def offset(value: float) -> str:
    """Seconds from the zero of the run's axis, with its sign: `+3.41`, `-10.0`."""
    digits = 2 if abs(value) < 10 else 1
    return f"{0.0 if abs(value) < 0.005 else value:+.{digits}f}"


def upper_share(share: float) -> str:
    """An upper bound of a share, rounded up, never as a percentage that hides one failure: `3.4 in 10,000`."""
    if share >= 1:
        return "1 in 1"
    unit = 100
    while share * unit < 1 and unit < 10**9:
        unit *= 10
    steps = 1 if share >= 0.1 else 10
    return f"{math.ceil(round(share * unit * steps, 6)) / steps:g} in {unit:,}"


_OUTCOMES = {
    "connect/refused": "refused",
    "connect/unreachable": "no route",
    "connect/timeout": "connect timeout",
    "connect/reset": "reset while connecting",
    "send/reset": "reset while sending",
    "await/reset": "reset before the answer",
    "await/timeout": "no answer in time",
    "await/closed_before_response": "closed before the answer",
    "await/protocol": "not HTTP",
    "body/reset": "reset within the answer",
    "body/timeout": "answer not ended in time",
    "body/truncated_body": "answer cut short",
    "body/wrong_body": "wrong body",
    "resolve/not_resolved": "name not resolved",
    "tls/tls_failed": "TLS failed",
}


def outcome_words(key: str) -> str:
    """What a person calls an outcome: `connect/refused` is "refused", `await/bad_status 502` is "status 502"."""
    known = _OUTCOMES.get(key)
    if known is not None:
        return known
    phase, _, outcome = clean(key).partition("/")
    if outcome.startswith("bad_status"):
        return outcome.replace("bad_status", "status", 1)
    if key == "unlisted":
        return "without details"
    return f"{outcome.replace('_', ' ')} ({phase})" if outcome else phase


def _spelled(c: str) -> str:
    code = ord(c)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _cell(c: str) -> int:
    if unicodedata.combining(c):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def _taken(text: Iterable[str], width: int) -> str:
    taken, used = "", 0
    for c in text:
        used += _cell(c)
        if used > width:
            break
        taken += c
    return taken


def _figures(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
