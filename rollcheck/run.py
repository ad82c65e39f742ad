"""The composition root of `rollcheck run`: a plan in, a sealed document out.

One trio nursery holds the load, the watches, the flusher and the conductor that walks through the stages: baseline →
replacement → tail. Whatever ends the run early (Ctrl-C, SIGTERM, a full disk, a cluster that went away) ends the load
first and seals what there is, so that a report can always be written. Of signals the first one ends the run; those
after it change nothing any more, so that an impatient second Ctrl-C does not cost the report.
"""

from __future__ import annotations

import math
import platform
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import trio

from rollcheck import __version__
from rollcheck.conductor import Conductor, Reporter
from rollcheck.errors import RollcheckError
from rollcheck.facts.actions import Note
from rollcheck.facts.attempts import Lane, Stage
from rollcheck.facts.clock import ClockAnchor
from rollcheck.facts.document import Document, Header, LanePlan
from rollcheck.kube import discover, rollout
from rollcheck.kube.access import Access, load_access
from rollcheck.kube.actions.request import Request
from rollcheck.kube.actions.watching import OwnCommand
from rollcheck.kube.api import Api
from rollcheck.kube.command import check_command
from rollcheck.kube.journal import Journal, check_folder
from rollcheck.kube.kubeconfig import environment_for_command
from rollcheck.kube.lease import held
from rollcheck.kube.observer import Observer
from rollcheck.kube.restore import put_back_all
from rollcheck.kube.tasks import one_error
from rollcheck.load.engine import Engine
from rollcheck.load.lanes import FRESH_LIMIT
from rollcheck.load.plan import LoadPlan
from rollcheck.openfiles import allow_files
from rollcheck.preflight import Ready, prepare, prepare_action
from rollcheck.record import FACTS, Recorder

FLUSH_S = 0.2
"""How often pending lines are handed to the kernel: what a kill -9 can lose at most."""

TEMPLATES = ("images", "template")
"""Kinds of journal entries that are a deploy: kept when the user says so, and rolled out again when put back."""

PUT_BACK_S = 60.0
"""How long we try to put back what was changed, whatever ended the run; what is left then is in the journal."""

SANDBOX_VERSION = "+sandbox"
"""How the version of rollcheck's own embedded cluster ends; a report says that it is no evidence about a real one."""

