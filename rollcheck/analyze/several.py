"""Of a run in which pods of several workloads were watched: what there was beside the Service that was asked."""

from __future__ import annotations

from collections.abc import Sequence

from rollcheck.analyze.model import Timeline
from rollcheck.analyze.words import listing, number
from rollcheck.facts.clock import SECOND, Instant, Window


def beside_and_elsewhere(timeline: Timeline) -> list[str]:
    """Pods of other workloads behind the same Service, and Services without load that had no ready pod."""
    found = []
    if beside := [p for p in timeline.pods if p.beside]:
        ended = [p.name for p in beside if p.deleted is not None]
        fate = f"; of these {listing(ended)} ended during the run" if ended else ""
        names = listing([p.name for p in beside])
        found.append(
            f"{number(len(beside), 'pod')} of other workloads served the same clients and"
            f" {'was' if len(beside) == 1 else 'were'} not to be replaced ({names}){fate}"
        )
    for service, steps in timeline.ready_elsewhere.items():
        for window in empty(steps, timeline):
            start, end = ((at - _origin(timeline)) / SECOND for at in (window.start, window.end))
            found.append(
                f"service/{service} had no ready pod from {start:+.2f} s to {end:+.2f} s; no request of this run went"
                " there"
            )
    return found


def empty(steps: Sequence[tuple[Instant, int]], timeline: Timeline) -> list[Window]:
    """The spans after the replacement began in which there was none, having been one before."""
    spans = []
    had = False
    for (at, count), following in zip(steps, [*steps[1:], (timeline.window.end, 0)], strict=True):
        if not count and had and following[0] > _origin(timeline):
            spans.append(Window(start=at, end=following[0]))
        had = had or count > 0
    return spans


def _origin(timeline: Timeline) -> Instant:
    return timeline.replacement.start if timeline.replacement else timeline.window.start
