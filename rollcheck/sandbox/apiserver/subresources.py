"""What hangs below an object: scale, eviction, binding, log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Protocol

import trio

from rollcheck.sandbox import status
from rollcheck.sandbox.apiserver import changes, decoding, documents, options
from rollcheck.sandbox.apiserver.documents import Documents, dump
from rollcheck.sandbox.apiserver.routing import Target
from rollcheck.sandbox.apiserver.verbs import success, warnings
from rollcheck.sandbox.apiserver.wire import Answer, Request, Send
from rollcheck.sandbox.clock import parse_time
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import PODS
from rollcheck.sandbox.status import ApiFailure, Cause
from rollcheck.sandbox.trees import Json, at

SCALE = ("autoscaling/v1", "Scale")


class LogSource(Protocol):
    """Where the logs of containers are read."""

    def lines(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        timestamps: bool = False,
        tail: int | None = None,
        since: datetime | int | None = None,
    ) -> AsyncIterator[bytes]:
        """The lines of a container's log, each with its end of line; raises ApiFailure."""
        ...


class Subresources:
    """Answers what is asked below an object."""

    def __init__(self, registry: Registry, papers: Documents, logs: LogSource | None) -> None:
        self.registry = registry
        self.papers = papers
        self.logs = logs

    def scale(self, request: Request, target: Target) -> Answer:
        """How many replicas there are and should be; to read, replace or patch."""
        resource, namespace = target.resource, target.namespace or ""
        scale = self.registry.get_scale(resource, namespace, target.name)
        want = documents.wanted(request.headers.get("accept", ""), request.query)
        if request.method == "GET":
            return Answer(body=self.papers.loose(scale, want))
        said: list[str] = []
        kind = "UpdateOptions" if request.method == "PUT" else "PatchOptions"
        dry, validation = options.dry_run(request, kind), options.validation(request, kind)
        if request.method == "PUT":
            content_type = request.headers.get("content-type", "")
            new, said = decoding.decode(request.body, content_type, *SCALE, validation)
        else:
            media = changes.media_type(request)
            media = changes.MERGE if media == changes.APPLY else media
            new, said = changes.apply_patch(scale, request.body, media, validation, *SCALE)
        changes.check_identity(target, new)
        manager = options.manager(request, kind)
        made = self.registry.put_scale(resource, namespace, target.name, new, manager=manager, dry_run=dry)
        return Answer(body=self.papers.loose(made, want), headers=warnings(said))

    def evict(self, request: Request, target: Target) -> Answer:
        """The deletion of a pod, if its budget allows it."""
        eviction = self._body(request, "Eviction")
        if eviction["metadata"].setdefault("name", target.name) != target.name:
            raise status.bad_request("name in URL does not match name in Eviction object")
        if options.dry_run(request, "CreateOptions"):
            eviction.setdefault("deleteOptions", {}).setdefault("dryRun", ["All"])
        self.registry.evict(target.namespace or "", target.name, eviction)
        return Answer(201, dump(success(code=201)))

    def bind(self, request: Request, target: Target) -> Answer:
        """A pod's node."""
        binding = self._body(request, "Binding")
        node = at(binding, "target", "name")
        if not node:
            raise status.bad_request("binding target name is required")
        self.registry.bind(target.namespace or "", target.name, str(node))
        return Answer(201, dump(success(code=201)))

    def _body(self, request: Request, kind: str) -> Json:
        tree: Json = decoding.read_body(request.body, request.headers.get("content-type", ""), kind)
        if tree.get("kind", kind) != kind:
            raise status.bad_request(f"the object provided is a {tree['kind']} (must be of type {kind})")
        if not isinstance(tree.setdefault("metadata", {}), dict):
            raise status.bad_request("metadata is no object")
        return tree

    async def log(self, request: Request, target: Target) -> Answer:
        """The log of one container, as plain text; with `follow`, until it ends.

        None of its lines are read once first, so that a refusal still has a status of its own.
        """
        pod = self.registry.get(PODS, target.namespace, target.name)
        if self.logs is None:
            raise status.bad_request("nothing in this sandbox writes logs")
        container = request.query.get("container") or default_container(pod)
        read = partial(
            self.logs.lines,
            target.namespace or "",
            target.name,
            container,
            previous=request.flag("previous"),
            timestamps=request.flag("timestamps"),
            since=_since(request, target),
        )
        tail, limit = _count(request, target, "tailLines", 0), _count(request, target, "limitBytes", 1)
        async with closed(read(tail=0)) as lines:
            await anext(lines, None)

        async def pump(send: Send) -> None:
            left = limit
            try:
                async with closed(read(tail=tail, follow=request.flag("follow"))) as lines:
                    async for line in lines:
                        await send(line if left is None else line[:left])
                        if left is not None and (left := left - len(line)) <= 0:
                            return
            except ApiFailure as e:  # too late for a status: the log ends with the reason
                await send(f"{e.message}\n".encode())

        return Answer(content_type="text/plain", pump=pump)


@asynccontextmanager
async def closed(lines: AsyncIterator[bytes]) -> AsyncIterator[AsyncIterator[bytes]]:
    """End an async generator when it is left, and not when it is collected."""
    try:
        yield lines
    finally:
        closer = getattr(lines, "aclose", None)
        if closer is not None:
            with trio.CancelScope(shield=True):
                await closer()


def _since(request: Request, target: Target) -> datetime | int | None:
    text = request.query.get("sinceTime")
    if not text:
        return _count(request, target, "sinceSeconds", 1)
    try:
        return parse_time(text)
    except ValueError as e:
        raise status.bad_request(f'parsing time "{text}": {e}') from e


def default_container(pod: Json) -> str:
    """The container that is meant when none is named; raises ApiFailure 400 when that is not clear."""
    named = at(pod, "metadata", "annotations", "kubectl.kubernetes.io/default-container")
    every = [one["name"] for one in pod["spec"]["containers"]]
    if named in every:
        return str(named)
    if len(every) == 1:
        return str(every[0])
    before = [one["name"] for one in pod["spec"].get("initContainers") or ()]
    message = (
        f"a container name must be specified for pod {pod['metadata']['name']}, choose one of: [{' '.join(every)}]"
    )
    if before:
        message += f" or one of the init containers: [{' '.join(before)}]"
    raise status.bad_request(message)


def _count(request: Request, target: Target, name: str, least: int) -> int | None:
    number = options.integer(request, name)
    if number is None or number >= least:
        return number
    bound = "greater than or equal to 0" if least == 0 else "greater than 0"
    message = f"Invalid value: {number}: must be {bound}"
    causes = [Cause("FieldValueInvalid", message, name).body()]
    details = {"name": target.name, "kind": "PodLogOptions", "causes": causes}
    raise ApiFailure(422, "Invalid", f'PodLogOptions "{target.name}" is invalid: {name}: {message}', details)
