"""Single attempts as lines of text: fortio's access log, and failures as JSON Lines. Pure: a fact in, a line out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import MILLISECOND, SECOND, ClockAnchor, Instant
from rollcheck.facts.wiretotals import AccessLine
from rollcheck.render.text import well_formed

FORMATS = ("json", "influx")


def access_line(line: AccessLine, anchor: ClockAnchor, thread: int, form: str) -> str:
    """A line of fortio's access log: service time in seconds, and when the request was sent, in Unix nanoseconds.

    Args:
        line: the attempt.
        anchor: of the load.
        thread: number of its connection's place, over all workers.
        form: of `FORMATS`.
    """
    latency = (line.ended_ns - line.sent_ns) / SECOND
    at = anchor.to_wall(line.sent_ns)
    details = str(line.status) if line.status else line.outcome
    ok = "true" if line.ok else "false"
    if form == "influx":
        return f'latency,thread={thread},ok={ok} value={latency:f},details="{details}" {at}\n'
    return (
        f'{{"latency":{latency:f},"timestamp":{at},"thread":{thread},"iter":{line.seq},"ok":{ok},'
        f'"details":"{details}"}}\n'
    )


def failure_line(attempt: Attempt, anchor: ClockAnchor, **more: Any) -> str:
    """An attempt that failed or was never sent, as one JSON object; latencies in milliseconds, null where there is
    none; `more` is what else is known of it.
    """
    told = {
        "time": wall_text(anchor, attempt.intended_ns),
        "seq": attempt.seq,
        "stage": attempt.stage,
        "lane": attempt.lane,
        "phase": attempt.phase,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "detail": well_formed(attempt.detail),
        "response_ms": _milliseconds(attempt.ended_ns, attempt.intended_ns),
        "service_ms": _milliseconds(attempt.ended_ns, attempt.sent_ns),
        "connection": attempt.connection,
        "use": attempt.use,
        "requests_before": attempt.requests_before,
        "local": attempt.local,
        "peer": attempt.peer,
        "bytes_received": attempt.bytes_received,
        "pod": well_formed(attempt.pod),
        "worker": attempt.worker,
        "intended_ns": attempt.intended_ns,
        "sent_ns": attempt.sent_ns,
        "ended_ns": attempt.ended_ns,
    }
    return json.dumps(told | more, separators=(",", ":"), ensure_ascii=True) + "\n"


def wall_text(anchor: ClockAnchor, at: Instant) -> str:
    """An instant as RFC 3339 in UTC, to the nanosecond."""
    seconds, rest = divmod(anchor.to_wall(at), SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _milliseconds(end: Instant, start: Instant | None) -> float | None:
    return None if start is None else (end - start) / MILLISECOND
