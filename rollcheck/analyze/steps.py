"""What the action consisted of, one thing after the other: each write and its answer, pods gone, what was put back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from rollcheck.analyze.model import Timeline
from rollcheck.facts.actions import Action, Step
from rollcheck.facts.clock import Instant

PATCHES = ("restart", "set-image", "undo")
"""Actions that are one patch of each workload: their answer is in the action itself."""
BUDGET = re.compile(r"disruption budget (\S+) (?:needs|is)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTaken:
    """One thing that was done, or came of it.

    Attributes:
        verb: "cordon", "evict", "delete", "scale", "patch", "uncordon", "run" (a command began), "exit" (it ended) or
            "gone" (the object of a pod that was replaced disappeared).
        target: "node/n1", "pod/web-x7k2p", "deployment/web"; of a command the command itself.
        status: HTTP status of the answer, of "exit" the command's exit code; None when there was no answer, or nothing
            to answer.
        refusal: why it was refused, as `Step.refusal`; empty when it was done.
        budget: the PodDisruptionBudget that refused it, where the API server names it.
        attempt: which try it was of this verb on this target in its round, from 1.
        round: which replacement of the run it is part of.
    """

    at_ns: Instant
    verb: str
    target: str
    status: int | None = None
    refusal: str = ""
    budget: str = ""
    attempt: int = 1
    round: int = 0
    message: str = ""


def steps_taken(timeline: Timeline) -> tuple[StepTaken, ...]:
    """All of them, in order; what was put back at the end included."""
    actions = timeline.document.of(Action)
    found = [*map(_step, timeline.document.of(Step)), *_of_actions(actions), *_gone(timeline)]
    begins = sorted((a.started_ns, a.round) for a in actions)
    tries: Counter[tuple[int, str, str]] = Counter()
    ordered = []
    for step in sorted(found, key=lambda s: (s.at_ns, repr(s))):
        round_ = max((r for start, r in begins if start <= step.at_ns), default=0)
        tries[key := (round_, step.verb, step.target)] += 1
        ordered.append(replace(step, round=round_, attempt=tries[key]))
    return tuple(ordered)


def _step(step: Step) -> StepTaken:
    named = BUDGET.search(step.message) if step.refusal in ("budget", "unsettled") else None
    return StepTaken(
        at_ns=step.at_ns,
        verb=step.verb,
        target=step.target,
        status=step.status,
        refusal=step.refusal,
        budget=named[1] if named else "",
        message=step.message,
    )


def _of_actions(actions: Iterable[Action]) -> Iterator[StepTaken]:
    for action in actions:
        ended = action.started_ns if action.ended_ns is None else action.ended_ns
        if action.kind == "command":
            yield StepTaken(at_ns=action.started_ns, verb="run", target=action.description)
            if action.ended_ns is not None:
                yield StepTaken(
                    at_ns=ended, verb="exit", target=action.description, status=action.status, message=action.message
                )
        elif action.kind in PATCHES:
            refusal = "" if action.succeeded else "other"
            yield StepTaken(
                at_ns=ended,
                verb="patch",
                target=_workload(action.description),
                status=action.status,
                refusal=refusal,
                message=action.message,
            )


def _workload(description: str) -> str:
    """`deployment/web` of "set-image app=shop/web:2 deployment/web", or of "undo deployment/web to revision 3"."""
    words = description.split()
    refs = [w for w in words if w.startswith(("deployment/", "statefulset/", "daemonset/"))]
    return refs[-1] if refs else description


def _gone(timeline: Timeline) -> Iterator[StepTaken]:
    """The pods that were there before, and those of an earlier round."""
    if timeline.replacement is None:
        return
    for pod in timeline.pods:
        if pod.gone_ns is not None and pod.gone_ns >= timeline.replacement.start:
            yield StepTaken(at_ns=pod.gone_ns, verb="gone", target=f"pod/{pod.name}")
