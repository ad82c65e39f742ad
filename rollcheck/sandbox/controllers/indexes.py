"""Completion indexes of Indexed Jobs, and how long a Job waits after failures. Pure.

Kubernetes writes the indexes that are done as ranges, "0-2,5"; ranges of two are written "0,1".
"""

from __future__ import annotations

from collections.abc import Iterable

from rollcheck.sandbox.controllers.objects import annotations_of
from rollcheck.sandbox.trees import Json

INDEX = "batch.kubernetes.io/job-completion-index"
BACKOFF_FIRST_S = 10.0
BACKOFF_MOST_S = 600.0


def index_of(pod: Json) -> int | None:
    """The completion index the pod works on; None where it has none."""
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isdecimal() else None


def parse_indexes(text: str, completions: int) -> set[int]:
    """The indexes in "0-2,5"; those from `completions` on no longer count."""
    found: set[int] = set()
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return {index for index in found if index < completions}


def write_indexes(indexes: Iterable[int]) -> str:
    """Write {0, 1, 2, 5} as "0-2,5"."""
    runs: list[list[int]] = []
    for index in sorted(set(indexes)):
        if runs and runs[-1][-1] == index - 1:
            runs[-1][1:] = [index]
        else:
            runs.append([index])
    return ",".join(_run(run) for run in runs)


def pending_indexes(completions: int, done: set[int], active: Iterable[int | None], count: int) -> list[int]:
    """The first `count` indexes on which nothing works and that are not done."""
    taken = done | {index for index in active if index is not None}
    return [index for index in range(completions) if index not in taken][:count]


def backoff_s(failures: int) -> float:
    """Seconds between the last failure and the next pod: 10, 20, 40 … 600."""
    return 0.0 if failures == 0 else min(BACKOFF_FIRST_S * 2.0 ** min(failures - 1, 10), BACKOFF_MOST_S)


def _run(run: list[int]) -> str:
    if len(run) == 1:
        return str(run[0])
    return f"{run[0]},{run[1]}" if run[1] == run[0] + 1 else f"{run[0]}-{run[1]}"
