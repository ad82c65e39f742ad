"""The page of a run: `report.html`."""

from __future__ import annotations

from rollcheck.analyze.model import Analysis
from rollcheck.facts.attempts import Attempt
from rollcheck.render.axis import axis_of
from rollcheck.render.html.causes import causes_section
from rollcheck.render.html.markup import Html, el, joined
from rollcheck.render.html.moments import moments_of
from rollcheck.render.html.pack import Json
from rollcheck.render.html.page import page, section
from rollcheck.render.html.raw import raw_tables, shown_attempts
from rollcheck.render.html.tables import conditions, counts_table, latency_tables, limits, lost_table, pods_table
from rollcheck.render.html.verdict import TONES, asked, run_verdict

NAV = [("main", "Verdict"), ("timeline", "Timeline"), ("requests", "Requests"), ("pods", "Pods"), ("facts", "Facts")]


def render_run(analysis: Analysis) -> bytes:
    """The bytes of `report.html`: the same ones for the same analysis, with the same zlib."""
    header = analysis.timeline.document.header
    body = joined(
        run_verdict(analysis),
        causes_section(analysis),
        timeline_frame("timeline", "a"),
        section(
            "requests",
            "Requests",
            counts_table(analysis),
            titled("Before and after", latency_tables(analysis)),
            titled("Lost requests", lost_table(analysis)),
        ),
        section("pods", "Pods", pods_table(analysis)),
        el("div", limits(analysis), id="limits"),
        facts_frame("a"),
        el("section", el("h2", "How it was run"), asked(header), conditions(header), id="conditions"),
    )
    what = f"{analysis.verdict.value}: {header.workload} in {header.namespace}"
    kicker = joined(
        header.workload,
        el("span", f" {header.namespace} · {axis_of(analysis).wall(analysis.timeline.window.start)[:16]}Z"),
    )
    return page(f"{what} · rollcheck", TONES[analysis.verdict], NAV, body, run_data(analysis, "a"), kicker=kicker)


def run_data(analysis: Analysis, side: str, *, facts: bool = True) -> dict[str, Json]:
    """What the script needs of a run; `side` tells two runs in one page apart."""
    axis, timeline = axis_of(analysis), analysis.timeline
    shown = shown_attempts(timeline.document.of(Attempt))
    data = {f"moments-{side}": moments_of(analysis, shown)}
    if facts:
        data[f"raw-{side}"] = raw_tables(timeline.document, axis, timeline.window, shown)
    return data


def timeline_frame(part: str, side: str, *, title: str = "Timeline", picture: bool = True) -> Html:
    """Where the script draws; without it, where else to look (`picture`: whether figures are beside the page)."""
    beside = "timeline.png beside this file is the same picture, and " if picture else ""
    silent = f"The timeline is drawn by JavaScript, which is off; {beside}the tables on this page say it in figures."
    drawn = el("div", class_="chart", data_side=side, hidden=True)
    return el("section", el("h2", title), drawn, el("noscript", el("p", silent, class_="note")), id=part)


def facts_frame(side: str) -> Html:
    """Where the script lists every fact."""
    silent = "Every fact is in facts.jsonl beside this file, one a line; this table of them needs JavaScript."
    listed = el("div", class_="raw", data_side=side, hidden=True)
    return el("section", el("h2", "Facts"), listed, el("noscript", el("p", silent, class_="note")), id="facts")


def titled(title: str, child: Html | None) -> Html | None:
    """A child under a heading of its own, if there is one."""
    return joined(el("h3", title), child) if child else None
