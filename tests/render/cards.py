"""Analyses assembled by hand over told runs: what a renderer is given, independent of how analysis words it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from builders import Story, ns, pod_spec, sleep

from rollcheck.analyze.exposure import replacement_counts
from rollcheck.analyze.model import (
    Analysis,
    BaselineReport,
    Bounds,
    Cause,
    Counts,
    GeneratorReport,
    Outage,
    Propagation,
    StageLatency,
    Timeline,
    Unattributed,
    Verdict,
)
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.actions import StageMark
from rollcheck.facts.attempts import Attempt, Lane, Outcome, Phase, Stage
from rollcheck.facts.clock import Window
from rollcheck.facts.document import Document
from rollcheck.render.result import outcome_key

SLEEP_FIX = """spec:
  template:
    spec:
      containers:
      - name: web
        lifecycle:
          preStop:
            sleep:
              seconds: 5
"""
SURGE_FIX = """spec:
  strategy:
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
"""


def since(timeline: Timeline) -> int:
    """Requests sent since the trigger: what a headline counts."""
    return replacement_counts(timeline).sent


def card(document: Document, **fields: Any) -> Analysis:
    """The analysis of a document with exact counts and no judgement; `fields` are set on top of it."""
    timeline = build_timeline(document)
    intervals = [interval for interval in timeline.intervals if interval.lane is not Lane.PROBE]
    ok, failed = sum(i.ok for i in intervals), sum(i.failed for i in intervals)
    not_sent = sum(i.not_sent for i in intervals)
    probes = len(timeline.probes)
    counts = Counts(
        scheduled=ok + failed + not_sent, sent=ok + failed, not_sent=not_sent, ok=ok, failed=failed, probes=probes
    )
    by_outcome: dict[str, Counter[str]] = {}
    for interval in intervals:
        by_outcome.setdefault(interval.lane.value, Counter())["ok"] += interval.ok
    for attempt in (*timeline.failures, *timeline.not_sent):
        by_outcome[attempt.lane.value][outcome_key(attempt)] += 1
    old = [pod for pod in timeline.pods if pod.generation == "old" and pod.deleted]
    values: dict[str, Any] = {
        "verdict": Verdict.GRACEFUL,
        "exit_code": 0,
        "headline": f"all {since(timeline):,} requests were answered while 3 pods of deployment/web were replaced.",
        "reasons": (),
        "counts": counts,
        "by_outcome": {lane: dict(outcomes) for lane, outcomes in by_outcome.items()},
        "causes": (),
        "unattributed": (),
        "outages": (),
        "propagation": (),
        "recommended_prestop_s": None,
        "bounds": Bounds(
            shortest_outage_s={"reused": 0.02, "fresh": 0.02},
            loss_per_request=0.000912,
            loss_per_pod=0.6316,
            pods_replaced=len(old),
            pods_lossless=sum(1 for pod in old if not pod.traffic.failed),
            unmet=tuple(pod.name for pod in old if not pod.traffic.met_terminating),
            exposure_known=True,
        ),
        "baseline": BaselineReport(
            seconds=10.0,
            counts=Counts(scheduled=1000, sent=1000, not_sent=0, ok=1000, failed=0),
            by_outcome={"ok": 1000},
            p50_ms=4.0,
            p99_ms=4.1,
            served_qps=100.0,
        ),
        "generator": GeneratorReport(
            asked_qps=100.0,
            held_qps=100.0,
            lag_p50_us=40.0,
            lag_p99_us=52.0,
            lag_max_us=81.0,
            wait_p99_us=10.0,
            longest_stall_ms=2.0,
            gaps=(),
            faults=(),
        ),
        "latency": tuple(
            StageLatency(
                lane=lane,
                stage=stage,
                ok=100,
                response_ms={"p50": 4.0, "p99": 4.0 + number * 2.5},
                service_ms={"p50": 3.9, "p99": 4.0 + number * 2.5},
            )
            for lane in (Lane.REUSED, Lane.FRESH)
            for number, stage in enumerate((Stage.BASELINE, Stage.REPLACEMENT, Stage.TAIL))
        ),
    }
    return Analysis(timeline=timeline, **{**values, **fields})


def not_graceful(document: Document, headline: str, **fields: Any) -> Analysis:
    """A `card` of a run that lost something."""
    return card(document, verdict=Verdict.NOT_GRACEFUL, exit_code=1, headline=headline, **fields)


def inconclusive(document: Document, headline: str, **fields: Any) -> Analysis:
    """A `card` of a run that proves nothing."""
    return card(document, verdict=Verdict.INCONCLUSIVE, exit_code=3, headline=headline, **fields)


@cache
def graceful() -> Analysis:
    """Three pods drain behind a preStop of 5 s."""
    story = Story(qps=100, spec=pod_spec(prestop=sleep(5)), new_spec=pod_spec(prestop=sleep(5)))
    return card(
        story.graceful_rollout().end(at=40).document(),
        observations=("4 reused connections were closed by the server while idle; no request was lost to that.",),
        recommended_prestop_s=5,
    )


@cache
def immediate_exit() -> Analysis:
    """Mode 1: the app exits at once on SIGTERM, clients are still sent to it."""
    story = Story(qps=200).pods(3).restart(at=11)
    for number in (1, 2, 3):
        at = 13.2 + 3 * (number - 1)
        story.new_pod(f"new-{number}", created=at - 2.1, ready=at - 0.1)
        story.delete(f"old-{number}", at=at, exit_after=0.1, code=143, serves_for=0.1, endpoint_after=0.03)
        story.lose(Lane.FRESH, at + 0.1, at + 0.6, every=3, detail="ECONNREFUSED", pod=f"old-{number}")
        story.fail(Lane.REUSED, at + 0.11, Phase.AWAIT, Outcome.RESET, detail="ECONNRESET", pod=f"old-{number}")
        story.fail(Lane.FRESH, at + 0.45, Phase.CONNECT, Outcome.UNREACHABLE, detail="EHOSTUNREACH", took=1.0)
    analysis = card(story.end(at=40).document())
    failed = analysis.counts.failed
    cause = Cause(
        mode=1,
        name="Immediate exit on SIGTERM",
        attempts=failed,
        confidence="high",
        summary="Each old pod stopped listening before the cluster had stopped sending clients to it.",
        evidence=(
            "old-1 ended with 143 between +2.0 s and +3.0 s, 0 to 1 s after its deletion at +2.2 s",
            f"{failed} requests failed within 0.60 s of a deletion; none at any other time",
            "3 of 3 fresh probes after a reset were answered: the Service was up, those pods were not",
            "no container has a preStop hook",
            "the slice dropped old-1 30 ms after its deletion; clients arrived for 0.6 s",
        ),
        competing=((35, "a listen backlog dropped on close looks the same within the same 0.1 s"),),
        fix=SLEEP_FIX,
        advice="Let an old pod go on serving until clients have stopped coming.",
        seqs=tuple((attempt.lane.value, attempt.seq) for attempt in analysis.timeline.failures),
    )
    bound = Window(start=ns(13.29), end=ns(13.81))
    return not_graceful(
        analysis.timeline.document,
        f"{failed} of {since(analysis.timeline):,} requests failed while 3 pods of deployment/web were replaced.",
        causes=(cause,),
        recommended_prestop_s=5,
        outages=(
            Outage(
                lane=Lane.FRESH,
                window=Window(start=ns(13.3), end=ns(13.8)),
                bound=bound,
                attempts=17,
                total=50,
                full=False,
                by_outcome={"connect/refused": 17},
                pods=("old-1",),
            ),
        ),
        propagation=(Propagation(pod="old-1", seconds=(0.6, 0.62), evidence="refused at +2.8 s, none at +2.82 s"),),
    )


@cache
def killed() -> Analysis:
    """Mode 2 and 11: SIGTERM is ignored, every pod takes its whole grace, and no endpoint is left meanwhile."""
    story = Story(qps=50, max_surge="0", max_unavailable="1").pods(1).restart(at=11)
    story.delete("old-1", at=11.2, exit_after=30.3, code=137, serves_for=0.05)
    story.new_pod("new-1", created=42.2, ready=44.5)
    story.lose(Lane.FRESH, 11.25, 44.5, detail="ECONNREFUSED")
    story.lose(Lane.REUSED, 41.5, 44.5, Phase.CONNECT, Outcome.TIMEOUT, took=2.0)
    analysis = card(story.end(at=60).document())
    no_endpoint = Cause(
        mode=11,
        name="One replica and no surge",
        attempts=sum(1 for attempt in analysis.timeline.failures if attempt.lane is Lane.FRESH),
        confidence="high",
        summary="There was no ready endpoint from +0.2 s to +33.5 s: the only pod went before its successor came.",
        evidence=("ready endpoints were 0 from +0.23 s to +33.52 s", "maxSurge 0 and maxUnavailable 1 with 1 replica"),
        fix=SURGE_FIX,
        advice="Start the new pod before the old one goes.",
    )
    ignored = Cause(
        mode=2,
        name="SIGTERM ignored",
        attempts=0,
        confidence="medium",
        summary="old-1 was killed at the end of its grace of 30 s.",
        evidence=("exit code 137, 30 to 31 s after its deletion",),
        advice="Run the app as PID 1 (exec form), or handle SIGTERM; `tini` passes it on.",
    )
    return not_graceful(
        analysis.timeline.document,
        f"{analysis.counts.failed:,} of {since(analysis.timeline):,} requests failed; old-1 was killed (137).",
        causes=(no_endpoint, ignored),
    )


@cache
def readiness_missing() -> Analysis:
    """Mode 7: new pods get traffic before they listen."""
    story = Story(qps=100, new_spec=pod_spec(readiness=None)).pods(2).restart(at=11)
    for number in (1, 2):
        at = 11.1 + 8 * (number - 1)
        story.new_pod(f"new-{number}", created=at, listening=at + 1)
        story.delete(f"old-{number}", at=at + 1.2, exit_after=6, serves_for=0.4)
        story.lose(Lane.FRESH, at + 1.1, at + 6.1, every=2, pod=f"new-{number}")
    analysis = card(story.end(at=45).document())
    cause = Cause(
        mode=7,
        name="No readiness probe",
        attempts=analysis.counts.failed,
        confidence="high",
        summary="New pods were sent clients as soon as their container started, 5 s before they listened.",
        evidence=("new-1 was Ready 0 s after it started", "refusals began with its endpoint, and ended 5.0 s later"),
        fix="spec:\n  template:\n    spec:\n      containers:\n      - name: web\n        readinessProbe:\n"
        "          httpGet:\n            path: /\n            port: 8080\n          periodSeconds: 1\n",
        advice="Give it a readiness probe that answers only when the app does.",
    )
    return not_graceful(
        analysis.timeline.document,
        f"{analysis.counts.failed} of {since(analysis.timeline):,} requests failed on pods not yet listening.",
        causes=(cause,),
    )


@cache
def in_flight_and_broken() -> Analysis:
    """Modes 4 and 19, with what nobody can explain: answers cut short at SIGTERM, then 500 now and then."""
    story = Story(qps=100).graceful_rollout(pods=2)
    for at in (13.4, 16.5):
        story.fail(Lane.REUSED, at, Phase.BODY, Outcome.TRUNCATED_BODY, took=0.2, pod="old-1")
        story.fail(Lane.FRESH, at + 0.01, Phase.BODY, Outcome.RESET, took=0.2)
    story.lose(Lane.FRESH, 14, 40, Phase.BODY, Outcome.BAD_STATUS, every=20, status=500)
    story.lose(Lane.REUSED, 14, 40, Phase.BODY, Outcome.WRONG_BODY, every=50)
    story.fail(Lane.FRESH, 30.0, Phase.AWAIT, Outcome.TIMEOUT, took=5.0)
    story.fail(Lane.FRESH, 31.0, Phase.RESOLVE, Outcome.NOT_RESOLVED, sent_ns=ns(31.0))
    story.fail(Lane.REUSED, 32.0, Phase.CONNECT, Outcome.DROPPED, sent_ns=None)
    analysis = card(story.end(at=42).document())
    lost: tuple[Attempt, ...] = analysis.timeline.failures
    odd = [attempt for attempt in lost if attempt.outcome in (Outcome.TIMEOUT, Outcome.NOT_RESOLVED)]
    broken = [a for a in lost if a.outcome in (Outcome.BAD_STATUS, Outcome.WRONG_BODY)]
    cut = [a for a in lost if a.outcome in (Outcome.TRUNCATED_BODY, Outcome.RESET)]
    return not_graceful(
        analysis.timeline.document,
        f"{len(lost)} of {since(analysis.timeline):,} requests failed while 2 pods were replaced.",
        causes=(
            Cause(
                mode=19,
                name="The new version is broken",
                attempts=len(broken),
                confidence="medium",
                summary="Answers of 500 came from new pods only, and went on after the rollout had ended.",
                evidence=("500 from new pods only", "the last one at +28.9 s, 12 s after the last old pod was gone"),
                competing=((8, "no: the share of 500 does not fall as new pods age"),),
                advice="Roll back, and look at the logs of the new version.",
            ),
            Cause(
                mode=4,
                name="Requests in flight dropped on SIGTERM",
                attempts=len(cut),
                confidence="high",
                summary="The server ended with requests under way.",
                evidence=("4 answers cut short within 0.2 s of SIGTERM (inferred: Killing event, no preStop)",),
                fix=SLEEP_FIX,
                advice="Let the server finish what it has begun before it exits.",
            ),
        ),
        unattributed=tuple(
            Unattributed(attempt=attempt, nearest=("new-2 became ready 12.9 s before",)) for attempt in odd
        ),
    )


@cache
def stuck() -> Analysis:
    """Mode 20: the new image does not exist; nothing was replaced."""
    story = Story(qps=100).pods(3).command("kubectl set image deployment/web web=nope:1", at=11, until=11.4)
    story.new_pod("new-1", created=11.5, never_ready="ImagePullBackOff").end(at=45)
    cause = Cause(
        mode=20,
        name="Stuck rollout",
        attempts=0,
        confidence="high",
        summary="new-1 never became ready: ImagePullBackOff.",
        evidence=("new-1 was waiting with ImagePullBackOff from +1.0 s to the end",),
        advice="Fix the image, or roll back: kubectl rollout undo deployment/web",
    )
    return inconclusive(
        story.document(),
        "no old pod was replaced, so nothing was put to the test.",
        reasons=("the rollout did not end within 30 s", "new-1 never became ready: ImagePullBackOff"),
        causes=(cause,),
        blind=("no right to watch events: why an image cannot be pulled is not known",),
    )


@cache
def unsealed() -> Analysis:
    """Cut short in the baseline: no trigger, no replacement, no Kubernetes facts that matter."""
    return inconclusive(
        Story(qps=40).pods(1).end(at=6).document(seal=False),
        "the run was cut short before anything was replaced.",
        reasons=("the document has no seal: the run was killed or its disk was full",),
        bounds=Bounds(
            shortest_outage_s={"reused": float("inf")},
            loss_per_request=1.0,
            loss_per_pod=1.0,
            pods_replaced=0,
            pods_lossless=0,
            unmet=(),
            exposure_known=False,
        ),
    )


@cache
def nothing() -> Analysis:
    """A document of a header alone."""
    header = Story().end(at=1).document().header
    return inconclusive(
        Document(header=header, facts=(StageMark(at_ns=ns(0), stage=Stage.PREFLIGHT),)),
        "the run ended before it began.",
        latency=(),
    )


NASTY = "<script>alert(1)</script>\x1b[31m%s%(x)s\n[red]$\\frac{1}{2}$ \u202egnp.exe\u2028\x9b2J"


@cache
def nasty() -> Analysis:
    """Names that mean harm, in every place that takes a name; one pod's name has 253 characters."""
    long = "a" * 240 + "-" + "z9" * 6
    story = Story(qps=100, header={"workload": f"deployment/{NASTY}", "url": f"http://x/{NASTY}", "trigger": NASTY})
    story.pods(2).restart(at=11).new_pod(NASTY, created=11.2, ready=13).new_pod(long, created=14.2, ready=16)
    story.story_pods["old-1"].name, story.story_pods["old-2"].name = NASTY + "old", long[::-1]
    story.delete("old-1", at=13.1, exit_after=0.1, code=143).delete("old-2", at=16.1, exit_after=0.1, code=2)
    story.lose(Lane.FRESH, 13.2, 13.6, detail=NASTY, pod=NASTY + "old")
    analysis = card(story.end(at=30).document())
    return not_graceful(
        analysis.timeline.document,
        f"{NASTY} lost {analysis.counts.failed} of {since(analysis.timeline):,} requests",
        reasons=(NASTY,),
        causes=(
            Cause(
                mode=1,
                name=NASTY,
                attempts=analysis.counts.failed,
                confidence="low",
                summary=NASTY,
                evidence=(NASTY, f"pod {long} ended"),
                competing=((4, NASTY),),
                fix=f"metadata:\n  name: {NASTY}\n",
                advice=NASTY,
            ),
        ),
        unattributed=tuple(Unattributed(attempt=a, nearest=(NASTY,)) for a in analysis.timeline.failures[:2]),
        blind=(NASTY,),
        observations=(NASTY,),
    )


