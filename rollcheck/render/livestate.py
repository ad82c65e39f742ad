"""What is known of a run while it goes on, out of the frames that its process sends to the one that shows it.

A frame is a JSON object with a `kind`; `FRAMES` in `cli.livefeed` makes them. Times in them are nanoseconds of the
machine's monotonic clock, which both processes share. Everything that others named is cleaned as it comes in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rollcheck.facts.attempts import Stage
from rollcheck.facts.clock import SECOND, Instant
from rollcheck.render.text import clean, outcome_words

LOG_KEPT = 10_000
SECONDS_KEPT = 300
RATE_OVER_NS = 3 * SECOND
"""The rate that is held is told over so long: long enough to be steady, short enough to show a stop."""
SUSPECT_WITHIN_NS = 10 * SECOND
"""A failure that names no pod is suspected to be of the pod whose deletion was seen last, if no longer ago."""
STEPS = ("ready", "deleted", "out of endpoints", "exited", "gone")
"""The way of a pod from Ready to gone."""


@dataclass
class PodShown:
    """One pod, as the last frame that told of it had it.

    Attributes:
        old: whether it was there when the replacement began.
        grace_s: of its deletion, None while it is not being deleted.
        exit_code: of its container that ended, None while none has.
        deleted_ns, gone_ns: when a frame told so first.
    """

    name: str
    ip: str = ""
    old: bool = True
    ready: bool = False
    in_endpoints: bool = False
    state: str = ""
    reason: str = ""
    exit_code: int | None = None
    grace_s: int | None = None
    deleted_ns: Instant | None = None
    gone_ns: Instant | None = None

    @property
    def steps(self) -> int:
        """How many of `STEPS` it has behind it; the last one reached counts."""
        if self.gone_ns is not None:
            return 5
        if self.deleted_ns is None:
            return 1 if self.ready else 0
        if self.exit_code is not None:
            return 4
        return 2 if self.in_endpoints else 3


@dataclass
class Failure:
    """One of the last failed requests, with the pod that is suspected, empty for none."""

    at_ns: Instant
    words: str
    lane: str
    detail: str
    pod: str


@dataclass
class LiveState:
    """Everything that the view shows; `apply` takes frames in the order in which they were sent."""

    subject: str = ""
    asked_qps: float = 0.0
    started_ns: Instant = 0
    stages: list[tuple[str, Instant, float | None]] = field(default_factory=list)
    doing: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    by_outcome: dict[str, int] = field(default_factory=dict)
    p50_us: int = 0
    p99_us: int = 0
    failures: list[Failure] = field(default_factory=list)
    pods: dict[str, PodShown] = field(default_factory=dict)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_KEPT))
    lost_by_second: deque[int] = field(default_factory=lambda: deque(maxlen=SECONDS_KEPT))
    ended: bool = False
    _history: deque[tuple[Instant, int]] = field(default_factory=deque)
    _lost_before: int = 0
    _second: int = -1

    def apply(self, frame: Mapping[str, Any]) -> None:
        """Take a frame; of a kind that is not known nothing is taken."""
        take = {
            "begin": self._begin,
            "say": self._say,
            "stage": self._stage,
            "tick": self._tick,
            "pods": self._pods,
            "end": self._end,
        }.get(frame.get("kind", ""))
        if take is not None:
            take(frame)

    def rate(self) -> float | None:
        """Requests released per second over the last seconds, None while that is not known."""
        if len(self._history) < 2:
            return None
        (start, before), (end, now) = self._history[0], self._history[-1]
        return (now - before) * SECOND / (end - start) if end > start else None

    def ranked_failures(self) -> list[tuple[str, int]]:
        """How requests failed, the commonest first."""
        return sorted(
            ((outcome_words(kind), number) for kind, number in self.by_outcome.items()), key=lambda i: (-i[1], i[0])
        )

    def ranked_pods(self) -> list[PodShown]:
        """The pods, those first to whom something happens: on their way out, on their way in, then the others."""
        return sorted(self.pods.values(), key=_interest)

    def _begin(self, frame: Mapping[str, Any]) -> None:
        self.subject = clean(frame["subject"])
        self.asked_qps = frame["qps"]
        self.started_ns = frame["at"]

    def _say(self, frame: Mapping[str, Any]) -> None:
        self.log.append(clean(frame["text"]))

    def _stage(self, frame: Mapping[str, Any]) -> None:
        self.stages.append((clean(frame["name"]), frame["at"], frame["seconds"]))

    def _end(self, _: Mapping[str, Any]) -> None:
        self.ended = True

    def _tick(self, frame: Mapping[str, Any]) -> None:
        at, counts = frame["at"], frame["counts"]
        self.counts = counts
        self.by_outcome = {kind: number for kind, number in frame["by_outcome"].items() if number}
        self.p50_us, self.p99_us = frame["p50_us"], frame["p99_us"]
        self.doing = clean(frame["doing"])
        self._history.append((at, counts["scheduled"]))
        while len(self._history) > 2 and at - self._history[0][0] > RATE_OVER_NS:
            self._history.popleft()
        self._count_seconds(at, counts["failed"] + counts["not_sent"])
        self.failures = [self._failure(raw) for raw in frame["failures"]]

    def _count_seconds(self, at: Instant, lost: int) -> None:
        second = (at - self.started_ns) // SECOND
        missed = second - self._second
        if missed > 0:
            self.lost_by_second.extend([0] * min(missed, SECONDS_KEPT))
            self._second = second
        self.lost_by_second[-1] += lost - self._lost_before
        self._lost_before = lost

    def _failure(self, raw: Mapping[str, Any]) -> Failure:
        return Failure(
            at_ns=raw["at"],
            words=outcome_words(raw["kind"]),
            lane=clean(raw["lane"]),
            detail=clean(raw["detail"]),
            pod=self._suspect(raw),
        )

    def _suspect(self, raw: Mapping[str, Any]) -> str:
        """The pod that an answer or a connection named, else the one at its address, else the last one deleted."""
        if raw["pod"]:
            return clean(raw["pod"])
        address = raw["peer"].rpartition(":")[0].strip("[]")
        for pod in self.pods.values():
            if address and pod.ip == address:
                return pod.name
        deleted = [
            pod
            for pod in self.pods.values()
            if pod.deleted_ns is not None and 0 <= raw["at"] - pod.deleted_ns <= SUSPECT_WITHIN_NS
        ]
        return f"{max(deleted, key=lambda pod: pod.deleted_ns or 0).name}?" if deleted else ""

    def _pods(self, frame: Mapping[str, Any]) -> None:
        at = frame["at"]
        replacing = any(name == Stage.REPLACEMENT for name, _, _ in self.stages)
        for raw in frame["changed"]:
            pod = self.pods.setdefault(raw["uid"], PodShown(name=clean(raw["name"]), old=not replacing))
            _update(pod, raw, at)
        for uid in frame["gone"]:
            if uid in self.pods:
                self.pods[uid].gone_ns = at
                self.pods[uid].ready = self.pods[uid].in_endpoints = False
                self.pods[uid].deleted_ns = self.pods[uid].deleted_ns or at


def _update(pod: PodShown, raw: Mapping[str, Any], at: Instant) -> None:
    pod.ip = raw["ip"]
    pod.ready = raw["ready"]
    pod.in_endpoints = raw["in_endpoints"]
    pod.state, pod.reason = raw["state"], clean(raw["reason"])
    pod.exit_code = raw["exit_code"]
    if raw["grace_s"]:
        pod.grace_s = raw["grace_s"]  # the kubelet sets it to 0 when it is done
    if raw["deleting"] and pod.deleted_ns is None:
        pod.deleted_ns = at


def _interest(pod: PodShown) -> tuple[int, int, str]:
    if pod.gone_ns is not None:
        return 4, -pod.gone_ns, pod.name
    if pod.deleted_ns is not None:
        return 0, pod.deleted_ns, pod.name
    if not pod.ready:
        return 1, 0, pod.name
    return (2 if pod.old else 3), 0, pod.name


def tallied(pods: Iterable[PodShown]) -> dict[str, int]:
    """How many pods are where, in a word each: what is said of those that have no row."""
    found: dict[str, int] = {}
    for pod in pods:
        age = "old" if pod.old else "new"
        what = (
            "gone"
            if pod.gone_ns is not None
            else f"{age} terminating"
            if pod.deleted_ns is not None
            else f"{age} ready"
            if pod.ready
            else f"{age} not ready"
        )
        found[what] = found.get(what, 0) + 1
    return found
