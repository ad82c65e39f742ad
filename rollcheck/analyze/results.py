"""A load's result to be compared, whoever wrote it: our document, our JSON, or fortio's.

What each of them can tell differs. Ours has response times, and a row for every second, out of which noise can be
judged; fortio's has service times (failures among them) in buckets, and nothing about when.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hdrh.histogram import HdrHistogram

from rollcheck.analyze.hdr import decoded, mean_and_deviation, summed, value_at
from rollcheck.analyze.loadmodel import LoadSummary, SecondRow
from rollcheck.errors import DocumentError
from rollcheck.facts.clock import SECOND

OWN = "rollcheck"
SCHEMA = "rollcheck.load/1"


class Curve(Protocol):
    """A distribution of latencies."""

    @property
    def count(self) -> int:
        """How many values it is of."""
        ...

    def at(self, percent: float) -> float:
        """Microseconds at a percentile, 0 to 100."""
        ...

    def mean(self) -> float:
        """Microseconds."""
        ...


@dataclass(frozen=True, slots=True)
class HdrCurve:
    """Out of a histogram that holds something."""

    histogram: HdrHistogram

    @property
    def count(self) -> int:
        """How many values."""
        return int(self.histogram.total_count)

    def at(self, percent: float) -> float:
        """Right to a thousandth."""
        return float(value_at(self.histogram, percent) or 0)

    def mean(self) -> float:
        """Right to a thousandth."""
        return mean_and_deviation(self.histogram)[0]


@dataclass(frozen=True, slots=True)
class BucketCurve:
    """Out of fortio's buckets, by its own rule: a straight line within each, p ≤ 100/count is the least value.

    Attributes:
        buckets: (start, end, cumulative per cent) in microseconds, in order.
    """

    count: int
    low: float
    high: float
    average: float
    buckets: tuple[tuple[float, float, float], ...]

    def at(self, percent: float) -> float:
        """No better than its bucket is narrow."""
        below = 100 / self.count
        if percent <= below:
            return self.low
        for start, end, cumulative in self.buckets:
            if percent <= cumulative:
                return start + (percent - below) / (cumulative - below) * (end - start)
            below = cumulative
        return self.high

    def mean(self) -> float:
        """As it was counted."""
        return self.average


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One side of a comparison.

    Attributes:
        name: what the caller calls it, usually its path.
        source: "rollcheck" or "fortio".
        started: wall time of the start, as RFC 3339.
        asked: the rate asked for, as text ("100", "max").
        rate: requests sent per second.
        sent, lost: requests sent, and those that were not OK; of ours the never sent are lost too.
        scheduled: what `lost` is a part of.
        response: of OK requests, from the intended start; None where only service time is known.
        service: of all that were sent, from the actual start.
        seconds: empty when nothing tells when.
        faults: why its generator's figures are not to be trusted.
    """

    name: str
    source: str
    url: str
    labels: str
    started: str
    asked: str
    rate: float
    sent: int
    lost: int
    scheduled: int
    response: Curve | None
    service: Curve | None
    seconds: tuple[SecondRow, ...] = ()
    faults: tuple[str, ...] = ()


def of_summary(summary: LoadSummary, name: str, *, started: str) -> Result:
    """The result that a document amounts to."""
    options = summary.header.options
    return Result(
        name=name,
        source="rollcheck",
        url=summary.header.url,
        labels=options.get("labels", ""),
        started=started,
        asked=options.get("stages") or (f"{summary.header.qps:.9g}" if summary.header.qps > 0 else "max"),
        rate=summary.rate,
        sent=summary.sent,
        lost=summary.lost,
        scheduled=summary.scheduled,
        response=_curve(summary.response),
        service=_curve(summed((summary.service, summary.failed_service))),
        seconds=summary.seconds,
        faults=summary.faults,
    )


def _curve(histogram: HdrHistogram | None) -> HdrCurve | None:
    return HdrCurve(histogram) if histogram is not None else None


