"""What the pictures beside the timeline show, as plain numbers: percentiles, latencies over time, failures per second.

`chartfigures` only draws this, so the pictures are tested by what they show and not by their pixels.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from hdrh.histogram import HdrHistogram

from rollcheck.analyze.hdr import counts, extremes, slots, summed, values_at
from rollcheck.analyze.latency import merged
from rollcheck.analyze.load import summarise
from rollcheck.analyze.model import Analysis, began
from rollcheck.facts.attempts import Interval, Lane, Outcome, Stage
from rollcheck.facts.clock import SECOND, Instant
from rollcheck.facts.document import Document
from rollcheck.render.axis import axis_of
from rollcheck.render.checks import check_load
from rollcheck.render.picture import FAMILIES, family_of, family_of_outcome
from rollcheck.render.settings import without_user
from rollcheck.render.text import clean

POINTS = 240
"""Of a curve: more could not be told apart."""
COLUMNS = 240
"""Of the heat map and the bars at most; of longer runs several seconds share one."""
ROWS = 48
WIDEST_RANGE = 1e4
"""Times the least latency: the rows of a heat map reach no further up, so that one outlier does not flatten all."""
UNLISTED = "counted only"
"""The family of failures of which nothing but their number was kept."""
ALL_FAMILIES = (*FAMILIES, UNLISTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PercentileCurve:
    """A distribution of latencies, as HdrHistogram's plots have it.

    Attributes:
        when: "before", "since the trigger", or empty for all of it.
        kind: "response" or "service".
        points: (1 ÷ (1 − share), milliseconds), up to the share of the last value.
    """

    when: str
    kind: str
    count: int
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """How many answers took how long, when.

    Attributes:
        start, width: seconds: the first column's begin, and how long each is.
        low_ms, high_ms: the edges of the rows, which are evenly spaced on a logarithmic scale.
        cells: a tuple for each column, of answers per second, the fastest row first.
        beyond: answers that lie above the highest row, which holds them.
    """

    start: float
    width: float
    low_ms: float
    high_ms: float
    cells: tuple[tuple[float, ...], ...]
    beyond: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBars:
    """Failed and never sent attempts of one lane, by family, in each span of `width` seconds from `start` on."""

    lane: str
    start: float
    width: float
    families: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Charts:
    """Everything that is drawn.

    Attributes:
        tone: "good", "bad" or "unsure": what the verdict is.
        zero: what second 0 is: "trigger" or "start".
        stages: (name, start, end); of a run only.
    """

    title: str
    tone: str
    headline: str
    zero: str
    stages: tuple[tuple[str, float, float], ...]
    start: float
    end: float
    curves: tuple[PercentileCurve, ...]
    heat: HeatMap | None
    errors: tuple[ErrorBars, ...]


def charts_of_run(analysis: Analysis) -> Charts:
    """What to draw of a run."""
    axis, timeline = axis_of(analysis), analysis.timeline
    intervals = [i for i in timeline.intervals if i.lane is not Lane.PROBE and i.stage is not Stage.PREFLIGHT]
    before = [i for i in intervals if i.stage is Stage.BASELINE]
    since = [i for i in intervals if i.stage is not Stage.BASELINE]
    losses = [
        *((a.lane.value, family_of(a), axis.at(began(a)), 1) for a in timeline.failures),
        *((a.lane.value, "not sent", axis.at(began(a)), 1) for a in timeline.not_sent),
        *((i.lane.value, UNLISTED, axis.at(i.start_ns), i.unlisted) for i in intervals if i.unlisted),
    ]
    tones = {0: "good", 1: "bad"}
    return Charts(
        title=analysis.verdict.value.upper(),
        tone=tones.get(analysis.exit_code, "unsure"),
        headline=clean(analysis.headline),
        zero=axis.zero,
        stages=tuple(
            (stage.value, axis.at(span.start), axis.at(span.end))
            for stage, span in sorted(timeline.stages.items(), key=lambda item: item[1].start)
            if span.length > 0
        ),
        start=axis.at(timeline.window.start),
        end=axis.at(timeline.window.end),
        curves=(*_curves("before", before), *_curves("since the trigger" if axis.zero == "trigger" else "", since)),
        heat=_heat(intervals, axis.zero_ns),
        errors=_errors(losses, axis.at(timeline.window.start), axis.at(timeline.window.end)),
    )


def charts_of_load(document: Document) -> Charts:
    """What to draw of a load; its warm-up is left out."""
    summary = summarise(document)
    checkup = check_load(summary, ())
    intervals = [i for i in document.of(Interval) if i.lane is not Lane.PROBE and i.stage is not Stage.PREFLIGHT]
    start = summary.started_ns
    losses = []
    for interval in intervals:
        at = (interval.start_ns - start) / SECOND
        told = [(family_of_kind(kind), number) for kind, number in interval.failures.items()]
        untold = interval.failed + interval.not_sent - sum(number for _, number in told)
        losses += [(interval.lane.value, family, at, n) for family, n in (*told, (UNLISTED, untold)) if n > 0]
    return Charts(
        title=checkup.verdict.upper(),
        tone={"passed": "good", "failed": "bad"}.get(checkup.verdict, "unsure"),
        headline=clean(f"{without_user(document.header.url)}: {checkup.headline}"),
        zero="start",
        stages=(),
        start=0.0,
        end=max(summary.elapsed_s, 1e-3),
        curves=tuple(_curves("", intervals)),
        heat=_heat(intervals, start),
        errors=_errors(losses, 0.0, max(summary.elapsed_s, 1e-3)),
    )


def family_of_kind(kind: str) -> str:
    """The family of what an interval counts: `Attempt.kind`."""
    outcome = kind.partition("/")[2].partition(" ")[0]
    if outcome == Outcome.DROPPED:
        return "not sent"
    return family_of_outcome(Outcome(outcome)) if outcome in set(Outcome) else "other"


def _curves(when: str, intervals: Sequence[Interval]) -> Iterable[PercentileCurve]:
    blobs = {"response": [i.response_hdr for i in intervals], "service": [i.service_hdr for i in intervals]}
    for kind, found in blobs.items():
        histogram = merged(found)
        if histogram is not None:
            yield PercentileCurve(when=when, kind=kind, count=int(histogram.total_count), points=_points(histogram))


def _points(histogram: HdrHistogram) -> tuple[tuple[float, float], ...]:
    """At even steps of the logarithm of 1 ÷ (1 − share); the last one is the slowest, the one value in `count`."""
    top = math.log10(max(int(histogram.total_count), 10))
    shares = [10 ** (top * step / POINTS) for step in range(POINTS + 1)]
    values = values_at(histogram, [*(100 - 100 / share for share in shares[:-1]), 100.0])
    return tuple((share, max(value, 1) / 1000) for share, value in zip(shares, values, strict=True))


def _heat(intervals: Sequence[Interval], zero_ns: Instant) -> HeatMap | None:
    """Columns of a second or more; an interval counts where its middle lies, all of its lanes together."""
    if not any(interval.ok for interval in intervals):
        return None
    first = min(interval.start_ns for interval in intervals)
    last = max(interval.end_ns for interval in intervals)
    width = max(1, math.ceil((last - first) / SECOND / COLUMNS))
    columns: dict[int, list[Interval]] = defaultdict(list)
    for interval in intervals:
        columns[((interval.start_ns + interval.end_ns) // 2 - first) // (width * SECOND)].append(interval)
    by_column = {n: merged(i.response_hdr for i in found) for n, found in columns.items()}
    known = [histogram for histogram in by_column.values() if histogram is not None]
    total = summed(known)
    if total is None:
        return None
    low, high = extremes(total)
    high = max(min(high, int(max(low, 1) * WIDEST_RANGE)), max(low, 1) * 2)
    edges = np.geomspace(max(low, 1), high * 1.001, ROWS + 1)
    middles = (slots(total)[0] + slots(total)[1] + 1) / 2
    row_of = np.clip(np.searchsorted(edges, middles, side="right") - 1, 0, ROWS - 1)
    cells = []
    for number in range(max(columns) + 1):
        histogram = by_column.get(number)
        filled = np.zeros(ROWS) if histogram is None else np.bincount(row_of, weights=counts(histogram), minlength=ROWS)
        cells.append(tuple(float(each) / width for each in filled))
    return HeatMap(
        start=round((first - zero_ns) / SECOND, 6),
        width=float(width),
        low_ms=float(edges[0]) / 1000,
        high_ms=float(edges[-1]) / 1000,
        cells=tuple(cells),
        beyond=int(counts(total)[middles > edges[-1]].sum()),
    )


def _errors(losses: Iterable[tuple[str, str, float, int]], start: float, end: float) -> tuple[ErrorBars, ...]:
    """The (lane, family, second, number) of losses as bars, a set for each lane; whole seconds from zero."""
    width = max(1, math.ceil((end - start) / COLUMNS))
    first = math.floor(start / width)
    columns = max(1, math.ceil(end / width) - first)
    found: dict[str, dict[str, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    for lane, family, at, number in losses:
        found[lane][family][min(columns - 1, max(0, math.floor(at / width) - first))] += number
    return tuple(
        ErrorBars(
            lane=lane.value,
            start=float(first * width),
            width=float(width),
            families={
                family: tuple(found[lane.value][family][column] for column in range(columns))
                for family in ALL_FAMILIES
                if found[lane.value][family]
            },
        )
        for lane in Lane
        if lane.value in found
    )
