"""What the query of a request, and the body of a delete, may ask for."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from rollcheck.sandbox import status
from rollcheck.sandbox.apiserver import decoding
from rollcheck.sandbox.apiserver.wire import Request
from rollcheck.sandbox.resources import Resource
from rollcheck.sandbox.status import ApiFailure, Cause
from rollcheck.sandbox.trees import Json

PROPAGATIONS = ("Foreground", "Background", "Orphan")
MAX_MANAGER = 128


def invalid_options(kind: str, field: str, reason: str, message: str) -> ApiFailure:
    """422: an option has a value it cannot have."""
    body = Cause(reason, message, field).body()
    details: Json = {"group": "meta.k8s.io", "kind": kind, "causes": [body]}
    return ApiFailure(422, "Invalid", f'{kind}.meta.k8s.io "" is invalid: {field}: {message}', details)


def integer(request: Request, name: str) -> int | None:
    """A whole number of the query, None when it is not there; raises ApiFailure 400."""
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError as e:
        raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from e


def dry_run(request: Request, kind: str) -> bool:
    """Whether nothing is to be kept; raises ApiFailure 422 for a word other than All."""
    asked = request.query.get("dryRun", "")
    return _dry_run([asked] if asked else [], kind)


def _dry_run(asked: list[Any], kind: str) -> bool:
    if asked and asked != ["All"]:
        message = f'Unsupported value: {json.dumps(asked)}: supported values: "All"'
        raise invalid_options(kind, "dryRun", "FieldValueNotSupported", message)
    return bool(asked)


def validation(request: Request, kind: str) -> str:
    """fieldValidation, "" when not said; raises ApiFailure 422 for an unknown word."""
    asked = request.query.get("fieldValidation", "")
    if asked not in ("", "Strict", "Warn", "Ignore"):
        message = f'Unsupported value: "{asked}": supported values: "", "Ignore", "Strict", "Warn"'
        raise invalid_options(kind, "fieldValidation", "FieldValueNotSupported", message)
    return asked


def manager(request: Request, kind: str) -> str:
    """Who writes: fieldManager, else the first word of the User-Agent."""
    asked = request.query.get("fieldManager", "")
    if len(asked) > MAX_MANAGER:
        raise invalid_options(
            kind, "fieldManager", "FieldValueTooLong", f"Too long: may not be more than {MAX_MANAGER} bytes"
        )
    return asked or request.headers.get("user-agent", "").partition("/")[0][:MAX_MANAGER] or "unknown"


def version(request: Request) -> int | None:
    """ResourceVersion as a number, None when it is empty; raises ApiFailure for what is none."""
    text = request.query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdigit():
        why = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise ApiFailure(500, "", why)
    return int(text)


def check_version(asked: int | None, now: int) -> None:
    """Refuse (504) a version that has not happened yet: after a restart of the sandbox a client must list anew."""
    if asked is not None and asked > now:
        failure = status.server_timeout(f"Too large resource version: {asked}, current: {now}", 1)
        failure.details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
        raise failure


def check_match(request: Request, *, watching: bool) -> None:
    """Refuse (422) what resourceVersionMatch and sendInitialEvents cannot say together."""
    match = request.query.get("resourceVersionMatch", "")
    if watching and "sendInitialEvents" in request.query and match != "NotOlderThan":
        message = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        raise invalid_options("ListOptions", "resourceVersionMatch", "FieldValueForbidden", message)
    if match and not watching and not request.query.get("resourceVersion"):
        message = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise invalid_options("ListOptions", "resourceVersionMatch", "FieldValueForbidden", message)


def write_continue(at: int, key: str) -> str:
    """A token for the page behind `key` of a list of version `at`."""
    token = json.dumps({"v": "meta.k8s.io/v1", "rv": at, "start": key + "\0"})
    return base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def read_continue(token: str) -> tuple[int, str]:
    """Version and key of a token; raises ApiFailure 400."""
    try:
        found = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(found["rv"]), str(found["start"]).rstrip("\0")
    except (ValueError, binascii.Error, KeyError, TypeError) as e:
        raise status.bad_request(f"invalid continue token: continue key is not valid: {e}") from e


@dataclass(frozen=True, slots=True)
class Deletion:
    """How something is to be deleted; as `Registry.delete` takes it."""

    grace: int | None = None
    uid: str = ""
    version: str = ""
    propagation: str = "Background"
    dry_run: bool = False


def deletion(request: Request, resource: Resource) -> Deletion:
    """The DeleteOptions of a request, from its body or its query; raises ApiFailure 400 or 422."""
    options: Json = {}
    if request.body.strip():
        content_type = request.headers.get("content-type", "")
        options = decoding.read_body(request.body, content_type, "DeleteOptions")
        if options.get("kind", "DeleteOptions") != "DeleteOptions":
            said, where = options["kind"], options.get("apiVersion", "")
            raise status.bad_request(
                f'no kind "{said}" is registered for version "{where}" in scheme "pkg/runtime/scheme.go:110"'
            )
        try:
            options = decoding.part(options, "DeleteOptions")
        except decoding.Misfit as e:
            raise status.bad_request(str(e)) from e
    grace = options.get("gracePeriodSeconds", integer(request, "gracePeriodSeconds"))
    propagation = options.get("propagationPolicy") or request.query.get("propagationPolicy") or ""
    if propagation and propagation not in PROPAGATIONS:
        said = ", ".join(f'"{one}"' for one in (*PROPAGATIONS, "nil"))
        message = f'Unsupported value: "{propagation}": supported values: {said}'
        raise invalid_options("DeleteOptions", "propagationPolicy", "FieldValueNotSupported", message)
    if not propagation and (options.get("orphanDependents") or request.flag("orphanDependents")):
        propagation = "Orphan"
    dry = options.get("dryRun") or ([request.query["dryRun"]] if request.query.get("dryRun") else [])
    conditions = options.get("preconditions") or {}
    return Deletion(
        grace=grace,
        uid=str(conditions.get("uid") or ""),
        version=str(conditions.get("resourceVersion") or ""),
        propagation=str(propagation or "Background"),
        dry_run=_dry_run(list(dry), "DeleteOptions"),
    )
