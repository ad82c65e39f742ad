"""What fails without any replacement is not its fault: 5 (keep-alive race), 28 (saturation), and the background."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from rollcheck.analyze.causes.early import persistent_kinds
from rollcheck.analyze.causes.generator import is_local
from rollcheck.analyze.causes.late import explaining
from rollcheck.analyze.causes.scene import SLACK_NS, Scene, Spans, once
from rollcheck.analyze.causes.signs import Kind, cut, from_proxy, kind_of, label, on_reused, silent
from rollcheck.analyze.causes.words import lost, make, plural, probe_lines
from rollcheck.analyze.endpoints import ready_at
from rollcheck.analyze.model import Cause, began
from rollcheck.facts.attempts import Attempt, Lane, Outcome
from rollcheck.facts.clock import MILLISECOND, SECOND, Instant, Window
from rollcheck.facts.connections import ClosedBy
from rollcheck.facts.health import HealthSample

IDLE_LEAST_NS = 200 * MILLISECOND
"""Shorter gaps are no idleness that a server would time out."""
ALIKE = 0.1
"""Idle gaps that differ by less than this share of their median are one keep-alive time-out."""
RACE_SHARE = 0.5
"""More than this share of the requests on used connections is not lost to a race."""
KEPT_ALIVE = (Lane.REUSED, Lane.IDLE_AGED, Lane.LONG)
RATE_MARGIN = 1.5
SEEN_OFTEN = 3
SATURATED_SHARE = 0.02


def idle_gap(scene: Scene, attempt: Attempt) -> int | None:
    """How long its connection had been idle when the attempt was sent; None when that is not recorded."""
    connection = scene.connections.get(attempt.connection)
    if connection is None or not connection.idle_ns:
        return None
    return max(0, connection.idle_ns - max(0, connection.closed_ns - began(attempt)))


@once
def keepalive_timeout(scene: Scene) -> int | None:
    """The server's idle time-out, as idle connections show it that it closed away from any pod's end; else None."""
    idle = [
        c.idle_ns
        for c in scene.connections.values()
        if c.closed_by is ClosedBy.PEER_IDLE and c.idle_ns >= IDLE_LEAST_NS and not _at_some_end(scene, c.closed_ns)
    ]
    return round(median(idle)) if len(idle) >= 2 and _constant(idle) else None


def _at_some_end(scene: Scene, at: Instant) -> bool:
    return _ends(scene).hold(at)


@once
def _ends(scene: Scene) -> Spans:
    return Spans(Window(start=e.stops - SLACK_NS, end=e.exit.end + SECOND) for e in scene.met)


def _constant(gaps: Sequence[int]) -> bool:
    middle = median(gaps)
    return all(abs(g - middle) <= max(ALIKE * middle, 100 * MILLISECOND) for g in gaps)


def may_be_idle_race(attempt: Attempt) -> bool:
    """A later request on its connection, ended by the peer without a byte of an answer."""
    ended = attempt.outcome in (Outcome.RESET, Outcome.CLOSED_BEFORE_RESPONSE)
    return on_reused(attempt) and cut(attempt) and ended and attempt.bytes_received == 0


def idle_races(scene: Scene, attempts: Iterable[Attempt]) -> list[Attempt]:
    """The attempts that were written while the server closed their idle connection."""
    candidates = [a for a in attempts if may_be_idle_race(a)]
    if _nothing_is_kept(scene, candidates):
        return []
    gaps = {id(a): idle_gap(scene, a) for a in candidates}
    early = [a for a in candidates if scene.before.holds(began(a)) and _idle_enough(gaps[id(a)])]
    apart = [a for a in candidates if not explaining(scene, a)]
    known = keepalive_timeout(scene) or _from_gaps(early, gaps, 1) or _from_gaps(apart, gaps, 2)
    lonely = {id(a) for a in apart}
    found = []
    for attempt in candidates:
        gap = gaps[id(attempt)]
        if gap is not None and known is not None:
            alike = abs(gap - known) <= max(ALIKE * known, 100 * MILLISECOND)
        else:
            alike = gap is None and bool(early) and id(attempt) in lonely
        if alike or (scene.before.holds(began(attempt)) and _idle_enough(gap)):
            found.append(attempt)
    return found


def _nothing_is_kept(scene: Scene, candidates: Iterable[Attempt]) -> bool:
    """Whether most later requests on a connection failed before the replacement already.

    A race with a time-out is lost now and then, and then that server also closes connections while they are idle. One
    that breaks nearly every connection that is used again has no time-out that could be read off the gaps: with evenly
    paced requests they are all alike, whatever the server does.
    """
    early = sum(1 for a in candidates if scene.before.holds(began(a)))
    if not early or keepalive_timeout(scene) is not None:
        return False
    kept = [i for i in scene.timeline.intervals if i.lane in KEPT_ALIVE and scene.before.holds(i.start_ns)]
    opened = (c for c in scene.connections.values() if c.lane in KEPT_ALIVE and scene.before.holds(c.opened_ns))
    later = sum(i.ok for i in kept) - sum(1 for c in opened if c.requests)
    return early > RACE_SHARE * (early + max(0, later))


def _idle_enough(gap: int | None) -> bool:
    return gap is None or gap >= IDLE_LEAST_NS


def _from_gaps(attempts: Sequence[Attempt], gaps: dict[int, int | None], least: int) -> int | None:
    values = [g for a in attempts if (g := gaps[id(a)]) is not None and g >= IDLE_LEAST_NS]
    return round(median(values)) if len(values) >= least and _constant(values) else None


def mode_05_idle_race(scene: Scene, attempts: Sequence[Attempt]) -> Cause | None:
    """The server closes idle connections just when clients use them again; no pod's end is needed for that."""
    if not attempts:
        return None
    early = [a for a in attempts if scene.before.holds(began(a))]
    gaps = [g for a in attempts if (g := idle_gap(scene, a)) is not None]
    known = keepalive_timeout(scene)
    evidence = [f"{len(early)} of them before the replacement began"]
    if gaps:
        low, high = min(gaps) / SECOND, max(gaps) / SECOND
        evidence.append(f"their connections had been idle for {low:.2f} s to {high:.2f} s")
    if known is not None:
        evidence.append(f"the server closed other idle connections after {known / SECOND:.2f} s")
    at_ends = sum(1 for a in attempts if _at_some_end(scene, a.ended_ns))
    competing = [(6, f"{at_ends} lie at a pod's end, which closes kept connections too")] if at_ends else []
    return make(
        scene,
        5,
        attempts,
        summary=f"{lost(attempts)} to a race that needs no rollout: the server closes idle connections in use",
        evidence=[*evidence, *probe_lines(scene, attempts)],
        confidence="high" if early or known is not None else "medium",
        competing=competing,
        advice="Let the server keep idle connections longer than its clients and load balancers do.",
        of_replacement=False,
    )


