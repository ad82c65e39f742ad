"""Walks a run through its stages: baseline → replacement → tail.

The replacement is over only when every old pod's object is gone: `kubectl rollout status` says done while old pods
still serve, and it is their end that loses requests.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import trio

from rollcheck.facts.actions import Action, CommandOutput, Note, StageMark
from rollcheck.facts.attempts import Stage
from rollcheck.facts.cluster import PodSeen, SliceSeen, WorkloadSeen
from rollcheck.facts.document import Fact
from rollcheck.kube import rollout
from rollcheck.kube.actions.action import Doing
from rollcheck.kube.api import Api
from rollcheck.kube.journal import Journal
from rollcheck.kube.observer import Observer
from rollcheck.kube.restore import put_back_all
from rollcheck.load.engine import Engine
from rollcheck.load.progress import Progress

STUCK_PATIENCE_S = 30.0
"""How long a rollout may look stuck (image pull, crash loop, unschedulable) before we stop waiting for it: a registry
that stumbles recovers within it, and nobody wants to wait for progressDeadlineSeconds (600 by default)."""

WAKE_S = 1.0
"""How long we wait for a change before we look at the clock again."""

TICK_S = 0.25
"""How often the reporter is told how it stands: often enough for a picture that moves."""

LOOK_EVERY_S = 0.002
"""How often we look whether the load has begun: far less than the shortest baseline."""

LOST_IN_BASELINE = 0.05
"""Share of arrivals that may fail before anything was replaced; above it a run could prove nothing, so the workload is
left alone."""


BETWEEN_S = 1.0
"""Between two rounds: a restart within the second of the one before would be refused."""

STOP_S = 30.0
"""How long we try to have an aborted action not go on."""

ABORT_LOOK_S = 0.5
ABORT_SPAN_S = 5.0
ABORT_LEAST = 20
"""Whether to abort is judged by what ended in the last seconds, once that is enough to be no accident."""


class Reporter(Protocol):
    """Is told what happens on the way, for the person who waits."""

    def say(self, text: str) -> None:
        """One thing that begins or happened."""

    def stage(self, stage: Stage, seconds: float | None) -> None:
        """A stage began; `seconds` is how long it will take, None when nobody knows."""

    def tick(self, progress: Progress, doing: str) -> None:
        """The state of the load, a few times a second."""

    def see(self, pods: Mapping[str, PodSeen], slices: Collection[SliceSeen]) -> None:
        """The pods, by uid, and the EndpointSlices that are there now; as often."""

    def output(self, line: CommandOutput) -> None:
        """A line that the user's command printed."""


