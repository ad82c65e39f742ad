"""How a container is ended: event, preStop, its turn, signal, SIGKILL; and the clock of its grace.

Source: Kubernetes 1.34, pkg/kubelet/kuberuntime: killContainer and kuberuntime_termination_order.go.
Whole seconds are taken from the grace, as there, so a hook of 1.9 s costs one.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from rollcheck.sandbox.kubelet.containers import Container

MINIMUM_S = 2
"""A container gets at least this long after its signal, whatever its hook took."""


class Turns:
    """Who has to wait for whom: a sidecar for every main container and for the sidecars started after it.

    Args:
        containers: all of the pod, in the order of the manifest.
    """

    def __init__(self, containers: Sequence[Container]) -> None:
        self.ended = {c.name: trio.Event() for c in containers}
        self.before: dict[str, list[str]] = {}
        for container in containers:
            if not container.record.running:
                self.ended[container.name].set()
        main = [c.name for c in containers if not c.record.init]
        later = ""
        for sidecar in reversed([c for c in containers if c.record.sidecar]):
            self.before[sidecar.name] = [*main, *([later] if later else [])]
            later = sidecar.name

    async def wait(self, name: str, grace: int) -> int:
        """Wait for a container's turn, at most its grace; the whole seconds that took."""
        since = trio.current_time()
        with trio.move_on_after(grace):
            for other in self.before.get(name, ()):
                await self.ended[other].wait()
        return int(trio.current_time() - since)


async def kill(container: Container, *, grace: int, message: str = "", turns: Turns | None = None) -> None:
    """End a container that runs; returns when it has ended.

    Args:
        container: which.
        grace: seconds for all of it; the hook and the wait for its turn count.
        message: of the Killing event.
        turns: the order among the pod's containers when all of them end.
    """
    process = container.process
    if process is None:
        return
    container.event("Normal", "Killing", message or f"Stopping container {container.name}")
    hook = container.record.spec.get("lifecycle", {}).get("preStop")
    if hook and grace > 0:
        grace -= await pre_stop(container, hook, grace)
    if turns is not None and grace > 0:
        grace -= await turns.wait(container.name, grace)
    process.send_signal(container.stop_signal)
    with trio.move_on_after(max(grace, MINIMUM_S)):
        await process.exited.wait()
    if not process.exited.is_set():
        process.kill()
        await process.exited.wait()
    container.settle_exit()
    if turns is not None:
        turns.ended[container.name].set()


async def pre_stop(container: Container, hook: dict[str, object], grace: int) -> int:
    """Run the preStop hook, at most for the grace; the whole seconds that took. Running out of time is no failure."""
    since = trio.current_time()
    with trio.move_on_after(grace):
        if await container.run_hook(hook):
            container.event("Warning", "FailedPreStopHook", "PreStopHook failed")
    return int(trio.current_time() - since)
