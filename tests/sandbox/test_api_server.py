"""The API server over real sockets: TLS and plain on one port, and the clients that people use."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from apiside import CONFIG_MAPS, TOKEN, config_map

from rollcheck.kube.access import load_access
from rollcheck.kube.api import Api
from rollcheck.sandbox.apiserver.certificate import G, N, add, multiply, self_signed
from rollcheck.sandbox.apiserver.kubeconfig import CONTEXT, kubeconfig
from rollcheck.sandbox.apiserver.server import ApiServer
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import CONFIG_MAPS as MAPS

pytestmark = pytest.mark.loopback


@asynccontextmanager
async def serving() -> AsyncIterator[ApiServer]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    server = ApiServer(Registry(), token=TOKEN)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, listener)
        yield server
        nursery.cancel_scope.cancel()


def strict(server: ApiServer) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=server.certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def test_one_port_answers_with_tls_and_without() -> None:
    async def main() -> None:
        async with serving() as server:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with httpx.AsyncClient(verify=strict(server), headers=headers, trust_env=False) as client:
                for scheme in ("https", "http"):
                    answer = await client.get(f"{scheme}://{server.address}/version")
                    assert answer.json()["gitVersion"].endswith("+sandbox")

    trio.run(main)


def test_a_stranger_is_refused_and_does_no_harm() -> None:
    async def main() -> None:
        async with serving() as server:
            host, _, port = server.address.rpartition(":")
            for nonsense in (b"\x16\x03\x01nonsense", b"\x00", b"GET / HTTP/1.1\r\n"):
                async with await trio.open_tcp_stream(host, int(port)) as stream:
                    await stream.send_all(nonsense)
            async with httpx.AsyncClient(verify=strict(server), trust_env=False) as client:
                answer = await client.get(f"https://{server.address}/api/v1/secrets")
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert answer.json()["reason"] == "Unauthorized"

    trio.run(main)


def test_rollchecks_own_client_lists_and_watches(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"

    async def main() -> list[Any]:
        async with serving() as server:
            path.write_text(server.kubeconfig())
            access = await trio.to_thread.run_sync(lambda: load_access(kubeconfig=str(path), context=""))
            server.registry.create(MAPS, "default", config_map("a"))
            async with Api(access) as api:
                listing = await api.list_all(CONFIG_MAPS)
                params = {"watch": "true", "resourceVersion": listing.resource_version, "timeoutSeconds": "1"}
                async with api.stream(CONFIG_MAPS, params) as pieces:
                    server.registry.delete(MAPS, "default", "a")
                    seen = b"".join([piece async for piece in pieces])
                return [len(listing.items), *(json.loads(line)["type"] for line in seen.splitlines())]

    assert trio.run(main) == [1, "DELETED"]


def test_the_official_client_reads_and_writes(tmp_path: Path) -> None:
    from kubernetes import client, config
    from kubernetes.client.exceptions import ApiException

    path = tmp_path / "kubeconfig"

    def use() -> tuple[str, int, str]:
        settings = client.Configuration()
        config.load_kube_config(str(path), client_configuration=settings)
        with client.ApiClient(settings) as connection:
            core = client.CoreV1Api(connection)
            body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a"), data={"x": "1"})
            made = core.create_namespaced_config_map("default", body)
            core.patch_namespaced_config_map("a", "default", {"data": {"y": "2"}})
            data = core.read_namespaced_config_map("a", "default").data
            core.delete_namespaced_config_map("a", "default")
            with pytest.raises(ApiException) as gone:
                core.read_namespaced_config_map("a", "default")
            return made.metadata.name, gone.value.status, json.dumps(data)

    async def main() -> tuple[str, int, str]:
        async with serving() as server:
            path.write_text(server.kubeconfig())
            return await trio.to_thread.run_sync(use)

    assert trio.run(main) == ("a", 404, '{"x": "1", "y": "2"}')


def test_a_kubeconfig_says_where_who_and_whom_to_trust() -> None:
    config = json.loads(kubeconfig("https://127.3.0.1:6443", "secret", "PEM", "shop"))
    assert config["current-context"] == CONTEXT
    assert config["clusters"][0]["cluster"]["server"] == "https://127.3.0.1:6443"
    assert base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]) == b"PEM"
    assert config["users"][0]["user"] == {"token": "secret"}
    assert config["contexts"][0]["context"]["namespace"] == "shop"


def test_every_certificate_has_a_key_of_its_own() -> None:
    one, other = self_signed(["127.0.0.1"]), self_signed(["127.0.0.1"])
    assert one.key != other.key
    assert one.certificate != other.certificate


def test_the_curve_is_a_group_of_its_order() -> None:
    assert multiply(N, G) is None
    assert multiply(N + 1, G) == G
    assert add(multiply(5, G), multiply(7, G)) == multiply(12, G)
    assert add(G, multiply(N - 1, G)) is None
