"""From an `Analysis` to the models of `result.json`: seconds for instants, null for what is not finite."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rollcheck.analyze.causes.words import NAMES
from rollcheck.analyze.model import (
    Analysis,
    Cause,
    ContainerExit,
    Counts,
    GeneratorReport,
    Moment,
    Outage,
    PodLife,
    PodTraffic,
    Propagation,
    SigtermInference,
    StageLatency,
    Unattributed,
)
from rollcheck.analyze.steps import StepTaken, steps_taken
from rollcheck.facts.actions import Action
from rollcheck.facts.attempts import Attempt, Outcome
from rollcheck.facts.clock import Instant, Window
from rollcheck.facts.document import Header
from rollcheck.render import schema as r
from rollcheck.render.axis import Axis, axis_of


def result_of(analysis: Analysis) -> r.Result:
    """The result of a run, as a program reads it."""
    axis = axis_of(analysis)
    timeline, header = analysis.timeline, analysis.timeline.document.header
    return r.Result(
        run_id=header.run_id,
        started=axis.wall(timeline.window.start),
        verdict=analysis.verdict.value,
        exit_code=analysis.exit_code,  # type: ignore[arg-type]  # pydantic checks that it is one of the four
        headline=analysis.headline,
        reasons=list(analysis.reasons),
        target=_target(header),
        trigger=header.trigger,
        clock=_clock(axis, timeline.window),
        attempts=_attempts(analysis.counts),
        probes=r.Probes(sent=analysis.counts.probes, failed=analysis.counts.probes_failed),
        by_outcome={lane: dict(counts) for lane, counts in analysis.by_outcome.items()},
        causes=[_cause(cause) for cause in analysis.causes],
        unattributed=[_unattributed(axis, lost) for lost in analysis.unattributed],
        outages=[_outage(axis, outage) for outage in analysis.outages],
        pods=[pod_report(axis, pod) for pod in timeline.pods],
        propagation=[_propagation(measured) for measured in analysis.propagation],
        recommended_prestop_s=analysis.recommended_prestop_s,
        bounds=_bounds(analysis),
        baseline=_baseline(analysis),
        generator=_generator(analysis.generator),
        latency=[_latency(latency) for latency in analysis.latency],
        load=_load(header),
        stages=[
            r.StageSpan(stage=stage.value, start_s=axis.at(span.start), end_s=axis.at(span.end))
            for stage, span in timeline.stages.items()
        ],
        actions=[_action(axis, action) for action in timeline.document.of(Action)],
        steps=[_step(axis, step) for step in steps_taken(timeline)],
        blind=list(analysis.blind),
        observations=list(analysis.observations),
        versions=dict(sorted(header.versions.items())),
    )


def render_result(analysis: Analysis) -> bytes:
    """The bytes of `result.json`."""
    return r.result_bytes(result_of(analysis))


def outcome_key(attempt: Attempt) -> str:
    """How `by_outcome` names what became of an attempt: "phase/outcome", with the status for a bad one."""
    status = f" {attempt.status}" if attempt.outcome is Outcome.BAD_STATUS else ""
    return f"{attempt.phase.value}/{attempt.outcome.value}{status}"


def _target(header: Header) -> r.Target:
    return r.Target(
        workload=header.workload,
        namespace=header.namespace,
        context=header.context,
        service=header.service,
        url=header.url,
        route=header.route,
        sandbox=header.sandbox,
    )


def _clock(axis: Axis, window: Window) -> r.Clock:
    return r.Clock(
        zero=axis.zero,  # type: ignore[arg-type]  # one of the two
        zero_wall=axis.wall(axis.zero_ns),
        started_s=axis.at(window.start),
        ended_s=axis.at(window.end),
    )


def _attempts(counts: Counts) -> r.Attempts:
    return r.Attempts(
        scheduled=counts.scheduled, sent=counts.sent, not_sent=counts.not_sent, ok=counts.ok, failed=counts.failed
    )


def _cause(cause: Cause) -> r.CauseFound:
    return r.CauseFound(
        mode=cause.mode,
        name=cause.name,
        attempts=cause.attempts,
        confidence=cause.confidence,  # type: ignore[arg-type]  # pydantic checks it
        summary=cause.summary,
        evidence=list(cause.evidence),
        competing=[r.Competing(mode=mode, name=NAMES.get(mode, ""), reason=reason) for mode, reason in cause.competing],
        fix=cause.fix,
        advice=cause.advice,
        of_replacement=cause.of_replacement,
        lost=[r.AttemptRef(lane=lane, seq=seq) for lane, seq in cause.seqs],
    )


def _unattributed(axis: Axis, lost: Unattributed) -> r.UnattributedAttempt:
    attempt = lost.attempt
    return r.UnattributedAttempt(
        seq=attempt.seq,
        lane=attempt.lane.value,
        outcome=outcome_key(attempt),
        detail=attempt.detail,
        intended_s=axis.at(attempt.intended_ns),
        sent_s=_maybe(axis.at, attempt.sent_ns),
        ended_s=axis.at(attempt.ended_ns),
        connection_use=attempt.use.value,
        peer=attempt.peer,
        pod=attempt.pod,
        nearest=list(lost.nearest),
    )


def _outage(axis: Axis, outage: Outage) -> r.OutageSeen:
    return r.OutageSeen(
        lane=outage.lane.value,
        window_s=_span(axis, outage.window),
        bound_s=_span(axis, outage.bound),
        attempts=outage.attempts,
        total=outage.total,
        full=outage.full,
        by_outcome=dict(outage.by_outcome),
        pods=list(outage.pods),
    )


def pod_report(axis: Axis, pod: PodLife) -> r.PodReport:
    """All that is known of a pod."""
    moment: Callable[[Moment], r.MomentSeen] = partial(_moment, axis)
    return r.PodReport(
        name=pod.name,
        uid=pod.uid,
        node=pod.node,
        workload=pod.workload,
        generation=pod.generation,  # type: ignore[arg-type]  # pydantic checks it
        template_hash=pod.template_hash,
        created=moment(pod.created),
        listening=_maybe(moment, pod.listening),
        ready_s=[_span(axis, span) for span in pod.ready],
        in_endpoints_s=[_span(axis, span) for span in pod.in_endpoints],
        deleted=_maybe(moment, pod.deleted),
        grace_s=pod.grace_s,
        killing=_maybe(moment, pod.killing),
        prestop=[
            r.PreStopHook(
                container=container.name,
                kind=container.prestop.kind,
                detail=container.prestop.detail,
                sleep_s=container.prestop.sleep_s,
            )
            for container in (pod.spec.containers if pod.spec else ())
            if container.prestop
        ],
        prestop_failed=pod.prestop_failed,
        sigterm=_maybe(partial(_sigterm, axis), pod.sigterm),
        exits=[_exit(axis, ended) for ended in pod.exits],
        took_s=(_rounded(pod.took_s[0]), _rounded(pod.took_s[1])) if pod.took_s else None,
        killed=pod.killed,
        gone_s=_maybe(axis.at, pod.gone_ns),
        restarts=pod.restarts,
        unready_reason=pod.unready_reason,
        disruption=pod.disruption,
        traffic=_traffic(axis, pod.traffic),
    )


def _traffic(axis: Axis, traffic: PodTraffic) -> r.Traffic:
    return r.Traffic(
        answered=traffic.answered,
        failed=traffic.failed,
        met_terminating=traffic.met_terminating,
        last_ok_new_s=_maybe(axis.at, traffic.last_ok_new_ns),
        last_ok_reused_s=_maybe(axis.at, traffic.last_ok_reused_ns),
        first_fail_new_s=_maybe(axis.at, traffic.first_fail_new_ns),
        first_fail_reused_s=_maybe(axis.at, traffic.first_fail_reused_ns),
    )


def _propagation(measured: Propagation) -> r.PropagationMeasured:
    low, high = measured.seconds
    return r.PropagationMeasured(
        pod=measured.pod, low_s=_rounded(low), high_s=_rounded(high), evidence=measured.evidence
    )


def _latency(latency: StageLatency) -> r.Latency:
    return r.Latency(
        lane=latency.lane.value,
        stage=latency.stage.value,
        ok=latency.ok,
        response_ms=_finite_values(latency.response_ms),
        service_ms=_finite_values(latency.service_ms),
    )


def _bounds(analysis: Analysis) -> r.BoundsOfSight:
    bounds = analysis.bounds
    return r.BoundsOfSight(
        shortest_outage_s=_finite_values(bounds.shortest_outage_s),
        loss_per_request=_finite(bounds.loss_per_request),
        loss_per_pod=_finite(bounds.loss_per_pod),
        pods_replaced=bounds.pods_replaced,
        pods_lossless=bounds.pods_lossless,
        unmet=list(bounds.unmet),
        exposure_known=bounds.exposure_known,
    )


def _baseline(analysis: Analysis) -> r.Baseline:
    baseline = analysis.baseline
    return r.Baseline(
        seconds=_rounded(baseline.seconds),
        attempts=_attempts(baseline.counts),
        by_outcome=dict(baseline.by_outcome),
        p50_ms=_finite(baseline.p50_ms),
        p99_ms=_finite(baseline.p99_ms),
        served_qps=_finite(baseline.served_qps),
    )


def _generator(generator: GeneratorReport) -> r.Generator:
    return r.Generator(
        asked_qps=_finite(generator.asked_qps),
        held_qps=_finite(generator.held_qps),
        lag_p50_us=_finite(generator.lag_p50_us),
        lag_p99_us=_finite(generator.lag_p99_us),
        lag_max_us=_finite(generator.lag_max_us),
        wait_p99_us=_finite(generator.wait_p99_us),
        longest_stall_ms=_finite(generator.longest_stall_ms),
        gaps=list(generator.gaps),
        faults=list(generator.faults),
    )


def _load(header: Header) -> r.Load:
    return r.Load(
        method=header.method,
        qps=header.qps,
        timeout_s=header.timeout_s,
        expect=header.expect,
        lanes=[r.LaneLoad(lane=lane.lane, share=lane.share, connections=lane.connections) for lane in header.lanes],
    )


def _action(axis: Axis, action: Action) -> r.ActionDone:
    return r.ActionDone(
        kind=action.kind,
        description=action.description,
        started_s=axis.at(action.started_ns),
        ended_s=_maybe(axis.at, action.ended_ns),
        status=action.status,
        succeeded=action.succeeded,
        message=action.message,
    )


def _step(axis: Axis, step: StepTaken) -> r.StepTaken:
    return r.StepTaken(
        at_s=axis.at(step.at_ns),
        verb=step.verb,
        target=step.target,
        status=step.status,
        refusal=step.refusal,
        budget=step.budget,
        attempt=step.attempt,
        round=step.round,
        message=step.message,
    )


def _moment(axis: Axis, moment: Moment) -> r.MomentSeen:
    return r.MomentSeen(seen_s=axis.at(moment.seen_ns), reported_s=_maybe(partial(_span, axis), moment.reported))


def _sigterm(axis: Axis, sigterm: SigtermInference) -> r.Sigterm:
    return r.Sigterm(window_s=_span(axis, sigterm.window), method=sigterm.method, exact=sigterm.exact)


def _exit(axis: Axis, ended: ContainerExit) -> r.ExitSeen:
    return r.ExitSeen(
        container=ended.container,
        code=ended.code,
        reason=ended.reason,
        finished_s=_maybe(partial(_span, axis), ended.finished),
        seen_s=axis.at(ended.seen_ns),
    )


def _span(axis: Axis, window: Window) -> tuple[float, float]:
    return axis.at(window.start), axis.at(window.end)


def _maybe(make: Callable[[Any], Any], value: Moment | SigtermInference | Window | Instant | None) -> Any:
    return None if value is None else make(value)


def _rounded(value: float) -> float:
    return round(value, 6)


def _finite(value: float | None) -> float | None:
    return round(value, 6) if value is not None and math.isfinite(value) else None


def _finite_values(values: Mapping[str, float]) -> dict[str, float | None]:
    return {key: _finite(value) for key, value in values.items()}
