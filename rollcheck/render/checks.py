"""A run or a load as a list of checks: what a machine that gates a release reads.

Each check has an id that stays the same from run to run, so that a CI can follow it. A run has four that are always
judged, and one for each cause that was found; a load has three, and one for each threshold. They agree with the exit
code: nothing failed and nothing is unknown exactly where that is 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from rollcheck.analyze.causes.words import NAMES
from rollcheck.analyze.exposure import replaced_pods, replacement_counts
from rollcheck.analyze.loadmodel import LoadSummary
from rollcheck.analyze.model import Analysis, Cause, PodLife, Verdict
from rollcheck.analyze.thresholds import Judgement
from rollcheck.facts.clock import SECOND
from rollcheck.facts.header import Header
from rollcheck.render.axis import axis_of
from rollcheck.render.loadlines import wall_text
from rollcheck.render.result import outcome_key
from rollcheck.render.settings import without_user
from rollcheck.render.text import count, counted, outcome_words, sentence

THRESHOLD = "threshold-"
"""What the id of a threshold's check begins with."""


class State(StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It could not be judged, and that is reason enough not to go on."""
    ASIDE = "aside"
    """Nothing that the exit code depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. Texts are as analysis has them: each renderer cleans them in its own way.

    Attributes:
        id: stable from run to run, unique in a run.
        name: what is wanted, as a sentence.
        message: why it is not so, one line; empty when it is.
        details: further lines.
        fix: a patch in YAML, empty without one.
    """

    id: str
    name: str
    state: State
    message: str = ""
    details: tuple[str, ...] = ()
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """Everything that was looked at in one run or load.

    Attributes:
        kind: "run" or "load".
        subject: what it was about.
        verdict: in words: a run's, or "passed", "failed" and "not to be trusted".
        headline: one sentence.
        started: wall time, RFC 3339, UTC.
        properties: (name, value) of what was asked for.
    """

    kind: str
    run_id: str
    subject: str
    verdict: str
    state: State
    headline: str
    started: str
    seconds: float
    properties: tuple[tuple[str, str], ...]
    checks: tuple[Check, ...]

    def of(self, *states: State) -> tuple[Check, ...]:
        """The checks in one of these states, in order."""
        return tuple(check for check in self.checks if check.state in states)


_RUN_STATES = {
    Verdict.GRACEFUL: State.PASSED,
    Verdict.NOT_GRACEFUL: State.FAILED,
    Verdict.INCONCLUSIVE: State.UNKNOWN,
}


def check_run(analysis: Analysis) -> Checkup:
    """The checks of a run, in the order in which they are read."""
    timeline, header = analysis.timeline, analysis.timeline.document.header
    checks = [_losses(analysis), _ends(analysis), _proof(analysis), _generator(analysis)]
    checks += [_cause(analysis, cause) for cause in analysis.causes]
    if analysis.unattributed:
        checks.append(_unexplained(analysis))
    return Checkup(
        kind="run",
        run_id=header.run_id,
        subject=f"{header.workload} in {header.namespace}",
        verdict=analysis.verdict.value,
        state=_RUN_STATES[analysis.verdict],
        headline=analysis.headline,
        started=axis_of(analysis).wall(timeline.window.start),
        seconds=timeline.window.length / SECOND,
        properties=_properties(header),
        checks=_unique(checks),
    )


def _losses(analysis: Analysis) -> Check:
    counts = replacement_counts(analysis.timeline)
    state, message = _RUN_STATES[analysis.verdict], ""
    if state is State.FAILED and not analysis.lost and _killed(analysis):
        state = State.PASSED
    if state is State.FAILED:
        message = analysis.headline
    elif state is State.UNKNOWN:
        # That it is not known is told, and made to count, by the check that says why.
        state, message = State.ASIDE, "not judged: the run proves nothing"
    ways = [
        f"{lane}: {count(number)} {outcome_words(key)}"
        for lane, outcomes in analysis.by_outcome.items()
        for key, number in outcomes.items()
        if number and (key != "ok" or lane != "probe")
    ]
    since = f"{count(counts.sent)} sent since the trigger: {count(counts.ok)} ok, {count(counts.failed)} failed"
    return Check(
        id="no-loss",
        name="No request is lost to the replacement",
        state=state,
        message=message,
        details=(since, *ways),
    )


def _ends(analysis: Analysis) -> Check:
    killed, replaced = _killed(analysis), replaced_pods(analysis.timeline)
    state, message = State.PASSED, ""
    if killed:
        state = State.FAILED if analysis.verdict is Verdict.NOT_GRACEFUL else State.UNKNOWN
        message = f"{counted(len(killed), 'pod')} did not end within the grace: {', '.join(p.name for p in killed)}"
    elif not replaced:
        state, message = State.ASIDE, "not judged: no old pod was replaced"
    return Check(
        id="ends-by-itself",
        name="Every replaced pod ends by itself before its grace does",
        state=state,
        message=message,
        details=tuple(_ending(pod) for pod in (killed or replaced)),
    )


def _ending(pod: PodLife) -> str:
    codes = ", ".join(f"{e.container} ended with {'?' if e.code is None else e.code}" for e in pod.exits)
    took = f", {pod.took_s[0]:.1f} to {pod.took_s[1]:.1f} s after its deletion" if pod.took_s else ""
    grace = f", grace {pod.grace_s} s" if pod.grace_s is not None else ""
    return f"{pod.name}: {codes or 'its end was not seen'}{took}{grace}"


def _killed(analysis: Analysis) -> list[PodLife]:
    return [pod for pod in analysis.timeline.pods if pod.generation == "old" and pod.killed]


def _proof(analysis: Analysis) -> Check:
    reasons = [reason for reason in analysis.reasons if reason not in analysis.generator.faults]
    state = State.PASSED
    if analysis.verdict is Verdict.INCONCLUSIVE and (reasons or not analysis.reasons):
        state, reasons = State.UNKNOWN, reasons or [analysis.headline]
    return Check(
        id="conclusive",
        name="The run is whole, and put the replacement to the test",
        state=state,
        message=reasons[0] if reasons else "",
        details=(*reasons[1:], *analysis.blind),
    )


def _generator(analysis: Analysis) -> Check:
    faults = analysis.generator.faults
    unsure = analysis.verdict is Verdict.INCONCLUSIVE
    return Check(
        id="generator",
        name="The load generator kept its timetable",
        state=State.PASSED if not faults else State.UNKNOWN if unsure else State.ASIDE,
        message=faults[0] if faults else "",
        details=faults[1:],
    )


def _cause(analysis: Analysis, cause: Cause) -> Check:
    state = _RUN_STATES[analysis.verdict]
    if state is State.PASSED or not cause.of_replacement:
        state = State.ASIDE
    lost = counted(cause.attempts, "request")
    # Most summaries say how many there were themselves.
    lost = f"{lost} lost: " if cause.attempts and lost not in cause.summary else ""
    whose = "" if cause.of_replacement else " (not the replacement's doing)"
    competing = tuple(f"not excluded: {NAMES.get(mode, f'mode {mode}')} ({reason})" for mode, reason in cause.competing)
    advice = (f"Fix: {cause.advice}",) if cause.advice else ()
    return Check(
        id=f"cause-{cause.mode}",
        name=f"Not lost to: {cause.name}",
        state=state,
        message=f"{lost}{sentence(cause.summary)}{whose}",
        details=(f"confidence: {cause.confidence}", *cause.evidence, *competing, *advice),
        fix=cause.fix,
    )


def _unexplained(analysis: Analysis) -> Check:
    state = _RUN_STATES[analysis.verdict]
    lost = analysis.unattributed
    ways = Counter(f"{each.attempt.lane.value} {outcome_words(outcome_key(each.attempt))}" for each in lost)
    return Check(
        id="unattributed",
        name="Every failed request has a known cause",
        state=State.ASIDE if state is State.PASSED else state,
        message=f"{counted(len(lost), 'failed request has', 'failed requests have')} no known cause",
        details=tuple(f"{count(n)} {way}" for way, n in sorted(ways.items(), key=lambda item: (-item[1], item[0]))),
    )


def check_load(summary: LoadSummary, judgements: Sequence[Judgement]) -> Checkup:
    """The checks of a load, in the order in which they are read."""
    header = summary.header
    checks = [_whole(summary), _trusted(summary), _answered(summary), *(_threshold(j) for j in judgements)]
    failed = any(check.state is State.FAILED for check in checks)
    unknown = any(check.state is State.UNKNOWN for check in checks)
    # As the exit code has it: figures that cannot be trusted miss no threshold for certain.
    state = State.UNKNOWN if unknown else State.FAILED if failed else State.PASSED
    verdict = {State.UNKNOWN: "not to be trusted", State.FAILED: "failed", State.PASSED: "passed"}[state]
    rate = "as fast as answers came" if not summary.open_loop else f"{summary.rate:,.5g} of {_asked(header)} per second"
    return Checkup(
        kind="load",
        run_id=header.run_id,
        subject=without_user(header.url),
        verdict=verdict,
        state=state,
        headline=f"{count(summary.sent)} requests sent, {rate}: {count(summary.ok)} ok, "
        f"{count(summary.failed)} failed, {count(summary.not_sent)} never sent.",
        started=wall_text(header.anchor, summary.started_ns),
        seconds=summary.elapsed_s,
        properties=_properties(header),
        checks=_unique(checks),
    )


def _asked(header: Header) -> str:
    return f"{header.qps:g}" if header.qps else "the stages'"


def _whole(summary: LoadSummary) -> Check:
    state, message = State.PASSED, ""
    if summary.interrupted:
        state, message = State.UNKNOWN, f"interrupted by {summary.interrupted} after {summary.elapsed_s:.1f} s"
    elif summary.aborted:
        state, message = State.FAILED, summary.aborted
    elif summary.damaged:
        state, message = State.UNKNOWN, "the document ends without its seal; what came after is not known"
    return Check(id="whole", name="The load goes on to its end", state=state, message=message, details=summary.notes)


def _trusted(summary: LoadSummary) -> Check:
    said = (*summary.faults, *((summary.target_slow,) if summary.target_slow else ()))
    aborted = bool(summary.aborted) and not summary.interrupted
    return Check(
        id="generator",
        name="The load generator kept its timetable",
        state=State.PASSED if not summary.faults else State.ASIDE if aborted else State.UNKNOWN,
        message=summary.faults[0] if summary.faults else "",
        details=said[1:] if summary.faults else said,
    )


def _answered(summary: LoadSummary) -> Check:
    nothing = bool(summary.scheduled) and not summary.ok
    ways = tuple(f"{count(each.count)} {each.name}" for each in summary.errors)
    return Check(
        id="answered",
        name="At least one request gets a good answer",
        state=State.FAILED if nothing else State.PASSED,
        message="not one request got a good answer" if nothing else "",
        details=ways,
    )


def outcome_of(judgement: Judgement) -> str:
    """Whether a threshold was met, and by what, without its own text."""
    return judgement.said.removeprefix(f"{judgement.threshold.text}: ")


def _threshold(judgement: Judgement) -> Check:
    return Check(
        id=f"{THRESHOLD}{judgement.threshold.text}",
        name=f"Threshold {judgement.threshold.text}",
        state=State.PASSED if judgement.met else State.FAILED,
        message="" if judgement.met else outcome_of(judgement),
    )


def _properties(header: Header) -> tuple[tuple[str, str], ...]:
    asked = {
        "run_id": header.run_id,
        "workload": header.workload,
        "namespace": header.namespace,
        "url": without_user(header.url),
        "trigger": header.trigger,
        "qps": f"{header.qps:g}" if header.qps else "max",
        "expect": header.expect,
        **{f"version.{name}": version for name, version in sorted(header.versions.items())},
        **({"sandbox": "true"} if header.sandbox else {}),
    }
    return tuple((name, value) for name, value in asked.items() if value)


def _unique(checks: Sequence[Check]) -> tuple[Check, ...]:
    """The checks, those after the first of an id numbered."""
    seen: Counter[str] = Counter()
    made = []
    for check in checks:
        seen[check.id] += 1
        made.append(check if seen[check.id] == 1 else replace(check, id=f"{check.id}-{seen[check.id]}"))
    return tuple(made)
