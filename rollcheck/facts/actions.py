"""What rollcheck did: the stages it went through, what it asked of the cluster, what the user's command printed."""

from __future__ import annotations

from dataclasses import dataclass

from rollcheck.facts.attempts import Stage
from rollcheck.facts.clock import Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMark:
    """A stage began at `at_ns`."""

    at_ns: Instant
    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing rollcheck did to the cluster, or had done.

    Attributes:
        kind: "restart", "set-image", "undo", "scale", "delete-pod", "evict", "drain", "none" or "command".
        description: what a person would call it: `restart deployment/web`, `kubectl set image …`.
        status: HTTP status of the API's answer, or the command's exit code; None while not known, 0 for "none".
        message: the API's or the system's words when it failed, else empty.
        round: which replacement of the run it is part of: a run may do it again and again, or there and back.
    """

    kind: str
    description: str
    started_ns: Instant
    ended_ns: Instant | None
    status: int | None
    message: str = ""
    round: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether the API accepted it, or the command ended with 0."""
        if self.status is None:
            return False
        return self.status == 0 if self.kind in ("command", "none") else 200 <= self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One write that an action consisted of, and the API server's answer.

    Attributes:
        verb: "cordon", "uncordon", "evict", "delete", "scale", "patch".
        target: "node/n1", "pod/web-x7k2p" (with its namespace before it where that is not the workload's).
        uid: of the target, empty when not known.
        status: HTTP status; None when no answer came.
        refusal: of an answer that was a refusal: "budget" (a PodDisruptionBudget does not allow it now), "unsettled"
            (a budget's controller has not caught up), "throttled" (the API server has too much to do), "budgets" (more
            than one budget matches), "gone" (there was no such pod any more), "doomed" (its namespace is being deleted,
            and it goes with that), else "other"; empty when it was done.
        message: the API server's own words of a refusal.
    """

    at_ns: Instant
    verb: str
    target: str
    uid: str
    status: int | None
    refusal: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandOutput:
    """One line that the user's command printed; `stream` is "stdout" or "stderr"."""

    at_ns: Instant
    stream: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A thing the run could not do or see, in one sentence, and where it matters.

    Attributes:
        at_ns: when it was found.
        topic: "permission", "rollout", "interrupt", "disk", "target", "pods", "generator", "restored" (what was put
            back) or "abort".
        fatal: whether it alone makes the verdict inconclusive.
    """

    at_ns: Instant
    topic: str
    text: str
    fatal: bool = False
