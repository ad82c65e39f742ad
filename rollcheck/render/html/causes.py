"""Why requests were lost, what shows it, what fixes it; and the losses that nothing explains."""

from __future__ import annotations

import shlex

from rollcheck.analyze.causes.words import NAMES
from rollcheck.analyze.model import Analysis, Cause, Unattributed
from rollcheck.render.axis import Axis, axis_of
from rollcheck.render.html.markup import Html, el, joined, verbatim
from rollcheck.render.result import outcome_key
from rollcheck.render.terminal import apply_words, fix_names, patch_text
from rollcheck.render.text import clean, count, counted, offset, outcome_words, sentence

OPEN_EVIDENCE = 4
"""Lines that are shown at once; the others unfold."""
UNEXPLAINED_TOLD = 50
SURE = {"high": "", "medium": "medium confidence", "low": "low confidence"}


def causes_section(analysis: Analysis, *, level: str = "h2") -> Html | None:
    """Every cause, the most attempts first; None when there is none and nothing is unexplained."""
    if not analysis.causes and not analysis.unattributed:
        return None
    fixes = {patch: name for name, patch in fix_names(analysis).items()}
    told: dict[str, int] = {}
    cards = []
    for rank, cause in enumerate(analysis.causes, 1):
        patch = patch_text(cause.fix) if cause.fix else ""
        first = told.setdefault(patch, rank) if patch else rank
        cards.append(_card(analysis, rank, cause, patch, fixes.get(patch, ""), same_as=first if first < rank else 0))
    title = el(level, "Why" if analysis.causes else "Unexplained", class_="quiet")
    return el("section", title, cards, _unexplained(analysis), id="causes" if level == "h2" else None, class_="causes")


def _card(analysis: Analysis, rank: int, cause: Cause, patch: str, name: str, *, same_as: int) -> Html:
    lost = counted(cause.attempts, "request") if cause.attempts else "no request lost"
    whose = "" if cause.of_replacement else "not the replacement’s doing"
    chips = [el("span", text, class_="chip") for text in (lost, SURE.get(cause.confidence, ""), whose) if text]
    fix = None
    if same_as:
        fix = el("p", f"The patch is that of cause {same_as}.", class_="note")
    elif patch:
        fix = _patch(analysis, patch, name)
    words = el(
        "div",
        el("p", sentence(cause.summary), class_="summary") if cause.summary else None,
        el("p", el("strong", "Fix: "), cause.advice, class_="advice") if cause.advice else None,
        _evidence(cause),
        class_="words",
    )
    heading = el("h3", el("span", f"{rank}", class_="rank"), " ", sentence(cause.name), " ", chips)
    return el("article", heading, el("div", words, fix, class_="halves" if fix else "whole"), class_="cause")


def _evidence(cause: Cause) -> Html | None:
    lines: list[Html] = [el("li", sentence(fact)) for fact in cause.evidence]
    lines += [
        el("li", el("em", "Not excluded: "), f"{NAMES.get(mode, f'mode {mode}')} ({reason})")
        for mode, reason in cause.competing
    ]
    if not lines:
        return None
    more = lines[OPEN_EVIDENCE:]
    rest = el("details", el("summary", f"{len(more)} more"), el("ul", more)) if len(more) > 1 else el("ul", more)
    return joined(el("ul", lines[:OPEN_EVIDENCE], class_="evidence"), rest if more else None)


def _patch(analysis: Analysis, patch: str, name: str) -> Html:
    return el(
        "div",
        copyable(f"Patch, {name}", patch),
        copyable(apply_words(analysis), apply_command(analysis, name)),
        class_="fix",
    )


def copyable(label: str, text: str) -> Html:
    """Lines to be copied; the button comes to life with the script."""
    button = el("button", "Copy", type="button", class_="copy", hidden=True, aria_label=f"Copy: {label}")
    # Scrolls sideways where lines are longer than a phone is wide, so it can be reached by keyboard.
    lines = el("pre", el("code", verbatim(text)), tabindex="0", role="region", aria_label=label)
    return el("figure", el("figcaption", label, button), lines, class_="copyable")


def apply_command(analysis: Analysis, name: str) -> str:
    """The command that applies a patch that lies beside the page."""
    header = analysis.timeline.document.header
    kind, _, workload = header.workload.partition("/")
    context = ["--context", header.context] if header.context else []
    words = ["kubectl", *context, "-n", header.namespace, "patch", kind, workload, "--patch-file", name]
    return shlex.join(clean(word) for word in words)


def _unexplained(analysis: Analysis) -> Html | None:
    found = analysis.unattributed
    if not found:
        return None
    axis = axis_of(analysis)
    rest = len(found) - UNEXPLAINED_TOLD
    return el(
        "article",
        el("h3", "Unexplained ", el("span", counted(len(found), "request"), class_="chip")),
        el("ul", [_line(axis, lost) for lost in found[:UNEXPLAINED_TOLD]], class_="evidence"),
        el("p", f"{count(rest)} more in result.json", class_="note") if rest > 0 else None,
        class_="cause",
    )


def _line(axis: Axis, lost: Unattributed) -> Html:
    attempt = lost.attempt
    near = f"; nearest: {', '.join(lost.nearest)}" if lost.nearest else ""
    at = offset(axis.at(attempt.intended_ns))
    return el("li", f"{at} s, {attempt.lane}, {outcome_words(outcome_key(attempt))}{near}")
