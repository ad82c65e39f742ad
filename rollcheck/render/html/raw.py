"""Every fact of a document as tables of columns, one table for each kind, for the script to list, search and show.

Instants are whole microseconds from the report's zero; a fact's further instants are counted from its first one, since
small numbers pack well. Three kinds would be too much for a page as they are, and say so in their `note`:

- histograms (`…_hdr`) become the percentiles that are asked of them;
- what pods answered in each second is summed up over longer spans when there are very many of these;
- of kinds that are still more than the page holds, the first ones are shown.

`facts.jsonl` beside the page always has all of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields, replace
from functools import cache
from operator import attrgetter
from typing import Any

from rollcheck.facts.attempts import Attempt, PodTally
from rollcheck.facts.clock import Instant, Window
from rollcheck.facts.codec import plain
from rollcheck.facts.document import Document
from rollcheck.render.axis import Axis
from rollcheck.render.html.pack import Json, column
from rollcheck.render.latencies import percentiles_us
from rollcheck.render.text import count

MOST_ROWS = 20_000
"""Of one kind."""
MOST_ATTEMPTS = 30_000
MOST_TALLIES = 5_000
MICRO = 1_000
"""Nanoseconds in a microsecond."""
SCALARS = (int, str, float, bool, type(None))
"""Types of fields that JSON has as they are, and those derived of them."""
PERCENTS = {"p50": 50.0, "p99": 99.0, "max": 100.0}


def raw_tables(document: Document, axis: Axis, window: Window, attempts: Sequence[Attempt]) -> list[Json]:
    """The tables, in the order in which kinds first occur.

    Args:
        document: whose facts.
        axis: its zero.
        window: of the whole run.
        attempts: those to be shown whole (`shown_attempts`).
    """
    kinds: dict[type[Any], list[Any]] = defaultdict(list)
    for fact in document.facts:
        kinds[type(fact)].append(fact)
    return [_table(kind, found, axis, window, attempts) for kind, found in kinds.items()]


def attempts_table(attempts: Sequence[Attempt], axis: Axis) -> Json:
    """The table of attempts alone, for a report that has no other facts at hand."""
    return {
        "kind": "Attempt",
        "rows": len(attempts),
        "total": len(attempts),
        "note": "",
        **_columns(Attempt, attempts, axis),
    }


def shown_attempts(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Those of which the page holds every field: all, or of each kind and lane the first ones, equally many."""
    if len(attempts) <= MOST_ATTEMPTS:
        return list(attempts)
    groups: dict[tuple[str, str], int] = defaultdict(int)
    for attempt in attempts:
        groups[attempt.kind, attempt.lane] += 1
    room, share = MOST_ATTEMPTS, 0
    for left, size in zip(range(len(groups), 0, -1), sorted(groups.values()), strict=True):
        share = room // left
        room -= min(size, share)
    taken: dict[tuple[str, str], int] = defaultdict(int)
    shown = []
    for attempt in attempts:
        key = attempt.kind, attempt.lane
        taken[key] += 1
        if taken[key] <= share:
            shown.append(attempt)
    return shown


def _table(kind: type[Any], found: list[Any], axis: Axis, window: Window, attempts: Sequence[Attempt]) -> Json:
    total, note = len(found), ""
    rows: Sequence[Any] = found
    if kind is PodTally and total > MOST_TALLIES:
        rows, seconds = _summed(found, window)
        note = f"{count(total)} facts, put together over spans of up to {seconds:.0f} s; facts.jsonl has each"
    elif kind is Attempt:
        rows = attempts
    if len(rows) > MOST_ROWS and kind is not Attempt:
        rows = rows[:MOST_ROWS]
    if not note and len(rows) < total:
        note = f"{count(len(rows))} of {count(total)}; facts.jsonl has all"
    return {"kind": kind.__name__, "rows": len(rows), "total": total, "note": note, **_columns(kind, rows, axis)}


def _columns(kind: type[Any], rows: Sequence[Any], axis: Axis) -> dict[str, Json]:
    instants, others = _fields(kind)  # type: ignore[arg-type]  # a class is hashable
    made: dict[str, Json] = {}
    first: list[Instant] = []
    if instants:
        zero = axis.zero_ns // MICRO
        first = [at // MICRO for at in _values(rows, instants[0])]
        made[instants[0]] = column([at - zero for at in first])
    for name in instants[1:]:
        pairs = zip(_values(rows, name), first, strict=True)
        made[name] = column([None if at is None else at // MICRO - since for at, since in pairs])
    for name in others:
        values = _values(rows, name)
        if name.endswith("_hdr"):
            made.update(_percentiles(name, values))
        else:
            scalar = all(issubclass(kind, SCALARS) for kind in set(map(type, values)))
            made[name] = column(values if scalar else [plain(each) for each in values])
    return {"instants": list(instants), "columns": made}


def _values(rows: Sequence[Any], name: str) -> list[Any]:
    return list(map(attrgetter(name), rows))


@cache
def _fields(kind: type[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the fields that are instants, the one that places the fact first, and of the others."""
    names = [field.name for field in fields(kind)]
    instants = [field.name for field in fields(kind) if "Instant" in str(field.type)]
    # The first instant that is always known; `sent_ns` of an attempt is not.
    always = [f.name for f in fields(kind) if f.name in instants and str(f.type) == "Instant" and f.default is MISSING]
    lead = always[:1]
    return (*lead, *(n for n in instants if n not in lead)), tuple(n for n in names if n not in instants)


def _percentiles(name: str, blobs: list[str]) -> dict[str, Json]:
    told = _TOLD.get(name)
    if told is None:
        return {}
    stem, wanted = name.removesuffix("_hdr"), [PERCENTS[each] for each in told]
    values = [percentiles_us([blob], wanted) for blob in blobs]
    return {
        f"{stem}_{each}_us": column([None if found is None else found[number] for found in values])
        for number, each in enumerate(told)
    }


_TOLD: dict[str, tuple[str, ...]] = {
    "response_hdr": ("p50", "p99", "max"),
    "lag_hdr": ("p99", "max"),
    "wait_hdr": ("p99", "max"),
}
"""What is told of a histogram; the others are left to facts.jsonl."""


def _summed(tallies: Iterable[PodTally], window: Window) -> tuple[list[PodTally], float]:
    """Tallies of one pod, lane and use of connection put together over spans of equal length, and that in seconds."""
    tallies = list(tallies)
    groups = len({(t.pod, t.lane, t.use) for t in tallies})
    length = max(1, window.length // max(1, MOST_TALLIES // groups))
    found: dict[tuple[int, str, str, str], list[PodTally]] = defaultdict(list)
    start = window.start
    for tally in tallies:
        found[(tally.start_ns - start) // length, tally.pod, tally.lane, tally.use].append(tally)
    made = [_together(each) for each in found.values()]
    return sorted(made, key=lambda t: (t.start_ns, t.pod, t.lane, t.use)), length / 1e9


def _together(tallies: Sequence[PodTally]) -> PodTally:
    return replace(
        tallies[0],
        start_ns=min(_values(tallies, "start_ns")),
        end_ns=max(_values(tallies, "end_ns")),
        ok=sum(_values(tallies, "ok")),
        first_sent_ns=min(_values(tallies, "first_sent_ns")),
        last_sent_ns=max(_values(tallies, "last_sent_ns")),
        last_ended_ns=max(_values(tallies, "last_ended_ns")),
    )
