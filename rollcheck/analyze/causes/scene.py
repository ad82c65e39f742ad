"""What every cause looks at: the timeline, seen from the ends of its pods, in words of one clock.

Strategy. Attempts are on our clock. What the API server reports is whole seconds of another clock, which may be off by
seconds; but each deletion was also *seen*, milliseconds after it happened, so the deletions of a run tell how far the
clocks are apart. Reported brackets are shifted by that, and what we saw bounds them in any case.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, wraps
from itertools import accumulate
from typing import Any, TypeVar

from rollcheck.analyze.model import ContainerExit, PodLife, Timeline, began
from rollcheck.analyze.ports import DIRECT_ROUTES
from rollcheck.facts.attempts import Attempt, Stage
from rollcheck.facts.clock import MILLISECOND, SECOND, Instant, Window
from rollcheck.facts.cluster import ContainerSpec, PodSpec, WatchGap, WorkloadSeen
from rollcheck.facts.connections import Connection

SLACK_NS = 250 * MILLISECOND
"""How far an attempt may lie outside a bracket and still belong to it."""
WATCH_DELAY_NS = 500 * MILLISECOND
"""A watch delivers a change within this, on a busy API server too."""
LINGERED_NS = SECOND
"""A pod that certainly lived this long after SIGTERM did not exit at once."""
PROPAGATION_NS = {"nodeport": 3 * SECOND, "clusterip": 3 * SECOND, "ingress": 4 * SECOND}
"""For how long after a pod left the endpoints new connections may still be sent to it: kube-proxy syncs once a second
at most (more on a busy node), ingress controllers every second or two."""
PROPAGATION_FAR_NS = 30 * SECOND
"""Cloud load balancers deregister in seconds to tens of seconds."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one pod ended, on our clock.

    Attributes:
        deleted_ns: the earliest instant at which it can have been deleted.
        left_ns: when it was seen to leave the endpoints, None when it never did.
        sigterm: the span in which SIGTERM is inferred to have come.
        exit: the span in which its first container ended; up to its disappearance when that was not seen.
        code: exit code of its main container, None when not seen.
        prestop_s: how long preStop gave it, 0 when it has none or it failed, None when its length is not known.
        lingered: whether it certainly lived on for a second or more after SIGTERM.
        seen: whether its exit was seen at all.
    """

    pod: PodLife
    deleted_ns: Instant
    left_ns: Instant | None
    sigterm: Window
    exit: Window
    code: int | None
    prestop_s: float | None
    lingered: bool
    seen: bool

    @property
    def stops(self) -> Instant:
        """The earliest instant at which it can have stopped serving."""
        return min(self.sigterm.start, self.exit.start)

    @property
    def at_once(self) -> bool:
        """Whether nothing gave it time: no preStop that worked, and gone right after SIGTERM."""
        return self.prestop_s == 0 and not self.lingered


class Scene:
    """A timeline with what causes ask of it worked out once."""

    def __init__(self, timeline: Timeline, prestop_s: int | None = None) -> None:
        self.timeline = timeline
        self.measured_prestop_s = prestop_s
        self.header = timeline.document.header
        self.origin = timeline.replacement.start if timeline.replacement else timeline.window.start
        self.propagation_ns = PROPAGATION_NS.get(self.header.route, PROPAGATION_FAR_NS)
        self.direct = self.header.route in DIRECT_ROUTES
        self.answers: dict[Callable[[Scene], Any], Any] = {}

    @cached_property
    def offset(self) -> tuple[int, int]:
        """Least and most that the API server's clock is ahead of ours; (0, 0) while they may agree."""
        return clock_offset(self.timeline.pods, self.timeline.window)

    @cached_property
    def endings(self) -> tuple[Ending, ...]:
        """The pods that were deleted during the run, by their end."""
        ends = (self._ending(pod) for pod in self.timeline.pods)
        return tuple(sorted((e for e in ends if e is not None), key=lambda e: (e.exit.start, e.pod.name)))

    @cached_property
    def met(self) -> tuple[Ending, ...]:
        """Those of pods that requests may have come to: none else can have lost one."""
        return tuple(e for e in self.endings if e.pod.backend)

    @cached_property
    def newcomers(self) -> tuple[PodLife, ...]:
        """The pods of the new generation, those included that a later action of the run replaced again."""
        return tuple(p for p in self.timeline.pods if p.generation == "new" or p.arrived)

    @cached_property
    def new_backends(self) -> tuple[PodLife, ...]:
        """Those that requests may have come to."""
        return tuple(p for p in self.newcomers if p.backend)

    @cached_property
    def workload(self) -> WorkloadSeen | None:
        """The workload as it was when the replacement began: its strategy decides how many pods may be missing.

        Of several the first, whose URL is asked.
        """
        ours = [w for w in self.timeline.workloads if w.ref == self.header.workload] or self.timeline.workloads
        before = [w for w in ours if w.seen_ns <= self.origin]
        return before[-1] if before else next(iter(ours), None)

    @cached_property
    def latest_workloads(self) -> tuple[WorkloadSeen, ...]:
        """Each workload as it was last seen."""
        return tuple({w.ref: w for w in self.timeline.workloads}.values())

    @cached_property
    def connections(self) -> dict[int, Connection]:
        """Connection id → what was recorded when it closed."""
        return {c.id: c for c in self.timeline.document.of(Connection)}

    @cached_property
    def new_names(self) -> frozenset[str]:
        """Names of the pods of the new generation."""
        return frozenset(p.name for p in self.new_backends)

    def stage(self, stage: Stage) -> Window | None:
        """The span of a stage, None when the run did not come to it."""
        return self.timeline.stages.get(stage)

    @cached_property
    def before(self) -> Window:
        """From the start of the run to the replacement."""
        baseline = self.stage(Stage.BASELINE)
        start = baseline.start if baseline else self.timeline.window.start
        return Window(start=start, end=max(start, self.origin))

    def pod_of(self, attempt: Attempt) -> str:
        """The pod that the attempt was on, empty when that is not certain.

        Behind a proxy a connection says nothing: its next request may go to another pod.
        """
        if attempt.pod_from == "response" or self.direct:
            return attempt.pod
        return ""

    def at(self, instant: Instant) -> str:
        """An instant as a person reads it: seconds from the trigger, "+3.21 s"."""
        return f"{(instant - self.origin) / SECOND:+.2f} s"

    def span(self, window: Window) -> str:
        """A bracket, or the instant when it is narrow: "+3.21 s to +4.21 s"."""
        if window.length < 10 * MILLISECOND:
            return self.at(window.start)
        return f"{self.at(window.start)} to {self.at(window.end)}"

    def corrected(self, reported: Window, seen_ns: Instant) -> Window:
        """A reported bracket on our clock, never later than when we saw it."""
        low, high = self.offset
        end = min(reported.end - low, seen_ns)
        return Window(start=min(reported.start - high, end), end=end)

    def _ending(self, pod: PodLife) -> Ending | None:
        if pod.deleted is None or pod.deleted.seen_ns <= self.timeline.window.start:
            return None
        deleted = self._deleted(pod)
        exit_span = self._exit(pod, deleted)
        prestop_s = prestop_of(pod)
        sigterm = self._sigterm(pod, deleted, exit_span, prestop_s)
        main = main_exit(pod)
        return Ending(
            pod=pod,
            deleted_ns=deleted,
            left_ns=self._left(pod),
            sigterm=sigterm,
            exit=exit_span,
            code=main.code if main else None,
            prestop_s=prestop_s,
            lingered=bool(pod.exits) and exit_span.start - sigterm.end >= LINGERED_NS,
            seen=bool(pod.exits),
        )

    def _deleted(self, pod: PodLife) -> Instant:
        assert pod.deleted is not None
        seen = pod.deleted.seen_ns
        if pod.deleted.reported is None or pod.vanished:
            return pod.deleted.earliest
        corrected = self.corrected(pod.deleted.reported, seen).start
        return corrected if self._watch_was_blind(seen) else max(corrected, seen - WATCH_DELAY_NS)

    def _watch_was_blind(self, at: Instant) -> bool:
        """Whether what was seen then may have happened long before, inside a gap of the watch of pods."""
        return self._blind.hold(at)

    @cached_property
    def _blind(self) -> Spans:
        gaps = (g for g in self.timeline.document.of(WatchGap) if g.resource.lower().startswith("pod"))
        return Spans(Window(start=g.start_ns, end=g.end_ns + WATCH_DELAY_NS) for g in gaps)

    def _exit(self, pod: PodLife, deleted: Instant) -> Window:
        """When it ended: nodes have clocks of their own, so a bracket that contradicts what we saw is dropped."""
        spans = []
        for end in pod.exits:
            span = self.corrected(end.finished, end.seen_ns) if end.finished else Window(start=deleted, end=end.seen_ns)
            if span.end < deleted:
                span = Window(start=deleted, end=end.seen_ns)
            spans.append(Window(start=max(deleted, span.start), end=max(deleted, span.end)))
        if spans:
            return min(spans, key=lambda w: (w.start, w.end))
        return Window(start=deleted, end=max(deleted, pod.gone_ns or self.timeline.window.end))

    def _sigterm(self, pod: PodLife, deleted: Instant, ended: Window, prestop_s: float | None) -> Window:
        """The timeline's inference, unless another clock spoiled it: it lies between deletion + preStop and exit."""
        earliest = deleted + round((prestop_s or 0.0) * SECOND)
        earliest = min(earliest, ended.end)
        if pod.sigterm is not None:
            start, end = max(earliest, pod.sigterm.window.start), min(ended.end, pod.sigterm.window.end)
            if start <= end:
                return Window(start=start, end=end)
        return Window(start=earliest, end=max(earliest, min(ended.end, earliest + SECOND)))

    def _left(self, pod: PodLife) -> Instant | None:
        if not pod.in_endpoints or pod.in_endpoints[-1].end >= self.timeline.window.end:
            return None
        return pod.in_endpoints[-1].end


