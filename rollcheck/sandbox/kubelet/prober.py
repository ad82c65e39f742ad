"""When a container is probed, and what follows from the answers.

Source: Kubernetes 1.34, pkg/kubelet/prober/worker.go and prober_manager.go. Probes tick with their period from the
moment the pod came to the node, not from the container's start; a container that runs and is not ready is asked at once
whenever the pod's status is worked out.
"""

from __future__ import annotations

from typing import Protocol

import trio

from rollcheck.sandbox.environment import expand
from rollcheck.sandbox.kubelet.containers import Container
from rollcheck.sandbox.kubelet.records import Running
from rollcheck.sandbox.probes import Schedule, Threshold, ask, due
from rollcheck.sandbox.trees import Json

KINDS = ("startup", "readiness", "liveness")


class ProbedPod(Protocol):
    """What a prober needs of the pod."""

    ending: bool

    def publish(self) -> None:
        """Write the pod's status."""

    def restart(self, container: Container, kind: str) -> None:
        """End a container whose probe of this kind failed."""


class Prober:
    """One probe of one container.

    Args:
        pod: its pod.
        container: the container.
        kind: startup, readiness or liveness.
    """

    def __init__(self, pod: ProbedPod, container: Container, kind: str) -> None:
        self.pod = pod
        self.container = container
        self.kind = kind
        self.probe = expanded(container.record.spec[f"{kind}Probe"], container.record.spec)
        self.schedule = Schedule.of(self.probe)
        self.threshold = Threshold(self.schedule)
        self.seen = ""
        self.on_hold = False
        self.wanted = trio.Event()

    def trigger(self) -> None:
        """Ask now; the ticks go on from here."""
        self.wanted.set()

    async def run(self) -> None:
        """Ask at every tick, until cancelled or until the pod ends and this probe has nothing to say any more."""
        tick = trio.current_time()
        while not (self.pod.ending and self.kind != "readiness"):
            await self.once()
            tick = max(tick + self.schedule.period, trio.current_time())
            with trio.move_on_at(tick):
                await self.wanted.wait()
            if self.wanted.is_set():
                self.wanted = trio.Event()
                tick = trio.current_time()

    async def once(self) -> None:
        """Ask, if it is time to, and act on the answer."""
        record, process = self.container.record, self.container.process
        if record.container_id != self.seen:
            self.seen, self.on_hold = record.container_id, False
        state = record.state
        if self.on_hold or not isinstance(state, Running) or not record.shown or process is None:
            return
        now = self.container.host.wall()
        if not due(self.schedule, now=now, started_at=state.at) or record.started is (self.kind == "startup"):
            return
        await self.container.host.pace.turn()
        answer = await ask(self.probe, self.container.place(), self.schedule.timeout)
        if self.container.process is not process or (self.pod.ending and self.kind != "readiness"):
            return
        if not answer.good:
            self.container.event("Warning", "Unhealthy", f"{self.kind.capitalize()} probe failed: {answer.output}")
        result = self.threshold.record(answer.good)
        if result is not None:
            self.act(result)

    def act(self, result: bool) -> None:
        """A result counts: show it, or end the container."""
        record = self.container.record
        if self.kind == "readiness":
            if record.ready is not result:
                record.ready = result
                self.pod.publish()
            return
        if self.kind == "startup" or not result:
            self.on_hold, self.threshold.run = True, 0
        if not result:
            self.pod.restart(self.container, self.kind)
        elif self.kind == "startup":
            record.started = True
            record.ready = "readinessProbe" not in record.spec
            self.pod.publish()


def expanded(probe: Json, container: Json) -> Json:
    """A probe whose command has `$(NAME)` replaced, by values that the manifest itself has."""
    if "exec" not in probe:
        return probe
    static = {variable["name"]: variable.get("value", "") for variable in container.get("env") or ()}
    return {**probe, "exec": {"command": [expand(word, static) for word in probe["exec"].get("command") or ()]}}
