"""The rows as text, as Markdown and as JSON: pure functions of what was measured."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.results import Row

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
MARKS = {True: "yes", False: "NO", None: "?"}


def render_text(row: Row) -> str:
    """One row for a terminal: figures, then goals, then notes."""
    lines = [f"{row.key}: {row.title}"]
    for figure in row.figures:
        seen = figure.seen
        spread = f"  ({_number(seen.low)} – {_number(seen.high)}, {seen.rounds} rounds)" if seen.rounds > 1 else ""
        lines.append(f"  {figure.who:18} {figure.what:28} {_number(seen.median):>10}{spread}")
    lines += [f"  {MARKS[goal.met]:>3}  {goal.what}: {goal.reached or 'not measured'}" for goal in row.goals]
    lines += [f"  note: {note}" for note in row.notes]
    return "\n".join(lines)


def render_markdown(rows: Sequence[Row], machine: Mapping[str, Any], command: str) -> str:
    """Two tables, goals and figures, with how and on what they were had."""
    peers = ", ".join(f"{name} {version}".strip() for name, version in machine["programs"].items())
    lines = [
        f"`{command}` on {_shape(machine)}, {machine['date']}. Found: {peers}.",
        "",
        "| measure | to reach | reached | |",
        "|---|---|---|---|",
    ]
    for row in rows:
        for goal in row.goals:
            reached = _cell(goal.reached) or "not measured"
            lines.append(f"| {row.title} | {goal.what} | {reached} | {MARKS[goal.met]} |")
    lines += ["", "| measure | generator | figure | median | low – high | rounds |", "|---|---|---|---|---|---|"]
    for row in rows:
        for figure in row.figures:
            seen = figure.seen
            spread = f"{_number(seen.low)} – {_number(seen.high)}"
            cells = [row.title, figure.who, figure.what, _number(seen.median), spread, str(seen.rounds)]
            lines.append(f"| {' | '.join(cells)} |")
    lines += [f"\n{row.title}: {_cell(note)}" for row in rows for note in row.notes]
    return "\n".join(lines) + "\n"


def render_json(rows: Sequence[Row], machine: Mapping[str, Any], command: str) -> dict[str, Any]:
    """Everything, for another program."""
    return {"command": command, "machine": dict(machine), "rows": [asdict(row) for row in rows]}


def replace_figures(document: str, tables: str) -> str:
    """The document with `tables` between its two marks, whatever stood there.

    Raises:
        ValueError: it has not both marks, in order.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n{tables.strip()}\n{END}{after}"


def _shape(machine: Mapping[str, Any]) -> str:
    processor = f" ({machine['processor']})" if machine["processor"] else ""
    cores = f"{machine['cores']} cores{processor}"
    return f"{cores}, {machine['memory_gb']} GB, Linux {machine['kernel']}, Python {machine['python']}"


def _cell(text: str) -> str:
    """On one line, without what breaks a table, and without this machine's paths, which errors name."""
    return re.sub(r"(?<!:)(?:/[\w.+-]+){2,}/?", "…", " ".join(text.split())).replace("|", "\\|")


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
