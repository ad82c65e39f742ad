"""GitHub Actions: annotations, and how much of a summary fits into a step's.

An annotation is a line of the log that the runner obeys, so what others named must not become one: of a message `%`, CR
and LF are written as the runner reads them back, of a property `:` and `,` too, and control characters are spelled out.
GitHub shows ten annotations of a kind in a step; the tenth says how many there were.
"""

from __future__ import annotations

from collections.abc import Sequence

from rollcheck.render.checks import Check, Checkup, State
from rollcheck.render.text import clean, counted

MOST = 10
"""Annotations of a kind that a step shows."""
SUMMARY_BYTES = 1024 * 1024
"""What a step's summary may have; GitHub drops the whole of a longer one."""
ROOM = 64 * 1024
"""Left for what other tools add to the same step's summary."""
CUT = "\n\n(The rest is in the report's folder: GitHub takes no more.)\n"


def render_annotations(checkup: Checkup) -> str:
    """The lines to print, a newline at the end of each: errors, warnings, or one notice where all is well."""
    if checkup.state is State.FAILED:
        lines = [*_commands("error", checkup.of(State.FAILED)), *_commands("warning", checkup.of(State.UNKNOWN))]
    else:
        lines = _commands("error", checkup.of(State.UNKNOWN, State.FAILED))
    if not lines:
        lines = [_command("notice", f"rollcheck: {checkup.verdict}", checkup.headline)]
    return "".join(f"{line}\n" for line in lines)


def fitted_summary(markdown: str, taken: int) -> str:
    """As much of a summary as a step has room for.

    Args:
        markdown: the whole one.
        taken: bytes that the step's summary has already.
    """
    room = SUMMARY_BYTES - ROOM - taken
    data = markdown.encode("utf-8", "replace")
    if len(data) <= room:
        return markdown
    kept = data[: max(0, room - len(CUT) - len("\n```\n"))].decode("utf-8", "ignore").rpartition("\n")[0]
    # A block of code that the cut leaves open would swallow what comes after.
    opened = sum(1 for line in kept.split("\n") if line.startswith("```")) % 2
    return kept + ("\n```" if opened else "") + CUT if kept else ""


def _commands(kind: str, checks: Sequence[Check]) -> list[str]:
    told = [_command(kind, _title(check), _body(check)) for check in checks[:MOST]]
    if len(checks) > MOST:
        rest = checks[MOST - 1 :]
        told[-1] = _command(
            kind,
            f"rollcheck: {counted(len(rest), 'more check')}",
            "\n".join(f"{clean(check.name)}: {clean(check.message)}" for check in rest),
        )
    return told


def _title(check: Check) -> str:
    return f"rollcheck {check.id}: {check.name}"


def _body(check: Check) -> str:
    return "\n".join(clean(line) for line in (check.message, *check.details) if line)


def _command(kind: str, title: str, body: str) -> str:
    return f"::{kind} title={_property(clean(title))}::{_data(body)}"


def _data(text: str) -> str:
    # "##[" is the runner's older way to say "obey me", which it looks for anywhere in a line.
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return escaped.replace("##[", "## [")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
