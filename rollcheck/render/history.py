"""The trend over many runs and loads, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from rollcheck.analyze.history import BAD, GOOD, UNSURE, Entry, Series
from rollcheck.render.spark import spark
from rollcheck.render.text import cells, clean, count, pad, shorten, well_formed, wrap

SCHEMA: Final = "rollcheck.history/1"
_TONES = {GOOD: "32", BAD: "31", UNSURE: "33"}
_VERDICT, _LOST, _MS = 19, 16, 10


def history_text(series: Sequence[Series], *, width: int = 80, colour: bool = False) -> str:
    """What a person reads, a newline at its end: a table for each subject, the latest entry last."""
    lines: list[str] = []
    for each in series:
        lines += ["", *_one(each, width, colour=colour)]
    return "\n".join(line.rstrip() for line in lines[1:]) + "\n"


def history_json(series: Sequence[Series]) -> bytes:
    """The same as JSON."""
    told = {
        "schema": SCHEMA,
        "series": [
            {
                "kind": each.kind,
                "subject": well_formed(each.subject),
                "summary": each.summary,
                "entries": [_plain(entry) for entry in each.entries],
            }
            for each in series
        ],
    }
    return (json.dumps(told, indent=2, ensure_ascii=True, allow_nan=False) + "\n").encode()


def _plain(entry: Entry) -> dict[str, object]:
    plain = {name: value for name, value in asdict(entry).items() if name not in ("kind", "subject", "tone")}
    return {
        name: well_formed(value)
        if isinstance(value, str)
        else [*map(well_formed, value)]
        if name == "causes"
        else value
        for name, value in plain.items()
    }


def _one(series: Series, width: int, *, colour: bool) -> list[str]:
    entries = series.entries
    title = f"{clean(series.subject)}: {clean(series.summary)}"
    heads = [pad("started (UTC)", 21), pad("verdict", _VERDICT), pad("lost of sent", _LOST, right=True)]
    heads += [pad("p99", _MS, right=True), "  why"]
    lines = [*wrap(title, width, rest="  "), "".join(heads)]
    lines += [_row(entry, width, colour=colour) for entry in entries]
    if len(entries) > 1 and any(entry.lost for entry in entries):
        bars = spark([entry.share for entry in entries[-(width - 30) :]])
        lines.append(f"{pad('lost', 10)}{bars}  a column each, the latest last")
    return lines


def _row(entry: Entry, width: int, *, colour: bool) -> str:
    verdict = pad(clean(entry.verdict), _VERDICT)
    if colour:
        verdict = f"\x1b[{_TONES[entry.tone]}m{verdict}\x1b[0m"
    lost = f"{count(entry.lost)} of {count(entry.sent)}"
    left = f"{pad(clean(entry.started)[:19].replace('T', ' '), 21)}{verdict}{pad(lost, _LOST, right=True)}"
    left += pad("-" if entry.p99_ms is None else f"{entry.p99_ms:.3g} ms", _MS, right=True)
    room = width - (21 + _VERDICT + max(_LOST, cells(lost)) + _MS) - 2
    why = ", ".join(entry.causes) or entry.place
    return f"{left}  {shorten(clean(why), room)}" if room >= 8 else left
