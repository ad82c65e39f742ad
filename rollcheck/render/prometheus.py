"""Prometheus' text format, as node_exporter's textfile collector and a Pushgateway take it: gauges, without times.

Every sample is of one run or load that has ended, so everything is a gauge; `rollcheck_ended_timestamp_seconds` says
how old it is. A value that does not exist has no sample.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from rollcheck.analyze.hdr import value_at
from rollcheck.analyze.loadmodel import LoadSummary
from rollcheck.analyze.model import Analysis, Verdict
from rollcheck.analyze.thresholds import Judgement
from rollcheck.facts.clock import SECOND
from rollcheck.facts.header import Header
from rollcheck.render.checks import State, check_load
from rollcheck.render.settings import settings_of, without_user
from rollcheck.render.tables import lane_counts
from rollcheck.render.text import clean, well_formed

QUANTILES = {"p50": "0.5", "p90": "0.9", "p99": "0.99", "p999": "0.999", "max": "1"}
"""Names of percentiles in an analysis → the label of the sample."""
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+")


@dataclass
class _Metrics:
    """Families of samples under construction, in the order in which they are first told."""

    common: Mapping[str, str]
    families: dict[str, tuple[str, list[str]]] = field(default_factory=dict)

    def add(self, name: str, help_text: str, value: float | None, **labels: str) -> None:
        """One sample; none when there is no value."""
        if value is None or not math.isfinite(value):
            return
        _, samples = self.families.setdefault(f"rollcheck_{name}", (help_text, []))
        said = ",".join(f'{key}="{_label(text)}"' for key, text in {**self.common, **labels}.items())
        samples.append(f"rollcheck_{name}{{{said}}} {_number(value)}")

    def text(self) -> bytes:
        """The exposition."""
        lines = []
        for name, (help_text, samples) in self.families.items():
            lines += [f"# HELP {name} {help_text}", f"# TYPE {name} gauge", *samples]
        return ("\n".join(lines) + "\n").encode()


def render_prometheus(analysis: Analysis) -> bytes:
    """The metrics of a run."""
    timeline, header = analysis.timeline, analysis.timeline.document.header
    metrics = _Metrics({"namespace": header.namespace, "workload": header.workload})
    metrics.add("run_info", "The run that the other samples are of.", 1, **_info(header, trigger=header.trigger))
    for verdict in Verdict:
        metrics.add(
            "verdict",
            "1 for the verdict that the run came to.",
            float(verdict is analysis.verdict),
            verdict=verdict.value,
        )
    metrics.add("exit_code", "Exit code of the run.", analysis.exit_code)
    _times(metrics, header, timeline.window.start, timeline.window.end)
    for lane in lane_counts(analysis):
        for result, number in (("ok", lane.ok), ("failed", lane.failed), ("not_sent", lane.not_sent)):
            metrics.add("requests", "Requests of the whole run.", number, lane=lane.lane, result=result)
    for name, outcomes in analysis.by_outcome.items():
        for outcome, number in outcomes.items():
            if name != "probe" and outcome != "ok":
                metrics.add(
                    "requests_not_ok", "Requests that were not OK, by outcome.", number, lane=name, outcome=outcome
                )
    metrics.add("requests_lost", "Requests that the replacement is proven to have lost.", analysis.lost)
    for cause in analysis.causes:
        metrics.add(
            "cause_requests",
            "Failed requests of each cause.",
            cause.attempts,
            mode=str(cause.mode),
            cause=cause.name,
            of_replacement=str(cause.of_replacement).lower(),
        )
    metrics.add("requests_unattributed", "Failed requests without a known cause.", len(analysis.unattributed))
    _pods(metrics, analysis)
    for latency in analysis.latency:
        for kind, values in (("response", latency.response_ms), ("service", latency.service_ms)):
            for percentile, value in values.items():
                metrics.add(
                    f"{kind}_seconds",
                    f"{kind.capitalize()} time of good answers.",
                    value / 1000,
                    lane=latency.lane,
                    stage=latency.stage,
                    quantile=QUANTILES.get(percentile, percentile),
                )
    _run_generator(metrics, analysis)
    return metrics.text()


def _pods(metrics: _Metrics, analysis: Analysis) -> None:
    killed = sum(1 for pod in analysis.timeline.pods if pod.generation == "old" and pod.killed)
    metrics.add("pods_replaced", "Old pods that were replaced.", analysis.bounds.pods_replaced)
    metrics.add("pods_killed", "Old pods that were killed at the end of their grace.", killed)
    if analysis.propagation:
        metrics.add(
            "endpoint_propagation_seconds",
            "How long new connections still reached a deleted pod, at most.",
            max(each.seconds[1] for each in analysis.propagation),
        )
    metrics.add("recommended_prestop_seconds", "The preStop that would cover it.", analysis.recommended_prestop_s)


def _run_generator(metrics: _Metrics, analysis: Analysis) -> None:
    generator = analysis.generator
    metrics.add("generator_faults", "Reasons not to trust the generator.", len(generator.faults))
    for quantile, micros in (
        ("0.5", generator.lag_p50_us),
        ("0.99", generator.lag_p99_us),
        ("1", generator.lag_max_us),
    ):
        if micros is not None:
            metrics.add(
                "generator_lag_seconds", "How late the generator was itself.", micros / 1_000_000, quantile=quantile
            )


def render_load_prometheus(summary: LoadSummary, judgements: Sequence[Judgement]) -> bytes:
    """The metrics of a load."""
    header = summary.header
    metrics = _Metrics({"url": without_user(header.url)})
    metrics.add("load_info", "The load that the other samples are of.", 1, **_info(header))
    checkup = check_load(summary, judgements)
    for state in (State.PASSED, State.FAILED, State.UNKNOWN):
        metrics.add("load_state", "1 for what the load came to.", float(state is checkup.state), state=state)
    _times(metrics, header, summary.started_ns, summary.ended_ns)
    for result, number in (("ok", summary.ok), ("failed", summary.failed), ("not_sent", summary.not_sent)):
        metrics.add("load_requests", "Requests of the load.", number, result=result)
    for each in summary.errors:
        metrics.add("load_requests_not_ok", "Requests that were not OK, by outcome.", each.count, outcome=each.name)
    metrics.add("load_rate", "Requests sent per second.", summary.rate)
    for name, histogram in summary.latencies.items():
        for percent in (*settings_of(header).percentiles, 100.0):
            value = value_at(histogram, percent)
            if value is not None:
                metrics.add(
                    "load_seconds",
                    "Latencies of the load, by what they are of.",
                    value / 1_000_000,
                    of=name,
                    quantile=f"{percent / 100:.10g}",
                )
    for judgement in judgements:
        metrics.add(
            "load_threshold_met",
            "1 for a threshold that was met.",
            float(judgement.met),
            threshold=judgement.threshold.text,
        )
    metrics.add("generator_faults", "Reasons not to trust the generator.", len(summary.faults))
    return metrics.text()


def push_path(header: Header) -> str:
    """The path of a Pushgateway under which a run's or a load's metrics stand: a group for each workload or URL."""
    if header.kind == "load":
        return f"/metrics/job/rollcheck{_grouped('url', without_user(header.url))}"
    return f"/metrics/job/rollcheck{_grouped('namespace', header.namespace)}{_grouped('workload', header.workload)}"


def _grouped(key: str, value: str) -> str:
    """One pair of a grouping key; what a path cannot hold is base64, as the gateway reads it back."""
    if _PLAIN.fullmatch(value) and value not in (".", ".."):
        return f"/{key}/{quote(value)}"
    coded = base64.urlsafe_b64encode(well_formed(value).encode()).decode().rstrip("=")
    return f"/{key}@base64/{coded or '='}"


def _info(header: Header, **more: str) -> dict[str, str]:
    versions = {f"{name}_version": version for name, version in sorted(header.versions.items())}
    versions = {re.sub(r"\W", "_", name, flags=re.ASCII): version for name, version in versions.items()}
    return {"run_id": header.run_id, **versions, **more}


def _times(metrics: _Metrics, header: Header, start: int, end: int) -> None:
    metrics.add("started_timestamp_seconds", "When it began, Unix time.", header.anchor.to_wall(start) / SECOND)
    metrics.add("ended_timestamp_seconds", "When it ended, Unix time.", header.anchor.to_wall(end) / SECOND)
    metrics.add("duration_seconds", "How long it took.", (end - start) / SECOND)


def _label(text: str) -> str:
    """A label's value, on one line and without control characters: whoever prints the file must not be driven by it."""
    return clean(text).replace("\\", "\\\\").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))
