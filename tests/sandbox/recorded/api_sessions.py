"""Sequences of requests whose every answer, and what a watcher saw meanwhile, were recorded from a real API server.

A step is (verb, plural, name, what): create an object, replace parts of one (`update`, or `status` for its status
alone), `delete` with DeleteOptions, `evict` with an Eviction's deleteOptions, `bind` to a node, `scale` to a number.
Nothing else acts on the objects: no controller, no kubelet.
"""

from __future__ import annotations

from typing import Any

from api_cases import BASES, C, edited

Json = dict[str, Any]
Step = tuple[str, str, str, Any]

LABELLED = edited(BASES["pods"], {"metadata.labels": {"app": "x"}})
READY = {"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": None}
RUNNING = {"status": {"phase": "Running", "conditions": [READY]}}
UNREADY = {"status": {"phase": "Running", "conditions": [{**READY, "status": "False"}]}}


def pod(name: str = "x", **spec: Any) -> Json:
    """A labelled pod."""
    return edited(LABELLED, {"metadata.name": name, **{f"spec.{key}": value for key, value in spec.items()}})


def ready(name: str = "x", status: Json = RUNNING) -> list[Step]:
    """A pod that runs on a node."""
    return [("create", "pods", "", pod(name)), ("bind", "pods", name, "n1"), ("status", "pods", name, status)]


def budget(status: Json, **spec: Any) -> list[Step]:
    """A budget for those pods, with a status as its controller would have written it."""
    made = edited(BASES["poddisruptionbudgets"], {f"spec.{key}": value for key, value in spec.items()})
    return [
        ("create", "poddisruptionbudgets", "", made),
        ("status", "poddisruptionbudgets", "x", {"status": status}),
    ]


def trim(obj: Json) -> None:
    """Take from a recorded object what other cases look at: most of a workload's spec."""
    obj["metadata"].pop("managedFields", None)
    if obj["kind"] in ("Pod", "Deployment", "StatefulSet"):
        obj["spec"] = {key: obj["spec"][key] for key in ("replicas", "nodeName") if key in obj["spec"]}


ALLOWED = {
    "observedGeneration": 1,
    "disruptionsAllowed": 1,
    "currentHealthy": 2,
    "desiredHealthy": 1,
    "expectedPods": 2,
}
SPENT = {**ALLOWED, "disruptionsAllowed": 0, "currentHealthy": 1}

