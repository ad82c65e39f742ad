"""The failed requests of a run as JSON Lines, each with what it is attributed to."""

from __future__ import annotations

from rollcheck.analyze.causes.words import NAMES
from rollcheck.analyze.model import Analysis, began
from rollcheck.facts.attempts import Attempt, Lane, Outcome
from rollcheck.facts.document import Document
from rollcheck.render.axis import axis_of
from rollcheck.render.loadlines import failure_line


def render_failures(analysis: Analysis) -> bytes:
    """A line for each attempt that failed, was cut off by the end of the run or was never sent, by start.

    As `load --failures` writes them, and besides: `at_s`, seconds on the run's axis; `cause` and `mode`, null where
    there is none. A failure whose details were not kept has no line (`by_outcome` of result.json counts it).
    """
    timeline, axis = analysis.timeline, axis_of(analysis)
    modes = {(lane, seq): cause.mode for cause in reversed(analysis.causes) for lane, seq in cause.seqs}
    attempts = sorted(
        (*timeline.failures, *timeline.abandoned, *timeline.not_sent), key=lambda a: (began(a), a.lane, a.seq)
    )

    def line(attempt: Attempt) -> str:
        mode = modes.get((attempt.lane.value, attempt.seq))
        cause = None if mode is None else NAMES.get(mode, "")
        return failure_line(
            attempt, timeline.document.header.anchor, at_s=axis.at(began(attempt)), mode=mode, cause=cause
        )

    return "".join(map(line, attempts)).encode()


def render_load_failures(document: Document) -> bytes:
    """The same of a load, as far as its document kept them, in the order in which they ended."""
    anchor = document.header.anchor
    attempts = [a for a in document.of(Attempt) if a.outcome is not Outcome.OK and a.lane is not Lane.PROBE]
    return "".join(failure_line(attempt, anchor) for attempt in attempts).encode()
