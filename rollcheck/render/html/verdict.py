"""The first screen: the verdict, why, and the four figures that say how bad it was."""

from __future__ import annotations

from rollcheck.analyze.exposure import replacement_counts
from rollcheck.analyze.model import Analysis, PodLife, StageLatency, Verdict
from rollcheck.analyze.outages import longest_and_number
from rollcheck.analyze.words import rounded_up
from rollcheck.facts.attempts import Stage
from rollcheck.facts.document import Header
from rollcheck.render.axis import axis_of
from rollcheck.render.html.markup import Html, el, joined
from rollcheck.render.settings import without_user
from rollcheck.render.tables import lane_counts, since_trigger
from rollcheck.render.text import count, counted, offset, seconds, sentence

TONES = {Verdict.GRACEFUL: "good", Verdict.NOT_GRACEFUL: "bad", Verdict.INCONCLUSIVE: "unsure"}
SIGNS = {"good": "✓", "bad": "✕", "unsure": "?"}
"""So that a verdict can be told without its colour."""


def run_verdict(analysis: Analysis, *, level: str = "h1") -> Html:
    """The verdict of a run; `level` is the element of its headline."""
    reasons = [reason for reason in analysis.reasons if reason not in analysis.headline]
    header = analysis.timeline.document.header
    return banner(
        TONES[analysis.verdict],
        analysis.verdict.value,
        sentence(analysis.headline),
        el("ul", [el("li", sentence(reason)) for reason in reasons], class_="reasons") if reasons else None,
        _scope(analysis),
        el("p", "This was rollcheck’s own sandbox: it is no evidence about a real cluster.", class_="scope")
        if header.sandbox
        else None,
        tiles(_figures(analysis)),
        level=level,
    )


def banner(tone: str, word: str, headline: str, *more: Html | None, level: str = "h1") -> Html:
    """A verdict: its word with a sign, its headline, and what belongs to it."""
    badge = el("p", el("span", SIGNS[tone], class_="sign", aria_hidden="true"), " ", word, class_="badge")
    return el("section", badge, el(level, headline, class_="headline"), more, class_=f"verdict {tone}")


def tiles(figures: list[tuple[str, str, str]]) -> Html:
    """Figures to be seen at a glance: (label, figure, what to know about it)."""
    return el(
        "dl",
        [
            el("div", el("dt", label), el("dd", figure, class_="figure"), el("dd", note, class_="note"))
            for label, figure, note in figures
        ],
        class_="tiles",
    )


def asked(header: Header) -> Html:
    """What was asked of what, in a line."""
    parts = [
        el("strong", header.workload),
        f"in {header.namespace}" + (f", context {header.context}" if header.context else ""),
        f"{header.trigger}; {header.qps:g} requests/s to {without_user(header.url)}",
    ]
    return el("p", joined(parts[0], " ", parts[1]), el("br"), parts[2], class_="what")


def _scope(analysis: Analysis) -> Html | None:
    since, everything = replacement_counts(analysis.timeline).sent, analysis.counts.sent
    if analysis.verdict is Verdict.INCONCLUSIVE or since == everything:
        return None
    text = f"Counted {since_trigger(analysis)}: {count(since)} of the run’s {counted(everything, 'request')}."
    return el("p", text, class_="scope")


def _figures(analysis: Analysis) -> list[tuple[str, str, str]]:
    return [each for each in (_lost(analysis), _outage(analysis), _replaced(analysis), _slower(analysis)) if each]


def _lost(analysis: Analysis) -> tuple[str, str, str]:
    since = replacement_counts(analysis.timeline)
    if not since.sent:
        return "Lost requests", count(analysis.counts.failed), f"of {count(analysis.counts.sent)}, nothing was replaced"
    unsent = f"; {count(since.not_sent)} never sent" if since.not_sent else ""
    return "Lost requests", count(since.failed), f"of {count(since.sent)} {since_trigger(analysis)}{unsent}"


def _outage(analysis: Analysis) -> tuple[str, str, str]:
    outages, longest = longest_and_number(analysis.outages)
    if not outages:
        spans = [s for s in analysis.bounds.shortest_outage_s.values() if s < float("inf")]
        seen = f"under {seconds(max(spans))} would not show" if spans else "not known what would show"
        return "Longest outage", "none", seen
    first = axis_of(analysis).at(min(outage.window.start for outage in analysis.outages))
    begun = f"the first began at {offset(first)} s" if outages > 1 else f"began at {offset(first)} s"
    return "Longest outage", f"≤ {rounded_up(longest):,.1f} s", f"{counted(outages, 'outage')}, {begun}"


def _replaced(analysis: Analysis) -> tuple[str, str, str] | None:
    if not analysis.timeline.pods:
        return None
    deleted: list[PodLife] = [p for p in analysis.timeline.pods if p.generation == "old" and p.deleted]
    killed = sum(pod.killed for pod in deleted)
    note = f"{count(killed)} killed at the end of the grace" if killed else "none killed at the end of its grace"
    return "Pods replaced", count(analysis.bounds.pods_replaced), note if deleted else "none was deleted"


def _slower(analysis: Analysis) -> tuple[str, str, str] | None:
    """The p99 of the lane that sent most, before and during."""
    lanes = lane_counts(analysis)
    if not lanes:
        return None
    lane = max(lanes, key=lambda each: each.sent).lane
    found: dict[Stage, StageLatency] = {latency.stage: latency for latency in analysis.latency if latency.lane is lane}
    p99 = {stage: latency.response_ms.get("p99") for stage, latency in found.items()}
    during, before = p99.get(Stage.REPLACEMENT), p99.get(Stage.BASELINE)
    if during is None:
        return None
    note = f"{milliseconds(before)} in the baseline, {lane} lane" if before is not None else f"{lane} lane"
    return "p99 meanwhile", milliseconds(during), note


def milliseconds(value: float | None) -> str:
    """Three figures and a unit: `4.05 ms`, `226 ms`, `1.94 s`; a dash for None."""
    if value is None:
        return "–"
    if value < 0.1:
        return f"{value * 1_000:.0f} µs"
    if value >= 10_000:
        return f"{value / 1_000:.1f} s"
    if value >= 1_000:
        return f"{value / 1_000:.2f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"
