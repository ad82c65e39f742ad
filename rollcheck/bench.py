"""The composition root of `rollcheck load`: a plan in, a summary out, and on the way the files that were asked for.

The workers are forked first, before anything large is imported; what they report is folded here, one fact at a time,
so that a load may last for days. Whatever ends it early (Ctrl-C, SIGTERM, a full disk, a worker that died) ends the
load in good order, and there is a summary of what there was.
"""

from __future__ import annotations

import gc
import os
import platform
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import trio

from rollcheck import __version__
from rollcheck.errors import DiskFull, RollcheckError, UsageError
from rollcheck.facts.attempts import Attempt, Interval, Lane
from rollcheck.facts.clock import ClockAnchor, Instant
from rollcheck.facts.header import Header
from rollcheck.facts.wiretotals import AccessLine
from rollcheck.load.plan import LoadPlan
from rollcheck.load.workers import FAST, Speech, Workers, count_cores, share_of, start_workers
from rollcheck.openfiles import allow_files
from rollcheck.render.loadlines import access_line, failure_line

if TYPE_CHECKING:
    from types import FrameType

    from rollcheck.analyze.load import LoadFold
    from rollcheck.analyze.loadmodel import LoadSummary
    from rollcheck.facts.document import Fact
    from rollcheck.record import Recorder
    from rollcheck.render.hdrlog import HlogWriter

TICK_S = 0.25
"""How often what was written is handed to the kernel, and who watches may look."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""What ends a load early. Until the load can end in good order they wait; once one has come, those after its end are
ignored, so that an impatient Ctrl-C does not cost the report."""
STEP_BACK = 19
"""How much nicer than the workers the process that folds is. Where it shares a core with one of them, its numpy made
requests late: at nice 5 the 50,000 requests per second that the worker can send came out as 45,000."""
SPARE_FILES = 64
"""Descriptors that a worker needs besides its connections, with room to spare."""


class BenchPlan(NamedTuple):
    """What the person asked for.

    Attributes:
        load: the load, of all workers together.
        workers: processes that put it on.
        options: every option as text, without secrets; kept in the document.
        out: folder of the document; None for none.
        failures: file for a JSON line per attempt that was not OK.
        access_log: file for a line per attempt, in `access_format`; appended to.
        hlogs: files for a log of histograms.
        speech: what the load goes through httpx for.
        yield_cpu: whether this process makes way for the workers where they share a core.
    """

    load: LoadPlan
    workers: int
    options: dict[str, str]
    out: Path | None = None
    failures: Path | None = None
    access_log: Path | None = None
    access_format: str = "json"
    hlogs: tuple[Path, ...] = ()
    speech: Speech = FAST
    yield_cpu: bool = False


class Benched(NamedTuple):
    """A load that came to its end, or to an early one.

    Attributes:
        interrupted: the signal that cut it short, empty when none did.
        failure: the error of ours that cut it short, None when none did.
    """

    summary: LoadSummary
    interrupted: str = ""
    failure: RollcheckError | None = None


class Watcher(Protocol):
    """Is told how the load goes on, for the person who waits."""

    def see(self, fact: Fact) -> None:
        """A fact came in."""

    def tick(self) -> None:
        """Some of the time has passed; called several times a second."""


