"""A registry, all controllers, and a kubelet that only says what a kubelet would: for tests on a clock that jumps."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import trio
import trio.testing

from rollcheck.sandbox.clock import Clock
from rollcheck.sandbox.controllers.manager import Controllers
from rollcheck.sandbox.controllers.workqueue import LOG
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import DEPLOYMENTS, EVENTS, NODES, PODS, REPLICA_SETS

Json = dict[str, Any]
BORN = datetime(2026, 1, 1, 12, 0, 0, 400_000, tzinfo=UTC)


class TrioClock(Clock):
    """Wall time that goes with trio's."""

    def __init__(self) -> None:
        self._start = trio.current_time()

    def now(self) -> datetime:
        return BORN + timedelta(seconds=trio.current_time() - self._start)

    def monotonic(self) -> float:
        return trio.current_time()


class LittleCluster:
    """What a test sees: the registry, and what the kubelet is told about pods.

    Attributes:
        start_s: seconds from binding to ready.
        stop_s: seconds from deletion to gone.
        readiness: whether a pod ever becomes ready.
        fate: pod → the phase in which it ends at once when started ("Succeeded", "Failed"), or "" to go on running.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.start_s = 1.0
        self.stop_s = 2.0
        self.readiness: Callable[[Json], bool] = lambda pod: True
        self.fate: Callable[[Json], str] = lambda pod: ""
        self.addresses = 0

    def node(self, name: str, **allocatable: str) -> Json:
        room = {"cpu": "4", "memory": "8Gi", "pods": "110", **allocatable}
        node = {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "spec": {},
            "status": {"allocatable": room, "conditions": [{"type": "Ready", "status": "True"}]},
        }
        return self.registry.create(NODES, None, node)

    def pods(self, *, alive: bool = True, labels: str = "") -> list[Json]:
        pods = self.registry.list(PODS, "default", labels=labels)
        return [pod for pod in pods if not alive or "deletionTimestamp" not in pod["metadata"]]

    def deployment(self, name: str = "web") -> Json:
        return self.registry.get(DEPLOYMENTS, "default", name)

    def replica_sets(self) -> list[Json]:
        sets = self.registry.list(REPLICA_SETS, "default")
        return sorted(
            sets, key=lambda piece: int(piece["metadata"]["annotations"]["deployment.kubernetes.io/revision"])
        )

    def events(self, kind: str, *reasons: str) -> list[str]:
        """The messages of events about objects of that kind, in the order in which they were written."""
        found = [e for e in self.registry.list(EVENTS, "default") if e["involvedObject"]["kind"] == kind]
        found.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [event["message"] for event in found if not reasons or event["reason"] in reasons]

    def condition(self, obj: Json, kind: str) -> Json:
        return next(c for c in obj["status"].get("conditions", []) if c["type"] == kind)

    def edit(self, resource: Any, name: str, change: Callable[[Json], object]) -> Json:
        return self.registry.modify(resource, "default", name, lambda copy: change(copy) and None)

    async def until(self, holds: Callable[[], object], within_s: float = 120.0) -> None:
        """Let time pass until it holds; fails the test when it does not."""
        with trio.move_on_after(within_s):
            while not holds():
                await trio.sleep(0.05)
        assert holds(), "did not come about in time"

    async def settle(self, seconds: float = 5.0) -> None:
        await trio.sleep(seconds)

    # The kubelet

    async def run_kubelet(self) -> None:
        async with trio.open_nursery() as nursery:
            seen: set[str] = set()
            ending: set[str] = set()
            async for change in self.registry.watch(PODS, since=0):
                pod = change.object
                uid = pod["metadata"]["uid"]
                if change.type == "DELETED" or not pod["spec"].get("nodeName"):
                    continue
                if uid not in seen:
                    seen.add(uid)
                    nursery.start_soon(self._start, pod)
                if "deletionTimestamp" in pod["metadata"] and uid not in ending:
                    ending.add(uid)
                    nursery.start_soon(self._stop, pod)

    async def _start(self, pod: Json) -> None:
        await trio.sleep(self.start_s)
        self.addresses += 1
        address = f"127.9.{self.addresses // 250}.{self.addresses % 250 + 1}"
        self.say(pod, "Running", ready=self.readiness(pod), address=address)
        phase = self.fate(pod)
        if phase:
            await trio.sleep(self.start_s)
            self.say(pod, phase, ready=False)

    async def _stop(self, pod: Json) -> None:
        await trio.sleep(self.stop_s)
        meta = pod["metadata"]
        now = self.registry.peek(PODS, meta["namespace"], meta["name"])
        if now is None or now["metadata"]["uid"] != meta["uid"]:
            return
        self.say(pod, "Succeeded", ready=False)
        self.registry.delete(PODS, meta["namespace"], meta["name"], grace=0)

    def say(self, pod: Json, phase: str, *, ready: bool, address: str = "") -> None:
        """Write the pod's status, as a kubelet does."""
        stamp = self.registry.clock.stamp()

        def change(copy: Json) -> None:
            status = copy["status"]
            status["phase"] = phase
            if address:
                status.update(podIP=address, podIPs=[{"ip": address}])
            value = "True" if ready else "False"
            before = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), None)
            since = stamp if before is None or before["status"] != value else before["lastTransitionTime"]
            rest = [c for c in status.get("conditions", []) if c["type"] != "Ready"]
            status["conditions"] = [*rest, {"type": "Ready", "status": value, "lastTransitionTime": since}]
            if phase in ("Succeeded", "Failed"):
                status["containerStatuses"] = [
                    {"name": "main", "restartCount": 0, "state": {"terminated": {"finishedAt": stamp}}}
                ]

        place = pod["metadata"]["namespace"], pod["metadata"]["name"]
        if self.registry.peek(PODS, *place) is not None:
            self.registry.modify(PODS, *place, change, subresource="status")


class Complaints(logging.Handler):
    """What the controllers could not read: in a test that is a fault of theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@asynccontextmanager
async def little_cluster(nodes: int = 3, *, shared: bool = False) -> AsyncIterator[LittleCluster]:
    registry = Registry(TrioClock())
    cluster = LittleCluster(registry)
    for number in range(1, nodes + 1):
        cluster.node(f"n{number}")
    complaints = Complaints()
    LOG.addHandler(complaints)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cluster.run_kubelet)
            await nursery.start(Controllers(registry, shared=shared).run)
            yield cluster
            nursery.cancel_scope.cancel()
    finally:
        LOG.removeHandler(complaints)
    assert complaints.texts == [], complaints.texts


def on_cluster(story: Callable[[LittleCluster], Awaitable[None]], **options: Any) -> None:
    """Run a story on a cluster of its own, on a clock that jumps over waiting."""

    async def run() -> None:
        with trio.fail_after(3600):
            async with little_cluster(**options) as cluster:
                await story(cluster)

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


def pod_template(app: str = "web", image: str = "web:1", **spec: Any) -> Json:
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "main", "image": image}], "terminationGracePeriodSeconds": 30, **spec},
    }


def deployment(name: str = "web", replicas: int = 3, **spec: Any) -> Json:
    """A Deployment as the API would hold it, defaults written out."""
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": pod_template(name),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            **spec,
        },
    }


def set_image(image: str) -> Callable[[Json], object]:
    def change(obj: Json) -> None:
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = image

    return change
