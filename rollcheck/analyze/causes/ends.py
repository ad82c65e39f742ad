"""Pods that ended in ways of their own: 31 (an autoscaler took them away), 39 (deleted by force)."""

from __future__ import annotations

from collections.abc import Sequence

from rollcheck.analyze.causes.late import Loss
from rollcheck.analyze.causes.patches import prestop_patch
from rollcheck.analyze.causes.scene import Scene, once
from rollcheck.analyze.causes.words import lost, make, plural, pod_lines
from rollcheck.analyze.model import Cause
from rollcheck.facts.clock import SECOND
from rollcheck.facts.cluster import KubeEvent

AUTOSCALER = "HorizontalPodAutoscaler"
ACTS_WITHIN_NS = 10 * SECOND
"""From an autoscaler's event to the deletion of the pods that it has taken away."""
PRESTOP_S = 10


@once
def rescales(scene: Scene) -> tuple[KubeEvent, ...]:
    """What autoscalers of the workload said of their scaling during the run, in order."""
    return tuple(
        event
        for event in scene.timeline.events
        if event.kind == AUTOSCALER and event.reason == "SuccessfulRescale" and event.change != "listed"
    )


def forced(scene: Scene) -> frozenset[str]:
    """Uids of the pods that were deleted with a grace of 0: their containers were killed at once."""
    return frozenset(e.pod.uid for e in scene.endings if e.pod.grace_s == 0)


def autoscaled(scene: Scene) -> frozenset[str]:
    """Uids of the pods that went right after an autoscaler's word, with a template that others still have."""
    if not rescales(scene):
        return frozenset()
    kept = {p.template_hash for p in scene.timeline.pods if p.deleted is None}
    found = set()
    for ending in scene.endings:
        if ending.pod.template_hash in kept and any(
            event.seen_ns - ACTS_WITHIN_NS <= ending.deleted_ns <= event.seen_ns + ACTS_WITHIN_NS
            for event in rescales(scene)
        ):
            found.add(ending.pod.uid)
    return frozenset(found)


def mode_31_autoscaled(scene: Scene, losses: Sequence[Loss]) -> Cause | None:
    """An autoscaler scaled down while we looked: no rollout, the same end of pods."""
    if not losses:
        return None
    attempts = [x.attempt for x in losses]
    endings = list({x.ending.pod.uid: x.ending for x in losses}.values())
    at_once = any(e.at_once for e in endings)
    spec = next((e.pod.spec for e in endings if e.pod.spec is not None), None)
    return make(
        scene,
        31,
        attempts,
        summary=f"{lost(attempts)} while an autoscaler took {plural(len(endings), 'pod')} away",
        evidence=[
            *(f"the autoscaler {e.name} {scene.at(e.seen_ns)}: {e.message}" for e in rescales(scene)),
            *pod_lines(scene, endings),
            "pods of the same template stayed: this was no rollout",
        ],
        competing=[(1, "these pods exited at once on SIGTERM, as they would in a rollout")] if at_once else [],
        fix=prestop_patch(scene, spec, scene.measured_prestop_s or PRESTOP_S) if at_once else "",
        advice=(
            "A scale-down ends pods as a rollout does: let them serve on after their deletion. Give the autoscaler a"
            " stabilization window, so that it does so less often."
        ),
    )


def mode_39_forced(scene: Scene, losses: Sequence[Loss]) -> Cause | None:
    """A grace of 0 kills containers at once, whatever they were doing."""
    if not losses:
        return None
    attempts = [x.attempt for x in losses]
    endings = list({x.ending.pod.uid: x.ending for x in losses}.values())
    return make(
        scene,
        39,
        attempts,
        summary=f"{lost(attempts)} on {plural(len(endings), 'pod')} deleted with a grace of 0",
        evidence=[*pod_lines(scene, endings), "neither preStop nor SIGTERM was given any time"],
        advice="Do not delete pods by force: leave --grace-period and --force out.",
    )
