"""Names, labels and what else all objects have (`k8s.io/apimachinery/pkg/api/validation/objectmeta.go`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rollcheck.sandbox.names import (
    label_1035_faults,
    label_faults,
    label_value_faults,
    qualified_faults,
    subdomain_faults,
)
from rollcheck.sandbox.resources import (
    NAMESPACES,
    PDBS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)
from rollcheck.sandbox.trees import Json
from rollcheck.sandbox.validation.causes import Causes, faults, forbidden, invalid, required

ANNOTATIONS_AT_MOST = 256 * 1024
STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")

_NAME_FAULTS: dict[Resource, Callable[[str], Iterable[str]]] = {
    SERVICES: label_1035_faults,
    NAMESPACES: label_faults,
    STATEFUL_SETS: label_faults,
    PDBS: lambda _: (),  # the real server looks at nothing there
}


def check_metadata(resource: Resource, metadata: Json, path: str = "metadata") -> Causes:
    """The metadata of an object that is to be."""
    yield from _check_name(resource, metadata, path)
    yield from check_labels(f"{path}.labels", metadata.get("labels") or {})
    yield from check_annotations(f"{path}.annotations", metadata.get("annotations") or {})
    yield from _check_owners(f"{path}.ownerReferences", metadata.get("ownerReferences") or [])
    for index, finalizer in enumerate(metadata.get("finalizers") or ()):
        yield from faults(f"{path}.finalizers", finalizer, qualified_faults(finalizer))
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            what = "name is neither a standard finalizer name nor is it fully qualified"
            yield invalid(f"{path}.finalizers[{index}]", finalizer, what)


def _check_name(resource: Resource, metadata: Json, path: str) -> Causes:
    name = metadata.get("name", "")
    if not name:
        yield required(f"{path}.name", "name or generateName is required")
        return
    yield from faults(f"{path}.name", name, _NAME_FAULTS.get(resource, subdomain_faults)(name))


def check_labels(path: str, labels: Json) -> Causes:
    """Keys and values of labels; of a node selector, too."""
    for key in sorted(labels):
        yield from faults(path, key, qualified_faults(key))
        yield from faults(path, labels[key], label_value_faults(str(labels[key])))


def check_annotations(path: str, annotations: Json) -> Causes:
    """Keys of annotations, and their size altogether."""
    for key in sorted(annotations):
        yield from faults(path, key, qualified_faults(key.lower()))
    size = sum(len(key) + len(str(value)) for key, value in annotations.items())
    if size > ANNOTATIONS_AT_MOST:
        message = f"Too long: may not be more than {ANNOTATIONS_AT_MOST} bytes"
        yield type(required(path))("FieldValueTooLong", message, path)


def _check_owners(path: str, owners: list[Json]) -> Causes:
    for owner in owners:
        for part in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(part):
                yield invalid(f"{path}.{part}", owner.get(part, ""), "must not be empty")
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        kinds = " and ".join(f"{owner.get('kind')}/{owner.get('name')}" for owner in controllers[:2])
        what = f'Only one reference can have Controller set to true. Found "true" in references for {kinds}'
        yield invalid(path, "", what)


_NEEDING_VALUES = ("In", "NotIn")


def check_selector(path: str, selector: Json | None) -> Causes:
    """A LabelSelector object (`pkg/apis/meta/v1/validation`)."""
    if selector is None:
        return
    yield from check_labels(f"{path}.matchLabels", selector.get("matchLabels") or {})
    for index, one in enumerate(selector.get("matchExpressions") or ()):
        here = f"{path}.matchExpressions[{index}]"
        operator, values = one.get("operator", ""), one.get("values") or []
        if operator in _NEEDING_VALUES:
            if not values:
                yield required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                yield forbidden(f"{here}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        else:
            yield invalid(f"{here}.operator", operator, "not a valid selector operator")
        yield from faults(f"{here}.key", one.get("key", ""), qualified_faults(one.get("key", "")))
        for place, value in enumerate(values):
            yield from faults(f"{here}.values[{place}]", value, label_value_faults(str(value)))


def same(old: Any, new: Any) -> bool:
    """Whether two parts mean the same: nothing, null, {} and [] do."""
    return bool(old == new or (not old and not new and not isinstance(old, int) and not isinstance(new, int)))
