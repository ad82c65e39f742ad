"""Markdown for a pull request or a step's summary (GitHub's flavour): the verdict first, what fixes it next.

Names and sentences that come from elsewhere are written so that they read as they are: every character that could
begin markup, HTML, a formula or a mention is escaped, and what is to be copied stands in a fence longer than any run of
backticks in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rollcheck.analyze.hdr import value_at
from rollcheck.analyze.loadmodel import LoadSummary
from rollcheck.analyze.model import Analysis, Cause, PodLife
from rollcheck.analyze.thresholds import Judgement
from rollcheck.facts.clock import SECOND
from rollcheck.facts.header import Header
from rollcheck.render.axis import Axis, axis_of
from rollcheck.render.checks import THRESHOLD, State, check_load, outcome_of
from rollcheck.render.loadtext import LABELS, span
from rollcheck.render.settings import settings_of, without_user
from rollcheck.render.tables import lane_counts, since_trigger
from rollcheck.render.text import clean, clean_lines, count, counted, offset, outcome_words, sentence

PODS_TOLD = 20
EVIDENCE_TOLD = 8
ERRORS_TOLD = 20
_SIGNS = {
    "graceful": "✅",
    "not graceful": "❌",
    "inconclusive": "⚠️",
    "passed": "✅",
    "failed": "❌",
    "not to be trusted": "⚠️",
}
_ESCAPED = {
    **{c: f"\\{c}" for c in "\\`*_[]~|#>"},
    # A backslash does not keep GitHub from reading these as HTML, as a mention or as the edge of a formula.
    **{c: f"&#{ord(c)};" for c in "<&@$"},
}
_MARKUP = str.maketrans(_ESCAPED)
_PLAIN = re.compile(r"[A-Za-z0-9./:%<=>!_-]+( [A-Za-z0-9./:%<=>!_-]+)*")


def render_markdown(analysis: Analysis) -> str:
    """The report of a run, a newline at its end."""
    header = analysis.timeline.document.header
    lines = [
        f"## {_SIGNS[analysis.verdict.value]} rollcheck: {analysis.verdict.value}",
        "",
        f"**{_text(analysis.headline)}**",
        "",
        *[f"- {_text(reason)}" for reason in analysis.reasons if reason not in analysis.headline],
        *([""] if analysis.reasons else []),
        f"{_code(header.workload)} in {_code(header.namespace)}, {_code(header.trigger)}, " + _asked(header),
    ]
    if header.sandbox:
        lines += ["", "This was rollcheck's own sandbox: it is no evidence about a real cluster."]
    for rank, cause in enumerate(analysis.causes, 1):
        lines += ["", *_cause(rank, cause)]
    lines += ["", *_requests(analysis), "", *_pods(analysis)]
    beside = [*analysis.blind, *analysis.generator.gaps]
    lines += _listed("What this run could not see", beside)
    lines += _listed("Worth knowing", list(dict.fromkeys([*analysis.generator.faults, *analysis.observations])))
    return _joined(lines)


def _asked(header: Header) -> str:
    return f"{header.qps:g} requests/s to {_code(header.url)}"


def _cause(rank: int, cause: Cause) -> list[str]:
    lost = counted(cause.attempts, "request") if cause.attempts else "no request lost"
    whose = "" if cause.of_replacement else ", not the replacement's doing"
    lines = [
        f"### {rank}. {_text(sentence(cause.name))}: {lost}{whose} ({_text(cause.confidence)} confidence)",
        "",
        _text(sentence(cause.summary)),
        "",
        *[f"- {_text(fact)}" for fact in cause.evidence[:EVIDENCE_TOLD]],
    ]
    if len(cause.evidence) > EVIDENCE_TOLD:
        lines.append(f"- {len(cause.evidence) - EVIDENCE_TOLD} more in `result.json`")
    if cause.advice:
        lines += ["", f"**Fix:** {_text(cause.advice)}"]
    if cause.fix:
        lines += ["", *_fenced(clean_lines(cause.fix.strip("\n")), "yaml")]
    return lines


def _requests(analysis: Analysis) -> list[str]:
    """A row for each lane, then the ways in which requests were lost."""
    rows = [
        (each.lane.value, count(each.sent), count(each.ok), count(each.failed), count(each.not_sent))
        for each in lane_counts(analysis)
    ]
    total = analysis.counts
    rows.append(("all", count(total.sent), count(total.ok), count(total.failed), count(total.not_sent)))
    lines = _table(("Requests, whole run", "sent", "ok", "failed", "never sent"), rows)
    ways = [
        f"{_text(lane)}: {count(number)} {_text(outcome_words(key))}"
        for lane, outcomes in analysis.by_outcome.items()
        if lane != "probe"
        for key, number in outcomes.items()
        if key != "ok" and number
    ]
    return [*lines, *(["", f"Lost: {'; '.join(ways)}."] if ways else [])]


def _pods(analysis: Analysis) -> list[str]:
    axis = axis_of(analysis)
    old = [pod for pod in analysis.timeline.pods if pod.generation == "old" and pod.deleted]
    if not old:
        return ["No old pod was replaced."] if analysis.timeline.pods else []
    rows = [_pod(axis, pod) for pod in old[:PODS_TOLD]]
    lines = _table(("Old pod", "deleted at", "exit code", "took", "requests while ending", "lost"), rows)
    if len(old) > PODS_TOLD:
        lines += ["", f"And {len(old) - PODS_TOLD} more in `result.json`."]
    return [*lines, "", f"Times are seconds {since_trigger(analysis)}."]


def _pod(axis: Axis, pod: PodLife) -> tuple[str, ...]:
    codes = ", ".join(dict.fromkeys("?" if e.code is None else str(e.code) for e in pod.exits)) or "not seen"
    took = f"{pod.took_s[0]:.1f} to {pod.took_s[1]:.1f} s" if pod.took_s else "-"
    met = pod.traffic.met_terminating
    return (
        _code(pod.name),
        offset(axis.at(pod.deleted.seen_ns)) if pod.deleted else "-",
        f"{codes}, killed" if pod.killed else codes,
        took,
        "not known" if met is None else count(met),
        count(pod.traffic.failed),
    )


def render_load_markdown(summary: LoadSummary, judgements: Sequence[Judgement]) -> str:
    """The report of a load, a newline at its end."""
    checkup = check_load(summary, judgements)
    lines = [
        f"## {_SIGNS[checkup.verdict]} rollcheck load: {checkup.verdict}",
        "",
        f"**{_text(checkup.headline)}**",
        "",
        f"{_code(without_user(summary.header.url))}, {summary.elapsed_s:.1f} s",
    ]
    # Thresholds have a table of their own.
    amiss = [c for c in checkup.of(State.FAILED, State.UNKNOWN) if not c.id.startswith(THRESHOLD)]
    lines += ["", *[f"- {_text(c.name)}: {_text(c.message)}" for c in amiss]]
    if judgements:
        rows = [(_code(j.threshold.text), _text(outcome_of(j))) for j in judgements]
        lines += ["", *_table(("Threshold", "was"), rows)]
    lines += _load_latencies(summary)
    if summary.errors:
        started = summary.started_ns
        errors = [
            (
                _code(each.name),
                count(each.count),
                offset((each.first_ns - started) / SECOND),
                offset((each.last_ns - started) / SECOND),
                _code(each.example),
            )
            for each in summary.errors[:ERRORS_TOLD]
        ]
        lines += ["", *_table(("Failed or never sent", "count", "first", "last", "example"), errors)]
    lines += _listed("Worth knowing", [text for text in (summary.target_slow, *summary.notes) if text])
    return _joined(lines)


def _load_latencies(summary: LoadSummary) -> list[str]:
    percents = (*settings_of(summary.header).percentiles, 100.0)
    rows = [
        (_text(LABELS[name]), count(int(found.total_count)), *(span(value_at(found, p) or 0) for p in percents))
        for name, found in summary.latencies.items()
        if found is not None and (summary.open_loop or name not in ("lag", "wait"))
    ]
    heads = ("Latency", "count", *("max" if p == 100 else f"p{p:g}" for p in percents))
    return ["", *_table(heads, rows)] if rows else []


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Cells are Markdown already; the first column is words, the others stand at the right."""
    rule = ["---", *("---:" for _ in heads[1:])]
    return [f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)]


def _listed(title: str, facts: Sequence[str]) -> list[str]:
    if not facts:
        return []
    return ["", f"<details><summary>{title}</summary>", "", *[f"- {_text(fact)}" for fact in facts], "", "</details>"]


def _fenced(lines: Sequence[str], language: str) -> list[str]:
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [fence + language, *lines, fence]


def _text(text: str) -> str:
    """A sentence of somebody else's, on one line, that reads as it is."""
    plain = clean(text).translate(_MARKUP)
    return re.sub(r"^(\d*)([-+.)])", r"\1\\\2", plain)


def _code(text: str) -> str:
    """A name of somebody else's, in a fixed pitch; as HTML where backticks could not hold it, in a table at least."""
    if _PLAIN.fullmatch(text):
        return f"`{text}`"
    return f"<code>{_text(text)}</code>" if clean(text) else "-"


def _joined(lines: Iterable[str]) -> str:
    """The lines, runs of blank ones made one."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"
