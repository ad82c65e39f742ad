"""The live view of a run as lines for a terminal of a given size: pure, so that it is tested without one.

A line is pieces of text, each in a tone. The head has always the same height and says the most; pods, the last errors
and what was said share the rest, and where there is not enough room what is least worth goes first.
"""

from __future__ import annotations

from collections.abc import Sequence

from rollcheck.facts.clock import SECOND, Instant
from rollcheck.render.livestate import STEPS, LiveState, PodShown, tallied
from rollcheck.render.spark import spark
from rollcheck.render.text import cells, count, pad, shorten

Piece = tuple[str, str]
Line = list[Piece]

LABEL = 10
STAGES = ("baseline", "replacement", "tail")
LOG_LEAST, LOG_MOST = 2, 6
NARROWEST = 40


def live_lines(state: LiveState, width: int, height: int, now: Instant) -> list[Line]:
    """At most `height` lines of at most `width` columns.

    Args:
        state: what is known.
        width: columns.
        height: lines.
        now: an instant of the run's clock.
    """
    head = [*_head(state, width, now), *_traffic(state, width)]
    errors = _errors(state, width)
    room = height - len(head) - len(errors)
    log = max(LOG_LEAST, min(LOG_MOST, room // 4)) if state.log and room > 6 else 0
    pods = _pods(state, width, max(0, room - (log + 1 if log else 0)), now)
    lines = [*head, *errors, *pods]
    left = height - len(lines) - 1
    if state.log and left > 0:
        lines += [
            [("Said", "bold")],
            *([(shorten(text, width), "dim")] for text in list(state.log)[-min(left, LOG_MOST) :]),
        ]
    return [_cut(line, width) for line in lines[:height]]


def _head(state: LiveState, width: int, now: Instant) -> list[Line]:
    clock = f"{max(0, now - state.started_ns) / SECOND:.1f} s"
    subject = shorten(state.subject, max(8, width - len("rollcheck ") - len(clock) - 2))
    gap = " " * max(1, width - len("rollcheck ") - cells(subject) - len(clock))
    current = state.stages[-1][0] if state.stages else ""
    course: Line = []
    for name in STAGES:
        course += [(" > ", "dim")] if course else []
        course.append((name.upper(), "bold") if name == current else (name, "dim"))
    left = _left(state, now)
    return [
        [("rollcheck ", "bold"), (subject, ""), (gap, ""), (clock, "bold")],
        [*course, ("  ", ""), (left, "")],
        [],
    ]


def _left(state: LiveState, now: Instant) -> str:
    """How long the stage still takes, or what it waits for."""
    if not state.stages:
        return "about to begin"
    name, since, seconds = state.stages[-1]
    if seconds is not None:
        return f"{max(0.0, seconds - (now - since) / SECOND):.0f} s left of {seconds:g}"
    waiting = "" if state.doing == name else state.doing
    return f"{(now - since) / SECOND:.0f} s, {waiting or 'until every old pod is gone'}"


def _traffic(state: LiveState, width: int) -> list[Line]:
    counts = state.counts
    if not counts:
        return [[(pad("Load", LABEL), "bold"), ("not begun", "dim")], []]
    held, asked = state.rate(), state.asked_qps
    lost = counts["failed"] + counts["not_sent"]
    behind = held is not None and asked > 0 and held < 0.95 * asked
    rate: Line = [(pad("Rate", LABEL), "bold"), (f"asked {asked:g}/s, ", ""), ("held ", "")]
    rate.append((f"{held:.4g}/s" if held is not None else "-", "bad" if behind else "good"))
    requests: Line = [
        (pad("Requests", LABEL), "bold"),
        (f"{count(counts['scheduled'])} due, {count(counts['ok'])} ok, ", ""),
        (f"{count(counts['failed'])} failed", "bad" if counts["failed"] else ""),
        (f", {count(counts['not_sent'])} never sent", "bad" if counts["not_sent"] else "dim"),
        (f", {count(counts['in_flight'])} under way, {count(counts['backlog'])} waiting", "dim"),
    ]
    latency: Line = [
        (pad("Latency", LABEL), "bold"),
        (f"p50 {_ms(state.p50_us)}  p99 {_ms(state.p99_us)}", ""),
        ("  of the last second's good answers", "dim"),
    ]
    ways = ", ".join(f"{count(number)} {words}" for words, number in state.ranked_failures())
    failed: Line = [(pad("Lost", LABEL), "bold"), (shorten(ways, max(8, width - LABEL)) if lost else "nothing", "")]
    lines = [rate, requests, latency, failed]
    if lost:
        room = max(1, width - LABEL - 12)
        recent = list(state.lost_by_second)[-room:]
        lines.append([(pad("", LABEL), ""), (spark([float(n) for n in recent]), "bad"), (" a column a second", "dim")])
    return [*lines, []]


def _ms(micros: int) -> str:
    return f"{micros / 1000:.1f} ms" if micros else "-"


def _errors(state: LiveState, width: int) -> list[Line]:
    if not state.failures:
        return []
    lines: list[Line] = [[("Last errors", "bold")]]
    for failure in state.failures[-3:]:
        at = f"{(failure.at_ns - state.started_ns) / SECOND:8.2f} s  "
        what = f"{failure.lane} {failure.words}"
        detail = f" ({failure.detail})" if failure.detail else ""
        room = max(8, width - len(at) - cells(what) - 2)
        pod = shorten(failure.pod or "no pod known", room)
        lines.append([(at, "dim"), (what, "bad"), ("  ", ""), (pod, ""), (detail, "dim")])
    return [*lines, []]


def _pods(state: LiveState, width: int, height: int, now: Instant) -> list[Line]:
    """A row for each pod, the ones to whom something happens first; the others are counted in the last line."""
    ranked = state.ranked_pods()
    if not ranked or height < 3:
        return []
    names = max(12, min(max(cells(pod.name) for pod in ranked), (width - 26) // 2))
    title: Line = [(pad(f"Pods ({len(ranked)})", names + 6), "bold"), (" > ".join(STEPS), "dim")]
    rows = height - 2
    shown = ranked if len(ranked) <= rows else ranked[: rows - 1]
    lines = [title, *(_row(pod, names, now) for pod in shown)]
    if len(shown) < len(ranked):
        rest = tallied(ranked[len(shown) :])
        lines.append([(f"  and {len(ranked) - len(shown)} more: ", "dim"), (_listed(rest), "dim")])
    return [*lines, []]


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in numbers.items())


def _row(pod: PodShown, names: int, now: Instant) -> Line:
    tone, words = _state(pod, now)
    track = "●" * pod.steps + "○" * (len(STEPS) - pod.steps)
    return [
        ("old " if pod.old else "new ", "" if pod.old else "good"),
        (pad(shorten(pod.name, names), names + 2), "dim" if pod.gone_ns is not None else ""),
        (track, tone),
        (f"  {words}", tone),
    ]


def _state(pod: PodShown, now: Instant) -> tuple[str, str]:
    """The tone and the words of where a pod is."""
    ended = "" if pod.exit_code is None else f", exited with {pod.exit_code}"
    bad = pod.exit_code not in (None, 0, 143)
    if pod.gone_ns is not None:
        took = (pod.gone_ns - (pod.deleted_ns or pod.gone_ns)) / SECOND
        return "bad" if bad else "dim", f"gone {took:.1f} s after its deletion{ended}"
    if pod.deleted_ns is not None:
        grace = f" of {pod.grace_s}" if pod.grace_s is not None else ""
        endpoint = "" if pod.in_endpoints else ", out of endpoints"
        return (
            "bad" if bad else "unsure",
            f"terminating {(now - pod.deleted_ns) / SECOND:.0f}{grace} s{endpoint}{ended}",
        )
    if pod.ready:
        return "good", "ready" if pod.in_endpoints else "ready, no endpoint yet"
    if pod.state == "waiting" and pod.reason:
        return "bad" if pod.reason not in ("ContainerCreating", "PodInitializing") else "unsure", pod.reason
    if pod.state == "terminated":
        return "bad", f"not running{ended}"
    return "unsure", "running, not ready" if pod.state == "running" else "starting"


def _cut(line: Sequence[Piece], width: int) -> Line:
    """The pieces of a line that fit."""
    kept: Line = []
    room = width
    for text, tone in line:
        if room <= 0:
            break
        fitting = text if cells(text) <= room else shorten(text, room) if room > 1 else ""
        kept.append((fitting, tone))
        room -= cells(fitting)
    return kept
