"""The page of a load: `report.html` of `rollcheck load --out`."""

from __future__ import annotations

from collections.abc import Sequence

from rollcheck.analyze.hdr import extremes, mean_and_deviation, value_at, values_at
from rollcheck.analyze.loadmodel import LoadSummary, SecondRow
from rollcheck.analyze.results import HdrCurve
from rollcheck.analyze.thresholds import Judgement
from rollcheck.facts.clock import MILLISECOND, SECOND, Instant
from rollcheck.render.axis import Axis
from rollcheck.render.checks import State, check_load
from rollcheck.render.html.curve import percentile_curve
from rollcheck.render.html.markup import Child, Html, el, joined
from rollcheck.render.html.moments import error_columns
from rollcheck.render.html.pack import Json
from rollcheck.render.html.page import page, section
from rollcheck.render.html.raw import attempts_table
from rollcheck.render.html.run import timeline_frame, titled
from rollcheck.render.html.tables import attempts_in_words, conditions, table
from rollcheck.render.html.verdict import banner, milliseconds, tiles
from rollcheck.render.loadtext import LABELS
from rollcheck.render.settings import settings_of, without_user
from rollcheck.render.text import clean, count, counted, offset, outcome_words, sentence

NAV = [("main", "Verdict"), ("timeline", "Timeline"), ("latency", "Latency"), ("errors", "Errors")]
TONES = {State.PASSED: "good", State.FAILED: "bad", State.UNKNOWN: "unsure", State.ASIDE: "good"}


def render_load(summary: LoadSummary, judgements: Sequence[Judgement] = ()) -> bytes:
    """The bytes of the page: the same ones for the same summary, with the same zlib."""
    checkup = check_load(summary, judgements)
    tone, word = TONES[checkup.state], checkup.verdict
    if summary.lost and checkup.state is State.PASSED:  # nothing was asked of losses, but they are no success
        tone, word = "unsure", "passed with losses"
    wrong = [check.message for check in checkup.checks if check.state is not State.PASSED and check.message]
    body = joined(
        banner(
            tone,
            word,
            sentence(checkup.headline),
            el("ul", [el("li", sentence(message)) for message in wrong], class_="reasons") if wrong else None,
            tiles(_figures(summary)),
        ),
        section("thresholds", "Thresholds", _thresholds(judgements)),
        timeline_frame("timeline", "a", picture=False),
        section("latency", "Latency", _curve(summary), _latencies(summary)),
        section("errors", "Errors", _errors(summary), titled("Lost requests", _lost(summary))),
        section("notes", "Worth knowing", _notes(summary)),
        el("section", el("h2", "How it was run"), conditions(summary.header), id="conditions"),
    )
    target = without_user(summary.header.url)
    kicker = joined(target, el("span", f" {checkup.started[:16]}Z"))
    data = load_data(summary)
    return page(f"{word}: load on {target} · rollcheck", tone, NAV, body, data, kicker=kicker)


def load_data(summary: LoadSummary) -> dict[str, Json]:
    """What the script draws of a load."""
    axis = Axis(zero_ns=summary.started_ns, zero="start", anchor=summary.header.anchor)
    drawn = seconds_drawn(summary.seconds, summary.started_ns, asked=summary.header.qps)
    drawn["wall"] = axis.anchor.to_wall(axis.zero_ns) / MILLISECOND
    errors = error_columns(summary.failures, axis, {}, summary.failures)
    told = {"listed": True, "unlisted": summary.lost - len(summary.failures)}
    return {"moments-a": {**drawn, **errors, **told}, "raw-a": [attempts_table(summary.failures, axis)]}


def seconds_drawn(rows: Sequence[SecondRow], start: Instant, *, asked: float) -> dict[str, Json]:
    """Rates and latencies of a load as the timeline draws them; nothing of a cluster, no single request."""
    at = [(row.at_ns - start) / SECOND for row in rows]
    ends = [(row.at_ns + row.length_ns - start) / SECOND for row in rows]
    return {
        "zero": "start",
        "start": round(min(at, default=0.0), 3),
        "end": round(max(ends, default=0.0), 3),
        "wall": 0.0,
        "asked": float(asked),
        "stages": [],
        "outages": [],
        "endpoints": [],
        "pods": [],
        "causes": [],
        "marks": [],
        "gaps": [],
        "nearest": {},
        "listed": False,
        "unlisted": 0,
        "kinds": [],
        "errors": {"at": [], "kind": [], "cause": [], "row": []},
        "slots": {
            "start": [round(second, 3) for second in at],
            "end": [round(second, 3) for second in ends],
            "ok": [round(row.ok * SECOND / row.length_ns, 1) for row in rows],
            "failed": [round((row.failed + row.not_sent) * SECOND / row.length_ns, 1) for row in rows],
            "p50": [None if row.p50_us is None else row.p50_us / 1_000 for row in rows],
            "p99": [None if row.p99_us is None else row.p99_us / 1_000 for row in rows],
        },
    }


