"""Containers that ended without their pod being deleted: 18 (liveness), 27 (memory)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rollcheck.analyze.causes.patches import pod_patch
from rollcheck.analyze.causes.scene import SLACK_NS, Scene, main_container, overlaps
from rollcheck.analyze.causes.signs import lost_contact, no_entry
from rollcheck.analyze.causes.words import lost, make
from rollcheck.analyze.model import Cause, PodLife
from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import SECOND, Instant, Window
from rollcheck.facts.cluster import ContainerState, PodSeen

RECOVERY_NS = 5 * SECOND
EVENT_BEFORE_NS = 60 * SECOND
"""A Killing event for a failed probe may precede the restart by the whole grace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """One end of a container whose pod lived on.

    Attributes:
        ended: the span in which it ended; hurts: until when clients may still have been sent to it.
        by: "oom", "liveness" or "itself".
    """

    pod: PodLife
    container: str
    ended: Window
    hurts: Instant
    code: int | None
    by: str


def crashes(scene: Scene) -> list[Crash]:
    """Every such end, from what the watch showed of container states and restart counts."""
    pods = {p.uid: p for p in scene.timeline.pods}
    found: dict[tuple[str, str, str], Crash] = {}
    last: dict[tuple[str, str], tuple[int, Instant]] = {}
    for fact in sorted(scene.timeline.document.of(PodSeen), key=lambda f: f.seen_ns):
        if fact.deletion_at or fact.uid not in pods:
            continue
        for state in fact.containers:
            known, seen_ns = last.get((fact.uid, state.name), (state.restarts, fact.seen_ns))
            last[fact.uid, state.name] = (state.restarts, fact.seen_ns)
            if state.restarts > known or state.state == "terminated":
                text = state.finished_at or state.last_finished_at
                key = (fact.uid, state.name, text or str(state.restarts))
                found.setdefault(key, _crash(scene, pods[fact.uid], state, text, seen_ns, fact.seen_ns))
    return list(found.values())


def _crash(scene: Scene, pod: PodLife, state: ContainerState, text: str, before_ns: Instant, seen_ns: Instant) -> Crash:
    reported = scene.header.anchor.bracket(text)
    ended = scene.corrected(reported, seen_ns) if reported else Window(start=before_ns, end=seen_ns)
    left = [w.end for w in pod.in_endpoints if w.start <= ended.end and w.end >= ended.start]
    until = min(left, default=seen_ns + RECOVERY_NS)
    current = state.state == "terminated"
    return Crash(
        pod=pod,
        container=state.name,
        ended=ended,
        hurts=max(until, ended.end) + scene.propagation_ns,
        code=state.exit_code if current else state.last_exit_code,
        by=_by_whom(scene, pod, state.reason if current else state.last_reason, ended),
    )


def _by_whom(scene: Scene, pod: PodLife, reason: str, ended: Window) -> str:
    if reason == "OOMKilled":
        return "oom"
    for event in scene.timeline.events:
        near = ended.start - EVENT_BEFORE_NS <= event.seen_ns <= ended.end + RECOVERY_NS
        if event.uid == pod.uid and event.reason == "Killing" and "liveness probe" in event.message and near:
            return "liveness"
    return "itself"


def lost_to(scene: Scene, crash: Crash, attempts: Iterable[Attempt]) -> list[Attempt]:
    """The attempts that this end explains."""
    window = Window(start=crash.ended.start - SLACK_NS, end=crash.hurts)
    found = []
    for attempt in attempts:
        if not overlaps(attempt, window):
            continue
        name = scene.pod_of(attempt)
        other = bool(name) and name != crash.pod.name and not no_entry(attempt)
        if not other and lost_contact(scene, attempt):
            found.append(attempt)
    return found


def mode_18_liveness_kill(scene: Scene, attempts: Sequence[Attempt], ends: Sequence[Crash]) -> Cause | None:
    """The kubelet killed a container whose liveness probe failed."""
    if not attempts:
        return None
    main = main_container(ends[0].pod.spec)
    probe = main.liveness if main else None
    fix = ""
    if main is not None and probe is not None:
        looser = {"failureThreshold": max(6, 2 * probe.failure_threshold), "timeoutSeconds": max(5, probe.timeout_s)}
        fix = pod_patch(main.name, livenessProbe=looser)
    return make(
        scene,
        18,
        attempts,
        summary=f"{lost(attempts)} because a liveness probe failed and the kubelet restarted the container",
        evidence=[
            *_crash_lines(scene, ends),
            "the pod was not deleted: the same UID went on",
            *([f"the liveness probe is {probe.kind} {probe.detail}".rstrip()] if probe else []),
        ],
        fix=fix,
        advice="Loosen the liveness probe, let it ask for less than readiness does, and use a startupProbe.",
    )


def mode_27_out_of_memory(scene: Scene, attempts: Sequence[Attempt], ends: Sequence[Crash]) -> Cause | None:
    """A container was killed for its memory."""
    if not attempts:
        return None
    return make(
        scene,
        27,
        attempts,
        summary=f"{lost(attempts)} because a container ran out of memory and was killed",
        evidence=[*_crash_lines(scene, ends), "reason OOMKilled; the pod was not deleted"],
        advice="Raise the container's memory limit, or find what needs so much at this load.",
    )


def _crash_lines(scene: Scene, ends: Sequence[Crash]) -> list[str]:
    return [
        f"pod {e.pod.name}: container {e.container} ended"
        f" {'' if e.code is None else f'with {e.code} '}{scene.span(e.ended)} and was restarted"
        for e in ends[:5]
    ]