def execute(plan: BenchPlan, watcher: Watcher) -> Benched:
    """Put the load on, to its end.

    Args:
        plan: what to do.
        watcher: is told what happens.

    Raises:
        RollcheckError: before anything was sent.
    """
    connections = sum(lane.connections for lane in share_of(plan.load, 0, plan.workers).lanes)
    allow_files(connections + SPARE_FILES, "add --workers or lower -c")  # the workers inherit the limit
    header = _header(plan)
    with ExitStack() as files:
        run = _Bench(plan, header, files, watcher)
        before = {number: signal.getsignal(number) for number in SIGNALS}
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
            for number in SIGNALS:
                # Not SIG_IGN: what is ignored does not wait either.
                signal.signal(number, _pass_over)
            if plan.workers >= count_cores() and not plan.load.closed_loop:
                _import_what_folds()
            workers = start_workers(plan.load, plan.workers, plan.speech)
            gc.enable()  # whoever was in a hurry to get here may have switched it off
            if plan.yield_cpu:
                os.nice(STEP_BACK)
            return run.follow(workers)
        finally:
            if plan.yield_cpu:
                with suppress(PermissionError):  # not everyone may take it back
                    os.nice(-STEP_BACK)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            for number, handler in before.items():
                signal.signal(number, signal.SIG_IGN if run.interrupted else handler)


def _import_what_folds() -> None:
    """Import what the first facts need before there are any.

    Elsewhere that goes on beside the first requests; where a worker has to share its core with this process, it would
    hold up their arrivals for seconds, since this process steps back.
    """
    import rollcheck.analyze.load  # noqa: PLC0415
    import rollcheck.load.histogram  # noqa: F401, PLC0415


def _pass_over(number: int, frame: FrameType | None) -> None:
    """Take a signal without doing anything."""


def _header(plan: BenchPlan) -> Header:
    load = plan.load
    anchor = ClockAnchor(monotonic_ns=time.monotonic_ns(), wall_ns=time.time_ns())
    stamp = datetime.fromtimestamp(anchor.wall_ns / 1e9).astimezone().strftime("%Y%m%dT%H%M%S")
    return Header(
        kind="load",
        run_id=f"load-{stamp}-{secrets.token_hex(2)}",
        anchor=anchor,
        versions={"rollcheck": __version__, "python": platform.python_version()},
        workload="",
        namespace="",
        context="",
        url=load.target.url,
        route="url",
        service="",
        method=load.method,
        qps=load.qps,
        timeout_s=load.timeout_s,
        lanes=load.lanes,
        expect=load.expectation.describe(),
        trigger="",
        options=plan.options,
        interval_s=load.interval_s,
        calls=load.calls,
        duration_s=load.length_s if load.length_s < float("inf") else 0,
        workers=plan.workers,
    )


