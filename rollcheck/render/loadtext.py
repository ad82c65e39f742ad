"""What fortio does not say of a load: response times, whose delay it was, what failed when, the seconds, ourselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rollcheck.analyze.hdr import extremes, mean_and_deviation, value_at, values_at
from rollcheck.analyze.loadmodel import ErrorClass, LoadSummary, SecondRow
from rollcheck.analyze.thresholds import Judgement
from rollcheck.facts.clock import SECOND
from rollcheck.render.settings import settings_of
from rollcheck.render.spark import grouped, sparked
from rollcheck.render.text import clean, count, counted, offset, pad, shorten, wrap

LABELS = {
    "response": "response time",
    "service": "service time",
    "failed": "failed",
    "lag": "lag: ours",
    "wait": "lag: target's",
    "connect": "connect",
}
ERRORS_TOLD = 20
WORTH_TELLING = 0.001
"""Of the generator's time: for so much of it at least, others had its processor."""
TELLING = 2
"""Where p99 of response and service time differ by more than this factor, fortio's lines alone mislead."""
_TONES = {"bad": "1;31", "good": "32", "bold": "1", "dim": "2"}
_LABEL, _CELL, _COUNT = 16, 8, 10


def _toned(text: str, tone: str, *, colour: bool) -> str:
    return f"\x1b[{_TONES[tone]}m{text}\x1b[0m" if colour else text


def headlines(summary: LoadSummary, *, width: int, colour: bool) -> list[str]:
    """What must not be missed, before anything else: figures that are not what was asked for. Empty when they are."""
    said = [("RATE NOT HELD", fault) for fault in summary.faults]
    if summary.target_slow:
        said.append(("RATE NOT REACHED", summary.target_slow))
    if summary.aborted:
        said.append(("ABORTED", summary.aborted))
    if summary.interrupted:
        said.append(
            ("INTERRUPTED", f"{summary.interrupted} after {summary.elapsed_s:.1f} s; this is what came until then")
        )
    if summary.damaged:
        said.append(("INCOMPLETE", "the document ends without its seal; what came after is not known"))
    lines: list[str] = []
    for title, text in said:
        first, *rest = wrap(clean(text), width, first=f"{title}: ", rest="  ")
        lines += [_toned(title, "bad", colour=colour) + first[len(title) :], *rest]
    return lines


def own_lines(
    summary: LoadSummary, judgements: Sequence[Judgement], *, quiet: bool, width: int, colour: bool
) -> list[str]:
    """Our part of the report, which begins with a blank line."""
    parts = [_latency_table(summary), _judged(judgements, colour=colour)]
    if not quiet:
        parts = [
            [_counts(summary)],
            parts[0],
            _remarks(summary, width),
            _errors(summary, width),
            _seconds(summary.seconds, width),
            _generator(summary, width),
            parts[1],
        ]
    lines: list[str] = []
    for part in parts:
        if part:
            heading = part[0] if len(part) == 1 else _toned(part[0], "bold", colour=colour)
            lines += ["", heading, *part[1:]]
    return lines


def _counts(summary: LoadSummary) -> str:
    return (
        f"{count(summary.scheduled)} scheduled = {count(summary.sent)} sent + {count(summary.not_sent)} never sent; "
        f"{count(summary.sent)} sent = {count(summary.ok)} ok + {count(summary.failed)} failed"
    )


def _latency_table(summary: LoadSummary) -> list[str]:
    """One row for each series that has values, one column for each percentile."""
    percents = settings_of(summary.header).percentiles
    heads = ["count", "mean", *(f"p{p:g}" for p in percents), "max"]
    rows = [pad("Latency", _LABEL) + "".join(pad(h, _COUNT if h == "count" else _CELL, right=True) for h in heads)]
    for name, histogram in summary.latencies.items():
        if histogram is None or (name in ("lag", "wait") and not summary.open_loop):
            continue
        cells = [mean_and_deviation(histogram)[0], *values_at(histogram, percents), extremes(histogram)[1]]
        row = pad(f"  {LABELS[name]}", _LABEL) + pad(count(int(histogram.total_count)), _COUNT, right=True)
        rows.append(row + "".join(pad(span(value), _CELL, right=True) for value in cells))
    return rows if len(rows) > 1 else []


def span(us: float) -> str:
    """Microseconds with three figures and a unit, in at most seven columns: `85µs`, `1.23ms`, `12.3s`."""
    if us < 999.5:
        return f"{us:.0f}µs"
    value, unit = (us / 1_000, "ms") if us < 999_500 else (us / 1_000_000, "s")
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}{unit}"