def _figures(summary: LoadSummary) -> list[tuple[str, str, str]]:
    asked = settings_of(summary.header).requested_qps
    rate = f"asked for {asked}" if summary.open_loop else "as fast as answers came"
    told = [
        ("Lost requests", count(summary.lost), f"of {count(summary.scheduled)}"),
        ("Requests per second", f"{summary.rate:,.5g}", f"{rate}, over {summary.elapsed_s:,.1f} s"),
    ]
    known = summary.response
    if known is not None:
        for percent, other in ((50, 90), (99, 99.9)):
            beside = f"p{other:g} {_ms(value_at(known, other))}"
            told.append((f"Response time, p{percent}", _ms(value_at(known, percent)), beside))
    return told


def _ms(us: float | None) -> str:
    return milliseconds(None if us is None else us / 1_000)


def _thresholds(judgements: Sequence[Judgement]) -> Html | None:
    if not judgements:
        return None
    rows: list[list[Child]] = [
        [el("span", each.said), el("span", "met" if each.met else "missed", class_="better" if each.met else "worse")]
        for each in judgements
    ]
    return table("Thresholds", ("Threshold", "judged"), rows, words=frozenset({0, 1}))


def _curve(summary: LoadSummary) -> Html | None:
    found = [(LABELS[name], HdrCurve(h)) for name in ("response", "service") if (h := summary.latencies[name])]
    return percentile_curve(found, "Latency by percentile, of response and service time")


def _latencies(summary: LoadSummary) -> Html | None:
    percents = settings_of(summary.header).percentiles
    rows: list[list[Child]] = []
    for name, histogram in summary.latencies.items():
        if histogram is None or (name in ("lag", "wait") and not summary.open_loop):
            continue
        values = [mean_and_deviation(histogram)[0], *values_at(histogram, percents), extremes(histogram)[1]]
        rows.append([LABELS[name], count(int(histogram.total_count)), *(_ms(value) for value in values)])
    heads = ("Latency", "count", "mean", *(f"p{p:g}" for p in percents), "max")
    return table("Latencies", heads, rows, words=frozenset({0})) if rows else None


def _errors(summary: LoadSummary) -> Html | None:
    statuses = ", ".join(f"{count(n)} × {status}" for status, n in summary.statuses.items())
    good = el("p", f"Good answers by status: {statuses}.", class_="note") if statuses else None
    if not summary.errors:
        return joined(el("p", "Every request was answered well."), good)
    rows: list[list[Child]] = []
    for each in summary.errors:
        ends = [offset((at - summary.started_ns) / SECOND) for at in (each.first_ns, each.last_ns)]
        rows.append([outcome_words(each.name), count(each.count), *ends, clean(each.example)])
    heads = ("Failed or never sent", "count", "first", "last", "example")
    return joined(table("Errors by kind", heads, rows, words=frozenset({0, 4})), good)


def _lost(summary: LoadSummary) -> Html | None:
    axis = Axis(zero_ns=summary.started_ns, zero="start", anchor=summary.header.anchor)
    return attempts_in_words(summary.failures, axis, {}, total=summary.lost)


def _notes(summary: LoadSummary) -> Html | None:
    said = [*summary.faults[1:], summary.target_slow, *summary.notes]
    state = summary.generator
    if state.workers:
        said.append(
            f"{counted(state.workers, 'process', 'processes')} put the load on, at {state.cpu_share:.0%} of a core "
            f"each (at most {state.cpu_peak:.0%}); longest stall {_ms(state.stall_ns / 1_000)}"
        )
    if not summary.open_loop:
        said.append(
            "each connection waited for its answer before it asked again, so what a slow target costs its clients is "
            "not seen here (coordinated omission); give a rate with -qps to see it"
        )
    items = [el("li", sentence(clean(text))) for text in said if text]
    return el("ul", items) if items else None
