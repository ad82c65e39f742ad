"""What a tired person reads first: the verdict, why, what fixes it, and only then the figures behind it.

The page is built as plain lines of styled pieces. Colour only repeats what the words already say, counts are exact,
and nothing is broken inside a word: prose wraps, names lose their middle, patches and commands stay whole so that they
can be copied.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence

from rollcheck.analyze.causes.words import NAMES
from rollcheck.analyze.exposure import replacement_counts
from rollcheck.analyze.model import Analysis, Cause, Unattributed, Verdict
from rollcheck.render.result import outcome_key
from rollcheck.render.tables import lane_lines, pod_lines, since_trigger
from rollcheck.render.text import (
    cells,
    clean,
    clean_lines,
    count,
    counted,
    outcome_words,
    seconds,
    sentence,
    upper_share,
    wrap,
)

NARROWEST = 60
WIDEST = 110
CAUSES_TOLD = 4
EVIDENCE_TOLD = 4
LIMITS_TOLD = 4
ASIDES_TOLD = 3

_COLOURS = {
    "bad": "1;31",
    "good": "1;32",
    "unsure": "1;33",
    "bold": "1",
    "dim": "2",
    "command": "36",
}
_TONES = {Verdict.GRACEFUL: "good", Verdict.NOT_GRACEFUL: "bad", Verdict.INCONCLUSIVE: "unsure"}


def render_terminal(analysis: Analysis, *, width: int, colour: bool, paths: Mapping[str, str]) -> str:
    """The summary of a run for a person, a newline at its end.

    Args:
        analysis: of the run.
        width: columns of the terminal; taken as at least 60 and at most 110.
        colour: whether to add ANSI colours; plain text without.
        paths: name of each file that was written → its path. A patch that is among them (`fix_names`) is applied
            from its file, else the command carries it.
    """
    page = Page(min(max(width, NARROWEST), WIDEST), colour)
    _verdict(page, analysis)
    _causes(page, analysis, paths)
    _unexplained(page, analysis.unattributed)
    page.lines_of(lane_lines(analysis, page.width), heading=True)
    page.lines_of(pod_lines(analysis, page.width), heading=True)
    _limits(page, analysis)
    _files(page, paths)
    return page.text()


def fix_names(analysis: Analysis) -> dict[str, str]:
    """The patches of a run, each once: file name (`fix-1.yaml`, …) → YAML, in the order of the causes."""
    patches = dict.fromkeys(cause.fix for cause in analysis.causes if cause.fix)
    return {f"fix-{number}.yaml": patch_text(patch) for number, patch in enumerate(patches, 1)}


class Page:
    """Lines under construction, at a width, with or without colour."""

    def __init__(self, width: int, colour: bool) -> None:
        self.width = width
        self.colour = colour
        self.lines: list[str] = []

    def styled(self, text: str, tone: str) -> str:
        """`text` in a colour, if there are any."""
        return f"\x1b[{_COLOURS[tone]}m{text}\x1b[0m" if self.colour and text else text

    def prose(self, text: str, *, first: str = "", rest: str | None = None, tone: str = "") -> None:
        """A paragraph, wrapped between words."""
        for line in wrap(clean(text), self.width, first=first, rest=rest):
            self.lines.append(self.styled(line, tone) if tone else line)

    def verbatim(self, lines: Iterable[str], *, indent: str, tone: str = "") -> None:
        """Lines that are meant to be copied: never wrapped."""
        self.lines += [indent + (self.styled(line, tone) if tone else line) for line in lines]

    def lines_of(self, lines: list[str], *, heading: bool = False) -> None:
        """A table, its first line as heading, after a blank line."""
        if lines:
            self.gap()
            self.lines += [self.styled(lines[0], "bold") if heading else lines[0], *lines[1:]]

    def gap(self) -> None:
        """A blank line, unless there is one."""
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def text(self) -> str:
        """The page."""
        return "\n".join(line.rstrip() for line in self.lines) + "\n"


def _verdict(page: Page, analysis: Analysis) -> None:
    header = analysis.timeline.document.header
    verdict = analysis.verdict.value.upper()
    lines = wrap(clean(analysis.headline), page.width, first=f"{verdict}: ", rest="  ")
    page.lines.append(page.styled(verdict, _TONES[analysis.verdict]) + lines[0][len(verdict) :])
    page.lines += lines[1:]
    for reason in analysis.reasons:
        if reason not in analysis.headline:
            page.prose(reason, first="  - ")
    if scope := _scope(analysis):
        page.prose(scope, first="  ", tone="dim")
    asked = f"{header.workload} in {header.namespace}, {header.trigger}; {header.qps:g} requests/s to {header.url}"
    page.prose(asked, tone="dim")
    if header.sandbox:
        page.prose("This was rollcheck's own sandbox: it is no evidence about a real cluster.", tone="unsure")


def _scope(analysis: Analysis) -> str:
    """Which of the run's requests the headline counts; empty when it counts none, or all of them."""
    since, everything = replacement_counts(analysis.timeline).sent, analysis.counts.sent
    if analysis.verdict is Verdict.INCONCLUSIVE or since == everything:
        return ""
    return f"(Counted {since_trigger(analysis)}: {count(since)} of the run's {counted(everything, 'request')}.)"