@cache
def many() -> Analysis:
    """Twenty-four pods replaced, four at a time: enough for the densest rows of the picture."""
    story = Story(qps=100, spec=pod_spec(prestop=sleep(5)), new_spec=pod_spec(prestop=sleep(5))).pods(24).restart(at=11)
    for number in range(1, 25):
        at = 13.3 + 3 * ((number - 1) // 4) + 0.02 * number
        story.new_pod(f"web-7d9f6c5b4f-new{number:02}", created=at - 2.1, ready=at - 0.1)
        story.delete(f"old-{number}", at=at, exit_after=5.4, serves_for=0.4, code=0 if number % 7 else 137)
    for at in (19.0, 27.3):
        story.lose(Lane.REUSED, at, at + 0.2, Phase.AWAIT, Outcome.RESET)
        story.lose(Lane.FRESH, at, at + 0.3, every=2)
    analysis = card(story.end(at=45).document())
    return not_graceful(
        analysis.timeline.document,
        f"{analysis.counts.failed} of {since(analysis.timeline):,} requests failed while 24 pods were replaced.",
    )


CARDS = {
    "graceful": graceful,
    "immediate-exit": immediate_exit,
    "killed": killed,
    "readiness-missing": readiness_missing,
    "in-flight-and-broken": in_flight_and_broken,
    "stuck": stuck,
    "unsealed": unsealed,
    "nothing": nothing,
    "nasty": nasty,
    "many": many,
}
