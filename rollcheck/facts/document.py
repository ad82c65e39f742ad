"""A run's document: a header, facts in the order in which they were recorded, a seal.

It is JSON Lines, one fact a line, appended while the run goes on. A document without a seal was cut short (kill -9, a
full disk): everything in it is true, but it is not the whole run, so analysis calls it inconclusive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from rollcheck.facts.actions import Action, CommandOutput, Note, StageMark, Step
from rollcheck.facts.attempts import Attempt, Interval, PodTally
from rollcheck.facts.clock import Instant
from rollcheck.facts.cluster import KubeEvent, PodSeen, ReplicaSetSeen, ServiceSeen, SliceSeen, WatchGap, WorkloadSeen
from rollcheck.facts.connections import Connection
from rollcheck.facts.header import SCHEMA, Header, LanePlan
from rollcheck.facts.health import HealthSample
from rollcheck.facts.wiretotals import SlotTotals, WireTotals

__all__ = ["SCHEMA", "Document", "Fact", "Header", "LanePlan", "Seal"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The last line of a complete document.

    Attributes:
        ended_ns: when the run ended.
        lines: lines before this one, the header included.
        interrupted: empty for a run that ended by itself, else why it was cut short ("SIGINT", "SIGTERM", an error).
        scheduled: arrivals that the timetable released for good, by lane: a cross-check of the counts.
        probes: fresh probes sent.
    """

    ended_ns: Instant
    lines: int
    interrupted: str = ""
    scheduled: dict[str, int] = field(default_factory=dict)
    probes: int = 0


Fact = (
    Attempt
    | Interval
    | PodTally
    | Connection
    | HealthSample
    | SlotTotals
    | WireTotals
    | StageMark
    | Action
    | Step
    | CommandOutput
    | Note
    | PodSeen
    | SliceSeen
    | KubeEvent
    | WorkloadSeen
    | ReplicaSetSeen
    | ServiceSeen
    | WatchGap
)
"""Any line of a document between its header and its seal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A run as it was recorded.

    Attributes:
        seal: None when the document was cut short.
        damaged: what could not be read at its end, in one sentence; empty when every line was whole.
    """

    header: Header
    facts: tuple[Fact, ...]
    seal: Seal | None = None
    damaged: str = ""

    def of(self, kind: type[T]) -> list[T]:
        """The facts of one kind, in the order in which they were recorded."""
        return [fact for fact in self.facts if isinstance(fact, kind)]
