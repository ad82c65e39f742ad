"""Exact counts: every arrival of the timetable is OK, failed or not sent, and nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable

from rollcheck.analyze.model import Counts, Timeline
from rollcheck.facts.attempts import Attempt, Interval, Lane, Outcome, Stage
from rollcheck.facts.clock import Window

OK = "ok"
UNLISTED = "unlisted"
AFTER = (Stage.REPLACEMENT, Stage.TAIL)
"""The stages in which what fails may be the replacement's doing."""


def outcome_name(attempt: Attempt) -> str:
    """`phase/outcome`, with the status where that is what was bad: `await/bad_status 502`."""
    name = f"{attempt.phase}/{attempt.outcome}"
    return f"{name} {attempt.status}" if attempt.outcome is Outcome.BAD_STATUS else name


def count(timeline: Timeline) -> Counts:
    """Of the whole run."""
    return count_stages(timeline, tuple(Stage), timeline.window)


def count_stages(timeline: Timeline, stages: Collection[Stage], span: Window) -> Counts:
    """Of what ended in these stages, `span`; scheduled = sent + not_sent and sent = ok + failed, always.

    Intervals count what is listed too, so the greater of both counts is taken, lane by lane: they differ in a document
    that was cut short, or where details were lost. A name that did not resolve was never sent.
    """
    within = [i for i in timeline.intervals if i.stage in stages]
    last = Stage.TAIL in stages
    listed = [a for a in _not_ok(timeline) if span.holds(a.ended_ns) or (last and a.ended_ns >= span.end)]
    failed = _greater(_sums(within, lambda i: i.failed), _by_lane(a for a in listed if a.sent_ns is not None))
    not_sent = _greater(_sums(within, lambda i: i.not_sent), _by_lane(a for a in listed if a.sent_ns is None))
    ok = _sums(within, lambda i: i.ok).total()
    probes = [p for p in timeline.probes if span.holds(p.ended_ns) or (last and p.ended_ns >= span.end)]
    sent = ok + failed
    return Counts(
        scheduled=sent + not_sent,
        sent=sent,
        not_sent=not_sent,
        ok=ok,
        failed=failed,
        probes=len(probes),
        probes_failed=sum(1 for p in probes if p.outcome is not Outcome.OK),
    )


def _not_ok(timeline: Timeline) -> tuple[Attempt, ...]:
    return (*timeline.failures, *timeline.abandoned, *timeline.not_sent)


def _sums(intervals: Iterable[Interval], of: Callable[[Interval], int]) -> Counter[Lane]:
    sums: Counter[Lane] = Counter()
    for interval in intervals:
        if interval.lane is not Lane.PROBE:
            sums[interval.lane] += of(interval)
    return sums


def _by_lane(attempts: Iterable[Attempt]) -> Counter[Lane]:
    return Counter(a.lane for a in attempts)


def _greater(one: Counter[Lane], other: Counter[Lane]) -> int:
    return (one | other).total()


def by_outcome(timeline: Timeline) -> dict[str, dict[str, int]]:
    """Lane → outcome → count: "ok", then every "phase/outcome", then what was counted but not kept; probes too."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for interval in timeline.intervals:
        found[interval.lane][OK] += interval.ok
    for attempt in (*_not_ok(timeline), *timeline.probes):
        found[attempt.lane][OK if attempt.outcome is Outcome.OK else outcome_name(attempt)] += 1
    for lane, lost in unlisted(timeline).items():
        found[lane][UNLISTED] += lost
    return {lane: dict(sorted(found[lane].items(), key=_ok_first)) for lane in Lane if lane in found}


def _ok_first(item: tuple[str, int]) -> tuple[bool, int, str]:
    return item[0] != OK, -item[1], item[0]


def unlisted(timeline: Timeline) -> dict[Lane, int]:
    """Lane → attempts that intervals count as failed or not sent and whose details were not kept; probes left out."""
    counted = _sums(timeline.intervals, lambda i: i.failed + i.not_sent)
    listed = _by_lane(_not_ok(timeline))
    return dict(counted - listed)


def lanes_scheduled(timeline: Timeline) -> dict[str, int]:
    """Lane → attempts that the document accounts for, to be compared with the seal."""
    found: Counter[str] = Counter()
    for lane, outcomes in by_outcome(timeline).items():
        if lane != Lane.PROBE:
            found[lane] += sum(outcomes.values())
    return dict(found)
