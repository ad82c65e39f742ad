"""What attribution makes of a story, in the few words that tests compare."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ruamel.yaml import YAML

from rollcheck.analyze.correlate import attribute
from rollcheck.analyze.model import Cause, Unattributed
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.document import Document
from tests.analyze.builders import Story


def told(story: Story | Document, **options: Any) -> tuple[tuple[Cause, ...], tuple[Unattributed, ...]]:
    """Causes and unattributed attempts of the story, after the law that holds for all of them has been checked."""
    timeline = build_timeline(story if isinstance(story, Document) else story.document())
    causes, left = attribute(timeline, **options)
    claims = Counter(claim for cause in causes for claim in cause.seqs)
    claims.update((u.attempt.lane.value, u.attempt.seq) for u in left)
    assert claims == Counter((a.lane.value, a.seq) for a in timeline.failures)
    assert all(cause.attempts == len(cause.seqs) for cause in causes)
    assert all(u.nearest for u in left)
    return causes, left


def modes(story: Story | Document) -> dict[int, int]:
    """Mode → attempts, with None → those that nobody explains where there are any."""
    causes, left = told(story)
    found: dict[int, int] = {cause.mode: cause.attempts for cause in causes}
    return {**found, -1: len(left)} if left else found


def cause(story: Story | Document, mode: int, **options: Any) -> Cause:
    """The story's cause of that mode."""
    return next(c for c in told(story, **options)[0] if c.mode == mode)


def patch(text: str) -> Any:
    """The patch as the API server would read it."""
    return YAML(typ="safe").load(text)


def container(text: str) -> Any:
    """The first container of a patch of the pod template."""
    return patch(text)["spec"]["template"]["spec"]["containers"][0]
