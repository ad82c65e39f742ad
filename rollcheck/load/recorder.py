"""What is kept of the attempts: OK ones folded into intervals and tallies, all others whole, up to a bound.

Everything here is sync and has no checkpoint, so that no cancellation can lose an attempt. Making and encoding a
histogram takes a fifth of a millisecond, which would delay arrivals; so a cut only puts the raw numbers aside, and
the engine calls `settle_one` when nothing else is due; or they are handed on raw, to be settled in another process.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rollcheck.facts.attempts import Attempt, Lane, Outcome, Stage
from rollcheck.facts.clock import MILLISECOND, Instant
from rollcheck.facts.connections import Connection
from rollcheck.facts.wiretotals import AccessLine, Moments, SlotTotals
from rollcheck.load.book import LaneBook
from rollcheck.load.intervals import RawInterval, RawLags, RawLatencies, RawWireTotals, Settler
from rollcheck.load.progress import Progress

if TYPE_CHECKING:
    from rollcheck.load.connection import Connection as LoadedConnection
    from rollcheck.load.health import HealthMeter
    from rollcheck.load.lanes import LaneState

MERGE_NS = 10 * MILLISECOND
"""A cut that follows another within this is the same cut."""
SETTLE_WITHIN_NS = 200 * MILLISECOND
"""How long a closed interval may wait for a quiet moment to be written in."""
FLUSH_AT = 65_536
"""Latencies kept raw per lane, at most, before they go into a histogram."""
FLUSH_RAW_AT = 2_048
"""The same where they are handed on: small parts, so that none holds up an arrival, neither here nor where they are
settled by a process that shares this one's core."""


def _settler() -> Settler:
    """One that has what it settles with: importing numpy takes 0.15 s, which no arrival is to wait for."""
    import rollcheck.load.histogram  # noqa: F401, PLC0415  # not at the top: an engine with `raw` needs none of it

    return Settler()