def background(scene: Scene, attempts: Sequence[Attempt]) -> list[Attempt]:
    """Attempts of kinds that failed before the replacement: those, and later ones while their rate is the same.

    Bad answers of the app may vary a little more; signs of a dead pod must have been frequent before to be taken.
    """
    before = Counter(kind_of(a) for a in attempts if scene.before.holds(began(a)))
    after = Counter(kind_of(a) for a in attempts if began(a) >= scene.before.end)
    same = {k for k, n in before.items() if n >= SEEN_OFTEN and after[k] <= RATE_MARGIN * _expected(scene, n)}
    return [a for a in attempts if began(a) < scene.before.end or kind_of(a) in same]


def _expected(scene: Scene, count: int) -> float:
    """How many attempts would fail after the trigger at the rate of before."""
    return count * (scene.timeline.window.end - scene.origin) / max(1, scene.before.length)


def unexplained_background(scene: Scene, left: Sequence[Attempt], known: Iterable[Attempt]) -> list[Attempt]:
    """Of what no cause explains, the kinds that failed before, as long as they are no more than before."""
    before: Counter[Kind] = Counter(kind_of(a) for a in known)
    later = Counter(kind_of(a) for a in left)
    same = {k for k, n in later.items() if before[k] and n <= RATE_MARGIN * _expected(scene, before[k])}
    return [a for a in left if kind_of(a) in same]


