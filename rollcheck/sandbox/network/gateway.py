"""Where the sandbox's ingress answers, 127.K.0.2 on port 80 where that may be listened on, and who answers there."""

from __future__ import annotations

import random
from pathlib import Path

import trio

from rollcheck.errors import UsageError
from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.network.ingress import HTTP, Ingress
from rollcheck.sandbox.network.nginx import Nginx
from rollcheck.sandbox.network.propagation import Draws
from rollcheck.sandbox.network.proxy import MOVED_BY
from rollcheck.sandbox.network.sockets import free_port, listen, may_listen, why_not
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.warden import Warden


async def run_gateway(
    which: str,
    registry: Registry,
    *,
    warden: Warden,
    folder: Path,
    lag: Draws,
    low_ports: bool | None,
    chance: random.Random,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve Ingresses until cancelled, by our own proxy ("own") or the machine's nginx ("nginx").

    Raises:
        UsageError: somebody else listens there, or nginx does not start.
    """
    host, port = _address(registry.addresses, low_ports)
    try:
        listener = listen(host, port)
    except OSError as e:
        raise UsageError(f"the ingress: {why_not(e, host, port)}, or leave it out with --ingress none") from e
    if which == "own":
        await Ingress(registry, (host, port), listener, lag=lag, chance=chance).run(task_status=task_status)
        return
    listener.close()
    ingress = Ingress(registry, (host, port), None, lag=lag, chance=chance)
    nginx = Nginx(warden, folder, (host, port), ingress.routes, ingress.backends)
    ingress.on_change = nginx.changed
    async with trio.open_nursery() as nursery:
        await nursery.start(ingress.run)
        await nursery.start(nginx.run)
        task_status.started()


def _address(addresses: Addresses, low_ports: bool | None) -> tuple[str, int]:
    if addresses.shared:
        return addresses.api, free_port(addresses.api)
    host = f"127.{addresses.block}.0.2"
    low = may_listen(host, HTTP) if low_ports is None else low_ports
    return host, HTTP if low else HTTP + MOVED_BY