def once(question: Callable[[Scene], T]) -> Callable[[Scene], T]:
    """`question`, worked out once for each scene: several families of causes ask it, of thousands of attempts."""

    @wraps(question)
    def answer(scene: Scene) -> T:
        if question not in scene.answers:
            scene.answers[question] = question(scene)
        found: T = scene.answers[question]
        return found

    return answer


def clock_offset(pods: Iterable[PodLife], run: Window) -> tuple[int, int]:
    """How far the API server's clock is ahead of ours, from deletions that were both reported and seen."""
    low, high = -(10**18), 10**18
    for pod in pods:
        seen = pod.deleted
        if seen is None or seen.reported is None or pod.vanished or seen.seen_ns <= run.start:
            continue
        low = max(low, seen.reported.start - seen.seen_ns)
        high = min(high, seen.reported.end - seen.seen_ns + WATCH_DELAY_NS)
    if high == 10**18 or low <= 0 <= high:
        return 0, 0
    return (low, high) if low <= high else (high, low)


def prestop_of(pod: PodLife) -> float | None:
    """Seconds that preStop gave its main container; 0 when it has none or it failed, None when that is not known."""
    if pod.prestop_failed or pod.spec is None:
        return 0.0
    main = main_container(pod.spec)
    if main is None or main.prestop is None:
        return 0.0
    return main.prestop.sleep_s


