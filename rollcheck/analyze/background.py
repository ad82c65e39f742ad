"""What fails without any replacement is not the replacement's fault: losses against the baseline's, class by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rollcheck.analyze.counts import outcome_name
from rollcheck.analyze.model import BaselineReport, Cause
from rollcheck.analyze.statistics import fisher_more
from rollcheck.facts.attempts import Attempt, Outcome

SIGNIFICANCE = 0.01
"""A class of failure that the baseline has too counts as the replacement's only when chance gives it less than this."""
SERVED_LIMIT = 0.95
"""A target that answers less than this share of what was asked, with nothing being replaced, cannot serve the rate."""
FAILED_LIMIT = 0.05
"""Nor can one that fails more than this share of it."""
IDLE_RACE, OURSELVES = 5, 40
"""Modes of the taxonomy that no replacement causes: the keep-alive race with an idle server, and our own limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The attempts that failed since the replacement began, split by whose doing they can be.

    Attributes:
        standing: of a class that the baseline does not have, or has significantly less of.
        background: of a class that fails alike without any replacement.
        races: attributed to the keep-alive race with an idle server.
        suspect: that our own faults, or a target that could not serve the rate from the start, may have made.
    """

    standing: tuple[Attempt, ...] = ()
    background: tuple[Attempt, ...] = ()
    races: tuple[Attempt, ...] = ()
    suspect: tuple[Attempt, ...] = ()


def saturated(baseline: BaselineReport, asked_qps: float) -> str:
    """A sentence when the target could not serve the load before anything was replaced, else empty."""
    counts = baseline.counts
    if not counts.scheduled or not baseline.seconds:
        return ""
    bad = counts.failed + counts.not_sent
    if bad > FAILED_LIMIT * counts.scheduled:
        return (
            f"{bad:,} of {counts.scheduled:,} requests failed before anything was replaced "
            f"({baseline.served_qps:,.1f} of {asked_qps:,.1f} a second were answered); lower --qps or mend the target"
        )
    # A paced load starts and ends with a request under way, so a short baseline is owed a few.
    if baseline.served_qps < SERVED_LIMIT * asked_qps and counts.scheduled > 20:
        return (
            f"the target answered {baseline.served_qps:,.1f} of {asked_qps:,.1f} requests a second before anything "
            "was replaced: it cannot serve this rate; lower --qps"
        )
    return ""


def like_before(lost: Iterable[Attempt], sent: int, baseline: BaselineReport) -> frozenset[str]:
    """The outcomes that the replacement did not make more frequent than they were: Fisher's exact test, one-sided.

    A class that the baseline does not have at all is never among them: one loss of it is one too many.
    """
    now = Counter(outcome_name(a) for a in lost)
    return frozenset(
        name
        for name, count in now.items()
        if (before := baseline.by_outcome.get(name, 0))
        and fisher_more(count, max(sent, count), before, max(baseline.counts.sent, before)) >= SIGNIFICANCE
    )


def split(
    lost: Iterable[Attempt],
    *,
    alike: frozenset[str],
    causes: Iterable[Cause],
    overloaded: bool,
    ours: frozenset[Attempt],
) -> Losses:
    """Each loss in exactly one part.

    Args:
        lost: what failed since the replacement began.
        alike: outcomes that fail alike in the baseline.
        causes: what the losses were attributed to.
        overloaded: whether the target could not serve the rate in the baseline: time-outs then prove nothing.
        ours: losses that faults of the generator explain.
    """
    causes = tuple(causes)
    raced = _claimed(causes, IDLE_RACE)
    own = _claimed(causes, OURSELVES)
    parts: dict[str, list[Attempt]] = {"standing": [], "background": [], "races": [], "suspect": []}
    for attempt in lost:
        key = (attempt.lane.value, attempt.seq)
        if attempt in ours or key in own or (overloaded and attempt.outcome is Outcome.TIMEOUT):
            parts["suspect"].append(attempt)
        elif outcome_name(attempt) in alike:
            parts["background"].append(attempt)
        elif key in raced:
            parts["races"].append(attempt)
        else:
            parts["standing"].append(attempt)
    return Losses(**{name: tuple(part) for name, part in parts.items()})


def _claimed(causes: Iterable[Cause], mode: int) -> frozenset[tuple[str, int]]:
    """What one mode claims and no other competes for."""
    return frozenset((str(lane), seq) for c in causes if c.mode == mode and not c.competing for lane, seq in c.seqs)
