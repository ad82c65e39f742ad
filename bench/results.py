"""What a row of the benchmark found out, and what it had to reach."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.arithmetic import Summary


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one generator (or of rollcheck alone), over the rounds.

    Attributes:
        who: the generator's name.
        what: what was measured, with its unit: "requests per CPU second".
        seen: median and spread.
    """

    who: str
    what: str
    seen: Summary


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row had to reach, and whether it did.

    Attributes:
        what: the condition as a person would say it: "≥ 0.85 × wrk".
        reached: what was measured, as text; empty when it could not be.
        met: whether that is enough; None when it could not be measured, and the row's notes say why.
    """

    what: str
    reached: str
    met: bool | None


@dataclass(slots=True)
class Row:
    """One row of the table: filled while it is measured."""

    key: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def at_least(self, what: str, seen: float, floor: float) -> None:
        """Add a goal that a figure must not stay below."""
        self.goals.append(Goal(what, f"{seen:.4g}", seen >= floor))

    def at_most(self, what: str, seen: float, ceiling: float) -> None:
        """Add a goal that a figure must not exceed."""
        self.goals.append(Goal(what, f"{seen:.4g}", seen <= ceiling))

    def unknown(self, what: str, why: str) -> None:
        """Add a goal that cannot be judged here, and why."""
        self.goals.append(Goal(what, "", None))
        self.notes.append(f"{what}: {why}")
