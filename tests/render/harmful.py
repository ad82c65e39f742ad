"""Runs and loads in which every name that comes from elsewhere is one given text."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from cards import NASTY, immediate_exit
from hypothesis import strategies as st
from loads import failing

from rollcheck.analyze.loadmodel import ErrorClass, LoadSummary
from rollcheck.analyze.model import Analysis, Unattributed

HARMFUL = [
    NASTY,
    "<script>alert(1)</script>",
    "]]><x/>",
    '"\\\n',
    "100 %0A::error::mine",
    "::stop-commands::x",
    "##[error]x",
    "``` `a` ````",
    "a|b||c",
    "**a** _b_ [c](d) ![e](f) ~~g~~",
    "- - x",
    "1. x",
    "# x",
    "&amp;&#60;",
    "@all $x$",
    "\x1b[2J\x9b31m\x00\ufffe\ud800",
    "z" * 253,
    "<details>",
]
TEXTS = st.one_of(st.sampled_from(HARMFUL), st.text(st.characters(), max_size=40))


def run_of(text: str) -> Analysis:
    """A run that lost something, everything in it called `text`."""
    base = immediate_exit()
    timeline = base.timeline
    header = replace(
        timeline.document.header, workload=text, namespace=text, url=f"http://x/{text}", trigger=text, expect=text
    )
    (cause,) = base.causes
    return replace(
        base,
        headline=text,
        reasons=(text,),
        timeline=replace(
            timeline,
            document=replace(timeline.document, header=header),
            pods=tuple(replace(pod, name=text, killed=True) for pod in timeline.pods),
            failures=tuple(replace(attempt, detail=text, pod=text) for attempt in timeline.failures),
        ),
        causes=(
            replace(cause, name=text, summary=text, evidence=(text,), competing=((4, text),), fix=text, advice=text),
        ),
        unattributed=tuple(Unattributed(attempt=attempt, nearest=(text,)) for attempt in timeline.failures[:1]),
        blind=(text,),
        observations=(text,),
    )


@cache
def failed() -> LoadSummary:
    """Summed up once: only its names differ."""
    return failing()


def load_of(text: str) -> LoadSummary:
    """A load that failed in a way called `text`."""
    base = failed()
    wrong = ErrorClass(name=text, count=3, first_ns=base.started_ns, last_ns=base.ended_ns, example=text)
    return replace(base, header=replace(base.header, url=f"http://x/{text}"), errors=(wrong,), aborted=text)
