"""Our own audit: is what we measured the target's doing, or ours?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rollcheck.analyze.counts import lanes_scheduled, unlisted
from rollcheck.analyze.latency import merged, percentile_us
from rollcheck.analyze.model import GeneratorReport, Timeline, began
from rollcheck.facts.attempts import Attempt, Outcome, Stage
from rollcheck.facts.clock import MILLISECOND, SECOND, Window
from rollcheck.facts.cluster import WatchGap
from rollcheck.facts.health import HealthSample

LAG_P99_LIMIT_US = 50_000
"""A request that leaves this late has missed the outages that rollouts cause: the shortest last about as long."""
STALL_LIMIT_NS = 500 * MILLISECOND
"""A loop that stands still for so long sends nothing, then everything at once, and sees time-outs that were not."""
STARVED_SHARE = 0.01
"""For so much of its time others must have had its processor to be worth a word."""
SHORTFALL_LIMIT = 0.01
"""Arrivals of the timetable that were never taken up: the rate was not the one that the report names."""
LOCAL_REASONS = ("EADDRNOTAVAIL", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EAGAIN", "EADDRINUSE")
"""No local port, no file descriptor, no memory: this machine's limits, not the target's."""
WATCHED = ("pods", "pod", "endpointslices", "endpointslice")
OURS = (Outcome.TIMEOUT, Outcome.RESET, Outcome.CLOSED_BEFORE_RESPONSE)
"""Outcomes that a generator standing still can make of a healthy target: it looked too late, or wrote to a connection
whose end it had not read yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why the figures are not to be trusted, and in which spans; `explains` is whether it can make losses by itself."""

    text: str
    spans: tuple[Window, ...] = ()
    explains: bool = False


def audit(timeline: Timeline) -> tuple[GeneratorReport, tuple[Fault, ...]]:
    """The report on the generator over baseline, replacement and tail, and what in it is a fault."""
    samples = _samples(timeline)
    seconds = sum(s.end_ns - s.start_ns for s in samples) / SECOND
    asked, released = sum(s.asked for s in samples), sum(s.released for s in samples)
    lag = merged(s.lag_hdr for s in samples)
    wait = merged(s.wait_hdr for s in samples)
    gaps = sorted(timeline.document.of(WatchGap), key=lambda g: (g.start_ns, g.end_ns, g.resource))
    faults = (
        *_late(samples, percentile_us(lag, 99)),
        *_stalls(samples),
        *_shortfall(asked, released),
        *_local_limits(timeline.not_sent),
        *_lost_sight(timeline, gaps),
        *_miscounts(timeline),
    )
    report = GeneratorReport(
        asked_qps=asked / seconds if seconds else 0.0,
        held_qps=released / seconds if seconds else 0.0,
        lag_p50_us=percentile_us(lag, 50),
        lag_p99_us=percentile_us(lag, 99),
        lag_max_us=percentile_us(lag, 100),
        wait_p99_us=percentile_us(wait, 99),
        longest_stall_ms=max((s.stall_ns for s in samples), default=0) / MILLISECOND,
        gaps=tuple(_gap_sentence(timeline, g) for g in gaps),
        faults=tuple(f.text for f in faults),
    )
    return report, faults


def explained(attempt: Attempt, faults: Iterable[Fault]) -> bool:
    """Whether a fault of ours may have made this loss: under way at the time, and ended as we could have made it."""
    if attempt.outcome not in OURS:
        return False
    life = Window(start=began(attempt), end=attempt.ended_ns + 1)
    return any(span.meets(life) for fault in faults if fault.explains for span in fault.spans)


def _samples(timeline: Timeline) -> list[HealthSample]:
    start = timeline.stages[Stage.BASELINE].start if Stage.BASELINE in timeline.stages else timeline.window.start
    samples = [s for s in timeline.document.of(HealthSample) if s.start_ns >= start]
    return sorted(samples, key=lambda s: (s.start_ns, s.end_ns))


def _late(samples: Sequence[HealthSample], overall_p99: float | None) -> list[Fault]:
    if overall_p99 is None or overall_p99 <= LAG_P99_LIMIT_US:
        return []
    late = [s for s in samples if (percentile_us(merged([s.lag_hdr]), 99) or 0) > LAG_P99_LIMIT_US]
    text = (
        f"the generator was late: 1 in 100 requests left more than {overall_p99 / 1000:,.0f} ms after its time "
        f"(limit {LAG_P99_LIMIT_US // 1000} ms){_starved_in(late)}; lower --qps or use a machine with more free CPU"
    )
    return [Fault(text=text, spans=_spans(late), explains=True)]


def _stalls(samples: Sequence[HealthSample]) -> list[Fault]:
    stalled = [s for s in samples if s.stall_ns > STALL_LIMIT_NS]
    if not stalled:
        return []
    longest = max(s.stall_ns for s in stalled) / SECOND
    text = (
        f"the generator stood still for up to {longest:.1f} s in {_number(len(stalled), 'sample')} "
        f"(limit {STALL_LIMIT_NS / SECOND:.1f} s): this machine was too busy{_starved_in(stalled)}"
    )
    return [Fault(text=text, spans=_spans(stalled), explains=True)]


def starved(share: float) -> str:
    """For how much of its time others had the generator's processor, to end a clause with; empty for next to none."""
    return "" if share < STARVED_SHARE else f"; other processes had its processor for {share:.0%} of that time"


