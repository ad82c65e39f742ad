"""The whole analysis of one document: total over any prefix of a run, and the same for ever."""

from __future__ import annotations

from collections.abc import Iterable

from rollcheck.analyze.background import BACKGROUND
from rollcheck.analyze.baseline import report_baseline
from rollcheck.analyze.causes.ends import rescales
from rollcheck.analyze.causes.outage import no_advice
from rollcheck.analyze.causes.scene import Scene
from rollcheck.analyze.correlate import attribute
from rollcheck.analyze.counts import by_outcome, count
from rollcheck.analyze.exposure import bounds_of, replaced_pods
from rollcheck.analyze.generator import audit
from rollcheck.analyze.latency import latency_by_stage
from rollcheck.analyze.model import Analysis, Cause, Timeline, Unattributed
from rollcheck.analyze.obstacles import blind_spots, unseen_ports
from rollcheck.analyze.outages import find_outages
from rollcheck.analyze.propagation import measure_propagation, recommend_prestop
from rollcheck.analyze.several import beside_and_elsewhere
from rollcheck.analyze.timeline import build_timeline
from rollcheck.analyze.verdict import judge
from rollcheck.analyze.words import number
from rollcheck.facts.actions import Note
from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import SECOND
from rollcheck.facts.connections import ClosedBy, Connection
from rollcheck.facts.document import Document

SLOW_END_S = 30.0
"""Pods that take longer than this to end make every rollout slow, graceful or not."""


def analyse(document: Document) -> Analysis:
    """Timeline, causes, bounds and verdict of `document`.

    Raises:
        DocumentError: a histogram in it cannot be read.
    """
    timeline = build_timeline(document)
    pointless = no_advice(timeline)
    propagation = () if pointless else measure_propagation(timeline)
    prestop = recommend_prestop(propagation)
    causes, unattributed = attribute(timeline, prestop_s=prestop)
    outages = find_outages(timeline)
    baseline = report_baseline(timeline)
    generator, faults = audit(timeline)
    judgement = judge(timeline, causes=causes, outages=outages, baseline=baseline, faults=faults)
    return Analysis(
        timeline=timeline,
        verdict=judgement.verdict,
        exit_code=judgement.exit_code,
        headline=judgement.headline,
        reasons=judgement.reasons,
        counts=count(timeline),
        by_outcome=by_outcome(timeline),
        causes=causes,
        unattributed=unattributed,
        outages=outages,
        propagation=propagation,
        recommended_prestop_s=prestop,
        bounds=bounds_of(timeline),
        baseline=baseline,
        generator=generator,
        latency=latency_by_stage(timeline.intervals),
        blind=(*blind_spots(timeline), *unseen_ports(timeline, _unexplained(timeline, causes, unattributed))),
        # The first ones are the ones that a summary has room for.
        observations=(*([pointless] if pointless else []), *judgement.caveats, *_observations(timeline)),
        lost=judgement.lost,
    )


def _unexplained(timeline: Timeline, causes: Iterable[Cause], unattributed: Iterable[Unattributed]) -> list[Attempt]:
    """The lost attempts of which nothing is known but that they failed, or that such failed before as well."""
    background = {claim for cause in causes if cause.mode == BACKGROUND for claim in cause.seqs}
    return [u.attempt for u in unattributed] + [
        a for a in timeline.failures if background and (a.lane.value, a.seq) in background
    ]


def _observations(timeline: Timeline) -> tuple[str, ...]:
    """Facts worth saying that decide nothing."""
    found = [
        f"the autoscaler {e.name} scaled the workload during the run: {e.message}" for e in rescales(Scene(timeline))
    ]
    found += [note.text for note in timeline.document.of(Note) if note.topic == "restored" and not note.fatal]
    found += [note.text for note in timeline.document.of(Note) if note.topic == "target" and not note.fatal]
    found += beside_and_elsewhere(timeline)
    idle = [c for c in timeline.document.of(Connection) if c.closed_by is ClosedBy.PEER_IDLE]
    if idle:
        found.append(f"{number(len(idle), 'reused connection')} closed by the server while idle: no request was lost")
    announced = [c for c in timeline.document.of(Connection) if c.closed_by is ClosedBy.PEER_ANNOUNCED]
    if announced:
        found.append(f"{number(len(announced), 'connection')} closed by the server with notice (Connection: close)")
    slow = [p for p in replaced_pods(timeline) if p.took_s is not None and p.took_s[0] >= SLOW_END_S]
    if slow:
        longest = max(p.took_s[1] for p in slow if p.took_s is not None)
        found.append(f"{number(len(slow), 'pod')} took up to {longest:.0f} s to end")
    restarted = [p.name for p in timeline.pods if p.restarts > 0]
    if restarted:
        found.append(f"containers restarted during the run in {', '.join(restarted)}")
    if timeline.replacement is not None and timeline.abandoned:
        found.append(f"{number(len(timeline.abandoned), 'request')} under way when the run ended are nobody's loss")
    if timeline.document.header.sandbox:
        found.append("this was the sandbox: no evidence about any real cluster")
    if replaced := replaced_pods(timeline):
        first = min(p.deleted.seen_ns for p in replaced if p.deleted)
        last = max(p.gone_ns for p in replaced if p.gone_ns is not None)
        found.append(f"replacing {number(len(replaced), 'pod')} took {(last - first) / SECOND:.1f} s")
    return tuple(found)
