"""The load of a story: arrivals at an even pace become intervals, tallies, attempts and health. See `builders`."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from hdrh.histogram import HdrHistogram

from rollcheck.facts.attempts import Attempt, ConnectionUse, Interval, Lane, Outcome, PodTally, Stage
from rollcheck.facts.clock import SECOND
from rollcheck.facts.document import Fact
from rollcheck.facts.health import HealthSample
from tests.analyze.story_pods import ORIGIN, WATCH_LAG, StoryPod, ns


@cache
def blob(micros: int, count: int) -> str:
    """A histogram of `count` equal values, as a recorder writes it; empty when there is none."""
    if not count:
        return ""
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    histogram.record_value(micros, count)
    return str(histogram.encode().decode())


@dataclass
class Loss:
    """Arrivals that do not end OK: a whole span of a lane (every `every`-th arrival), or one at `start`."""

    lane: Lane
    start: float
    end: float | None
    every: int
    fields: dict[str, Any]
    took: float


class StoryLoad:
    """The load's part of a `Story`, which sets these fields."""

    qps: float
    lanes: dict[Lane, float]
    named: bool
    latency: float
    load_from: float
    load_until: float | None
    baseline_from: float
    triggered: float | None
    tail_from: float | None
    ends: float
    story_pods: dict[str, StoryPod]
    losses: list[Loss]
    slow: list[tuple[float, float, float]]
    health_fields: dict[int, dict[str, Any]]

    def _stages(self) -> list[tuple[float, Stage]]:
        stages = [(0.0, Stage.PREFLIGHT), (self.baseline_from, Stage.BASELINE)]
        if self.triggered is not None:
            stages.append((self.triggered, Stage.REPLACEMENT))
            stages.append((self.tail_from if self.tail_from is not None else self.ends - 10.0, Stage.TAIL))
        return [stage for stage in stages if stage[0] < self.ends]

    def _load(self) -> list[tuple[int, Fact]]:
        until = self.load_until if self.load_until is not None else self.ends
        cuts = sorted({*_whole_seconds(self.load_from, self.ends), *self._life_changes(), *self._stage_cuts()})
        facts: list[tuple[int, Fact]] = []
        seq = 0
        per_second: dict[int, int] = defaultdict(int)
        for number, (lane, share) in enumerate(self.lanes.items()):
            rate = self.qps * share
            count = int((until - self.load_from) * rate)
            arrivals = [self.load_from + (i + number / len(self.lanes)) / rate for i in range(count)]
            for at in arrivals:
                per_second[int(at)] += 1
            good, bad = self._split(lane, arrivals)
            attempts = [self._attempt(lane, at, seq + i, loss) for i, (at, loss) in enumerate(bad)]
            seq += len(bad)
            facts += [(attempt.ended_ns, attempt) for attempt in attempts]
            facts += self._fold(lane, good, attempts, cuts)
        facts += self._health(per_second)
        return facts

    def _split(self, lane: Lane, arrivals: list[float]) -> tuple[list[float], list[tuple[float, Loss]]]:
        """The arrivals that end OK, and those that do not with why."""
        good = list(arrivals)
        bad: list[tuple[float, Loss]] = []
        for loss in (loss for loss in self.losses if loss.lane is lane):
            if loss.end is None:
                if good:
                    good.remove(min(good, key=lambda at: abs(at - loss.start)))
                bad.append((loss.start, loss))
                continue
            hit = [at for at in good if loss.start <= at < loss.end][:: loss.every]
            bad += [(at, loss) for at in hit]
            gone = set(hit)
            good = [at for at in good if at not in gone]
        return good, sorted(bad, key=lambda pair: pair[0])

    def _attempt(self, lane: Lane, at: float, seq: int, loss: Loss) -> Attempt:
        use = ConnectionUse.REUSED if lane is Lane.REUSED else ConnectionUse.NEW
        values: dict[str, Any] = {
            "seq": seq,
            "lane": lane,
            "stage": self._stage_at(at),
            "use": use,
            "intended_ns": ns(at),
            "released_ns": ns(at),
            "sent_ns": ns(at),
            "ended_ns": ns(at + loss.took),
            **loss.fields,
        }
        if loss.fields.get("pod") and "pod_from" not in loss.fields:
            values["pod_from"] = "connection"
        return Attempt(**values)

    def _fold(
        self, lane: Lane, good: list[float], attempts: list[Attempt], cuts: list[float]
    ) -> list[tuple[int, Fact]]:
        use = ConnectionUse.REUSED if lane is Lane.REUSED else ConnectionUse.NEW
        latest = max([self.ends, *((a.ended_ns - ORIGIN) / SECOND for a in attempts)]) + 0.001
        edges = [*cuts, *(c for c in _whole_seconds(self.ends, latest) if c > self.ends), latest]
        edges = sorted(set(edges))
        answered: dict[int, list[tuple[float, float, str]]] = defaultdict(list)
        for number, at in enumerate(good):
            took = next((slow for start, end, slow in self.slow if start <= at < end), self.latency)
            serving = [pod.name for pod in self.story_pods.values() if pod.serves(at)] if self.named else []
            pod = serving[number % len(serving)] if serving else ""
            answered[_slot(edges, min(at + took, self.ends - 1e-6))].append((at, took, pod))
        facts: list[tuple[int, Fact]] = []
        for slot, (start, end) in enumerate(pairwise(edges)):
            lost = [a for a in attempts if ns(start) <= a.ended_ns < ns(end)]
            done = answered[slot]
            if start >= self.ends and not lost:
                continue
            facts.append((ns(end), self._interval(lane, start, end, done, lost)))
            facts += [(ns(end), tally) for tally in _tallies(lane, use, start, end, done)]
        return facts

    def _interval(
        self, lane: Lane, start: float, end: float, done: list[tuple[float, float, str]], lost: list[Attempt]
    ) -> Interval:
        not_sent = sum(1 for a in lost if a.outcome is Outcome.DROPPED or a.sent_ns is None)
        slowest = max((took for _, took, _ in done), default=0.0)
        return Interval(
            start_ns=ns(start),
            end_ns=ns(end),
            stage=self._stage_at(start),
            lane=lane,
            ok=len(done),
            failed=len(lost) - not_sent,
            not_sent=not_sent,
            response_hdr=blob(round(slowest * 1e6), len(done)),
            service_hdr=blob(round(slowest * 1e6), len(done)),
            statuses={"200": len(done)} if done else {},
        )

    def _health(self, per_second: dict[int, int]) -> list[tuple[int, Fact]]:
        facts: list[tuple[int, Fact]] = []
        for second in range(int(self.load_from), int(self.ends)):
            asked = per_second[second]
            values: dict[str, Any] = {
                "asked": asked,
                "released": asked,
                "lag_hdr": blob(40, asked),
                "wait_hdr": blob(10, asked),
                "backlog": 0,
                "in_flight": 1,
                "connections": 9,
                "stall_ns": 2_000_000,
                "cpu_share": 0.1,
                "open_files": 40,
                "file_limit": 1024,
                **self.health_fields.get(second, {}),
            }
            facts.append((ns(second + 1), HealthSample(start_ns=ns(second), end_ns=ns(second + 1), **values)))
        return facts

    def _stage_at(self, at: float) -> Stage:
        return [stage for start, stage in self._stages() if start <= at][-1]

    def _life_changes(self) -> list[float]:
        changes = [
            t + WATCH_LAG
            for pod in self.story_pods.values()
            for t in (pod.created, pod.ready, pod.deleted, pod.exited, pod.gone)
            if t is not None
        ]
        return [t for t in changes if self.load_from < t < self.ends]

    def _stage_cuts(self) -> list[float]:
        return [at for at, _ in self._stages() if self.load_from < at < self.ends]


def _whole_seconds(start: float, end: float) -> list[float]:
    return [start, *(float(s) for s in range(int(start) + 1, int(end) + 1) if s < end), end]


def _slot(edges: list[float], at: float) -> int:
    return bisect_right(edges, at) - 1


def _tallies(
    lane: Lane, use: ConnectionUse, start: float, end: float, done: list[tuple[float, float, str]]
) -> list[PodTally]:
    by_pod: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for at, took, pod in done:
        if pod:
            by_pod[pod].append((at, took))
    return [
        PodTally(
            start_ns=ns(start),
            end_ns=ns(end),
            lane=lane,
            use=use,
            pod=pod,
            ok=len(hits),
            first_sent_ns=ns(min(at for at, _ in hits)),
            last_sent_ns=ns(max(at for at, _ in hits)),
            last_ended_ns=ns(max(at + took for at, took in hits)),
        )
        for pod, hits in by_pod.items()
    ]
