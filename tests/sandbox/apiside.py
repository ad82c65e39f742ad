"""Asking the sandbox's API server without a network, and a few objects to ask about."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import trio

from rollcheck.sandbox.apiserver.server import ApiServer
from rollcheck.sandbox.apiserver.wire import Answer, Request
from rollcheck.sandbox.registry import Registry

TOKEN = "a-token"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


def request(method: str, path: str, body: Any = None, media: str = "application/json", **headers: str) -> Request:
    """A request as it comes from the wire, with the token."""
    parts = urlsplit(path)
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    known = {"authorization": f"Bearer {TOKEN}", "content-type": media, "user-agent": "tester/1", "accept": "*/*"}
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    return Request(method, parts.path, query, known | headers, b"" if body is None else data)


class Site:
    """A registry and its API server, asked directly."""

    def __init__(self, **options: Any) -> None:
        self.registry = Registry()
        self.server = ApiServer(self.registry, token=TOKEN, **options)

    async def answer(self, *args: Any, **headers: str) -> Answer:
        return await self.server.answer(request(*args, **headers))

    async def ask(self, *args: Any, **headers: str) -> tuple[int, Any]:
        """Status and body, decoded when it is JSON."""
        found = await self.answer(*args, **headers)
        if found.content_type.startswith("application/json"):
            return found.status, json.loads(found.body)
        return found.status, found.body.decode()

    def now(self, *args: Any, **headers: str) -> tuple[int, Any]:
        """`ask`, from a test that is not async."""

        async def main() -> tuple[int, Any]:
            return await self.ask(*args, **headers)

        return trio.run(main)


@asynccontextmanager
async def streamed(answer: Answer):
    """The body of a streamed answer, as a function that waits for its next line."""
    assert answer.pump is not None
    send, receive = trio.open_memory_channel[bytes](1000)
    rest: list[bytes] = []

    async def take(chunk: bytes) -> None:
        await send.send(chunk)

    async def run() -> None:
        assert answer.pump is not None
        async with send:
            await answer.pump(take)

    async def line() -> Any:
        """The next line, None at the end."""
        while not rest:
            try:
                rest.extend((await receive.receive()).splitlines())
            except trio.EndOfChannel:
                return None
        return json.loads(rest.pop(0))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield line
        nursery.cancel_scope.cancel()


Line = Callable[[], Awaitable[Any]]


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def deployment(name: str = "web", **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "main", "image": "rollcheck.test/web:1"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            **spec,
        },
    }


CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"
