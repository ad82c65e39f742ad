"""What kept pods from being evicted, which loses no request: 15 (a budget), 16 (two), 17 (a throttling API server)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rollcheck.analyze.causes.scene import Scene, once
from rollcheck.analyze.causes.words import MOST_PODS, make, plural
from rollcheck.analyze.model import Cause
from rollcheck.facts.actions import Step

BUDGET = re.compile(r"disruption budget (\S+) needs (\d+) healthy pods and has (\d+)")


@once
def unanswered(scene: Scene) -> dict[str, tuple[Step, ...]]:
    """Pod → the refusals of its eviction, of those that were never evicted."""
    steps: dict[str, list[Step]] = {}
    for step in scene.timeline.document.of(Step):
        if step.verb == "evict":
            steps.setdefault(step.target, []).append(step)
    return {target: tuple(own) for target, own in steps.items() if own[-1].refusal not in ("", "gone")}


def blocked(scene: Scene) -> list[Cause]:
    """The causes for which evictions did not come about."""
    found = [
        _blocked(scene, 15, ("budget", "unsettled"), _budget_words, _budget_advice(scene)),
        _blocked(
            scene,
            16,
            ("budgets",),
            lambda count: f"{plural(count, 'pod')} cannot be evicted: more than one disruption budget covers it",
            "Leave one PodDisruptionBudget for each pod: the Eviction API refuses to choose between two.",
        ),
        _blocked(
            scene,
            17,
            ("throttled",),
            lambda count: f"the API server throttled the eviction of {plural(count, 'pod')}; no budget was involved",
            "Try again when the API server has less to do; see its flow control (API priority and fairness).",
        ),
    ]
    return [cause for cause in found if cause is not None]


def _blocked(
    scene: Scene, mode: int, refusals: Sequence[str], words: Callable[[int], str], advice: str
) -> Cause | None:
    mine = {target: own for target, own in unanswered(scene).items() if own[-1].refusal in refusals}
    if not mine:
        return None
    return make(
        scene,
        mode,
        [],
        summary=words(len(mine)),
        evidence=[_line(scene, target, own) for target, own in list(mine.items())[:MOST_PODS]],
        advice=advice,
    )


def _line(scene: Scene, target: str, own: Sequence[Step]) -> str:
    times = f"{len(own)} times" if len(own) > 1 else "once"
    span = scene.at(own[0].at_ns) if len(own) == 1 else f"{scene.at(own[0].at_ns)} to {scene.at(own[-1].at_ns)}"
    return f"{target}: refused {times}, {span}: {own[-1].status} {own[-1].message}"


def _budget_words(count: int) -> str:
    return f"a disruption budget kept {plural(count, 'pod')} from being evicted"


def _budget_advice(scene: Scene) -> str:
    """More pods than the budget wants, by its own numbers where it said them."""
    for own in unanswered(scene).values():
        if found := BUDGET.search(own[-1].message):
            name, wanted, has = found[1], int(found[2]), int(found[3])
            if has <= wanted:
                return (
                    f"Budget {name} wants {wanted} healthy pods and there are {has}: run {wanted + 1} replicas, or"
                    " lower its minAvailable (maxUnavailable: 1 always leaves room for one). For broken pods"
                    " set unhealthyPodEvictionPolicy: AlwaysAllow."
                )
    return "Run more replicas than the budget's minAvailable, or set maxUnavailable: 1 in it."