def _starved_in(samples: Sequence[HealthSample]) -> str:
    length = sum(s.end_ns - s.start_ns for s in samples)
    return starved(sum(s.starved_ns for s in samples) / length if length else 0.0)


def _spans(samples: Iterable[HealthSample]) -> tuple[Window, ...]:
    return tuple(Window(start=s.start_ns, end=s.end_ns) for s in samples)


def _shortfall(asked: int, released: int) -> list[Fault]:
    if released >= asked * (1 - SHORTFALL_LIMIT):
        return []
    text = f"the generator took up {released:,} of the {asked:,} requests that its timetable asked for; lower --qps"
    return [Fault(text=text)]


def is_local_limit(attempt: Attempt) -> bool:
    """Whether it was never sent because this machine had no port, descriptor or memory left."""
    return attempt.outcome is Outcome.DROPPED and any(reason in attempt.detail for reason in LOCAL_REASONS)


def _local_limits(not_sent: Iterable[Attempt]) -> list[Fault]:
    dropped = [a for a in not_sent if is_local_limit(a)]
    if not dropped:
        return []
    reasons = ", ".join(sorted({a.detail for a in dropped}))
    return [Fault(text=f"this machine could not send {_number(len(dropped), 'request')} ({reasons}); lower --qps")]


def _lost_sight(timeline: Timeline, gaps: Iterable[WatchGap]) -> list[Fault]:
    """Gaps, during the replacement, that lost changes which verdicts rest on (a watch that resumed lost none)."""
    span = timeline.replacement
    hidden = [
        g for g in gaps if span is not None and g.relisted and g.resource.lower() in WATCHED and g.end_ns > span.start
    ]
    return [
        Fault(text=f"the watch of {g.resource} was blind for {(g.end_ns - g.start_ns) / SECOND:.1f} s ({g.reason})")
        for g in hidden
    ]


def _miscounts(timeline: Timeline) -> list[Fault]:
    faults: list[Fault] = []
    lost = sum(unlisted(timeline).values())
    if lost:
        faults.append(Fault(text=f"the details of {_number(lost, 'failed attempt')} were not kept"))
    seal = timeline.document.seal
    if seal is None or not seal.scheduled:
        return faults
    counted = lanes_scheduled(timeline)
    for lane in sorted({*counted, *seal.scheduled}):
        here, there = counted.get(lane, 0), seal.scheduled.get(lane, 0)
        if here != there:
            text = f"lane {lane}: the timetable released {there:,} requests, but {here:,} are accounted for"
            faults.append(Fault(text=text))
    return faults


def _gap_sentence(timeline: Timeline, gap: WatchGap) -> str:
    after = (gap.start_ns - timeline.window.start) / SECOND
    end = "changes in it were lost" if gap.relisted else "no change was lost"
    length = (gap.end_ns - gap.start_ns) / SECOND
    return f"{gap.resource}: blind for {length:.1f} s from {after:.1f} s on ({gap.reason}); {end}"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
