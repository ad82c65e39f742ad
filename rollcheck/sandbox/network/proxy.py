"""The Services of the cluster: follows them and their EndpointSlices, and keeps every node's table of endpoints.

Each node learns of a change after a lag of its own; until then its table has endpoints that are gone, and lacks new
ones. Connections that are established live on whatever the table says.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import trio

from rollcheck.sandbox.events import EventRecorder
from rollcheck.sandbox.network.endpoints import Endpoint, chosen
from rollcheck.sandbox.network.follow import follow
from rollcheck.sandbox.network.frontend import Frontend
from rollcheck.sandbox.network.liveness import Address, Liveness
from rollcheck.sandbox.network.places import PORTS_ANNOTATION, Place, places_of
from rollcheck.sandbox.network.propagation import Draws, Lag
from rollcheck.sandbox.network.sockets import ListenerTable, free_port, may_listen
from rollcheck.sandbox.network.tables import EndpointTables, Key
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import SERVICES
from rollcheck.sandbox.status import ApiFailure

Json = dict[str, Any]
LOW_PORTS = 1024
MOVED_BY = 10_000
"""A port that only root may listen on is moved by this: 80 answers at 10080."""


class ServiceProxy:
    """kube-proxy of every node at once.

    Args:
        nodes: name → address at which its node ports answer, in order; they may share one.
        client_node: the node whose table decides for clients of cluster IPs; the first one when empty.
        lag: how late each node follows.
        shared: whether every address is the same one, so that Services need a free port each.
        low_ports: whether ports below 1024 may be listened on; found out when None.
        chance: draws lags and endpoints.
    """

    def __init__(
        self,
        registry: Registry,
        nodes: Mapping[str, str],
        *,
        client_node: str = "",
        lag: Draws | None = None,
        shared: bool = False,
        low_ports: bool | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._registry = registry
        self._nodes = dict(nodes)
        self._client_node = client_node or next(iter(nodes), "")
        self._shared = shared
        self._low_ports = low_ports
        self._chance = chance or random.Random()
        self._events = EventRecorder(registry, "kube-proxy")
        self._listeners = ListenerTable()
        self._liveness = Liveness(trio.current_time, self._listeners)
        self._tables = EndpointTables(registry, tuple(nodes), lag or Lag(), self._chance, self._route)
        self._fronts: dict[Place, tuple[Frontend, trio.CancelScope]] = {}
        self._moved: dict[Key, dict[int, int]] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow Services and slices until cancelled; `started()` once those that exist are served."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._tables.run)
                await nursery.start(
                    follow, self._registry, SERVICES, lambda kind, service: self._on_service(nursery, kind, service)
                )
                task_status.started()
        finally:
            self._listeners.close()

    def known_to(self, node: str, namespace: str, service: str, port_name: str = "") -> tuple[Endpoint, ...]:
        """The endpoints to which that node would send a new connection now."""
        return chosen(self._tables.of(node, (namespace, service)).known.of(port_name))

    def settled(self) -> bool:
        """Whether every node knows all there is to know."""
        return self._tables.settled()

    def _on_service(self, nursery: trio.Nursery, kind: str, service: Json) -> None:
        key = (service["metadata"]["namespace"], service["metadata"]["name"])
        wanted = set() if kind == "DELETED" else set(self._places(key, service))
        for place in [p for p in self._fronts if p.service == key and p not in wanted]:
            self._fronts.pop(place)[1].cancel()
        for place in wanted - set(self._fronts):
            front, scope = Frontend(place, self._liveness, self._chance, self._problem), trio.CancelScope()
            self._fronts[place] = (front, scope)
            nursery.start_soon(_serve, front, scope, nursery)
        if kind == "DELETED":
            self._moved.pop(key, None)
            self._tables.forget(key)
        self._route(key)

    def _places(self, key: Key, service: Json) -> tuple[Place, ...]:
        return places_of(service, self._nodes, self._client_node, self._moves(key, service))

    def _moves(self, key: Key, service: Json) -> dict[int, int]:
        """Port → port to use instead, and written on the Service, for ports that cannot be had."""
        spec = service.get("spec") or {}
        address = str(spec.get("clusterIP") or "")
        moved = self._moved.setdefault(key, {})
        if address in ("", "None"):
            return moved
        for port in (int(raw["port"]) for raw in spec.get("ports") or ()):
            if port not in moved and (instead := self._instead(address, port)):
                moved[port] = instead
        text = json.dumps({str(port): instead for port, instead in sorted(moved.items())})
        if moved and (service["metadata"].get("annotations") or {}).get(PORTS_ANNOTATION) != text:
            with suppress(ApiFailure):  # it was deleted meanwhile
                self._registry.modify(SERVICES, *key, lambda raw: _annotate(raw, text))
        return moved

    def _instead(self, address: str, port: int) -> int:
        if self._shared:
            return free_port(address)
        if port >= LOW_PORTS:
            return 0
        if self._low_ports is None:
            self._low_ports = may_listen(address, port)
        return 0 if self._low_ports else port + MOVED_BY

    def _route(self, key: Key) -> None:
        """Tell the Service's front ends what their nodes know."""
        for place, (front, _) in self._fronts.items():
            if place.service == key:
                lagging = self._tables.of(place.node, key)
                local = place.node if place.local else ""
                table = chosen(lagging.known.of(place.port_name), local)
                front.route(table, _stale(table, lagging.newest.of(place.port_name)), silent=place.local)

    def _problem(self, place: Place, trouble: str) -> None:
        service = self._registry.peek(SERVICES, *place.service)
        if trouble and service is not None:
            self._events.emit(service, "Warning", "PortNotAvailable", trouble)


async def _serve(front: Frontend, scope: trio.CancelScope, nursery: trio.Nursery) -> None:
    with scope:
        await front.run(nursery)


def _annotate(service: Json, text: str) -> None:
    service["metadata"].setdefault("annotations", {})[PORTS_ANNOTATION] = text


def _stale(table: tuple[Endpoint, ...], newest: tuple[Endpoint, ...]) -> frozenset[Address]:
    """Of a node's table, what is no ready endpoint any more."""
    ready = {e.address for e in newest if e.ready}
    return frozenset(e.address for e in table if e.address not in ready)
