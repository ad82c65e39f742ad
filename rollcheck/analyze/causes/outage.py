"""No ready endpoint at all: the strategy allows it (11, 12, 13), or all pods were ended at once (14)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rollcheck.analyze.causes.early import has_no_readiness, persistent_kinds
from rollcheck.analyze.causes.patches import spread_patch, strategy_patch, yaml
from rollcheck.analyze.causes.scene import SLACK_NS, Scene, Spans
from rollcheck.analyze.causes.signs import kind_of, lost_contact, no_backend, stale_paths
from rollcheck.analyze.causes.words import NAMES, lost, make, plural, pod_lines
from rollcheck.analyze.model import Cause, Timeline, began
from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import SECOND, Window
from rollcheck.facts.cluster import WorkloadSeen

SYNC_NS = SECOND // 2
ROLLOUTS = ("restart", "set-image", "undo")
"""Actions that give pods a new template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenceposts:
    """How many pods a rolling update may have too many and too few, as the Deployment controller resolves it.

    Attributes:
        forced: both came to 0, so one unavailable pod was forced.
    """

    surge: int
    unavailable: int
    forced: bool


def fenceposts(replicas: int, max_surge: str, max_unavailable: str) -> Fenceposts:
    """Surge is rounded up, unavailable down; where both come to 0, unavailable becomes 1."""
    surge = _resolve(max_surge or "25%", replicas, up=True)
    unavailable = _resolve(max_unavailable or "25%", replicas, up=False)
    if surge == 0 and unavailable == 0:
        return Fenceposts(surge=0, unavailable=1, forced=True)
    return Fenceposts(surge=surge, unavailable=unavailable, forced=False)


def _resolve(value: str, replicas: int, *, up: bool) -> int:
    text = value.strip()
    if not text.endswith("%"):
        return int(text) if text.isdecimal() else 0
    percent = int(text[:-1]) if text[:-1].isdecimal() else 0
    exact = replicas * percent / 100
    return math.ceil(exact) if up else math.floor(exact)


def empty_spans(scene: Scene) -> list[Window]:
    """The spans after the trigger in which no pod was ready in the Service's slices, having been before."""
    steps = scene.timeline.ready_endpoints
    spans: list[Window] = []
    if not steps:
        return spans
    for (at, count), following in zip(steps, [*steps[1:], (scene.timeline.window.end, 0)], strict=True):
        if count == 0 and following[0] > scene.origin and at > scene.timeline.window.start:
            spans.append(Window(start=at, end=following[0]))
    return spans


def allowed_outage(workload: WorkloadSeen | None) -> int | None:
    """The mode by which this strategy may leave no pod at all; None when it never does."""
    if workload is None:
        return None
    if workload.strategy == "Recreate":
        return 13
    posts = fenceposts(workload.replicas, workload.max_surge, workload.max_unavailable)
    if workload.replicas > posts.unavailable:
        return None
    return 12 if posts.forced else 11


def rolled(scene: Scene) -> bool:
    """Whether pods were replaced by a rollout, whose strategy then counts, rather than ended one by one or all at once.

    Of what somebody else did, the templates tell.
    """
    trigger = scene.timeline.trigger
    if trigger is not None and trigger.kind not in ("command", "none"):
        return trigger.kind in ROLLOUTS
    before = {p.template_hash for p in scene.timeline.pods if p.generation == "old" and not p.arrived}
    return trigger is None or not scene.newcomers or any(p.template_hash not in before for p in scene.newcomers)


def outage_mode(scene: Scene) -> int | None:
    """The mode by which there may have been no pod at all."""
    if rolled(scene):
        return allowed_outage(scene.workload)
    return 14 if scene.met else None


def no_advice(timeline: Timeline) -> str:
    """Why no propagation is measured and no preStop recommended, in a sentence; empty when both have a meaning.

    Where the strategy took every pod away (11, 12, 13), what new connections met says how long there was nobody, not
    how long endpoints took; and a pod that waits before it stops has no other pod to send its clients to.
    """
    scene = Scene(timeline)
    mode = outage_mode(scene)
    if mode is None or not scene.met or (timeline.ready_endpoints and not empty_spans(scene)):
        return ""
    return (
        f"no preStop is recommended: no other pod was ready while old ones ended ({NAMES[mode]}), so none could have"
        " taken their clients over, however long they had waited"
    )


def in_outage(scene: Scene, attempts: Iterable[Attempt]) -> tuple[int, list[Attempt], list[Window]] | None:
    """The mode, the attempts that met no ready endpoint, and the spans; None when the strategy does not explain them.

    Proxies learn of the new endpoint late, so the span goes on for as long as that may take, but only a moment where
    the new pods have no readiness probe: what is refused then may be the pods themselves.
    """
    mode, spans = outage_mode(scene), empty_spans(scene)
    if mode is None or not spans:
        return None
    lag = SYNC_NS if any(has_no_readiness(p) for p in scene.newcomers if p.backend) else scene.propagation_ns
    wide = Spans(Window(start=w.start - SLACK_NS, end=w.end + lag) for w in spans)
    pool = list(attempts)
    lasting = persistent_kinds(scene)
    met = [
        a
        for a in pool
        if (lost_contact(scene, a) or no_backend(scene, a))
        and kind_of(a) not in lasting
        and wide.meet(began(a), a.ended_ns)
    ]
    taken = {id(a) for a in met}
    met += stale_paths(met, [a for a in pool if id(a) not in taken])
    return mode, met, spans


