"""What the script draws of a run: plain numbers, seconds on the report's axis, microseconds for what is many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rollcheck.analyze.model import Analysis, began
from rollcheck.facts.actions import Action, Note
from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import MILLISECOND
from rollcheck.facts.cluster import WatchGap
from rollcheck.render.axis import Axis, axis_of
from rollcheck.render.html.pack import Json, cleaned, column
from rollcheck.render.picture import FAMILIES, Picture, PodRow, family_of, picture_of
from rollcheck.render.result import outcome_key, pod_report
from rollcheck.render.text import clean, outcome_words, sentence

MOST_NEAREST = 2_000
"""Unexplained attempts of which the facts nearest in time are told."""
Kind = tuple[str, str, str]
"""Family, words, lane: what makes a row of the timeline."""
DIGITS = 3
"""Of seconds that are drawn."""


def moments_of(analysis: Analysis, shown: Sequence[Attempt]) -> Json:
    """Everything that is drawn of a run, and what a click on it shows.

    Args:
        analysis: of the run.
        shown: the attempts that `raw_tables` was given, so that an error can point to its fact.
    """
    picture, axis = picture_of(analysis), axis_of(analysis)
    return {
        "zero": picture.zero,
        "start": picture.start,
        "end": picture.end,
        "wall": axis.anchor.to_wall(axis.zero_ns) / MILLISECOND,
        "asked": float(picture.asked_qps),
        "stages": picture.stages,
        "outages": picture.outages,
        "endpoints": _steps(picture),
        "pods": _pods(analysis, picture),
        "slots": _slots(picture),
        "causes": [sentence(clean(cause.name)) for cause in analysis.causes],
        "marks": _marks(analysis, axis),
        "gaps": [
            [axis.at(gap.start_ns), axis.at(gap.end_ns), clean(f"watch of {gap.resource}: {gap.reason}")]
            for gap in analysis.timeline.document.of(WatchGap)
        ],
        "listed": True,
        "unlisted": picture.unlisted,
        **_errors(analysis, axis, shown),
    }


def _steps(picture: Picture) -> Json:
    return [[round(at, DIGITS), ready] for at, ready in picture.endpoints]


def _pods(analysis: Analysis, picture: Picture) -> list[Json]:
    """A row each, in the picture's order, with the report of the pod for whoever asks."""
    axis, lives = axis_of(analysis), {pod.uid: pod for pod in analysis.timeline.pods}
    reports = [cleaned(pod_report(axis, lives[row.uid]).model_dump()) for row in picture.pods]
    return [_pod(row, report) for row, report in zip(picture.pods, reports, strict=True)]


def _pod(row: PodRow, report: dict[str, Any]) -> Json:
    return {
        "name": row.name,
        "generation": row.generation,
        "states": row.states,
        "endpoints": row.endpoints,
        "prestop": row.prestop,
        "sigterm": row.sigterm,
        "ended": row.ended,
        "bad": row.ended_badly,
        "report": report,
    }


def _slots(picture: Picture) -> Json:
    return {
        name: [None if value is None else round(value, DIGITS) for value in values]
        for name, values in (
            ("start", [slot.start for slot in picture.slots]),
            ("end", [slot.end for slot in picture.slots]),
            ("ok", [slot.ok for slot in picture.slots]),
            ("failed", [slot.failed for slot in picture.slots]),
            ("p50", [slot.p50_ms for slot in picture.slots]),
            ("p99", [slot.p99_ms for slot in picture.slots]),
        )
    }


def _marks(analysis: Analysis, axis: Axis) -> list[Json]:
    """What rollcheck did, and what it noted: (second, words)."""
    document = analysis.timeline.document
    marks = [(axis.at(action.started_ns), clean(action.description)) for action in document.of(Action)]
    marks += [(axis.at(note.at_ns), clean(note.text)) for note in document.of(Note)]
    return [list(mark) for mark in sorted(marks)]


def error_columns(
    attempts: Sequence[Attempt], axis: Axis, causes: dict[tuple[str, int], int], shown: Sequence[Attempt]
) -> dict[str, Json]:
    """Failed attempts as columns, by time, and the kinds that they are of, one row of the timeline each.

    Args:
        attempts: in any order.
        axis: its zero.
        causes: (lane, seq) → number of the cause.
        shown: those of which every field is in the page, by row.
    """
    rows = {id(attempt): number for number, attempt in enumerate(shown)}
    kind_of = _kinds()
    told = [
        (began(attempt), kind_of(attempt), causes.get((attempt.lane.value, attempt.seq), -1), rows.get(id(attempt), -1))
        for attempt in attempts
    ]
    told.sort(key=lambda each: each[0])
    counts: dict[Kind, int] = {}
    for _, kind, _, _ in told:
        counts[kind] = counts.get(kind, 0) + 1
    kinds = sorted(counts, key=lambda kind: (FAMILIES.index(kind[0]), -counts[kind], kind))
    place = {kind: number for number, kind in enumerate(kinds)}
    return {
        "kinds": [
            {"family": family, "words": words, "lane": lane, "count": counts[family, words, lane]}
            for family, words, lane in kinds
        ],
        "errors": {
            "at": column([(at - axis.zero_ns) // 1_000 for at, _, _, _ in told]),
            "kind": column([place[kind] for _, kind, _, _ in told]),
            "cause": column([cause for _, _, cause, _ in told]),
            "row": column([row for _, _, _, row in told]),
        },
    }


def _kinds() -> Callable[[Attempt], Kind]:
    """Names the kind of an attempt; what is alike is named once."""
    named: dict[tuple[str, str, int, str, bool], Kind] = {}

    def kind_of(attempt: Attempt) -> Kind:
        sent = attempt.sent_ns is not None
        key = attempt.phase, attempt.outcome, attempt.status, attempt.lane, sent
        if key not in named:
            family = family_of(attempt) if sent or family_of(attempt) != "other" else "not sent"
            named[key] = family, outcome_words(outcome_key(attempt)), attempt.lane.value
        return named[key]

    return kind_of


def _errors(analysis: Analysis, axis: Axis, shown: Sequence[Attempt]) -> dict[str, Json]:
    timeline = analysis.timeline
    # The first cause that claims an attempt is the strongest: later ones do not take it away.
    causes = {claim: number for number, cause in reversed(list(enumerate(analysis.causes))) for claim in cause.seqs}
    nearest = {
        f"{lost.attempt.lane.value} {lost.attempt.seq}": [clean(text) for text in lost.nearest]
        for lost in analysis.unattributed[:MOST_NEAREST]
    }
    return {
        **error_columns((*timeline.failures, *timeline.not_sent), axis, causes, shown),
        "nearest": nearest,
    }
