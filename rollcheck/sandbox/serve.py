"""The composition root of the sandbox: settings in, a cluster that runs until it is cancelled.

Order: addresses are claimed, then registry, warden, API server, controllers, proxies, kubelets; then the objects of the
settings are created. Everything ends together, and the warden last: with it goes the folder.
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import trio

from rollcheck.openfiles import allow_files
from rollcheck.sandbox import state
from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.apiserver.kubeconfig import CONTEXT
from rollcheck.sandbox.apiserver.ownservice import keep_own_service
from rollcheck.sandbox.apiserver.server import VERSION, ApiServer
from rollcheck.sandbox.controllers.manager import Controllers
from rollcheck.sandbox.deploying import deploy
from rollcheck.sandbox.images import Catalog
from rollcheck.sandbox.kubelet import Kubelet
from rollcheck.sandbox.kubelet.logs import PodLogs
from rollcheck.sandbox.network.gateway import run_gateway
from rollcheck.sandbox.network.propagation import Draws, LagOnceUp
from rollcheck.sandbox.network.proxy import ServiceProxy
from rollcheck.sandbox.network.sockets import may_listen
from rollcheck.sandbox.pace import Pace
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.settings import Settings
from rollcheck.sandbox.waiting import wait_available, workloads_of
from rollcheck.sandbox.warden import Warden

FILES = 4096
"""What a sandbox may have open: two sockets for each connection of a load, watches, logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A sandbox that is ready.

    Attributes:
        version: gives the number of the newest write.
        warnings: sentences: what was left out, and which workloads are not up and why.
    """

    state: state.State
    version: Callable[[], int]
    warnings: tuple[str, ...] = ()


async def serve(settings: Settings, *, task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED) -> None:
    """Run a sandbox until cancelled; `started()` with it once it is ready.

    Raises:
        UsageError: a setting cannot be, or an object is one that the API server refuses.
    """
    settings.check()
    allow_files(FILES, "end other sandboxes")
    images = Catalog(settings.maps, folder=settings.workdir)
    state.clear(settings.folder)
    warden = Warden(settings.folder)
    addresses = Addresses.claim(settings.shared)
    assert addresses.listener is not None
    with addresses.listener:
        async with trio.open_nursery() as nursery:
            await nursery.start(warden.run)
            await _inside(settings, images, warden, addresses, task_status)


async def _inside(
    settings: Settings, images: Catalog, warden: Warden, addresses: Addresses, task_status: trio.TaskStatus[Running]
) -> None:
    """The cluster, while its warden lives."""
    registry = Registry(addresses=addresses)
    low_ports = may_listen(addresses.api, 1) if settings.low_ports is None else settings.low_ports
    nodes = {f"node-{i}": addresses.node(i) for i in range(1, settings.nodes + 1)}
    logs = PodLogs(registry, settings.folder)
    server = ApiServer(registry, token=secrets.token_urlsafe(24), logs=logs)
    chance, pace = random.Random(settings.seed), Pace()
    lag = LagOnceUp(settings.lag)
    proxy = _proxy(settings, registry, nodes, lag, low_ports, chance)
    assert addresses.listener is not None
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, trio.SocketListener(trio.socket.from_stdlib_socket(addresses.listener)))
        await nursery.start(keep_own_service, registry)
        controllers = Controllers(registry, shared=settings.shared, certificate=server.certificate, pace=pace)
        await nursery.start(controllers.run)
        await nursery.start(proxy.run)
        if settings.ingress != "none":
            gateway = partial(
                run_gateway,
                settings.ingress,
                registry,
                warden=warden,
                folder=settings.folder,
                lag=lag,
                low_ports=low_ports,
                chance=chance,
            )
            await nursery.start(gateway)
        for index, node in enumerate(nodes, 1):
            kubelet = Kubelet(
                registry,
                node=node,
                index=index,
                images=images,
                folder=settings.folder,
                warden=warden,
                low_ports=low_ports,
                pace=pace,
            )
            await nursery.start(kubelet.run)
        running = _state(registry, f"https://{server.address}", nodes)
        left_out = deploy(registry, settings.objects, settings.namespace)
        with state.held(settings.folder, running, server.kubeconfig()):
            unready = await wait_available(
                registry, workloads_of(settings.objects, settings.namespace), proxy.settled, settings.wait_s
            )
            lag.begin()
            task_status.started(Running(state=running, version=registry.version, warnings=(*left_out, *unready)))
            await trio.sleep_forever()


def _proxy(
    settings: Settings, registry: Registry, nodes: dict[str, str], lag: Draws, low_ports: bool, chance: random.Random
) -> ServiceProxy:
    return ServiceProxy(
        registry,
        nodes,
        client_node=f"node-{settings.client_node}",
        lag=lag,
        shared=settings.shared,
        low_ports=low_ports,
        chance=chance,
    )


def _state(registry: Registry, server: str, nodes: dict[str, str]) -> state.State:
    return state.State(
        pid=os.getpid(), server=server, context=CONTEXT, version=VERSION, nodes=nodes, started=registry.clock.stamp()
    )
