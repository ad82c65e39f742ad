"""What `kubectl apply -f` does in an empty cluster: objects are made, or refused in the API server's own words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rollcheck.errors import UsageError
from rollcheck.sandbox.apiserver.decoding import Misfit, convert
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import NAMESPACES, Resource, of_kind
from rollcheck.sandbox.status import ApiFailure

Json = dict[str, Any]
MANAGER = "kubectl-client-side-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""With it a later `kubectl apply` of the same file knows what was there before."""


def deploy(registry: Registry, objects: Iterable[Json], namespace: str) -> list[str]:
    """Create the objects in order; a sentence for each kind that the sandbox does not have.

    Args:
        namespace: where those go that name none; it is made if need be.

    Raises:
        UsageError: the API server refuses one; what it says, after the object's name.
    """
    if registry.peek(NAMESPACES, None, namespace) is None:
        registry.create(NAMESPACES, None, {"metadata": {"name": namespace}})
    unknown: dict[str, list[str]] = {}
    for obj in objects:
        resource = of_kind(obj["apiVersion"], obj["kind"])
        metadata = obj.get("metadata")
        name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
        if resource is None:
            unknown.setdefault(f"{obj['kind']} ({obj['apiVersion']})", []).append(name)
            continue
        try:
            _create(registry, resource, obj, namespace)
        except (ApiFailure, Misfit) as e:
            raise UsageError(f"{resource.singular}/{name}: {e}") from e
    return [f"the sandbox has no {kind}: {', '.join(names)} was left out" for kind, names in unknown.items()]


def _create(registry: Registry, resource: Resource, obj: Json, namespace: str) -> None:
    made, _ = convert(obj, resource.api_version, resource.kind, "Strict")
    metadata: Json = made.setdefault("metadata", {})
    home = (metadata.get("namespace") or namespace) if resource.namespaced else None
    if home:
        metadata["namespace"] = home
    applied = json.dumps(made, separators=(",", ":")) + "\n"
    annotated = {
        **made,
        "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), LAST_APPLIED: applied}},
    }
    registry.create(resource, home, annotated, manager=MANAGER)
