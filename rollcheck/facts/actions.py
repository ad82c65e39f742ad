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
        kind: "restart" or "command".
        description: what a person would call it: `restart deployment/web`, `kubectl set image …`.
        status: HTTP status of the API's answer, or the command's exit code; None while not known.
        message: the API's or the system's words when it failed, else empty.
    """

    kind: str
    description: str
    started_ns: Instant
    ended_ns: Instant | None
    status: int | None
    message: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the API accepted it, or the command ended with 0."""
        if self.status is None:
            return False
        return self.status == 0 if self.kind == "command" else 200 <= self.status < 300


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
        topic: "permission", "rollout", "interrupt", "disk", "target", "pods" or "generator".
        fatal: whether it alone makes the verdict inconclusive.
    """

    at_ns: Instant
    topic: str
    text: str
    fatal: bool = False
