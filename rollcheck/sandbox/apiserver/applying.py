"""Server-side apply: a manager says what it wants, owns that, and gives up what it no longer says.

Rules: sigs.k8s.io/structured-merge-diff `merge/update.go`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from rollcheck.sandbox import status
from rollcheck.sandbox.apiserver import decoding, fieldsets, managedfields
from rollcheck.sandbox.apiserver.fields import Type, type_of
from rollcheck.sandbox.apiserver.fieldsets import Fields
from rollcheck.sandbox.apiserver.managedfields import APPLY, FIRST, UPDATE, Manager, Owned, Owners
from rollcheck.sandbox.resources import Resource
from rollcheck.sandbox.status import ApiFailure, Cause
from rollcheck.sandbox.trees import Json, at, clone

KUBECTL = "kubectl"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def read_config(body: bytes, resource: Resource) -> Json:
    """The configuration in an apply's body, YAML or JSON; raises ApiFailure 400 or 500, as the real server does."""
    try:
        tree = decoding.parse_yaml(body)
    except ValueError as e:
        raise status.bad_request(f"error decoding YAML: {e}") from e
    if not isinstance(tree, dict):
        raise status.bad_request("error decoding YAML: the document is no object")
    version, kind = tree.get("apiVersion", ""), tree.get("kind", "")
    if (version, kind) != (resource.api_version, resource.kind):
        if not version or not kind:
            raise status.bad_request(f"invalid object type: {version or '/'}, Kind={kind}")
        raise status.bad_request(f"the {kind} of {version} is not what lies at this path: a {resource.kind} is")
    metadata = tree.get("metadata") or {}
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise status.bad_request("metadata.managedFields must be nil")
    return _typed(tree, resource)


def _typed(tree: Json, resource: Resource) -> Json:
    metadata = tree["metadata"] if isinstance(tree.get("metadata"), dict) else {}
    place = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}; {resource.api_version}, Kind={resource.kind}"
    try:
        config, said = decoding.convert(tree, resource.api_version, resource.kind)
    except decoding.Misfit as e:
        raise ApiFailure(500, "", f"failed to create typed patch object ({place}): {e}") from e
    unknown = [one.split('"')[1] for one in said if one.startswith("unknown field")]
    if unknown:
        why = "".join(f".{one}: field not declared in schema" for one in unknown[:1])
        raise ApiFailure(500, "", f"failed to create typed patch object ({place}): {why}")
    type_ = type_of(resource.api_version, resource.kind)
    assert type_ is not None
    try:
        fieldsets.of_config(type_, config)
    except fieldsets.Duplicates as e:
        raise ApiFailure(500, "", f"failed to create typed patch object ({place}): {e}") from e
    return config


def apply(
    resource: Resource,
    live: Json | None,
    config: Json,
    name: str,
    stamp: str,
    *,
    force: bool = False,
    subresource: str = "",
) -> Json:
    """The object that `config` makes of `live` (None: of nothing), with its managed fields.

    Gives `live` itself when the manager says nothing new. Raises ApiFailure 409 when others own what would change.
    """
    type_ = type_of(resource.api_version, resource.kind)
    assert type_ is not None
    drop = managedfields.dropped(resource, subresource)
    wanted = fieldsets.kept(fieldsets.of_config(type_, config), drop=drop)
    before: Json = live or {}
    owners = _owners(type_, live, resource, stamp)
    who = Manager(name, APPLY, resource.api_version, subresource)
    last = owners[who].fields if who in owners else set()
    others = {manager: owned for manager, owned in owners.items() if manager != who}
    new = fieldsets.merged(type_, before, config) if live is not None else clone(config)
    gone = last - wanted
    if gone:
        owned_still: Fields = set(wanted).union(*(owned.fields for owned in others.values()))
        new = fieldsets.without(type_, new, gone, owned_still)
    changed, removed = fieldsets.difference(type_, before, new)
    conflicts = {m: both for m, owned in others.items() if (both := changed & owned.fields)}
    if not force:
        own = _last_applied_by_kubectl(resource, type_, live) if name == KUBECTL and conflicts else set()
        contested = {m: rest for m, both in conflicts.items() if (rest := both - own)}
        if contested:
            raise _conflict(contested)
    left: Owners = {m: _less(owned, removed | conflicts.get(m, set()), stamp) for m, owned in others.items()}
    since = owners[who].time if who in owners and last == wanted else stamp
    left[who] = Owned(wanted, since)
    if name == KUBECTL:
        new = _told_again(live, new, config)
    return _finished(live, new, managedfields.write(left))


def _last_applied_by_kubectl(resource: Resource, type_: Type, live: Json | None) -> Fields:
    """What kubectl itself applied on the client's side and nobody has changed since: it may take that over."""
    text = at(live, "metadata", "annotations", LAST_APPLIED)
    try:
        before, _ = decoding.convert(json.loads(text or ""), resource.api_version, resource.kind)
        fields = fieldsets.of_config(type_, before)
    except (ValueError, TypeError, AttributeError, decoding.Misfit, fieldsets.Duplicates):
        return set()  # a user may write there whatever he likes
    changed, removed = fieldsets.difference(type_, before, live)
    return fields - changed - removed


def _told_again(live: Json | None, new: Json, config: Json) -> Json:
    """Where kubectl has noted what it applied last, the note brought up to date, for a later `apply`."""
    if at(live, "metadata", "annotations", LAST_APPLIED) is None:
        return new
    text = json.dumps(config, separators=(",", ":"), sort_keys=True) + "\n"
    annotations = {**new["metadata"]["annotations"], LAST_APPLIED: text}
    return {**new, "metadata": {**new["metadata"], "annotations": annotations}}


def _owners(type_: Type, live: Json | None, resource: Resource, stamp: str) -> Owners:
    owners = managedfields.read(live)
    if live is not None and not owners:
        everything = fieldsets.kept(fieldsets.of_config(type_, live))
        owners[Manager(FIRST, UPDATE, resource.api_version)] = Owned(everything, stamp)
    return owners


def _less(owned: Owned, gone: Fields, stamp: str) -> Owned:
    fields = owned.fields - gone
    return owned if fields == owned.fields else Owned(fields, stamp)


def _finished(live: Json | None, new: Json, entries: list[Json]) -> Json:
    """`new` with its managed fields; `live` itself when nothing differs."""
    new = {**new, "metadata": {**new["metadata"], "managedFields": entries}}
    return live if live is not None and new == live else new


def _conflict(conflicts: Mapping[Manager, Fields]) -> ApiFailure:
    causes = [
        Cause("FieldManagerConflict", f"conflict with {manager.told()}", fieldsets.text(path))
        for manager, paths in sorted(conflicts.items(), key=lambda pair: pair[0].told())
        for path in sorted(paths)
    ]
    if len(causes) == 1:
        return status.apply_conflict(f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}", causes)
    lines: list[str] = []
    for manager, paths in sorted(conflicts.items(), key=lambda pair: pair[0].told()):
        lines.append(f"conflicts with {manager.told()}:")
        lines += [f"- {fieldsets.text(path)}" for path in sorted(paths)]
    return status.apply_conflict(f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines), causes)
