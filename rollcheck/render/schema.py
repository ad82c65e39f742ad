"""`result.json`: the machine's report, schema "rollcheck.result/1" (docs/result.md tells it for people).

The models are the contract: a field may be added, none renamed or removed, without a new schema number. Every `…_s` is
seconds; those that are instants count from the zero that `clock` names. Order is fixed, so the same document gives the
same bytes.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rollcheck.render.text import well_formed

SCHEMA: Final = "rollcheck.result/1"

Text = Annotated[str, BeforeValidator(lambda value: well_formed(value) if isinstance(value, str) else value)]
Count = Annotated[int, Field(ge=0)]
Span = Annotated[tuple[float, float], Field(description="[from, to] in seconds on the run's axis")]


class Model(BaseModel):
    """A frozen object that has no field but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Clock(Model):
    """The zero of every instant in this file, and the one pairing with the wall clock."""

    zero: Literal["trigger", "start"] = Field(
        description="what zero is: the begin of the replacement, or of the run when nothing was replaced"
    )
    zero_wall: Text = Field(description="wall time of zero, RFC 3339, UTC")
    started_s: float = Field(description="begin of the run (negative: before the trigger)")
    ended_s: float = Field(description="end of the run")


class Target(Model):
    """What was replaced and what was asked."""

    workload: Text
    namespace: Text
    context: Text
    service: Text = Field(description="the Service behind the URL, empty when not known")
    url: Text
    route: Text = Field(description="how the URL was found: url, ingress, loadbalancer, nodeport or clusterip")
    sandbox: bool = Field(description="rollcheck's own embedded cluster: no evidence about a real one")


class LaneLoad(Model):
    """What one lane was asked to do."""

    lane: Text
    share: float
    connections: Count


class Load(Model):
    """The load that the timetable asked for."""

    method: Text
    qps: float
    timeout_s: float
    expect: Text = Field(description="what counts as a good answer")
    lanes: list[LaneLoad]


class ActionDone(Model):
    """One thing done to the cluster."""

    kind: Text
    description: Text
    started_s: float
    ended_s: float | None
    status: int | None = Field(description="HTTP status of the API's answer, or the command's exit code")
    succeeded: bool
    message: Text


class StepTaken(Model):
    """One thing that an action consisted of, or that came of it."""

    at_s: float
    verb: Text = Field(description="cordon, evict, delete, scale, patch, run, exit, gone or uncordon")
    target: Text
    status: int | None = Field(description="HTTP status of the answer, or the command's exit code")
    refusal: Text = Field(
        description="budget, unsettled, throttled, budgets, gone, doomed or other; empty when it was not refused"
    )
    budget: Text = Field(description="the disruption budget that refused it, where the API server names it")
    attempt: Count = Field(description="which try it was of this verb on this target in its round, from 1")
    round: Count = Field(description="which replacement of the run it is part of")
    message: Text


class StageSpan(Model):
    """One part of the run."""

    stage: Text
    start_s: float
    end_s: float


class Attempts(Model):
    """Exact counts: scheduled = sent + not_sent, sent = ok + failed."""

    scheduled: Count
    sent: Count
    not_sent: Count
    ok: Count
    failed: Count


class Probes(Model):
    """Fresh connections that followed a failure on a reused one; not on the timetable, in no other count."""

    sent: Count
    failed: Count


class Competing(Model):
    """A mode that explains the same attempts and could not be excluded."""

    mode: int
    name: Text
    reason: Text


class AttemptRef(Model):
    """An attempt, as `facts.jsonl` has it."""

    lane: Text
    seq: Count


class CauseFound(Model):
    """Why attempts were lost, or would have been."""

    mode: int = Field(description="number of the failure mode")
    name: Text
    attempts: Count = Field(description="failed attempts attributed to it; 0 when nothing was in flight")
    confidence: Literal["high", "medium", "low"]
    summary: Text
    evidence: list[Text]
    competing: list[Competing]
    fix: Text = Field(description="a strategic merge patch in YAML, empty when the fix is not in the manifest")
    advice: Text
    of_replacement: bool = Field(description="false for what failed before too, and for what our own machine did")
    lost: list[AttemptRef] = Field(description="which attempts, as far as they are listed")


class UnattributedAttempt(Model):
    """A failed attempt that no cause explains."""

    seq: Count
    lane: Text
    outcome: Text = Field(description='"phase/outcome", with the status for a bad one')
    detail: Text
    intended_s: float
    sent_s: float | None
    ended_s: float
    connection_use: Literal["new", "reused"]
    peer: Text
    pod: Text
    nearest: list[Text]


class OutageSeen(Model):
    """A span of one lane in which attempts failed."""

    lane: Text
    window_s: Span = Field(description="from the start of its first failed attempt to the start of its last")
    bound_s: Span = Field(description="from the last success before it to the first after: it was not longer")
    attempts: Count
    total: Count | None
    full: bool = Field(description="whether nothing at all succeeded in it")
    by_outcome: dict[Text, Count]
    pods: list[Text]


class MomentSeen(Model):
    """When something happened in the cluster."""

    seen_s: float = Field(description="when our watch delivered it: an upper bound")
    reported_s: Span | None = Field(description="the bracket in which the server's own time lies")


class Sigterm(Model):
    """The span in which SIGTERM was sent; always inferred, never observed."""

    window_s: Span
    method: Text
    exact: bool


