"""What a load amounts to: the values that `analyze.load` folds its facts into."""

from __future__ import annotations

from dataclasses import dataclass, field

from hdrh.histogram import HdrHistogram

from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import SECOND, Instant
from rollcheck.facts.document import Header
from rollcheck.facts.wiretotals import Moments, SlotTotals

UNLISTED = "unlisted"
"""The name of what intervals count as failed and nothing says how."""
NO_STATUS = -1
"""fortio's code of a request that got no HTTP status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorClass:
    """Attempts that failed, or were not sent, in the same way.

    Attributes:
        name: "phase/outcome", with the status behind a bad one: `await/bad_status 503`.
        first_ns, last_ns: when the first and the last of them ended, to the interval where their lines were not kept.
        example: the first one's own words, empty when it had none.
    """

    name: str
    count: int
    first_ns: Instant
    last_ns: Instant
    example: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondRow:
    """What ended in one second of the load; `asked` is what the timetable placed in it.

    Attributes:
        at_ns: its begin; length_ns is shorter than a second in the last one only.
        p50_us, p90_us, p99_us: response times of the attempts that ended OK in it, None when there was none.
    """

    at_ns: Instant
    length_ns: int = SECOND
    asked: int
    ok: int
    failed: int
    not_sent: int
    p50_us: int | None
    p90_us: int | None = None
    p99_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorState:
    """How the generator itself did, over all its processes.

    Attributes:
        asked, released: arrivals of the timetable, and how many of them were taken up.
        skipped: left out because their time had passed (`-nocatchup`).
        stall_ns: longest time an event loop did not come round; stalls counts the samples past the limit.
        cpu_share, cpu_peak: of one process, CPU seconds per second: its mean, and the highest sample of any.
        starved_share: of their time, how much they were ready to run while others had their processors.
        files, ports: most in use at once, and the limit; zeros when not known.
        workers: processes that reported at all.
    """

    asked: int = 0
    released: int = 0
    skipped: int = 0
    stall_ns: int = 0
    stalls: int = 0
    cpu_share: float = 0.0
    cpu_peak: float = 0.0
    starved_share: float = 0.0
    files: tuple[int, int] = (0, 0)
    ports: tuple[int, int] = (0, 0)
    workers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSummary:
    """A load, summed up: exact counts, merged histograms of microseconds, one row a second.

    scheduled = sent + not_sent and sent = ok + failed. The warm-up is in `warmup_ok` and `warmup_failed` alone.

    Attributes:
        header: what was asked for.
        started_ns, ended_ns: of the load proper.
        unlisted: failed or not sent attempts whose lines were not kept; they are counted in everything else.
        statuses: HTTP status → OK attempts.
        codes: HTTP status → attempts that got it, −1 → those that got none, the ones never sent included.
        errors: what was not OK, by kind, the most frequent first.
        failures: the first attempts that were not OK, whole; at most `KEPT`.
        response, service: of OK attempts, from intended and from sent to ended; None when there was none.
        failed_service: from sent to ended, of the attempts that were sent and failed.
        lag, wait: sent − intended, split into ours (released − intended) and the target's (sent − released).
        connect: from connect() to connected.
        seconds: without gaps, from the start on.
        slots: the places for connections, in order of worker, lane and slot.
        header_bytes, total_bytes: of whole answers.
        aborted: why the load ended before its time, in one sentence; empty when it did not.
        interrupted: the signal that ended it, or empty.
        damaged: whether its document was cut short.
        faults: why the generator's own figures are not to be trusted, one sentence each.
        target_slow: that the asked rate was not reached though the generator held it, in one sentence, or empty.
        behind: share of the requests that waited 1 ms or more for a connection (fortio's "falling behind"), 0 to 1.
        notes: what else the load could not do or see.
    """

    header: Header
    started_ns: Instant
    ended_ns: Instant
    ok: int = 0
    failed: int = 0
    not_sent: int = 0
    unlisted: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    codes: dict[int, int] = field(default_factory=dict)
    errors: tuple[ErrorClass, ...] = ()
    failures: tuple[Attempt, ...] = ()
    response: HdrHistogram | None = None
    service: HdrHistogram | None = None
    failed_service: HdrHistogram | None = None
    lag: HdrHistogram | None = None
    wait: HdrHistogram | None = None
    connect: HdrHistogram | None = None
    seconds: tuple[SecondRow, ...] = ()
    generator: GeneratorState = field(default_factory=GeneratorState)
    slots: tuple[SlotTotals, ...] = ()
    header_bytes: Moments = field(default_factory=Moments)
    total_bytes: Moments = field(default_factory=Moments)
    warmup_ok: int = 0
    warmup_failed: int = 0
    aborted: str = ""
    interrupted: str = ""
    damaged: bool = False
    faults: tuple[str, ...] = ()
    target_slow: str = ""
    behind: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def sent(self) -> int:
        """Attempts that came to an act on the network."""
        return self.ok + self.failed

    @property
    def scheduled(self) -> int:
        """Arrivals that became attempts, sent or not."""
        return self.sent + self.not_sent

    @property
    def lost(self) -> int:
        """Attempts that were not OK, for whatever reason."""
        return self.failed + self.not_sent

    @property
    def elapsed_s(self) -> float:
        """Seconds from start to end."""
        return (self.ended_ns - self.started_ns) / SECOND

    @property
    def rate(self) -> float:
        """Attempts sent per second."""
        return self.sent / self.elapsed_s if self.ended_ns > self.started_ns else 0.0

    @property
    def open_loop(self) -> bool:
        """Whether arrivals were on a timetable, instead of following one another as fast as answers came."""
        return self.header.qps > 0 or bool(self.header.options.get("stages"))

    @property
    def held(self) -> bool:
        """Whether the generator did what it was asked to, so that the figures are the target's."""
        return not self.faults

    @property
    def latencies(self) -> dict[str, HdrHistogram | None]:
        """Every histogram by its name, in the order in which reports tell them."""
        return {
            "response": self.response,
            "service": self.service,
            "failed": self.failed_service,
            "lag": self.lag,
            "wait": self.wait,
            "connect": self.connect,
        }
