"""Actions that change nothing of ours: only watch, and the user's own command."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence

import trio

from rollcheck.facts.actions import CommandOutput
from rollcheck.facts.cluster import WorkloadSeen
from rollcheck.kube import rollout
from rollcheck.kube.actions.action import Ground, acted
from rollcheck.kube.command import run_command

SETTLE_S = 3.0
"""How long a finished COMMAND may have changed nothing before that counts as its result: controllers act on a change
within milliseconds, a busy API server within a second or two."""


class Watch:
    """Only watch, until pods have been replaced by somebody else and nothing moves any more."""

    def __init__(self, workloads: Sequence[WorkloadSeen]) -> None:
        self.workloads = tuple(workloads)
        self.description = f"watch {', '.join(w.ref for w in workloads)}"

    async def check(self) -> None:
        """Anything can be watched."""

    async def predict(self) -> list[str]:
        """As `Doing.predict`."""
        return [f"{w.ref} would only be watched, until somebody else replaces its pods" for w in self.workloads]

    async def perform(self, ground: Ground) -> bool:
        """As `Doing.perform`."""
        ground.record(acted("none", self.description, time.monotonic_ns(), 0))
        ground.say("watching: replace the pods now")
        old = rollout.old_uids(ground.pods.values())
        quiet_since: float | None = None

        def done() -> bool:
            nonlocal quiet_since
            moved = bool(old - set(ground.pods))
            if not (moved and is_quiet(ground)):
                quiet_since = None
                return False
            quiet_since = trio.current_time() if quiet_since is None else quiet_since
            return trio.current_time() - quiet_since >= SETTLE_S

        return await ground.until(done, lambda: f"{len(old & set(ground.pods))} of {len(old)} old pods left")

    async def stop(self, ground: Ground) -> None:
        """Nothing of ours goes on."""


class OwnCommand:
    """The user's own deploy, and whatever it changes until that stands."""

    def __init__(
        self, command: Sequence[str], environ: dict[str, str], echo: Callable[[CommandOutput], None] | None = None
    ) -> None:
        self.command = tuple(command)
        self.environ = environ
        self.echo = echo
        self.description = shlex.join(command)

    async def check(self) -> None:
        """That there is such a command was made sure of before anything else."""

    async def predict(self) -> list[str]:
        """As `Doing.predict`."""
        return [f"your own command would be run, whatever it does: {self.description}"]

    async def perform(self, ground: Ground) -> bool:
        """As `Doing.perform`."""
        old = rollout.old_uids(ground.pods.values())
        ground.say(f"running: {self.description}")
        ground.doing(f"still running: {self.description}")
        await run_command(self.command, ground.record, self.echo, environ=self.environ)
        settled = trio.current_time() + SETTLE_S

        def done() -> bool:
            """What it changed has been rolled out, and nothing is on its way out any more."""
            return trio.current_time() >= settled and is_quiet(ground)

        return await ground.until(done, lambda: f"{len(old & set(ground.pods))} of {len(old)} old pods left")

    async def stop(self, ground: Ground) -> None:
        """It was ended with its scope."""


def is_quiet(ground: Ground) -> bool:
    """Whether every rollout stands and no pod is on its way out."""
    present = list(ground.workloads.values())
    if not all(w is not None and rollout.is_complete(w) for w in present):
        return False
    return not any(pod.deletion_at for pod in ground.pods.values())
