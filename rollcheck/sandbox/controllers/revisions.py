"""ControllerRevisions: the templates that StatefulSets and DaemonSets had, and which of them is which.

The data of a revision is the strategic patch that `kubectl rollout undo` applies, as Kubernetes writes it:
{"spec": {"template": {…, "$patch": "replace"}}}.
"""

from __future__ import annotations

from rollcheck.sandbox.controllers.base import MANAGER
from rollcheck.sandbox.controllers.hashes import REVISION_HASH, same_template, template_hash
from rollcheck.sandbox.controllers.objects import annotations_of, controller_of, controller_ref, created_at, labels_of
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import CONTROLLER_REVISIONS
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.trees import Json, clone, name_of, namespace_of, uid_of


def listed(registry: Registry, owner: Json) -> list[Json]:
    """The owner's revisions, the first one first."""
    mine = [
        revision
        for revision in registry.list(CONTROLLER_REVISIONS, namespace_of(owner))
        if (controller_of(revision) or {}).get("uid") == uid_of(owner)
    ]
    return sorted(mine, key=lambda r: (number_of(r), created_at(r), name_of(r)))


def number_of(revision: Json) -> int:
    """Its number; they grow with time."""
    return int(revision.get("revision") or 0)


def hash_of(revision: Json) -> str:
    """What tells its pods from others: the value of their label controller-revision-hash in a DaemonSet."""
    return labels_of(revision).get(REVISION_HASH, "")


def template_of(revision: Json) -> Json:
    """The pod template it keeps."""
    template: Json = clone(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template


def ensure(registry: Registry, owner: Json, kind: str) -> tuple[Json, list[Json], int]:
    """The revision of the owner's present template, written where there is none, and made the newest.

    Returns:
        That revision, all of the owner's revisions with it (the first one first), and the collisions met so far.

    Raises:
        ApiFailure: it could not be written.
    """
    revisions = listed(registry, owner)
    template = owner["spec"]["template"]
    collisions = int((owner.get("status") or {}).get("collisionCount") or 0)
    equal = [revision for revision in revisions if same_template(template_of(revision), template)]
    following = number_of(revisions[-1]) + 1 if revisions else 1
    if not equal:
        created, collisions = _create(registry, owner, kind, following, collisions)
        return created, [*revisions, created], collisions
    current = equal[-1]
    if current is not revisions[-1]:

        def renumber(copy: Json) -> None:
            copy["revision"] = following

        current = registry.modify(
            CONTROLLER_REVISIONS, namespace_of(current), name_of(current), renumber, manager=MANAGER
        )
        revisions = [*(r for r in revisions if uid_of(r) != uid_of(current)), current]
    return current, revisions, collisions


def truncate(registry: Registry, owner: Json, revisions: list[Json], live: set[str]) -> None:
    """Delete the oldest revisions past revisionHistoryLimit; `live` are the names of those still in use."""
    limit = int(owner["spec"].get("revisionHistoryLimit") or 0)
    history = [revision for revision in revisions if name_of(revision) not in live]
    for revision in history[: max(0, len(history) - limit)]:
        registry.delete(CONTROLLER_REVISIONS, namespace_of(revision), name_of(revision), uid=uid_of(revision))


def _create(registry: Registry, owner: Json, kind: str, number: int, collisions: int) -> tuple[Json, int]:
    while True:
        wanted = _revision(owner, kind, number, collisions)
        try:
            return registry.create(CONTROLLER_REVISIONS, namespace_of(owner), wanted, manager=MANAGER), collisions
        except ApiFailure as failure:
            there = registry.peek(CONTROLLER_REVISIONS, namespace_of(owner), wanted["metadata"]["name"])
            if failure.code != 409 or there is None:
                raise
            if same_template(template_of(there), owner["spec"]["template"]):
                return there, collisions
            collisions += 1


def _revision(owner: Json, kind: str, number: int, collisions: int) -> Json:
    template = clone(owner["spec"]["template"])
    digest = template_hash(template, collisions)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{name_of(owner)[: 253 - 1 - len(digest)]}-{digest}",
            "namespace": namespace_of(owner),
            "labels": {**((template.get("metadata") or {}).get("labels") or {}), REVISION_HASH: digest},
            "annotations": dict(annotations_of(owner)),
            "ownerReferences": [controller_ref(owner, "apps/v1", kind)],
        },
        "data": {"spec": {"template": {**template, "$patch": "replace"}}},
        "revision": number,
    }
