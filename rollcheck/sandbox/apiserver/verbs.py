"""The verbs on objects themselves and on collections: HTTP around `registry.Registry`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rollcheck.sandbox import status
from rollcheck.sandbox.apiserver import applying, changes, decoding, documents, options
from rollcheck.sandbox.apiserver.documents import Documents, dump
from rollcheck.sandbox.apiserver.routing import Target
from rollcheck.sandbox.apiserver.wire import Answer, Request
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import NAMESPACES, Resource
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.trees import Json, at, name_of, namespace_of

Verb = Callable[[Request, Target], Awaitable[Answer]]


def warnings(said: list[str]) -> list[tuple[str, str]]:
    """Warning headers (RFC 7234), which kubectl prints."""
    return [("Warning", '299 - "' + text.replace("\\", "\\\\").replace('"', '\\"') + '"') for text in said]


class Verbs:
    """Answers get, list, create, update, patch and delete.

    Args:
        registry: holds the objects.
        papers: makes the documents.
    """

    def __init__(self, registry: Registry, papers: Documents) -> None:
        self.registry = registry
        self.papers = papers

    def get(self, request: Request, target: Target) -> Answer:
        """One object."""
        want = documents.wanted(request.headers.get("accept", ""), request.query)
        found = self.registry.get(target.resource, target.namespace, target.name)
        return Answer(body=self.papers.one(target.resource, found, want, is_stored=True))

    def list(self, request: Request, target: Target) -> Answer:
        """A collection, or a page of it.

        Pages after the first show the objects as they are now, under the version of the first page: whoever watches
        from that version on sees everything that a page missed.
        """
        want = documents.wanted(request.headers.get("accept", ""), request.query)
        options.check_match(request, watching=False)
        limit = options.integer(request, "limit") or 0
        token = request.query.get("continue", "")
        if not token:
            options.check_version(options.version(request), self.registry.version())
        labels, fields = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
        objects = self.registry.list(target.resource, target.namespace, labels=labels, fields=fields)
        version = self.registry.version()
        if token:
            version, start = options.read_continue(token)
            if version > self.registry.version():
                raise status.expired("The provided continue parameter is too old")
            objects = [one for one in objects if _key(one) > start]
        metadata: Json = {"resourceVersion": str(version)}
        if 0 < limit < len(objects):
            metadata["continue"] = options.write_continue(version, _key(objects[limit - 1]))
            if not labels and not fields:
                metadata["remainingItemCount"] = len(objects) - limit
            objects = objects[:limit]
        return Answer(body=self.papers.many(target.resource, objects, metadata, want))

    def create(self, request: Request, target: Target) -> Answer:
        """A new object in a collection."""
        want = documents.wanted(request.headers.get("accept", ""), request.query)
        resource = target.resource
        if resource.namespaced and target.namespace is None:
            raise status.method_not_allowed()
        dry = options.dry_run(request, "CreateOptions")
        validation = options.validation(request, "CreateOptions")
        content_type = request.headers.get("content-type", "")
        obj, said = decoding.decode(request.body, content_type, resource.api_version, resource.kind, validation)
        manager = options.manager(request, "CreateOptions")
        made = self.registry.create(resource, target.namespace, obj, manager=manager, dry_run=dry)
        return Answer(201, self.papers.one(resource, made, want, is_stored=not dry), headers=warnings(said))

    def update(self, request: Request, target: Target) -> Answer:
        """An object in full in the place of another; or only its status, or a Namespace's finalizers."""
        want = documents.wanted(request.headers.get("accept", ""), request.query)
        resource = target.resource
        dry = options.dry_run(request, "UpdateOptions")
        validation = options.validation(request, "UpdateOptions")
        content_type = request.headers.get("content-type", "")
        obj, said = decoding.decode(request.body, content_type, resource.api_version, resource.kind, validation)
        changes.check_identity(target, obj)
        manager = options.manager(request, "UpdateOptions")
        made = self.registry.update(resource, obj, subresource=target.subresource, manager=manager, dry_run=dry)
        return Answer(body=self.papers.one(resource, made, want, is_stored=not dry), headers=warnings(said))

    def patch(self, request: Request, target: Target) -> Answer:
        """Part of an object, in one of the four languages of patches."""
        want = documents.wanted(request.headers.get("accept", ""), request.query)
        media = changes.media_type(request)
        dry = options.dry_run(request, "PatchOptions")
        validation = options.validation(request, "PatchOptions")
        if media == changes.APPLY:
            return self._apply(request, target, want, dry=dry)
        if "force" in request.query:
            message = "Forbidden: may not be specified for non-apply patch"
            raise options.invalid_options("PatchOptions", "force", "FieldValueForbidden", message)
        resource = target.resource
        old = self.registry.get(resource, target.namespace, target.name)
        new, said = changes.patched(resource, old, request.body, media, validation)
        changes.check_identity(target, new)
        manager = options.manager(request, "PatchOptions")
        made = self.registry.update(resource, new, subresource=target.subresource, manager=manager, dry_run=dry)
        return Answer(body=self.papers.one(resource, made, want, is_stored=not dry), headers=warnings(said))

    def _apply(self, request: Request, target: Target, want: documents.Wanted, *, dry: bool) -> Answer:
        resource = target.resource
        if not request.query.get("fieldManager"):
            message = "Required value: is required for apply patch"
            raise options.invalid_options("PatchOptions", "fieldManager", "FieldValueRequired", message)
        manager = options.manager(request, "PatchOptions")
        config = applying.read_config(request.body, resource)
        changes.check_identity(target, config)
        live = self.registry.peek(resource, target.namespace, target.name)
        stamp = self.registry.clock.stamp()
        merged = applying.apply(
            resource, live, config, manager, stamp, force=request.flag("force"), subresource=target.subresource
        )
        if live is None:
            if target.subresource:
                raise status.not_found(resource, target.name)
            made = self.registry.create(resource, target.namespace, merged, dry_run=dry)
            return Answer(201, self.papers.one(resource, made, want, is_stored=not dry))
        made = self.registry.update(resource, merged, subresource=target.subresource, dry_run=dry)
        return Answer(body=self.papers.one(resource, made, want, is_stored=not dry))

    def delete(self, request: Request, target: Target) -> Answer:
        """The end of one object: the object while it lingers, a Status once it has gone."""
        want = documents.wanted(request.headers.get("accept", ""), request.query)
        asked = options.deletion(request, target.resource)
        last = self._delete(target.resource, target.namespace, target.name, asked)
        if _lingers(target.resource, last):
            return Answer(body=self.papers.one(target.resource, last, want))
        details: Json = {"name": target.name, "kind": target.resource.plural, "uid": last["metadata"]["uid"]}
        if target.resource.group:
            details["group"] = target.resource.group
        return Answer(body=dump(success(details)))

    def _delete(self, resource: Resource, namespace: str | None, name: str, asked: options.Deletion) -> Json:
        return self.registry.delete(
            resource,
            namespace,
            name,
            grace=asked.grace,
            uid=asked.uid,
            version=asked.version,
            propagation=asked.propagation,
            dry_run=asked.dry_run,
        )

    def delete_many(self, request: Request, target: Target) -> Answer:
        """The end of everything in a collection that the selectors choose."""
        if target.resource is NAMESPACES or (target.resource.namespaced and target.namespace is None):
            raise status.method_not_allowed()
        want = documents.wanted(request.headers.get("accept", ""), request.query)
        asked = options.deletion(request, target.resource)
        labels, fields = request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
        found = self.registry.list(target.resource, target.namespace, labels=labels, fields=fields)
        for obj in found:
            try:
                self._delete(target.resource, target.namespace, name_of(obj), asked)
            except ApiFailure as e:
                if e.code != 404:  # gone meanwhile: what was asked for
                    raise
        metadata: Json = {"resourceVersion": str(self.registry.version())}
        return Answer(body=self.papers.many(target.resource, found, metadata, want))


def success(details: Json | None = None, code: int | None = None) -> Json:
    """A Status that says that all went well."""
    body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details:
        body["details"] = details
    if code is not None:
        body["code"] = code
    return body


def _key(obj: Json) -> str:
    return f"{namespace_of(obj)}/{name_of(obj)}"


def _lingers(resource: Resource, obj: Json) -> bool:
    metadata = obj["metadata"]
    if resource is NAMESPACES:
        return bool(at(obj, "spec", "finalizers"))
    if "deletionTimestamp" not in metadata:
        return False
    return bool(metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds"))
