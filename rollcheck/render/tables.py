"""The two tables of the summary: what the lanes counted, and how each old pod ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rollcheck.analyze.exposure import replacement_counts
from rollcheck.analyze.model import Analysis, PodLife
from rollcheck.facts.attempts import Lane
from rollcheck.render.axis import Axis, axis_of
from rollcheck.render.text import (
    cells,
    clean,
    count,
    counted,
    offset,
    outcome_words,
    pad,
    seconds,
    shorten,
    wrap,
)

PODS_TOLD = 10
REQUESTS = "Requests, whole run"
NAME_LEAST = 12
_UNKNOWN = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCounts:
    """Exact counts of one lane: sent = ok + failed."""

    lane: Lane
    ok: int
    failed: int
    not_sent: int

    @property
    def sent(self) -> int:
        """Attempts that came to the network."""
        return self.ok + self.failed


def lane_counts(analysis: Analysis) -> list[LaneCounts]:
    """What each lane of the timetable counted, in the order of the enum; probes are not on the timetable.

    In a document that was cut short attempts may be listed whose interval never came: the greater count is the true
    one, lane by lane, as in the totals.
    """
    timeline = analysis.timeline
    ok: Counter[Lane] = Counter()
    failed: Counter[Lane] = Counter()
    not_sent: Counter[Lane] = Counter()
    for interval in timeline.intervals:
        ok[interval.lane] += interval.ok
        failed[interval.lane] += interval.failed
        not_sent[interval.lane] += interval.not_sent
    listed = (*timeline.failures, *timeline.abandoned, *timeline.not_sent)
    failed |= Counter(attempt.lane for attempt in listed if attempt.sent_ns is not None)
    not_sent |= Counter(attempt.lane for attempt in listed if attempt.sent_ns is None)
    return [
        LaneCounts(lane=lane, ok=ok[lane], failed=failed[lane], not_sent=not_sent[lane])
        for lane in Lane
        if lane is not Lane.PROBE and (lane in ok or failed[lane] or not_sent[lane])
    ]


def lane_lines(analysis: Analysis, width: int) -> list[str]:
    """The table of lanes over the whole run, its heading first; its last row is what a headline counts."""
    rows = [
        (each.lane.value, (each.sent, each.ok, each.failed), failed_ways(analysis, each.lane))
        for each in lane_counts(analysis)
    ]
    counts, since = analysis.counts, replacement_counts(analysis.timeline)
    if len(rows) != 1:
        rows.append(("all", (counts.sent, counts.ok, counts.failed), ""))
    if 0 < since.sent < counts.sent:
        rows.append((since_trigger(analysis), (since.sent, since.ok, since.failed), ""))
    left = max(len(REQUESTS) + 2, *(len(lane) + 4 for lane, _, _ in rows))
    titles = ("sent", "ok", "failed")
    sizes = [max(len(title), *(len(count(row[1][i])) for row in rows)) for i, title in enumerate(titles)]
    lines = [
        pad(REQUESTS, left) + "  ".join(pad(title, size, right=True) for title, size in zip(titles, sizes, strict=True))
    ]
    for lane, figures, ways in rows:
        cells_of = (pad(count(figure), size, right=True) for figure, size in zip(figures, sizes, strict=True))
        lines += wrap(ways, width, first=f"  {pad(lane, left - 2)}{'  '.join(cells_of)}  ")
    lines = [line.rstrip() for line in lines]
    return lines + _beside(analysis, width)


def since_trigger(analysis: Analysis) -> str:
    """What to call the time that headlines count: from the trigger to the end."""
    trigger = analysis.timeline.trigger
    return f"since the {trigger.kind}" if trigger and trigger.kind != "none" else "since the trigger"


def pod_lines(analysis: Analysis, width: int) -> list[str]:
    """The table of old pods, its heading first, and a line on the new ones; empty when no pod was seen."""
    axis = axis_of(analysis)
    old = [pod for pod in analysis.timeline.pods if pod.generation == "old"]
    if not analysis.timeline.pods:
        return []
    if not any(pod.deleted for pod in old):
        return [f"Old pods: {count(len(old))}, none of them deleted", *new_pods_lines(analysis, width)]
    told = sorted(sorted(old, key=_badness)[:PODS_TOLD], key=lambda pod: (pod.deleted is None, _deleted(pod), pod.name))
    rows = [
        ("Old pods", "deleted", "no endpoint", "SIGTERM", "exit code", "met"),
        *(pod_cells(axis, pod) for pod in told),
    ]
    lines = _columns(rows, width)
    if len(old) > len(told):
        lines.append(f"  and {count(len(old) - len(told))} more in result.json")
    lines += wrap("(seconds since the trigger; SIGTERM is inferred; met: requests while ending)", width, first="  ")
    return lines + _propagation(analysis, width) + new_pods_lines(analysis, width)


def _columns(rows: Sequence[tuple[str, ...]], width: int) -> list[str]:
    """Rows as a table: names lose their middle, and where there is no room at all the inner columns go."""
    sizes = [max(cells(row[i]) for row in rows) for i in range(len(rows[0]))]
    shown = list(range(1, len(sizes)))
    for spare in (3, 2):
        if sum(sizes[i] + 2 for i in shown) + NAME_LEAST > width:
            shown.remove(spare)
    name = max(NAME_LEAST, min(sizes[0] + 2, width - sum(sizes[i] + 2 for i in shown)))
    lines = []
    for number, row in enumerate(rows):
        label = row[0] if number == 0 else "  " + shorten(row[0], name - 2)
        lines.append("  ".join([pad(label, name), *(pad(row[i], sizes[i]) for i in shown)]).rstrip())
    return lines


def _propagation(analysis: Analysis, width: int) -> list[str]:
    """The longest time for which clients still came to a deleted pod, and what that asks of preStop."""
    if not analysis.propagation:
        return []
    low, high = max(analysis.propagation, key=lambda each: each.seconds).seconds
    text = f"new connections came to an old pod for {_bracket(low, high)} after its deletion"
    if analysis.recommended_prestop_s is not None:
        text += f" (a preStop of {analysis.recommended_prestop_s} s covers it)"
    return wrap(text, width, first="  ", rest="    ")


def _bracket(low: float, high: float) -> str:
    """Seconds of which only bounds are known: `0.4-1.4 s`."""
    below, above = (f"{value:.0f}" if value >= 10 else f"{value:.2f}".rstrip("0").rstrip(".") for value in (low, high))
    return f"{above} s" if below == above else f"{below}-{above} s"


def failed_ways(analysis: Analysis, lane: Lane) -> str:
    """How the attempts of a lane failed, the commonest first."""
    ways: Counter[str] = Counter()
    for key, number in analysis.by_outcome.get(lane.value, {}).items():
        if key.rpartition("/")[2] not in ("ok", "dropped", "abandoned"):
            ways[outcome_words(key)] += number
    # Of the abandoned, only those that were under way were sent; the others are among those never sent.
    ways["cut off by the end of the run"] += sum(1 for each in analysis.timeline.abandoned if each.lane is lane)
    return ", ".join(
        f"{count(n)} {words}" for words, n in sorted(ways.items(), key=lambda item: (-item[1], item[0])) if n
    )


def _beside(analysis: Analysis, width: int) -> list[str]:
    """What is no attempt that was sent: those never sent, probes; and the latency of the good ones."""
    counts = analysis.counts
    lines: list[str] = []
    if counts.not_sent:
        lines += wrap(
            f"{counted(counts.not_sent, 'request')} of {count(counts.scheduled)} never sent", width, first="  "
        )
    if counts.probes:
        good = counts.probes - counts.probes_failed
        text = f"{counted(counts.probes, 'fresh probe')} after failures: {count(good)} ok, "
        text += f"{count(counts.probes_failed)} failed"
        lines += wrap(text, width, first="  ")
    latency = _latency(analysis)
    return lines + (wrap(latency, width, first="  ", rest="    ") if latency else [])


def _latency(analysis: Analysis) -> str:
    """p50/p99 of each stage, for the lane that sent most."""
    lanes = lane_counts(analysis)
    if not lanes:
        return ""
    lane = max(lanes, key=lambda each: each.sent).lane
    spans = [
        f"{latency.stage.value} {_ms(latency.response_ms['p50'])}/{_ms(latency.response_ms['p99'])}"
        for latency in analysis.latency
        if latency.lane is lane and latency.ok and {"p50", "p99"} <= latency.response_ms.keys()
    ]
    return f"p50/p99 in ms ({lane.value}): {', '.join(spans)}" if spans else ""


def _ms(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _badness(pod: PodLife) -> tuple[bool, int, int]:
    """Orders the pods that something happened to before the others."""
    return (not pod.killed, -pod.traffic.failed, _deleted(pod))


def _deleted(pod: PodLife) -> int:
    return pod.deleted.seen_ns if pod.deleted else 0


def pod_cells(axis: Axis, pod: PodLife) -> tuple[str, str, str, str, str, str]:
    """Its name, deletion, last second in the endpoints, SIGTERM, exit, and whom it met while it ended."""
    left = pod.in_endpoints[-1].end if pod.deleted and pod.in_endpoints else None
    return (
        clean(pod.name),
        offset(axis.at(pod.deleted.seen_ns)) if pod.deleted else "no",
        offset(axis.at(left)) if left is not None else _UNKNOWN,
        _between(axis, pod),
        _ended(pod),
        _met(pod),
    )


def _between(axis: Axis, pod: PodLife) -> str:
    if pod.sigterm is None:
        return _UNKNOWN
    low, high = offset(axis.at(pod.sigterm.window.start)), offset(axis.at(pod.sigterm.window.end))
    return low if low == high else f"{low}..{high}"


def _ended(pod: PodLife) -> str:
    """Exit codes and how long after the deletion, as the bracket that is known."""
    if not pod.exits:
        return "not seen" if pod.gone_ns is not None else "still there" if pod.deleted else _UNKNOWN
    codes = ",".join(dict.fromkeys("?" if ended.code is None else str(ended.code) for ended in pod.exits))
    if pod.took_s is None:
        return codes
    return f"{codes} in {_bracket(*pod.took_s)}"


def _met(pod: PodLife) -> str:
    if pod.traffic.met_terminating is None:
        return "?" if not pod.traffic.failed else f"? {count(pod.traffic.failed)} lost"
    lost = f", {count(pod.traffic.failed)} lost" if pod.traffic.failed else ""
    return f"{count(pod.traffic.met_terminating)}{lost}"


def new_pods_lines(analysis: Analysis, width: int) -> list[str]:
    """How many new pods there were, and how soon they became ready; empty when there was none."""
    new = [pod for pod in analysis.timeline.pods if pod.generation == "new"]
    if not new:
        return []
    took = sorted((pod.ready[0].start - pod.created.seen_ns) / 1e9 for pod in new if pod.ready)
    text = f"{counted(len(new), 'new pod')}: "
    if took:
        low, high = seconds(max(0.0, took[0])), seconds(max(0.0, took[-1]))
        text += f"{count(len(took))} ready, {low if low == high else f'{low} to {high}'} after creation"
    else:
        text += "none became ready"
    why = sorted({clean(pod.unready_reason) for pod in new if not pod.ready and pod.unready_reason})
    text += f" ({', '.join(why)})" if why else ""
    restarts = sum(pod.restarts for pod in new)
    text += f"; {counted(restarts, 'restart')}" if restarts else ""
    return wrap(text, width, first="  ", rest="    ")
