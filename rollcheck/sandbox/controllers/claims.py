"""PersistentVolumeClaims: bound as soon as they are made.

A sandbox has no volumes and no storage classes: the kubelet gives every claim a folder of the sandbox. So that
manifests which claim storage run unchanged, every claim counts as bound at once, with what it asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

from rollcheck.sandbox.controllers.base import Controller, Handler
from rollcheck.sandbox.controllers.objects import is_deleting, status_of
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.resources import PVCS, Resource
from rollcheck.sandbox.trees import Json, name_of, namespace_of, uid_of


class ClaimController(Controller):
    """Binds claims."""

    component = "persistentvolume-controller"

    def watched(self) -> Mapping[Resource, Handler]:
        """Claims."""
        return {PVCS: self.wake}

    async def reconcile(self, key: Key) -> None:
        """Call the claim bound."""
        claim = self.registry.peek(PVCS, *key)
        if claim is None or is_deleting(claim) or status_of(claim).get("phase") == "Bound":
            return
        spec = claim["spec"]

        def bind(copy: Json) -> None:
            copy["spec"].setdefault("volumeName", f"pvc-{uid_of(claim)}")

        self.registry.modify(PVCS, namespace_of(claim), name_of(claim), bind, manager=self.manager)
        status: Json = {"phase": "Bound", "accessModes": spec.get("accessModes") or ["ReadWriteOnce"]}
        requests = (spec.get("resources") or {}).get("requests")
        if requests:
            status["capacity"] = requests
        self.set_status(PVCS, claim, status)
