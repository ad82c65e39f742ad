"""metadata.managedFields: who set which field, kept on every write that comes from outside.

Rules: k8s.io/apimachinery `pkg/util/managedfields`. Controllers and kubelets write without being entered; where
nobody is entered yet, the first apply enters `before-first-apply` for all that is there, as the real server does for
objects older than itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rollcheck.sandbox.apiserver import fieldsets
from rollcheck.sandbox.apiserver.fields import type_of
from rollcheck.sandbox.apiserver.fieldsets import Fields, Path
from rollcheck.sandbox.clock import Clock
from rollcheck.sandbox.resources import JOBS, NAMESPACES, SERVICES, Resource
from rollcheck.sandbox.trees import Json

UPDATE, APPLY = "Update", "Apply"
FIRST = "before-first-apply"
JOB_LABELS = frozenset(
    f"f:{label}" for name in ("controller-uid", "job-name") for label in (name, f"batch.kubernetes.io/{name}")
)
SERVICE_FIELDS = frozenset(
    f"f:{name}"
    for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort", "nodePort")
)


@dataclass(frozen=True, slots=True)
class Manager:
    """Who wrote, how, and to what part."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def told(self) -> str:
        """As conflicts name it: `"kubectl" using apps/v1`."""
        below = f' with subresource "{self.subresource}"' if self.subresource else ""
        using = f" using {self.api_version}" if self.operation == UPDATE else ""
        return f'"{self.name}"{below}{using}'


@dataclass(slots=True)
class Owned:
    """What one manager owns, and since when that is so."""

    fields: Fields
    time: str


Owners = dict[Manager, Owned]


def read(obj: Json | None) -> Owners:
    """The owners that an object tells of."""
    found: Owners = {}
    entries = (obj or {}).get("metadata", {}).get("managedFields") or ()
    for entry in entries:
        if not entry.get("manager") and not entry.get("operation"):
            continue
        manager = Manager(
            entry.get("manager", ""),
            entry.get("operation", UPDATE),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        )
        found[manager] = Owned(fieldsets.decode(entry.get("fieldsV1") or {}), entry.get("time", ""))
    return found


def write(owners: Owners) -> list[Json]:
    """ManagedFields of these owners, in the real server's order: applied ones first, then by time and name."""
    entries = []
    for manager, owned in owners.items():
        if not owned.fields:
            continue
        entry: Json = {"manager": manager.name, "operation": manager.operation, "apiVersion": manager.api_version}
        entry |= {"time": owned.time, "fieldsType": "FieldsV1", "fieldsV1": fieldsets.encode(owned.fields)}
        if manager.subresource:
            entry["subresource"] = manager.subresource
        entries.append(entry)
    return sorted(entries, key=_order)


def _order(entry: Json) -> tuple[Any, ...]:
    return entry["operation"], entry["time"], entry["manager"], entry["apiVersion"], entry.get("subresource", "")


def dropped(resource: Resource, subresource: str) -> tuple[str, ...]:
    """The members of an object that a write of this kind does not reach."""
    if subresource == "status":
        return ("spec",)
    return ("status",) if "status" in resource.subresources else ()


def _generated(resource: Resource, path: Path) -> bool:
    """Whether the server has made that field of a new object up: then nobody owns it."""
    if resource is JOBS:
        return path[:2] == ("f:spec", "f:selector") or path[-1] in JOB_LABELS
    if resource is SERVICES:
        return path[0] == "f:spec" and bool({*path} & SERVICE_FIELDS)
    return resource is NAMESPACES and path[0] == "f:spec"


def keeper(clock: Clock) -> Callable[[Resource, Json | None, Json, str, str], None]:
    """What the registry calls before a write that names its manager; enters the write into `new`."""

    def keep(resource: Resource, old: Json | None, new: Json, manager: str, subresource: str) -> None:
        entries = new["metadata"].get("managedFields")
        if entries is not None and not any(entries):  # [] or [{}]: the client wants to have done with it
            del new["metadata"]["managedFields"]
            return
        owners = read(new)
        if old is not None and not owners:
            return
        who = Manager(manager, UPDATE, resource.api_version, subresource)
        made = write(updated(resource, old, new, owners, who, clock.stamp()))
        if made:
            new["metadata"]["managedFields"] = made
        else:
            new["metadata"].pop("managedFields", None)

    return keep


def updated(resource: Resource, old: Json | None, new: Json, owners: Owners, who: Manager, stamp: str) -> Owners:
    """The owners after `who` has made `new` of `old`: what it changed is its own, and nobody else's."""
    type_ = type_of(resource.api_version, resource.kind)
    assert type_ is not None
    changed, removed = fieldsets.difference(type_, old if old is not None else {}, new)
    drop = dropped(resource, who.subresource)
    changed, removed = fieldsets.kept(changed, drop=drop), fieldsets.kept(removed, drop=drop)
    if old is None:
        changed = {path for path in changed if not _generated(resource, path)}
        _drop_hollow(changed)
    found: Owners = {}
    for manager, owned in owners.items():
        gone = removed if manager == who else removed | changed
        found[manager] = _changed(owned, owned.fields - gone, stamp)
    mine = found.get(who, Owned(set(), stamp))
    found[who] = _changed(mine, mine.fields | changed, stamp)
    return found


def _drop_hollow(fields: Fields) -> None:
    """Take away maps of labels of which nothing else is left."""
    for path in [path for path in fields if path[-1] == "f:labels"]:
        if not any(len(other) > len(path) and other[: len(path)] == path for other in fields):
            fields.discard(path)


def _changed(owned: Owned, fields: Fields, stamp: str) -> Owned:
    return owned if fields == owned.fields else Owned(fields, stamp)
