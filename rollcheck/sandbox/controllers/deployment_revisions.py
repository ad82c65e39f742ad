"""The ReplicaSets of a Deployment as its revisions: which is the new one, its number and notes, the old ones' end.

`kubectl rollout undo` only patches an old template back in. What moves the numbers is here: the ReplicaSet of the
present template always carries the highest revision, and remembers those it had before.
"""

from __future__ import annotations

from rollcheck.sandbox.controllers.deployment_status import bounds, by_age, size_of
from rollcheck.sandbox.controllers.fenceposts import RECREATE, new_size
from rollcheck.sandbox.controllers.hashes import TEMPLATE_HASH, same_template, template_hash
from rollcheck.sandbox.controllers.objects import annotations_of, controller_ref, generation_of, is_deleting, status_of
from rollcheck.sandbox.trees import Json, clone, name_of, namespace_of

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
NOT_COPIED = (LAST_APPLIED, REVISION, HISTORY, DESIRED, MOST, "deprecated.deployment.rollback.to")
HISTORY_LIMIT = 2000
NAME_LIMIT = 253


def find_new(deployment: Json, sets: list[Json]) -> Json | None:
    """The oldest ReplicaSet whose template is the Deployment's."""
    template = deployment["spec"]["template"]
    return next((piece for piece in by_age(sets) if same_template(piece["spec"]["template"], template)), None)


def revision_of(obj: Json) -> int:
    """The revision annotation as a number; 0 where there is none or it is no number."""
    text = annotations_of(obj).get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def next_revision(old: list[Json]) -> int:
    """The number the new ReplicaSet must have."""
    return max((revision_of(piece) for piece in old), default=0) + 1


def set_annotations(deployment: Json, piece: Json, revision: int, *, exists: bool) -> None:
    """Give the new ReplicaSet `piece` (a copy, changed in place) the Deployment's annotations and its revision."""
    notes: dict[str, str] = piece["metadata"].setdefault("annotations", {})
    notes.update({key: value for key, value in annotations_of(deployment).items() if key not in NOT_COPIED})
    before = notes.get(REVISION)
    if not exists or before is None or (before.isdecimal() and int(before) < revision):
        notes[REVISION] = str(revision)
        if exists and before is not None:
            notes[HISTORY] = _remembered(notes.get(HISTORY, ""), before)
    if not exists:
        set_size_annotations(deployment, piece)


def set_size_annotations(deployment: Json, piece: Json) -> None:
    """Note on `piece`, a copy of a ReplicaSet that is changed in place, what the Deployment asks for as it is sized."""
    allowed = bounds(deployment)
    notes: dict[str, str] = piece["metadata"].setdefault("annotations", {})
    notes[DESIRED] = str(allowed.desired)
    notes[MOST] = str(allowed.most)


def number_noted(piece: Json, annotation: str) -> int | None:
    """A size noted on a ReplicaSet; None where there is none."""
    text = annotations_of(piece).get(annotation, "")
    return int(text) if text.isdecimal() else None


def new_replica_set(deployment: Json, old: list[Json]) -> Json:
    """The ReplicaSet of the Deployment's present template, as it is to be created."""
    collisions = status_of(deployment).get("collisionCount")
    template = clone(deployment["spec"]["template"])
    digest = template_hash(template, collisions)
    labels = {**((template.get("metadata") or {}).get("labels") or {}), TEMPLATE_HASH: digest}
    template.setdefault("metadata", {})["labels"] = labels
    selector = clone(deployment["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), TEMPLATE_HASH: digest}
    piece: Json = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{name_of(deployment)[: NAME_LIMIT - 1 - len(digest)]}-{digest}",
            "namespace": namespace_of(deployment),
            "labels": dict(labels),
            "ownerReferences": [controller_ref(deployment, "apps/v1", "Deployment")],
        },
        "spec": {"replicas": _first_size(deployment, old), "selector": selector, "template": template},
    }
    if deployment["spec"].get("minReadySeconds"):
        piece["spec"]["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    set_annotations(deployment, piece, next_revision(old), exists=False)
    return piece


def is_same_owner_and_template(piece: Json, deployment: Json) -> bool:
    """Whether a ReplicaSet found under the new one's name is the new one, and not another template of that hash."""
    owners = piece["metadata"].get("ownerReferences") or ()
    mine = any(o.get("controller") and o.get("uid") == deployment["metadata"]["uid"] for o in owners)
    return mine and same_template(piece["spec"]["template"], deployment["spec"]["template"])


def outlived(deployment: Json, old: list[Json]) -> list[Json]:
    """The old ReplicaSets that revisionHistoryLimit no longer keeps, and that may go: they have no pods."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None:
        return []
    kept = [piece for piece in old if not is_deleting(piece)]
    too_many = sorted(by_age(kept), key=revision_of)[: max(0, len(kept) - int(limit))]
    return [piece for piece in too_many if _is_empty(piece)]


def _is_empty(piece: Json) -> bool:
    status = status_of(piece)
    observed = int(status.get("observedGeneration") or 0) >= generation_of(piece)
    return observed and not status.get("replicas") and size_of(piece) == 0


def _first_size(deployment: Json, old: list[Json]) -> int:
    if (deployment["spec"].get("strategy") or {}).get("type") == RECREATE:
        return size_of(deployment)
    return new_size(bounds(deployment), 0, sum(size_of(piece) for piece in old))


def _remembered(history: str, revision: str) -> str:
    revisions = [*history.split(","), revision] if history else [revision]
    while len(",".join(revisions)) > HISTORY_LIMIT:
        revisions.pop(0)
    return ",".join(revisions)
