"""What the pods of one node share: the way to the API, to images, to processes, and the node's own figures."""

from __future__ import annotations

import random
import shlex
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from rollcheck.sandbox.environment import Lookup
from rollcheck.sandbox.events import EventRecorder
from rollcheck.sandbox.images import Catalog, Image
from rollcheck.sandbox.kubelet.restarts import Timing
from rollcheck.sandbox.pace import Pace
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import CONFIG_MAPS, SECRETS
from rollcheck.sandbox.trees import Json
from rollcheck.sandbox.warden import PROGRAM, Warden

APPS = PROGRAM.with_name("apps")
SHARED_PORTS = range(20000, 30000)
"""Below what the kernel gives to outgoing connections, and below the node ports."""
_NEXT_PORT = [random.choice(SHARED_PORTS)]
"""Shared by all nodes, as the address is; another sandbox on this machine most likely begins elsewhere."""
MOVED_BY = 10000
TURNS, TURN_S = 64, 0.003
"""So that a hundred pods that start together do not hold up the API server for all of them at once."""


@dataclass(kw_only=True, eq=False)
class Host:
    """One node, as its pods see it.

    Attributes:
        folder: of the sandbox; the node's pods lie in `folder / node`.
        address: of the node.
        first_port: the lowest port that its processes may listen on.
    """

    registry: Registry
    recorder: EventRecorder
    images: Catalog
    warden: Warden
    folder: Path
    timing: Timing
    node: str
    index: int
    address: str
    first_port: int
    turn: int = 0
    pace: Pace = field(default_factory=Pace)
    _next_port: list[int] = field(default_factory=lambda: _NEXT_PORT)

    def lookup(self, namespace: str) -> Lookup:
        """Finds ConfigMaps and Secrets of a namespace."""
        kinds = {"configmap": CONFIG_MAPS, "secret": SECRETS}
        return lambda kind, name: self.registry.peek(kinds[kind], namespace, name)

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self.registry.clock.now().timestamp()

    async def relisted(self) -> None:
        """Wait for the kubelet's next look at its runtime: one rhythm for all pods, of which it takes one by one."""
        period = self.timing.relist
        self.turn = (self.turn + 1) % TURNS
        await trio.sleep(period - trio.current_time() % period + self.turn * TURN_S if period else 0)
        await self.pace.turn()

    def event(self, pod: Json, kind: str, reason: str, message: str, *, field_path: str = "") -> None:
        """Tell of a pod or, with `field_path`, of one of its containers."""
        self.recorder.emit(pod, kind, reason, message, field_path=field_path)

    def real_ports(self, ports: Iterable[int]) -> dict[int, int]:
        """Those of a pod's ports that have to be others: port of the manifest → port that is bound.

        All of them where pods share an address; else those that need root, which move up by MOVED_BY.
        """
        if self.registry.addresses.shared:
            return {port: self.free_port() for port in sorted(set(ports))}
        return {port: port + MOVED_BY for port in sorted(set(ports)) if port < self.first_port}

    def free_port(self) -> int:
        """A port of 127.0.0.1 that nobody listens on now."""
        for _ in SHARED_PORTS:
            port = self._next_port[0]
            self._next_port[0] = port + 1 if port + 1 in SHARED_PORTS else SHARED_PORTS.start
            with socket.socket() as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    trial.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
        raise OSError("no port of 127.0.0.1 is free")

    def programs_folder(self, image: Image) -> Path:
        """A folder for the PATH in which the image's programs can be executed by name, from a shell for example."""
        names = sorted(name for name in image.programs if "/" not in name)
        folder = self.folder / "programs" / "-".join(names or ["none"])
        if not folder.exists():
            folder.mkdir(parents=True)
            for name in names:
                script = folder / name
                program = f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(APPS / image.programs[name]))}.py"
                script.write_text(
                    f'#!/bin/sh\nROLLCHECK_PROGRAM={name}\nexport ROLLCHECK_PROGRAM\nexec {program} "$@"\n'
                )
                script.chmod(0o755)
        return folder
