"""A node with its kubelet and its warden, and what a watcher sees of the pods on it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.images import Catalog
from rollcheck.sandbox.kubelet import Kubelet, Timing
from rollcheck.sandbox.kubelet.logs import PodLogs
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import EVENTS, PODS
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.warden import Warden

Json = dict[str, Any]
ENV = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
QUICK = Timing(
    crash_backoff=0.2,
    crash_backoff_max=0.4,
    pull_backoff=0.4,
    pull_backoff_max=0.8,
    resync=0.1,
    mount_retry=0.05,
    relist=0.05,
    teardown=0.0,
)
NODE = "n1"
SLEEPER = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
open("up", "w").close()
while True: time.sleep(0.05)
"""
"""A container that ends well on SIGTERM once there is a file `up` in its folder: before, process 1 does not get it.

It sleeps in short pieces because a signal that comes just before a sleep begins is handled only at its end.
"""


def container(name: str = "app", image: str = "rollcheck.test/python:3", **more: Any) -> Json:
    """A container that runs until SIGTERM, or what is said of it."""
    made: Json = {"name": name, "image": image}
    if "command" not in more and image.startswith("rollcheck.test/python"):
        made["command"] = ["python3", "-c", SLEEPER]
    return made | more


class World:
    """One node."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry = registry
        self.logs = PodLogs(registry, folder)
        self.folder = folder
        self.changes: list[Change] = []
        self.seen = trio.Condition()

    async def watch(self, *, task_status: trio.TaskStatus[None]) -> None:
        changes = self.registry.watch(PODS)
        task_status.started()
        async for change in changes:
            async with self.seen:
                self.changes.append(change)
                self.seen.notify_all()

    def create(self, *containers: Json, name: str = "pod", annotations: Json | None = None, **spec: Any) -> Json:
        """A pod that is bound to the node at once."""
        made = {
            "metadata": {
                "name": name,
                "namespace": "default",
                "labels": {"app": "x"},
                "annotations": annotations or {},
            },
            "spec": {"containers": list(containers) or [container()], **spec},
        }
        self.registry.create(PODS, "default", made)
        self.registry.bind("default", name, NODE)
        return self.registry.get(PODS, "default", name)

    async def until(self, what: Callable[[Change], Any], name: str = "pod", within: float = 10.0) -> Json:
        """The first change of a pod, from the beginning on, for which `what` is true."""
        checked = 0
        with trio.fail_after(within):
            async with self.seen:
                while True:
                    for change in self.changes[checked:]:
                        if change.object["metadata"]["name"] == name and what(change):
                            return change.object
                    checked = len(self.changes)
                    await self.seen.wait()

    async def until_ready(self, name: str = "pod") -> Json:
        return await self.until(lambda c: condition(c.object, "Ready") == "True", name)

    async def until_gone(self, name: str = "pod", within: float = 10.0) -> Json:
        return await self.until(lambda c: c.type == "DELETED", name, within)

    async def until_waiting(self, reason: str, name: str = "pod", index: int = 0) -> Json:
        return await self.until(lambda c: state(c.object, index).get("waiting", {}).get("reason") == reason, name)

    async def until_event(self, reason: str, within: float = 10.0) -> Json:
        changes = self.registry.watch(EVENTS)
        for event in self.registry.list(EVENTS):
            if event["reason"] == reason:
                return event
        with trio.fail_after(within):
            async for change in changes:
                if change.object["reason"] == reason:
                    return change.object
        raise AssertionError("the watch ended")

    def events(self, name: str = "pod") -> list[tuple[str, str]]:
        """Reason and message of all that was told of a pod, in the order in which it was first told."""
        mine = [e for e in self.registry.list(EVENTS) if e["involvedObject"]["name"] == name]
        mine.sort(key=lambda e: int(e["metadata"]["name"].rpartition(".")[2], 16))
        return [(e["reason"], e["message"]) for e in mine]

    def reasons(self, name: str = "pod") -> list[str]:
        return [reason for reason, _ in self.events(name)]

    def statuses(self, name: str = "pod") -> list[Json]:
        return [c.object["status"] for c in self.changes if c.object["metadata"]["name"] == name]

    async def log(self, name: str = "pod", container: str = "", **how: Any) -> str:
        return b"".join([line async for line in self.logs.lines("default", name, container, **how)]).decode()

    async def until_logged(self, text: str, name: str = "pod", container: str = "") -> None:
        with trio.fail_after(10):
            while text not in await self.log(name, container):
                await trio.sleep(0.01)


def condition(pod: Json, kind: str) -> str:
    return next((c["status"] for c in pod.get("status", {}).get("conditions") or () if c["type"] == kind), "")


def state(pod: Json, index: int = 0) -> Json:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return statuses[index]["state"] if index < len(statuses) else {}


@asynccontextmanager
async def one_node(
    folder: Path,
    *,
    shared: bool = False,
    low_ports: bool | None = None,
    timing: Timing = QUICK,
    maps: tuple[str, ...] = (),
) -> AsyncIterator[World]:
    """A node that runs what is bound to it, in `folder` (absent or empty)."""
    addresses = Addresses.claim(shared)
    registry = Registry(addresses=addresses)
    warden = Warden(folder)
    world = World(registry, folder)
    kubelet = Kubelet(
        registry, node=NODE, index=1, images=Catalog(maps, folder=folder), folder=folder, warden=warden, timing=timing,
        low_ports=low_ports,
    )  # fmt: skip
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(warden.run)
            await nursery.start(world.watch)
            await nursery.start(kubelet.run)
            yield world
            nursery.cancel_scope.cancel()
    finally:
        if addresses.listener is not None:
            addresses.listener.close()


@asynccontextmanager
async def warden_in(folder: Path) -> AsyncIterator[Warden]:
    """A warden alone."""
    warden = Warden(folder)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(warden.run)
            yield warden
            nursery.cancel_scope.cancel()