class ExitSeen(Model):
    """The end of one container."""

    container: Text
    code: int | None
    reason: Text
    finished_s: Span | None
    seen_s: float


class PreStopHook(Model):
    """A preStop hook of the pod's template."""

    container: Text
    kind: Text
    detail: Text
    sleep_s: float | None


class Traffic(Model):
    """What clients got from one pod, as far as it is known which pod it was."""

    answered: Count
    failed: Count
    met_terminating: Count | None = Field(description="null when responses do not name pods")
    last_ok_new_s: float | None
    last_ok_reused_s: float | None
    first_fail_new_s: float | None
    first_fail_reused_s: float | None


class PodReport(Model):
    """One pod from creation to disappearance."""

    name: Text
    uid: Text
    node: Text
    workload: Text = Field(description="the replaced workload that it is of; empty for pods of another one beside it")
    generation: Literal["old", "new", "other"]
    template_hash: Text
    created: MomentSeen
    listening: MomentSeen | None
    ready_s: list[Span]
    in_endpoints_s: list[Span]
    deleted: MomentSeen | None
    grace_s: int | None
    killing: MomentSeen | None = Field(description="the first Killing event: the start of preStop, not SIGTERM")
    prestop: list[PreStopHook]
    prestop_failed: Text
    sigterm: Sigterm | None
    exits: list[ExitSeen]
    took_s: Span | None = Field(description="seconds from deletion to the last container's end, [low, high]")
    killed: bool = Field(description="it did not end by itself before its grace did")
    gone_s: float | None
    restarts: Count
    unready_reason: Text
    disruption: Text
    traffic: Traffic


class PropagationMeasured(Model):
    """How long after its deletion new connections still reached an old pod."""

    pod: Text
    low_s: float = Field(description="proven by an attempt")
    high_s: float = Field(description="the first instant that shows it was over")
    evidence: Text


class BoundsOfSight(Model):
    """What this run could not have seen."""

    shortest_outage_s: dict[Text, float | None]
    loss_per_request: float | None = Field(description="95 % upper bound of the share of requests lost")
    loss_per_pod: float | None = Field(description="95 % upper bound of the chance that replacing a pod loses one")
    pods_replaced: Count
    pods_lossless: Count
    unmet: list[Text] = Field(description="replaced pods that met no traffic while they ended")
    exposure_known: bool


class Baseline(Model):
    """What happened before anything was replaced."""

    seconds: float
    attempts: Attempts
    by_outcome: dict[Text, Count]
    p50_ms: float | None
    p99_ms: float | None
    served_qps: float | None


class Generator(Model):
    """How well the load generator itself did."""

    asked_qps: float | None
    held_qps: float | None
    lag_p50_us: float | None
    lag_p99_us: float | None
    lag_max_us: float | None
    wait_p99_us: float | None
    longest_stall_ms: float | None
    gaps: list[Text]
    faults: list[Text] = Field(description="why the run's figures are not to be trusted; empty when they are")


class Latency(Model):
    """Latency of the attempts of one lane that ended well in one stage, in milliseconds."""

    lane: Text
    stage: Text
    ok: Count
    response_ms: dict[Text, float | None] = Field(description="from the instant each was intended")
    service_ms: dict[Text, float | None] = Field(description="from the instant each was sent")


class Result(Model):
    """The whole of `result.json`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, title="rollcheck result", serialize_by_alias=True
    )

    schema_: Literal["rollcheck.result/1"] = Field(default=SCHEMA, alias="schema")
    run_id: Text
    started: Text = Field(description="wall time of the run's begin, RFC 3339, UTC")
    verdict: Literal["graceful", "not graceful", "inconclusive"]
    exit_code: Literal[0, 1, 3, 130]
    headline: Text
    reasons: list[Text] = Field(description="why it is inconclusive; empty otherwise")
    target: Target
    trigger: Text
    clock: Clock
    attempts: Attempts
    probes: Probes
    by_outcome: dict[Text, dict[Text, Count]] = Field(
        description='lane → "ok", "phase/outcome" (with the status for a bad one) or "unlisted" → count'
    )
    causes: list[CauseFound]
    unattributed: list[UnattributedAttempt]
    outages: list[OutageSeen]
    pods: list[PodReport]
    propagation: list[PropagationMeasured]
    recommended_prestop_s: int | None
    bounds: BoundsOfSight
    baseline: Baseline
    generator: Generator
    latency: list[Latency]
    load: Load
    stages: list[StageSpan]
    actions: list[ActionDone]
    steps: list[StepTaken] = Field(description="what was done one after the other, and what came of it")
    blind: list[Text] = Field(description="what the run could not observe")
    observations: list[Text] = Field(description="worth knowing; decides nothing")
    versions: dict[Text, Text]


def result_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of `result.json`."""
    schema = Result.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_bytes() -> bytes:
    """The schema as docs/result.schema.json holds it."""
    return json.dumps(result_schema(), indent=2, ensure_ascii=True).encode() + b"\n"


def result_bytes(result: Result) -> bytes:
    """A result as `result.json` holds it: indented by two, ASCII (no terminal obeys it), a newline at its end."""
    return json.dumps(result.model_dump(mode="json"), indent=2, ensure_ascii=True, allow_nan=False).encode() + b"\n"