class Conductor:
    """Takes one run through its stages; `conduct` returns after the tail, or when going on would prove nothing.

    It is the `Ground` on which the action is carried out.

    Args:
        repeat: how often the action is done, back to back.
        abort_on: share of requests that may fail over a few seconds before the action is stopped; 0 for no limit.

    Attributes:
        done: whether the action came to its end.
        aborted: whether it was stopped because too much failed.
    """

    def __init__(
        self,
        *,
        api: Api,
        workloads: Sequence[WorkloadSeen],
        action: Doing,
        journal: Journal,
        engine: Engine,
        observer: Observer,
        sink: Callable[[Fact], None],
        reporter: Reporter,
        baseline_s: float,
        tail_s: float,
        rollout_timeout_s: float,
        repeat: int = 1,
        abort_on: float = 0.0,
    ) -> None:
        self.api = api
        self.targets = tuple(workloads)
        self.action = action
        self.journal = journal
        self.engine = engine
        self.observer = observer
        self.sink = sink
        self.reporter = reporter
        self.baseline_s = baseline_s
        self.tail_s = tail_s
        self.rollout_timeout_s = rollout_timeout_s
        self.repeat = repeat
        self.abort_on = abort_on
        self.done = False
        self.aborted = False
        self._doing = ""
        self._silent = False
        self._round = 0
        self._acting = trio.CancelScope()

    async def conduct(self) -> None:
        """Every stage in order."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick)
            await self._load_began()
            self._enter(Stage.BASELINE, self.baseline_s)
            began = trio.current_time()
            await trio.sleep(self.baseline_s)
            if self._fit_to_replace(trio.current_time() - began):
                self._enter(Stage.REPLACEMENT, None)
                nursery.start_soon(self._heed_failures)
                if await self._replace():
                    self._enter(Stage.TAIL, self.tail_s)
                    await trio.sleep(self.tail_s)
            nursery.cancel_scope.cancel()

    async def _load_began(self) -> None:
        """The first arrival is due as soon as the engine is set up, which may take a tenth of a second: a short
        baseline that began before it would look like a target too slow for the rate.
        """
        while not any(self.engine.scheduled.values()):  # noqa: ASYNC110  # the engine tells nobody
            await trio.sleep(LOOK_EVERY_S)

    def _enter(self, stage: Stage, seconds: float | None) -> None:
        self.engine.enter(stage)
        self.sink(StageMark(at_ns=time.monotonic_ns(), stage=stage))
        self._doing = stage.value
        self.reporter.stage(stage, seconds)

    async def _tick(self) -> None:
        while True:
            await trio.sleep(TICK_S)
            self.reporter.tick(self.engine.progress(), self._doing)
            self.reporter.see(self.observer.pods, self.observer.slices.values())

    def _fit_to_replace(self, seconds: float) -> bool:
        """Whether the baseline, which took `seconds`, leaves anything to prove; says why when it does not."""
        seen = self.engine.progress()
        lost = seen.failed + seen.not_sent + seen.backlog
        if not self.baseline_s or lost <= LOST_IN_BASELINE * max(1, seen.scheduled):
            return True
        served = seen.ok / seconds
        if seen.not_sent + seen.backlog + _timeouts(seen) > lost / 2:
            why = (
                f"the target answered {served:.3g} of the {seen.scheduled / seconds:.3g} requests per second "
                f"asked for, before anything was replaced: ask for what it can serve, with {_modest(served)}"
            )
        else:
            worst = max(seen.by_outcome, key=lambda name: (name.split("/")[-1] != "ok") * seen.by_outcome[name])
            why = (
                f"{seen.failed} of {seen.scheduled} requests failed before anything was replaced (most often {worst}): "
                "see to that first"
            )
        self._fatal("target", f"{why}. The workload was left alone")
        return False

    # The ground of an action

    @property
    def pods(self) -> Mapping[str, PodSeen]:
        """Uid → pod, those that exist now."""
        return self.observer.pods

    @property
    def workloads(self) -> Mapping[str, WorkloadSeen | None]:
        """`deployment/web` → as it is now."""
        return self.observer.workloads

    def pods_of(self, workload: WorkloadSeen) -> Sequence[PodSeen]:
        """Those of one of the workloads."""
        return self.observer.pods_of(workload)

    def record(self, fact: Fact) -> None:
        """Keep a fact of the run; an action is part of the present round."""
        self.sink(replace(fact, round=self._round) if isinstance(fact, Action) else fact)

    def turn(self) -> None:
        """What follows is a replacement of its own."""
        self._round += 1

    def say(self, text: str) -> None:
        """Tell the person who waits."""
        self.reporter.say(text)

    def doing(self, text: str) -> None:
        """What is waited for, from now on."""
        self._doing = text

    def note(self, text: str) -> None:
        """Record what the reader of the report should know."""
        self._note("rollout", text)

    def give_up(self, text: str) -> None:
        """Record why this run will prove nothing."""
        self._fatal("rollout", text)

    async def until(self, done: Callable[[], bool], where: Callable[[], str]) -> bool:
        """Wait until `done`; False when the workloads have looked stuck for too long."""
        stuck_since: float | None = None
        while not done():
            self._doing = where()
            stuck = self._stuck()
            if not stuck:
                stuck_since = None
            elif stuck_since is None:
                stuck_since = trio.current_time()
                self.reporter.say(f"the rollout looks stuck: {stuck}")
            elif trio.current_time() - stuck_since > STUCK_PATIENCE_S:
                self._fatal("rollout", f"the rollout is stuck: {stuck}")
                return False
            self._say_when_silent()
            with trio.move_on_after(WAKE_S):
                await self.observer.wait_change()
        return True

    # The replacement

    async def _replace(self) -> bool:
        """The action, as often as was asked for; False when there is no point in a tail."""
        lost = self.engine.progress().failed
        replaced: set[str] = set()
        for number in range(1, self.repeat + 1):
            before = set(self.pods)
            self.turn()
            with trio.move_on_after(self.rollout_timeout_s) as waiting:
                done = await self._perform()
            if self.aborted:
                return False
            if waiting.cancelled_caught:
                self._fatal(
                    "rollout", f"the replacement had not ended after {self.rollout_timeout_s:g} s: {self._doing}"
                )
                return False
            if not done:
                return False
            replaced |= before - set(self.pods)
            if self.repeat > 1:
                self._count_round(number, len(replaced), self.engine.progress().failed - lost)
                await self._between(number)
        self.done = True
        return True

    async def _perform(self) -> bool:
        """Once; not to its end when too much fails meanwhile."""
        done = False
        self._doing = self.action.description
        with trio.CancelScope() as self._acting:
            done = await self.action.perform(self)
        if self.aborted:
            with trio.move_on_after(STOP_S):
                await self.action.stop(self)
        return done

    async def _between(self, number: int) -> None:
        if number < self.repeat:
            await put_back_all(self.api, self.journal, lambda text, _: self.reporter.say(text), self.sink)
            await trio.sleep(BETWEEN_S)

    def _count_round(self, number: int, replaced: int, lost: int) -> None:
        """What the rounds so far amount to: the bound that zero losses leave, at 95 %."""
        said = f"{lost} requests failed" if lost else "no request failed"
        if not lost and replaced:
            said += f": at most {1 - 0.05 ** (1 / replaced):.1%} of replacements lose one (95 %)"
        self.reporter.say(f"round {number} of {self.repeat}: {replaced} pods replaced so far, {said}")

    async def _heed_failures(self) -> None:
        """Stop the action when too large a share of what ends fails."""
        span: deque[tuple[int, int]] = deque(maxlen=max(2, round(ABORT_SPAN_S / ABORT_LOOK_S) + 1))
        while self.abort_on:
            seen = self.engine.progress()
            span.append((seen.failed + seen.not_sent, seen.ok + seen.failed + seen.not_sent))
            failed, ended = (span[-1][i] - span[0][i] for i in (0, 1))
            if ended >= ABORT_LEAST and failed / ended > self.abort_on:
                self.aborted = True
                self._fatal(
                    "abort",
                    f"{failed} of the last {ended} requests failed, more than {self.abort_on:.0%}: {self._doing} was "
                    "stopped",
                )
                self._acting.cancel()
                return
            await trio.sleep(ABORT_LOOK_S)

    def _say_when_silent(self) -> None:
        silent = not self.observer.healthy
        if silent and not self._silent:
            self.reporter.say("the API server does not answer; the load goes on, and so does the wait for it")
        self._silent = silent

    def _stuck(self) -> str:
        for target in self.targets:
            workload = self.workloads.get(target.ref)
            if workload is None:
                return f"{target.ref} was deleted"
            if why := rollout.stuck(workload, self.pods_of(target)):
                return why
        return ""

    def _fatal(self, topic: str, text: str) -> None:
        self._note(topic, text, fatal=True)

    def _note(self, topic: str, text: str, *, fatal: bool = False) -> None:
        self.sink(Note(at_ns=time.monotonic_ns(), topic=topic, text=text, fatal=fatal))
        self.reporter.say(text)


def _timeouts(seen: Progress) -> int:
    return sum(count for name, count in seen.by_outcome.items() if name.endswith("/timeout"))


def _modest(served: float) -> str:
    """Half of what was served, enough room for one pod less; no number where too little was served to tell."""
    return f"--qps {served / 2:.0f}" if served >= 2 else "a much lower --qps (try 1) and a longer --timeout"