def decode_result(data: bytes, name: str) -> Result:
    """The result in a JSON file of ours or of fortio's.

    Raises:
        DocumentError: it is neither.
    """
    try:
        raw = json.loads(data, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as e:
        raise DocumentError(f"{name} is no JSON ({e})") from e
    try:
        if isinstance(raw, dict) and OWN in raw:
            return _of_ours(raw, name)
        if isinstance(raw, dict) and "DurationHistogram" in raw:
            return _of_fortio(raw, name)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as e:
        raise DocumentError(f"{name} is no result that can be compared ({e!r})") from e
    raise DocumentError(
        f"{name} is no result of a load: give a folder of `rollcheck load --out`, or a JSON file that "
        "`rollcheck load` or `fortio load` wrote with -json"
    )


def _finite(text: str) -> float:
    """A number that can be reckoned with.

    Raises:
        ValueError: it is not finite.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number that a result can have")
    return number


def _common(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {
        "name": name,
        "url": str(raw.get("URL", raw.get("Destination", ""))),
        "labels": str(raw.get("Labels", "")),
        "started": str(raw["StartTime"]),
        "asked": str(raw["RequestedQPS"]),
        "rate": float(raw["ActualQPS"]),
    }


def _of_ours(raw: Mapping[str, Any], name: str) -> Result:
    own = raw[OWN]
    if own["schema"] != SCHEMA:
        raise DocumentError(f"{name} has schema {own['schema']!r}; this rollcheck reads {SCHEMA!r}")
    counts, latency = own["counts"], own["latency"]
    found = {series: decoded(latency[series]["hdr"]) for series in ("response", "service", "failed")}
    return Result(
        **_common(raw, name),
        source="rollcheck",
        sent=int(counts["sent"]),
        lost=int(counts["failed"]) + int(counts["not_sent"]),
        scheduled=int(counts["scheduled"]),
        response=_curve(found["response"]),
        service=_curve(summed((found["service"], found["failed"]))),
        seconds=_rows(own["seconds_columns"], own["seconds"], int(raw["ActualDuration"])),
        faults=tuple(str(fault) for fault in own["generator"]["faults"]),
    )


def _rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], duration_ns: int) -> tuple[SecondRow, ...]:
    """Rows of the JSON, their instants from the start of the load."""
    made = []
    for values in rows:
        row = dict(zip(columns, values, strict=True))
        at = round(float(row["at_s"]) * SECOND)
        made.append(
            SecondRow(
                at_ns=at,
                length_ns=max(1, min(SECOND, duration_ns - at)) if duration_ns > at else SECOND,
                asked=int(row["asked"]),
                ok=int(row["ok"]),
                failed=int(row["failed"]),
                not_sent=int(row["not_sent"]),
                **{name: None if row[name] is None else int(row[name]) for name in ("p50_us", "p90_us", "p99_us")},
            )
        )
    return tuple(made)


def _of_fortio(raw: Mapping[str, Any], name: str) -> Result:
    times = raw["DurationHistogram"]
    errors = raw.get("ErrorsDurationHistogram")
    count = int(times["Count"])
    if errors is not None:
        lost = int(errors["Count"])
    else:  # before fortio 1.28
        lost = count - sum(int(n) for code, n in raw.get("RetCodes", {}).items() if code in ("200", "SERVING", "OK"))
    return Result(
        **_common(raw, name),
        source="fortio",
        sent=count,
        lost=lost,
        scheduled=count,
        response=None,
        service=_bucketed(times) if count else None,
    )


def _bucketed(times: Mapping[str, Any]) -> BucketCurve:
    us = 1e6
    return BucketCurve(
        count=int(times["Count"]),
        low=float(times["Min"]) * us,
        high=float(times["Max"]) * us,
        average=float(times["Avg"]) * us,
        buckets=tuple((float(b["Start"]) * us, float(b["End"]) * us, float(b["Percent"])) for b in times["Data"] or ()),
    )
