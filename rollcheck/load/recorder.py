"""What is kept of the attempts: OK ones folded into intervals and tallies, all others whole, up to a bound.

Everything here is sync and has no checkpoint, so that no cancellation can lose an attempt. Making and encoding a
histogram takes a fifth of a millisecond, which would delay arrivals; so a cut only puts the raw numbers aside, and
the engine calls `settle_one` when nothing else is due.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Sequence

from rollcheck.facts.attempts import Attempt, ConnectionUse, Interval, Lane, Outcome, PodTally, Stage
from rollcheck.facts.clock import MILLISECOND, Instant
from rollcheck.facts.connections import Connection
from rollcheck.facts.document import Fact
from rollcheck.facts.health import HealthSample
from rollcheck.load.histogram import Histogram

MERGE_NS = 10 * MILLISECOND
"""A cut that follows another within this is the same cut."""
SETTLE_WITHIN_NS = 200 * MILLISECOND
"""How long a closed interval may wait for a quiet moment to be written in."""
FLUSH_AT = 65_536
"""Latencies kept raw per lane, at most, before they go into a histogram."""

Tallies = dict[tuple[ConnectionUse, str], list[int]]


class LaneBook:
    """One lane's counts: of the interval that is open, and in all.

    Attributes:
        responses, services: nanoseconds from intended and from sent to ended, of the OK attempts of this interval.
        ok_total, failed_total, not_sent_total: of the whole run.
    """

    __slots__ = (
        "_flushed",
        "_held",
        "failed",
        "failed_total",
        "lane",
        "not_sent",
        "not_sent_total",
        "ok_total",
        "responses",
        "services",
        "statuses",
        "tallies",
        "unlisted",
    )

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.ok_total = self.failed_total = self.not_sent_total = 0
        self._open()

    def _open(self) -> None:
        self.responses: array[int] = array("q")
        self.services: array[int] = array("q")
        self.statuses: Counter[int] = Counter()
        self.tallies: Tallies = {}
        self.failed = self.not_sent = self.unlisted = 0
        self._held: tuple[Histogram, Histogram] | None = None
        self._flushed = 0

    def add_ok(self, status: int, intended: Instant, sent: Instant, ended: Instant) -> None:
        """Fold one OK attempt."""
        self.responses.append(ended - intended)
        self.services.append(ended - sent)
        self.statuses[status] += 1

    def add_pod(self, pod: str, use: ConnectionUse, sent: Instant, ended: Instant) -> None:
        """Credit one OK attempt to the pod that answered it."""
        tally = self.tallies.get((use, pod))
        if tally is None:
            self.tallies[use, pod] = [1, sent, sent, ended]
            return
        tally[0] += 1
        tally[1] = min(tally[1], sent)
        tally[2] = max(tally[2], sent)
        tally[3] = max(tally[3], ended)

    @property
    def ok(self) -> int:
        """OK attempts of the interval that is open."""
        return self._flushed + len(self.responses)

    def flush(self) -> None:
        """Move raw latencies into histograms, so that memory stays bounded whatever the rate."""
        response, service = self._held or (Histogram(), Histogram())
        response.record_ns(self.responses)
        service.record_ns(self.services)
        self._flushed += len(self.responses)
        self._held = (response, service)
        self.responses, self.services = array("q"), array("q")

    def take(self, start: Instant, end: Instant, stage: Stage) -> ClosedSlice | None:
        """Close the interval and open the next; None when nothing ended in it."""
        taken = ClosedSlice(self, start, end, stage)
        if not taken.holds_anything:
            return None
        self.ok_total += taken.ok
        self._open()
        return taken


class ClosedSlice:
    """A closed interval of one lane, its histograms not yet made."""

    def __init__(self, book: LaneBook, start: Instant, end: Instant, stage: Stage) -> None:
        self.start, self.end, self.stage, self.lane = start, end, stage, book.lane
        self.ok, self.failed, self.not_sent, self.unlisted = book.ok, book.failed, book.not_sent, book.unlisted
        self.responses, self.services, self.held = book.responses, book.services, book._held
        self.statuses, self.tallies = book.statuses, book.tallies

    @property
    def holds_anything(self) -> bool:
        """Whether any attempt ended in it."""
        return bool(self.ok or self.failed or self.not_sent)

    def settle(self, sink: Callable[[Fact], None]) -> Histogram:
        """Write its facts; gives back the histogram of response times."""
        response, service = self.held or (Histogram(), Histogram())
        response.record_ns(self.responses)
        service.record_ns(self.services)
        sink(
            Interval(
                start_ns=self.start,
                end_ns=self.end,
                stage=self.stage,
                lane=self.lane,
                ok=self.ok,
                failed=self.failed,
                not_sent=self.not_sent,
                unlisted=self.unlisted,
                response_hdr=response.encode(),
                service_hdr=service.encode(),
                statuses={str(status): n for status, n in sorted(self.statuses.items())},
            )
        )
        for (use, pod), (ok, first, last, ended) in self.tallies.items():
            sink(
                PodTally(
                    start_ns=self.start,
                    end_ns=self.end,
                    lane=self.lane,
                    use=use,
                    pod=pod,
                    ok=ok,
                    first_sent_ns=first,
                    last_sent_ns=last,
                    last_ended_ns=ended,
                )
            )
        return response


class LoadRecorder:
    """Turns what the engine saw into facts for `sink`, in bounded memory.

    Attributes:
        by_outcome: "phase/outcome" → attempts that did not end OK, probes left out.
        last_failures: the last three of them.
        latest: response times of the last interval that is settled, all lanes together.
    """

    def __init__(
        self, lanes: Sequence[Lane], sink: Callable[[Fact], None], *, keep: int, stage: Stage, now: Instant
    ) -> None:
        self.books = {lane: LaneBook(lane) for lane in lanes}
        self.sink = sink
        self.stage = stage
        self.by_outcome: Counter[str] = Counter()
        self.last_failures: deque[Attempt] = deque(maxlen=3)
        self.latest = Histogram()
        self._room = keep
        self._start = now
        self._slices: deque[ClosedSlice] = deque()
        self._settling_end = 0

    def begin(self, now: Instant) -> None:
        """The first interval starts now."""
        self._start = now

    def add_failure(self, attempt: Attempt) -> None:
        """Record an attempt of a scheduled lane that did not end OK; counted always, kept while there is room."""
        book = self.books[attempt.lane]
        if attempt.sent_ns is None:
            book.not_sent += 1
            book.not_sent_total += 1
        else:
            book.failed += 1
            book.failed_total += 1
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

    def add_connection(self, fact: Connection) -> None:
        """Record the end of a connection."""
        self.sink(fact)

    def add_health(self, sample: HealthSample) -> None:
        """Record how the generator did."""
        self.sink(sample)

    def cut(self, now: Instant, *, force: bool = False) -> bool:
        """End the interval; False when the last cut was so recent that this one is the same, unless forced."""
        if not force and now - self._start < MERGE_NS:
            return False
        for book in self.books.values():
            taken = book.take(self._start, now, self.stage)
            if taken is not None:
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
        taken = self._slices.popleft()
        response = taken.settle(self.sink)
        if taken.end == self._settling_end:
            self.latest.merge(response)
        else:
            self.latest, self._settling_end = response, taken.end
        return True

    def overdue(self, now: Instant) -> bool:
        """Whether a closed interval has waited to be written for longer than it should."""
        return bool(self._slices) and now - self._slices[0].end > SETTLE_WITHIN_NS

    def flush_large(self) -> None:
        """Keep raw latencies within their bound."""
        for book in self.books.values():
            if len(book.responses) >= FLUSH_AT:
                book.flush()

    def finish(self, now: Instant) -> None:
        """Write everything that is still open."""
        self.cut(max(now, self._start + 1), force=True)
        while self.settle_one():
            pass

    def count_ok(self) -> int:
        """OK attempts so far, all lanes."""
        return sum(book.ok_total + book.ok for book in self.books.values())


def is_network_failure(outcome: Outcome) -> bool:
    """Whether the connection failed, rather than the answer that came on it."""
    return outcome not in {Outcome.OK, Outcome.BAD_STATUS, Outcome.WRONG_BODY, Outcome.DROPPED, Outcome.ABANDONED}
