"""The tables of a run that need no script: counts, latencies before and after, pods, lost requests, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rollcheck.analyze.exposure import replacement_counts
from rollcheck.analyze.model import Analysis, PodLife
from rollcheck.facts.attempts import Attempt, Lane, Stage
from rollcheck.facts.header import Header, LanePlan
from rollcheck.render.axis import Axis, axis_of
from rollcheck.render.html.markup import Child, Html, el, joined
from rollcheck.render.html.verdict import milliseconds
from rollcheck.render.result import outcome_key
from rollcheck.render.settings import without_user
from rollcheck.render.tables import failed_ways, lane_counts, new_pods_lines, pod_cells, since_trigger
from rollcheck.render.terminal import bounds_told, unseen
from rollcheck.render.text import clean, count, counted, offset, outcome_words, sentence

TALL = 12
"""Rows from which on a table scrolls by itself, so that what follows it is not far."""
LOST_TOLD = 100
"""Lost requests that stand in the page itself; the script shows the others."""
UNWRAPPED = 10_000
PERCENTILES = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9", "max": "max"}
STAGES = {Stage.BASELINE: "before", Stage.REPLACEMENT: "while replaced", Stage.TAIL: "after"}


def table(label: str, heads: Sequence[str], rows: Sequence[Sequence[Child]], *, words: frozenset[int]) -> Html:
    """A table that scrolls sideways by itself; the first cell of each row is its heading.

    Args:
        label: its name, for whoever cannot see where it stands.
        heads: of the columns.
        rows: their cells.
        words: numbers of the columns that hold words, and so begin at the left.
    """
    head = [el("th", name, scope="col", class_=None if i in words else "num") for i, name in enumerate(heads)]
    body = [
        el(
            "tr",
            [
                el(
                    "th" if i == 0 else "td",
                    cell,
                    scope="row" if i == 0 else None,
                    class_=None if i in words else "num",
                )
                for i, cell in enumerate(row)
            ],
        )
        for row in rows
    ]
    made = el("table", el("thead", el("tr", head)), el("tbody", body))
    tall = " tall" if len(rows) > TALL else ""
    return el("div", made, class_=f"scroll{tall}", tabindex="0", role="region", aria_label=label)


def counts_table(analysis: Analysis) -> Html:
    """What each lane counted, exactly."""
    rows: list[list[Child]] = [
        [f"{each.lane}", count(each.sent), count(each.ok), count(each.failed), count(each.not_sent), ways]
        for each, ways in ((lane, failed_ways(analysis, lane.lane)) for lane in lane_counts(analysis))
    ]
    totals = [("all", analysis.counts)] if len(rows) != 1 else []
    since = replacement_counts(analysis.timeline)
    if 0 < since.sent < analysis.counts.sent:
        totals.append((since_trigger(analysis), since))
    rows += [
        [name, count(total.sent), count(total.ok), count(total.failed), count(total.not_sent), ""]
        for name, total in totals
    ]
    heads = ("Requests", "sent", "ok", "failed", "never sent", "how they failed")
    made = table("Requests by lane", heads, rows, words=frozenset({0, 5}))
    probes = analysis.counts.probes
    if not probes:
        return made
    bad = analysis.counts.probes_failed
    text = f"{counted(probes, 'fresh probe')} after failures: {count(probes - bad)} ok, {count(bad)} failed."
    return joined(made, el("p", text, class_="note"))


def latency_tables(analysis: Analysis) -> Html | None:
    """Latency before, while pods were replaced, and after, side by side; a table for each lane."""
    found = {(each.lane, each.stage): each.response_ms for each in analysis.latency}
    stages = [stage for stage in STAGES if any(key[1] is stage for key in found)]
    made = []
    for lane in Lane:
        of = [found.get((lane, stage), {}) for stage in stages]
        rows: list[list[Child]] = [
            [name, *(milliseconds(each.get(key)) for each in of)]
            for key, name in PERCENTILES.items()
            if any(key in each for each in of)
        ]
        if rows:
            heads = (f"{lane} lane", *(STAGES[stage] for stage in stages))
            made.append(table(f"Response times of the {lane} lane", heads, rows, words=frozenset({0})))
    return el("div", made, class_="beside") if made else None


def pods_table(analysis: Analysis) -> Html | None:
    """How each old pod ended; the new ones in a line."""
    old = [pod for pod in analysis.timeline.pods if pod.generation == "old"]
    if not analysis.timeline.pods:
        return None
    axis = axis_of(analysis)
    told = sorted((p for p in old if p.deleted), key=lambda pod: (pod.deleted.seen_ns if pod.deleted else 0, pod.name))
    heads = ("Old pod", "deleted", "left endpoints", "SIGTERM (inferred)", "exit code", "met while ending")
    rows = [_pod_row(axis, pod) for pod in told]
    made = table("Old pods", heads, rows, words=frozenset({0, 4, 5})) if rows else None
    stayed = len(old) - len(told)
    lines = [f"{counted(stayed, 'old pod')} not deleted"] if stayed else []
    lines += new_pods_lines(analysis, UNWRAPPED)
    return joined(made, [el("p", sentence(clean(line)), class_="note") for line in lines])


def _pod_row(axis: Axis, pod: PodLife) -> list[Child]:
    name, *cells = pod_cells(axis, pod)
    cells[3] += " (killed)" if pod.killed else ""
    return [el("span", name, class_="name"), *cells]


def lost_table(analysis: Analysis) -> Html | None:
    """The first lost requests in words."""
    causes = {claim: number for number, cause in reversed(list(enumerate(analysis.causes, 1))) for claim in cause.seqs}
    return attempts_in_words(analysis.timeline.failures, axis_of(analysis), causes)


def attempts_in_words(
    found: Sequence[Attempt], axis: Axis, causes: Mapping[tuple[str, int], int], *, total: int = 0
) -> Html | None:
    """The first of some failed attempts, one a row; of `total`, if there were more than those found."""
    if not found:
        return None
    heads = ["Began", "lane", "what happened", "connection", "pod", *(["cause"] if causes else [])]
    rows = [
        _lost_row(axis, attempt) + ([str(causes.get((attempt.lane.value, attempt.seq), "–"))] if causes else [])
        for attempt in found[:LOST_TOLD]
    ]
    made = table("Lost requests", heads, rows, words=frozenset({1, 2, 3, 4}))
    rest = max(total, len(found)) - len(rows)
    more = f"The first {len(rows)}; {count(rest)} more are in facts.jsonl." if rest > 0 else ""
    return joined(made, el("p", more, class_="note") if more else None)


def _lost_row(axis: Axis, attempt: Attempt) -> list[Child]:
    at = attempt.intended_ns if attempt.sent_ns is None else attempt.sent_ns
    words = outcome_words(outcome_key(attempt))
    what = f"{words} ({clean(attempt.detail)})" if attempt.detail else words
    pod = el("span", attempt.pod or "–", class_="name")
    # The script makes a button of it.
    began = el("span", offset(axis.at(at)), data_attempt=f"{attempt.lane} {attempt.seq}")
    return [began, attempt.lane.value, what, attempt.use.value, pod]


def limits(analysis: Analysis) -> Html:
    """What the run could not see, and what is worth knowing beside it."""
    bounds = bounds_told(analysis)
    blind = [*([f"{bounds} (bounds of 95 %)"] if bounds else []), *unseen(analysis)]
    # A fault of ours that did not change the verdict is among the observations too.
    asides = list(dict.fromkeys([*analysis.generator.faults, *analysis.observations]))
    return el(
        "div",
        _listed("What this run could not see", blind, "Nothing that we know of."),
        _listed("Worth knowing", asides, "") if asides else None,
        class_="halves",
    )


def _listed(title: str, facts: Sequence[str], nothing: str) -> Html:
    items = el("ul", [el("li", sentence(fact)) for fact in facts]) if facts else el("p", nothing, class_="note")
    return el("section", el("h2", title), items)


def conditions(header: Header) -> Html:
    """What was asked for, and by which versions: for whoever wants to repeat it."""
    rate = f"{header.qps:g} requests/s" if header.qps else "as fast as answers come"
    told = [
        ("Run", header.run_id),
        ("Target", f"{header.method} {without_user(header.url)} {f'({header.route})' if header.route else ''}"),
        ("Good is", header.expect),
        ("Load", f"{rate}, timeout {header.timeout_s:g} s"),
        ("Lanes", "; ".join(map(_lane, header.lanes))),
        *sorted(header.options.items()),
        *((f"{name} version", value) for name, value in sorted(header.versions.items())),
    ]
    return pairs([(name, value) for name, value in told if value])


def _lane(plan: LanePlan) -> str:
    over = f"over {counted(plan.connections, 'connection')}" if plan.connections else "over as many as it takes"
    return f"{plan.lane}: {plan.share:.0%} {over}"


def pairs(told: Sequence[tuple[str, str]]) -> Html:
    """Names and values, side by side where there is room."""
    return el("dl", [el("div", el("dt", name), el("dd", value)) for name, value in told], class_="pairs")
