"""Two loads side by side, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from rollcheck.analyze.compare import METHOD, Comparison, Difference
from rollcheck.analyze.results import Result
from rollcheck.render.loadtext import span
from rollcheck.render.text import clean, count, pad, sentence, shorten, well_formed, wrap

SCHEMA: Final = "rollcheck.compare/1"
_LABEL, _CELL = 10, 12


def comparison_text(comparison: Comparison, *, width: int = 80, colour: bool = False) -> str:
    """What a person reads, a newline at its end; colour only repeats what the words say."""
    a, b = comparison.a, comparison.b
    lines = [*_heading("A", a, width), *_heading("B", b, width), ""]
    lines.append(pad(comparison.measure, _LABEL) + _row("A", "B", "change"))
    for difference in comparison.differences:
        row = pad(difference.name, _LABEL) + _row(*difference_cells(difference, a, b))
        lines.append(_toned(f"{row}  {difference_words(difference)}".rstrip(), difference, colour=colour))
    lines.append("")
    lines += wrap(verdict(comparison), width)
    how = f"{sentence(comparison.unjudged)}." if comparison.unjudged else f"How: {METHOD}."
    lines += wrap(how, width)
    for warning in comparison.warnings:
        lines += wrap(clean(warning), width, first="Note: ", rest="  ")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def verdict(comparison: Comparison) -> str:
    """One sentence."""
    if comparison.unjudged:
        return "Whether these differences are larger than the noise is not known."
    said = []
    if comparison.worse:
        said.append(f"B is worse than A by more than the noise: {', '.join(comparison.worse)}.")
    if comparison.better:
        said.append(f"B is better than A by more than the noise: {', '.join(comparison.better)}.")
    return " ".join(said) or "No difference is larger than the noise."


def _heading(side: str, result: Result, width: int) -> list[str]:
    asked = "as fast as answers came" if result.asked == "max" else f"asked {clean(result.asked)}/s"
    by = " (by fortio)" if result.source == "fortio" else ""
    what = f"{side}: {shorten(clean(result.name), 40)}{by}: {clean(result.url)}, {asked}, {clean(result.started)}"
    return wrap(what, width, rest="   ")


def _row(*cells: str) -> str:
    return "".join(pad(cell, _CELL, right=True) for cell in cells)


def difference_cells(found: Difference, a: Result, b: Result) -> tuple[str, str, str]:
    """A's value, B's, and the change."""
    if found.name == "lost":
        return f"{count(a.lost)}/{count(a.scheduled)}", f"{count(b.lost)}/{count(b.scheduled)}", ""
    said: Callable[[float], str] = (lambda v: f"{v:,.5g}") if found.name == "rate" else span
    change = f"{found.share:+.1%}" if found.share is not None else ""
    return said(found.a) if found.a is not None else "-", said(found.b) if found.b is not None else "-", change


def difference_words(found: Difference) -> str:
    """How it stands to the noise, with the range in which the true change lies."""
    noise = found.noise
    if noise is None:
        return ""
    if not noise.difference and not noise.low and not noise.high:
        return "the same"
    if found.name == "lost":
        span_of = f"{noise.low:+.3%} to {noise.high:+.3%}"
    else:
        # A shift may be larger than what there is to shift, where blocks vary much; a latency cannot.
        span_of = f"{max(-1, noise.low / noise.base):+.1%} to {noise.high / noise.base:+.1%}" if noise.base else ""
    if not noise.larger:
        return f"within the noise ({span_of})"
    return f"{'worse' if found.worse else 'better' if found.better else 'tolerated'} ({span_of})"


def _toned(line: str, found: Difference, *, colour: bool) -> str:
    tone = "31" if found.worse else "32" if found.better else ""
    return f"\x1b[{tone}m{line}\x1b[0m" if colour and tone else line


def comparison_json(comparison: Comparison) -> bytes:
    """What a program reads: schema "rollcheck.compare/1", latencies in microseconds."""
    made = {
        "schema": SCHEMA,
        "a": _side(comparison.a),
        "b": _side(comparison.b),
        "measure": comparison.measure,
        "differences": [_difference(found) for found in comparison.differences],
        "judged": not comparison.unjudged,
        "unjudged": comparison.unjudged,
        "worse": list(comparison.worse),
        "better": list(comparison.better),
        "verdict": verdict(comparison),
        "method": METHOD,
        "warnings": [well_formed(warning) for warning in comparison.warnings],
    }
    return json.dumps(made, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _side(result: Result) -> dict[str, Any]:
    return {
        "name": well_formed(result.name),
        "source": result.source,
        "url": well_formed(result.url),
        "labels": well_formed(result.labels),
        "started": well_formed(result.started),
        "asked_qps": well_formed(result.asked),
        "rate": result.rate,
        "scheduled": result.scheduled,
        "sent": result.sent,
        "lost": result.lost,
        "seconds": len(result.seconds),
        "faults": [well_formed(fault) for fault in result.faults],
    }


def _difference(found: Difference) -> dict[str, Any]:
    noise = found.noise
    return {
        "name": found.name,
        "a": found.a,
        "b": found.b,
        "share": found.share,
        "noise": None
        if noise is None
        else {
            "difference": noise.difference,
            "low": noise.low,
            "high": noise.high,
            "chance": noise.chance,
            "base": noise.base,
            "larger": noise.larger,
        },
        "worse": found.worse,
        "better": found.better,
    }
