"""The Service by which pods find the API server: `kubernetes` in `default`, kept by the API server itself.

As kube-apiserver does it (`pkg/controlplane/controller/kubernetesservice`, `pkg/controlplane/reconcilers`): the first
address of the Services' network, port 443; behind it, without a selector, the server's own address and port. Looked
after every ten seconds, so a Service that somebody deletes comes back.
"""

from __future__ import annotations

from contextlib import suppress

import trio

from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES, Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.trees import Json

NAME, NAMESPACE, MANAGER = "kubernetes", "default", "kube-apiserver"
PORT = 443
LOOK_S = 10.0


def service_address(addresses: Addresses) -> str:
    """Where the Service is to answer."""
    return addresses.api if addresses.shared else str(addresses.services_network[1])


async def keep_own_service(
    registry: Registry, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Keep Service, Endpoints and EndpointSlice until cancelled; started once they are there."""
    _publish(registry)
    task_status.started()
    while True:
        await trio.sleep(LOOK_S)
        _publish(registry)


def _publish(registry: Registry) -> None:
    """Make what is missing, and put right who is behind the Service."""
    host, port = registry.addresses.api, registry.addresses.api_port
    if registry.peek(SERVICES, NAMESPACE, NAME) is None:
        with suppress(ApiFailure):  # its address is another's now: on a real cluster it stays away too
            registry.create(SERVICES, NAMESPACE, _service(service_address(registry.addresses), port), manager=MANAGER)
    _keep(registry, ENDPOINTS, "subsets", _endpoints(host, port))
    _keep(registry, ENDPOINT_SLICES, "endpoints", _slice(host, port))


def _keep(registry: Registry, resource: Resource, part: str, wanted: Json) -> None:
    there = registry.peek(resource, NAMESPACE, NAME)
    if there is None:
        registry.create(resource, NAMESPACE, wanted, manager=MANAGER)
    elif there.get(part) != wanted[part]:

        def restore(copy: Json) -> None:
            copy[part] = wanted[part]

        registry.modify(resource, NAMESPACE, NAME, restore, manager=MANAGER)


def _service(address: str, port: int) -> Json:
    return {
        "metadata": {"name": NAME, "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "sessionAffinity": "None",
            "ports": [{"name": "https", "protocol": "TCP", "port": PORT, "targetPort": port}],
        },
    }


def _endpoints(host: str, port: int) -> Json:
    return {
        "metadata": {"name": NAME, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": host}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    }


def _slice(host: str, port: int) -> Json:
    return {
        "metadata": {"name": NAME, "labels": {"kubernetes.io/service-name": NAME}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
