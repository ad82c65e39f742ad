"""OpenAPI documents, v3 a group version and v2 for all: made from the tables of fields, as far as clients read them.

kubectl reads from v3: whether PATCH knows `fieldValidation` (else it would check manifests itself), the keys and
strategies of strategic merge (client-side apply), and types and fields (`kubectl explain`). Descriptions are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache

from rollcheck.sandbox.apiserver import discovery
from rollcheck.sandbox.apiserver.documents import dump
from rollcheck.sandbox.apiserver.fields import API_VERSIONS, STRUCTS, Field, Shape, Struct, Type, struct_of
from rollcheck.sandbox.resources import RESOURCES, Resource
from rollcheck.sandbox.trees import Json

INFO = {"title": "rollcheck sandbox", "version": "v1.34.0+sandbox"}
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
SCALARS: dict[str, Json] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "number": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
}
NAMED: dict[str, tuple[str, Json]] = {
    "quantity": ("io.k8s.apimachinery.pkg.api.resource.Quantity", {"oneOf": [{"type": "string"}, {"type": "number"}]}),
    "time": (META + "Time", {"type": "string", "format": "date-time"}),
    "microtime": (META + "MicroTime", {"type": "string", "format": "date-time"}),
    "intstr": (
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
    ),
}
QUERY = {
    "dryRun": "string",
    "fieldManager": "string",
    "fieldValidation": "string",
    "force": "boolean",
    "gracePeriodSeconds": "integer",
    "propagationPolicy": "string",
}
OPTIONS = {
    "post": ("dryRun", "fieldManager", "fieldValidation"),
    "put": ("dryRun", "fieldManager", "fieldValidation"),
    "patch": ("dryRun", "fieldManager", "fieldValidation", "force"),
    "delete": ("dryRun", "gracePeriodSeconds", "propagationPolicy"),
    "get": (),
}

PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


class Schemas:
    """Schemas of the types, with references in the manner of v2 or of v3."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._wraps = root.startswith("#/components")

    def reference(self, name: str) -> Json:
        """A reference to a schema."""
        return {"$ref": self._root + name}

    def of_type(self, type_: Type) -> Json:
        """The schema of a value."""
        if type_.shape is Shape.LIST and type_.item is not None:
            return {"type": "array", "items": self.of_type(type_.item)}
        if type_.shape is Shape.MAP and type_.item is not None:
            return {"type": "object", "additionalProperties": self.of_type(type_.item)}
        if type_.shape is Shape.STRUCT:
            return self.reference(struct_of(type_).full_name)
        if type_.shape is Shape.ANY:
            return {"type": "object"}
        return dict(SCALARS[type_.name]) if type_.name in SCALARS else self.reference(NAMED[type_.name][0])

    def of_field(self, field: Field) -> Json:
        """The schema of a member, with what Kubernetes adds to it."""
        schema = self.of_type(field.type)
        if "$ref" in schema and self._wraps:  # v3 lets nothing stand beside a reference
            schema = {"allOf": [schema]}
        if field.type.shape is Shape.LIST:
            keys = field.type.keys
            schema["x-kubernetes-list-type"] = "map" if keys else "set" if field.type.is_set else "atomic"
            if keys:
                schema["x-kubernetes-list-map-keys"] = list(keys)
        if field.type.shape is Shape.MAP and field.type.atomic:
            schema["x-kubernetes-map-type"] = "atomic"
        if field.strategies:
            schema["x-kubernetes-patch-strategy"] = ",".join(sorted(field.strategies))
        if field.merge_key:
            schema["x-kubernetes-patch-merge-key"] = field.merge_key
        if field.default:
            schema["default"] = field.default
        return schema

    def of_struct(self, struct: Struct) -> Json:
        """The schema of a type with fields."""
        schema: Json = {"type": "object", "properties": {name: self.of_field(f) for name, f in struct.fields.items()}}
        required = [name for name, field in struct.fields.items() if field.required]
        if required:
            schema["required"] = required
        if struct.atomic:
            schema["x-kubernetes-map-type"] = "atomic"
        if struct.kind:
            schema["x-kubernetes-group-version-kind"] = [kind_of(struct)]
        return schema

    def reached(self, structs: Iterable[Struct]) -> dict[str, Json]:
        """The schemas of these types and of all that they are made of, by name."""
        found: dict[str, Json] = {name: dict(schema) for name, schema in NAMED.values()}
        todo = list(structs)
        while todo:
            struct = todo.pop()
            if struct.full_name not in found:
                found[struct.full_name] = self.of_struct(struct)
                todo += [STRUCTS[name] for field in struct.fields.values() for name in _names(field.type)]
        return dict(sorted(found.items()))


