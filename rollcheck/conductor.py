"""Walks a run through its stages: baseline → replacement → tail.

The replacement is over only when every old pod's object is gone: `kubectl rollout status` says done while old pods
still serve, and it is their end that loses requests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import trio

from rollcheck.facts.actions import Action, CommandOutput, Note, StageMark
from rollcheck.facts.attempts import Stage
from rollcheck.facts.cluster import WorkloadSeen
from rollcheck.facts.document import Fact
from rollcheck.kube import rollout
from rollcheck.kube.actions import restart
from rollcheck.kube.api import Api
from rollcheck.kube.command import run_command
from rollcheck.kube.observer import Observer
from rollcheck.load.engine import Engine, Progress

STUCK_PATIENCE_S = 30.0
"""How long a rollout may look stuck (image pull, crash loop, unschedulable) before we stop waiting for it: a registry
that stumbles recovers within it, and nobody wants to wait for progressDeadlineSeconds (600 by default)."""

SETTLE_S = 3.0
"""How long a finished COMMAND may have changed nothing before that counts as its result: controllers act on a change
within milliseconds, a busy API server within a second or two."""

LOST_IN_BASELINE = 0.05
"""Share of arrivals that may fail before anything was replaced; above it a run could prove nothing, so the workload is
left alone."""


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
        self.action: Action | None = None
        self._doing = ""

    async def conduct(self) -> None:
        """Every stage in order."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick)
            self._enter(Stage.BASELINE, self.baseline_s)
            await trio.sleep(self.baseline_s)
            if self._fit_to_replace():
                self._enter(Stage.REPLACEMENT, None)
                if await self._replace():
                    self._enter(Stage.TAIL, self.tail_s)
                    await trio.sleep(self.tail_s)
            nursery.cancel_scope.cancel()

    def _enter(self, stage: Stage, seconds: float | None) -> None:
        self.engine.enter(stage)
        self.sink(StageMark(at_ns=time.monotonic_ns(), stage=stage))
        self._doing = stage.value
        self.reporter.stage(stage, seconds)

    async def _tick(self) -> None:
        while True:
            await trio.sleep(1)
            self.reporter.tick(self.engine.progress(), self._doing)

    def _fit_to_replace(self) -> bool:
        """Whether the baseline leaves anything to prove; says why when it does not."""
        seen = self.engine.progress()
        lost = seen.failed + seen.not_sent + seen.backlog
        if lost <= LOST_IN_BASELINE * max(1, seen.scheduled):
            return True
        served = seen.ok / self.baseline_s
        if seen.not_sent + seen.backlog + _timeouts(seen) > lost / 2:
            why = (
                f"the target answered {served:.3g} of the {seen.scheduled / self.baseline_s:.3g} requests per second "
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
        old = set(self.observer.pods)
        if self.command:
            self.reporter.say(f"running: {' '.join(self.command)}")
            self.action = await run_command(list(self.command), self.sink, self.reporter.output, environ=self.environ)
            done = self._command_done
        else:
            self.reporter.say(f"restarting deployment/{self.workload.name}")
            self.action = await restart(self.api, self.workload)
            done = self._restart_done
        self.sink(self.action)
        with trio.move_on_after(self.rollout_timeout_s) as waiting:
            return await self._wait_for(done, old)
        if waiting.cancelled_caught:
            self._fatal(
                "rollout", f"the replacement had not ended after {self.rollout_timeout_s:g} s: {self._where(old)}"
            )
        return False

    async def _wait_for(self, done: Callable[[set[str]], bool], old: set[str]) -> bool:
        stuck_since: float | None = None
        while not done(old):
            stuck = self._stuck()
            if not stuck:
                stuck_since = None
            elif stuck_since is None:
                stuck_since = trio.current_time()
                self.reporter.say(f"the rollout looks stuck: {stuck}")
            elif trio.current_time() - stuck_since > STUCK_PATIENCE_S:
                self._fatal("rollout", f"the rollout is stuck: {stuck}")
                return False
            self._doing = self._where(old)
            with trio.move_on_after(1):
                await self.observer.wait_change()
        return True

    def _restart_done(self, old: set[str]) -> bool:
        workload = self.observer.workload
        return not old & set(self.observer.pods) and workload is not None and rollout.is_complete(workload)

    def _command_done(self, old: set[str]) -> bool:
        """The command ended, what it changed has been rolled out, and nothing is on its way out any more."""
        assert self.action is not None
        ended = self.action.ended_ns or time.monotonic_ns()
        if time.monotonic_ns() - ended < SETTLE_S * 1e9:
            return False
        workload = self.observer.workload
        if workload is None or not rollout.is_complete(workload):
            return False
        return not any(pod.deletion_at for pod in self.observer.pods.values())

    def _stuck(self) -> str:
        workload = self.observer.workload
        return rollout.stuck(workload, list(self.observer.pods.values())) if workload else ""

    def _where(self, old: set[str]) -> str:
        left = len(old & set(self.observer.pods))
        workload = self.observer.workload
        updated = f", {workload.updated} of {workload.replicas} updated" if workload else ""
        return f"{left} of {len(old)} old pods left{updated}"

    def _fatal(self, topic: str, text: str) -> None:
        self.sink(Note(at_ns=time.monotonic_ns(), topic=topic, text=text, fatal=True))
        self.reporter.say(text)


def _timeouts(seen: Progress) -> int:
    return sum(count for name, count in seen.by_outcome.items() if name.endswith("/timeout"))


def _modest(served: float) -> str:
    """Half of what was served, enough room for one pod less; no number where too little was served to tell."""
    return f"--qps {served / 2:.0f}" if served >= 2 else "a much lower --qps (try 1) and a longer --timeout"
