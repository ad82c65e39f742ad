"""Whether a load was what was asked for, and if not, whose doing that was.

Two things that look alike are kept apart. When *the generator* could not keep its timetable, every figure is as much
ours as the target's: that is a fault, and the command ends with 3. When the target kept all connections busy, so that
arrivals had to wait or were never sent, the figures are true and the rate was not reached: that is a finding.
"""

from __future__ import annotations

from rollcheck.analyze.generator import STALL_LIMIT_NS, starved
from rollcheck.analyze.hdr import count_from, value_at
from rollcheck.analyze.loadmodel import LoadSummary
from rollcheck.facts.clock import SECOND

SHORTFALL_LIMIT = 0.001
"""The share of the timetable that may go missing before a rate is no longer held."""
LAG_P99_LIMIT_US = 10_000
LAG_SHARE_LIMIT = 0.1
"""Lateness of ours counts as a fault when one request in 100 left this much too late *and* that is this share of the
99th percentile of the response time: below, the figures are the target's."""
LATE_US = 1_000
LATE_SHARE_LIMIT = 0.05
"""fortio calls a call late by a millisecond "falling behind", and warns of more than five in a hundred."""
RATE_MISSED = 0.01


def find_faults(summary: LoadSummary, local: int) -> tuple[str, ...]:
    """Why the generator's figures cannot be trusted, one sentence each.

    Args:
        summary: complete but for what this finds.
        local: attempts never sent because this machine had no port, descriptor or memory left.
    """
    found = (_shortfall(summary), _late(summary), _stalls(summary), _local_limits(local))
    return tuple(fault for fault in found if fault)


def _shortfall(summary: LoadSummary) -> str:
    state = summary.generator
    missing = state.asked - state.released - state.skipped
    if not summary.open_loop or missing <= max(1, state.asked * SHORTFALL_LIMIT):
        return ""
    return (
        f"the generator took up {state.released:,} of the {state.asked:,} requests that its timetable asked for; "
        "lower the rate or add --workers"
    )


def _late(summary: LoadSummary) -> str:
    lag, response = value_at(summary.lag, 99), value_at(summary.response, 99)
    if not summary.open_loop or lag is None or lag <= LAG_P99_LIMIT_US:
        return ""
    if response is not None and lag <= response * LAG_SHARE_LIMIT:
        return ""
    return (
        f"the generator was late: 1 in 100 requests left {lag / 1000:,.0f} ms or more after its time "
        f"(limit {LAG_P99_LIMIT_US // 1000} ms){starved(summary.generator.starved_share)}; lower the rate, add "
        "--workers or free a processor"
    )


def _stalls(summary: LoadSummary) -> str:
    state = summary.generator
    if not state.stalls:
        return ""
    times = "once" if state.stalls == 1 else f"{state.stalls:,} times"
    return (
        f"the generator stood still for up to {state.stall_ns / SECOND:.1f} s, {times} past the limit of "
        f"{STALL_LIMIT_NS / SECOND:.1f} s: this machine was too busy{starved(state.starved_share)}"
    )


def _local_limits(local: int) -> str:
    if not local:
        return ""
    return (
        f"this machine had no port, file descriptor or memory left for {local:,} "
        f"request{'' if local == 1 else 's'}; keep connections alive, use fewer, or raise its limits"
    )


def behind_share(summary: LoadSummary) -> float:
    """The share of the requests that waited 1 ms or more for a free connection.

    That is when fortio's sleep before a call is negative: the call before it took too long. A timer of ours that came
    late is not in it, there as here.
    """
    if not summary.open_loop or not summary.sent:
        return 0.0
    return min(1.0, count_from(summary.wait, LATE_US) / summary.sent)


def find_slowness(summary: LoadSummary, local: int) -> str:
    """That the target was too slow for the rate with the connections it was given; empty when it was not."""
    wanted = _wanted_rate(summary)
    if not summary.open_loop or not summary.scheduled or not wanted:
        return ""
    dropped = sum(e.count for e in summary.errors if e.name.endswith("/dropped")) - local
    left_out = max(0, dropped) + summary.generator.skipped
    overdue = summary.rate < wanted * (1 - RATE_MISSED) and behind_share(summary) > LATE_SHARE_LIMIT
    if not overdue and left_out <= summary.scheduled * SHORTFALL_LIMIT:
        return ""
    connections = sum(lane.connections for lane in summary.header.lanes)
    held_up = f"the target kept all {connections:,} connections busy" if connections else "the target was too slow"
    said = f"{held_up}: {summary.rate:,.5g} of {wanted:,.5g} requests per second were sent"
    if left_out:
        said += f", {left_out:,} never"
    return f"{said}; raise -c to see whether more connections help"


def _wanted_rate(summary: LoadSummary) -> float:
    """What the timetable asked for, per second; over all stages their mean, 0 when that is not known."""
    header, asked = summary.header, summary.generator.asked
    cut_short = summary.aborted or summary.interrupted or summary.damaged
    if header.duration_s > 0 and asked and not cut_short:
        return asked / header.duration_s
    return header.qps
