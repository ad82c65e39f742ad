"""Reviews of one's own rights and identity: whoever has the token may do everything."""

from __future__ import annotations

from rollcheck.sandbox import status
from rollcheck.sandbox.apiserver import decoding
from rollcheck.sandbox.apiserver.documents import dump
from rollcheck.sandbox.apiserver.wire import Answer, Request
from rollcheck.sandbox.clock import Clock
from rollcheck.sandbox.status import ApiFailure, Cause
from rollcheck.sandbox.trees import Json

USER, GROUPS = "sandbox-admin", ["system:masters", "system:authenticated"]
AUTHORIZATION, AUTHENTICATION = ("authorization.k8s.io", "v1"), ("authentication.k8s.io", "v1")

KINDS: dict[tuple[str, str], dict[str, str]] = {
    AUTHORIZATION: {
        "selfsubjectaccessreviews": "SelfSubjectAccessReview",
        "selfsubjectrulesreviews": "SelfSubjectRulesReview",
    },
    AUTHENTICATION: {"selfsubjectreviews": "SelfSubjectReview"},
}
"""What can be created, and is answered at once, in each group."""


def review(request: Request, group_version: tuple[str, str], plural: str, clock: Clock) -> Answer:
    """Answer a review; raises ApiFailure 404, 405 or 422."""
    kind = KINDS[group_version].get(plural)
    if kind is None:
        raise status.no_such_path()
    if request.method != "POST":
        raise status.method_not_allowed()
    content_type = request.headers.get("content-type", "")
    obj, _ = decoding.decode(request.body, content_type, "/".join(group_version), kind)
    obj.setdefault("metadata", {})
    match kind:
        case "SelfSubjectAccessReview":
            obj["status"] = _access(obj.get("spec") or {})
        case "SelfSubjectRulesReview":
            obj["status"] = _rules()
        case _:
            obj["metadata"]["creationTimestamp"] = clock.stamp()
            obj["status"] = {"userInfo": {"username": USER, "uid": USER, "groups": GROUPS}}
    return Answer(201, dump(obj))


def _access(spec: Json) -> Json:
    wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (wanted is None) == (path is None):
        message = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes = [Cause("FieldValueInvalid", message, "spec.resourceAttributes").body()]
        details = {"group": AUTHORIZATION[0], "causes": causes}
        raise ApiFailure(
            422, "Invalid", f'.authorization.k8s.io "" is invalid: spec.resourceAttributes: {message}', details
        )
    return {"allowed": True, "reason": "whoever has the sandbox's token may do everything in it"}


def _rules() -> Json:
    return {
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "incomplete": False,
    }
