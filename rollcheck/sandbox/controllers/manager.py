"""All controllers of a sandbox, running."""

from __future__ import annotations

import trio

from rollcheck.sandbox.controllers.autoscaler import AutoscalerController
from rollcheck.sandbox.controllers.base import Controller, Handler, feed
from rollcheck.sandbox.controllers.claims import ClaimController
from rollcheck.sandbox.controllers.daemonsets import DaemonSetController
from rollcheck.sandbox.controllers.deployments import DeploymentController
from rollcheck.sandbox.controllers.disruption import DisruptionController
from rollcheck.sandbox.controllers.endpointslices import EndpointSliceController
from rollcheck.sandbox.controllers.garbage import GarbageCollector
from rollcheck.sandbox.controllers.jobs import JobController
from rollcheck.sandbox.controllers.legacy import EndpointsController
from rollcheck.sandbox.controllers.namespaces import NamespaceController
from rollcheck.sandbox.controllers.nodes import NodeController
from rollcheck.sandbox.controllers.replicasets import ReplicaSetController
from rollcheck.sandbox.controllers.rootca import RootCaPublisher
from rollcheck.sandbox.controllers.scheduler import Scheduler
from rollcheck.sandbox.controllers.statefulsets import StatefulSetController
from rollcheck.sandbox.pace import Pace
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import Resource

PLAIN: tuple[type[Controller], ...] = (
    DeploymentController,
    ReplicaSetController,
    StatefulSetController,
    DaemonSetController,
    JobController,
    DisruptionController,
    Scheduler,
    GarbageCollector,
    NamespaceController,
    NodeController,
    AutoscalerController,
    ClaimController,
)


class Controllers:
    """Every controller and the scheduler, over one registry.

    Args:
        certificate: of the API server, PEM; published where there is one.
    """

    def __init__(
        self, registry: Registry, *, shared: bool = False, certificate: str = "", pace: Pace | None = None
    ) -> None:
        self._registry = registry
        self._controllers: list[Controller] = [kind(registry) for kind in PLAIN]
        self._controllers.append(EndpointSliceController(registry, shared=shared))
        self._controllers.append(EndpointsController(registry, shared=shared))
        if certificate:
            self._controllers.append(RootCaPublisher(registry, certificate))
        pace = pace or Pace()
        for controller in self._controllers:
            controller.pace = pace

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run them until cancelled; started once each has seen all there is."""
        handlers: dict[Resource, list[Handler]] = {}
        for controller in self._controllers:
            for resource, handler in controller.watched().items():
                handlers.setdefault(resource, []).append(handler)
        async with trio.open_nursery() as nursery:
            for resource, wanted in handlers.items():
                await nursery.start(feed, self._registry, resource, wanted)
            for controller in self._controllers:
                nursery.start_soon(controller.run)
            task_status.started()
