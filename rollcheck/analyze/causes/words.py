"""How causes are put together and worded: names of modes, lines of evidence, the value that comes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rollcheck.analyze.causes.scene import Ending, Scene
from rollcheck.analyze.causes.signs import breakdown
from rollcheck.analyze.model import Cause, began
from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import Window

NAMES = {
    0: "failing before the replacement too",
    1: "immediate exit on SIGTERM",
    2: "SIGTERM ignored",
    3: "requests longer than the grace",
    4: "requests under way dropped on SIGTERM",
    5: "keep-alive idle race",
    6: "kept-alive connections pinned to old pods",
    7: "no readiness probe",
    8: "ready too early",
    9: "preStop takes the whole grace",
    10: "preStop fails",
    11: "too few replicas for maxUnavailable",
    12: "rounding forces one pod unavailable",
    13: "Recreate strategy",
    14: "all pods taken away at once",
    15: "eviction blocked by a disruption budget",
    16: "two disruption budgets for one pod",
    17: "eviction throttled by the API server",
    18: "killed by its liveness probe",
    19: "new version broken",
    20: "rollout stuck",
    27: "out of memory",
    28: "target saturated",
    31: "scaled down by an autoscaler",
    34: "new connections sent to a pod long gone",
    35: "accepted but never read",
    39: "pods deleted by force",
    40: "the load generator or its path",
}
MOST_PODS = 5


def make(
    scene: Scene,
    mode: int,
    attempts: Sequence[Attempt],
    *,
    summary: str,
    evidence: Iterable[str],
    confidence: str = "high",
    competing: Iterable[tuple[int, str]] = (),
    fix: str = "",
    advice: str = "",
    of_replacement: bool = True,
) -> Cause:
    """The cause, its attempts counted and timed in the first line of evidence."""
    ordered = sorted(attempts, key=lambda a: (began(a), a.lane, a.seq))
    lines = [*([_counted(scene, ordered)] if ordered else []), *evidence]
    return Cause(
        mode=mode,
        name=NAMES[mode],
        attempts=len(ordered),
        confidence=confidence,
        summary=summary,
        evidence=tuple(lines),
        competing=tuple(dict(competing).items()),
        fix=fix,
        advice=advice,
        seqs=tuple((a.lane.value, a.seq) for a in ordered),
        of_replacement=of_replacement,
    )


def _counted(scene: Scene, attempts: Sequence[Attempt]) -> str:
    """Exact counts and the span in which the attempts began."""
    span = Window(start=began(attempts[0]), end=began(attempts[-1]))
    begun = f"begun at {scene.at(span.start)}" if len(attempts) == 1 else f"begun {scene.span(span)}"
    return f"{plural(len(attempts), 'attempt')}: {breakdown(attempts)}; {begun}"


def plural(count: int, noun: str) -> str:
    """A count and its noun, in the plural where it is one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def lost(attempts: Sequence[Attempt]) -> str:
    """How many requests were lost, as the beginning of a sentence."""
    return "1 request was lost" if len(attempts) == 1 else f"{len(attempts)} requests were lost"


def pod_line(scene: Scene, ending: Ending) -> str:
    """One pod's end in one sentence, each time a bracket, the inferred one labelled."""
    pod = ending.pod
    assert pod.deleted is not None
    parts = [f"pod {pod.name}: deleted {scene.at(pod.deleted.seen_ns)}"]
    parts.append("never left the endpoints" if ending.left_ns is None else _left(scene, ending))
    if pod.sigterm is not None:
        parts.append(f"SIGTERM inferred {scene.span(ending.sigterm)} ({pod.sigterm.method})")
    if not ending.seen:
        parts.append("its exit was not seen")
    else:
        parts.append(f"{_ended(ending)} {scene.span(ending.exit)}")
    if pod.killed:
        parts.append(f"killed at the end of its grace of {pod.grace_s} s")
    return ", ".join(parts)


def _left(scene: Scene, ending: Ending) -> str:
    assert ending.left_ns is not None
    return f"left the endpoints {scene.at(ending.left_ns)}"


def _ended(ending: Ending) -> str:
    return "exited" if ending.code is None else f"exited with {ending.code}"


def pod_lines(scene: Scene, endings: Iterable[Ending]) -> list[str]:
    """A line for each pod, the many beyond a few in one."""
    distinct = list({e.pod.uid: e for e in endings}.values())
    lines = [pod_line(scene, e) for e in distinct[:MOST_PODS]]
    if len(distinct) > MOST_PODS:
        lines.append(f"and {len(distinct) - MOST_PODS} more pods alike")
    return lines


def probe_lines(scene: Scene, attempts: Iterable[Attempt]) -> list[str]:
    """What the fresh probes after these attempts said, where there were any."""
    seqs = {a.seq for a in attempts}
    probes = [p for p in scene.timeline.probes if p.seq in seqs]
    good = sum(1 for p in probes if p.outcome.value == "ok")
    if not probes:
        return []
    if good == len(probes):
        return [f"{plural(good, 'fresh probe')} right after: all answered, so the Service was alive"]
    return [f"{plural(len(probes), 'fresh probe')} right after: {good} answered, {len(probes) - good} failed too"]
