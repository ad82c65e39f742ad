"""What the run could have seen: requests met by ending pods, and the bounds that follow from how much was asked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from rollcheck.analyze.counts import AFTER, count_stages
from rollcheck.analyze.model import Bounds, Counts, PodLife, Timeline, began, latest
from rollcheck.analyze.ports import tied
from rollcheck.analyze.statistics import upper_bound
from rollcheck.analyze.timeline import PodIndex
from rollcheck.facts.attempts import Attempt, Lane
from rollcheck.facts.clock import SECOND, Instant, Window

AFTERMATH_NS = SECOND
"""A pod's end can lose requests this long after its object is gone: rules of the data plane outlive it."""

LONG_AGO: Instant = -(2**62)


def replaced_pods(timeline: Timeline) -> tuple[PodLife, ...]:
    """Old pods that were deleted and are gone."""
    return tuple(p for p in timeline.pods if p.generation == "old" and p.deleted is not None and p.gone_ns is not None)


def termination(pod: PodLife, end_ns: Instant) -> Window | None:
    """From its deletion until nothing can be lost to its end any more; None of a pod that was not deleted."""
    if pod.deleted is None:
        return None
    start = pod.deleted.earliest
    gone = end_ns if pod.gone_ns is None else pod.gone_ns
    return Window(start=start, end=max(start, gone) + AFTERMATH_NS)


def replacement_losses(timeline: Timeline) -> tuple[Attempt, ...]:
    """Failed attempts that ended after the replacement began; none when it never did."""
    if timeline.replacement is None:
        return ()
    return tuple(a for a in timeline.failures if a.ended_ns >= timeline.replacement.start)


def replacement_counts(timeline: Timeline) -> Counts:
    """Of what ended after the replacement began, the tail included."""
    if timeline.replacement is None:
        return Counts(scheduled=0, sent=0, not_sent=0, ok=0, failed=0)
    return count_stages(timeline, AFTER, timeline.replacement)


def bounds_of(timeline: Timeline) -> Bounds:
    """The three bounds of the verdict: shortest outage, loss per request, loss per pod replaced."""
    counts = replacement_counts(timeline)
    replaced = replaced_pods(timeline)
    met = [p for p in replaced if p.backend]  # a pod to which no request can come proves nothing
    losing = _losing_pods(timeline, met)
    known = any(p.traffic.met_terminating is not None for p in timeline.pods)
    return Bounds(
        shortest_outage_s=_shortest_outages(timeline),
        loss_per_request=upper_bound(counts.failed, counts.sent),
        loss_per_pod=upper_bound(len(losing), len(met)),
        pods_replaced=len(replaced),
        pods_lossless=len(replaced) - len(losing),
        unmet=tuple(p.name for p in replaced if p.traffic.met_terminating == 0),
        exposure_known=known,
    )


def _losing_pods(timeline: Timeline, replaced: Sequence[PodLife]) -> set[str]:
    """Uids of the pods that a loss may be due to: the one it was on, else all that were ending, else the nearest.

    A loss from a port that was tied to a dead pod is due to that pod, and belongs to when the port was tied.
    """
    losing: set[str] = set()
    index, ties = PodIndex(replaced), tied(timeline)
    at_large: list[Instant] = []
    for attempt in replacement_losses(timeline):
        tie = ties.get(id(attempt))
        if tie is not None and timeline.replacement is not None and tie.since_ns < timeline.replacement.start:
            continue
        named = index.named(tie.pod) if tie else index.of(attempt)
        losing.update(p.uid for p in named)
        if not named:
            at_large.append(tie.since_ns if tie else began(attempt))
    at_large.sort()
    spans = [(span, p.uid) for p in replaced if (span := termination(p, timeline.window.end)) is not None]
    losing.update(uid for span, uid in spans if bisect_left(at_large, span.start) < bisect_left(at_large, span.end))
    return losing | _nearest(_outside(at_large, [span for span, _ in spans]), replaced)


def _outside(instants: Iterable[Instant], spans: Iterable[Window]) -> list[Instant]:
    """Those of the sorted instants that no span holds."""
    ordered = sorted(spans, key=lambda w: w.start)
    found: list[Instant] = []
    reach, following = LONG_AGO, 0
    for at in instants:
        while following < len(ordered) and ordered[following].start <= at:
            reach = max(reach, ordered[following].end)
            following += 1
        if at >= reach:
            found.append(at)
    return found


def _nearest(instants: Iterable[Instant], replaced: Iterable[PodLife]) -> set[str]:
    """Uids of the pods deleted nearest to each instant: one for each, the least where several are as near."""
    uid_at: dict[Instant, str] = {}
    for pod in replaced:
        if pod.deleted is not None:
            at = latest(pod.deleted)
            uid_at[at] = min(pod.uid, uid_at.get(at, pod.uid))
    deletions = sorted(uid_at)
    found: set[str] = set()
    for at in instants:
        place = bisect_left(deletions, at)
        near = deletions[max(0, place - 1) : place + 1]
        found.update([min((abs(d - at), uid_at[d]) for d in near)[1]] if near else [])
    return found


def _shortest_outages(timeline: Timeline) -> dict[str, float]:
    """Lane → seconds: open-loop arrivals, evenly paced, leave no longer span than this without one.

    From the rate that was asked, or from the one that was kept where that is lower.
    """
    header = timeline.document.header
    shortest: dict[str, float] = {}
    for plan in header.lanes:
        asked = header.qps * plan.share
        sent = [i for i in timeline.intervals if i.lane == plan.lane and i.stage in AFTER]
        seconds = (max(i.end_ns for i in sent) - min(i.start_ns for i in sent)) / SECOND if sent else 0.0
        kept = sum(i.ok + i.failed for i in sent) / seconds if seconds else 0.0
        # A paced lane holds up to one arrival less than rate times span: no sign of a lower rate.
        rate = kept if not asked or kept + 2 / max(seconds, 1e-9) < asked else asked
        if plan.lane != Lane.PROBE and (asked or kept):
            shortest[plan.lane] = 1 / rate if rate else seconds
    return shortest
