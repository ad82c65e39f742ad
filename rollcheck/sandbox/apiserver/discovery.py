"""Discovery: which groups, versions and resources there are; both the old documents and the aggregated ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from rollcheck.sandbox.apiserver import reviews
from rollcheck.sandbox.apiserver.routing import GROUP_VERSIONS
from rollcheck.sandbox.resources import NAMESPACES, RESOURCES, Resource
from rollcheck.sandbox.trees import Json

VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
NO_COLLECTION = [verb for verb in VERBS if verb != "deletecollection"]
SUBRESOURCES: dict[str, tuple[tuple[str, str, str], list[str]]] = {
    "binding": (("", "", "Binding"), ["create"]),
    "eviction": (("policy", "v1", "Eviction"), ["create"]),
    "scale": (("autoscaling", "v1", "Scale"), ["get", "patch", "update"]),
}
OWN_KIND = {"status": ["get", "patch", "update"], "log": ["get"], "finalize": ["update"]}
"""Subresources whose kind is that of the resource. Others that the real server has are not served, so not told."""


def versions() -> list[tuple[str, str]]:
    """Every group and version, in the order in which they are told."""
    return sorted(GROUP_VERSIONS | set(reviews.KINDS))


def groups() -> list[str]:
    """Every group but the core, sorted."""
    return sorted({group for group, _ in versions() if group})


def group_version(group: str, version: str) -> str:
    """As in objects: `v1`, `apps/v1`."""
    return f"{group}/{version}" if group else version


def core_versions(address: str) -> Json:
    """The document at /api."""
    servers = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": servers}


def group_list() -> Json:
    """The document at /apis."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in groups()]}


def group(name: str) -> Json | None:
    """The document at /apis/NAME, None when there is no such group."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)} if name in groups() else None


def _group(name: str) -> Json:
    found = [
        {"groupVersion": f"{name}/{version}", "version": version} for group, version in versions() if group == name
    ]
    return {"name": name, "versions": found, "preferredVersion": found[0]}


def _of(group: str, version: str) -> Iterator[Resource]:
    return (one for one in RESOURCES if (one.group, one.version) == (group, version))


def subresources(resource: Resource) -> Iterator[tuple[str, tuple[str, str, str], list[str]]]:
    """Name, kind (group and version empty when they are the resource's own) and verbs of each."""
    for name in resource.subresources:
        if name in SUBRESOURCES:
            kind, verbs = SUBRESOURCES[name]
            yield name, kind, verbs
        elif name in OWN_KIND:
            yield name, ("", "", resource.kind), OWN_KIND[name]


def verbs(resource: Resource) -> list[str]:
    """What can be done with a resource."""
    return NO_COLLECTION if resource is NAMESPACES else VERBS


@cache
def _resource_list(group: str, version: str) -> Json:
    found: list[Json] = []
    for one in _of(group, version):
        entry: Json = {"name": one.plural, "singularName": one.singular, "namespaced": one.namespaced, "kind": one.kind}
        entry["verbs"] = verbs(one)
        entry |= _told(one)
        entry["storageVersionHash"] = hashlib.sha256(one.qualified.encode()).hexdigest()[:11] + "="
        found.append(entry)
        for name, (sub_group, sub_version, kind), can in subresources(one):
            sub: Json = {"name": f"{one.plural}/{name}", "singularName": "", "namespaced": one.namespaced}
            if sub_version:
                sub |= {"group": sub_group, "version": sub_version}
            found.append(sub | {"kind": kind, "verbs": can})
    for plural, kind in reviews.KINDS.get((group, version), {}).items():
        singular = kind.lower()
        found.append({"name": plural, "singularName": singular, "namespaced": False, "kind": kind, "verbs": ["create"]})
    name = group_version(group, version)
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": found}


def resource_list(group: str, version: str) -> Json | None:
    """The document at /api/VERSION or /apis/GROUP/VERSION, None when there is no such version."""
    return _resource_list(group, version) if (group, version) in versions() else None


def _told(resource: Resource) -> Json:
    told: Json = {}
    if resource.short_names:
        told["shortNames"] = list(resource.short_names)
    if resource.categories:
        told["categories"] = list(resource.categories)
    return told


def wants_aggregated(accept: str) -> str:
    """The version of aggregated discovery that a client asks for first, "" for the old documents."""
    for part in accept.split(","):
        words = dict(word.strip().split("=", 1) for word in part.split(";")[1:] if "=" in word)
        if words.get("g") == "apidiscovery.k8s.io" and words.get("v") in ("v2", "v2beta1"):
            return words["v"]
    return ""


@cache
def aggregated(core: bool, version: str) -> Json:
    """All of /api (`core`) or /apis in one document."""
    names = [""] if core else groups()
    items = [{"metadata": {"name": name} if name else {}, "versions": _aggregated_versions(name)} for name in names]
    api_version = f"apidiscovery.k8s.io/{version}"
    return {"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items}


def _aggregated_versions(group: str) -> list[Json]:
    found: list[Json] = []
    for name, version in versions():
        if name == group:
            entries = [_aggregated(one) for one in _of(group, version)]
            entries += [_aggregated_review(*pair) for pair in reviews.KINDS.get((group, version), {}).items()]
            found.append({"version": version, "resources": entries, "freshness": "Current"})
    return found


def _kind(group: str, version: str, kind: str) -> Json:
    return {"group": group, "version": version, "kind": kind}


def _aggregated(resource: Resource) -> Json:
    entry: Json = {
        "resource": resource.plural,
        "responseKind": _kind("", "", resource.kind),  # empty: the same as the resource's
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": verbs(resource),
        **_told(resource),
    }
    below: list[Any] = []
    for name, (group, version, kind), can in subresources(resource):
        below.append({"subresource": name, "responseKind": _kind(group, version, kind), "verbs": can})
    return entry | {"subresources": below} if below else entry


def _aggregated_review(plural: str, kind: str) -> Json:
    return {
        "resource": plural,
        "responseKind": _kind("", "", kind),
        "scope": "Cluster",
        "singularResource": kind.lower(),
        "verbs": ["create"],
    }


def paths() -> Json:
    """The document at /."""
    found = ["/api", "/api/v1", "/apis", "/apis/"]
    for name in groups():
        found += [f"/apis/{name}", *(f"/apis/{name}/{version}" for group, version in versions() if group == name)]
    found += ["/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/readyz", "/version"]
    return {"paths": found}