SESSIONS: dict[str, list[Step]] = {
    "a pod is deleted and its kubelet confirms": [
        *ready(),
        ("delete", "pods", "x", {}),
        ("status", "pods", "x", {"status.phase": "Succeeded"}),
        ("delete", "pods", "x", {"gracePeriodSeconds": 0}),
    ],
    "a pod that never got a node is deleted": [("create", "pods", "", pod()), ("delete", "pods", "x", {})],
    "a pod that has ended is deleted": [
        *ready(),
        ("status", "pods", "x", {"status.phase": "Failed"}),
        ("delete", "pods", "x", {}),
    ],
    "a grace of the client's": [*ready(), ("delete", "pods", "x", {"gracePeriodSeconds": 7})],
    "a grace of the pod's": [
        ("create", "pods", "", pod(terminationGracePeriodSeconds=4)),
        ("bind", "pods", "x", "n1"),
        ("delete", "pods", "x", {}),
    ],
    "a second delete shortens the grace": [
        *ready(),
        ("delete", "pods", "x", {"gracePeriodSeconds": 60}),
        ("delete", "pods", "x", {"gracePeriodSeconds": 20}),
        ("delete", "pods", "x", {"gracePeriodSeconds": 5}),
    ],
    "a second delete cannot lengthen the grace": [
        *ready(),
        ("delete", "pods", "x", {"gracePeriodSeconds": 10}),
        ("delete", "pods", "x", {"gracePeriodSeconds": 60}),
        ("delete", "pods", "x", {"gracePeriodSeconds": 10}),
        ("delete", "pods", "x", {}),
    ],
    "a pod is deleted by force": [*ready(), ("delete", "pods", "x", {"gracePeriodSeconds": 0})],
    "a pod is deleted by force in the middle of its grace": [
        *ready(),
        ("delete", "pods", "x", {}),
        ("delete", "pods", "x", {"gracePeriodSeconds": 0}),
    ],
    "a grace of one": [*ready(), ("delete", "pods", "x", {"gracePeriodSeconds": 1})],
    "a pod with a finalizer": [
        ("create", "pods", "", edited(pod(), {"metadata.finalizers": ["rollcheck.test/hold"]})),
        ("bind", "pods", "x", "n1"),
        ("delete", "pods", "x", {"gracePeriodSeconds": 5}),
        ("delete", "pods", "x", {"gracePeriodSeconds": 0}),
        ("update", "pods", "x", {"metadata.finalizers": None}),
    ],
    "the finalizer goes before the grace does": [
        ("create", "pods", "", edited(pod(), {"metadata.finalizers": ["rollcheck.test/hold"]})),
        ("bind", "pods", "x", "n1"),
        ("delete", "pods", "x", {"gracePeriodSeconds": 5}),
        ("update", "pods", "x", {"metadata.finalizers": None}),
    ],
    "a delete with another uid": [*ready(), ("delete", "pods", "x", {"preconditions": {"uid": "other"}})],
    "a delete of another version": [*ready(), ("delete", "pods", "x", {"preconditions": {"resourceVersion": "1"}})],
    "a delete that only tries": [*ready(), ("delete", "pods", "x", {"dryRun": ["All"]})],
    "a deployment is deleted": [
        ("create", "deployments", "", BASES["deployments"]),
        ("delete", "deployments", "x", {}),
    ],
    "a deployment is deleted in the foreground": [
        ("create", "deployments", "", BASES["deployments"]),
        ("delete", "deployments", "x", {"propagationPolicy": "Foreground"}),
        ("delete", "deployments", "x", {"propagationPolicy": "Foreground"}),
        ("update", "deployments", "x", {"metadata.finalizers": None}),
    ],
    "a deployment is deleted and orphans": [
        ("create", "deployments", "", BASES["deployments"]),
        ("delete", "deployments", "x", {"propagationPolicy": "Orphan"}),
        ("update", "deployments", "x", {"metadata.finalizers": None}),
    ],
    "a pod is deleted in the foreground": [*ready(), ("delete", "pods", "x", {"propagationPolicy": "Foreground"})],
    "a config map with a finalizer": [
        ("create", "configmaps", "", edited(BASES["configmaps"], {"metadata.finalizers": ["rollcheck.test/hold"]})),
        ("delete", "configmaps", "x", {}),
        ("delete", "configmaps", "x", {}),
        ("update", "configmaps", "x", {"metadata.finalizers": None}),
    ],
    "a namespace is deleted": [
        ("create", "namespaces", "", {"metadata": {"name": "case"}}),
        ("delete", "namespaces", "case", {}),
        ("delete", "namespaces", "case", {}),
    ],
    "a service is deleted": [("create", "services", "", BASES["services"]), ("delete", "services", "x", {})],
    "what is not there": [("delete", "pods", "nobody", {}), ("evict", "pods", "nobody", {})],
    "a pod without a budget is evicted": [*ready(), ("evict", "pods", "x", {})],
    "an eviction with a grace": [*ready(), ("evict", "pods", "x", {"gracePeriodSeconds": 3})],
    "an eviction that only tries": [*ready(), *budget(ALLOWED), ("evict", "pods", "x", {"dryRun": ["All"]})],
    "a budget allows one": [*ready(), *budget(ALLOWED), ("evict", "pods", "x", {})],
    "a budget allows two": [*ready(), *budget({**ALLOWED, "disruptionsAllowed": 2}), ("evict", "pods", "x", {})],
    "a budget allows one of two": [
        *ready(),
        *ready("y"),
        *budget(ALLOWED),
        ("evict", "pods", "x", {}),
        ("evict", "pods", "y", {}),
        ("evict", "pods", "x", {}),
    ],
    "a budget allows none": [*ready(), *budget(SPENT), ("evict", "pods", "x", {})],
    "a budget is not observed yet": [
        *ready(),
        *budget(ALLOWED),
        ("update", "poddisruptionbudgets", "x", {"spec.minAvailable": 2}),
        ("evict", "pods", "x", {}),
    ],
    "a budget that nobody has looked at": [
        *ready(),
        ("create", "poddisruptionbudgets", "", BASES["poddisruptionbudgets"]),
        ("evict", "pods", "x", {}),
    ],
    "a budget below nothing": [*ready(), *budget({**ALLOWED, "disruptionsAllowed": -1}), ("evict", "pods", "x", {})],
    "two budgets": [
        *ready(),
        *budget(ALLOWED),
        ("create", "poddisruptionbudgets", "", edited(BASES["poddisruptionbudgets"], {"metadata.name": "y"})),
        ("evict", "pods", "x", {}),
    ],
    "a budget of others": [
        *ready(),
        *budget(SPENT, **{"selector.matchLabels": {"app": "y"}}),
        ("evict", "pods", "x", {}),
    ],
    "a budget of everybody": [*ready(), *budget(SPENT, selector={}), ("evict", "pods", "x", {})],
    "a budget without a selector": [*ready(), *budget(SPENT, selector=None), ("evict", "pods", "x", {})],
    "a pending pod is evicted": [("create", "pods", "", pod()), *budget(SPENT), ("evict", "pods", "x", {})],
    "a failed pod is evicted": [*ready(status={"status.phase": "Failed"}), *budget(SPENT), ("evict", "pods", "x", {})],
    "a pod that is going is evicted": [
        *ready(),
        *budget(SPENT),
        ("delete", "pods", "x", {}),
        ("evict", "pods", "x", {}),
    ],
    "an unready pod while others are healthy": [
        *ready(status=UNREADY),
        *budget({**SPENT, "currentHealthy": 1, "desiredHealthy": 1}),
        ("evict", "pods", "x", {}),
    ],
    "an unready pod while too few are healthy": [
        *ready(status=UNREADY),
        *budget({**SPENT, "currentHealthy": 0, "desiredHealthy": 1}),
        ("evict", "pods", "x", {}),
    ],
    "an unready pod that may always go": [
        *ready(status=UNREADY),
        *budget({**SPENT, "currentHealthy": 0, "desiredHealthy": 1}, unhealthyPodEvictionPolicy="AlwaysAllow"),
        ("evict", "pods", "x", {}),
    ],
    "a ready pod under AlwaysAllow": [
        *ready(),
        *budget(SPENT, unhealthyPodEvictionPolicy="AlwaysAllow"),
        ("evict", "pods", "x", {}),
    ],
    "an unready pod when nobody has to be healthy": [
        *ready(status=UNREADY),
        *budget({**SPENT, "currentHealthy": 0, "desiredHealthy": 0}),
        ("evict", "pods", "x", {}),
    ],
    "an eviction with another uid": [*ready(), ("evict", "pods", "x", {"preconditions": {"uid": "other"}})],
    "a pod is bound twice": [
        ("create", "pods", "", pod()),
        ("bind", "pods", "x", "n1"),
        ("bind", "pods", "x", "n2"),
    ],
    "a deployment is scaled": [
        ("create", "deployments", "", BASES["deployments"]),
        ("scale", "deployments", "x", 3),
        ("scale", "deployments", "x", 3),
        ("scale", "deployments", "x", 0),
        ("scale", "deployments", "x", -1),
    ],
    "a stateful set is scaled": [
        ("create", "statefulsets", "", BASES["statefulsets"]),
        ("scale", "statefulsets", "x", 2),
    ],
    "what is not there is scaled": [("scale", "deployments", "nobody", 2)],
    "a status is written": [
        ("create", "deployments", "", BASES["deployments"]),
        ("status", "deployments", "x", {"status": {"replicas": 1, "observedGeneration": 1}, "spec.replicas": 9}),
        ("status", "deployments", "x", {"status": {"replicas": 1, "observedGeneration": 1}}),
    ],
    "a pod's status brings a label along": [
        ("create", "pods", "", pod()),
        ("status", "pods", "x", {"metadata.labels": {"app": "y"}, "status.phase": "Running"}),
    ],
    "a deployment's status brings a label along": [
        ("create", "deployments", "", BASES["deployments"]),
        ("status", "deployments", "x", {"metadata.labels": {"a": "b"}, "metadata.annotations": {"c": "d"}}),
    ],
    "a service keeps its node port": [
        ("create", "services", "", edited(BASES["services"], {"spec.type": "NodePort"})),
        ("update", "services", "x", {"spec.ports": [{"port": 80, "targetPort": 8080}], "spec.selector": {"a": "b"}}),
    ],
    "a node port is taken": [
        (
            "create",
            "services",
            "",
            edited(BASES["services"], {"spec.type": "NodePort", "spec.ports.0.nodePort": 31999}),
        ),
        (
            "create",
            "services",
            "",
            edited(
                BASES["services"],
                {"metadata.name": "y", "spec.type": "NodePort", "spec.ports.0.nodePort": 31999},
            ),
        ),
        ("delete", "services", "x", {}),
        (
            "create",
            "services",
            "",
            edited(
                BASES["services"],
                {"metadata.name": "y", "spec.type": "NodePort", "spec.ports.0.nodePort": 31999},
            ),
        ),
    ],
    "two containers change their image": [
        ("create", "pods", "", pod(containers=[C, {**C, "name": "d"}])),
        ("update", "pods", "x", {"spec.containers.1.image": "other:1"}),
    ],
}
