"""A load's facts, folded into its summary one by one, as they come or out of a stored document.

Memory is bounded: histograms are merged, every second keeps one small row, failures are counted by kind and the first
few kept. A second's own latencies are held as the few slots they fill, and only until it is so long ago that no worker
will still report on it; then its two percentiles are worked out and they are let go. So the order in which workers
report within that time makes no difference.

Exact counts come from the intervals. An attempt's line arrives before the interval that counts it, so of both the
greater is taken, here as in `analyze.counts`: they differ while the load goes on and in a document that was cut short.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np
from hdrh.histogram import HdrHistogram

from rollcheck.analyze.generator import STALL_LIMIT_NS, is_local_limit
from rollcheck.analyze.hdr import Whole, decoded, empty, held, ranks, slots, summed
from rollcheck.analyze.loadaudit import behind_share, find_faults, find_slowness
from rollcheck.analyze.loadmodel import NO_STATUS, UNLISTED, ErrorClass, GeneratorState, LoadSummary, SecondRow
from rollcheck.errors import DocumentError
from rollcheck.facts.actions import Note, StageMark
from rollcheck.facts.attempts import Attempt, Interval, Lane, Outcome, Stage
from rollcheck.facts.clock import SECOND, Instant
from rollcheck.facts.document import Document, Fact, Header
from rollcheck.facts.health import HealthSample
from rollcheck.facts.wiretotals import Moments, SlotTotals, WireTotals

__all__ = ["KEPT", "ErrorClass", "LoadFold", "LoadSummary", "SecondRow", "summarise"]

KEPT = 1_000
"""Failed attempts that a summary holds whole."""
TOLD = (50.0, 90.0, 99.0)
"""Percentiles of each second."""
SETTLED_AFTER = 30
"""Seconds after which a row is final: no worker lags behind the others by more."""
LONGEST = 1_000_000
"""Seconds of a load, at most: eleven days."""


def summarise(document: Document) -> LoadSummary:
    """The summary of a stored load.

    Raises:
        DocumentError: a histogram in it cannot be read.
    """
    fold = LoadFold(document.header)
    for fact in document.facts:
        fold.add(fact)
    seal = document.seal
    return fold.summary(interrupted=seal.interrupted if seal else "", damaged=seal is None)


@dataclass(slots=True)
class _Second:
    """One second under construction; `slots` and `held` are its response times while they are held."""

    asked: int = 0
    ok: int = 0
    failed: int = 0
    not_sent: int = 0
    slots: list[Whole] = field(default_factory=list)
    held: list[Whole] = field(default_factory=list)
    final: tuple[int, ...] = ()

    def percentiles(self) -> tuple[int, ...]:
        """The response times at `TOLD`, microseconds; empty when there is none."""
        if self.final or not self.slots:
            return self.final
        index, place = np.unique(np.concatenate(self.slots), return_inverse=True)
        found = np.zeros(len(index), dtype=np.int64)
        np.add.at(found, place, np.concatenate(self.held))
        return tuple(int(v) for v in slots(empty())[1][index[ranks(found, TOLD)]])

    def settle(self) -> None:
        """Keep the percentiles only."""
        self.final = self.percentiles()
        self.slots.clear()
        self.held.clear()


@dataclass(slots=True)
class _Kind:
    """One kind of failure: `listed` counts attempts with a line, `counted` what intervals say."""

    first: Instant
    last: Instant
    listed: int = 0
    counted: int = 0
    example: str = ""

    @property
    def count(self) -> int:
        return max(self.listed, self.counted)


class LoadFold:
    """Takes the facts of a load one at a time; `summary` may be asked for at any moment."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._begin: Instant | None = None
        self._origin: Instant | None = None
        self._end: Instant = 0
        self._ok = self._failed = self._not_sent = 0
        self._listed_failed = self._listed_not_sent = self._local = 0
        self._statuses: Counter[int] = Counter()
        self._kinds: dict[str, _Kind] = {}
        self._kept: list[Attempt] = []
        self._merged: dict[str, HdrHistogram] = {}
        self._rows: dict[int, _Second] = {}
        self._open: set[int] = set()
        self._generator = GeneratorState()
        self._cpu: dict[int, tuple[float, int, int]] = {}
        self._slots: list[SlotTotals] = []
        self._sizes = (Moments(), Moments())
        self._warmup: Counter[str] = Counter()
        self._notes: list[Note] = []

    def add(self, fact: Fact) -> None:
        """Take one fact; kinds that say nothing about a load are passed over.

        Raises:
            DocumentError: its histogram cannot be read.
        """
        if isinstance(fact, Interval):
            self._add_interval(fact)
        elif isinstance(fact, HealthSample):
            self._add_health(fact)
        elif isinstance(fact, Attempt):
            self._add_attempt(fact)
        elif isinstance(fact, SlotTotals):
            self._slots.append(fact)
        elif isinstance(fact, WireTotals):
            self._sizes = (self._sizes[0] + fact.header_bytes, self._sizes[1] + fact.total_bytes)
            self._merge("connect", fact.connect_hdr)
        elif isinstance(fact, StageMark):
            if fact.stage is Stage.BASELINE:
                self._begin = fact.at_ns
        elif isinstance(fact, Note):
            self._notes.append(fact)

    def _add_interval(self, fact: Interval) -> None:
        if fact.lane is Lane.PROBE:
            return
        if fact.stage is Stage.PREFLIGHT:
            self._warmup["ok"] += fact.ok
            self._warmup["failed"] += fact.failed + fact.not_sent
            return
        self._ok += fact.ok
        self._failed += fact.failed
        self._not_sent += fact.not_sent
        for status, times in fact.statuses.items():
            self._statuses[int(status)] += times
        for name, times in fact.failures.items():
            kind = self._kinds.setdefault(name, _Kind(first=fact.start_ns, last=fact.start_ns))
            kind.counted += times
            if fact.unlisted:
                kind.last = max(kind.last, fact.end_ns)
        self._end = max(self._end, fact.end_ns)
        row = self._row(fact.start_ns, fact.end_ns)
        row.ok += fact.ok
        row.failed += fact.failed
        row.not_sent += fact.not_sent
        self._merge("service", fact.service_hdr)
        self._merge("failed", fact.failed_hdr)
        response = self._merge("response", fact.response_hdr)
        if response is not None and not row.final:
            index, found = held(response)
            row.slots.append(index)
            row.held.append(found.copy())

    def _add_health(self, fact: HealthSample) -> None:
        """Samples of the warm-up have nothing asked and nothing released in them, and count as what they are."""
        past, length = self._generator, fact.end_ns - fact.start_ns
        busy, starved, whole = self._cpu.get(fact.worker, (0.0, 0, 0))
        self._cpu[fact.worker] = busy + fact.cpu_share * length, starved + fact.starved_ns, whole + length
        self._generator = GeneratorState(
            asked=past.asked + fact.asked,
            released=past.released + fact.released,
            skipped=past.skipped + fact.skipped,
            stall_ns=max(past.stall_ns, fact.stall_ns),
            stalls=past.stalls + (fact.stall_ns > STALL_LIMIT_NS),
            cpu_peak=max(past.cpu_peak, fact.cpu_share),
            files=_fuller(past.files, (fact.open_files, fact.file_limit)),
            ports=_fuller(past.ports, (fact.ports_used, fact.ports_limit)),
        )
        self._merge("lag", fact.lag_hdr)
        self._merge("wait", fact.wait_hdr)
        if fact.asked:
            self._end = max(self._end, fact.end_ns)
            self._row(fact.start_ns, fact.end_ns).asked += fact.asked

    def _add_attempt(self, fact: Attempt) -> None:
        if fact.lane is Lane.PROBE or fact.stage is Stage.PREFLIGHT or fact.outcome is Outcome.OK:
            return
        if fact.sent_ns is None:
            self._listed_not_sent += 1
            self._local += is_local_limit(fact)
        else:
            self._listed_failed += 1
        kind = self._kinds.setdefault(fact.kind, _Kind(first=fact.ended_ns, last=fact.ended_ns))
        if not kind.listed:
            kind.first, kind.example = fact.ended_ns, fact.detail
        kind.listed += 1
        kind.first, kind.last = min(kind.first, fact.ended_ns), max(kind.last, fact.ended_ns)
        if len(self._kept) < KEPT:
            self._kept.append(fact)

    def _merge(self, name: str, blob: str) -> HdrHistogram | None:
        found = decoded(blob)
        if found is not None:
            self._merged.setdefault(name, empty()).add(found)
        return found

    def _row(self, start: Instant, end: Instant) -> _Second:
        """The row of the second in which the middle of that span lies; rows long past are settled on the way."""
        if self._origin is None:
            self._origin = start if self._begin is None else self._begin
        number = ((start + end) // 2 - self._origin) // SECOND
        if abs(number) > LONGEST:
            raise DocumentError(f"this document has an interval {abs(number):,} seconds from the start of its load")
        if number not in self._rows:
            for old in [n for n in self._open if n < number - SETTLED_AFTER]:
                self._open.discard(old)
                self._rows[old].settle()
            self._open.add(number)
            self._rows[number] = _Second()
        return self._rows[number]

    def summary(self, *, ended_ns: Instant | None = None, interrupted: str = "", damaged: bool = False) -> LoadSummary:
        """What the facts so far amount to.

        Args:
            ended_ns: when the load ended, where that is known better than from its last interval.
            interrupted: the signal that cut it short, if one did.
            damaged: whether facts are missing at the end.
        """
        started = self._begin if self._begin is not None else self._origin
        if started is None:
            started = self.header.anchor.monotonic_ns
        ended = max(started, self._end if ended_ns is None else ended_ns)
        failed = max(self._failed, self._listed_failed)
        not_sent = max(self._not_sent, self._listed_not_sent)
        errors = self._errors(failed + not_sent, started, ended)
        found = {name: summed([histogram]) for name, histogram in self._merged.items()}
        bare = LoadSummary(
            header=self.header,
            started_ns=started,
            ended_ns=ended,
            ok=self._ok,
            failed=failed,
            not_sent=not_sent,
            unlisted=max(0, failed + not_sent - self._listed_failed - self._listed_not_sent),
            statuses=dict(sorted(self._statuses.items())),
            codes=_codes(self._statuses, errors),
            errors=errors,
            failures=tuple(self._kept),
            response=found.get("response"),
            service=found.get("service"),
            failed_service=found.get("failed"),
            lag=found.get("lag"),
            wait=found.get("wait"),
            connect=found.get("connect"),
            seconds=self._seconds(started, ended),
            generator=self._generator_state(),
            slots=tuple(sorted(self._slots, key=lambda s: (s.worker, list(Lane).index(s.lane), s.slot))),
            header_bytes=self._sizes[0],
            total_bytes=self._sizes[1],
            warmup_ok=self._warmup["ok"],
            warmup_failed=self._warmup["failed"],
            aborted="; ".join(note.text for note in self._notes if note.topic == "abort"),
            interrupted=interrupted,
            damaged=damaged,
            notes=tuple(note.text for note in self._notes if note.topic != "abort" and not note.fatal),
        )
        return self._audited(bare)

    def _audited(self, bare: LoadSummary) -> LoadSummary:
        fatal = [note.text for note in self._notes if note.fatal and note.topic != "abort"]
        faults = (*fatal, *find_faults(bare, self._local))
        return replace(bare, faults=faults, target_slow=find_slowness(bare, self._local), behind=behind_share(bare))

    def _generator_state(self) -> GeneratorState:
        shares = [(busy / whole, starved / whole) for busy, starved, whole in self._cpu.values() if whole]
        cpu, starved = (sum(each) / len(shares) for each in zip(*shares, strict=True)) if shares else (0.0, 0.0)
        return replace(self._generator, cpu_share=cpu, starved_share=starved, workers=len(self._cpu))

    def _errors(self, lost: int, started: Instant, ended: Instant) -> tuple[ErrorClass, ...]:
        found = [
            ErrorClass(name=name, count=kind.count, first_ns=kind.first, last_ns=kind.last, example=kind.example)
            for name, kind in self._kinds.items()
        ]
        rest = lost - sum(each.count for each in found)
        if rest > 0:
            found.append(ErrorClass(name=UNLISTED, count=rest, first_ns=started, last_ns=ended))
        return tuple(sorted(found, key=lambda each: (-each.count, each.name)))

    def _seconds(self, started: Instant, ended: Instant) -> tuple[SecondRow, ...]:
        if not self._rows or self._origin is None:
            return ()
        rows = []
        for number in range(min(self._rows), max(self._rows) + 1):
            row = self._rows.get(number, _Second())
            p50, p90, p99 = row.percentiles() or (None,) * len(TOLD)
            at = self._origin + number * SECOND
            length = max(1, min(at + SECOND, ended) - max(at, started)) if ended > at else SECOND
            rows.append(
                SecondRow(
                    at_ns=at,
                    length_ns=length,
                    asked=row.asked,
                    ok=row.ok,
                    failed=row.failed,
                    not_sent=row.not_sent,
                    p50_us=p50,
                    p90_us=p90,
                    p99_us=p99,
                )
            )
        return tuple(rows)


def _fuller(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """Of two pairs "used, limit" the one nearer to its limit; workers have limits of their own."""
    return max(one, other, key=lambda pair: (pair[0] / pair[1] if pair[1] else 0.0, pair))


def _codes(statuses: Counter[int], errors: tuple[ErrorClass, ...]) -> dict[int, int]:
    """What fortio calls codes: the status of every whole answer, −1 for all else."""
    codes = Counter(statuses)
    for each in errors:
        status = each.name.rpartition(" ")[2]
        codes[int(status) if status.isdigit() else NO_STATUS] += each.count
    return dict(sorted(codes.items()))
