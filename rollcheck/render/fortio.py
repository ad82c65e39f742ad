"""A load as fortio prints it: its lines, in its order, to the character, and then ours (`render.loadtext`).

People and scripts know these lines (`Code 200 : …`, `# target 99% …`, `All done …`), so they mean here what they mean
there: "Function Time" is service time, from the instant at which a request really left, failures included. Where that
is less than honest, our own lines below say the rest. Four things differ, on purpose:

- When the rate was not held or not reached, the first line says so.
- A share of codes reads 100.0 % only when it was all of them; code −1 counts what was never sent, too.
- There is no `Sleep times`: arrivals are on a timetable, nobody sleeps between two calls.
- Percentiles come from HDR histograms (`render.buckets`).
"""

from __future__ import annotations

from collections.abc import Iterable

from rollcheck.analyze.loadaudit import LATE_SHARE_LIMIT
from rollcheck.analyze.loadmodel import LoadSummary
from rollcheck.analyze.thresholds import Judgement
from rollcheck.facts.clock import SECOND
from rollcheck.facts.wiretotals import SlotTotals
from rollcheck.render.buckets import Distribution, of_moments
from rollcheck.render.fortiojson import addresses, connect_times, distributions, fortio_bytes, fortio_json, result_id
from rollcheck.render.gofmt import duration, shortest, significant
from rollcheck.render.loadtext import headlines, own_lines
from rollcheck.render.settings import Settings, settings_of, switched_on
from rollcheck.render.text import clean

__all__ = ["fortio_bytes", "fortio_json", "fortio_lines", "fortio_text", "result_id"]

SLOTS_TOLD = 1_000
"""Lines of single connections, at most; the JSON has them all."""


