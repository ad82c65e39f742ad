"""From the states of its containers to a pod's status. Pure.

Source: Kubernetes 1.34, pkg/kubelet `getPhase` and `generateAPIPodStatus` (kubelet_pods.go) and the conditions of
pkg/kubelet/status/generate.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rollcheck.sandbox.kubelet.records import Ended, Record, Running, Waiting
from rollcheck.sandbox.trees import Json

OURS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a pod's status is made of, besides its containers.

    Attributes:
        now: the present second, as the API writes it.
        host_ip: the node's address.
        ip: the pod's, "" while it has none.
        networked: whether it has its network (the sandbox of the runtime, which is gone at the end).
        terminal: whether its containers have ended for good.
        verdict: phase, reason and message when the kubelet ended it for a reason of its own; None otherwise.
    """

    now: str
    host_ip: str
    ip: str = ""
    networked: bool = False
    terminal: bool = False
    verdict: tuple[str, str, str] | None = None


def pod_status(pod: Json, records: Sequence[Record], view: View) -> Json:
    """The status of a pod that shows `pod` now; what others own in it is kept."""
    old = pod.get("status", {})
    main = [record for record in records if not record.init]
    init = [record for record in records if record.init]
    before = old.get("phase", "Pending")
    worked_out = phase(records, policy(pod), terminal=view.terminal)
    new: Json = {**old, "phase": before if before in ("Succeeded", "Failed") else worked_out}
    if view.verdict is not None:
        new["phase"], new["reason"], new["message"] = view.verdict
    new["conditions"] = conditions(pod, records, new["phase"], view)
    new["containerStatuses"] = sorted((record.status() for record in main), key=lambda s: str(s["name"]))
    if init:
        new["initContainerStatuses"] = [record.status() for record in init]
    new["hostIP"], new["hostIPs"] = view.host_ip, [{"ip": view.host_ip}]
    if view.ip:
        new["podIP"], new["podIPs"] = view.ip, [{"ip": view.ip}]
    new.setdefault("startTime", view.now)
    if "generation" in pod["metadata"]:
        new["observedGeneration"] = pod["metadata"]["generation"]
    return new


def policy(pod: Json) -> str:
    """The pod's restartPolicy."""
    return str(pod["spec"].get("restartPolicy", "Always"))


def phase(records: Sequence[Record], restart_policy: str, *, terminal: bool) -> str:
    """The pod's phase."""
    regular_init = [r for r in records if r.init and not r.sidecar]
    sidecars = [r for r in records if r.sidecar]
    main = [r for r in records if not r.init]
    failed = sum(1 for r in regular_init if (ended := r.ended) is not None and ended.code != 0)
    if failed and restart_policy == "Never":
        return "Failed"
    pending = sum(1 for r in regular_init if r.ended is None)
    never_ran = sum(1 for r in [*sidecars, *main] if isinstance(r.state, Waiting) and r.last is None)
    begun = any(r.container_id for r in main)
    unstarted = sum(1 for r in sidecars if isinstance(r.state, Running) and not r.started)
    if pending or never_ran or (unstarted and not begun):
        return "Pending"
    if any(r.running for r in [*sidecars, *main]):
        return "Running"
    return phase_of_ended(main, restart_policy, terminal=terminal)


def phase_of_ended(main: Sequence[Record], restart_policy: str, *, terminal: bool) -> str:
    """The phase once no container runs."""
    succeeded = all(isinstance(r.state, Ended) and r.state.code == 0 for r in main)
    if terminal:
        return "Succeeded" if succeeded else "Failed"
    if restart_policy == "Always":
        return "Running"
    if succeeded:
        return "Succeeded"
    return "Failed" if restart_policy == "Never" else "Running"


def conditions(pod: Json, records: Sequence[Record], pod_phase: str, view: View) -> list[Json]:
    """All conditions: those of others as they were, then the kubelet's own in its order."""
    old = {c["type"]: c for c in pod.get("status", {}).get("conditions") or ()}
    kept = [c for kind, c in old.items() if kind not in OURS]
    containers = containers_ready(records, pod_phase)
    values: dict[str, tuple[bool, str, str]] = {
        "PodReadyToStartContainers": (view.networked, "", ""),
        "Initialized": initialized(records, pod_phase),
        "Ready": pod_ready(pod, containers),
        "ContainersReady": containers,
        "PodScheduled": (True, "", ""),
    }
    generation = pod["metadata"].get("generation")
    return [*kept, *(condition(kind, values[kind], old.get(kind), view.now, generation) for kind in OURS)]


def condition(kind: str, value: tuple[bool, str, str], old: Json | None, now: str, generation: int | None) -> Json:
    """One condition; its transition time is kept while its status is."""
    true, reason, message = value
    text = "True" if true else "False"
    since = old["lastTransitionTime"] if old is not None and old["status"] == text else now
    made: Json = {"type": kind, "status": text, "lastProbeTime": None, "lastTransitionTime": since}
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return made if generation is None else {**made, "observedGeneration": generation}


def containers_ready(records: Sequence[Record], pod_phase: str) -> tuple[bool, str, str]:
    """ContainersReady: status, reason, message."""
    if pod_phase == "Succeeded":
        return False, "PodCompleted", ""
    if pod_phase == "Failed":
        return False, "PodFailed", ""
    unready = [r.name for r in records if (r.sidecar or not r.init) and not r.ready]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""


def pod_ready(pod: Json, containers: tuple[bool, str, str]) -> tuple[bool, str, str]:
    """Ready: ContainersReady and every readiness gate."""
    if not containers[0]:
        return containers
    there = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions") or ()}
    missing = []
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        if kind not in there:
            missing.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif there[kind] != "True":
            missing.append(f'the status of pod readiness gate "{kind}" is not "True", but {there[kind]}')
    return (False, "ReadinessGatesNotReady", ", ".join(missing)) if missing else (True, "", "")


def initialized(records: Sequence[Record], pod_phase: str) -> tuple[bool, str, str]:
    """Initialized: every init container has succeeded, every sidecar has started; or a main one has run."""
    if pod_phase == "Succeeded":
        return True, "PodCompleted", ""
    if any(isinstance(r.state, Running | Ended) for r in records if not r.init):
        return True, "", ""
    missing = [r.name for r in records if r.init and not (r.started if r.sidecar else r.ready)]
    if missing:
        return False, "ContainersNotInitialized", f"containers with incomplete status: [{' '.join(missing)}]"
    return True, "", ""