def mode_11_too_few_replicas(scene: Scene, attempts: Sequence[Attempt], spans: Sequence[Window]) -> Cause | None:
    """As many pods may be missing as there are."""
    workload = scene.workload
    if not attempts or workload is None:
        return None
    posts = fenceposts(workload.replicas, workload.max_surge, workload.max_unavailable)
    return _outage(
        scene,
        11,
        attempts,
        spans,
        why="the rollout may take away every pod before a new one is ready",
        rule=(
            f"replicas {workload.replicas}, maxSurge {workload.max_surge} → {posts.surge}, maxUnavailable"
            f" {workload.max_unavailable} → {posts.unavailable}: all of them may be unavailable at once"
        ),
        fix=_no_gap_patch(workload),
        advice=(
            "A StatefulSet cannot start the new pod first: run two replicas or more."
            if workload.kind == "StatefulSet"
            else "Start the new pod before the old one goes (maxSurge 1, maxUnavailable 0), and run two replicas."
        ),
    )


def _no_gap_patch(workload: WorkloadSeen) -> str:
    if workload.kind == "StatefulSet":
        return yaml({"spec": {"replicas": 2}})
    if workload.kind == "DaemonSet":
        return yaml({"spec": {"updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}})
    return strategy_patch(2 if workload.replicas == 1 else None)


def mode_12_forced_unavailable(scene: Scene, attempts: Sequence[Attempt], spans: Sequence[Window]) -> Cause | None:
    """Surge and unavailable both round to 0, so Kubernetes forces one unavailable pod: here, all there is."""
    workload = scene.workload
    if not attempts or workload is None:
        return None
    return _outage(
        scene,
        12,
        attempts,
        spans,
        why="maxSurge and maxUnavailable both come to 0, so Kubernetes takes the only pod away first",
        rule=(
            f"replicas {workload.replicas}, maxSurge {workload.max_surge} → 0,"
            f" maxUnavailable {workload.max_unavailable} → 0: where both are 0, Kubernetes forces maxUnavailable to 1"
        ),
        fix=strategy_patch(),
        advice="Set maxSurge to 1 or more, so that the new pod is ready before the old one is taken away.",
    )


def mode_13_recreate(scene: Scene, attempts: Sequence[Attempt], spans: Sequence[Window]) -> Cause | None:
    """Every old pod is deleted before the first new one is created."""
    if not attempts:
        return None
    return _outage(
        scene,
        13,
        attempts,
        spans,
        why="the strategy Recreate stops every old pod before it starts a new one",
        rule="strategy Recreate: no new pod is created until the last old one is gone",
        fix=strategy_patch(),
        advice=(
            "Use RollingUpdate. If Recreate was chosen because two pods cannot share a volume or a lock, an outage is"
            " part of every rollout until that is solved."
        ),
    )


def mode_14_all_at_once(scene: Scene, attempts: Sequence[Attempt], spans: Sequence[Window]) -> Cause | None:
    """Every pod was ended before a replacement was ready, and no budget kept any."""
    workload = scene.workload
    if not attempts:
        return None
    gone = [e.pod for e in scene.met if e.pod.deleted is not None]
    nodes = sorted({p.node for p in gone if p.node})
    deleted = [p.deleted.seen_ns for p in gone if p.deleted is not None]
    within = (max(deleted) - min(deleted)) / SECOND
    single = workload is not None and workload.replicas == 1
    where = f" on node {nodes[0]}" if len(nodes) == 1 else f" on {len(nodes)} nodes"
    count = "the only pod" if len(gone) == 1 else f"all {len(gone)} pods"
    return _outage(
        scene,
        14,
        attempts,
        spans,
        why=f"{count}{where} {'was' if len(gone) == 1 else 'were'} taken away before another was ready",
        rule=(
            f"{plural(len(gone), 'pod')}{where} ended within {within:.1f} s"
            f" ({scene.timeline.trigger.description if scene.timeline.trigger else 'by somebody else'}),"
            " and no disruption budget kept any back"
        ),
        fix=spread_patch(workload, 2 if single else None)
        if workload is not None and (single or len(nodes) == 1)
        else "",
        advice=(
            f"{'Run two replicas, spread' if single else 'Spread the pods'} over nodes, and let a budget keep one of"
            " them: `kubectl create poddisruptionbudget NAME --selector=… --min-available=1`."
        ),
    )


def _outage(
    scene: Scene,
    mode: int,
    attempts: Sequence[Attempt],
    spans: Sequence[Window],
    *,
    why: str,
    rule: str,
    fix: str,
    advice: str,
) -> Cause:
    competing = []
    if any(e.at_once for e in scene.met):
        competing.append((1, "the old pods also exited at once on SIGTERM, before every proxy knew"))
    if any(w.end >= scene.timeline.window.end for w in spans):
        competing.append((20, "no pod was ready until the run ended: the new ones did not come up"))
    return make(
        scene,
        mode,
        attempts,
        summary=f"{lost(attempts)} while no pod was ready: {why}",
        evidence=[
            *(f"no ready endpoint {scene.span(w)} ({w.length / SECOND:.2f} s)" for w in spans),
            rule,
            *pod_lines(scene, scene.met),
        ],
        competing=competing,
        fix=fix,
        advice=advice,
    )
