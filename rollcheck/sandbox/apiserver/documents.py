"""Objects → the documents that go over the wire: single, in lists, as tables, as metadata alone.

Stored objects never change, so their JSON is made once for all readers and watchers.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from rollcheck.sandbox import status
from rollcheck.sandbox.apiserver import tables
from rollcheck.sandbox.resources import Resource
from rollcheck.sandbox.trees import Json

KEPT = 4096
PARTIAL = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}


class View(Enum):
    """How a client wants to see objects."""

    WHOLE = auto()
    TABLE = auto()
    METADATA = auto()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asked for by Accept and includeObject.

    Attributes:
        include: what lies beside a table's cells: None, Metadata or Object.
    """

    view: View = View.WHOLE
    include: str = "Metadata"


def wanted(accept: str, query: Mapping[str, str]) -> Wanted:
    """The first of the accepted media types that is spoken here; raises ApiFailure 406 when none is."""
    for part in (accept or "*/*").split(","):
        media, *parameters = (word.strip() for word in part.split(";"))
        if media not in ("application/json", "*/*", "application/*"):
            continue
        said = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        if said.get("as") == "Table" and said.get("g") == "meta.k8s.io" and said.get("v") in ("v1", "v1beta1"):
            return Wanted(View.TABLE, query.get("includeObject") or "Metadata")
        if said.get("as", "").startswith("PartialObjectMetadata"):
            return Wanted(View.METADATA)
        if "as" not in said:
            return Wanted()
    raise status.not_acceptable()


def dump(tree: Any) -> bytes:
    """JSON, without spaces, with a line end."""
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


class Documents:
    """Makes documents and remembers the JSON of what was stored last.

    Args:
        now: gives the time that ages in tables are reckoned from.
    """

    def __init__(self, now: Any) -> None:
        self._now = now
        self._made: OrderedDict[int, tuple[Json, bytes]] = OrderedDict()

    def now(self) -> datetime:
        """The time of the sandbox."""
        found: datetime = self._now()
        return found

    def _tail(self, obj: Json) -> bytes:
        """The JSON of a stored object from behind its kind and apiVersion on."""
        kept = self._made.get(id(obj))
        if kept is not None and kept[0] is obj:
            return kept[1]
        rest = {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}
        made = json.dumps(rest, ensure_ascii=False, separators=(",", ":")).encode()[1:]
        self._made[id(obj)] = (obj, made)  # by identity: a watch with a selector shows what was under what is now
        if len(self._made) > KEPT:
            self._made.popitem(last=False)
        return made

    def stored(self, resource: Resource, obj: Json) -> bytes:
        """An object that lies in the registry, without a line end."""
        return b'{"kind":"%b","apiVersion":"%b",%b' % (
            resource.kind.encode(),
            resource.api_version.encode(),
            self._tail(obj),
        )

    def one(self, resource: Resource, obj: Json, want: Wanted, *, is_stored: bool = False) -> bytes:
        """One object as the client wants it."""
        if want.view is View.WHOLE and is_stored:
            return self.stored(resource, obj) + b"\n"
        return self.loose(obj, want)

    def loose(self, obj: Json, want: Wanted) -> bytes:
        """One object that is not stored, as the client wants it."""
        if want.view is View.TABLE:
            table = tables.table(obj["kind"], [obj], self.now(), want.include)
            table["metadata"] = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return dump(table)
        return dump(PARTIAL | {"metadata": obj["metadata"]} if want.view is View.METADATA else obj)

    def many(self, resource: Resource, objects: Sequence[Json], metadata: Json, want: Wanted) -> bytes:
        """A list of stored objects as the client wants it."""
        if want.view is View.TABLE:
            table = self.table(resource, objects, want, metadata["resourceVersion"])
            table["metadata"] = metadata
            return dump(table)
        if want.view is View.METADATA:
            items = [PARTIAL | {"metadata": obj["metadata"]} for obj in objects]
            return dump(
                {
                    "kind": "PartialObjectMetadataList",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": metadata,
                    "items": items,
                }
            )
        head = {"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata}
        return dump(head)[:-2] + b',"items":[' + b",".join(b"{" + self._tail(obj) for obj in objects) + b"]}\n"

    def table(
        self, resource: Resource, objects: Iterable[Json], want: Wanted, version: str, *, header: bool = True
    ) -> Json:
        """Objects as rows."""
        table = tables.table(resource.kind, objects, self.now(), want.include)
        table["metadata"] = {"resourceVersion": version}
        if not header:
            table["columnDefinitions"] = []
        return table

    def event(self, type_: str, resource: Resource, obj: Json, want: Wanted, *, header: bool = True) -> bytes:
        """One line of a watch."""
        if want.view is View.WHOLE:
            return b'{"type":"%b","object":%b}\n' % (type_.encode(), self.stored(resource, obj))
        if want.view is View.METADATA:
            return dump({"type": type_, "object": PARTIAL | {"metadata": obj["metadata"]}})
        version = obj["metadata"].get("resourceVersion", "")
        return dump({"type": type_, "object": self.table(resource, [obj], want, version, header=header)})

    def bookmark(self, resource: Resource, version: int, want: Wanted, *, initial_end: bool = False) -> bytes:
        """A line that says how far a watch has come."""
        metadata: Json = {"resourceVersion": str(version)}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        if want.view is View.TABLE:
            obj: Json = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": str(version)}}
            obj |= {"columnDefinitions": [], "rows": []}
            if initial_end:
                bare = PARTIAL | {"metadata": metadata}
                obj["rows"] = [{"cells": [], "object": bare}]
        elif want.view is View.METADATA:
            obj = PARTIAL | {"metadata": metadata}
        else:
            obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return dump({"type": "BOOKMARK", "object": obj})
