"""What a load must reach, as people write it (`p99<50ms`, `errors==0`), and whether it did.

A measure that the load has no value for (no answer, so no p99) meets no threshold: what was not measured did not pass.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rollcheck.errors import UsageError

if TYPE_CHECKING:
    from rollcheck.analyze.loadmodel import LoadSummary

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
UNITS_US = {"ns": 1e-3, "us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}
SERIES = ("response", "service", "failed", "lag", "wait", "connect")
COUNTS: dict[str, Callable[[LoadSummary], float]] = {
    "errors": lambda s: s.lost,
    "failed": lambda s: s.failed,
    "not_sent": lambda s: s.not_sent,
    "ok": lambda s: s.ok,
    "sent": lambda s: s.sent,
    "scheduled": lambda s: s.scheduled,
    "rate": lambda s: s.rate,
}
"""What is a number without a unit; `errors` is everything that was not OK, the never sent included."""
_SHAPE = re.compile(r"\s*([a-z_]+\.)?([a-z_]+|p\d+(?:\.\d+)?)\s*(<=|>=|==|!=|<|>)\s*(\d+(?:\.\d*)?|\.\d+)\s*(\S*)\s*")
_HELP = "write for example 'p99<50ms', 'service.p99.9<=0.2s', 'errors==0', 'errors<0.1%' or 'rate>=999'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One condition.

    Attributes:
        text: as it was written.
        series: which latency, of `SERIES`; empty when the measure is a count.
        measure: "p99", "max", "mean", "min", or one of `COUNTS`.
        comparison: of `COMPARISONS`.
        limit: microseconds of a latency, per cent of a share, else the number.
        share: whether it is a per cent of what was scheduled.
    """

    text: str
    series: str
    measure: str
    comparison: str
    limit: float
    share: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether a threshold was met; `value` is in its unit, None when there was nothing to measure."""

    threshold: Threshold
    value: float | None
    met: bool

    @property
    def said(self) -> str:
        """One line for a person."""
        if self.value is None:
            return f"{self.threshold.text}: MISSED, nothing was measured"
        return f"{self.threshold.text}: {'met' if self.met else 'MISSED'}, {_in_words(self.threshold, self.value)}"


def parse_threshold(text: str) -> Threshold:
    """The threshold that a person wrote.

    Latencies bear a unit (ns, us, ms, s, m; bare numbers are seconds) and are response times unless a series stands
    before: `service.p99<50ms`. Counts bear none, or a per cent sign for a share of what was scheduled.

    Raises:
        UsageError: it is none.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise UsageError(f"--threshold {text!r} cannot be read; {_HELP}")
    prefix, measure, comparison, number, unit = match.groups()
    series = prefix.removesuffix(".") if prefix else "response"
    if not prefix and measure in COUNTS:
        return _count(text, measure, comparison, float(number), unit)
    if series not in SERIES:
        raise UsageError(f"--threshold {text!r}: there is no {series!r}; choose {', '.join(SERIES)}")
    if measure not in ("mean", "min", "max") and not (measure[0] == "p" and _is_percentile(measure[1:])):
        known = ", ".join(("p50", "p99.9", "mean", "min", "max", *COUNTS))
        raise UsageError(f"--threshold {text!r}: there is no measure {measure!r}; choose of {known}")
    if (unit or "s") not in UNITS_US:
        raise UsageError(f"--threshold {text!r}: {unit!r} is no unit of time; choose {', '.join(UNITS_US)}")
    limit = float(number) * UNITS_US[unit or "s"]
    return Threshold(text=text.strip(), series=series, measure=measure, comparison=comparison, limit=limit)


def _count(text: str, measure: str, comparison: str, limit: float, unit: str) -> Threshold:
    if unit not in ("", "%") or (unit == "%" and measure == "rate"):
        raise UsageError(f"--threshold {text!r}: {measure} is a number; {_HELP}")
    return Threshold(
        text=text.strip(), series="", measure=measure, comparison=comparison, limit=limit, share=unit == "%"
    )


def _is_percentile(text: str) -> bool:
    try:
        return 0 < float(text) <= 100
    except ValueError:
        return False


def judge(thresholds: Iterable[Threshold], summary: LoadSummary) -> tuple[Judgement, ...]:
    """What became of each threshold, in the order given."""
    found = [(threshold, _measured(threshold, summary)) for threshold in thresholds]
    return tuple(
        Judgement(
            threshold=threshold,
            value=value,
            met=value is not None and COMPARISONS[threshold.comparison](value, threshold.limit),
        )
        for threshold, value in found
    )


def _measured(threshold: Threshold, summary: LoadSummary) -> float | None:
    if threshold.measure in COUNTS and not threshold.series:
        value = COUNTS[threshold.measure](summary)
        if not threshold.share:
            return value
        return 100 * value / summary.scheduled if summary.scheduled else None
    from rollcheck.analyze.hdr import mean_and_deviation, value_at  # noqa: PLC0415  # parsing must not wait for numpy

    histogram = summary.latencies[threshold.series]
    if histogram is None:
        return None
    if threshold.measure == "mean":
        return mean_and_deviation(histogram)[0]
    percent = {"min": 0.0, "max": 100.0}.get(threshold.measure)
    return value_at(histogram, float(threshold.measure[1:]) if percent is None else percent)


def _in_words(threshold: Threshold, value: float) -> str:
    if threshold.share:
        return f"{value:.6g} %"
    if not threshold.series:
        return f"{value:,.6g}" if value != int(value) else f"{int(value):,}"
    return f"{value / 1000:,.6g} ms"
