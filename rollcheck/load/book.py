"""What a lane counts as the load goes on: answers known by their bytes, latencies in arrays, all else tallied."""

from __future__ import annotations

from array import array
from collections import Counter

from rollcheck.facts.attempts import ConnectionUse, Lane, Stage
from rollcheck.facts.clock import Instant
from rollcheck.facts.wiretotals import Moments
from rollcheck.load.answers import ROOMY, SNUG, Answer
from rollcheck.load.intervals import RawInterval, RawLatencies, Tallies


class RunningMoments:
    """`Moments` that grow, one value or many equal ones at a time."""

    __slots__ = ("count", "high", "low", "squares", "sum")

    def __init__(self) -> None:
        self.count = self.sum = self.squares = self.low = self.high = 0

    def add(self, value: int, times: int = 1) -> None:
        """Take in `value`, so many times."""
        if not self.count or value < self.low:
            self.low = value
        if value > self.high:
            self.high = value
        self.count += times
        self.sum += value * times
        self.squares += value * value * times

    def moments(self) -> Moments:
        """As a fact."""
        return Moments(count=self.count, sum=self.sum, squares=self.squares, low=self.low, high=self.high)


class LaneBook:
    """One lane's counts: of the interval that is open, and in all.

    The arrays stay the same objects for good, so that whoever is in a hurry may hold on to their `append`.

    Attributes:
        services, responses: nanoseconds from sent and from intended to ended, of the OK attempts of this interval;
            nothing is put into `responses` in a closed loop, where both are the same.
        failures: nanoseconds from sent to ended of the attempts that failed, kept only when asked for.
        connects: nanoseconds that connecting took, likewise.
        known: answers met before, by their bytes; each counts how often it came again since the last fold.
        quick: those of them after which the connection is free for the next request.
        chunk: how much to read at first: all that any of them holds, and little where they are short.
        reusing: whether its lane uses a connection again.
        failed_total, not_sent_total: of the whole run.
        headers, totals: sizes of the answers.
    """

    __slots__ = (
        "_flushed",
        "_ok_total",
        "chunk",
        "connects",
        "detailed",
        "failed",
        "failed_total",
        "failures",
        "headers",
        "kinds",
        "known",
        "lane",
        "not_sent",
        "not_sent_total",
        "quick",
        "responses",
        "reusing",
        "services",
        "statuses",
        "tallies",
        "totals",
        "unlisted",
        "worker",
    )

    def __init__(self, lane: Lane, *, worker: int = 0, detailed: bool = False) -> None:
        self.lane, self.worker, self.detailed = lane, worker, detailed
        self.reusing = True
        self.services: array[int] = array("q")
        self.responses: array[int] = array("q")
        self.failures: array[int] = array("q")
        self.connects: array[int] = array("q")
        self.known: dict[bytes, Answer] = {}
        self.quick: dict[bytes, Answer] = {}
        self.chunk = ROOMY
        self.headers, self.totals = RunningMoments(), RunningMoments()
        self._ok_total = self.failed_total = self.not_sent_total = 0
        self._open()

    def _open(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.kinds: Counter[str] = Counter()
        self.tallies: Tallies = {}
        self.failed = self.not_sent = self.unlisted = self._flushed = 0

    def add_sizes(self, answer: Answer, times: int = 1) -> None:
        """Count the status and the sizes of an OK answer that came so many times."""
        self.statuses[answer.status] += times
        self.measure(answer, times)

    def measure(self, answer: Answer, times: int = 1) -> None:
        """Count, where asked for, the sizes of an answer that came so many times, good or not."""
        if self.detailed:
            self.headers.add(answer.head_bytes, times)
            self.totals.add(answer.total_bytes, times)

    def add_skipped(self, number: int) -> None:
        """Count arrivals that were left out because their time had passed; they have no lines."""
        self.not_sent += number
        self.not_sent_total += number
        self.unlisted += number
        if self.detailed:
            self.kinds["connect/dropped"] += number

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
        return self._flushed + len(self.services)

    @property
    def ok_total(self) -> int:
        """OK attempts of the whole run."""
        return self._ok_total + self.ok

    def forget(self) -> None:
        """Start the totals anew."""
        self._ok_total = self.failed_total = self.not_sent_total = 0
        self.headers, self.totals = RunningMoments(), RunningMoments()

    def fold(self) -> None:
        """Count the answers that were met again."""
        for answer in self.known.values():
            if answer.hits:
                self.add_sizes(answer, answer.hits)
                answer.hits = 0

    def remember(self, data: bytes, answer: Answer, limit: int) -> None:
        """Know these bytes from now on."""
        if len(self.known) >= limit:
            self.fold()
            self.quick.clear()
            self.known.clear()  # a Date header makes a new answer each second: old ones never come again
        self.known[data] = answer
        answer.known = True
        if answer.keep_alive and self.reusing:
            self.quick[data] = answer
        self.chunk = SNUG if max(map(len, self.known)) < SNUG else ROOMY

    def flush(self) -> RawLatencies:
        """Take out the latencies gathered so far; they stay counted."""
        self._flushed += len(self.services)
        return RawLatencies(worker=self.worker, lane=self.lane, **self._take_arrays())

    def _take_arrays(self) -> dict[str, array[int]]:
        taken = {}
        for name in ("services", "responses", "failures", "connects"):
            values: array[int] = getattr(self, name)
            taken[name] = values[:]
            del values[:]
        return taken

    def take(self, start: Instant, end: Instant, stage: Stage) -> RawInterval | None:
        """Close the interval and open the next; None when nothing ended in it."""
        self.fold()
        ok = self.ok
        if not (ok or self.failed or self.not_sent):
            return None
        taken = RawInterval(
            worker=self.worker,
            lane=self.lane,
            start_ns=start,
            end_ns=end,
            stage=stage,
            ok=ok,
            failed=self.failed,
            not_sent=self.not_sent,
            unlisted=self.unlisted,
            statuses=dict(self.statuses),
            kinds=dict(self.kinds),
            tallies=self.tallies,
            **self._take_arrays(),
        )
        self._ok_total += ok
        self._open()
        return taken
