"""What an engine saw, as raw numbers; and the one place where raw numbers become facts with histograms.

A process that does nothing but put load on imports no numpy and makes no histogram: it hands on arrays of
nanoseconds, in parts, and the process that started it settles them. A run settles in its own process, when nothing
else is due.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rollcheck.facts.attempts import Attempt, ConnectionUse, Interval, Lane, PodTally, Stage
from rollcheck.facts.clock import Instant
from rollcheck.facts.connections import Connection
from rollcheck.facts.health import HealthSample
from rollcheck.facts.wiretotals import AccessLine, Moments, SlotTotals, WireTotals

if TYPE_CHECKING:
    from rollcheck.load.histogram import Histogram

Tallies = dict[tuple[ConnectionUse, str], list[int]]
"""Use and pod → OK attempts, first and last sent, last ended."""


def _nanoseconds() -> array[int]:
    return array("q")


@dataclass(slots=True, kw_only=True)
class RawLatencies:
    """Some latencies of an interval that is not closed yet, nanoseconds.

    Attributes:
        services, responses: sent, and intended, to ended of the OK attempts; `responses` is empty where both are the
            same, as in a closed loop.
        failures: sent to ended of the attempts that failed.
        connects: connect() to connected, of the connections that were opened.
    """

    worker: int
    lane: Lane
    services: array[int] = field(default_factory=_nanoseconds)
    responses: array[int] = field(default_factory=_nanoseconds)
    failures: array[int] = field(default_factory=_nanoseconds)
    connects: array[int] = field(default_factory=_nanoseconds)


@dataclass(slots=True, kw_only=True)
class RawInterval(RawLatencies):
    """The end of an interval of one lane: its counts, and what was not handed on before of its latencies.

    Attributes:
        kinds: see `Interval.failures`.
    """

    start_ns: Instant
    end_ns: Instant
    stage: Stage
    ok: int
    failed: int
    not_sent: int
    unlisted: int
    statuses: dict[int, int]
    kinds: dict[str, int]
    tallies: Tallies

    @property
    def holds_anything(self) -> bool:
        """Whether any attempt ended in it."""
        return bool(self.ok or self.failed or self.not_sent)


@dataclass(slots=True, kw_only=True)
class RawLags:
    """Some lags and waits of a span that is not over yet.

    Attributes:
        lags: nanoseconds released − intended.
        waits: nanoseconds sent − released, of the attempts that had to wait.
    """

    worker: int
    lags: array[int]
    waits: array[int]


@dataclass(slots=True, kw_only=True)
class RawHealth(RawLags):
    """The end of a span: a `HealthSample` without its histograms, and what was not handed on before of these.

    Attributes:
        unwaited: attempts that did not have to wait.
        rest: the sample, its histograms empty.
    """

    unwaited: int
    rest: HealthSample


@dataclass(slots=True, kw_only=True)
class RawWireTotals:
    """A `WireTotals` without its histogram."""

    worker: int
    header_bytes: Moments
    total_bytes: Moments


Settled = Attempt | Connection | AccessLine | Interval | PodTally | HealthSample | SlotTotals | WireTotals
Raw = RawLatencies | RawInterval | RawLags | RawHealth | RawWireTotals | Attempt | Connection | AccessLine | SlotTotals
"""What the sink of an engine with `raw` is given."""


class _Gathered:
    """The histograms of one lane of one worker, in its open interval."""

    def __init__(self) -> None:
        from rollcheck.load.histogram import Histogram  # noqa: PLC0415  # numpy: see the module's docstring

        self._response, self.service, self.failed = Histogram(), Histogram(), Histogram()

    @property
    def response(self) -> Histogram:
        """In a closed loop it is the service time."""
        return self._response if self._response.total else self.service

    def add(self, raw: RawLatencies) -> None:
        self.service.record_ns(raw.services)
        self._response.record_ns(raw.responses)
        self.failed.record_ns(raw.failures)


class _Lags:
    """The histograms of one worker's health, in the span that is open."""

    def __init__(self) -> None:
        from rollcheck.load.histogram import Histogram  # noqa: PLC0415

        self.lags, self.waits = Histogram(), Histogram()


class Settler:
    """Turns raw numbers into facts: every engine's of one load, or a single one's.

    Attributes:
        latest: response times of the interval that was settled last, all its lanes and workers together.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[int, Lane], _Gathered] = {}
        self._connects: dict[int, Histogram] = {}
        self._lags: dict[int, _Lags] = {}
        self.latest: Histogram | None = None
        self._latest_end: Instant = 0

    def take(self, raw: Raw) -> list[Settled]:
        """The facts that are complete with it; what is a fact already comes back as it is."""
        if isinstance(raw, RawLatencies):
            return self._take_latencies(raw)
        if isinstance(raw, RawLags):
            return self._take_lags(raw)
        if isinstance(raw, RawWireTotals):
            return [
                WireTotals(
                    worker=raw.worker,
                    header_bytes=raw.header_bytes,
                    total_bytes=raw.total_bytes,
                    connect_hdr=self._connected(raw.worker).encode(),
                )
            ]
        return [raw]

    def _connected(self, worker: int) -> Histogram:
        from rollcheck.load.histogram import Histogram  # noqa: PLC0415

        return self._connects.setdefault(worker, Histogram())

    def _take_lags(self, raw: RawLags) -> list[Settled]:
        lags = self._lags.get(raw.worker) or _Lags()
        lags.lags.record_ns(raw.lags)
        lags.waits.record_ns(raw.waits)
        if not isinstance(raw, RawHealth):
            self._lags[raw.worker] = lags
            return []
        self._lags.pop(raw.worker, None)
        lags.waits.record_equal(0, raw.unwaited)
        return [replace(raw.rest, lag_hdr=lags.lags.encode(), wait_hdr=lags.waits.encode())]

    def _take_latencies(self, raw: RawLatencies) -> list[Settled]:
        if raw.connects:
            self._connected(raw.worker).record_ns(raw.connects)
        key = raw.worker, raw.lane
        gathered = self._open.get(key) or _Gathered()
        gathered.add(raw)
        if not isinstance(raw, RawInterval):
            self._open[key] = gathered
            return []
        self._open.pop(key, None)
        if not raw.holds_anything:
            return []
        if self.latest is not None and raw.end_ns == self._latest_end:
            self.latest.merge(gathered.response)
        else:
            self.latest, self._latest_end = gathered.response.copy(), raw.end_ns
        return _settle_interval(raw, gathered)


def _settle_interval(raw: RawInterval, gathered: _Gathered) -> list[Settled]:
    service, response = gathered.service, gathered.response
    service_hdr = service.encode()
    interval = Interval(
        start_ns=raw.start_ns,
        end_ns=raw.end_ns,
        stage=raw.stage,
        lane=raw.lane,
        ok=raw.ok,
        failed=raw.failed,
        not_sent=raw.not_sent,
        unlisted=raw.unlisted,
        response_hdr=service_hdr if response is service else response.encode(),
        service_hdr=service_hdr,
        failed_hdr=gathered.failed.encode(),
        statuses={str(status): n for status, n in sorted(raw.statuses.items())},
        worker=raw.worker,
        failures=raw.kinds,
    )
    tallies = [
        PodTally(
            start_ns=raw.start_ns,
            end_ns=raw.end_ns,
            lane=raw.lane,
            use=use,
            pod=pod,
            ok=ok,
            first_sent_ns=first,
            last_sent_ns=last,
            last_ended_ns=ended,
        )
        for (use, pod), (ok, first, last, ended) in raw.tallies.items()
    ]
    return [interval, *tallies]
