"""The early life of new pods: 7 (no readiness probe), 8 (ready too early), 19 (the new version is broken)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

from rollcheck.analyze.causes.patches import readiness_patch
from rollcheck.analyze.causes.scene import SLACK_NS, Scene, main_container, once
from rollcheck.analyze.causes.signs import (
    Kind,
    cut,
    from_app,
    from_proxy,
    kind_of,
    label,
    no_entry,
    silent,
)
from rollcheck.analyze.causes.words import MOST_PODS, lost, make, plural
from rollcheck.analyze.model import Cause, PodLife, began
from rollcheck.facts.attempts import Attempt, Outcome, Stage
from rollcheck.facts.clock import SECOND, Instant, Window

DEAF_GAP_NS = 2 * SECOND
"""Refusals of one pod that is not listening yet follow each other within this."""
DEAF_MOST_NS = 300 * SECOND
YOUNG_NS = 10 * SECOND
"""How long after it joined a pod is warming up."""
OLDER_SHARE = 0.3
PERSISTENT_LEAST = 3
SETTLE_NS = 3 * SECOND
"""After the last new pod joined, every proxy near by knows it."""
PERSISTENT_SHARE = 0.25


def joined(pod: PodLife) -> Instant | None:
    """When clients were first sent to it: it joined the endpoints, else it was Ready."""
    spans = pod.in_endpoints or pod.ready
    return spans[0].start if spans else None


def has_no_readiness(pod: PodLife) -> bool:
    """Whether nothing but its start makes it Ready; a startup probe would hold that back too."""
    main = main_container(pod.spec)
    return main is not None and main.readiness is None and main.startup is None


def maybe_deaf(scene: Scene, attempt: Attempt) -> bool:
    """Refused, directly or as a proxy's answer: a pod whose process does not listen yet."""
    return (no_entry(attempt) and attempt.outcome is Outcome.REFUSED) or from_proxy(scene, attempt)


def deaf_windows(scene: Scene, attempts: Iterable[Attempt]) -> dict[str, Window]:
    """Pod name → when a new pod without readiness probe was sent clients and refused them.

    It ends with the pod's first good answer where responses name pods, else with the last of an unbroken row of
    refusals.
    """
    if not any(has_no_readiness(pod) for pod in scene.new_backends):
        return {}
    refused = sorted(began(a) for a in attempts if maybe_deaf(scene, a))
    first_answers: dict[str, Instant] = {}
    for tally in scene.timeline.tallies:
        first_answers[tally.pod] = min(tally.first_sent_ns, first_answers.get(tally.pod, tally.first_sent_ns))
    windows = {}
    for pod in scene.new_backends:
        at = joined(pod)
        if at is None or not has_no_readiness(pod):
            continue
        answered = first_answers.get(pod.name)
        end = _last_in_row(refused, at) if answered is None else min(_last_in_row(refused, at), answered)
        if end > at - SLACK_NS:
            windows[pod.name] = Window(start=at - SLACK_NS, end=end)
    return windows


def _last_in_row(refused: Sequence[Instant], since: Instant) -> Instant:
    reach = since
    for at in refused:
        if at > reach + DEAF_GAP_NS or at > since + DEAF_MOST_NS:
            break
        reach = max(reach, at)
    return reach


def mode_07_no_readiness(
    scene: Scene, attempts: Sequence[Attempt], windows: dict[str, Window], competing: Sequence[tuple[int, str]] = ()
) -> Cause | None:
    """New pods are Ready as soon as they start, and refuse clients until they listen."""
    if not attempts:
        return None
    pods = [p for p in scene.new_backends if p.name in windows]
    spec = next((p.spec for p in pods if p.spec is not None), None)
    main = main_container(spec)
    ends_with_run = any(w.end >= scene.timeline.window.end - DEAF_GAP_NS for w in windows.values())
    others = [*competing]
    if ends_with_run:
        others.append((19, "refusals lasted to the end of the run: the new version may never listen"))
    return make(
        scene,
        7,
        attempts,
        summary=f"{lost(attempts)} to new pods that did not listen yet: without a readiness probe they count as ready",
        evidence=[
            f"container {main.name} of the new pods has no readiness probe" if main else "no readiness probe",
            *(_deaf_line(scene, p, windows[p.name]) for p in pods[:MOST_PODS]),
        ],
        confidence="medium" if others else "high",
        competing=others,
        fix=readiness_patch(spec),
        advice=(
            "Give the container a readiness probe that succeeds only once it serves (set its path to one that shows"
            " that). Where it declares no port, name the port that it listens on."
        ),
    )