SPARE_FILES = 64
"""What a run has open besides the connections of its load: watches, the document, pipes of COMMAND, libraries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What the person asked for; durations in seconds.

    Attributes:
        deploy: name of the Deployment; `workloads` says it where it is something else, or several.
        workloads: kind and name of each; the first is the one whose URL is asked.
        request: what is done to them, unless a command is given.
        load: the load, with a placeholder as target until preflight has found one.
        command: the user's own deploy; empty for `request`.
        journals: where what has to be put back is written; None for beside the document.
        repeat: how often it is done, back to back.
        abort_on: share of requests that may fail before it is stopped, 0 for no limit.
        keep: whether a new template stays when the rollout came to its end.
        row: good answers in a row wanted before the load begins.
        out: where the report goes; None for reports/NAME-TIMESTAMP.
    """

    load: LoadPlan
    deploy: str = ""
    workloads: tuple[tuple[str, str], ...] = ()
    request: Request = Request()  # noqa: RUF009  # frozen
    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    url: str = ""
    command: tuple[str, ...] = ()
    baseline_s: float = 10.0
    tail_s: float = 10.0
    rollout_timeout_s: float = 300.0
    row: int = 10
    out: Path | None = None
    options: dict[str, str] = field(default_factory=dict)
    journals: Path | None = None
    repeat: int = 1
    abort_on: float = 0.0
    keep: bool = False

    @property
    def targets(self) -> tuple[tuple[str, str], ...]:
        """Kind and name of each workload."""
        return self.workloads or (("Deployment", self.deploy),)

    @property
    def asked(self) -> Request:
        """What is done to them."""
        return Request(name="command", command=self.command) if self.command else self.request


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run that came to its end, or to an early one.

    Attributes:
        folder: where the document lies.
        interrupted: the signal that cut it short, empty when none did.
        failure: the error of ours or of the cluster that cut it short, None when none did.
    """

    document: Document
    folder: Path
    interrupted: str = ""
    failure: RollcheckError | None = None


def lanes_of(qps: float, connections: int, fresh_share: float) -> tuple[LanePlan, ...]:
    """The two lanes of a run: kept connections, and a new connection for each request.

    The reused lane holds no more connections than it sends requests a second, so that each is used about once a second
    and a server's keep-alive timeout (five seconds are usual, two occur) does not close them under us.
    """
    lanes = []
    if fresh_share < 1:
        usable = max(1, round(qps * (1 - fresh_share)))
        lanes.append(LanePlan(lane=Lane.REUSED, share=1 - fresh_share, connections=min(connections, usable)))
    if fresh_share > 0:
        lanes.append(LanePlan(lane=Lane.FRESH, share=fresh_share, connections=0))
    return tuple(lanes)


def files_of(load: LoadPlan) -> int:
    """Files that a run of this load may have open at once, when every answer takes all the time it has."""
    connections = 0
    for lane in load.lanes:
        pending = math.ceil(load.qps * lane.share * load.timeout_s) + 1
        connections += lane.connections or min(pending, FRESH_LIMIT)
        if lane.lane == Lane.REUSED:
            connections += lane.connections  # a fresh probe follows each failure
    return connections + SPARE_FILES


def execute(plan: RunPlan, reporter: Reporter, confirm: Callable[[str, str], None]) -> Finished:
    """Run the plan to its end.

    Args:
        reporter: is told what happens, on the way.
        confirm: called with the context and the namespace before anything begins; raises when the person says no.

    Raises:
        RollcheckError: before anything was changed or written.
        KeyboardInterrupt: a signal came before anything was changed or written.
    """
    allow_files(files_of(plan.load), "lower --qps, --timeout or --connections")
    if plan.command:
        check_command(list(plan.command))
    if plan.journals is not None and plan.asked.sort.returns:
        check_folder(plan.journals)
    access = load_access(kubeconfig=plan.kubeconfig, context=plan.context, namespace=plan.namespace)
    confirm(access.context, access.namespace)
    return trio.run(_execute, plan, access, reporter)


async def _execute(plan: RunPlan, access: Access, reporter: Reporter) -> Finished:
    interrupts = _Interrupts()
    finished: Finished | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals, one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(interrupts.heed, signals)
            finished = await _prepare_and_go(plan, access, reporter, interrupts)
            nursery.cancel_scope.cancel()
    if finished is None:
        raise KeyboardInterrupt(f"interrupted by {interrupts.name} before anything was changed")
    return finished


async def _prepare_and_go(
    plan: RunPlan, access: Access, reporter: Reporter, interrupts: _Interrupts
) -> Finished | None:
    """The whole run; None when a signal came before it began."""
    with interrupts.preparing:
        async with Api(access) as api:
            server = await api.version()
            ready = await prepare(
                api,
                targets=plan.targets,
                asked=plan.asked,
                namespace=access.namespace,
                url=plan.url,
                load=plan.load,
                row=plan.row,
                say=reporter.say,
            )
            await api.warm_up()
            await trio.lowlevel.checkpoint_if_cancelled()
            header = _header(plan, ready, server, access.context, access.namespace)
            folder = plan.out or Path("reports") / header.run_id
            async with _claimed(plan, api, ready, header) as unclaimed:
                with _surroundings(plan) as environ, Recorder(folder / FACTS, header) as recorder:
                    if isinstance(ready.action, OwnCommand):
                        ready.action.environ, ready.action.echo = environ, reporter.output
                    run = _Run(plan, api, ready, recorder, reporter, unclaimed)
                    interrupts.act = run.interrupt
                    return await run.go()
    return None


def _claimed(plan: RunPlan, api: Api, ready: Ready, header: Header) -> AbstractAsyncContextManager[str]:
    """Nobody is kept from watching."""
    return nullcontext("") if plan.asked.name == "none" else held(api, ready.workloads, header.run_id)


def foretell(plan: RunPlan, reporter: Reporter, confirm: Callable[[str, str], None]) -> list[str]:
    """What the action would do, in sentences; nothing is changed and no load put on.

    Raises:
        RollcheckError: it cannot be done.
    """
    if plan.command:
        check_command(list(plan.command))
    access = load_access(kubeconfig=plan.kubeconfig, context=plan.context, namespace=plan.namespace)
    confirm(access.context, access.namespace)

    async def ask() -> list[str]:
        async with Api(access) as api:
            action = (await prepare_action(api, plan.targets, plan.asked, access.namespace, reporter.say))[-1]
            await api.warm_up()
            return await action.predict()

    return trio.run(ask)


def _surroundings(plan: RunPlan) -> AbstractContextManager[dict[str, str]]:
    """What COMMAND is to find in its environment, for as long as the run takes."""
    if not plan.command:
        return nullcontext({})
    return environment_for_command(kubeconfig=plan.kubeconfig, context=plan.context, namespace=plan.namespace)


class _Interrupts:
    """Ctrl-C and SIGTERM: the first one acts, those after it are swallowed.

    Attributes:
        name: of the signal that came first, empty until one did.
        preparing: what is cancelled by it, until `act` is set to something else.
        act: what is done at it.
    """

    def __init__(self) -> None:
        self.name = ""
        self.preparing = trio.CancelScope()
        self.act: Callable[[str], None] = lambda _: self.preparing.cancel()

    async def heed(self, signals: AsyncIterator[int]) -> None:
        async for number in signals:
            if not self.name:
                self.name = signal.Signals(number).name
                self.act(self.name)


def _header(plan: RunPlan, ready: Ready, server: str, context: str, namespace: str) -> Header:
    anchor = ClockAnchor(monotonic_ns=time.monotonic_ns(), wall_ns=time.time_ns())
    stamp = datetime.fromtimestamp(anchor.wall_ns / 1e9).astimezone().strftime("%Y%m%dT%H%M%S")
    return Header(
        run_id=f"{plan.targets[0][1]}-{stamp}-{secrets.token_hex(2)}",
        anchor=anchor,
        versions={"rollcheck": __version__, "python": platform.python_version(), "kubernetes": server},
        workload=ready.workloads[0].ref,
        namespace=namespace,
        context=context,
        url=ready.load.target.url,
        route=ready.route,
        service=ready.service,
        method=ready.load.method,
        qps=ready.load.qps,
        timeout_s=ready.load.timeout_s,
        lanes=ready.load.lanes,
        expect=ready.load.expectation.describe(),
        trigger=plan.asked.text,
        options=plan.options | ({"with": ", ".join(w.ref for w in ready.workloads[1:])} if ready.workloads[1:] else {}),
        interval_s=ready.load.interval_s,
        pod_header=ready.load.pod_header,
        sandbox=server.endswith(SANDBOX_VERSION),
    )


class _Run:
    """One run under way: the parts, and how they end together."""

    def __init__(
        self,
        plan: RunPlan,
        api: Api,
        ready: Ready,
        recorder: Recorder,
        reporter: Reporter,
        unclaimed: str,
    ) -> None:
        self.plan = plan
        self.api = api
        self.ready = ready
        self.unclaimed = unclaimed
        self.recorder = recorder
        self.engine = Engine(ready.load, recorder.append, stage=Stage.BASELINE)
        first, *others = ready.workloads
        self.observer = Observer(
            api, first, list(ready.services), recorder.append, on_life=self.engine.cut, others=others
        )
        header = recorder.header
        self.journal = Journal(
            plan.journals or recorder.path.parent,
            header.run_id,
            {
                "kubeconfig": plan.kubeconfig,
                "context": header.context,
                "namespace": header.namespace,
                "server": api.access.server,
                "workload": header.workload,
                "action": header.trigger,
            },
        )
        self.conductor = Conductor(
            api=api,
            workloads=ready.workloads,
            action=ready.action,
            journal=self.journal,
            engine=self.engine,
            observer=self.observer,
            sink=recorder.append,
            reporter=reporter,
            baseline_s=plan.baseline_s,
            tail_s=plan.tail_s,
            rollout_timeout_s=plan.rollout_timeout_s,
            repeat=plan.repeat,
            abort_on=plan.abort_on,
        )
        self.reporter = reporter
        self.collecting = trio.CancelScope()
        self.returning = trio.CancelScope()
        self.interrupted = ""
        self.failure: RollcheckError | None = None

    def interrupt(self, name: str) -> None:
        """End the run, the load first."""
        self.interrupted = name
        self._note("interrupt", f"the run was interrupted by {name}")
        self.reporter.say(f"{name}: the load stops; what was recorded so far is reported")
        self.engine.abandon()
        self.collecting.cancel()
        self.returning.cancel()

    async def go(self) -> Finished:
        """Everything from the first arrival to the seal."""
        for service in self.ready.services:
            self.recorder.append(service)
        for sentence in (*self.ready.missing, *([self.unclaimed] if self.unclaimed else [])):
            self.recorder.append(Note(at_ns=time.monotonic_ns(), topic="permission", text=sentence))
        for sentence in self.ready.notes:
            self.recorder.append(Note(at_ns=time.monotonic_ns(), topic="target", text=sentence))
        try:
            with one_error():
                if self._writable():  # else nothing is replaced for a document that cannot hold it
                    await self._collect()
        except RollcheckError as error:
            self.failure = error
            self._note("cluster", str(error))
        finally:
            await self._put_back()
        self._seal()
        return Finished(
            document=self.recorder.document(),
            folder=self.recorder.path.parent,
            interrupted=self.interrupted,
            failure=self.recorder.failure or self.failure,
        )

    async def _put_back(self) -> None:
        """Leave the cluster as it was found, whatever ended the run; not for ever, though: the journal outlives us."""
        if self.plan.keep and self.conductor.done:
            for number, entry in self.journal.open:
                if entry.kind in TEMPLATES:
                    self.journal.strike(number)
        returned = [entry for _, entry in self.journal.open if entry.kind in TEMPLATES]
        with trio.CancelScope(shield=True, deadline=trio.current_time() + PUT_BACK_S):
            await put_back_all(self.api, self.journal, self._tell_restored, self.recorder.append)
        self.journal.close()
        if returned and not self.interrupted and not self.failure:
            await self._stands_again()

    def _tell_restored(self, text: str, fine: bool) -> None:
        self.recorder.append(Note(at_ns=time.monotonic_ns(), topic="restored", text=text, fatal=not fine))
        self.reporter.say(text)

    async def _stands_again(self) -> None:
        """Wait for the rollout that goes back: a run that began in the middle of it would be refused."""
        self.reporter.say("waiting for the rollout back to the former template (without load)")
        with trio.move_on_after(self.plan.rollout_timeout_s), self.returning:
            for target in self.ready.workloads:
                while True:
                    try:
                        now = await discover.find_workload(self.api, target.namespace, target.name, target.kind)
                    except RollcheckError:
                        return  # it is gone, or the API server is: nothing of ours is left to do
                    if rollout.is_complete(now):
                        break
                    await trio.sleep(1)

    async def _collect(self) -> None:
        with self.collecting:
            async with trio.open_nursery() as watchers:
                watchers.start_soon(self._flush)
                await watchers.start(self.observer.run)
                async with trio.open_nursery() as load:
                    load.start_soon(self.engine.run)
                    await self.conductor.conduct()
                    self.engine.stop()
                watchers.cancel_scope.cancel()

    async def _flush(self) -> None:
        while self._writable():  # noqa: ASYNC110  # a clock is what it goes by
            await trio.sleep(FLUSH_S)
        self.collecting.cancel()

    def _writable(self) -> bool:
        self.recorder.flush()
        return self.recorder.failure is None

    def _note(self, topic: str, text: str) -> None:
        self.recorder.append(Note(at_ns=time.monotonic_ns(), topic=topic, text=text, fatal=True))

    def _seal(self) -> None:
        interrupted = self.interrupted or (str(self.failure) if self.failure else "")
        self.recorder.finish(
            self.recorder.next_seal(time.monotonic_ns(), interrupted, dict(self.engine.scheduled), self.engine.probes)
        )
