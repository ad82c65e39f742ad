"""Whether one run of a workload went worse than another: by its verdict, and by more losses than chance explains.

A loss either has a cause or not, so verdicts come first: from graceful to not graceful is worse, whatever the numbers.
Between two runs that both lost something, Fisher's exact test says whether the shares of lost requests differ by more
than chance (1 %): requests of one outage are lost together, so a small difference is told and not judged. An
inconclusive run proves nothing, and so does a comparison with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from rollcheck.analyze.exposure import replacement_counts
from rollcheck.analyze.model import Analysis, Verdict
from rollcheck.analyze.statistics import fisher_more
from rollcheck.facts.header import LanePlan

LEVEL = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """Two runs, A before B.

    Attributes:
        lost, sent: of A and of B, since the trigger; lost is what their verdicts count.
        chance: how often chance alone makes the shares differ so; None where that is not asked.
        worse, better: why B is, in one sentence; empty when it is not.
        unjudged: why it cannot be judged, empty when it can.
        warnings: why the two may not be alike enough to be compared.
        gone, come: causes of A that B does not have, and those that are new in B.
    """

    a: Analysis
    b: Analysis
    lost: tuple[int, int]
    sent: tuple[int, int]
    chance: float | None = None
    worse: str = ""
    better: str = ""
    unjudged: str = ""
    warnings: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    come: tuple[str, ...] = ()


def compare_runs(a: Analysis, b: Analysis) -> RunComparison:
    """B against A."""
    counts = [replacement_counts(run.timeline) for run in (a, b)]
    lost, sent = (a.lost, b.lost), (counts[0].sent, counts[1].sent)
    causes = [tuple(cause.name for cause in run.causes if cause.of_replacement) for run in (a, b)]
    chance = None
    worse = better = unjudged = ""
    doubtful = [side for side, run in (("A", a), ("B", b)) if run.verdict is Verdict.INCONCLUSIVE]
    if doubtful:
        unjudged = (
            f"{' and '.join(doubtful)} {'is' if len(doubtful) == 1 else 'are'} inconclusive, which proves nothing"
        )
    elif a.verdict is not b.verdict:
        said = f"A was {a.verdict}, B is {b.verdict}"
        worse, better = (said, "") if b.verdict is Verdict.NOT_GRACEFUL else ("", said)
    elif a.verdict is Verdict.NOT_GRACEFUL:
        more, fewer = fisher_more(lost[1], sent[1], lost[0], sent[0]), fisher_more(lost[0], sent[0], lost[1], sent[1])
        chance = min(1.0, 2 * min(more, fewer))
        if chance < LEVEL:
            said = (
                f"its replacement is proven to have lost {lost[1]:,} of {sent[1]:,} requests, that of A {lost[0]:,} of "
                f"{sent[0]:,}, which differs by more than chance explains"
            )
            worse, better = (said, "") if more < fewer else ("", said)
    return RunComparison(
        a=a,
        b=b,
        lost=lost,
        sent=sent,
        chance=chance,
        worse=worse,
        better=better,
        unjudged=unjudged,
        warnings=tuple(_warnings(a, b)),
        gone=tuple(name for name in dict.fromkeys(causes[0]) if name not in causes[1]),
        come=tuple(name for name in dict.fromkeys(causes[1]) if name not in causes[0]),
    )


def _warnings(a: Analysis, b: Analysis) -> list[str]:
    first, second = a.timeline.document.header, b.timeline.document.header
    pairs = (
        ("A replaced {}, B {}", *(f"{each.workload} in {each.namespace}" for each in (first, second))),
        ("A sent its requests to {}, B to {}", first.url, second.url),
        ("A sent {} requests per second, B {}", f"{first.qps:g}", f"{second.qps:g}"),
        ("A was triggered by {}, B by {}", first.trigger, second.trigger),
        ("A had the lanes {}, B {}", _lanes(first.lanes), _lanes(second.lanes)),
    )
    said = [words.format(before, after) for words, before, after in pairs if before != after]
    if first.sandbox or second.sandbox:
        both = first.sandbox and second.sandbox
        said.append(f"{'both are' if both else 'one of them is'} of the sandbox: no evidence about a real cluster")
    return said


def _lanes(lanes: tuple[LanePlan, ...]) -> str:
    return ", ".join(f"{lane.lane} {lane.share:g}" for lane in lanes)