def _causes(page: Page, analysis: Analysis, paths: Mapping[str, str]) -> None:
    fixes = {patch: name for name, patch in fix_names(analysis).items()}
    told: dict[str, int] = {}
    for rank, cause in enumerate(analysis.causes[:CAUSES_TOLD], 1):
        page.gap()
        _cause(page, rank, cause)
        if cause.advice:
            page.prose(cause.advice, first="   Fix: ", rest="   ")
        if not cause.fix:
            continue
        patch = patch_text(cause.fix)
        if patch in told:
            page.prose(f"The patch is that of {told[patch]}.", first="   ")
            continue
        told[patch] = rank
        page.verbatim(patch.rstrip("\n").split("\n"), indent="     ")
        page.prose(f"{apply_words(analysis)}:", first="   ")
        page.verbatim(_apply(analysis, fixes[patch], patch, paths, page.width - 5), indent="     ", tone="command")
    rest = analysis.causes[CAUSES_TOLD:]
    if rest:
        page.gap()
        names = "; ".join(f"{cause.name} ({counted(cause.attempts, 'request')})" for cause in rest)
        page.prose(f"Also: {names}. All of it is in result.json.")


def _cause(page: Page, rank: int, cause: Cause) -> None:
    lost = counted(cause.attempts, "request") if cause.attempts else "no request lost"
    sure = "" if cause.confidence == "high" else f", {cause.confidence} confidence"
    whose = "" if cause.of_replacement else " (not the replacement's doing)"
    page.prose(f"{sentence(cause.name)}: {lost}{whose}{sure}", first=f"{rank}. ", tone="bold")
    page.prose(sentence(cause.summary), first="   ")
    for fact in cause.evidence[:EVIDENCE_TOLD]:
        page.prose(fact, first="   - ")
    if len(cause.evidence) > EVIDENCE_TOLD:
        page.prose(f"{len(cause.evidence) - EVIDENCE_TOLD} more in result.json", first="   - ", tone="dim")
    for mode, reason in cause.competing:
        page.prose(f"not excluded: {NAMES.get(mode, f'mode {mode}')} ({reason})", first="   - ")


def apply_words(analysis: Analysis) -> str:
    """What stands before the command that applies a patch. The context of a sandbox is no more once that is down."""
    if analysis.timeline.document.header.sandbox:
        return "Apply it (that context is the sandbox's: name your own cluster's)"
    return "Apply it"


def _apply(analysis: Analysis, name: str, patch: str, paths: Mapping[str, str], width: int) -> list[str]:
    """The command that applies a patch, from its file when that was written; broken between its words only."""
    header = analysis.timeline.document.header
    kind, _, workload = header.workload.partition("/")
    parts = [
        ("kubectl", "--context", header.context, "-n", header.namespace)
        if header.context
        else ("kubectl", "-n", header.namespace),
        ("patch", kind, workload),
        ("--patch-file", paths.get(name, "/dev/stdin")),
    ]
    lines = [""]
    for words in parts:
        part = shlex.join(clean(word) for word in words)
        if lines[-1] and cells(lines[-1]) + cells(part) + 3 > width:
            lines[-1] += " \\"
            lines.append(f"  {part}")
        else:
            lines[-1] += f" {part}" if lines[-1] else part
    if name in paths:
        return lines
    lines[-1] += " <<'END'"
    return [*lines, *patch.rstrip("\n").split("\n"), "END"]


