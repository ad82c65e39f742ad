"""Many runs and loads of the same things, in order of time: what changed from one to the next.

Read from what each of them wrote (`result.json`, a load's JSON), so that a hundred of them take no longer than reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollcheck.analyze.results import Result
from rollcheck.errors import DocumentError

RESULT_SCHEMA = "rollcheck.result/1"
GOOD, BAD, UNSURE = "good", "bad", "unsure"
TONES = {"graceful": GOOD, "not graceful": BAD, "inconclusive": UNSURE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run or load.

    Attributes:
        place: where it lies.
        kind: "run" or "load".
        subject: what it is about: runs of one workload, and loads of one URL, belong together.
        started: wall time, RFC 3339, UTC; orders the entries.
        verdict: a run's in its own words; a load's is "measured", or "not to be trusted".
        tone: GOOD, BAD or UNSURE.
        lost, sent: requests, of a run those since the trigger.
        causes: names, the one with the most losses first.
        p50_ms, p99_ms: response time, of a run while pods were replaced; None where it is not known.
        propagation_s: longest time for which clients still came to a deleted pod, at most; None where not measured.
    """

    place: str
    kind: str
    subject: str
    started: str
    verdict: str
    tone: str
    lost: int
    sent: int
    causes: tuple[str, ...] = ()
    p50_ms: float | None = None
    p99_ms: float | None = None
    propagation_s: float | None = None

    @property
    def share(self) -> float:
        """Lost ÷ sent, 0 of nothing."""
        return self.lost / self.sent if self.sent else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The entries of one subject, the oldest first."""

    kind: str
    subject: str
    entries: tuple[Entry, ...]

    @property
    def summary(self) -> str:
        """How it stands and since when, in one sentence."""
        last = self.entries[-1]
        alike = 1
        while alike < len(self.entries) and self.entries[-1 - alike].verdict == last.verdict:
            alike += 1
        if alike == len(self.entries):
            return f"{last.verdict} every time, {alike} in all" if alike > 1 else f"{last.verdict}, the only one"
        before = self.entries[-1 - alike]
        since = self.entries[-alike].started
        return (
            f"{last.verdict} the last {alike} of {len(self.entries)}, since {since[:19]}Z; {before.verdict} before that"
        )


def entry_of_run(raw: Mapping[str, Any], place: str) -> Entry:
    """The entry of a run's `result.json`.

    Raises:
        DocumentError: it is none.
    """
    try:
        if raw["schema"] != RESULT_SCHEMA:
            raise DocumentError(f"{place} has schema {raw['schema']!r}; this rollcheck reads {RESULT_SCHEMA!r}")
        target = raw["target"]
        latency = max(
            (each for each in raw["latency"] if each["stage"] == "replacement"),
            key=lambda each: each["ok"],
            default=None,
        )
        lost = [cause for cause in raw["causes"] if cause["of_replacement"]]
        propagation = [each["high_s"] for each in raw["propagation"]]
        baseline = raw["baseline"]["attempts"]
        return Entry(
            place=place,
            kind="run",
            subject=f"{target['workload']} in {target['namespace']}",
            started=str(raw["started"]),
            verdict=str(raw["verdict"]),
            tone=TONES.get(raw["verdict"], UNSURE),
            lost=int(raw["attempts"]["failed"]) - int(baseline["failed"]),
            sent=int(raw["attempts"]["sent"]) - int(baseline["sent"]),
            causes=tuple(str(cause["name"]) for cause in lost),
            p50_ms=_number(latency, "p50"),
            p99_ms=_number(latency, "p99"),
            propagation_s=max(propagation) if propagation else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise DocumentError(f"{place} is no result of a run ({e!r}); `rollcheck report` writes it anew") from e


def _number(latency: Mapping[str, Any] | None, name: str) -> float | None:
    value = latency["response_ms"].get(name) if latency else None
    return None if value is None else float(value)


def entry_of_load(result: Result, place: str) -> Entry:
    """The entry of a load's result, ours or fortio's."""
    curve = result.response or result.service
    trusted = not result.faults
    return Entry(
        place=place,
        kind="load",
        subject=f"{result.url} at {result.asked}/s" if result.asked != "max" else f"{result.url} at full speed",
        started=result.started,
        verdict="measured" if trusted else "not to be trusted",
        tone=(BAD if result.lost else GOOD) if trusted else UNSURE,
        lost=result.lost,
        sent=result.scheduled,
        p50_ms=curve.at(50) / 1000 if curve else None,
        p99_ms=curve.at(99) / 1000 if curve else None,
    )


def series_of(entries: Iterable[Entry]) -> tuple[Series, ...]:
    """The entries by subject, runs first, then by name; within each by time."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.kind, entry.subject), []).append(entry)
    return tuple(
        Series(kind=kind, subject=subject, entries=_in_time(groups[kind, subject]))
        for kind, subject in sorted(groups, key=lambda key: (key[0] != "run", key[1]))
    )


def _in_time(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: (entry.started, entry.place)))
