"""Reading and building API objects as plain JSON: what every controller asks of them.

Nothing here writes to an object it was given: what the registry hands out is the stored object itself; `trees.clone`
makes the copy that may be changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rollcheck.sandbox.trees import Json, name_of, uid_of

PREFIX_LIMIT = 253


def key_of(obj: Json) -> tuple[str, str]:
    """(namespace, name): what work queues hold."""
    meta = obj["metadata"]
    return str(meta.get("namespace", "")), str(meta["name"])


def labels_of(obj: Json) -> dict[str, str]:
    """The object's labels; never None."""
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Json) -> dict[str, str]:
    """The object's annotations; never None."""
    return obj["metadata"].get("annotations") or {}


def generation_of(obj: Json) -> int:
    """`metadata.generation`; 0 where there is none."""
    return int(obj["metadata"].get("generation") or 0)


def spec_of(obj: Json) -> Json:
    """The spec; never None."""
    return obj.get("spec") or {}


def status_of(obj: Json) -> Json:
    """The status; never None."""
    return obj.get("status") or {}


def is_deleting(obj: Json) -> bool:
    """Whether its deletion was asked for."""
    return obj["metadata"].get("deletionTimestamp") is not None


def created_at(obj: Json) -> str:
    """The creation time as the API writes it: RFC 3339 in UTC, which sorts as text."""
    return str(obj["metadata"].get("creationTimestamp") or "")


def parse_time(text: str | None) -> datetime | None:
    """RFC 3339 → an aware datetime; None for no time."""
    return datetime.fromisoformat(text) if text else None


def controller_of(obj: Json) -> Json | None:
    """The owner reference that manages the object; None for an orphan."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            found: Json = owner
            return found
    return None


def is_controlled_by(obj: Json, uid: str) -> bool:
    """Whether the object's managing owner has this uid."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return bool(owner.get("uid") == uid)
    return False


def controller_ref(owner: Json, api_version: str, kind: str) -> Json:
    """An owner reference by which `owner` manages what carries it."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def has_condition(status: Json, kind: str) -> Json | None:
    """The condition of that type; None where the status has none."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == kind:
            found: Json = condition
            return found
    return None


def without_condition(conditions: Iterable[Json] | None, kind: str) -> list[Json]:
    """The conditions but those of that type."""
    return [c for c in conditions or () if c.get("type") != kind]


def generate_prefix(owner_name: str) -> str:
    """The prefix of the names of what an owner generates: its name and a dash, the dash left out where too long."""
    prefix = f"{owner_name}-"
    return prefix if len(prefix) <= PREFIX_LIMIT else owner_name
