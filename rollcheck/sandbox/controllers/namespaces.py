"""The life of a Namespace: what every one has from its start, and how one is emptied before it goes."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from rollcheck.sandbox.controllers.base import Controller, Handler
from rollcheck.sandbox.controllers.objects import is_deleting
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.resources import NAMESPACES, PODS, RESOURCES, SERVICE_ACCOUNTS, Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, name_of, namespace_of

BREATH = 8
AGAIN_S = 0.5
FINALIZER = "kubernetes"


class NamespaceController(Controller):
    """Gives Namespaces their default ServiceAccount, and empties those that are being deleted."""

    component = "namespace-controller"

    def watched(self) -> Mapping[Resource, Handler]:
        """Namespaces, and the end of pods, for which the end of theirs waits."""
        return {NAMESPACES: self.wake, PODS: self._pod_changed}

    def _pod_changed(self, change: Change) -> None:
        if change.type == "DELETED":
            self.queue.add(("", namespace_of(change.object)))

    async def reconcile(self, key: Key) -> None:
        """See to one Namespace."""
        space = self.registry.peek(NAMESPACES, None, key[1])
        if space is None:
            return
        if not is_deleting(space):
            self._give_account(key[1])
        elif await self._empty(key[1]):
            self._finish(space)
        else:
            self.queue.add_after(key, AGAIN_S)

    def _give_account(self, namespace: str) -> None:
        if self.registry.peek(SERVICE_ACCOUNTS, namespace, "default") is None:
            account = {"metadata": {"name": "default", "namespace": namespace}}
            self.registry.create(SERVICE_ACCOUNTS, namespace, account, manager=self.manager)

    async def _empty(self, namespace: str) -> bool:
        """Delete everything in it; whether nothing is left."""
        left = 0
        for resource in RESOURCES:
            if not resource.namespaced:
                continue
            for number, obj in enumerate(self.registry.list(resource, namespace), 1):
                if not is_deleting(obj):
                    self._delete(resource, obj)
                if number % BREATH == 0:
                    await trio.lowlevel.checkpoint()
            left += len(self.registry.list(resource, namespace))
        return left == 0

    def _delete(self, resource: Resource, obj: Json) -> None:
        try:
            self.registry.delete(resource, namespace_of(obj), name_of(obj), propagation="Background")
        except ApiFailure as failure:
            if failure.code != 404:
                raise

    def _finish(self, space: Json) -> None:
        def change(copy: Json) -> None:
            copy["spec"]["finalizers"] = [f for f in copy["spec"].get("finalizers") or () if f != FINALIZER]

        self.registry.modify(NAMESPACES, None, name_of(space), change, subresource="finalize", manager=self.manager)
