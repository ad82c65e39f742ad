"""A namespace on a stage: steps are taken in it, and everything that a watcher sees of it is kept."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from rollcheck.errors import ClusterRefused
from rollcheck.kube.access import load_access
from rollcheck.kube.api import Api
from tests.sandbox.conformance.telling import Names, Seen, tell

Json = dict[str, Any]
GROUPS = {
    "pods": "/api/v1",
    "services": "/api/v1",
    "configmaps": "/api/v1",
    "events": "/api/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "poddisruptionbudgets": "/apis/policy/v1",
}
PLURALS = {
    "Pod": "pods",
    "Service": "services",
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "PodDisruptionBudget": "poddisruptionbudgets",
}
WATCHED = ("pods", "endpointslices", "events", "deployments", "replicasets")
PATIENCE_S = 90.0
SETTLE_S = 0.8
"""How long no object may change before controllers have followed what ended a story."""
QUIET_S = 1.5
"""How long nothing may happen before a story counts as over: events come late."""


class Stage:
    """One namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.lines: list[Seen] = []
        self.answers: list[Json] = []
        self._over = False
        self._now: dict[tuple[str, str], Json] = {}
        self._changed = trio.Event()

    async def follow(self, resource: str, *, task_status: trio.TaskStatus[None]) -> None:
        """Watch a resource until cancelled."""
        path = self.path(resource)
        listing = await self.api.list_all(path)
        assert not listing.items, f"{resource} were there already: {listing.items}"
        params = {"watch": "1", "resourceVersion": listing.resource_version, "timeoutSeconds": "600"}
        async with self.api.stream(path, params, read_s=600) as pieces:
            task_status.started()
            rest = b""
            async for piece in pieces:
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._take(resource, json.loads(line))

    def _take(self, resource: str, raw: Json) -> None:
        name = raw["object"]["metadata"]["name"]
        if not self._over or resource == "events":  # events come late
            self.lines.append(Seen(trio.current_time(), resource, raw["type"], raw["object"]))
        if raw["type"] == "DELETED":
            self._now.pop((resource, name), None)
        else:
            self._now[resource, name] = raw["object"]
        self._changed.set()
        self._changed = trio.Event()

    def path(self, resource: str, name: str = "") -> str:
        """Of a resource in this namespace, or of one object."""
        return f"{GROUPS[resource]}/namespaces/{self.namespace}/{resource}" + (f"/{name}" if name else "")

    async def create(self, obj: Json) -> None:
        """Create it; a refusal is kept as an answer."""
        resource = PLURALS[obj["kind"]]
        await self._answered(f"create {resource}", self.api.create(self.path(resource), obj))

    async def patch(self, resource: str, name: str, body: Json) -> None:
        """Patch it strategically; a refusal is kept."""
        await self._answered(f"patch {resource}", self.api.patch(self.path(resource, name), body))

    async def delete(self, resource: str, name: str, options: Json | None = None) -> None:
        """Delete it; a refusal is kept."""
        await self._answered(f"delete {resource}", self.api.delete(self.path(resource, name), options))

    async def evict(self, pod: str) -> None:
        """Evict a pod; a refusal is kept."""
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace}}
        await self._answered("evict", self.api.create(self.path("pods", pod) + "/eviction", body))

    async def _answered(self, what: str, asked: Awaitable[tuple[int, Json]]) -> None:
        try:
            status, _ = await asked
            self.answers.append({"asked": what, "status": status})
        except ClusterRefused as e:
            self.answers.append({"asked": what, "status": e.status, "reason": e.reason, "message": str(e)})

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for it."""
        with trio.fail_after(PATIENCE_S):
            while not true():
                await self._changed.wait()

    async def to_the_end(self, true: Callable[[], bool]) -> None:
        """Wait for it; what happens to objects afterwards is not told any more."""
        await self.until(true)
        await self.quiet(SETTLE_S, events=False)
        self._over = True

    async def until_object(self, resource: str, name: str, true: Callable[[Json], bool]) -> None:
        """Wait for it to be true of an object that is not watched."""
        with trio.fail_after(PATIENCE_S):
            while not true(await self.api.get(self.path(resource, name))):
                await trio.sleep(0.1)

    async def quiet(self, seconds: float = QUIET_S, *, events: bool = True) -> None:
        """Wait until nothing has happened for so long; `events` says whether those count."""
        seen, since = -1, trio.current_time()
        while trio.current_time() - since < seconds:
            now = sum(1 for line in self.lines if events or line.resource != "events")
            if now != seen:
                seen, since = now, trio.current_time()
            await trio.sleep(0.05)

    def pod_names(self) -> set[str]:
        """The pods that are there."""
        return {name for resource, name in self._now if resource == "pods"}

    def available(self, deployment: str, replicas: int) -> bool:
        """Whether it is rolled out."""
        found = self._now.get(("deployments", deployment))
        status = (found or {}).get("status") or {}
        if found is None or status.get("observedGeneration", 0) < found["metadata"]["generation"]:
            return False
        counts = {status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")}
        return counts == {replicas}

    def waiting_for(self, reason: str) -> bool:
        """Whether a container waits, for that reason."""
        return any(
            (container.get("state") or {}).get("waiting", {}).get("reason") == reason
            for (resource, _), raw in self._now.items()
            if resource == "pods"
            for container in (raw.get("status") or {}).get("containerStatuses") or ()
        )

    def restarted(self) -> bool:
        """Whether a container that was restarted runs."""
        return any(
            container.get("restartCount") and "running" in (container.get("state") or {})
            for (resource, _), raw in self._now.items()
            if resource == "pods"
            for container in (raw.get("status") or {}).get("containerStatuses") or ()
        )


async def play(kubeconfig: str, story: Callable[[Stage], Awaitable[None]]) -> Json:
    """Take the steps in a namespace of their own; what a watcher saw, and what was refused."""
    namespace = f"rollcheck-test-{secrets.token_hex(3)}"
    async with Api(load_access(kubeconfig=kubeconfig)) as api:
        await api.create(
            "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        )
        stage = Stage(api, namespace)
        try:
            async with trio.open_nursery() as nursery:
                for resource in WATCHED:
                    await nursery.start(stage.follow, resource)
                await story(stage)
                await stage.quiet()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 10):
                await api.delete(f"/api/v1/namespaces/{namespace}")
    return {**tell(stage.lines, namespace), "answers": _plain(stage)}


def _plain(stage: Stage) -> list[Json]:
    names = Names(stage.namespace)
    for seen in stage.lines:
        if seen.resource == "pods":
            names.learn("pod", seen.object["metadata"]["name"])
    server = stage.api.access.server
    return [
        {
            key: names.plain(value.replace(server, "<server>")) if isinstance(value, str) else value
            for key, value in each.items()
        }
        for each in stage.answers
    ]
