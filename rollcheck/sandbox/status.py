"""Every way in which the API says no: metav1.Status, word for word.

Source: k8s.io/apimachinery `pkg/api/errors/errors.go`; each function here is the constructor of the same name there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rollcheck.sandbox.resources import Resource
from rollcheck.sandbox.trees import Json


@dataclass(frozen=True, slots=True)
class Cause:
    """One line of details.causes.

    Attributes:
        reason: such as FieldValueRequired.
        message: what is wrong, without the field.
        field: path of the field, such as `spec.containers[0].name`; empty where no field is to blame.
    """

    reason: str
    message: str
    field: str = ""

    def body(self) -> Json:
        """As JSON; empty parts are left out, as Go does."""
        parts = {"reason": self.reason, "message": self.message, "field": self.field}
        return {key: text for key, text in parts.items() if text}


class ApiFailure(Exception):
    """The API refuses, and says why.

    Attributes:
        code: the HTTP status.
        reason: such as NotFound; the machine's word for it.
        message: the person's words for it.
        details: the Status object's details, {} for none.
        retry_after: seconds for the Retry-After header, None for no such header.
    """

    def __init__(
        self, code: int, reason: str, message: str, details: Json | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.retry_after = retry_after

    def body(self) -> Json:
        """The metav1.Status that goes over the wire."""
        status: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status["message"] = self.message
        if self.reason:
            status["reason"] = self.reason
        details = dict(self.details)
        if self.retry_after:
            details["retryAfterSeconds"] = self.retry_after
        if details or self.reason not in ("BadRequest", "InternalError", ""):
            status["details"] = details
        status["code"] = self.code
        return status


def _named(resource: Resource, name: str) -> Json:
    details: Json = {}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    details["kind"] = resource.plural
    return details


def not_found(resource: Resource, name: str) -> ApiFailure:
    """404: no such object."""
    return ApiFailure(404, "NotFound", f'{resource.qualified} "{name}" not found', _named(resource, name))


def already_exists(resource: Resource, name: str) -> ApiFailure:
    """409: there is one of that name."""
    return ApiFailure(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', _named(resource, name))


def generate_name_conflict(resource: Resource, name: str) -> ApiFailure:
    """409: the server could not make up a name that was free."""
    why = "the server was not able to generate a unique name for the object"
    message = f'{resource.qualified} "{name}" already exists, {why}'
    return ApiFailure(409, "AlreadyExists", message, _named(resource, name), retry_after=1)


def conflict(resource: Resource, name: str, why: str) -> ApiFailure:
    """409: the object is no longer what the caller took it for."""
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return ApiFailure(409, "Conflict", message, _named(resource, name))


def precondition_failed(resource: Resource, name: str, why: str) -> ApiFailure:
    """409: a delete meant another object; here, and only here, the server names the kind instead of the resource."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = {**_named(resource, name), "kind": resource.kind}
    return ApiFailure(409, "Conflict", f'Operation cannot be fulfilled on {kind} "{name}": {why}', details)


def binding_conflict(name: str, why: str) -> ApiFailure:
    """409: a pod cannot be bound."""
    message = f'Operation cannot be fulfilled on pods/binding "{name}": {why}'
    return ApiFailure(409, "Conflict", message, {"name": name, "kind": "pods/binding"})


def stale(resource: Resource, name: str) -> ApiFailure:
    """409: the resourceVersion sent is not the newest."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def apply_conflict(message: str, causes: Sequence[Cause]) -> ApiFailure:
    """409: server-side apply met fields that somebody else owns."""
    return ApiFailure(409, "Conflict", message, {"causes": [cause.body() for cause in causes]})


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> ApiFailure:
    """422: the object breaks rules; one cause a field.

    One cause is said as it is; several are put in brackets, doublets once (utilerrors.Aggregate).
    """
    lines = list(dict.fromkeys(f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes))
    said = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = _named(resource, name)
    details["kind"] = resource.kind
    if causes:
        details["causes"] = [cause.body() for cause in causes]
    return ApiFailure(422, "Invalid", f'{kind} "{name}" is invalid: {said}', details)


def bad_request(message: str) -> ApiFailure:
    """400: what was sent cannot be understood."""
    return ApiFailure(400, "BadRequest", message)


def unauthorized() -> ApiFailure:
    """401: no token, or not ours."""
    return ApiFailure(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource, name: str, why: str, causes: Sequence[Cause] = ()) -> ApiFailure:
    """403: understood, and not done."""
    if name:
        message = f'{resource.qualified} "{name}" is forbidden: {why}'
    else:
        message = f"{resource.qualified} is forbidden: {why}"
    details = _named(resource, name)
    if causes:
        details["causes"] = [cause.body() for cause in causes]
    return ApiFailure(403, "Forbidden", message, details)


def no_such_path() -> ApiFailure:
    """404: the server serves nothing at that path."""
    return ApiFailure(404, "NotFound", "the server could not find the requested resource")


def method_not_allowed(message: str = "the server does not allow this method on the requested resource") -> ApiFailure:
    """405: the path is served, not with this verb."""
    return ApiFailure(405, "MethodNotAllowed", message)


def not_acceptable() -> ApiFailure:
    """406: none of the asked content types is spoken here."""
    return ApiFailure(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/yaml",
    )


def unsupported_media_type(accepted: Sequence[str]) -> ApiFailure:
    """415: a body in a content type that is not read here."""
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return ApiFailure(415, "UnsupportedMediaType", message)


def expired(message: str = "The provided resource version is too old.") -> ApiFailure:
    """410: the history that was asked for is gone."""
    return ApiFailure(410, "Expired", message)


def too_old(asked: int, oldest: int) -> ApiFailure:
    """410: what a watch from a compacted version gets."""
    return expired(f"too old resource version: {asked} ({oldest})")


def too_many_requests(message: str, retry_after: int | None = None, causes: Sequence[Cause] = ()) -> ApiFailure:
    """429: later, perhaps."""
    details: Json = {"causes": [cause.body() for cause in causes]} if causes else {}
    return ApiFailure(429, "TooManyRequests", message, details, retry_after)


def overloaded() -> ApiFailure:
    """429: the server has too much to do (API priority and fairness); it names no cause."""
    return too_many_requests("Too many requests, please try again later.", 1)


def internal_error(why: str) -> ApiFailure:
    """500: the server is to blame, or says so."""
    return ApiFailure(500, "InternalError", f"Internal error occurred: {why}", {"causes": [{"message": why}]})


def server_timeout(message: str, retry_after: int) -> ApiFailure:
    """504: the server gave up on it."""
    return ApiFailure(504, "Timeout", f"Timeout: {message}", retry_after=retry_after)