def main_container(spec: PodSpec | None) -> ContainerSpec | None:
    """The container that serves: the first with a readiness probe or a port that is no sidecar, else the first."""
    own = [c for c in spec.containers if not c.sidecar] if spec else []
    return next((c for c in own if c.readiness or c.ports), own[0] if own else None)


def main_exit(pod: PodLife) -> ContainerExit | None:
    """The end of the container that serves, else of the first that ended."""
    main = main_container(pod.spec)
    own = [e for e in pod.exits if main is not None and e.container == main.name]
    return next(iter(own or pod.exits), None)


def overlaps(attempt: Attempt, window: Window) -> bool:
    """Whether the attempt was under way at some instant of the window."""
    return began(attempt) <= window.end and attempt.ended_ns >= window.start


class Spans:
    """Windows, their ends included, that are asked of thousands of instants."""

    def __init__(self, windows: Iterable[Window]) -> None:
        ordered = sorted(windows, key=lambda w: w.start)
        self._starts = [w.start for w in ordered]
        self._reach = list(accumulate((w.end for w in ordered), max))

    def meet(self, first: Instant, last: Instant) -> bool:
        """Whether one of them shares an instant with [first, last]."""
        begun = bisect_right(self._starts, last)
        return begun > 0 and self._reach[begun - 1] >= first

    def hold(self, at: Instant) -> bool:
        """Whether the instant lies in one of them."""
        return self.meet(at, at)
