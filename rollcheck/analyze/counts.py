"""Exact counts: every arrival of the timetable is OK, failed or not sent, and nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from rollcheck.analyze.model import Counts, Timeline
from rollcheck.facts.attempts import Attempt, Interval, Lane, Outcome
from rollcheck.facts.clock import Instant

OK = "ok"
UNLISTED = "unlisted"


def outcome_name(attempt: Attempt) -> str:
    """`phase/outcome`, with the status where that is what was bad: `await/bad_status 502`."""
    name = f"{attempt.phase}/{attempt.outcome}"
    return f"{name} {attempt.status}" if attempt.outcome is Outcome.BAD_STATUS else name


def count(timeline: Timeline) -> Counts:
    """Of the whole run, by the intervals; attempts that no interval counts yet (a cut document) are added."""
    return count_within(timeline, lambda _: True, lambda _: True)


def count_before(timeline: Timeline, at: Instant) -> Counts:
    """Of what ended before `at`, at which the recorder cuts an interval."""
    return count_within(timeline, lambda i: i.start_ns < at, lambda a: a.ended_ns < at)


def count_since(timeline: Timeline, at: Instant) -> Counts:
    """Of what ended at `at` or later, at which the recorder cuts an interval."""
    return count_within(timeline, lambda i: i.start_ns >= at, lambda a: a.ended_ns >= at)


def count_within(
    timeline: Timeline, interval: Callable[[Interval], bool], attempt: Callable[[Attempt], bool]
) -> Counts:
    """Of the intervals and attempts that are asked for; scheduled = sent + not_sent and sent = ok + failed, always.

    Intervals count what is listed too, so the greater of both counts is taken, lane by lane: they differ in a document
    that was cut short, or where details were lost.
    """
    within = [i for i in timeline.intervals if interval(i)]
    failed = _greater(
        _sums(within, lambda i: i.failed), _listed(a for a in (*timeline.failures, *timeline.abandoned) if attempt(a))
    )
    not_sent = _greater(_sums(within, lambda i: i.not_sent), _listed(a for a in timeline.not_sent if attempt(a)))
    ok = sum(i.ok for i in within if i.lane is not Lane.PROBE)
    probes_lost = sum(1 for p in timeline.probes if attempt(p) and p.outcome is not Outcome.OK)
    sent = ok + failed
    return Counts(
        scheduled=sent + not_sent,
        sent=sent,
        not_sent=not_sent,
        ok=ok,
        failed=failed,
        probes=sum(i.ok for i in within if i.lane is Lane.PROBE) + probes_lost,
        probes_failed=probes_lost,
    )


def _sums(intervals: Iterable[Interval], of: Callable[[Interval], int]) -> Counter[Lane]:
    sums: Counter[Lane] = Counter()
    for interval in intervals:
        if interval.lane is not Lane.PROBE:
            sums[interval.lane] += of(interval)
    return sums


def _listed(attempts: Iterable[Attempt]) -> Counter[Lane]:
    return Counter(a.lane for a in attempts)


def _greater(one: Counter[Lane], other: Counter[Lane]) -> int:
    return (one | other).total()


def by_outcome(timeline: Timeline) -> dict[str, dict[str, int]]:
    """Lane → outcome → count: "ok", then every "phase/outcome", then what was counted but not kept; probes too."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for interval in timeline.intervals:
        found[interval.lane][OK] += interval.ok
    for attempt in (*timeline.failures, *timeline.abandoned, *timeline.not_sent, *timeline.probes):
        if attempt.outcome is not Outcome.OK:
            found[attempt.lane][outcome_name(attempt)] += 1
    for lane, lost in unlisted(timeline).items():
        found[lane][UNLISTED] += lost
    return {lane: dict(sorted(found[lane].items(), key=_ok_first)) for lane in Lane if lane in found}


def _ok_first(item: tuple[str, int]) -> tuple[bool, int, str]:
    return item[0] != OK, -item[1], item[0]


def unlisted(timeline: Timeline) -> dict[Lane, int]:
    """Lane → attempts that intervals count as failed or not sent and whose details were not kept; probes left out."""
    counted = _sums(timeline.intervals, lambda i: i.failed + i.not_sent)
    listed = _listed((*timeline.failures, *timeline.abandoned, *timeline.not_sent))
    return dict(counted - listed)


def lanes_scheduled(timeline: Timeline) -> dict[str, int]:
    """Lane → attempts that the document accounts for, to be compared with the seal."""
    found: Counter[str] = Counter()
    for lane, outcomes in by_outcome(timeline).items():
        if lane != Lane.PROBE:
            found[lane] += sum(outcomes.values())
    return dict(found)