def _deaf_line(scene: Scene, pod: PodLife, window: Window) -> str:
    started = f"started {scene.at(pod.listening.seen_ns)}, " if pod.listening else ""
    return (
        f"pod {pod.name}: {started}joined the endpoints {scene.at(window.start + SLACK_NS)}, refused clients until"
        f" {scene.at(window.end)}"
    )


@once
def persistent_kinds(scene: Scene) -> dict[Kind, float]:
    """Kinds of failure that go on in the second half of the tail at the rate they had: kind → failures a second.

    By then nothing is replaced any more, so what still fails is not the replacement but what it brought.
    """
    tail = scene.stage(Stage.TAIL)
    first = min((at for p in scene.new_backends if (at := joined(p)) is not None), default=None)
    if tail is None or first is None:
        return {}
    joins = [at for p in scene.new_backends if (at := joined(p)) is not None]
    settled = max(tail.start + tail.length // 2, max(joins) + SETTLE_NS)
    half = Window(start=settled, end=max(settled, tail.end))
    if half.length < SECOND:
        return {}
    after = [a for a in scene.timeline.failures if began(a) >= first - SLACK_NS and not _without_peer(a)]
    late = Counter(kind_of(a) for a in after if half.holds(began(a)))
    total = Counter(kind_of(a) for a in after)
    span = max(1, scene.timeline.window.end - first)
    return {
        kind: n / (half.length / SECOND)
        for kind, n in late.items()
        if n >= PERSISTENT_LEAST and n / half.length >= PERSISTENT_SHARE * total[kind] / span
    }


def _without_peer(attempt: Attempt) -> bool:
    """No version of the app answers a SYN with silence: a network does, and stale connection tracking."""
    return no_entry(attempt) and attempt.outcome in (Outcome.TIMEOUT, Outcome.UNREACHABLE)


def of_new_version(scene: Scene, attempts: Iterable[Attempt]) -> list[Attempt]:
    """Attempts that the new version fails for good: they go on after the rollout, or at every age of its pods.

    Where responses name pods, only those of new pods.
    """
    lasting = persistent_kinds(scene)
    first = min((at for p in scene.new_backends if (at := joined(p)) is not None), default=None)
    if first is None:
        return []
    mine = [a for a in attempts if began(a) >= first - SLACK_NS and _may_be_new(scene, a)]
    older = _kinds_at_every_age(scene, mine)
    return [a for a in mine if kind_of(a) in lasting or (kind_of(a) in older and scene.pod_of(a))]


def _may_be_new(scene: Scene, attempt: Attempt) -> bool:
    name = scene.pod_of(attempt)
    return not name or name in scene.new_names


def _kinds_at_every_age(scene: Scene, attempts: Iterable[Attempt]) -> set[Kind]:
    """Kinds of bad answers of new pods of which a good part came when the pod was no longer young."""
    ages: dict[Kind, list[bool]] = {}
    for attempt in attempts:
        age = _age(scene, attempt)
        if age is not None and from_app(scene, attempt):
            ages.setdefault(kind_of(attempt), []).append(age > YOUNG_NS)
    return {kind for kind, olds in ages.items() if sum(olds) >= OLDER_SHARE * len(olds)}


def _age(scene: Scene, attempt: Attempt) -> int | None:
    """Age of the new pod that the attempt was on, from its joining; None when that is not known."""
    at = _joined_by_name(scene).get(scene.pod_of(attempt))
    return None if at is None else began(attempt) - at


@once
def _joined_by_name(scene: Scene) -> dict[str, Instant | None]:
    """Of the first new pod of each name."""
    return {p.name: joined(p) for p in reversed(scene.new_backends)}


def mode_19_new_version_broken(
    scene: Scene, attempts: Sequence[Attempt], competing: Sequence[tuple[int, str]] = ()
) -> Cause | None:
    """The new version fails, and goes on failing when nothing is replaced any more."""
    if not attempts:
        return None
    named = Counter(name for a in attempts if (name := scene.pod_of(a)))
    tail = scene.stage(Stage.TAIL)
    in_tail = sum(1 for a in attempts if tail and tail.holds(began(a)))
    kinds = Counter(label(a) for a in attempts)
    evidence = [f"{in_tail} of them in the tail, when every old pod was gone"]
    if named:
        pods = ", ".join(f"{name} {n}" for name, n in sorted(named.items()))
        evidence.append(f"answered by new pods: {pods}; none of this kind by an old pod")
    before = sum(1 for a in scene.timeline.failures if scene.before.holds(began(a)) and label(a) in kinds)
    evidence.append("none of this kind before the replacement" if not before else f"{before} before the replacement")
    return make(
        scene,
        19,
        attempts,
        summary=f"{lost(attempts)} because the new version fails: {', '.join(sorted(kinds))}, also after the rollout",
        evidence=evidence,
        confidence="high" if in_tail and (named or all(from_app(scene, a) for a in attempts)) else "medium",
        competing=competing,
        advice="Not a question of how pods are replaced: fix the new version or roll back (`kubectl rollout undo`).",
    )


def of_young_pods(scene: Scene, attempts: Iterable[Attempt]) -> list[Attempt]:
    """Attempts that new pods lost in their first seconds, though a probe had called them ready.

    By name where responses tell it. Else by time, and then only bad answers, since anything else may be another
    pod's.
    """
    ready_at = sorted(at for p in scene.new_backends if not has_no_readiness(p) and (at := joined(p)) is not None)
    found = []
    for attempt in attempts:
        if scene.pod_of(attempt):
            age = _age(scene, attempt)
            young = age is not None and -SLACK_NS <= age <= YOUNG_NS
            bad = from_app(scene, attempt) or silent(attempt) or cut(attempt)
        else:
            joins = bisect_left(ready_at, began(attempt) - YOUNG_NS), bisect_right(ready_at, began(attempt) + SLACK_NS)
            young = joins[0] < joins[1]
            bad = from_app(scene, attempt)
        if young and bad:
            found.append(attempt)
    return found


def mode_08_ready_too_early(scene: Scene, attempts: Sequence[Attempt]) -> Cause | None:
    """New pods are called ready before they can serve."""
    if not attempts:
        return None
    named = sorted({name for a in attempts if (name := scene.pod_of(a))})
    spec = next((p.spec for p in scene.new_backends if p.spec is not None), None)
    main = main_container(spec)
    probe = main.readiness if main else None
    fix = readiness_patch(spec) if probe is not None and probe.kind == "tcp" else ""
    evidence = [f"all within {YOUNG_NS // SECOND} s of a new pod's joining the endpoints, and none later"]
    if named:
        evidence.append(f"on new {plural(len(named), 'pod').split(' ', 1)[1]} {', '.join(named[:MOST_PODS])}")
    if probe is not None:
        evidence.append(f"the readiness probe is {probe.kind} {probe.detail}".rstrip())
    return make(
        scene,
        8,
        attempts,
        summary=f"{lost(attempts)} on new pods in their first seconds: they were called ready before they could serve",
        evidence=evidence,
        confidence="medium" if named else "low",
        competing=((19, "the new version may fail at any age, and was not watched for longer"),),
        fix=fix,
        advice=(
            "Let the readiness probe ask for what clients ask for (a page that needs the real dependencies), add a"
            " startupProbe for slow warm-up, or give new pods time with minReadySeconds."
        ),
    )
