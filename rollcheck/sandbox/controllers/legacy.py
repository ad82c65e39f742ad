"""Endpoints, which EndpointSlices replaced: kept for those who still read them.

Deprecated since 1.33 and still written there. Terminating pods are left out at once, as they were before slices could
say more of them. Written a moment later than slices, so that a rollout costs one write where it would cost many.
"""

from __future__ import annotations

from collections.abc import Mapping

from rollcheck.sandbox.controllers import endpoints
from rollcheck.sandbox.controllers.base import Controller, Handler, namespace_is_ending
from rollcheck.sandbox.controllers.endpointslices import services_that_show
from rollcheck.sandbox.controllers.objects import is_deleting, key_of, labels_of, spec_of
from rollcheck.sandbox.controllers.pods import is_ready, node_of
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import ENDPOINTS, PODS, SERVICES, Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, name_of, namespace_of, uid_of

DELAY_S = 0.3
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
NAME = "endpoint-controller"


class EndpointsController(Controller):
    """Keeps one Endpoints object a Service."""

    component = NAME

    def __init__(self, registry: Registry, *, shared: bool = False) -> None:
        super().__init__(registry)
        self.shared = shared

    def watched(self) -> Mapping[Resource, Handler]:
        """Services, and pods as far as endpoints show them."""
        return {SERVICES: self._service_changed, PODS: self._pod_changed}

    def _service_changed(self, change: Change) -> None:
        self.queue.add_after(key_of(change.object), DELAY_S)

    def _pod_changed(self, change: Change) -> None:
        for service in services_that_show(self.registry, change):
            self.queue.add_after(key_of(service), DELAY_S)

    async def reconcile(self, key: Key) -> None:
        """Write the Service's pods into its Endpoints; those of a Service that is gone go as well."""
        service = self.registry.peek(SERVICES, *key)
        there = self.registry.peek(ENDPOINTS, *key)
        if service is None:
            if there is not None and labels_of(there).get(MANAGED_BY) == NAME:
                self.registry.delete(ENDPOINTS, *key)
            return
        spec = spec_of(service)
        if spec.get("type") == "ExternalName" or not spec.get("selector"):
            return
        wanted = {"labels": _labels(service), "subsets": self._subsets(service)}
        if there is None:
            self._create(service, wanted)
            return

        def change(copy: Json) -> None:
            copy["metadata"]["labels"] = wanted["labels"]
            if wanted["subsets"]:
                copy["subsets"] = wanted["subsets"]
            else:
                copy.pop("subsets", None)

        self.registry.modify(ENDPOINTS, *key, change, manager=self.manager)

    def _create(self, service: Json, wanted: Json) -> None:
        obj: Json = {"metadata": {"name": name_of(service), "labels": wanted["labels"]}}
        if wanted["subsets"]:
            obj["subsets"] = wanted["subsets"]
        try:
            self.registry.create(ENDPOINTS, namespace_of(service), obj, manager=self.manager)
        except ApiFailure as failure:
            if not namespace_is_ending(failure):
                raise

    def _subsets(self, service: Json) -> list[Json]:
        """Pods with the same ports stand together, ready and not ready apart."""
        selector = service["spec"]["selector"].items()
        publishes = bool(service["spec"].get("publishNotReadyAddresses"))
        groups: dict[str, tuple[list[Json], dict[str, list[Json]]]] = {}
        for pod in self.registry.list(PODS, namespace_of(service)):
            if not selector <= labels_of(pod).items() or not endpoints.belongs(pod):
                continue
            if is_deleting(pod) and not publishes:
                continue
            ports = endpoints.ports_for(pod, service, shared=self.shared)
            _, group = groups.setdefault(endpoints.ports_key(ports), (ports, {}))
            side = "addresses" if publishes or is_ready(pod) else "notReadyAddresses"
            group.setdefault(side, []).extend(_addresses(pod, service))
        return [
            {
                **{side: sorted(found, key=lambda a: str(a["ip"])) for side, found in sorted(sides.items())},
                **({"ports": [{k: v for k, v in port.items() if v != ""} for port in ports]} if ports else {}),
            }
            for ports, sides in groups.values()
        ]


def _addresses(pod: Json, service: Json) -> list[Json]:
    target = {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": uid_of(pod)}
    hostname = pod["spec"].get("hostname") if pod["spec"].get("subdomain") == name_of(service) else None
    extra: Json = {"hostname": hostname} if hostname else {}
    if node_of(pod):
        extra["nodeName"] = node_of(pod)
    return [{"ip": address, **extra, "targetRef": target} for address in endpoints.addresses_of(pod)[:1]]


def _labels(service: Json) -> dict[str, str]:
    labels = {**labels_of(service), MANAGED_BY: NAME}
    if service["spec"].get("clusterIP") in (None, "", "None"):
        labels[endpoints.HEADLESS] = ""
    return labels
