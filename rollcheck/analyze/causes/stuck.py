"""A rollout that does not come to its end: 20."""

from __future__ import annotations

from collections.abc import Sequence

from rollcheck.analyze.causes.scene import Scene
from rollcheck.analyze.causes.words import MOST_PODS, lost, make, plural
from rollcheck.analyze.model import Cause, PodLife
from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import SECOND

CANNOT_START = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "Unschedulable",
    }
)
PATIENCE_NS = 30 * SECOND
"""A new pod that is not ready for this long, without a telling reason, is stuck too."""


def stuck_pods(scene: Scene) -> list[PodLife]:
    """New pods that were not ready when the run ended, and why not."""
    end = scene.timeline.window.end
    return [
        p
        for p in scene.newcomers
        if p.gone_ns is None
        and p.deleted is None
        and p.unready_reason
        and (p.unready_reason in CANNOT_START or end - p.created.seen_ns >= PATIENCE_NS)
    ]


def stuck_facts(scene: Scene) -> list[str]:
    """What shows that the rollout did not come to its end; empty when nothing does."""
    pods = stuck_pods(scene)
    facts = [
        f"pod {p.name}: not ready at the end, {p.unready_reason}, created {scene.at(p.created.seen_ns)}"
        for p in pods[:MOST_PODS]
    ]
    changed = [w for w in scene.latest_workloads if w.seen_ns >= scene.origin]
    for condition in (condition for workload in changed for condition in workload.conditions):
        deadline = condition.type == "Progressing" and condition.reason == "ProgressDeadlineExceeded"
        if deadline or (condition.type == "ReplicaFailure" and condition.status == "True"):
            facts.append(f"{condition.type}: {condition.reason}: {condition.message}".rstrip(": "))
    waiting = {p.uid for p in pods}
    for event in scene.timeline.events:
        ours = event.uid in waiting if event.kind == "Pod" else event.reason == "FailedCreate"
        telling = event.reason in ("FailedScheduling", "FailedCreate", "Failed", "BackOff")
        if facts and ours and telling and event.seen_ns >= scene.origin:
            facts.append(f"{event.reason}: {event.message}")
    return list(dict.fromkeys(facts))[: MOST_PODS + 4]


def mode_20_stuck_rollout(scene: Scene, attempts: Sequence[Attempt]) -> Cause | None:
    """New pods never became ready, so the replacement was not carried out."""
    facts = stuck_facts(scene)
    if not facts:
        return None
    pods = stuck_pods(scene)
    reasons = ", ".join(sorted({p.unready_reason for p in pods})) or "its deadline passed"
    what = f"the rollout is stuck: {plural(len(pods), 'new pod')} did not become ready ({reasons})"
    return make(
        scene,
        20,
        attempts,
        summary=f"{what}; {lost(attempts)} meanwhile" if attempts else what,
        evidence=facts,
        advice="Fix the image, the configuration or the resources of the new version, or `kubectl rollout undo`.",
    )
