"""The root CA publisher: every Namespace has the certificate by which its pods know the API server."""

from __future__ import annotations

from collections.abc import Mapping

from rollcheck.sandbox.controllers.base import Controller, Handler
from rollcheck.sandbox.controllers.objects import is_deleting
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import CONFIG_MAPS, NAMESPACES, Resource
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, name_of, namespace_of

NAME = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootCaPublisher(Controller):
    """Keeps ConfigMap `kube-root-ca.crt` in every Namespace as it should be.

    Args:
        certificate: PEM.
    """

    component = "root-ca-certificate-publisher"

    def __init__(self, registry: Registry, certificate: str) -> None:
        super().__init__(registry)
        self._data = {"ca.crt": certificate}

    def watched(self) -> Mapping[Resource, Handler]:
        """Namespaces, and what became of its ConfigMaps."""
        return {NAMESPACES: self._namespace_changed, CONFIG_MAPS: self._config_map_changed}

    def _namespace_changed(self, change: Change) -> None:
        self.queue.add((name_of(change.object), NAME))

    def _config_map_changed(self, change: Change) -> None:
        if name_of(change.object) == NAME:
            self.queue.add((namespace_of(change.object), NAME))

    async def reconcile(self, key: Key) -> None:
        """See to one Namespace."""
        space = self.registry.peek(NAMESPACES, None, key[0])
        if space is None or is_deleting(space):
            return
        there = self.registry.peek(CONFIG_MAPS, *key)
        if there is None:
            metadata = {"name": NAME, "annotations": {"kubernetes.io/description": DESCRIPTION}}
            made = {"metadata": metadata, "data": self._data}
            self.registry.create(CONFIG_MAPS, key[0], made, manager=self.manager)
        elif there.get("data") != self._data:
            self.registry.modify(CONFIG_MAPS, *key, self._restore, manager=self.manager)

    def _restore(self, copy: Json) -> None:
        copy["data"] = self._data
