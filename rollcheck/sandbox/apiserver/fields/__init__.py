"""The fields of every type that the sandbox serves: one table, from which OpenAPI, the checks of what clients send,
strategic merge, server-side apply and the reading of protobuf are all made.

What belongs here: facts about the API's types, one line a type. Not here: defaults and rules of validity (they are the
registry's), and anything that acts on objects. Left out of the tables: volumes of particular clouds and storage
systems, which are let through as `any`.

Source: the OpenAPI documents and the .proto files of Kubernetes 1.34.
"""

from __future__ import annotations

from functools import cache

from rollcheck.sandbox.apiserver.fields import core, meta, network, pods, workloads
from rollcheck.sandbox.apiserver.fields.language import Field, Shape, Struct, Type, parse

__all__ = ["API_VERSIONS", "STRUCTS", "Field", "Shape", "Struct", "Type", "struct_of", "type_of"]

API_VERSIONS = {
    "io.k8s.api.core.v1": "v1",
    "io.k8s.api.apps.v1": "apps/v1",
    "io.k8s.api.batch.v1": "batch/v1",
    "io.k8s.api.policy.v1": "policy/v1",
    "io.k8s.api.autoscaling.v1": "autoscaling/v1",
    "io.k8s.api.autoscaling.v2": "autoscaling/v2",
    "io.k8s.api.networking.v1": "networking.k8s.io/v1",
    "io.k8s.api.discovery.v1": "discovery.k8s.io/v1",
    "io.k8s.api.coordination.v1": "coordination.k8s.io/v1",
    "io.k8s.api.authorization.v1": "authorization.k8s.io/v1",
    "io.k8s.api.authentication.v1": "authentication.k8s.io/v1",
}

STRUCTS: dict[str, Struct] = {
    struct.name: struct
    for module in (meta, pods, core, workloads, network)
    for prefix, table in module.TABLES.items()
    for struct in parse(prefix, table)
}


def struct_of(type_: Type) -> Struct:
    """The struct that a type of shape STRUCT names."""
    return STRUCTS[type_.name]


@cache
def type_of(api_version: str, kind: str) -> Type | None:
    """The type of objects of that apiVersion and kind, None when there is no such."""
    struct = STRUCTS.get(kind)
    if struct is None or not struct.kind:
        return None
    known = API_VERSIONS.get(struct.full_name.rpartition(".")[0])
    return Type(Shape.STRUCT, kind) if known == api_version else None