class LoadRecorder:
    """Turns what the engine saw into facts for `sink`, in bounded memory.

    Attributes:
        by_outcome: "phase/outcome" → attempts that did not end OK, probes and warm-up left out.
        last_failures: the last three of them.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        sink: Callable[[Any], None],
        *,
        keep: int,
        stage: Stage,
        now: Instant,
        worker: int = 0,
        raw: bool = False,
    ) -> None:
        self.books = {lane: LaneBook(lane, worker=worker, detailed=raw) for lane in lanes}
        self.sink = sink
        self.stage = stage
        self.by_outcome: Counter[str] = Counter()
        self.last_failures: deque[Attempt] = deque(maxlen=3)
        self._settler = None if raw else _settler()
        self._room = keep
        self._start = now
        self._slices: deque[RawInterval] = deque()

    def begin(self, now: Instant) -> None:
        """The first interval starts now."""
        self._start = now

    def forget(self) -> None:
        """Start the totals anew: what was recorded so far was the warm-up."""
        for book in self.books.values():
            book.forget()
        self.by_outcome.clear()
        self.last_failures.clear()

    def warmup_failure(self) -> str:
        """Why the warm-up failed, in one sentence; empty when it did not. To be asked before `forget`."""
        if not self.last_failures:
            return ""
        failed = self.last_failures[0]
        status = f" {failed.status}" if failed.status else ""
        said = f" ({failed.detail})" if failed.detail else ""
        return f"the warm-up failed: {failed.phase}/{failed.outcome}{status}{said}"

    def progress(self, *, scheduled: int, backlog: int) -> Progress:
        """How the load stands."""
        books = self.books.values()
        ok = self.count_ok()
        failed, not_sent = sum(book.failed_total for book in books), sum(book.not_sent_total for book in books)
        return Progress(
            scheduled=scheduled,
            ok=ok,
            failed=failed,
            not_sent=not_sent,
            in_flight=scheduled - ok - failed - not_sent - backlog,
            backlog=backlog,
            by_outcome=dict(self.by_outcome),
            last_failures=tuple(self.last_failures),
            p50_us=self.percentile_us(50),
            p99_us=self.percentile_us(99),
        )

    def add_access(self, connection: LoadedConnection, status: int, ended: Instant) -> None:
        """Report an attempt that ended OK to the access log."""
        self.sink(
            AccessLine(
                seq=connection.seq,
                worker=connection.lane.worker,
                slot=connection.slot,
                sent_ns=connection.sent,
                ended_ns=ended,
                ok=True,
                status=status,
                outcome="ok",
            )
        )

    def add_failure(self, attempt: Attempt, *, access_log: bool = False) -> None:
        """Record an attempt of a scheduled lane that did not end OK; counted always, kept while there is room."""
        if access_log and attempt.sent_ns is not None:
            self.sink(
                AccessLine(
                    seq=attempt.seq,
                    worker=attempt.worker,
                    slot=attempt.slot,
                    sent_ns=attempt.sent_ns,
                    ended_ns=attempt.ended_ns,
                    ok=False,
                    status=attempt.status,
                    outcome=f"{attempt.phase}/{attempt.outcome}",
                )
            )
        book = self.books[attempt.lane]
        if attempt.sent_ns is None:
            book.not_sent += 1
            book.not_sent_total += 1
        else:
            book.failed += 1
            book.failed_total += 1
            if book.detailed:
                book.failures.append(attempt.ended_ns - attempt.sent_ns)
        if book.detailed:
            book.kinds[attempt.kind] += 1
        self.by_outcome[f"{attempt.phase}/{attempt.outcome}"] += 1
        self.last_failures.append(attempt)
        if self._room > 0:
            self._room -= 1
            self.sink(attempt)
        else:
            book.unlisted += 1

    def add_probe(self, attempt: Attempt) -> None:
        """Record a probe, whatever its outcome; part of no interval."""
        self.sink(attempt)

    @property
    def has_room(self) -> bool:
        """Whether further failures are kept whole; once they are not, what follows from each is not sent either."""
        return self._room > 0

    def add_fact(self, fact: Connection | AccessLine | SlotTotals) -> None:
        """Record what is a fact already."""
        self.sink(fact)

    def add_raw(self, raw: RawLags | RawLatencies | RawWireTotals) -> None:
        """Record raw numbers: at once, or by whoever settles them."""
        if self._settler is None:
            self.sink(raw)
        else:
            for fact in self._settler.take(raw):
                self.sink(fact)

    def cut(self, now: Instant, *, force: bool = False) -> bool:
        """End the interval; False when the last cut was so recent that this one is the same, unless forced."""
        if not force and now - self._start < MERGE_NS:
            return False
        for book in self.books.values():
            taken = book.take(self._start, now, self.stage)
            if taken is None:
                continue
            if self._settler is None:
                self.sink(taken)
            else:
                self._slices.append(taken)
        self._start = now
        return True

    def enter(self, stage: Stage, now: Instant) -> None:
        """What ends from now on belongs to intervals of `stage`."""
        self.cut(now, force=True)
        self.stage = stage

    def settle_one(self) -> bool:
        """Write the facts of one closed interval, a fraction of a millisecond's work; False when there is none."""
        if not self._slices:
            return False
        self.add_raw(self._slices.popleft())
        return True

    def overdue(self, now: Instant) -> bool:
        """Whether a closed interval has waited to be written for longer than it should."""
        return bool(self._slices) and now - self._slices[0].end_ns > SETTLE_WITHIN_NS

    def flush_large(self, health: HealthMeter) -> None:
        """Keep raw numbers within their bound."""
        bound = FLUSH_RAW_AT if self._settler is None else FLUSH_AT
        if len(health.lags) >= bound:
            self.add_raw(health.flush())
        for book in self.books.values():
            if len(book.services) >= bound or len(book.failures) >= bound:
                # What waits to be settled comes before what follows it.
                while self.settle_one():
                    pass
                self.add_raw(book.flush())

    def add_totals(self, lanes: Sequence[LaneState]) -> None:
        """Record what went over the wire in all; only where somebody asked for details."""
        books = [book for book in self.books.values() if book.detailed]
        if not books:
            return
        for lane in lanes:
            for slot in lane.slot_totals():
                self.sink(slot)
        self.add_raw(
            RawWireTotals(
                worker=books[0].worker,
                header_bytes=sum((book.headers.moments() for book in books), Moments()),
                total_bytes=sum((book.totals.moments() for book in books), Moments()),
            )
        )

    def finish(self, now: Instant) -> None:
        """Write everything that is still open."""
        self.cut(max(now, self._start + 1), force=True)
        while self.settle_one():
            pass

    def count_ok(self) -> int:
        """OK attempts so far, all lanes."""
        return sum(book.ok_total for book in self.books.values())

    def percentile_us(self, percent: float) -> int:
        """Of the response times of the interval settled last, microseconds; 0 where none is settled here."""
        latest = self._settler.latest if self._settler else None
        return latest.percentile(percent) if latest else 0


def abort_reason(attempt: Attempt) -> str:
    """Why the load ends, where the plan says that such a failure ends it."""
    return f"an attempt ended {attempt.phase}/{attempt.outcome} {attempt.status or attempt.detail}".strip()


def is_network_failure(outcome: Outcome) -> bool:
    """Whether the connection failed, rather than the answer that came on it."""
    return outcome not in {Outcome.OK, Outcome.BAD_STATUS, Outcome.WRONG_BODY, Outcome.DROPPED, Outcome.ABANDONED}