def _remarks(summary: LoadSummary, width: int) -> list[str]:
    """How to read the table, where that matters."""
    response, service, lag, wait = (
        value_at(summary.latencies[name], 99) or 0 for name in ("response", "service", "lag", "wait")
    )
    if not summary.open_loop:
        said = (
            "Closed loop: each connection waits for its answer before it asks again, so what a slow target costs its "
            "clients is not seen here (coordinated omission); give a rate with -qps to see it."
        )
    elif response > TELLING * service and wait > lag:
        said = (
            f"Mind: p99 is {span(response)} from the instant at which a request was due, not the {span(service)} of "
            "fortio's lines above: those count from the instant at which it left, and what it waited for a connection "
            "before that is left out."
        )
    else:
        said = (
            "Response time counts from the instant at which a request was due, service time (and fortio's lines above) "
            "from that at which it left; between them lies the lag."
        )
    return [line for text in (said, *map(clean, summary.notes)) for line in wrap(text, width)]


def _errors(summary: LoadSummary, width: int) -> list[str]:
    if not summary.errors:
        return []
    wide = min(44, max(len(each.name) for each in summary.errors) + 2)
    head = pad("Failed or never sent", max(wide, 22)) + f"{'count':>9}{'first':>9}{'last':>9}  example"
    rows = [_error(summary, each, max(wide, 22), width) for each in summary.errors[:ERRORS_TOLD]]
    rest = summary.errors[ERRORS_TOLD:]
    if rest:
        rows.append(f"  and {counted(sum(e.count for e in rest), 'more', 'more')} of {counted(len(rest), 'kind')}")
    return [head, *rows]


def _error(summary: LoadSummary, each: ErrorClass, wide: int, width: int) -> str:
    first, last = (offset((at - summary.started_ns) / SECOND) for at in (each.first_ns, each.last_ns))
    row = pad(f"  {each.name}", wide) + f"{count(each.count):>9}{first:>9}{last:>9}"
    room = width - len(row) - 2
    return f"{row}  {shorten(clean(each.example), room)}" if each.example and room >= 8 else row


def _seconds(rows: Sequence[SecondRow], width: int) -> list[str]:
    """Three sparklines; one column is a second, or as many as it takes to fit."""
    if len(rows) < 2:
        return []
    room = max(10, width - 38)
    each = len(grouped(rows, room)[0])
    lines = [f"Per second ({'one column each' if each == 1 else f'{each} seconds a column'})"]
    bars, rates = sparked(rows, room, _rate)
    known = [r for r in rates if r is not None]
    lines.append(f"  {'sent/s':<8}{bars}  {_ends(known, lambda v: f'{v:,.5g}')}")
    bars, losses = sparked(rows, room, lambda group: float(sum(r.failed + r.not_sent for r in group)))
    if any(losses):
        lines.append(f"  {'lost':<8}{bars}  {_ends([v for v in losses if v is not None], lambda v: f'{v:,.0f}')}")
    bars, slow = sparked(rows, room, lambda group: max((r.p99_us for r in group if r.p99_us is not None), default=None))
    spans = [v for v in slow if v is not None]
    if spans:
        lines.append(f"  {'p99':<8}{bars}  {_ends(spans, span)}")
    return lines


def _ends(values: Sequence[float], said: Callable[[float], str]) -> str:
    """The least and the greatest of them, once when they read the same."""
    low, high = said(min(values)), said(max(values))
    return low if low == high else f"{low} to {high}"


def _rate(group: Sequence[SecondRow]) -> float:
    return sum(r.ok + r.failed for r in group) * SECOND / sum(r.length_ns for r in group)


def _generator(summary: LoadSummary, width: int) -> list[str]:
    state, header = summary.generator, summary.header
    if not state.workers:
        return []
    processes = counted(header.workers, "process", "processes")
    each = " each" if header.workers > 1 else ""
    parts = [
        f"Generator: {processes}",
        f"CPU {state.cpu_share:.0%} of a core{each} (at most {state.cpu_peak:.0%})",
        f"longest stall {span(state.stall_ns / 1000)}",
    ]
    if state.starved_share >= WORTH_TELLING:
        parts.insert(2, f"others had its processor {state.starved_share:.1%} of the time")
    if state.asked:
        parts.insert(1, f"{count(state.released)} of {count(state.asked)} arrivals taken up")
    if state.skipped:
        parts.append(f"{count(state.skipped)} arrivals left out (-nocatchup)")
    if state.files[1]:
        parts.append(f"files {count(state.files[0])} of {count(state.files[1])}")
    if state.ports[1]:
        parts.append(f"local ports {count(state.ports[0])} of {count(state.ports[1])}")
    held = "the rate was held" if summary.open_loop else "nothing held it up"
    return wrap("; ".join([*parts, held if summary.held else "it did NOT hold: see the first line"]), width, rest="  ")


def _judged(judgements: Sequence[Judgement], *, colour: bool) -> list[str]:
    if not judgements:
        return []
    rows = [_toned(f"  {clean(j.said)}", "good" if j.met else "bad", colour=colour) for j in judgements]
    return ["Thresholds", *rows]