class LineFile:
    """Lines that are gathered and handed to the kernel by `flush`; a full disk is remembered, not raised.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, path: Path, option: str, *, append: bool = False) -> None:
        self.path = path
        self.failure: DiskFull | None = None
        self._pending: list[str] = []
        try:
            mode = os.O_APPEND if append else os.O_TRUNC
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | mode, 0o644)
        except OSError as e:
            raise UsageError(f"{option}: cannot write {path}: {e.strerror}") from e

    def append(self, line: str) -> None:
        """Take a line."""
        self._pending.append(line)

    def flush(self) -> None:
        """Hand what is pending to the kernel."""
        if self.failure is not None or not self._pending:
            return
        data = memoryview("".join(self._pending).encode())
        self._pending.clear()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as e:
            self.failure = DiskFull(f"{self.path} could not be written any further: {e.strerror}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.flush()
        os.close(self._fd)


class _Bench:
    """One load under way."""

    def __init__(self, plan: BenchPlan, header: Header, files: ExitStack, watcher: Watcher) -> None:
        self.plan = plan
        self.header = header
        self.watcher = watcher
        self.interrupted = ""
        self.failure: RollcheckError | None = None
        self._fold: LoadFold | None = None
        self._failures = files.enter_context(LineFile(plan.failures, "--failures")) if plan.failures else None
        self._access: LineFile | None = None
        if plan.access_log:
            self._access = files.enter_context(LineFile(plan.access_log, "-access-log-file", append=True))
        self._recorder: Recorder | None = None
        if plan.out:
            from rollcheck.record import FACTS, Recorder  # noqa: PLC0415  # it knows every kind of fact there is

            self._recorder = files.enter_context(Recorder(plan.out / FACTS, header, remember=False))
        self._hlogs = [files.enter_context(LineFile(path, "--hlog")) for path in plan.hlogs]
        self._hlog: HlogWriter | None = None
        parts = [share_of(plan.load, worker, plan.workers).lanes for worker in range(plan.workers)]
        places = [sum(lane.connections for lane in lanes) for lanes in parts]
        self._threads = [sum(places[:worker]) for worker in range(plan.workers)]

    def follow(self, workers: Workers) -> Benched:
        """Everything from the fork to the summary."""
        trio.run(self._follow, workers)
        if isinstance(self.failure, UsageError):
            if self._recorder is not None:
                self._recorder.path.unlink(missing_ok=True)  # it holds nothing, and would stand in the way
            raise self.failure
        self._seal(workers)
        summary = self._folded().summary(interrupted=self.interrupted)
        return Benched(summary=summary, interrupted=self.interrupted, failure=self.failure)

    async def _follow(self, workers: Workers) -> None:
        from rollcheck.load.intervals import Settler  # noqa: PLC0415  # numpy comes with the first fact, not before

        settler = Settler()

        def sink(raw: Any) -> None:
            for fact in settler.take(raw):
                self._add(fact)

        with trio.open_signal_receiver(*SIGNALS) as signals:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._heed, signals, workers, nursery.cancel_scope)
                nursery.start_soon(self._tick, workers)
                try:
                    await workers.run(sink)
                except RollcheckError as error:
                    self.failure = error
                nursery.cancel_scope.cancel()

    async def _heed(self, signals: AsyncIterator[int], workers: Workers, scope: trio.CancelScope) -> None:
        """The first signal lets what is under way end, the second gives it up, the third kills the workers."""
        times = 0
        async for number in signals:
            times += 1
            self.interrupted = self.interrupted or signal.Signals(number).name
            if times > 2:
                scope.cancel()
            workers.stop(now=times > 1)

    async def _tick(self, workers: Workers) -> None:
        while True:
            await trio.sleep(TICK_S)
            self._flush()
            if self.failure is not None:
                workers.stop()
            self.watcher.tick()

    def _flush(self) -> None:
        for file in (self._recorder, self._failures, self._access, *self._hlogs):
            if file is not None:
                file.flush()
                self.failure = self.failure or file.failure

    def _folded(self) -> LoadFold:
        if self._fold is None:
            from rollcheck.analyze.load import LoadFold  # noqa: PLC0415

            self._fold = LoadFold(self.header)
        return self._fold

    def _add(self, fact: Any) -> None:
        if isinstance(fact, AccessLine):
            if self._access is not None and fact.seq >= 0:
                thread = self._threads[fact.worker] + max(0, fact.slot)
                self._access.append(access_line(fact, self.header.anchor, thread, self.plan.access_format))
            return
        if isinstance(fact, Attempt) and self._failures is not None and fact.lane is not Lane.PROBE:
            self._failures.append(failure_line(fact, self.header.anchor))
        self._folded().add(fact)
        if self._recorder is not None:
            self._recorder.append(fact)
        if self._hlogs and isinstance(fact, Interval):
            self._log(self._histograms().add(fact))
        self.watcher.see(fact)

    def _histograms(self) -> HlogWriter:
        if self._hlog is None:
            from rollcheck.render.hdrlog import HlogWriter  # noqa: PLC0415

            self._hlog = HlogWriter(self.header)
        return self._hlog

    def _log(self, text: str) -> None:
        for file in self._hlogs:
            file.append(text)

    def _seal(self, workers: Workers) -> None:
        if self._hlogs:
            self._log(self._histograms().end())
        ended: Instant = time.monotonic_ns()
        if self._recorder is not None:
            why = self.interrupted or (str(self.failure) if self.failure else "")
            self._recorder.finish(self._recorder.next_seal(ended, why, dict(workers.scheduled), workers.probes))
        self._flush()
