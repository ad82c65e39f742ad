"""What the timeline picture shows, as plain numbers: seconds on the run's axis, counts, milliseconds.

`figures` only draws this, so the picture is tested by what it shows and not by its pixels.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from rollcheck.analyze.model import Analysis, PodLife, Timeline, began
from rollcheck.facts.attempts import Attempt, Interval, Lane, Outcome
from rollcheck.facts.clock import SECOND, Instant, Window
from rollcheck.render.axis import Axis, axis_of
from rollcheck.render.latencies import percentiles_us
from rollcheck.render.result import outcome_key
from rollcheck.render.text import clean, outcome_words

MARKS_ACROSS = 1_500
"""Marks of one row that can be told apart across the picture; what lies closer is drawn once."""

Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRow:
    """One pod's life in spans of seconds.

    Attributes:
        states: (state, start, end) without gaps: "starting", "running" (not ready), "ready", "terminating".
        endpoints: spans during which it was a ready endpoint.
        prestop: from the start of its preStop hook to SIGTERM, None without a hook or a deletion.
        sigterm: the span in which SIGTERM is inferred.
        ended: when its containers had ended and their exit codes, None when not seen.
        ended_badly: whether an exit code is neither 0 nor that of SIGTERM (143), or the grace ran out.
    """

    name: str
    generation: str
    states: tuple[tuple[str, float, float], ...]
    endpoints: tuple[Span, ...]
    prestop: Span | None
    sigterm: Span | None
    ended: tuple[float, str] | None
    ended_badly: bool
    uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow:
    """Failed (or never sent) attempts of one lane and one kind, at the seconds at which they began.

    Attributes:
        family: "refused", "reset", "timeout", "status", "other" or "not sent": decides mark and colour.
        count: how many there were; `at` leaves out marks too close to be told apart.
    """

    lane: str
    words: str
    family: str
    count: int
    at: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What all lanes together did between two instants: per second, and milliseconds of response time."""

    start: float
    end: float
    ok: float
    failed: float
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything that is drawn.

    Attributes:
        zero: what second 0 is: "trigger" or "start".
        stages: (name, start, end), in order.
        endpoints: (second, count) steps of the ready endpoints, to the end of the run; empty when not known.
        outages: spans in which some lane lost attempts.
        unlisted: failed or not sent attempts that were counted but have no line of their own.
    """

    verdict: str
    headline: str
    zero: str
    start: float
    end: float
    asked_qps: float
    stages: tuple[tuple[str, float, float], ...]
    pods: tuple[PodRow, ...]
    failures: tuple[FailureRow, ...]
    slots: tuple[Slot, ...]
    endpoints: tuple[tuple[float, int], ...]
    outages: tuple[Span, ...]
    unlisted: int


def picture_of(analysis: Analysis) -> Picture:
    """What to draw of a run."""
    axis, timeline = axis_of(analysis), analysis.timeline
    start, end = axis.at(timeline.window.start), axis.at(timeline.window.end)
    steps = [(max(start, axis.at(at)), ready) for at, ready in timeline.ready_endpoints]
    return Picture(
        verdict=analysis.verdict.value,
        headline=clean(analysis.headline),
        zero=axis.zero,
        start=start,
        end=end,
        asked_qps=timeline.document.header.qps,
        stages=tuple(
            (stage.value, axis.at(span.start), axis.at(span.end))
            for stage, span in sorted(timeline.stages.items(), key=lambda item: item[1].start)
            if span.length > 0
        ),
        pods=tuple(_pod_row(axis, timeline.window, pod) for pod in _in_order(timeline.pods)),
        failures=_failure_rows(axis, timeline),
        slots=_slots(axis, timeline),
        endpoints=((*steps, (end, steps[-1][1])) if steps else ()),
        outages=_joined(_spans(axis, [outage.window for outage in analysis.outages])),
        unlisted=sum(interval.unlisted for interval in timeline.intervals),
    )


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Spans that meet made into one, as two lanes that fail together are one outage to look at."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


def _in_order(pods: Iterable[PodLife]) -> list[PodLife]:
    """Old pods as they were deleted, then the others as they were created."""
    rank = {"other": 0, "old": 1, "new": 2}

    def key(pod: PodLife) -> tuple[int, bool, Instant, str]:
        if pod.generation == "new" or pod.deleted is None:
            return rank[pod.generation], pod.generation != "new", pod.created.seen_ns, pod.name
        return rank[pod.generation], False, pod.deleted.seen_ns, pod.name

    return sorted(pods, key=key)


def _pod_row(axis: Axis, run: Window, pod: PodLife) -> PodRow:
    begin = max(run.start, pod.created.seen_ns)
    end = max(begin, run.end if pod.gone_ns is None else min(pod.gone_ns, run.end))
    life = Window(start=begin, end=end)
    codes = ",".join(dict.fromkeys("?" if ended.code is None else str(ended.code) for ended in pod.exits))
    return PodRow(
        name=clean(pod.name),
        generation=pod.generation,
        states=tuple((state, axis.at(span.start), axis.at(span.end)) for state, span in _states(pod, life)),
        endpoints=_spans(axis, _clipped(pod.in_endpoints, life)),
        prestop=next(iter(_spans(axis, _clipped(_prestop(pod, life), life))), None),
        sigterm=None if pod.sigterm is None else _spans(axis, [pod.sigterm.window])[0],
        ended=(axis.at(min(_exit_at(pod), end)), codes) if pod.exits else None,
        ended_badly=pod.killed or any(ended.code not in (0, 143) for ended in pod.exits),
        uid=pod.uid,
    )


def _states(pod: PodLife, life: Window) -> list[tuple[str, Window]]:
    """The states of a pod, one after the other; a deletion ends every other state."""
    alive_until = life.end if pod.deleted is None else min(max(pod.deleted.seen_ns, life.start), life.end)
    alive = Window(start=life.start, end=alive_until)
    ready = _clipped(pod.ready, alive)
    first_ready = ready[0].start if ready else alive_until
    listening = alive_until if pod.listening is None else pod.listening.seen_ns
    started = min(max(min(listening, first_ready), alive.start), alive_until)
    states = [("starting", Window(start=alive.start, end=started))]
    at = started
    for span in ready:
        states += [("running", Window(start=at, end=span.start)), ("ready", span)]
        at = span.end
    states += [("running", Window(start=at, end=alive_until)), ("terminating", Window(start=alive_until, end=life.end))]
    return [(state, span) for state, span in states if span.length > 0]


def _prestop(pod: PodLife, life: Window) -> list[Window]:
    """From the Killing event (never before the deletion was seen) to SIGTERM, else to the end of the container."""
    hooks = [container.prestop for container in (pod.spec.containers if pod.spec else ()) if container.prestop]
    if not hooks or pod.deleted is None:
        return []
    start = (
        pod.deleted.seen_ns if pod.killing is None else min(max(pod.deleted.seen_ns, pod.killing.earliest), life.end)
    )
    until = pod.sigterm.window.start if pod.sigterm else _exit_at(pod) if pod.exits else life.end
    return [Window(start=start, end=until)] if until > start else []


def _exit_at(pod: PodLife) -> Instant:
    """When the last container ended: the middle of its bracket, never later than we saw it."""
    return max(
        ended.seen_ns
        if ended.finished is None
        else min(ended.seen_ns, (ended.finished.start + ended.finished.end) // 2)
        for ended in pod.exits
    )


def _clipped(spans: Iterable[Window], within: Window) -> list[Window]:
    cut = [Window(start=max(span.start, within.start), end=min(span.end, within.end)) for span in spans]
    return [span for span in cut if span.length > 0]


def _spans(axis: Axis, spans: Iterable[Window]) -> tuple[Span, ...]:
    return tuple((axis.at(span.start), axis.at(span.end)) for span in spans)


_FAMILIES = {
    Outcome.REFUSED: "refused",
    Outcome.UNREACHABLE: "refused",
    Outcome.RESET: "reset",
    Outcome.CLOSED_BEFORE_RESPONSE: "reset",
    Outcome.TRUNCATED_BODY: "reset",
    Outcome.TIMEOUT: "timeout",
    Outcome.BAD_STATUS: "status",
    Outcome.WRONG_BODY: "status",
}
FAMILIES = ("refused", "reset", "timeout", "status", "other", "not sent")


def family_of(attempt: Attempt) -> str:
    """Which of `FAMILIES` a failed attempt belongs to."""
    return family_of_outcome(attempt.outcome)


def family_of_outcome(outcome: Outcome) -> str:
    """The same, of how it ended."""
    return _FAMILIES.get(outcome, "other")


def _failure_rows(axis: Axis, timeline: Timeline) -> tuple[FailureRow, ...]:
    """A row for each lane and kind, the families together, the commonest kind first."""
    rows: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for attempt in timeline.failures:
        key = (family_of(attempt), outcome_words(outcome_key(attempt)), attempt.lane.value)
        rows[key].append(axis.at(began(attempt)))
    for attempt in timeline.not_sent:
        rows["not sent", "never sent", attempt.lane.value].append(axis.at(began(attempt)))
    apart = timeline.window.length / SECOND / MARKS_ACROSS
    made = [
        FailureRow(lane=lane, words=words, family=family, count=len(at), at=_apart(at, apart))
        for (family, words, lane), at in rows.items()
    ]
    return tuple(sorted(made, key=lambda row: (FAMILIES.index(row.family), -row.count, row.words, row.lane)))


def _apart(at: list[float], least: float) -> tuple[float, ...]:
    kept: list[float] = []
    for second in sorted(at):
        if not kept or second - kept[-1] >= least:
            kept.append(second)
    return tuple(kept)


def _slots(axis: Axis, timeline: Timeline) -> tuple[Slot, ...]:
    """Intervals of all lanes put together; those cut short by an event join the next, as their rates would be noise."""
    intervals = sorted(
        (i for i in timeline.intervals if i.lane is not Lane.PROBE), key=lambda i: (i.end_ns, i.start_ns)
    )
    if not intervals:
        return ()
    least = timeline.document.header.interval_s * SECOND * 0.6
    cuts = [min(interval.start_ns for interval in intervals)]
    for end in sorted({interval.end_ns for interval in intervals}):
        if end - cuts[-1] >= least:
            cuts.append(end)
    last = intervals[-1].end_ns
    if cuts[-1] < last:
        cuts[-1:] = [last] if len(cuts) > 1 else [cuts[0], last]
    slots, done = [], 0
    for start, end in pairwise(cuts):
        until = bisect_right(intervals, end, lo=done, key=lambda interval: interval.end_ns)
        slots.append(_slot(axis, start, end, intervals[done:until]))
        done = until
    return tuple(slots)


def _slot(axis: Axis, start: Instant, end: Instant, intervals: list[Interval]) -> Slot:
    length = (end - start) / SECOND
    latency = percentiles_us((interval.response_hdr for interval in intervals), (50, 99))
    return Slot(
        start=axis.at(start),
        end=axis.at(end),
        ok=sum(interval.ok for interval in intervals) / length,
        failed=sum(interval.failed for interval in intervals) / length,
        p50_ms=latency[0] / 1_000 if latency else None,
        p99_ms=latency[1] / 1_000 if latency else None,
    )
