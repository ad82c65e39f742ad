"""A Deployment that can be restarted, played by an API server on loopback in a thread of its own.

The objects are those that a real Kubernetes showed (`recorded`); a PATCH of the Deployment starts a rolling update of
them, a pod at a time with a surge of one, and every change goes out on the watches as a real API server sends it. The
times in between are a fraction of a real one's (`beat_s`); what goes wrong is set on the cluster before or while it
plays.
"""

from __future__ import annotations

import contextlib
import copy
import json
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import trio

from tests.fakes import recorded
from tests.fakes.api import Answer, FakeApi, Request, Stream, serving, status_object

Json = dict[str, Any]

NAMESPACE = "default"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
VERSION = "v1.34.4"


def now(*, after_s: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=after_s)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Change:
    """One line of a watch."""

    version: int
    kind: str
    raw: Json


class Cluster:
    """A context manager; what its attributes say may be changed at any time, from any thread.

    Attributes:
        replicas: pods of the Deployment.
        beat_s: between two steps of a pod's start.
        end_s: how long a pod takes to end, of the `grace_s` it is given.
        exit_code: with which it ends.
        stuck: waiting reason of new pods that never start; empty when they do.
        forbidden: (verb, resource) that a review of rights says no to.
        refuse: resource → status with which every request for it is answered.
        on_patch: "take" answers it; "lose" cuts the connection without having done anything; "lose answer" cuts it
            after having done it; "time out" answers 504 and does nothing; "deny" answers 403.
        told: called with what happened and the name of what it happened to, in the cluster's thread: "asked" (a path),
            "patched", "created", "ready", "deleted", "ended", "gone".
    """

    def __init__(self, *, replicas: int = 2) -> None:
        self.replicas = replicas
        self.beat_s = 0.03
        self.end_s = 0.1
        self.grace_s = 10
        self.exit_code = 0
        self.stuck = ""
        self.forbidden: set[tuple[str, str]] = set()
        self.refuse: dict[str, int] = {}
        self.on_patch = "take"
        self.told: Callable[[str, str], None] = lambda what, name: None
        self.patches = 0
        self.api: FakeApi | None = None
        self._version = 100
        self._oldest = 0
        self._serial = 0
        self._stores: dict[str, dict[str, Json]] = defaultdict(dict)
        self._history: dict[str, list[Change]] = defaultdict(list)
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope = trio.CancelScope()
        self._up = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._main,), daemon=True)
        self._furnish()

    # Where it is, and what it looks like

    @property
    def url(self) -> str:
        assert self.api is not None
        return self.api.url

    @property
    def deployment(self) -> Json:
        return self._stores["deployments"]["web"]

    @property
    def requests(self) -> list[Request]:
        assert self.api is not None
        return self.api.requests

    def serving_pods(self) -> list[str]:
        """The pods that would get a client now."""
        return [p["metadata"]["name"] for p in list(self._stores["pods"].values()) if _is_serving(p)]

    def write_kubeconfig(self, path: Path, **more: Any) -> str:
        context = {"cluster": "fake", "user": "alice", "namespace": NAMESPACE}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "alice", "user": {"token": "secret"}}],
            "contexts": [{"name": "dev", "context": context}, {"name": "spare", "context": context}],
            "current-context": "dev",
            **more,
        }
        path.write_text(json.dumps(config))
        return str(path)

    # Its life

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(trio.RunFinishedError):
            self.do(self._scope.cancel)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def do(self, act: Callable[[], object]) -> None:
        """Have it done in the cluster's own thread."""
        assert self._token is not None
        self._token.run_sync_soon(act)

    def go_away(self) -> None:
        """Cut every connection and take no other, until `come_back`. In the cluster's own thread."""
        assert self.api is not None
        self.api.down = True
        self.api.stop()

    def come_back(self) -> None:
        """Answer again."""
        assert self.api is not None
        self.api.down = False

    def go_away_for(self, seconds: float) -> None:
        """`go_away`, and `come_back` later."""

        async def later() -> None:
            await trio.sleep(seconds)
            self.come_back()

        self.go_away()
        assert self._nursery is not None
        self._nursery.start_soon(later)

    def hang_up(self) -> None:
        """Cut every connection; new ones are taken. In the cluster's own thread."""
        assert self.api is not None
        self.api.stop()

    def forget_changes(self) -> None:
        """Answer 410 to whoever would go on from what was before."""
        self._oldest = self._version

    async def _main(self) -> None:
        with self._scope:
            async with serving(self._handle) as api, trio.open_nursery() as nursery:
                self.api, self._nursery, self._token = api, nursery, trio.lowlevel.current_trio_token()
                self._up.set()
                await trio.sleep_forever()

    # What it answers

    async def _handle(self, request: Request, stream: Stream) -> Answer | None:
        self.told("asked", request.path)
        resource = request.path.removeprefix("/").split("/")
        if request.path == "/version":
            return Answer(200, {"gitVersion": VERSION})
        if resource[-1] == "selfsubjectaccessreviews":
            asked = request.json["spec"]["resourceAttributes"]
            return Answer(201, {"status": {"allowed": (asked["verb"], asked["resource"]) not in self.forbidden}})
        if request.method == "PATCH":
            return await self._patched(request, stream)
        *_, parent, last = resource
        if parent == "deployments" or parent == "namespaces":
            found = self._stores[parent].get(last)
            return Answer(200, found) if found else status_object(404, "NotFound", f"{parent} {last!r} not found")
        if last in self.refuse:
            return status_object(self.refuse[last], "Refused", f"{last} cannot be had")
        if "watch" in request.query:
            await self._watch(last, int(request.query["resourceVersion"]), stream)
            return None
        name = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
        items = [raw for raw in self._stores[last].values() if name in ("", raw["metadata"]["name"])]
        return Answer(200, {"metadata": {"resourceVersion": str(self._version)}, "items": items})

    async def _watch(self, resource: str, version: int, stream: Stream) -> None:
        await stream.start()
        if version < self._oldest:
            await stream.event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
            await stream.end()
            return
        while True:
            changed = self._changed
            for change in self._history[resource]:
                if change.version > version:
                    version = change.version
                    await stream.event(change.kind, change.raw)
            await changed.wait()

    async def _patched(self, request: Request, stream: Stream) -> Answer | None:
        self.patches += 1
        if self.on_patch == "deny":
            return status_object(403, "Forbidden", 'deployments.apps "web" is forbidden: user cannot patch')
        if self.on_patch == "time out":
            return status_object(504, "Timeout", "request did not complete within the allotted timeout")
        if self.on_patch != "lose":
            self._restart(request.json)
            self.told("patched", "web")
        if self.on_patch == "take":
            return Answer(200, self.deployment)
        await stream.cut()
        return None

    def _restart(self, patch: Json) -> None:
        annotations = patch["spec"]["template"]["metadata"]["annotations"]
        raw = copy.deepcopy(self.deployment)
        raw["spec"]["template"]["metadata"].setdefault("annotations", {}).update(annotations)
        raw["metadata"]["generation"] += 1
        self._put("deployments", raw)
        assert self._nursery is not None
        self._nursery.start_soon(self._roll_out)

    def restart(self) -> None:
        """What `kubectl rollout restart` does, by other hands. In the cluster's own thread."""
        self._restart({"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now()}}}}})

    def add_evicted_pod(self) -> None:
        """One of the old ones, which ended by itself long ago."""
        pod = self._new_pod(self._stores["replicasets"]["web-9ffd59b87"])
        self._put("pods", pod)
        ended = {"exitCode": 0, "reason": "Evicted", "finishedAt": now(after_s=-300)}
        self._set_status(pod["metadata"]["name"], ready=False, state={"terminated": ended}, phase="Failed")

    def delete_deployment(self) -> None:
        """By other hands. In the cluster's own thread."""
        gone = self._stores["deployments"].pop("web", None)
        if gone:
            self._tell("deployments", "DELETED", gone)

    # What happens in it

    async def _roll_out(self) -> None:
        old = [name for name, pod in self._stores["pods"].items() if pod["status"]["phase"] == "Running"]
        generation = self.deployment["metadata"]["generation"]
        owner = self._new_replica_set(f"web-{generation}f{generation}c9")
        self._count(old)
        assert self._nursery is not None
        for name in old:
            await trio.sleep(self.beat_s)
            await self._start_pod(owner, old)
            if self.stuck:
                return
            self._nursery.start_soon(self._end_pod, name, old)
        self._count(old)

    async def _start_pod(self, owner: Json, old: list[str]) -> None:
        pod = self._new_pod(owner)
        name = pod["metadata"]["name"]
        self._put("pods", pod, "ADDED")
        self.told("created", name)
        self._count(old)
        await trio.sleep(self.beat_s)
        if self.stuck:
            waiting = {"waiting": {"reason": self.stuck, "message": "it cannot be started"}}
            self._set_status(name, ready=False, state=waiting, phase="Pending")
            self._count(old)
            return
        self._set_status(name, ready=False, state={"running": {"startedAt": now()}})
        await trio.sleep(self.beat_s)
        self._set_status(name, ready=True, state={"running": {"startedAt": now()}})
        self._slice()
        self._count(old)
        self.told("ready", name)
        await trio.sleep(self.beat_s)

    async def _end_pod(self, name: str, old: list[str]) -> None:
        raw = copy.deepcopy(self._stores["pods"][name])
        raw["metadata"] |= {
            "deletionTimestamp": now(after_s=self.grace_s),
            "deletionGracePeriodSeconds": self.grace_s,
        }
        self._put("pods", raw)
        self._event(raw, "Killing", "Stopping container web")
        self._slice()
        self._count(old)
        self.told("deleted", name)
        await trio.sleep(self.end_s)
        reason = "Completed" if self.exit_code == 0 else "Error"
        ended = {"exitCode": self.exit_code, "reason": reason, "startedAt": now(), "finishedAt": now()}
        self._set_status(name, ready=False, state={"terminated": ended})
        self.told("ended", name)
        await trio.sleep(self.beat_s)
        gone = self._stores["pods"].pop(name)
        self._tell("pods", "DELETED", gone)
        self._count(old)
        self.told("gone", name)

    # Objects

    def _furnish(self) -> None:
        objects = recorded.objects()
        self._stores["namespaces"][NAMESPACE] = {"metadata": {"name": NAMESPACE}}
        self._put("services", copy.deepcopy(objects["services"]["web"]))
        deployment = copy.deepcopy(objects["deployments"]["web"])
        deployment["spec"]["replicas"] = self.replicas
        # a preStop of seconds would be a contradiction to pods that end at once
        del deployment["spec"]["template"]["spec"]["containers"][0]["lifecycle"]
        self._put("deployments", deployment)
        owner = self._new_replica_set("web-9ffd59b87")
        for _ in range(self.replicas):
            pod = self._new_pod(owner)
            self._put("pods", pod)
            self._set_status(pod["metadata"]["name"], ready=True, state={"running": {"startedAt": now(after_s=-600)}})
        self._slice()
        self._count([])

    def _new_replica_set(self, name: str) -> Json:
        raw = copy.deepcopy(recorded.objects()["replicasets"][0])
        template_hash = name.rpartition("-")[2]
        raw["metadata"] |= {"name": name, "uid": f"uid-{name}"}
        raw["metadata"]["labels"]["pod-template-hash"] = template_hash
        raw["spec"]["replicas"] = self.replicas
        raw["spec"]["template"] = self.deployment["spec"]["template"]
        self._put("replicasets", raw, "ADDED")
        return raw

    def _new_pod(self, owner: Json) -> Json:
        self._serial += 1
        raw = copy.deepcopy(recorded.objects()["pods"]["web"])
        name = f"{owner['metadata']['name']}-{'bcdfg'[self._serial % 5]}{self._serial}"
        raw["metadata"] |= {"name": name, "uid": f"uid-{name}", "creationTimestamp": now()}
        raw["metadata"]["labels"]["pod-template-hash"] = owner["metadata"]["labels"]["pod-template-hash"]
        raw["metadata"]["ownerReferences"][0] |= {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
        raw["spec"] = copy.deepcopy(owner["spec"]["template"]["spec"]) | {"nodeName": "n1"}
        raw["status"] |= {"podIP": f"10.244.1.{self._serial}", "containerStatuses": []}
        for condition in raw["status"]["conditions"]:
            if condition["type"] in ("Ready", "ContainersReady"):
                condition["status"] = "False"
        return raw

    def _set_status(self, name: str, *, ready: bool, state: Json, phase: str = "Running") -> None:
        raw = copy.deepcopy(self._stores["pods"][name])
        container = raw["spec"]["containers"][0]
        raw["status"]["phase"] = phase
        raw["status"]["containerStatuses"] = [
            {"name": container["name"], "image": container["image"], "ready": ready, "restartCount": 0, "state": state}
        ]
        for condition in raw["status"]["conditions"]:
            if condition["type"] in ("Ready", "ContainersReady"):
                condition |= {"status": "True" if ready else "False", "lastTransitionTime": now()}
        self._put("pods", raw)

    def _slice(self) -> None:
        endpoints = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]},
                "nodeName": "n1",
            }
            for pod in self._stores["pods"].values()
            if _is_serving(pod)
        ]
        labels = {"kubernetes.io/service-name": "web"}
        metadata = {"name": "web-x7k2p", "uid": "uid-slice", "namespace": NAMESPACE, "labels": labels}
        self._put("endpointslices", {"metadata": metadata, "ports": [{"port": 8080}], "endpoints": endpoints})

    def _event(self, pod: Json, reason: str, message: str) -> None:
        self._serial += 1
        meta = pod["metadata"]
        name = f"{meta['name']}.{self._serial}"
        self._put(
            "events",
            {
                "metadata": {"name": name, "uid": f"uid-{name}", "namespace": NAMESPACE},
                "reason": reason,
                "message": message,
                "type": "Normal",
                "count": 1,
                "firstTimestamp": now(),
                "lastTimestamp": now(),
                "involvedObject": {"kind": "Pod", "name": meta["name"], "uid": meta["uid"], "namespace": NAMESPACE},
                "source": {"component": "kubelet"},
            },
        )

    def _count(self, old: list[str]) -> None:
        """Have the Deployment's status say what its pods are, as its controller would."""
        if "web" not in self._stores["deployments"]:
            return
        pods = [
            p
            for p in self._stores["pods"].values()
            if "deletionTimestamp" not in p["metadata"] and p["status"]["phase"] != "Failed"
        ]
        ready = sum(1 for p in pods if _is_serving(p))
        raw = copy.deepcopy(self.deployment)
        raw["status"] |= {
            "observedGeneration": raw["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": sum(1 for p in pods if p["metadata"]["name"] not in old),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        self._put("deployments", raw)

    def _put(self, resource: str, raw: Json, kind: str = "MODIFIED") -> None:
        name = raw["metadata"]["name"]
        if name not in self._stores[resource]:
            kind = "ADDED"
        self._stores[resource][name] = raw
        self._tell(resource, kind, raw)

    def _tell(self, resource: str, kind: str, raw: Json) -> None:
        self._version += 1
        raw["metadata"]["resourceVersion"] = str(self._version)
        self._history[resource].append(Change(self._version, kind, copy.deepcopy(raw)))
        changed, self._changed = self._changed, trio.Event()
        changed.set()


def _is_serving(pod: Json) -> bool:
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
    return ready and "deletionTimestamp" not in pod["metadata"]
