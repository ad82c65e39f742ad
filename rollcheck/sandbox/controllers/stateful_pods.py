"""The pods of a StatefulSet: names that stay, the storage that goes with them, and what its status counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rollcheck.sandbox.controllers.hashes import REVISION_HASH
from rollcheck.sandbox.controllers.objects import controller_ref, generation_of, is_deleting, labels_of, status_of
from rollcheck.sandbox.controllers.pods import from_template, is_available, is_ready, phase_of
from rollcheck.sandbox.trees import Json, clone, name_of, namespace_of

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"
PARALLEL = "Parallel"
ON_DELETE = "OnDelete"


def ordinal_of(pod: Json, owner: Json) -> int:
    """Its number in the StatefulSet; -1 for a pod whose name is not one of the StatefulSet's."""
    parent, _, number = name_of(pod).rpartition("-")
    return int(number) if parent == name_of(owner) and number.isdecimal() else -1


def first_ordinal(owner: Json) -> int:
    """The number of its first pod."""
    return int((owner["spec"].get("ordinals") or {}).get("start") or 0)


def partition_of(owner: Json) -> int:
    """The number below which pods keep the old template."""
    rolling = (owner["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    return int(rolling.get("partition") or 0)


def is_parallel(owner: Json) -> bool:
    """Whether it makes and removes pods without waiting for one after the other."""
    return bool(owner["spec"].get("podManagementPolicy") == PARALLEL)


def revision_of(pod: Json) -> str:
    """The name of the ControllerRevision it was made from."""
    return labels_of(pod).get(REVISION_HASH, "")


def is_created(pod: Json) -> bool:
    """Whether the pod is stored, and not only planned."""
    return phase_of(pod) != ""


def is_missing(pod: Json, wait_s: int, now: datetime) -> bool:
    """Whether the pod counts as unavailable: not there, not available yet, or on its way out."""
    return not is_available(pod, wait_s, now) or is_deleting(pod)


def new_pod(owner: Json, template: Json, revision: str, ordinal: int) -> Json:
    """The pod of that number, as it is to be created from a template of that revision."""
    pod = from_template(template, owner, controller_ref(owner, "apps/v1", "StatefulSet"))
    pod["metadata"]["name"] = f"{name_of(owner)}-{ordinal}"
    pod["metadata"]["namespace"] = namespace_of(owner)
    labels = pod["metadata"].setdefault("labels", {})
    labels[POD_NAME] = name_of(pod)
    labels[POD_INDEX] = str(ordinal)
    labels[REVISION_HASH] = revision
    pod["spec"]["hostname"] = name_of(pod)
    if owner["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = owner["spec"]["serviceName"]
    volumes = claim_volumes(owner, ordinal)
    taken = {volume["name"] for volume in volumes}
    rest = [volume for volume in pod["spec"].get("volumes") or () if volume["name"] not in taken]
    if volumes or rest:
        pod["spec"]["volumes"] = [*volumes, *rest]
    return pod


def claims(owner: Json, ordinal: int) -> list[Json]:
    """The PersistentVolumeClaims of the pod of that number."""
    labels = (owner["spec"].get("selector") or {}).get("matchLabels") or {}
    wanted: list[Json] = []
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        claim: Json = clone({key: value for key, value in template.items() if key != "status"})
        claim.update(apiVersion="v1", kind="PersistentVolumeClaim")
        meta = claim["metadata"]
        meta["name"] = claim_name(owner, template, ordinal)
        meta["namespace"] = namespace_of(owner)
        meta["labels"] = {**(meta.get("labels") or {}), **labels}
        wanted.append(claim)
    return wanted


def claim_name(owner: Json, template: Json, ordinal: int) -> str:
    """data-web-0."""
    return f"{template['metadata']['name']}-{name_of(owner)}-{ordinal}"


def claim_volumes(owner: Json, ordinal: int) -> list[Json]:
    """The volumes by which the pod of that number mounts its claims."""
    return [
        {
            "name": template["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim_name(owner, template, ordinal)},
        }
        for template in owner["spec"].get("volumeClaimTemplates") or ()
    ]


def calculate(owner: Json, pods: Iterable[Json], current: str, update: str, collisions: int, now: datetime) -> Json:
    """The status of a StatefulSet with these pods; `current` and `update` are names of revisions."""
    wait = int(owner["spec"].get("minReadySeconds") or 0)
    created = [pod for pod in pods if is_created(pod)]
    living = [pod for pod in created if not is_deleting(pod)]
    ready = [pod for pod in created if phase_of(pod) == "Running" and is_ready(pod)]
    return {
        "observedGeneration": generation_of(owner),
        "replicas": len(created),
        "readyReplicas": len(ready),
        "currentReplicas": sum(1 for pod in living if revision_of(pod) == current),
        "updatedReplicas": sum(1 for pod in living if revision_of(pod) == update),
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": collisions,
        "availableReplicas": sum(1 for pod in ready if is_available(pod, wait, now)),
    }


def completed(owner: Json, status: Json) -> Json:
    """The status, with the new revision as the present one once every pod is of it and ready; zeros left out."""
    desired = int(owner["spec"].get("replicas", 1))
    rolling = (owner["spec"].get("updateStrategy") or {}).get("type") != ON_DELETE
    if rolling and all(status[field] == desired for field in ("updatedReplicas", "readyReplicas", "replicas")):
        status = {**status, "currentReplicas": status["updatedReplicas"], "currentRevision": status["updateRevision"]}
    kept = ("replicas", "availableReplicas", "collisionCount")
    conditions = {"conditions": status_of(owner)["conditions"]} if status_of(owner).get("conditions") else {}
    return {**{key: value for key, value in status.items() if value or key in kept}, **conditions}
