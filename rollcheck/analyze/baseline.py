"""What happened before anything was replaced: what fails then is not the replacement's fault."""

from __future__ import annotations

from collections import Counter

from rollcheck.analyze.counts import count_stages, outcome_name
from rollcheck.analyze.latency import merged, percentile_us
from rollcheck.analyze.model import BaselineReport, Timeline
from rollcheck.facts.attempts import Lane, Stage
from rollcheck.facts.clock import SECOND, Window


def report_baseline(timeline: Timeline) -> BaselineReport:
    """Of what ended in the baseline stage; all zero when there was none.

    Its seconds are those in which there was load: the engine comes up some tenths of a second after the stage's mark,
    which of a short baseline on a busy machine is enough to make a good target look slow.
    """
    stage = timeline.stages.get(Stage.BASELINE)
    began = max(stage.start, timeline.intervals[0].start_ns) if stage and timeline.intervals else 0
    seconds = max(0, stage.end - began) / SECOND if stage and began else 0.0
    none = Window(start=timeline.window.start, end=timeline.window.start)
    counts = count_stages(timeline, (Stage.BASELINE,), stage or none)
    lost = [a for a in (*timeline.failures, *timeline.not_sent) if stage is not None and stage.holds(a.ended_ns)]
    answered = merged(
        i.response_hdr for i in timeline.intervals if i.stage is Stage.BASELINE and i.lane is not Lane.PROBE
    )
    p50, p99 = percentile_us(answered, 50), percentile_us(answered, 99)
    return BaselineReport(
        seconds=seconds,
        counts=counts,
        by_outcome=dict(sorted(Counter(outcome_name(a) for a in lost).items())),
        p50_ms=None if p50 is None else p50 / 1000,
        p99_ms=None if p99 is None else p99 / 1000,
        served_qps=counts.ok / seconds if seconds else 0.0,
    )
