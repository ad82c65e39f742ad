"""The three kinds of patch that change what is there: JSON, merge, strategic merge; the fourth is `applying`."""

from __future__ import annotations

import json
from typing import Any

from rollcheck.sandbox import status
from rollcheck.sandbox.apiserver import decoding, patches, strategic
from rollcheck.sandbox.apiserver.fields import type_of
from rollcheck.sandbox.apiserver.routing import Target
from rollcheck.sandbox.apiserver.wire import Request
from rollcheck.sandbox.resources import Resource
from rollcheck.sandbox.status import ApiFailure, Cause
from rollcheck.sandbox.trees import Json

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
MEDIA_TYPES = (JSON_PATCH, MERGE, STRATEGIC, APPLY)


def media_type(request: Request) -> str:
    """The language of a patch; raises ApiFailure 415."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in MEDIA_TYPES:
        failure = status.unsupported_media_type(MEDIA_TYPES)
        failure.message = "415: Unsupported Media Type"
        raise failure
    return media


def check_identity(target: Target, obj: Json) -> None:
    """Refuse (400) an object that is not the one that the path names; give it name and namespace when it says none."""
    metadata = obj.setdefault("metadata", {})
    if not isinstance(metadata, dict):
        raise status.bad_request("metadata is no object")
    name = metadata.setdefault("name", target.name)
    if name != target.name:
        raise status.bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
    if target.resource.namespaced and metadata.setdefault("namespace", target.namespace) != target.namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def patched(resource: Resource, old: Json, body: bytes, media: str, validation: str) -> tuple[Json, list[str]]:
    """The object that a patch makes of `old`, and warnings; raises ApiFailure 400, 422 or 500."""
    return apply_patch(old, body, media, validation, resource.api_version, resource.kind)


def apply_patch(
    old: Json, body: bytes, media: str, validation: str, api_version: str, kind: str
) -> tuple[Json, list[str]]:
    """As `patched`, for an object of any kind in the tables of fields."""
    patch = _read(body, media)
    full = {"apiVersion": api_version, "kind": kind} | old
    try:
        if media == JSON_PATCH:
            new = patches.json_patch(full, patch)
        elif media == MERGE:
            new = patches.merge_patch(full, patch)
        else:
            type_ = type_of(api_version, kind)
            assert type_ is not None
            new = strategic.strategic_merge(full, patch, type_)
    except patches.PatchMalformed as e:
        raise status.bad_request(f"error decoding patch: {e}") from e
    except patches.PatchFails as e:
        message = "the server rejected our request due to an error in our request"
        raise ApiFailure(422, "Invalid", message) from e
    except strategic.BadStrategicPatch as e:
        raise _invalid(patch, str(e)) if e.code == 422 else ApiFailure(e.code, "", str(e)) from e
    shown = patch if media == STRATEGIC else new
    if not isinstance(new, dict) or (new.get("apiVersion"), new.get("kind")) != (api_version, kind):
        raise _invalid(shown, "the patch changes the kind of the object")
    try:
        return decoding.convert(new, api_version, kind, validation)
    except decoding.Misfit as e:
        raise _invalid(shown, str(e)) from e


def _read(body: bytes, media: str) -> Any:
    try:
        patch = decoding.parse_json(body)
    except ValueError as e:
        raise status.bad_request(f"error decoding patch: {e}") from e
    if media != JSON_PATCH and not isinstance(patch, dict):
        raise status.bad_request(
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        )
    return patch


def _invalid(shown: Any, why: str) -> ApiFailure:
    """422 as the real server says it: without kind and name, and with all of what it could not use."""
    text = (
        strategic.go_text(shown)
        if isinstance(shown, dict) and "kind" not in shown
        else json.dumps(shown, separators=(",", ":"))
    )
    message = f"Invalid value: {json.dumps(text)}: {why}"
    causes = [Cause("FieldValueInvalid", message, "patch").body()]
    return ApiFailure(422, "Invalid", f' "" is invalid: patch: {message}', {"causes": causes})
