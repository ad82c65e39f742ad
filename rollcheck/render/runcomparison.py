"""Two runs side by side, for people and for programs."""

from __future__ import annotations

import json
from typing import Any, Final

from rollcheck.analyze.comparerun import RunComparison
from rollcheck.analyze.model import Analysis
from rollcheck.render.axis import axis_of
from rollcheck.render.beside import render_beside
from rollcheck.render.text import clean, well_formed, wrap

SCHEMA: Final = "rollcheck.compare-runs/1"


def run_comparison_text(
    comparison: RunComparison, names: tuple[str, str], *, width: int = 80, colour: bool = False
) -> str:
    """What a person reads, a newline at its end.

    Args:
        comparison: of the two runs.
        names: what to call them.
        width: columns.
        colour: whether verdicts are coloured.
    """
    runs = (f"A: {names[0]}", comparison.a), (f"B: {names[1]}", comparison.b)
    lines = [render_beside(runs, width=width, colour=colour).rstrip("\n"), ""]
    for text in (verdict(comparison), *_causes(comparison)):
        lines += wrap(clean(text), width)
    for warning in comparison.warnings:
        lines += wrap(clean(warning), width, first="Note: ", rest="  ")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def verdict(comparison: RunComparison) -> str:
    """One sentence."""
    if comparison.unjudged:
        return f"Which is worse is not known: {comparison.unjudged}."
    if comparison.worse:
        return f"B is worse: {comparison.worse}."
    if comparison.better:
        return f"B is better: {comparison.better}."
    if comparison.chance is None:
        return "Both are graceful."
    return "Both lost requests, and the shares do not differ by more than chance explains."


def _causes(comparison: RunComparison) -> list[str]:
    said = []
    if comparison.gone:
        said.append(f"No longer in B: {', '.join(comparison.gone)}.")
    if comparison.come:
        said.append(f"New in B: {', '.join(comparison.come)}.")
    return said


def run_comparison_json(comparison: RunComparison, names: tuple[str, str]) -> bytes:
    """The same as JSON."""
    sides = zip(("a", "b"), names, (comparison.a, comparison.b), comparison.lost, comparison.sent, strict=True)
    told = {
        "schema": SCHEMA,
        **{side: _side(name, run, lost, sent) for side, name, run, lost, sent in sides},
        "worse": comparison.worse,
        "better": comparison.better,
        "unjudged": comparison.unjudged,
        "chance": comparison.chance,
        "causes_gone": list(map(well_formed, comparison.gone)),
        "causes_new": list(map(well_formed, comparison.come)),
        "warnings": list(map(well_formed, comparison.warnings)),
    }
    return (json.dumps(told, indent=2, allow_nan=False) + "\n").encode()


def _side(name: str, run: Analysis, lost: int, sent: int) -> dict[str, Any]:
    axis = axis_of(run)
    return {
        "name": well_formed(name),
        "run_id": well_formed(run.timeline.document.header.run_id),
        "started": axis.wall(run.timeline.window.start),
        "verdict": run.verdict.value,
        "lost": lost,
        "sent": sent,
        "causes": [
            {"mode": cause.mode, "name": well_formed(cause.name), "attempts": cause.attempts} for cause in run.causes
        ],
        "propagation_s": max((each.seconds[1] for each in run.propagation), default=None),
    }
