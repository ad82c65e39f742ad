"""The facts nearest to an attempt that no cause explains."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property

from rollcheck.analyze.causes.scene import Scene
from rollcheck.analyze.model import began
from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import SECOND, Instant
from rollcheck.facts.cluster import WatchGap

NEAREST = 3
REACH_NS = 60 * SECOND


class Chronicle:
    """Every instant of a run that could matter to a client, with the words for it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    @cached_property
    def facts(self) -> list[tuple[Instant, str]]:
        """In order of time."""
        return sorted([*self._pods(), *self._stages(), *self._gaps(), *self._outages()])

    def near(self, attempt: Attempt) -> tuple[str, ...]:
        """The two or three nearest facts within a minute, as sentences; one sentence when there is none."""
        at = began(attempt)
        close = sorted((abs(when - at), when, text) for when, text in self._around(at))[:NEAREST]
        told = tuple(f"{text} {_apart(at - when)}" for apart, when, text in close if apart <= REACH_NS)
        return told or (f"nothing was seen in the cluster within {REACH_NS // SECOND} s of it",)

    def _around(self, at: Instant) -> list[tuple[Instant, str]]:
        """At least the nearest ones: as many on either side, and all of the same instant as the last of them."""
        facts = self.facts
        place = bisect_left(facts, (at, ""))
        low, high = max(0, place - NEAREST), min(len(facts), place + NEAREST)
        while low > 0 and facts[low - 1][0] == facts[low][0]:
            low -= 1
        while 0 < high < len(facts) and facts[high][0] == facts[high - 1][0]:
            high += 1
        return facts[low:high]

    def _pods(self) -> Iterator[tuple[Instant, str]]:
        for pod in self.scene.timeline.pods:
            name = f"pod {pod.name}"
            if pod.generation == "new":
                yield pod.created.seen_ns, f"{name} was created"
            for span in pod.in_endpoints:
                if span.start > self.scene.timeline.window.start:
                    yield span.start, f"{name} joined the endpoints"
                if span.end < self.scene.timeline.window.end:
                    yield span.end, f"{name} left the endpoints"
            if pod.gone_ns is not None:
                yield pod.gone_ns, f"{name} was gone"
        for ending in self.scene.endings:
            name = f"pod {ending.pod.name}"
            assert ending.pod.deleted is not None
            yield ending.pod.deleted.seen_ns, f"{name} was deleted"
            yield ending.sigterm.start, f"{name} got SIGTERM (inferred) at the earliest"
            if ending.seen:
                yield ending.exit.end, f"{name} had exited"

    def _stages(self) -> Iterator[tuple[Instant, str]]:
        for stage, window in self.scene.timeline.stages.items():
            if window.start > self.scene.timeline.window.start:
                yield window.start, f"the stage {stage.value} began"
        if self.scene.timeline.abandoned:
            yield self.scene.timeline.window.end, "the run ended"

    def _gaps(self) -> Iterator[tuple[Instant, str]]:
        for gap in self.scene.timeline.document.of(WatchGap):
            yield gap.start_ns, f"the watch of {gap.resource} broke off"

    def _outages(self) -> Iterator[tuple[Instant, str]]:
        for at, count in self.scene.timeline.ready_endpoints:
            if count == 0:
                yield at, "the last ready endpoint was gone"


def _apart(nanoseconds: int) -> str:
    if nanoseconds >= 0:
        return f"{nanoseconds / SECOND:.2f} s before"
    return f"{-nanoseconds / SECOND:.2f} s after"
