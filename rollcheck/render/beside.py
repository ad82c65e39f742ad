"""Two runs of one workload side by side: before a fix and after it."""

from __future__ import annotations

from collections import Counter

from rollcheck.analyze.exposure import replacement_counts
from rollcheck.analyze.model import Analysis, PodLife, Verdict
from rollcheck.facts.attempts import Lane, Stage
from rollcheck.render.result import outcome_key
from rollcheck.render.text import cells, clean, count, counted, outcome_words, pad, seconds, sentence, wrap

_LABEL, _LEAST = 16, 24
_CODES = {Verdict.GRACEFUL: "1;32", Verdict.NOT_GRACEFUL: "1;31", Verdict.INCONCLUSIVE: "1;33"}
NOTHING = "-"


def render_beside(runs: tuple[tuple[str, Analysis], tuple[str, Analysis]], *, width: int, colour: bool) -> str:
    """A table with a column for each run, a newline at its end.

    Args:
        runs: what to call each run, and its analysis.
        width: columns of the terminal.
        colour: whether the verdicts are coloured; they say the same without.
    """
    left, right = (analysis for _, analysis in runs)
    column = max(_LEAST, (width - _LABEL) // 2 - 1)
    lines = _row("", runs[0][0], runs[1][0], column)
    lines += _verdicts(left, right, column, colour=colour)
    for label, told in (
        ("lost", _lost),
        ("  of requests", _requests),
        ("  how", _ways),
        ("why", _causes),
        ("old pods lived", _lives),
        ("  exit codes", _exits),
        ("proxies late by", _late),
        ("p99", _latency),
    ):
        lines += _row(label, told(left), told(right), column)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _row(label: str, left: str, right: str, column: int) -> list[str]:
    """One row; what is too long for its column goes on below."""
    parts = [wrap(clean(text), column - 2, rest="  ") for text in (left, right)]
    height = max(map(len, parts))
    cut = [[*part, *[""] * (height - len(part))] for part in parts]
    return [pad(label if i == 0 else "", _LABEL) + pad(cut[0][i], column) + cut[1][i] for i in range(height)]


def _verdicts(left: Analysis, right: Analysis, column: int, *, colour: bool) -> list[str]:
    made = []
    for analysis in (left, right):
        word = analysis.verdict.value.upper()
        blank = " " * max(0, column - cells(word))
        made.append((f"\x1b[{_CODES[analysis.verdict]}m{word}\x1b[0m" if colour else word) + blank)
    return [pad("verdict", _LABEL) + "".join(made)]


def _lost(analysis: Analysis) -> str:
    return count(analysis.counts.failed)


def _requests(analysis: Analysis) -> str:
    since = replacement_counts(analysis.timeline)
    return f"{count(analysis.counts.sent)} sent, {count(since.sent)} since the trigger"


def _ways(analysis: Analysis) -> str:
    ways = Counter(outcome_words(outcome_key(attempt)) for attempt in analysis.timeline.failures)
    return ", ".join(f"{count(number)} {words}" for words, number in ways.most_common(4)) or NOTHING


def _causes(analysis: Analysis) -> str:
    told = [f"{sentence(cause.name)} ({counted(cause.attempts, 'request')})" for cause in analysis.causes[:3]]
    if analysis.unattributed:
        told.append(f"{count(len(analysis.unattributed))} without a known cause")
    return "; ".join(told) or NOTHING


def _old(analysis: Analysis) -> list[PodLife]:
    return [pod for pod in analysis.timeline.pods if pod.generation == "old" and pod.deleted is not None]


def _lives(analysis: Analysis) -> str:
    """How long the old pods lived on after their deletion, as far as our clock tells it."""
    spans = [(pod.exits[0].seen_ns - pod.deleted.seen_ns) / 1e9 for pod in _old(analysis) if pod.exits and pod.deleted]
    if not spans:
        return NOTHING
    low, high = seconds(min(spans)), seconds(max(spans))
    return f"{low} after their deletion" if low == high else f"{low} to {high} after their deletion"


def _exits(analysis: Analysis) -> str:
    codes = Counter("?" if ended.code is None else str(ended.code) for p in _old(analysis) for ended in p.exits[:1])
    return ", ".join(f"{number} × {code}" for code, number in sorted(codes.items())) or NOTHING


def _late(analysis: Analysis) -> str:
    if not analysis.propagation:
        return NOTHING
    low, high = max(analysis.propagation, key=lambda each: each.seconds).seconds
    return f"new connections for {seconds(low)}" + ("" if low == high else f" to {seconds(high)}")


def _latency(analysis: Analysis) -> str:
    """Of the reused lane, before and during the replacement."""
    p99 = {s.stage: s.response_ms.get("p99") for s in analysis.latency if s.lane is Lane.REUSED}
    before, meanwhile = p99.get(Stage.BASELINE), p99.get(Stage.REPLACEMENT)
    if before is None or meanwhile is None:
        return NOTHING
    return f"{before:.3g} ms, {meanwhile:.3g} ms meanwhile"
