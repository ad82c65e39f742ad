"""Walks a run through its stages: baseline → replacement → tail.

The replacement is over only when every old pod's object is gone: `kubectl rollout status` says done while old pods
still serve, and it is their end that loses requests.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import Protocol

import trio

from rollcheck.facts.actions import CommandOutput, Note, StageMark
from rollcheck.facts.attempts import Stage
from rollcheck.facts.cluster import WorkloadSeen
from rollcheck.facts.document import Fact
from rollcheck.kube import rollout
from rollcheck.kube.actions import restart
from rollcheck.kube.api import Api
from rollcheck.kube.command import run_command
from rollcheck.kube.observer import Observer
from rollcheck.load.engine import Engine
from rollcheck.load.progress import Progress

STUCK_PATIENCE_S = 30.0
"""How long a rollout may look stuck (image pull, crash loop, unschedulable) before we stop waiting for it: a registry
that stumbles recovers within it, and nobody wants to wait for progressDeadlineSeconds (600 by default)."""

SETTLE_S = 3.0
"""How long a finished COMMAND may have changed nothing before that counts as its result: controllers act on a change
within milliseconds, a busy API server within a second or two."""

WAKE_S = 1.0
"""How long we wait for a change before we look at the clock again."""

LOOK_EVERY_S = 0.002
"""How often we look whether the load has begun: far less than the shortest baseline."""

LOST_IN_BASELINE = 0.05
"""Share of arrivals that may fail before anything was replaced; above it a run could prove nothing, so the workload is
left alone."""


Old = frozenset[str]
"""Uids of the pods that the replacement must end."""


class Reporter(Protocol):
    """Is told what happens on the way, for the person who waits."""

    def say(self, text: str) -> None:
        """One thing that begins or happened."""

    def stage(self, stage: Stage, seconds: float | None) -> None:
        """A stage began; `seconds` is how long it will take, None when nobody knows."""

    def tick(self, progress: Progress, doing: str) -> None:
        """The state of the load, about once a second."""

    def output(self, line: CommandOutput) -> None:
        """A line that the user's command printed."""


class Conductor:
    """Takes one run through its stages; `conduct` returns after the tail, or when going on would prove nothing."""

    def __init__(
        self,
        *,
        api: Api,
        workload: WorkloadSeen,
        engine: Engine,
        observer: Observer,
        sink: Callable[[Fact], None],
        reporter: Reporter,
        command: tuple[str, ...],
        environ: dict[str, str],
        baseline_s: float,
        tail_s: float,
        rollout_timeout_s: float,
    ) -> None:
        self.api = api
        self.workload = workload
        self.engine = engine
        self.observer = observer
        self.sink = sink
        self.reporter = reporter
        self.command = command
        self.environ = environ
        self.baseline_s = baseline_s
        self.tail_s = tail_s
        self.rollout_timeout_s = rollout_timeout_s
        self._doing = ""
        self._silent = False

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
            await trio.sleep(1)
            self.reporter.tick(self.engine.progress(), self._doing)

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

    async def _replace(self) -> bool:
        """Trigger, and wait for the end of every old pod; False when there is no point in a tail."""
        old = rollout.old_uids(self.observer.pods.values())
        with trio.move_on_after(self.rollout_timeout_s) as waiting:
            return await (self._by_command(old) if self.command else self._by_restart(old))
        if waiting.cancelled_caught:
            self._fatal("rollout", f"the replacement had not ended after {self.rollout_timeout_s:g} s: {self._doing}")
        return False

    async def _by_restart(self, old: Old) -> bool:
        self._doing = f"restarting deployment/{self.workload.name}"
        self.reporter.say(self._doing)
        action = await restart(self.api, self.workload, self.sink)
        if action.status is None:
            self._fatal(
                "rollout",
                f"it is not known whether the restart began: {action.message}, and the Deployment does not carry its "
                "stamp so far; look at it with `kubectl rollout status` before you run this again",
            )
            return False
        if action.message:
            self._note("rollout", f"{action.description}: {action.message}")

        def done() -> bool:
            workload = self.observer.workload
            return not old & set(self.observer.pods) and workload is not None and rollout.is_complete(workload)

        return await self._wait_for(done, old)

    async def _by_command(self, old: Old) -> bool:
        words = shlex.join(self.command)
        self.reporter.say(f"running: {words}")
        self._doing = f"still running: {words}"
        await run_command(self.command, self.sink, self.reporter.output, environ=self.environ)
        settled = trio.current_time() + SETTLE_S

        def done() -> bool:
            """What it changed has been rolled out, and nothing is on its way out any more."""
            workload = self.observer.workload
            if trio.current_time() < settled or workload is None or not rollout.is_complete(workload):
                return False
            return not any(pod.deletion_at for pod in self.observer.pods.values())

        return await self._wait_for(done, old)

    async def _wait_for(self, done: Callable[[], bool], old: Old) -> bool:
        stuck_since: float | None = None
        while not done():
            self._doing = self._where(old)
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

    def _say_when_silent(self) -> None:
        silent = not self.observer.healthy
        if silent and not self._silent:
            self.reporter.say("the API server does not answer; the load goes on, and so does the wait for it")
        self._silent = silent

    def _stuck(self) -> str:
        workload = self.observer.workload
        if workload is None:
            return f"deployment/{self.workload.name} was deleted"
        return rollout.stuck(workload, self.observer.pods.values())

    def _where(self, old: Old) -> str:
        left = len(old & set(self.observer.pods))
        workload = self.observer.workload
        updated = f", {workload.updated} of {workload.replicas} updated" if workload else ""
        return f"{left} of {len(old)} old pods left{updated}"

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
