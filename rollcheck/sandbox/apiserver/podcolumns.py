"""The row of a pod: what STATUS says of all its containers in one word."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rollcheck.sandbox.apiserver.ages import since
from rollcheck.sandbox.apiserver.columns import AGE, NAME, Column
from rollcheck.sandbox.trees import Json, at

COLUMNS = (
    NAME,
    Column("Ready"),
    Column("Status"),
    Column("Restarts"),
    AGE,
    Column("IP", wide=True),
    Column("Node", wide=True),
    Column("Nominated Node", wide=True),
    Column("Readiness Gates", wide=True),
)


def cells(pod: Json, now: datetime) -> list[Any]:
    """The cells of a pod."""
    spec, status, name = pod.get("spec") or {}, pod.get("status") or {}, pod["metadata"]["name"]
    summary = _Summary(pod)
    summary.take_init_containers()
    if not summary.initializing or _condition(status, "Initialized"):
        summary.take_containers()
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts = f"{restarts} ({since(summary.last_restart, now)} ago)"
    gates = spec.get("readinessGates") or ()
    passed = sum(_condition(status, gate["conditionType"]) for gate in gates)
    return [
        name,
        f"{summary.ready}/{summary.total}",
        _ended(pod, summary.reason),
        restarts,
        since(pod["metadata"].get("creationTimestamp"), now),
        at(status, "podIPs", 0, "ip") or status.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        f"{passed}/{len(gates)}" if gates else "<none>",
    ]


def _ended(pod: Json, reason: str) -> str:
    if "deletionTimestamp" not in pod["metadata"]:
        return reason
    if at(pod, "status", "reason") == "NodeLost":
        return "Unknown"
    return reason if at(pod, "status", "phase") in ("Succeeded", "Failed") else "Terminating"


def _condition(status: Json, type_: str) -> bool:
    return any(one["type"] == type_ and one["status"] == "True" for one in status.get("conditions") or ())


def _ending(terminated: Json) -> str:
    """How a container ended, in a word."""
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


class _Summary:
    """Counts over a pod's containers, and the word for all of them."""

    def __init__(self, pod: Json) -> None:
        self._spec = pod.get("spec") or {}
        self._status = pod.get("status") or {}
        self._init = {one["name"]: one for one in self._spec.get("initContainers") or ()}
        sidecars = sum(map(self._is_sidecar, self._init))
        self.total = len(self._spec.get("containers") or ()) + sidecars
        self.ready = self.restarts = self._sidecar_restarts = 0
        self.last_restart = self._sidecar_last = ""
        self.initializing = False
        self.reason = str(self._status.get("reason") or self._status.get("phase") or "")
        for one in self._status.get("conditions") or ():
            if one["type"] == "PodScheduled" and one.get("reason") == "SchedulingGated":
                self.reason = "SchedulingGated"

    def _is_sidecar(self, name: str) -> bool:
        return bool(self._init.get(name, {}).get("restartPolicy") == "Always")

    def take_init_containers(self) -> None:
        """Go through the init containers up to the first that is not done."""
        for number, one in enumerate(self._status.get("initContainerStatuses") or ()):
            last = at(one, "lastState", "terminated", "finishedAt") or ""
            self.restarts += one.get("restartCount", 0)
            self.last_restart = max(self.last_restart, last)
            if self._is_sidecar(one["name"]):
                self._sidecar_restarts += one.get("restartCount", 0)
                self._sidecar_last = max(self._sidecar_last, last)
            terminated = at(one, "state", "terminated")
            if terminated is not None and terminated.get("exitCode") == 0:
                continue
            if self._is_sidecar(one["name"]) and one.get("started"):
                self.ready += bool(one.get("ready"))
                continue
            self.reason = self._waits_for(number, one)
            self.initializing = True
            return

    def _waits_for(self, number: int, one: Json) -> str:
        terminated, waiting = at(one, "state", "terminated"), at(one, "state", "waiting", "reason")
        if terminated is not None:
            return f"Init:{_ending(terminated)}"
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{number}/{len(self._init)}"

    def take_containers(self) -> None:
        """Go through the main containers, the last first: the first one's word wins."""
        self.restarts, self.last_restart = self._sidecar_restarts, self._sidecar_last
        running = False
        for one in reversed(self._status.get("containerStatuses") or ()):
            self.restarts += one.get("restartCount", 0)
            self.last_restart = max(self.last_restart, at(one, "lastState", "terminated", "finishedAt") or "")
            state = one.get("state") or {}
            if at(state, "waiting", "reason"):
                self.reason = state["waiting"]["reason"]
            elif "terminated" in state:
                self.reason = _ending(state["terminated"])
            elif one.get("ready") and "running" in state:
                running = True
                self.ready += 1
        if self.reason == "Completed" and running:
            self.reason = "Running" if _condition(self._status, "Ready") else "NotReady"
