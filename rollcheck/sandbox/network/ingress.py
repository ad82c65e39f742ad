"""The ingress controller: follows Ingresses, Services and EndpointSlices, and serves them on one address.

It knows ready endpoints only, as ingress-nginx does, and learns of changes about once a second. Two classes are served,
`nginx` and `traefik`: they differ in whether a backend that fails is hidden by asking another (`rules`).
"""

from __future__ import annotations

import errno
import random
import socket
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio

from rollcheck.sandbox.network.endpoints import Endpoint
from rollcheck.sandbox.network.follow import follow
from rollcheck.sandbox.network.propagation import Draws, Lag
from rollcheck.sandbox.network.relay import relay
from rollcheck.sandbox.network.rules import CLASSES, Manner, Route, matching, port_name_of, routes_of
from rollcheck.sandbox.network.tables import EndpointTables, Key
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import INGRESS_CLASSES, INGRESSES, SERVICES
from rollcheck.sandbox.status import ApiFailure

Json = dict[str, Any]
HTTP = 80
_FOLLOWER = "ingress"


class Ingress:
    """Every Ingress of the cluster, behind one listening socket.

    Args:
        address: where clients come in.
        listener: of that address, closed at the end; None where somebody else serves what `routes` and `backends` say.
        lag: how late it follows endpoints.
    """

    def __init__(
        self,
        registry: Registry,
        address: tuple[str, int],
        listener: socket.socket | None,
        *,
        lag: Draws | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._registry = registry
        self._address = address
        self._listener = listener
        self._routes: dict[Key, tuple[Route, ...]] = {}
        self._tables = EndpointTables(
            registry, (_FOLLOWER,), lag or Lag(), chance or random.Random(), lambda _: self.on_change()
        )
        self._turns: dict[Key, int] = defaultdict(int)
        self.on_change: Callable[[], None] = lambda: None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        for name in CLASSES:
            with suppress(ApiFailure):
                self._registry.create(INGRESS_CLASSES, None, _ingress_class(name))
        async with trio.open_nursery() as nursery:
            await nursery.start(self._tables.run)
            await nursery.start(follow, self._registry, SERVICES, lambda *_: self.on_change())
            await nursery.start(follow, self._registry, INGRESSES, self._on_ingress)
            if self._listener is not None:
                nursery.start_soon(self._serve, self._listener)
            task_status.started()

    def routes(self) -> tuple[Route, ...]:
        """Every route of every Ingress."""
        return tuple(route for routes in self._routes.values() for route in routes)

    def backends(self, route: Route) -> list[Endpoint]:
        """The ready endpoints of a route, as far as this controller knows."""
        key = (route.backend.namespace, route.backend.service)
        service = self._registry.peek(SERVICES, *key)
        name = port_name_of(service, route.backend.port) if service else None
        return [] if name is None else [e for e in self._tables.of(_FOLLOWER, key).known.of(name) if e.ready]

    def find(self, host: str, path: str) -> tuple[Manner, list[Endpoint]] | None:
        """What `relay` asks for: round robin over the backends of the route."""
        route = matching(self.routes(), host, path)
        if route is None:
            return None
        backends = self.backends(route)
        key = (route.backend.namespace, route.backend.service)
        if backends:
            self._turns[key] = (self._turns[key] + 1) % len(backends)
        turn = self._turns[key]
        return route.manner, backends[turn:] + backends[:turn]

    async def _serve(self, listener: socket.socket) -> None:
        with listener:
            async with trio.open_nursery() as nursery:
                await self._accept(listener, nursery)

    async def _accept(self, listener: socket.socket, nursery: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                client, peer = listener.accept()
            except OSError as e:
                if e.errno in (errno.EMFILE, errno.ENFILE):
                    await trio.sleep(0.05)
                continue
            client.setblocking(False)
            nursery.start_soon(relay, trio.socket.from_stdlib_socket(client), peer[0], self.find)

    def _on_ingress(self, kind: str, raw: Json) -> None:
        key = (raw["metadata"]["namespace"], raw["metadata"]["name"])
        if kind == "DELETED":
            self._routes.pop(key, None)
        else:
            self._routes[key] = routes_of(raw)
            if self._routes[key]:
                self._publish(key, raw)
        self.on_change()

    def _publish(self, key: Key, raw: Json) -> None:
        """Write the address into its status, as a controller does that serves it."""
        host, port = self._address
        entry: Json = {"ip": host}
        if port != HTTP:
            entry["ports"] = [{"port": port, "protocol": "TCP"}]
        if ((raw.get("status") or {}).get("loadBalancer") or {}).get("ingress") != [entry]:
            with suppress(ApiFailure):  # it was deleted meanwhile
                self._registry.modify(INGRESSES, *key, lambda found: _balanced(found, entry), subresource="status")


def _ingress_class(name: str) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": name},
        "spec": {"controller": f"sandbox.rollcheck/{name}"},
    }


def _balanced(ingress: Json, entry: Json) -> None:
    ingress["status"] = {"loadBalancer": {"ingress": [entry]}}
