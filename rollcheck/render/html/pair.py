"""Two runs, or two loads, beside each other: before a change and after it."""

from __future__ import annotations

from collections.abc import Sequence

from rollcheck.analyze.compare import METHOD, Comparison, Difference
from rollcheck.analyze.exposure import replacement_counts
from rollcheck.analyze.model import Analysis
from rollcheck.analyze.outages import longest_and_number
from rollcheck.analyze.results import Curve, Result
from rollcheck.analyze.words import rounded_up
from rollcheck.facts.attempts import Stage
from rollcheck.render.comparison import difference_cells, difference_words, verdict
from rollcheck.render.html.causes import causes_section
from rollcheck.render.html.curve import percentile_curve
from rollcheck.render.html.load import seconds_drawn
from rollcheck.render.html.markup import Child, Html, el, joined
from rollcheck.render.html.pack import Json
from rollcheck.render.html.page import page, section
from rollcheck.render.html.run import run_data, timeline_frame
from rollcheck.render.html.tables import counts_table, latency_tables, pods_table, table
from rollcheck.render.html.verdict import TONES, banner, milliseconds, run_verdict
from rollcheck.render.settings import without_user
from rollcheck.render.text import clean, count, seconds, sentence

NAV = [("main", "Verdict"), ("changed", "What changed"), ("timeline", "Timelines"), ("requests", "Requests")]
NAMES = {Stage.BASELINE: "before", Stage.REPLACEMENT: "while replaced"}


def render_runs(a: Analysis, b: Analysis, names: tuple[str, str]) -> bytes:
    """The page of two runs; names are what the caller calls them, usually their folders."""
    both = tuple(zip("AB", (a, b), names, strict=True))
    pods = [pods_table(run) for run in (a, b)]
    title = f"A {a.verdict.value}, B {b.verdict.value}"
    body = joined(
        el("h1", title, class_="unseen"),
        _sides([el("div", _name(side, name), run_verdict(run, level="h3"), class_="side") for side, run, name in both]),
        section("changed", "What changed", _changed(a, b)),
        _sides([el("div", causes_section(run, level="h3")) for run in (a, b)]),
        el(
            "div",
            _sides([timeline_frame(f"timeline-{side}", side.lower(), title=f"Timeline of {side}") for side in "AB"]),
            id="timeline",
        ),
        section("requests", "Requests", _sides([el("div", counts_table(run), latency_tables(run)) for run in (a, b)])),
        section("pods", "Pods", _sides([el("div", each) for each in pods]) if any(pods) else None),
    )
    data = {**run_data(a, "a"), **run_data(b, "b")}
    return page(
        f"{title} · rollcheck compare",
        TONES[b.verdict],
        NAV,
        body,
        data,
        kicker=el("span", f"{names[0]} and {names[1]}"),
    )


def render_loads(comparison: Comparison) -> bytes:
    """The page of two loads."""
    a, b = comparison.a, comparison.b
    tone, word = _judged(comparison)
    told = [comparison.unjudged, *comparison.warnings]
    rows = [_difference_row(found, a, b) for found in comparison.differences]
    heads = (f"{comparison.measure} time", "A", "B", "change", "against the noise")
    curves = [(side, c) for side, result in (("A", a), ("B", b)) if (c := _curve(result, comparison.measure))]
    sides = [(side, result) for side, result in (("A", a), ("B", b)) if result.seconds]
    frames = [
        timeline_frame(f"timeline-{side}", side.lower(), title=f"Timeline of {side}", picture=False)
        for side, _ in sides
    ]
    body = joined(
        banner(
            tone,
            word,
            verdict(comparison),
            _sides([el("div", _name(side, result.name), _asked(result)) for side, result in (("A", a), ("B", b))]),
        ),
        section("changed", "What changed", table("Differences", heads, rows, words=frozenset({0, 4})), _noted(told)),
        section("latency", "Latency by percentile", percentile_curve(curves, "Latency by percentile of A and B")),
        el("div", _sides(frames), id="timeline") if frames else None,
        el("p", f"How: {METHOD}.", class_="note") if not comparison.unjudged else None,
    )
    data = {f"moments-{side.lower()}": _drawn(result) for side, result in sides}
    nav = [("main", "Verdict"), ("changed", "What changed"), ("latency", "Latency"), ("timeline", "Timelines")]
    return page(
        f"{word}: A and B · rollcheck compare", tone, nav, body, data, kicker=el("span", f"{a.name} and {b.name}")
    )


def _sides(sides: Sequence[Html]) -> Html:
    return el("div", sides, class_="sides")


def _name(side: str, name: str) -> Html:
    return el("h2", el("span", side, class_="rank"), " ", name)


def _changed(a: Analysis, b: Analysis) -> Html:
    cells = [_summed(run) for run in (a, b)]
    rows: list[list[Child]] = [[name, cells[0][name], cells[1][name]] for name in cells[0]]
    return table("What changed", ("", "A", "B"), rows, words=frozenset({0, 1, 2}))


def _summed(analysis: Analysis) -> dict[str, str]:
    """A run in a dozen figures, the same ones for every run."""
    since = replacement_counts(analysis.timeline)
    outages, longest = longest_and_number(analysis.outages)
    reach = max((each.seconds for each in analysis.propagation), default=None)
    killed = sum(pod.killed for pod in analysis.timeline.pods if pod.generation == "old")
    told = {
        "verdict": analysis.verdict.value,
        "lost since the trigger": f"{count(since.failed)} of {count(since.sent)}",
        "never sent": count(analysis.counts.not_sent),
        "longest outage": f"≤ {rounded_up(longest):,.1f} s" if outages else "none",
        "pods replaced": count(analysis.bounds.pods_replaced),
        "killed at the end of their grace": count(killed),
        "new connections to a deleted pod": "–" if reach is None else f"up to {seconds(reach[1])}",
        "first cause": sentence(analysis.causes[0].name) if analysis.causes else "none",
    }
    for stage, name in NAMES.items():
        found = [each for each in analysis.latency if each.stage is stage]
        slowest = max((each.response_ms.get("p99", 0.0) for each in found), default=None)
        told[f"p99 {name}, slowest lane"] = milliseconds(slowest)
    return told


def _judged(comparison: Comparison) -> tuple[str, str]:
    if comparison.unjudged:
        return "unsure", "not known"
    if comparison.worse:
        return "bad", "worse"
    return ("good", "better") if comparison.better else ("good", "no difference")


def _difference_row(found: Difference, a: Result, b: Result) -> list[Child]:
    tone = "worse" if found.worse else "better" if found.better else None
    return [found.name, *difference_cells(found, a, b), el("span", difference_words(found), class_=tone)]


def _asked(result: Result) -> Html:
    asked = "as fast as answers came" if result.asked == "max" else f"asked {result.asked}/s"
    by = ", by fortio" if result.source == "fortio" else ""
    return el("p", f"{without_user(result.url)}, {asked}, {result.started}{by}", class_="what")


def _noted(told: Sequence[str]) -> Html | None:
    items = [el("li", sentence(clean(text))) for text in told if text]
    return el("ul", items) if items else None


def _curve(result: Result, measure: str) -> Curve | None:
    return result.response if measure == "response" else result.service


def _drawn(result: Result) -> Json:
    asked = float(result.asked) if result.asked.replace(".", "", 1).isdigit() else 0.0
    return seconds_drawn(result.seconds, result.seconds[0].at_ns, asked=asked)