def mode_00_background(scene: Scene, attempts: Sequence[Attempt]) -> Cause | None:
    """Not a row of the taxonomy: what was failing before anything was replaced."""
    if not attempts:
        return None
    early = [a for a in attempts if began(a) < scene.before.end]
    rate = len(early) / max(1e-9, scene.before.length / SECOND)
    kinds = ", ".join(sorted({label(a) for a in attempts}))
    return make(
        scene,
        0,
        attempts,
        summary=f"{lost(attempts)} in ways in which requests failed before the replacement as well: {kinds}",
        evidence=[
            f"{len(early)} before the replacement began ({rate:.2f} a second), {len(attempts) - len(early)} after it"
        ],
        advice="Make the target answer well while nothing is replaced, then judge the replacement again.",
        of_replacement=False,
    )


def saturated_before(scene: Scene) -> str:
    """Why the target was at its limit before the replacement, in a clause; empty when it was not."""
    spans = [i for i in scene.timeline.intervals if scene.before.holds(i.start_ns)]
    total = sum(i.ok + i.failed + i.not_sent for i in spans)
    unsent = [a for a in scene.timeline.not_sent if scene.before.holds(a.intended_ns) and not is_local(a)]
    slow = [a for a in scene.timeline.failures if scene.before.holds(began(a)) and silent(a)]
    least = max(SEEN_OFTEN, SATURATED_SHARE * total)
    if len(unsent) >= least:
        return f"{len(unsent)} of {total} arrivals before the replacement found no free connection"
    if len(slow) >= least:
        return f"{len(slow)} of {total} requests before the replacement were not answered in time"
    samples = [h for h in scene.timeline.document.of(HealthSample) if scene.before.holds(h.start_ns)]
    if samples and samples[-1].backlog > scene.header.qps:
        return f"{samples[-1].backlog} arrivals were waiting for a connection when the replacement began"
    return ""


def too_slow(scene: Scene, attempts: Iterable[Attempt]) -> list[Attempt]:
    """The attempts that were not answered in time, a proxy's 504 included."""
    return [a for a in attempts if silent(a) or (from_proxy(scene, a) and a.status == 504)]


def mode_28_saturated(scene: Scene, attempts: Sequence[Attempt], why: str) -> Cause | None:
    """The target cannot serve this rate, replaced or not."""
    if not why:
        return None
    in_windows = sum(1 for a in attempts if explaining(scene, a))
    return make(
        scene,
        28,
        attempts,
        summary=(
            f"{lost(attempts)} because the target cannot serve this rate, with or without a rollout"
            if attempts
            else "the target cannot serve this rate, with or without a rollout: arrivals were left unsent"
        ),
        evidence=[why, f"{plural(len(scene.timeline.not_sent), 'arrival')} of the whole run were never sent"],
        competing=((1, f"{in_windows} lie at a pod's end, which leaves requests unanswered too"),)
        if in_windows
        else (),
        advice="Ask again at a rate that the target serves easily (--qps), or give it more replicas or CPU.",
        of_replacement=False,
    )


def short_of_capacity(scene: Scene, left: Sequence[Attempt]) -> list[Attempt]:
    """Time-outs while fewer pods were ready than before, that ended when they were back; else none."""
    slow = [a for a in too_slow(scene, left) if began(a) >= scene.origin]
    steps = scene.timeline.ready_endpoints
    full = max((n for at, n in steps if at <= scene.origin), default=0)
    short = [a for a in slow if (n := ready_at(steps, began(a))) is not None and n < full]
    lasting = persistent_kinds(scene)
    if len(short) < SEEN_OFTEN or len(short) < 0.8 * len(slow) or any(kind_of(a) in lasting for a in slow):
        return []
    return slow


def mode_28_short_of_capacity(scene: Scene, attempts: Sequence[Attempt]) -> Cause | None:
    """The pods that were left while others were replaced could not carry the load."""
    if not attempts:
        return None
    counts = [n for _, n in scene.timeline.ready_endpoints]
    return make(
        scene,
        28,
        attempts,
        summary=f"{lost(attempts)} because too few pods carried the load while others were replaced",
        evidence=[
            f"as few as {min(counts, default=0)} of {max(counts, default=0)} pods were ready",
            "nothing was refused or reset by these attempts' pods, and none failed so before or in the tail",
        ],
        confidence="medium",
        competing=((8, "new pods may have been slow in their first seconds"),),
        advice="Keep all replicas serving during the rollout (maxSurge 1, maxUnavailable 0), or add CPU or replicas.",
    )