def _names(type_: Type) -> list[str]:
    if type_.item is not None:
        return _names(type_.item)
    return [type_.name] if type_.shape is Shape.STRUCT else []


def kind_of(struct: Struct) -> Json:
    """Group, version and kind of an object's type."""
    group, _, version = API_VERSIONS[struct.full_name.rpartition(".")[0]].rpartition("/")
    return {"group": group, "version": version, "kind": struct.name}


def _base(resource: Resource) -> str:
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    return root + ("/namespaces/{namespace}/" if resource.namespaced else "/") + resource.plural


def _operation(resource: Resource, method: str, *, v3: bool) -> Json:
    schemas = Schemas("#/components/schemas/" if v3 else "#/definitions/")
    schema = schemas.reference(STRUCTS[resource.kind].full_name)
    parameters: list[Json] = []
    for name in OPTIONS[method]:
        kind = {"type": QUERY[name], "uniqueItems": True}
        parameters.append({"name": name, "in": "query", **({"schema": kind} if v3 else kind)})
    body = {"type": "object"} if method in ("patch", "delete") else schema
    medias = PATCHES if method == "patch" else ("application/json",)
    operation: Json = {"operationId": f"{method}{resource.kind}", "parameters": parameters}
    if v3:
        operation["responses"] = {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}}
        if method != "get":
            operation["requestBody"] = {"content": {media: {"schema": body} for media in medias}}
    else:
        operation |= {"consumes": list(medias), "produces": ["application/json"]}
        operation["responses"] = {"200": {"description": "OK", "schema": schema}}
    operation["x-kubernetes-action"] = method
    operation["x-kubernetes-group-version-kind"] = kind_of(STRUCTS[resource.kind])
    return operation


def _paths(resources: Iterable[Resource], *, v3: bool) -> Json:
    found: Json = {}
    for resource in resources:
        base = _base(resource)
        found[base] = {method: _operation(resource, method, v3=v3) for method in ("get", "post")}
        found[base + "/{name}"] = {
            method: _operation(resource, method, v3=v3) for method in ("get", "put", "patch", "delete")
        }
    return found


@cache
def v3(group: str, version: str) -> bytes | None:
    """The v3 document of one group version, None when there is none."""
    if (group, version) not in discovery.versions():
        return None
    api_version = discovery.group_version(group, version)
    structs = [
        struct
        for struct in STRUCTS.values()
        if struct.kind and API_VERSIONS[struct.full_name.rpartition(".")[0]] == api_version
    ]
    resources = [one for one in RESOURCES if one.api_version == api_version]
    schemas = Schemas("#/components/schemas/").reached([*structs, STRUCTS["DeleteOptions"]])
    return dump(
        {
            "openapi": "3.0.0",
            "info": INFO,
            "paths": _paths(resources, v3=True),
            "components": {"schemas": schemas},
        }
    )


@cache
def v3_index() -> bytes:
    """The document at /openapi/v3: where the others lie."""
    found: Json = {}
    for group, version in discovery.versions():
        place = f"apis/{group}/{version}" if group else f"api/{version}"
        document = v3(group, version)
        assert document is not None
        digest = hashlib.sha256(document).hexdigest()[:32].upper()
        found[place] = {"serverRelativeURL": f"/openapi/v3/{place}?hash={digest}"}
    return dump({"paths": found})


def prepare() -> None:
    """Make every v3 document now, so that nobody waits for one later."""
    v3_index()


V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""As clients ask for it; the @ makes it no media type, so it is answered with a dot in its place."""


def v2_protobuf() -> bytes:
    """The v2 document in protobuf, without anything in it.

    kubectl asks for it only where v3 knows no such kind, and goes on with what it knows itself when it finds nothing.
    """
    return b"\x0a\x032.0"  # field 1, swagger: "2.0"


@cache
def v2() -> bytes:
    """The v2 document, for clients that read no v3."""
    schemas = Schemas("#/definitions/").reached(STRUCTS.values())
    for schema in schemas.values():
        if "oneOf" in schema:  # v2 knows no oneOf
            del schema["oneOf"]
            schema["type"] = "string"
    return dump({"swagger": "2.0", "info": INFO, "paths": _paths(RESOURCES, v3=False), "definitions": schemas})
