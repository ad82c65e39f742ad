"""Facts of loads for tests: a header, intervals of given latencies, health samples, failures, slots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hdrh.histogram import HdrHistogram

from rollcheck.facts.actions import StageMark
from rollcheck.facts.attempts import Attempt, Interval, Lane, Outcome, Phase, Stage
from rollcheck.facts.clock import SECOND, ClockAnchor
from rollcheck.facts.document import Document, Fact, Header, LanePlan, Seal
from rollcheck.facts.health import HealthSample
from rollcheck.facts.wiretotals import Moments, SlotTotals, WireTotals

ORIGIN = 5_000 * SECOND
"""The start of every load here."""
WALL = 1_795_245_000 * SECOND
STATUS = {Outcome.BAD_STATUS, Outcome.WRONG_BODY}


def at(seconds: float) -> int:
    return ORIGIN + round(seconds * SECOND)


def header(**changes: Any) -> Header:
    fields: dict[str, Any] = {
        "run_id": "load-1",
        "anchor": ClockAnchor(monotonic_ns=ORIGIN, wall_ns=WALL),
        "versions": {"rollcheck": "0.1.0", "python": "3.11.2"},
        "workload": "",
        "namespace": "",
        "context": "",
        "url": "http://127.0.0.1:8080/echo",
        "route": "url",
        "service": "",
        "method": "GET",
        "qps": 100.0,
        "timeout_s": 3.0,
        "lanes": (LanePlan(lane="reused", share=1.0, connections=4),),
        "expect": "status 200-299",
        "trigger": "",
        "options": {},
        "kind": "load",
        "duration_s": 3.0,
    }
    return Header(**{**fields, **changes})


def blob(values: Iterable[int]) -> str:
    """An HDR blob of microseconds."""
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    for value, times in Counter(values).items():
        histogram.record_value(value, times)
    return histogram.encode().decode() if histogram.total_count else ""


def interval(
    second: float,
    response: Iterable[int] = (),
    *,
    service: Iterable[int] | None = None,
    failed: Iterable[int] = (),
    failures: dict[str, int] | None = None,
    length: float = 1.0,
    status: int = 200,
    **changes: Any,
) -> Interval:
    """What ended in [second, second + length): OK response times and failed service times in microseconds."""
    response, failed = list(response), list(failed)
    fields: dict[str, Any] = {
        "start_ns": at(second),
        "end_ns": at(second + length),
        "stage": Stage.BASELINE,
        "lane": Lane.REUSED,
        "ok": len(response),
        "failed": len(failed),
        "not_sent": 0,
        "response_hdr": blob(response),
        "service_hdr": blob(response if service is None else service),
        "failed_hdr": blob(failed),
        "statuses": {str(status): len(response)} if response else {},
        "failures": failures or {},
    }
    return Interval(**{**fields, **changes})


def failure(
    second: float,
    phase: Phase = Phase.CONNECT,
    outcome: Outcome = Outcome.REFUSED,
    *,
    status: int = 0,
    sent: bool = True,
    **changes: Any,
) -> Attempt:
    fields: dict[str, Any] = {
        "seq": 0,
        "lane": Lane.REUSED,
        "stage": Stage.BASELINE,
        "phase": phase,
        "outcome": outcome,
        "intended_ns": at(second) - 1_000_000,
        "released_ns": at(second) - 1_000_000,
        "sent_ns": at(second) - 1_000_000 if sent else None,
        "ended_ns": at(second),
        "status": status,
    }
    return Attempt(**{**fields, **changes})


def health(second: float, *, lags: Iterable[int] = (), waits: Iterable[int] = (), **changes: Any) -> HealthSample:
    lags = list(lags)
    fields: dict[str, Any] = {
        "start_ns": at(second),
        "end_ns": at(second + 1),
        "asked": len(lags),
        "released": len(lags),
        "lag_hdr": blob(lags),
        "wait_hdr": blob(waits),
        "backlog": 0,
        "in_flight": 0,
        "connections": 4,
        "stall_ns": 1_200_000,
        "cpu_share": 0.25,
        "open_files": 24,
        "file_limit": 1024,
        "ports_used": 130,
        "ports_limit": 28232,
    }
    return HealthSample(**{**fields, **changes})


def slot(
    number: int, *, sockets: int = 1, connect_us: Iterable[int] = (200,), worker: int = 0, **changes: Any
) -> SlotTotals:
    times = [us * 1000 for us in connect_us]
    fields: dict[str, Any] = {
        "worker": worker,
        "lane": Lane.REUSED,
        "slot": number,
        "sockets": sockets,
        "connect_ns": moments(times),
        "addresses": {"127.0.0.1:8080": len(times)} if times else {},
    }
    return SlotTotals(**{**fields, **changes})


def wire(
    *, headers: Iterable[int] = (), totals: Iterable[int] = (), connects: Iterable[int] = (), worker: int = 0
) -> WireTotals:
    return WireTotals(
        worker=worker, header_bytes=moments(headers), total_bytes=moments(totals), connect_hdr=blob(connects)
    )


def moments(values: Iterable[int]) -> Moments:
    values = list(values)
    if not values:
        return Moments()
    return Moments(
        count=len(values), sum=sum(values), squares=sum(v * v for v in values), low=min(values), high=max(values)
    )


def mark(second: float = 0.0) -> StageMark:
    return StageMark(at_ns=at(second), stage=Stage.BASELINE)


def document(*facts: Fact, head: Header | None = None, interrupted: str = "", sealed: bool = True) -> Document:
    seal = Seal(ended_ns=at(60), lines=len(facts) + 1, interrupted=interrupted)
    return Document(header=head or header(), facts=facts, seal=seal if sealed else None)


def steady(seconds: int = 3, rate: int = 100, us: int = 1_500, start: int = 0) -> list[Fact]:
    """A healthy load: `rate` requests a second, nine in ten of them taking `us`, the others ten times that."""
    facts: list[Fact] = [mark(start)]
    for second in range(start, start + seconds):
        facts.append(health(second, lags=[40] * rate, waits=[0] * rate))
        facts.append(interval(second, [us] * (rate * 9 // 10) + [us * 10] * (rate - rate * 9 // 10)))
    facts += [slot(number) for number in range(4)]
    facts.append(wire(headers=[75] * rate * seconds, totals=[100] * rate * seconds, connects=[200] * 4))
    return facts
