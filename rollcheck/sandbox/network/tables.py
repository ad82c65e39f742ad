"""What each node, or the ingress, knows of the endpoints of every Service: told by EndpointSlices, and late."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import trio

from rollcheck.sandbox.network.endpoints import ServiceEndpoints
from rollcheck.sandbox.network.follow import follow
from rollcheck.sandbox.network.propagation import Draws, Lagging
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import ENDPOINT_SLICES

Json = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name of a Service."""
SERVICE_LABEL = "kubernetes.io/service-name"


class EndpointTables:
    """Follows every EndpointSlice, for followers that learn of each change after a lag of their own.

    Args:
        followers: their names.
        lag: how late they are.
        chance: draws the lags.
        changed: called with a Service when its slices became others, and when a follower has learned of that.
    """

    def __init__(
        self,
        registry: Registry,
        followers: Sequence[str],
        lag: Draws,
        chance: random.Random,
        changed: Callable[[Key], None],
    ) -> None:
        self._registry = registry
        self._followers = tuple(followers)
        self._lag = lag
        self._chance = chance
        self._changed = changed
        self._slices: dict[Key, dict[str, Json]] = defaultdict(dict)
        self._known: dict[tuple[str, Key], Lagging[ServiceEndpoints]] = {}
        self._sent = trio.Event()
        self._running = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow until cancelled; `started()` once those that exist are known, which are so at once."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._arrivals)
            await nursery.start(follow, self._registry, ENDPOINT_SLICES, self._on_slice)
            self._arrive()
            self._running = True
            task_status.started()

    def of(self, follower: str, service: Key) -> Lagging[ServiceEndpoints]:
        """What that follower knows of the Service, and what is on its way."""
        return self._known.setdefault((follower, service), Lagging(ServiceEndpoints()))

    def settled(self) -> bool:
        """Whether everybody knows all there is to know."""
        return self._due() == float("inf")

    def forget(self, service: Key) -> None:
        """The Service is gone."""
        self._slices.pop(service, None)
        for follower in self._followers:
            self._known.pop((follower, service), None)

    def _due(self) -> float:
        return min((lagging.due for lagging in self._known.values()), default=float("inf"))

    def _on_slice(self, kind: str, raw: Json) -> None:
        metadata = raw["metadata"]
        service = (metadata["namespace"], (metadata.get("labels") or {}).get(SERVICE_LABEL, ""))
        if kind == "DELETED":
            self._slices[service].pop(metadata["name"], None)
        else:
            self._slices[service][metadata["name"]] = raw
        now, state = trio.current_time(), ServiceEndpoints(self._slices[service].values())
        for follower in self._followers:
            lag = self._lag.draw(self._chance) if self._running else 0.0
            self.of(follower, service).send(state, now + lag)
        self._changed(service)
        self._sent.set()

    async def _arrivals(self) -> None:
        """Let each follower know what is due."""
        while True:
            self._arrive()
            self._sent = trio.Event()
            with trio.CancelScope(deadline=self._due()):
                await self._sent.wait()

    def _arrive(self) -> None:
        now = trio.current_time()
        for service in {service for (_, service), lagging in self._known.items() if lagging.arrive(now)}:
            self._changed(service)
