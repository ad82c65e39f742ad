"""One pod on its node: from its binding to the moment its object is gone.

Source: Kubernetes 1.34, pkg/kubelet SyncPod, SyncTerminatingPod, SyncTerminatedPod (kubelet.go, pod_workers.go) and
status/status_manager.go. A pod that is deleted leaves `live` at whatever point it has reached; its processes run on and
`end` ends them.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import trio

from rollcheck.sandbox.addresses import NoAddress
from rollcheck.sandbox.kubelet.containers import Container
from rollcheck.sandbox.kubelet.ending import Turns, kill
from rollcheck.sandbox.kubelet.host import Host
from rollcheck.sandbox.kubelet.logs import log_folder
from rollcheck.sandbox.kubelet.prober import KINDS, Prober
from rollcheck.sandbox.kubelet.records import Record, Waiting
from rollcheck.sandbox.kubelet.statuses import View, pod_status
from rollcheck.sandbox.probes import resolve_port
from rollcheck.sandbox.resources import PODS, SERVICES
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.trees import Json, at
from rollcheck.sandbox.volumes import VolumeFailure, Volumes

PORTS_ANNOTATION = "sandbox.rollcheck/ports"
"""On a pod, '{"80": 10080}': where it listens for what its manifest calls port 80; EndpointSlices carry that port."""
DEFAULT_GRACE_S = 30
MOUNT_RETRY_MAX_S = 122.0
DEADLINE = ("Failed", "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")


class PodWorker:
    """One pod.

    Args:
        host: the node.
        pod: its object when it was bound.
    """

    def __init__(self, host: Host, pod: Json) -> None:
        self.host = host
        self.object = pod
        self.uid: str = pod["metadata"]["uid"]
        self.folder: Path = host.folder / "pods" / self.uid
        self.ip = ""
        self.ports: dict[int, int] = {}
        self.volumes: dict[str, Path] = {}
        self.containers = [Container(host, self, record) for record in records_of(pod)]
        self.probers = [
            Prober(self, container, kind)
            for container in self.containers
            for kind in KINDS
            if f"{kind}Probe" in container.record.spec
        ]
        self.networked = False
        self.terminal = False
        self.verdict: tuple[str, str, str] | None = None
        self.ending = False
        self.gone = False
        self.deleted = trio.Event()
        self.changed = trio.lowlevel.ParkingLot()
        self.life = trio.CancelScope()
        self.round = trio.CancelScope()
        self.living: trio.Nursery | None = None

    # What the API server tells

    def update(self, pod: Json) -> None:
        """The object has changed."""
        before, self.object = self.object, pod
        if "deletionTimestamp" in pod["metadata"]:
            self.delete(before)
        elif pod["spec"].get("readinessGates") and conditions_of(before) != conditions_of(pod):
            self.publish()

    def remove(self, pod: Json) -> None:
        """The object is gone, whatever still runs: there is nobody to report to."""
        before, self.object, self.gone = self.object, pod, True
        self.delete(before)

    def delete(self, before: Json) -> None:
        """Begin to end, or go on with less grace."""
        if not self.deleted.is_set():
            self.deleted.set()
            self.life.cancel()
            if not self.ending:
                return
        if self.grace() < grace_of(before):
            self.round.cancel()

    def grace(self) -> int:
        """Seconds that its containers have to end."""
        return grace_of(self.object)

    # Its life

    async def run(self) -> None:
        """Run it until its object is gone and nothing is left of it."""
        async with trio.open_nursery() as probing:
            for prober in self.probers:
                probing.start_soon(prober.run)
            with self.life:
                await self.live()
            await self.end()
            probing.cancel_scope.cancel()
        await self.bury()

    async def live(self) -> None:
        """Start everything and keep it running; returns when every container has ended for good."""
        with trio.move_on_after(self.object["spec"].get("activeDeadlineSeconds") or math.inf) as deadline:
            await self.host.pace.turn()
            self.publish()
            self.volumes = await self.mount()
            await self.connect()
            async with trio.open_nursery() as living:
                self.living = living
                if await self.initialize(living):
                    await self.run_main()
                living.cancel_scope.cancel()
        if deadline.cancelled_caught:
            self.verdict = DEADLINE
            self.host.event(self.object, "Normal", DEADLINE[1], DEADLINE[2])

    async def mount(self) -> dict[str, Path]:
        """Its volumes, as soon as all of them can be made."""
        meta = self.object["metadata"]
        lookup, claims = self.host.lookup(meta["namespace"]), self.host.folder / "claims"
        volumes = Volumes(self.object, self.folder / "volumes", claims=claims, lookup=lookup)
        wait = self.host.timing.mount_retry
        while True:
            try:
                return volumes.prepare()
            except VolumeFailure as e:
                message = f'MountVolume.SetUp failed for volume "{e.volume}" : {e}'
                self.host.event(self.object, "Warning", "FailedMount", message)
            await trio.sleep(wait)
            wait = min(2 * wait, MOUNT_RETRY_MAX_S)

    async def connect(self) -> None:
        """Its address and ports: what a runtime's sandbox is for."""
        while not self.ip:
            try:
                on_host = self.object["spec"].get("hostNetwork")
                self.ip = self.host.address if on_host else self.host.registry.addresses.pod(self.host.index)
            except NoAddress as e:
                self.host.event(self.object, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {e}")
                await trio.sleep(self.host.timing.resync)
        self.networked = True
        self.ports = self.host.real_ports(self.wanted_ports())
        if self.ports:
            self.annotate(json.dumps({str(port): real for port, real in self.ports.items()}))

    def wanted_ports(self) -> set[int]:
        """Every port that it may be asked at: those declared, those probed, those that its Services lead to."""
        ports = self.service_ports()
        for container in self.containers:
            spec = container.record.spec
            ports |= {int(port["containerPort"]) for port in spec.get("ports") or ()}
            for action in actions_of(spec):
                try:
                    ports.add(resolve_port(action["port"], spec))
                except LookupError:
                    continue
            image = self.host.images.find_quietly(spec["image"])
            ports |= set(image.ports) if image is not None else set()
        return ports

    def service_ports(self) -> set[int]:
        """The numbers among the target ports of the Services that select it."""
        meta = self.object["metadata"]
        labels = meta.get("labels") or {}
        ports = set()
        for service in self.host.registry.list(SERVICES, meta["namespace"]):
            selector = service["spec"].get("selector")
            if selector and selector.items() <= labels.items():
                targets = [port.get("targetPort", port["port"]) for port in service["spec"].get("ports") or ()]
                ports |= {target for target in targets if isinstance(target, int)}
        return ports

    def annotate(self, ports: str) -> None:
        """Tell where it really listens."""

        def change(pod: Json) -> None:
            if pod["metadata"]["uid"] == self.uid:
                pod["metadata"].setdefault("annotations", {})[PORTS_ANNOTATION] = ports

        self.write(change, "")

    async def initialize(self, living: trio.Nursery) -> bool:
        """Run the init containers one by one, start the sidecars among them; False when one failed for good."""
        for container in self.containers:
            record = container.record
            if not record.init:
                continue
            if await container.attempt():
                await self.host.relisted()
            self.publish()
            if record.sidecar:
                living.start_soon(container.keep)
                while not record.started:
                    await self.changed.park()
                continue
            await container.keep()
            if record.ended is None or record.ended.code != 0:
                return False
        return True

    async def run_main(self) -> None:
        """Start the main containers in order, then keep each of them until all have ended for good."""
        main = [container for container in self.containers if not container.record.init]
        async with trio.open_nursery() as keeping:
            if any([await container.attempt() for container in main]):
                await self.host.relisted()
            self.publish()
            for container in main:
                keeping.start_soon(container.keep)

    # Its end

    def restart(self, container: Container, kind: str) -> None:
        """A probe failed often enough: end the container; its policy says what then."""
        message = f"Container {container.name} failed {kind} probe"
        if container.restarts(137):
            message += ", will be restarted"
        own = container.record.spec[f"{kind}Probe"].get("terminationGracePeriodSeconds")
        if self.living is not None and not self.ending:
            container.restarting = True
            grace = self.grace() if own is None else int(own)
            self.living.start_soon(partial(kill, container, grace=grace, message=message))

    async def stop_after_failed_hook(self, container: Container) -> None:
        """End a container whose postStart hook failed."""
        await kill(container, grace=self.grace(), message="FailedPostStartHook")

    async def end(self) -> None:
        """End what still runs, in its order, and report how everything ended."""
        self.ending = True
        await self.host.pace.turn()
        self.publish()
        while True:
            with trio.CancelScope() as self.round:
                await self.kill_all()
            if not self.round.cancelled_caught:
                break
        await self.host.pace.turn()
        for container in self.containers:
            container.settle_exit()
            container.record.settle()
        self.networked, self.terminal = False, True
        self.publish()

    async def kill_all(self) -> None:
        """One round: every container that runs is ended, with the grace that there is now."""
        turns = Turns(self.containers) if any(c.record.sidecar for c in self.containers) else None
        async with trio.open_nursery() as killing:
            for container in self.containers:
                if container.record.running:
                    killing.start_soon(partial(kill, container, grace=self.grace(), turns=turns))

    async def bury(self) -> None:
        """Remove its files and, once it is deleted, its object and its logs; its address is free again."""
        await trio.to_thread.run_sync(partial(shutil.rmtree, self.folder, ignore_errors=True))
        await trio.sleep(self.host.timing.teardown)
        await self.deleted.wait()
        await self.host.pace.turn()
        if self.ip and self.ip != self.host.address:
            self.host.registry.addresses.release(self.ip)
        meta = self.object["metadata"]
        if not self.gone:
            try:
                self.host.registry.delete(PODS, meta["namespace"], meta["name"], grace=0, uid=self.uid)
            except ApiFailure as e:
                if e.code not in (404, 409):
                    raise
        logs = log_folder(self.host.folder, self.object)
        await trio.to_thread.run_sync(partial(shutil.rmtree, logs, ignore_errors=True))

    # What it tells the API server

    def publish(self) -> None:
        """Write its status, if anything in it has changed; ask containers that are not ready yet."""
        view = View(
            now=self.host.registry.clock.stamp(),
            host_ip=self.host.address,
            ip=self.ip,
            networked=self.networked,
            terminal=self.terminal,
            verdict=self.verdict,
        )
        records = [container.record for container in self.containers]

        def change(pod: Json) -> None:
            if pod["metadata"]["uid"] == self.uid:
                pod["status"] = pod_status(pod, records, view)

        self.write(change, "status")
        self.changed.unpark_all()
        for record in records:
            record.shown = record.running
        for prober in self.probers:
            record = prober.container.record
            if prober.kind == "readiness" and record.running and record.started and not record.ready:
                prober.trigger()

    def write(self, change: Callable[[Json], None], subresource: str) -> None:
        """Change the object, unless it is gone."""
        meta = self.object["metadata"]
        try:
            self.host.registry.modify(
                PODS, meta["namespace"], meta["name"], change, subresource=subresource, manager="kubelet"
            )
        except ApiFailure as e:
            if e.code != 404:
                raise


def records_of(pod: Json) -> list[Record]:
    """A record for every container of a manifest, init containers first."""
    spec = pod["spec"]
    init = spec.get("initContainers") or []
    waiting = Waiting("PodInitializing" if init else "ContainerCreating")
    return [
        *(Record(c, init=True, sidecar=c.get("restartPolicy") == "Always", state=waiting) for c in init),
        *(Record(c, state=waiting) for c in spec["containers"]),
    ]


def conditions_of(pod: Json) -> Any:
    """Its conditions, None while it has none."""
    return at(pod, "status", "conditions")


def actions_of(container: Json) -> list[Json]:
    """Every httpGet and tcpSocket of its probes."""
    probes = [container.get(f"{kind}Probe") or {} for kind in KINDS]
    return [probe[action] for probe in probes for action in ("httpGet", "tcpSocket") if action in probe]


def grace_of(pod: Json) -> int:
    """Seconds that a pod's containers have: what its deletion says, else its manifest."""
    seconds = pod["metadata"].get("deletionGracePeriodSeconds")
    if seconds is None:
        seconds = pod["spec"].get("terminationGracePeriodSeconds")
    return DEFAULT_GRACE_S if seconds is None else int(seconds)
