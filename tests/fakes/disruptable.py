"""The played Deployment with everything else that can end its pods: scaling, deletion, eviction, drains, two nodes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tests.fakes.api import Answer, Request, Stream, status_object
from tests.fakes.cluster import Cluster

Json = dict[str, Any]


def refusal(code: int, message: str, *causes: tuple[str, str]) -> Answer:
    """A Status object as the Eviction API answers it."""
    body = {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": "TooManyRequests" if code == 429 else "InternalError",
        "message": message,
        "details": {"causes": [{"reason": reason, "message": text} for reason, text in causes]},
    }
    return Answer(code, body)


BLOCKED = refusal(
    429,
    "Cannot evict pod as it would violate the pod's disruption budget.",
    ("DisruptionBudget", "The disruption budget web needs 2 healthy pods and has 2 currently"),
)


class DisruptableCluster(Cluster):
    """As `Cluster`; new pods come to the first node that is not cordoned.

    Attributes:
        on_evict: answers an eviction of the named pod; None has it done.
        on_write: answers any write to that path; None has it done.
        writes: (method, path, body) of everything that would change something.
    """

    def __init__(self, *, replicas: int = 2) -> None:
        self.on_evict: Callable[[str], Answer | None] = lambda name: None
        self.on_write: Callable[[str, str], Answer | None] = lambda method, path: None
        self.writes: list[tuple[str, str, Any]] = []
        self._revision = 0
        self.nodes = {name: self._node(name) for name in ("n1", "n2")}
        super().__init__(replicas=replicas)

    @property
    def images(self) -> list[str]:
        """Of the Deployment's containers now."""
        return [c["image"] for c in self.deployment["spec"]["template"]["spec"]["containers"]]

    def cordoned(self) -> list[str]:
        """The nodes that take no new pods."""
        return [name for name, node in self.nodes.items() if node["spec"].get("unschedulable")]

    def pod_names(self) -> list[str]:
        """The pods that are there and not ending."""
        return [p["metadata"]["name"] for p in list(self._stores["pods"].values()) if not _ending(p)]

    def add(self, resource: str, raw: Json) -> None:
        """An object that only is there."""
        self._stores[resource][raw["metadata"]["name"]] = raw

    def add_pod(self, namespace: str, name: str, **spec: Any) -> Json:
        """Somebody else's pod on n1."""
        owner = {"kind": "ReplicaSet", "name": "other", "uid": "uid-other", "controller": True}
        meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "ownerReferences": [owner]}
        raw = {"metadata": meta, "spec": {"nodeName": "n1", **spec}, "status": {"phase": "Running"}}
        self._stores["others"][name] = raw
        return raw

    async def _handle(self, request: Request, stream: Stream) -> Answer | None:
        reviews = request.path.endswith("selfsubjectaccessreviews")
        if request.method != "GET" and not reviews and not request.path.endswith("/leases"):
            self.writes.append((request.method, request.path, request.json))
            if said := self.on_write(request.method, request.path):
                return said
        *_, parent, last = request.path.split("/")
        answer = self._read if request.method == "GET" else self._write
        found = answer(request, parent, last)
        return found or await super()._handle(request, stream)

    def _read(self, request: Request, parent: str, last: str) -> Answer | None:
        if last == "nodes":
            return Answer(200, {"metadata": {"resourceVersion": "1"}, "items": list(self.nodes.values())})
        if parent == "nodes":
            found = self.nodes.get(last)
            return Answer(200, found) if found else status_object(404, "NotFound", f'nodes "{last}" not found')
        if request.path == "/api/v1/pods":
            node = request.query.get("fieldSelector", "").removeprefix("spec.nodeName=")
            every = [*self._stores["pods"].values(), *self._stores["others"].values()]
            items = [p for p in every if node in ("", p["spec"]["nodeName"])]
            return Answer(200, {"metadata": {"resourceVersion": "1"}, "items": items})
        if parent == "pods":
            found = self._stores["pods"].get(last) or self._stores["others"].get(last)
            return Answer(200, found) if found else status_object(404, "NotFound", f'pods "{last}" not found')
        if last == "scale":
            return Answer(200, self._scale())
        return None

    def _write(self, request: Request, parent: str, last: str) -> Answer | None:
        if request.method == "POST" and last == "eviction":
            return self._evicted(parent, request.json)
        if request.method == "DELETE" and parent == "pods":
            return self._ended(parent, last)
        if request.method == "PATCH" and parent == "nodes":
            self.nodes[last]["spec"] |= request.json["spec"]
            return Answer(200, self.nodes[last])
        if request.method == "PATCH" and last == "scale":
            return self._rescaled(int(request.json["spec"]["replicas"]))
        if request.method == "PATCH" and parent == "deployments" and not _is_restart(request.json):
            return self._retemplated(request.json)
        if request.method == "DELETE":
            return Answer(200, {"kind": "Status", "status": "Success"})
        return None

    def _evicted(self, name: str, body: Json) -> Answer:
        if said := self.on_evict(name):
            return said
        if "dryRun" in body["deleteOptions"]:
            return Answer(201, {"kind": "Status", "status": "Success"})
        return self._ended("pods", name, status=201)

    def _ended(self, _: str, name: str, status: int = 200) -> Answer:
        if name in self._stores["others"]:
            del self._stores["others"][name]
            return Answer(status, {"kind": "Status", "status": "Success"})
        pod = self._stores["pods"].get(name)
        if pod is None:
            return status_object(404, "NotFound", f'pods "{name}" not found')
        assert self._nursery is not None
        owner = self._stores["replicasets"][pod["metadata"]["ownerReferences"][0]["name"]]
        self._nursery.start_soon(self._end_pod, name, [])
        self._nursery.start_soon(self._start_pod, owner, [])
        return Answer(status, pod)

    def _scale(self) -> Json:
        meta = {"name": "web", "uid": self.deployment["metadata"]["uid"]}
        return {"kind": "Scale", "metadata": meta, "spec": {"replicas": self.deployment["spec"]["replicas"]}}

    def _rescaled(self, wanted: int) -> Answer:
        raw = copy.deepcopy(self.deployment)
        raw["spec"]["replicas"] = wanted
        raw["metadata"]["generation"] += 1
        self._put("deployments", raw)
        present = self.pod_names()
        assert self._nursery is not None
        for name in present[wanted:]:
            self._nursery.start_soon(self._end_pod, name, [])
        owner = list(self._stores["replicasets"].values())[-1]
        for _ in range(wanted - len(present)):
            self._nursery.start_soon(self._start_pod, owner, [])
        return Answer(200, self._scale())

    def _retemplated(self, patch: Any) -> Answer:
        raw = copy.deepcopy(self.deployment)
        if isinstance(patch, list):
            raw["spec"]["template"] = next(p["value"] for p in patch if p["op"] == "replace")
        else:
            images = {c["name"]: c["image"] for c in patch["spec"]["template"]["spec"]["containers"]}
            for container in raw["spec"]["template"]["spec"]["containers"]:
                container["image"] = images.get(container["name"], container["image"])
        raw["metadata"]["generation"] += 1
        self._put("deployments", raw)
        assert self._nursery is not None
        self._nursery.start_soon(self._roll_out)
        return Answer(200, raw)

    def _new_pod(self, owner: Json) -> Json:
        raw = super()._new_pod(owner)
        raw["spec"]["nodeName"] = next(n for n in self.nodes if n not in self.cordoned())
        raw["metadata"]["namespace"] = "default"
        return raw

    def _new_replica_set(self, name: str) -> Json:
        raw = super()._new_replica_set(name)
        self._revision += 1
        raw["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": str(self._revision)}
        return raw

    @staticmethod
    def _node(name: str) -> Json:
        ready = {"type": "Ready", "status": "True"}
        return {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {}, "status": {"conditions": [ready]}}


def _is_restart(patch: Any) -> bool:
    return isinstance(patch, dict) and "metadata" in patch["spec"]["template"]


def _ending(pod: Json) -> bool:
    return "deletionTimestamp" in pod["metadata"]
