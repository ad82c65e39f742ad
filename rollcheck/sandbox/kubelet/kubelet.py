"""The pods bound to one node, and the node's own objects."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio

from rollcheck.sandbox.events import EventRecorder
from rollcheck.sandbox.images import Catalog
from rollcheck.sandbox.kubelet.host import Host
from rollcheck.sandbox.kubelet.node import LEASE_NAMESPACE, lease_object, node_object
from rollcheck.sandbox.kubelet.pod import PodWorker
from rollcheck.sandbox.kubelet.restarts import Timing
from rollcheck.sandbox.pace import Pace
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import LEASES, NODES, PODS
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.trees import Json
from rollcheck.sandbox.warden import Warden

LAST_ROOT_PORT = 1023


class Kubelet:
    """The kubelet of one node.

    Args:
        registry: where its pods come from and their statuses go.
        node: its name.
        index: its number, from 1 on, which gives it and its pods their addresses.
        images: what can be run.
        folder: the sandbox's, in which pods have theirs; it is the warden's folder.
        warden: starts its processes.
        timing: its own seconds.
        pace: the order in which its pods and others take their turns.
        low_ports: whether its processes may listen on ports below 1024; found out when None.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        node: str,
        index: int,
        images: Catalog,
        folder: Path,
        warden: Warden,
        timing: Timing | None = None,
        low_ports: bool | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.host = Host(
            registry=registry,
            recorder=EventRecorder(registry, "kubelet", node),
            images=images,
            warden=warden,
            folder=folder.resolve(),
            timing=timing or Timing(),
            pace=pace or Pace(),
            node=node,
            index=index,
            address=registry.addresses.node(index),
            first_port=first_port() if low_ports is None else (1 if low_ports else LAST_ROOT_PORT + 1),
        )
        self.workers: dict[str, PodWorker] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Register the node, then run what is bound to it, until cancelled. Processes are left to the warden."""
        self.register()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.renew)
            task_status.started()
            while True:
                try:
                    await self.follow(nursery)
                except ApiFailure as e:
                    if e.code != 410:
                        raise

    def register(self) -> None:
        """Create the Node, or take over the one that is there."""
        registry, name = self.host.registry, self.host.node
        new = node_object(name, self.host.address, registry.clock.stamp())
        if registry.peek(NODES, None, name) is None:
            made = registry.create(NODES, None, new, manager="kubelet")
        else:

            def change(node: Json) -> None:
                node["status"] = new["status"]

            made = registry.modify(NODES, None, name, change, subresource="status", manager="kubelet")
        self.host.event(made, "Normal", "Starting", "Starting kubelet.")
        lease = lease_object(name, made["metadata"]["uid"], registry.clock.micro())
        if registry.peek(LEASES, LEASE_NAMESPACE, name) is None:
            registry.create(LEASES, LEASE_NAMESPACE, lease, manager="kubelet")

    async def renew(self) -> None:
        """Renew the node's Lease."""
        registry = self.host.registry

        def change(lease: Json) -> None:
            lease["spec"]["renewTime"] = registry.clock.micro()

        while True:
            await trio.sleep(self.host.timing.lease)
            if registry.peek(LEASES, LEASE_NAMESPACE, self.host.node) is not None:
                registry.modify(LEASES, LEASE_NAMESPACE, self.host.node, change, manager="kubelet")

    async def follow(self, nursery: trio.Nursery) -> None:
        """Take up the pods that are there, then every change of one."""
        registry = self.host.registry
        fields = f"spec.nodeName={self.host.node}"
        changes = registry.watch(PODS, fields=fields)
        there = registry.list(PODS, fields=fields)
        for uid in set(self.workers) - {pod["metadata"]["uid"] for pod in there}:
            self.workers[uid].remove(self.workers[uid].object)
        for pod in there:
            self.take(pod, nursery)
        async for change in changes:
            if change.type == "DELETED":
                worker = self.workers.get(change.object["metadata"]["uid"])
                if worker is not None:
                    worker.remove(change.object)
            elif change.type != "BOOKMARK":
                self.take(change.object, nursery)

    def take(self, pod: Json, nursery: trio.Nursery) -> None:
        """A pod as it is now: begin to run it, or tell who runs it."""
        worker = self.workers.get(pod["metadata"]["uid"])
        deleted = "deletionTimestamp" in pod["metadata"]
        if worker is not None:
            worker.update(pod)
        elif deleted or pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            worker = self.workers[pod["metadata"]["uid"]] = PodWorker(self.host, pod)
            nursery.start_soon(self.work, worker)
            if deleted:
                worker.update(pod)

    async def work(self, worker: PodWorker) -> None:
        """Run one pod to its end."""
        await worker.run()
        self.workers.pop(worker.uid, None)


def first_port() -> int:
    """The lowest port that this user's processes may listen on."""
    if os.geteuid() == 0:
        return 1
    if sys.platform.startswith("linux"):
        try:
            return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
        except (OSError, ValueError):
            pass
    return LAST_ROOT_PORT + 1
