"""Paths → what they mean."""

from __future__ import annotations

from dataclasses import dataclass

from rollcheck.sandbox.resources import NAMESPACES, RESOURCES, Resource, find

GROUP_VERSIONS = frozenset((one.group, one.version) for one in RESOURCES)
NAMESPACE_SUBRESOURCES = NAMESPACES.subresources


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names.

    Attributes:
        namespace: None for all of them, and for what lies in none.
        name: empty for a collection.
        subresource: empty for the object itself.
    """

    resource: Resource
    namespace: str | None
    name: str = ""
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The API group that a path lies in, and the rest of the path."""

    group: str
    version: str
    rest: tuple[str, ...]


def prefix(path: str) -> Prefix | None:
    """Split `/api/v1/…` and `/apis/GROUP/VERSION/…`; None for other paths."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) >= 2:
        return Prefix("", parts[1], tuple(parts[2:]))
    if parts[:1] == ["apis"] and len(parts) >= 3:
        return Prefix(parts[1], parts[2], tuple(parts[3:]))
    return None


def target(place: Prefix) -> Target | None:
    """What the rest of a path names, None for nothing."""
    rest, namespace = place.rest, None
    if place.group == "" and rest[:1] == ("namespaces",) and len(rest) >= 3 and rest[2] in NAMESPACE_SUBRESOURCES:
        return Target(NAMESPACES, None, rest[1], rest[2]) if len(rest) == 3 else None
    if rest[:1] == ("namespaces",) and len(rest) >= 3:
        namespace, rest = rest[1], rest[2:]
    if not 1 <= len(rest) <= 3:
        return None
    resource = find(place.group, place.version, rest[0])
    if resource is None or (namespace is not None) > resource.namespaced:
        return None
    if resource.namespaced and namespace is None and len(rest) > 1:
        return None
    subresource = rest[2] if len(rest) > 2 else ""
    if subresource and subresource not in resource.subresources:
        return None
    return Target(resource, namespace, rest[1] if len(rest) > 1 else "", subresource)
