"""From instants to what a reader sees: seconds since the trigger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from rollcheck.analyze.model import Analysis
from rollcheck.facts.attempts import Stage
from rollcheck.facts.clock import SECOND, ClockAnchor, Instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The zero of every time in a report.

    Attributes:
        zero_ns: that instant.
        zero: "trigger" when the replacement began there, "start" (of the run) when it never did.
        anchor: of the run.
    """

    zero_ns: Instant
    zero: str
    anchor: ClockAnchor

    def at(self, instant: Instant) -> float:
        """Seconds from zero, to the microsecond."""
        return round((instant - self.zero_ns) / SECOND, 6)

    def wall(self, instant: Instant) -> str:
        """The wall time as RFC 3339 in UTC, to the microsecond."""
        whole, rest = divmod(self.anchor.to_wall(instant), SECOND)
        at = datetime.fromtimestamp(whole, UTC).replace(microsecond=rest // 1_000)
        return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def axis_of(analysis: Analysis) -> Axis:
    """The axis of a run: zero is the begin of the replacement, or of the run when nothing was replaced."""
    timeline = analysis.timeline
    replacement = timeline.replacement or timeline.stages.get(Stage.REPLACEMENT)
    return Axis(
        zero_ns=replacement.start if replacement else timeline.window.start,
        zero="trigger" if replacement else "start",
        anchor=timeline.document.header.anchor,
    )
