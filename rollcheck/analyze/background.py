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
OWED = 2
"""Requests that may be under way when a stage ends, however fast the target is: one on each lane."""
BACKGROUND, IDLE_RACE, TIED_PORT = 0, 5, 34
"""Modes of causes that need no replacement: what failed before as well, the keep-alive race with an idle server, and a
source port that something before the replacement had tied to a dead pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """The attempts that failed since the replacement began, split by whose doing they can be.

    Attributes:
        standing: of a class that the baseline does not have, or has significantly less of.
        background: of a class that fails alike without any replacement.
        races: attributed to the keep-alive race with an idle server.
        tied: from a source port that had been tied to a dead pod before the replacement.
        suspect: that our own faults, or a target that could not serve the rate from the start, may have made.
    """

    standing: tuple[Attempt, ...] = ()
    background: tuple[Attempt, ...] = ()
    races: tuple[Attempt, ...] = ()
    tied: tuple[Attempt, ...] = ()
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
    # What is under way when the stage ends is still owed: a few requests, of a slow target as many as come meanwhile.
    # Half of them at most where a queue grows, as its later answers take twice the median: that is found all the same.
    owed = OWED + asked_qps * (baseline.p50_ms or 0.0) / 1000
    if counts.ok + owed < SERVED_LIMIT * asked_qps * baseline.seconds and counts.scheduled > 20:
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
    before: frozenset[str],
    alike: frozenset[str],
    causes: Iterable[Cause],
    overloaded: bool,
    ours: frozenset[Attempt],
) -> Losses:
    """Each loss in exactly one part.

    Where a sure cause in the replacement claims a loss, that outweighs how often its class failed before; where a class
    became significantly more frequent, that outweighs a cause that calls it background.

    Args:
        lost: what failed since the replacement began.
        before: outcomes that the baseline has.
        alike: those of them that fail alike now.
        causes: what the losses were attributed to.
        overloaded: whether the target could not serve the rate in the baseline: time-outs then prove nothing.
        ours: losses that faults of the generator explain.
    """
    causes = tuple(causes)
    modes = {key: c.mode for c in causes if not c.of_replacement for key in _keys(c)}
    sure = {key for c in causes if c.of_replacement and c.confidence == "high" and not c.competing for key in _keys(c)}
    parts: dict[str, list[Attempt]] = {"standing": [], "background": [], "races": [], "tied": [], "suspect": []}
    for attempt in lost:
        key, outcome = (str(attempt.lane), attempt.seq), outcome_name(attempt)
        mode = modes.get(key)
        grown = outcome in before and outcome not in alike
        if (ours and attempt in ours) or (overloaded and attempt.outcome is Outcome.TIMEOUT):
            parts["suspect"].append(attempt)
        elif key in sure:
            parts["standing"].append(attempt)
        elif mode == IDLE_RACE:
            parts["races"].append(attempt)
        elif mode == TIED_PORT:
            parts["tied"].append(attempt)
        elif outcome in alike or (mode == BACKGROUND and not grown):
            parts["background"].append(attempt)
        elif mode is not None and mode != BACKGROUND:
            parts["suspect"].append(attempt)
        else:
            parts["standing"].append(attempt)
    return Losses(**{name: tuple(part) for name, part in parts.items()})


def _keys(cause: Cause) -> list[tuple[str, int]]:
    return [(str(lane), seq) for lane, seq in cause.seqs]
