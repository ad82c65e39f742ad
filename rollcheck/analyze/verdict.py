"""The verdict: graceful, not graceful or inconclusive, with the sentence that says why.

In this order, the first that holds:

1. The document is no whole run (cut short, interrupted): inconclusive, whatever is in it.
2. A replaced pod was killed at the end of its grace, or an attempt was lost to the replacement: not graceful. What is
   proven stands, also when the rollout never finished, the command failed, or the generator was at fault elsewhere:
   such obstacles are then named beside it. A loss is *not* proven when the same class of failure is as frequent
   without any replacement (Fisher, 1 %) and no sure cause claims it, when a fault of ours overlaps it and can explain
   it, when its cause needs no replacement (the keep-alive race with an idle server, our own limits), when it is a
   time-out of a target that could not serve the rate in the baseline, or when no pod went or came at all.
3. Anything that would have hidden a loss, and every loss that could not be excused for certain: inconclusive.
4. Graceful.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rollcheck.analyze.background import Losses, like_before, saturated, split
from rollcheck.analyze.exposure import replaced_pods, replacement_counts, replacement_losses
from rollcheck.analyze.generator import Fault, explained, is_local_limit
from rollcheck.analyze.model import BaselineReport, Cause, Outage, PodLife, Timeline, Verdict, began
from rollcheck.analyze.obstacles import cluster_changed, incomplete, unproven
from rollcheck.analyze.outages import longest_and_number
from rollcheck.analyze.words import number, rounded_up
from rollcheck.facts.attempts import Lane
from rollcheck.facts.clock import Instant

EXIT_GRACEFUL, EXIT_NOT_GRACEFUL, EXIT_INCONCLUSIVE, EXIT_INTERRUPTED = 0, 1, 3, 130
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict and the words that go with it; `caveats` are obstacles that did not change it.

    Attributes:
        lost: attempts that are proven to be lost to the replacement: those that the headline counts.
    """

    verdict: Verdict
    exit_code: int
    headline: str
    reasons: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a verdict rests on.

    Attributes:
        sent: requests sent since the replacement began.
        hidden: failed attempts since then whose details were not kept; counted as lost only beside losses that stand.
        dropped: arrivals since then that found no free connection.
        killed: replaced pods that were killed at the end of their grace.
    """

    losses: Losses
    sent: int
    hidden: int
    dropped: int
    killed: tuple[PodLife, ...]
    replaced: int
    outages: tuple[Outage, ...]
    obstacles: tuple[str, ...]


def judge(
    timeline: Timeline,
    *,
    causes: Sequence[Cause],
    outages: Sequence[Outage],
    baseline: BaselineReport,
    faults: Sequence[Fault],
) -> Judgement:
    """The verdict of a run; see the module for the order of what decides."""
    cut_short = incomplete(timeline)
    evidence = _gather(timeline, causes, outages, baseline, faults)
    if cut_short:
        return _unfinished(timeline, cut_short, evidence)
    proven = cluster_changed(timeline) and evidence.losses.standing
    if proven or evidence.killed:
        doubts = _doubts(evidence.losses)
        return Judgement(
            verdict=Verdict.NOT_GRACEFUL,
            exit_code=EXIT_NOT_GRACEFUL,
            headline=_headline(evidence, bool(proven)),
            caveats=(*evidence.obstacles, *doubts),
            lost=_lost(evidence) if proven else 0,
        )
    reasons = (*evidence.obstacles, *_doubts(evidence.losses), *_unexplained(evidence))
    if reasons:
        return Judgement(
            verdict=Verdict.INCONCLUSIVE,
            exit_code=EXIT_INCONCLUSIVE,
            headline=f"This run proves nothing: {reasons[0]}.",
            reasons=reasons,
        )
    return Judgement(verdict=Verdict.GRACEFUL, exit_code=EXIT_GRACEFUL, headline=_good_news(evidence))


def _gather(
    timeline: Timeline,
    causes: Sequence[Cause],
    outages: Sequence[Outage],
    baseline: BaselineReport,
    faults: Sequence[Fault],
) -> Evidence:
    lost = replacement_losses(timeline)
    counts = replacement_counts(timeline)
    overload = saturated(baseline, timeline.document.header.qps)
    losses = split(
        lost,
        before=frozenset(baseline.by_outcome),
        alike=like_before(lost, counts.sent, baseline),
        causes=causes,
        overloaded=bool(overload),
        ours=frozenset(a for a in lost if explained(a, faults)),
    )
    replaced = replaced_pods(timeline)
    since = timeline.replacement.start if timeline.replacement else timeline.window.end
    return Evidence(
        losses=losses,
        sent=counts.sent,
        hidden=max(0, counts.failed - sum(1 for a in (*lost, *timeline.abandoned) if a.sent_ns is not None)),
        dropped=sum(1 for a in timeline.not_sent if a.ended_ns >= since and not is_local_limit(a)),
        killed=tuple(p for p in timeline.pods if p.generation == "old" and p.killed),
        replaced=len(replaced),
        outages=tuple(o for o in outages if o.window.end >= since),
        obstacles=(*([overload] if overload else []), *unproven(timeline, counts), *(f.text for f in faults)),
    )


def _unfinished(timeline: Timeline, cut_short: Sequence[str], evidence: Evidence) -> Judgement:
    seal = timeline.document.seal
    signalled = seal is not None and seal.interrupted in SIGNALS
    failed = len(evidence.losses.standing)
    so_far = f" Until then {number(failed, 'request')} {_were(failed)} lost." if failed else ""
    return Judgement(
        verdict=Verdict.INCONCLUSIVE,
        exit_code=EXIT_INTERRUPTED if signalled else EXIT_INCONCLUSIVE,
        headline=f"This run proves nothing: {cut_short[0]}.{so_far}",
        reasons=tuple(cut_short),
    )


def _headline(evidence: Evidence, lost: bool) -> str:
    """Which of the two made it not graceful: lost attempts, killed pods, or both."""
    while_ = (
        f" while {number(evidence.replaced, 'pod')} {_were(evidence.replaced)} replaced" if evidence.replaced else ""
    )
    killed = len(evidence.killed)
    kill = ""
    if killed:
        graces = {p.grace_s for p in evidence.killed}
        span = f"{graces.pop()} s" if len(graces) == 1 else "its grace"
        kill = f"{number(killed, 'pod')} did not end within {span} and {_were(killed)} killed"
    if not lost:
        return f"No request was lost{while_}, but {kill}."
    count = _lost(evidence)
    held, beside = _in_outages(evidence)
    outages, longest = longest_and_number(held)
    spread = f" in {number(outages, 'outage')} of at most {rounded_up(longest):.1f} s" if outages else ""
    if spread and beside:
        spread = f", all but {beside}{spread}{',' if while_ else ''}"
    first = f"{count:,} of {number(evidence.sent, 'request')} {_were(count)} lost{spread}{while_}"
    return f"{first}; {kill}." if kill else f"{first}."


def _lost(evidence: Evidence) -> int:
    return len(evidence.losses.standing) + evidence.hidden


def _in_outages(evidence: Evidence) -> tuple[list[Outage], int]:
    """The outages that hold a loss which stands, and how many such losses lie in none."""
    starts: dict[Lane, list[Instant]] = defaultdict(list)
    for attempt in evidence.losses.standing:
        starts[attempt.lane].append(began(attempt))
    held, inside = [], 0
    for outage in evidence.outages:
        at = starts[outage.lane]
        here = bisect_right(at, outage.window.end) - bisect_left(at, outage.window.start)
        held += [outage] if here else []
        inside += here
    return held, len(evidence.losses.standing) - inside


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _doubts(losses: Losses) -> list[str]:
    """The losses that do not stand, each with why."""
    doubts = []
    if losses.background:
        doubts.append(
            f"{number(len(losses.background), 'request')} failed in a way that is as frequent without any replacement"
        )
    if losses.races:
        doubts.append(
            f"{number(len(losses.races), 'request')} died in the keep-alive race with an idle server, which needs no "
            "replacement"
        )
    if losses.tied:
        doubts.append(
            f"{number(len(losses.tied), 'request')} came from a source port that connection tracking had tied to a "
            "dead pod before the replacement"
        )
    if losses.suspect:
        doubts.append(
            f"{number(len(losses.suspect), 'request')} failed in a way that an overloaded target or this machine's own "
            "trouble explains"
        )
    return doubts


def _unexplained(evidence: Evidence) -> list[str]:
    """What was lost although nothing was seen to change, and what was never sent."""
    reasons = []
    if evidence.losses.standing:
        reasons.append(f"{number(len(evidence.losses.standing), 'request')} failed although no pod went or came")
    if evidence.dropped:
        reasons.append(
            f"{number(evidence.dropped, 'request')} found no free connection in time: the target was slower than the "
            "load; give more --connections or a lower --qps"
        )
    return reasons


def _good_news(evidence: Evidence) -> str:
    pods = f"while {number(evidence.replaced, 'pod')} {_were(evidence.replaced)} replaced"
    return f"None of {number(evidence.sent, 'request')} was lost {pods}, and every pod ended within its grace."