def patch_text(patch: str) -> str:
    """A patch as its file has it: cleaned, a newline at its end."""
    return "\n".join(clean_lines(patch)).strip("\n") + "\n"


def _unexplained(page: Page, lost: tuple[Unattributed, ...]) -> None:
    if not lost:
        return
    page.gap()
    were = "request has" if len(lost) == 1 else "requests have"
    page.prose(f"{count(len(lost))} failed {were} no known cause", tone="bold")
    by_key: dict[str, list[Unattributed]] = {}
    for each in lost:
        by_key.setdefault(f"{each.attempt.lane.value} {outcome_words(outcome_key(each.attempt))}", []).append(each)
    ranked = sorted(by_key.items(), key=lambda item: (-len(item[1]), item[0]))
    for key, group in ranked[:3]:
        near = f"; near it: {group[0].nearest[0]}" if group[0].nearest else ""
        page.prose(f"{count(len(group))} {key}{near}", first="   - ")
    if len(ranked) > 3:
        page.prose(f"{counted(len(ranked) - 3, 'more kind')} in result.json", first="   - ", tone="dim")


def _limits(page: Page, analysis: Analysis) -> None:
    """What the run could not see, and what else is worth a word: a few facts of each, whole."""
    blind = [text for text in (bounds_told(analysis), *unseen(analysis)) if text]
    _listed(page, "What this run could not see (bounds of 95 %)", blind, LIMITS_TOLD)
    # A fault of ours that did not change the verdict is among the observations too.
    asides = list(dict.fromkeys([*analysis.generator.faults, *analysis.observations]))
    _listed(page, "Worth knowing", asides, ASIDES_TOLD)


def _listed(page: Page, title: str, facts: Sequence[str], most: int) -> None:
    if not facts:
        return
    page.gap()
    page.lines.append(page.styled(title, "bold"))
    for fact in facts[:most]:
        page.prose(fact, first="  - ")
    if len(facts) > most:
        page.prose(f"{count(len(facts) - most)} more in result.json", first="  - ", tone="dim")


def bounds_told(analysis: Analysis) -> str:
    """The shortest outage and the smallest losses that the run can have seen; empty when neither is known."""
    bounds = analysis.bounds
    spans = sorted(span for span in bounds.shortest_outage_s.values() if math.isfinite(span))
    ends = dict.fromkeys(seconds(span) for span in (*spans[:1], *spans[-1:]))
    parts = [f"outages under {' to '.join(ends)}"] if ends else []
    if bounds.pods_replaced and 0 < bounds.loss_per_request < 1:
        pods = f", {upper_share(bounds.loss_per_pod)} pods" if bounds.loss_per_pod < 1 else ""
        parts.append(f"losses up to {upper_share(bounds.loss_per_request)} requests{pods}")
    return "; ".join(parts)


def unseen(analysis: Analysis) -> list[str]:
    """Pods that met nobody, then everything that was not observed."""
    bounds = analysis.bounds
    blind = [text.rstrip(".") for text in (*analysis.blind, *analysis.generator.gaps)]
    if not bounds.pods_replaced:
        return ["anything of a replacement: no old pod was replaced", *blind]
    if bounds.exposure_known and bounds.unmet:
        names = ", ".join(bounds.unmet)
        return [f"{counted(len(bounds.unmet), 'old pod')} met no request while ending: {names}", *blind]
    return blind


def _files(page: Page, paths: Mapping[str, str]) -> None:
    """The files, by folder: names are short, folders are long."""
    if not paths:
        return
    folders: dict[str, list[str]] = {}
    for path in paths.values():
        folder, _, name = clean(path).rpartition("/")
        folders.setdefault(folder, []).append(name)
    page.gap()
    for folder, names in folders.items():
        page.prose(" ".join(names), first=f"{folder}/: " if folder else "Files: ", rest="  ")
