"""Outages of each lane, read off the timetable.

OK attempts are not kept one by one, but they need not be: the lane's arrivals are evenly paced, and each that did not
end OK is listed. So where the timetable had an arrival and the list has none, that arrival was answered. Attempts are
placed by their start: a connect time-out ends seconds after the window in which it began.

A connect from a source port that was still tied to a dead pod is no sign of an outage, since from any other port the
Service would have answered; inside one it counts like every other.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

from rollcheck.analyze.counts import outcome_name
from rollcheck.analyze.model import Outage, Timeline, began
from rollcheck.analyze.ports import tied
from rollcheck.facts.attempts import Attempt, Interval, Lane
from rollcheck.facts.clock import SECOND, Instant, Window

GOOD_IN_A_ROW = 10
"""Answers in a row that end an outage: with one pod in three dead, as many come up by chance once in 58 times."""
UNEVEN = 2
"""Arrivals of one lane may be this many mean spacings apart, when lanes with odd shares interleave."""
CLOSED_LOOP_SPACING_NS = SECOND // 10
"""Assumed between arrivals where the run had no timetable."""


def lane_spacing_ns(timeline: Timeline, lane: Lane) -> int:
    """Mean nanoseconds between two arrivals of the lane."""
    header = timeline.document.header
    rate = sum(header.qps * plan.share for plan in header.lanes if plan.lane == lane)
    return round(SECOND / rate) if rate > 0 else CLOSED_LOOP_SPACING_NS


def find_outages(timeline: Timeline) -> tuple[Outage, ...]:
    """Every outage of every lane, by start. An outage that lets some attempts through is not `full`."""
    found: list[Outage] = []
    answered = _answered(timeline)
    ties = tied(timeline)
    for lane in Lane:
        lost = [a for a in timeline.failures if a.lane is lane and id(a) not in ties]
        beside = [t.attempt for t in timeline.ties if t.attempt.lane is lane]
        spacing = lane_spacing_ns(timeline, lane)
        blind = [i for i in timeline.intervals if i.lane is lane and i.unlisted]
        planned = any(plan.lane == lane and plan.share > 0 for plan in timeline.document.header.lanes)
        groups = [_with_those_inside(group, beside) for group in _groups(lost, spacing, blind)]
        found += [_outage(lane, group, spacing, blind, answered[lane], planned=planned) for group in groups]
    return tuple(sorted(found, key=lambda o: (o.window.start, o.lane)))


def _groups(lost: Sequence[Attempt], spacing: int, blind: Sequence[Interval]) -> list[list[Attempt]]:
    groups: list[list[Attempt]] = []
    for attempt in lost:
        if groups and _continues(groups[-1][-1], attempt, spacing, blind):
            groups[-1].append(attempt)
        else:
            groups.append([attempt])
    return groups


def _with_those_inside(group: list[Attempt], beside: Sequence[Attempt]) -> list[Attempt]:
    """The group and what else failed within it, by start."""
    inside = [a for a in beside if began(group[0]) <= began(a) <= began(group[-1])]
    return sorted([*group, *inside], key=began) if inside else group


def _continues(before: Attempt, after: Attempt, spacing: int, blind: Sequence[Interval]) -> bool:
    """Whether fewer than `GOOD_IN_A_ROW` answers lie between, or failures beyond the bound on kept lines may."""
    if began(after) - began(before) <= GOOD_IN_A_ROW * spacing:
        return True
    return any(i.start_ns <= began(after) and began(before) < i.end_ns for i in blind)


def _answered(timeline: Timeline) -> dict[Lane, list[Instant]]:
    """Lane → the starts of answered attempts that are known one by one, in order."""
    starts: dict[Lane, list[Instant]] = defaultdict(list)
    for tally in timeline.tallies:
        starts[tally.lane] += (tally.first_sent_ns, tally.last_sent_ns)
    for known in starts.values():
        known.sort()
    return starts


def _outage(
    lane: Lane,
    group: Sequence[Attempt],
    spacing: int,
    blind: Sequence[Interval],
    answered: Sequence[Instant],
    *,
    planned: bool,
) -> Outage:
    window = Window(start=began(group[0]), end=began(group[-1]))
    due = round(window.length / spacing) + 1
    gaps = (began(b) - began(a) for a, b in pairwise(group))
    hidden = [i for i in blind if i.start_ns <= window.end and window.start < i.end_ns]
    full = not hidden and max(gaps, default=0) < UNEVEN * spacing
    known = planned and not hidden
    return Outage(
        lane=lane,
        window=window,
        bound=_bound(window, spacing, hidden, answered),
        attempts=len(group),
        total=(len(group) if full else max(due, len(group))) if known else None,
        full=full,
        by_outcome=dict(sorted(Counter(outcome_name(a) for a in group).items())),
        pods=tuple(sorted({a.pod for a in group if a.pod})),
    )


def _bound(window: Window, spacing: int, hidden: Sequence[Interval], answered: Sequence[Instant]) -> Window:
    """From the last answered arrival before to the first after: known instants where a tally has one, else paced."""
    start = min([window.start, *(i.start_ns for i in hidden)]) - UNEVEN * spacing
    end = max([window.end, *(i.end_ns for i in hidden)]) + UNEVEN * spacing
    before, after = bisect_left(answered, window.start), bisect_right(answered, window.end)
    if before:
        start = max(start, answered[before - 1])
    if after < len(answered):
        end = min(end, answered[after])
    return Window(start=start, end=end)


def longest_and_number(outages: Sequence[Outage]) -> tuple[int, float]:
    """How many spans the outages of all lanes make together, and the seconds that the longest can have lasted."""
    spans: list[Window] = []
    for bound in sorted((o.bound for o in outages), key=lambda w: (w.start, w.end)):
        if spans and bound.start <= spans[-1].end:
            spans[-1] = Window(start=spans[-1].start, end=max(spans[-1].end, bound.end))
        else:
            spans.append(bound)
    return len(spans), max((s.length for s in spans), default=0) / SECOND