def fortio_text(
    summary: LoadSummary,
    *,
    quiet: bool = False,
    width: int = 80,
    colour: bool = False,
    judgements: Iterable[Judgement] = (),
) -> str:
    """Everything that a person reads of a load, a newline at its end.

    Args:
        summary: of the load.
        quiet: counters and percentiles only, as fortio's `-quiet`.
        width: columns of the terminal; fortio's lines keep their length whatever it is.
        colour: whether to add ANSI colours to our own lines.
        judgements: what became of each threshold.
    """
    lines = [
        *headlines(summary, width=width, colour=colour),
        *fortio_lines(summary, quiet=quiet),
        *own_lines(summary, tuple(judgements), quiet=quiet, width=width, colour=colour),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def fortio_lines(summary: LoadSummary, *, quiet: bool = False) -> list[str]:
    """The lines that fortio prints of such a load, from "running at" to "All done"."""
    settings = settings_of(summary.header)
    times, errors = distributions(summary, settings)
    lines = [_running(summary, settings)]
    if not quiet:
        lines += [_starting(summary, settings), _ended(summary)]
        if summary.behind > LATE_SHARE_LIMIT:
            lines.append(f"WARNING {100 * summary.behind:.2f}% of sleep were falling behind")
        lines += [*block("Aggregated Function Time", times), *block("Error cases", errors)]
    else:
        lines += [counter("Aggregated Function Time", times), *_targets(times), counter("Error cases", errors)]
    lines += _connections(summary, settings, quiet=quiet)
    lines += _codes(summary)
    if not quiet:
        lines.append(counter("Response Header Sizes", of_moments(summary.header_bytes)))
        lines.append(counter("Response Body/Total Sizes", of_moments(summary.total_bytes)))
    warmup = summary.warmup_ok + summary.warmup_failed
    lines.append(
        f"All done {summary.sent} calls (plus {warmup} warmup) {1000 * times.mean:.3f} ms avg, {summary.rate:.1f} qps"
    )
    return lines


def _running(summary: LoadSummary, settings: Settings) -> str:
    header = summary.header
    rate = header.options.get("stages") or shortest(header.qps)
    processors = header.options.get("procs", str(header.workers))
    span = f"for {_asked_span(summary)}" if header.calls or header.duration_s else "until interrupted"
    version = header.versions.get("rollcheck", "")
    return (
        f"rollcheck {version} running at {rate} queries per second, {processors}->{header.workers} procs, "
        f"{span}: {clean(settings.url)}"
    )


def _asked_span(summary: LoadSummary) -> str:
    header = summary.header
    return f"{header.calls} calls" if header.calls else duration(round(header.duration_s * SECOND))


def _starting(summary: LoadSummary, settings: Settings) -> str:
    header, threads = summary.header, max(1, settings.threads)
    stages = header.options.get("stages")
    rate = stages or (shortest(header.qps) if header.qps > 0 else "max")
    head = f"Starting at {rate} qps with {settings.threads} thread(s) [gomax {header.workers}]"
    if not header.calls and not header.duration_s:
        return f"{head} until interrupted"
    each, rest = divmod(header.calls, threads)
    if header.qps <= 0 and not stages:
        if header.calls:
            return f"{head} for exactly {header.calls} calls ({each} per thread + {rest})"
        return f"{head} for {_asked_span(summary)}"
    if header.calls:
        return f"{head} : exactly {header.calls}, {each} calls each (total {header.calls - rest} + {rest})"
    total = summary.scheduled if stages else int(header.qps * header.duration_s)
    return f"{head} for {_asked_span(summary)} : {total // threads} calls each (total {total})"


def _ended(summary: LoadSummary) -> str:
    elapsed = duration(summary.ended_ns - summary.started_ns)
    return f"Ended after {elapsed} : {summary.sent} calls. qps={significant(summary.rate, 5)}"


def counter(name: str, of: Distribution) -> str:
    """A distribution's figures on one line."""
    return (
        f"{name} : count {of.count} avg {significant(of.mean, 8)} +/- {significant(of.deviation, 4)} "
        f"min {shortest(of.low)} max {shortest(of.high)} sum {significant(of.total, 9)}"
    )


def block(name: str, of: Distribution) -> list[str]:
    """A distribution's figures, buckets and percentiles."""
    if not of.buckets:
        return [f"{name} : no data"]
    rows = [
        f"{'>' if number else '>='} {significant(b.start, 6)} <= {significant(b.end, 6)} , "
        f"{significant((b.start + b.end) / 2, 6)} , {b.percent:.2f}, {b.count}"
        for number, b in enumerate(of.buckets)
    ]
    return [counter(name, of), "# range, mid point, percentile, count", *rows, *_targets(of)]


def _targets(of: Distribution) -> list[str]:
    return [f"# target {shortest(percent)}% {significant(value, 6)}" for percent, value in of.percentiles]


def _connections(summary: LoadSummary, settings: Settings, *, quiet: bool) -> list[str]:
    lines = ["# Socket and IP used for each connection:"]
    lines += [_slot(number, slot) for number, slot in enumerate(summary.slots[:SLOTS_TOLD])]
    if len(summary.slots) > SLOTS_TOLD:
        lines.append(f"# {len(summary.slots) - SLOTS_TOLD} more connections")
    if not quiet:
        lines += block("Connection time histogram (s)", connect_times(summary, settings))
    sockets = sum(slot.sockets for slot in summary.slots)
    header = summary.header
    lines.append(f"Sockets used: {sockets} (for perfect keepalive, would be {settings.threads})")
    lines.append(
        f"Uniform: {_said(switched_on(header, 'uniform'))}, Jitter: {_said(switched_on(header, 'jitter'))}, "
        f"Catchup allowed: {_said(not switched_on(header, 'nocatchup'))}"
    )
    lines.append("IP addresses distribution:")
    lines += [f"{address}: {times}" for address, times in addresses(summary).items()]
    return lines


def _slot(number: int, slot: SlotTotals) -> str:
    found = sorted(slot.addresses.items(), key=lambda item: (-item[1], item[0]))
    reached = found[0][0] if len(found) == 1 else f"[{', '.join(f'{address} ({n})' for address, n in found)}]"
    timing = counter("connection timing", of_moments(slot.connect_ns, per=1_000_000_000))
    return f"[{number}] {slot.sockets:3d} socket used, resolved to {reached}, {timing}"


def _said(value: bool) -> str:
    return "true" if value else "false"


def _codes(summary: LoadSummary) -> list[str]:
    return [f"Code {code:3d} : {n} ({share(n, summary.scheduled)} %)" for code, n in summary.codes.items()]


def share(part: int, whole: int) -> str:
    """A percentage with one decimal, never rounded up to a whole that it is not."""
    text = f"{100 * part / whole:.1f}" if whole else "0.0"
    return "99.9" if text == "100.0" and part < whole else text
