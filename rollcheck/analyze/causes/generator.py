"""What our own machine, or the way from it, did: 40."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rollcheck.analyze.causes.scene import Scene, Spans
from rollcheck.analyze.causes.words import lost, make, plural
from rollcheck.analyze.model import Cause, began
from rollcheck.facts.attempts import Attempt, Outcome
from rollcheck.facts.clock import SECOND, Window
from rollcheck.facts.cluster import WatchGap
from rollcheck.facts.health import HealthSample

LOCAL_ERRORS = ("EADDRNOTAVAIL", "EADDRINUSE", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ENETDOWN")
"""Errors of our own kernel: no port, no file descriptor, no memory, no interface."""
STALL_SHARE = 0.5
"""A stall of the event loop this long, as a share of the time-out, can make a time-out by itself."""
CUT_OFF_NS = SECOND
BROKEN_PATH = (Outcome.TIMEOUT, Outcome.UNREACHABLE, Outcome.NOT_RESOLVED)


def is_local(attempt: Attempt) -> bool:
    """Whether our own kernel refused it."""
    return any(name in attempt.detail for name in LOCAL_ERRORS)


def by_generator(scene: Scene, attempts: Iterable[Attempt]) -> list[Attempt]:
    """The attempts that no server could have saved: local errors, names not resolved, stalls, a dead network path."""
    stalls, blackouts = Spans(_stalls(scene)), Spans(_blackouts(scene))
    return [
        a
        for a in attempts
        if is_local(a)
        or a.outcome is Outcome.NOT_RESOLVED
        or (a.outcome is Outcome.TIMEOUT and stalls.meet(began(a), a.ended_ns))
        or (a.outcome in BROKEN_PATH and blackouts.hold(began(a)))
    ]


def _stalls(scene: Scene) -> list[Window]:
    limit = scene.header.timeout_s * STALL_SHARE * SECOND
    samples = scene.timeline.document.of(HealthSample)
    return [Window(start=s.start_ns, end=s.end_ns) for s in samples if s.stall_ns >= limit]


def _blackouts(scene: Scene) -> list[Window]:
    """Spans in which the watches of pods and of endpoints were both gone, and no pod ended: the API is another target
    behind the same path.
    """
    gaps = [g for g in scene.timeline.document.of(WatchGap) if g.end_ns - g.start_ns >= CUT_OFF_NS]
    found = []
    for gap in gaps:
        others = [g for g in gaps if g.resource != gap.resource and g.start_ns < gap.end_ns and gap.start_ns < g.end_ns]
        window = Window(start=gap.start_ns - CUT_OFF_NS, end=gap.end_ns)
        ended = any(e.exit.start <= window.end and e.exit.end >= window.start for e in scene.endings)
        if others and not ended:
            found.append(window)
    return found


def mode_40_generator(scene: Scene, attempts: Sequence[Attempt]) -> Cause | None:
    """Attempts lost on our side of the wire."""
    unsent = [a for a in scene.timeline.not_sent if is_local(a)]
    if not attempts and not unsent:
        return None
    local = Counter(name for a in (*attempts, *unsent) for name in LOCAL_ERRORS if name in a.detail)
    unresolved = sum(1 for a in attempts if a.outcome is Outcome.NOT_RESOLVED)
    rest = len(attempts) - unresolved - sum(1 for a in attempts if is_local(a))
    evidence = [f"{n} ended with {name} on our own machine" for name, n in sorted(local.items())]
    if unresolved:
        evidence.append(f"{plural(unresolved, 'name look-up')} failed: no request left for the cluster")
    if rest:
        evidence.append(f"{rest} while our event loop stood still, or while the API could not be reached either")
    if unsent:
        evidence.append(f"{plural(len(unsent), 'arrival')} never sent for the same reason")
    told = lost(attempts) if attempts else f"{plural(len(unsent), 'arrival')} could not be sent"
    return make(
        scene,
        40,
        attempts,
        summary=f"{told} on our side: the load generator or its path to the cluster failed, not the workload",
        evidence=evidence,
        confidence="high" if not rest else "medium",
        advice="Lower --qps or --connections, raise the limits of this machine, or run closer to the cluster.",
        of_replacement=False,
    )
