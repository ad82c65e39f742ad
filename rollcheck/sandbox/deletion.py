"""How an object ends: grace, finalizers, preconditions. Pure; the registry does what is decided here.

Source: `k8s.io/apiserver/pkg/registry/rest/delete.go` BeforeDelete, `.../generic/registry/store.go`
updateForGracefulDeletionAndFinalizers, `pkg/registry/core/pod/strategy.go` CheckGracefulDelete.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from rollcheck.sandbox import status
from rollcheck.sandbox.clock import parse_time, seconds_text
from rollcheck.sandbox.resources import PODS, Resource
from rollcheck.sandbox.trees import Json, at, name_of

DEFAULT_GRACE_S = 30
ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
PROPAGATIONS = ("Background", "Foreground", "Orphan")


@dataclass(frozen=True, slots=True)
class Ending:
    """What a delete does to an object.

    Attributes:
        metadata: changes to write into the metadata first; {} for none. A value of None removes the key.
        remove: whether the object then goes at once.
    """

    metadata: Json
    remove: bool


def pod_grace(pod: Json, grace: int | None) -> int:
    """Seconds a pod gets from a delete that asks for `grace`: none when it never ran or has ended."""
    if grace is None:
        spec_grace = at(pod, "spec", "terminationGracePeriodSeconds")
        grace = DEFAULT_GRACE_S if spec_grace is None else int(spec_grace)
    if not at(pod, "spec", "nodeName") or at(pod, "status", "phase") in ("Succeeded", "Failed"):
        return 0
    return 1 if grace < 0 else grace


def check_preconditions(resource: Resource, obj: Json, uid: str, version: str) -> None:
    """Raise ApiFailure 409 unless `obj` is the one that the caller means; empty texts ask for nothing."""
    metadata = obj["metadata"]
    if uid and uid != metadata["uid"]:
        why = (
            f"the UID in the precondition ({uid}) does not match the UID in record ({metadata['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise status.precondition_failed(resource, name_of(obj), why)
    if version and version != metadata["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
            f"({metadata['resourceVersion']}). The object might have been modified"
        )
        raise status.precondition_failed(resource, name_of(obj), why)


def end(resource: Resource, obj: Json, grace: int | None, propagation: str, now: datetime) -> Ending:
    """Decide what a delete of `obj` at `now` does.

    A pod under deletion can only have its grace shortened, which rewrites both fields from the first request's time.
    Whatever has a finalizer stays until its last one is taken away.
    """
    metadata = obj["metadata"]
    changes = _graceful(obj, grace, now) if resource is PODS else None
    finalizers = _finalizers(list(metadata.get("finalizers") or ()), propagation)
    if finalizers != list(metadata.get("finalizers") or ()):
        changes = {**(changes or {}), "finalizers": finalizers or None}
    if resource is PODS:
        seconds = (changes or {}).get("deletionGracePeriodSeconds", metadata.get("deletionGracePeriodSeconds"))
        return Ending(changes or {}, remove=not finalizers and seconds == 0)
    if not finalizers:
        return Ending({}, remove=True)
    return Ending({**(changes or {}), **_marked(metadata, now)}, remove=False)


def _marked(metadata: Json, now: datetime) -> Json:
    """For what knows no grace but has finalizers: deleted, of now, with none."""
    marks: Json = {}
    if "deletionTimestamp" not in metadata:
        marks["deletionTimestamp"] = seconds_text(now)
        if "generation" in metadata:
            marks["generation"] = metadata["generation"] + 1
    if metadata.get("deletionGracePeriodSeconds") != 0:
        marks["deletionGracePeriodSeconds"] = 0
    return marks


def _graceful(pod: Json, grace: int | None, now: datetime) -> Json | None:
    metadata = pod["metadata"]
    if "deletionTimestamp" not in metadata:
        seconds = pod_grace(pod, grace)
        return {
            "deletionTimestamp": seconds_text(now + timedelta(seconds=seconds)),
            "deletionGracePeriodSeconds": seconds,
            "generation": metadata.get("generation", 0) + 1,
        }
    before = metadata.get("deletionGracePeriodSeconds")
    if grace is None or before is None:
        return None
    if grace < 0:
        grace = 1
    if grace >= before:
        return None
    asked = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=before)
    return {
        "deletionTimestamp": seconds_text(asked + timedelta(seconds=grace)),
        "deletionGracePeriodSeconds": grace,
    }


def _finalizers(now: list[str], propagation: str) -> list[str]:
    """The finalizers that a deletion with that propagation leaves on an object."""
    kept = [one for one in now if one not in (ORPHAN, FOREGROUND)]
    if propagation == "Orphan":
        kept.append(ORPHAN)
    elif propagation == "Foreground":
        kept.append(FOREGROUND)
    return kept
