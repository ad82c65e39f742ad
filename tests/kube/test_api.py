"""Talking to an API server: credentials on the wire, and every failure as one sentence."""

from __future__ import annotations

import math
import socket
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
import yaml

from rollcheck.errors import ClusterDenied, ClusterRefused, ClusterUnreachable
from rollcheck.kube import api as module
from rollcheck.kube.access import Access, load_access
from rollcheck.kube.api import Api, ClusterThrottled, CredentialsRefused
from tests.fakes.api import Answer, PlainConfiguration, Request, Stream, access_to, serving, status_object

pytestmark = [pytest.mark.loopback, pytest.mark.anyio]

VERSION = Answer(200, {"gitVersion": "v1.34.4"})


async def version(_: Request, __: Stream) -> Answer:
    return VERSION


async def asked(access: Access) -> str:
    async with Api(access) as api:
        return await api.version()


async def test_the_version_is_what_the_server_says() -> None:
    async with serving(version) as fake:
        assert await asked(access_to(fake.url)) == "v1.34.4"


async def test_the_token_is_sent_with_every_request() -> None:
    async with serving(version) as fake:
        await asked(access_to(fake.url, token="abc"))
    assert fake.requests[0].headers["authorization"] == "Bearer abc"


async def test_without_credentials_no_header_is_sent() -> None:
    async with serving(version) as fake:
        await asked(access_to(fake.url, token=""))
    assert "authorization" not in fake.requests[0].headers


async def test_a_refused_token_is_made_anew_once_and_the_request_repeated() -> None:
    async def handler(request: Request, _: Stream) -> Answer:
        return VERSION if request.headers["authorization"] == "Bearer new" else status_object(401, "Unauthorized")

    async with serving(handler) as fake:
        access = access_to(fake.url, token="old", reload=lambda: PlainConfiguration("new"))
        assert await asked(access) == "v1.34.4"
    assert len(fake.requests) == 2


async def test_a_token_that_stays_refused_is_not_tried_for_ever() -> None:
    count = iter(range(100))

    async def handler(_: Request, __: Stream) -> Answer:
        return status_object(401, "Unauthorized")

    async with serving(handler) as fake:
        access = access_to(fake.url, reload=lambda: PlainConfiguration(f"token-{next(count)}"))
        with pytest.raises(CredentialsRefused, match=r"credentials of 'alice' \(401 Unauthorized\); log in again"):
            await asked(access)
    assert len(fake.requests) == 2


async def test_a_forbidden_request_is_denied_in_the_servers_words() -> None:
    async def handler(_: Request, __: Stream) -> Answer:
        return status_object(403, "Forbidden", 'pods is forbidden: User "alice" cannot list resource "pods"')

    async with serving(handler) as fake:
        with pytest.raises(ClusterDenied, match='User "alice" cannot list resource "pods"; ask for this right'):
            await asked(access_to(fake.url))


async def test_any_other_refusal_carries_status_and_reason() -> None:
    async def handler(_: Request, __: Stream) -> Answer:
        return status_object(409, "Conflict", "the object has been modified")

    async with serving(handler) as fake:
        with pytest.raises(ClusterRefused, match="the object has been modified") as failure:
            await asked(access_to(fake.url))
    assert (failure.value.status, failure.value.reason) == (409, "Conflict")


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("soon", 0.0), ("", 0.0), ("-1", 0.0), ("inf", 0.0)])
async def test_a_busy_server_is_told_apart_with_the_time_it_asks_for(header: str, seconds: float) -> None:
    async def handler(_: Request, __: Stream) -> Answer:
        answer = status_object(429, "TooManyRequests")
        if header:
            answer.headers["Retry-After"] = header
        return answer

    async with serving(handler) as fake:
        with pytest.raises(ClusterThrottled) as failure:
            await asked(access_to(fake.url))
    assert failure.value.retry_after_s == seconds
    assert len(fake.requests) == 1


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"[]", b""])
async def test_a_server_that_is_no_api_server_is_named_as_such(body: bytes) -> None:
    async def handler(_: Request, __: Stream) -> Answer:
        return Answer(200, body)

    async with serving(handler) as fake:
        with pytest.raises(ClusterRefused, match="does not answer like a Kubernetes API server"):
            await asked(access_to(fake.url))


async def test_a_refusal_that_is_no_status_object_is_shown_as_it_is() -> None:
    async def handler(_: Request, __: Stream) -> Answer:
        return Answer(502, b"Bad Gateway\n")

    async with serving(handler) as fake:
        with pytest.raises(ClusterRefused, match="answered 502 to GET /version: Bad Gateway"):
            await asked(access_to(fake.url))


async def test_a_redirect_is_not_followed() -> None:
    async def handler(_: Request, __: Stream) -> Answer:
        return Answer(302, b"", {"Location": "/elsewhere"})

    async with serving(handler) as fake:
        with pytest.raises(ClusterRefused):
            await asked(access_to(fake.url))
    assert len(fake.requests) == 1


async def test_a_server_that_is_not_there_is_named_with_its_context() -> None:
    async with serving(version) as fake:
        url = fake.url
    with pytest.raises(ClusterUnreachable) as failure:
        await asked(access_to(url))
    assert f"the API server {url} of the context 'test' cannot be reached: " in str(failure.value)
    assert "Connection refused" in str(failure.value)


async def test_a_server_whose_name_does_not_resolve_is_named() -> None:
    with pytest.raises(ClusterUnreachable, match=r"api\.invalid"):
        await asked(access_to("http://api.invalid:6443"))


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_: Request, __: Stream) -> None:
        await trio.sleep(math.inf)

    async with serving(silent) as fake, Api(access_to(fake.url)) as api:
        with pytest.raises(ClusterUnreachable, match="did not answer in time"):
            await api.get("/version", timeout_s=0.2)


async def test_a_connection_that_dies_under_an_answer_is_no_traceback() -> None:
    async def dying(_: Request, stream: Stream) -> None:
        await stream.start()
        await stream.send(b"{")
        await stream.reset()

    async with serving(dying) as fake:
        with pytest.raises(ClusterUnreachable):
            await asked(access_to(fake.url))


async def test_a_patch_is_a_strategic_merge_with_our_credentials() -> None:
    async def handler(_: Request, __: Stream) -> Answer:
        return Answer(200, {"kind": "Deployment"})

    async with serving(handler) as fake:
        access = access_to(fake.url)
        real = load_configuration(fake.url)
        access.credentials.configuration = real
        async with Api(access) as api:
            assert await api.patch("/apis/apps/v1/x", {"spec": {"a": 1}}) == (200, {"kind": "Deployment"})
    request = fake.requests[0]
    assert (request.method, request.path, request.json) == ("PATCH", "/apis/apps/v1/x", {"spec": {"a": 1}})
    assert request.headers["content-type"] == "application/strategic-merge-patch+json"
    assert request.query == {"fieldManager": "rollcheck"}


@pytest.mark.parametrize(("status", "error"), [(403, ClusterDenied), (409, ClusterRefused), (429, ClusterThrottled)])
async def test_a_refused_patch_is_told_as_any_other_request_and_not_repeated(
    status: int, error: type[Exception]
) -> None:
    async def handler(_: Request, __: Stream) -> Answer:
        answer = status_object(status, "No", "the words of the server")
        answer.headers["Retry-After"] = "1"
        return answer

    async with serving(handler) as fake:
        with pytest.raises(error, match="the words of the server"):
            await patched(fake.url)
    assert len(fake.requests) == 1


async def test_a_patch_that_nobody_answers_is_unreachable() -> None:
    async with serving(version) as fake:
        url = fake.url
    with pytest.raises(ClusterUnreachable, match="cannot be reached"):
        await patched(url)


async def test_a_patch_that_is_not_answered_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(_: Request, __: Stream) -> None:
        await trio.sleep(math.inf)

    monkeypatch.setattr(module, "READ_S", 0.2)
    async with serving(silent) as fake:
        with pytest.raises(ClusterUnreachable, match="did not answer in time"):
            await patched(fake.url)


async def patched(url: str) -> tuple[int, dict[str, Any]]:
    """What comes of a patch there."""
    access = access_to(url)
    access.credentials.configuration = load_configuration(url)
    async with Api(access) as api:
        return await api.patch("/apis/apps/v1/x", {"spec": {}})


def load_configuration(url: str) -> Any:
    from kubernetes.client import Configuration

    configuration = Configuration(host=url)
    configuration.retries = False
    configuration.api_key["BearerToken"] = "Bearer secret"
    return configuration


# ---- TLS: what a kubeconfig says, on the wire


class Tls:
    """A private CA, a server certificate for `names`, and a kubeconfig that trusts the one or another CA."""

    def __init__(self, tmp_path: Path, *names: str, client_ca: bool = False) -> None:
        self.path = tmp_path
        self.ca = trustme.CA()
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(*names).configure_cert(self.server)
        if client_ca:
            self.ca.configure_trust(self.server)
            self.server.verify_mode = ssl.CERT_REQUIRED

    def access(self, port: int, *, user: dict[str, Any] | None = None, **cluster: Any) -> Access:
        self.ca.cert_pem.write_to_path(self.path / "ca.crt")
        entry = {"server": f"https://127.0.0.1:{port}", "certificate-authority": "ca.crt", **cluster}
        config = {
            "current-context": "dev",
            "clusters": [{"name": "c", "cluster": {k: v for k, v in entry.items() if v is not None}}],
            "users": [{"name": "alice", "user": user or {}}],
            "contexts": [{"name": "dev", "context": {"cluster": "c", "user": "alice"}}],
        }
        path = self.path / "config"
        path.write_text(yaml.safe_dump(config))
        return load_access(kubeconfig=str(path))

    def client_certificate(self) -> dict[str, str]:
        made = self.ca.issue_cert("alice@example.test")
        made.private_key_pem.write_to_path(self.path / "client.key")
        made.cert_chain_pems[0].write_to_path(self.path / "client.crt")
        return {"client-certificate": "client.crt", "client-key": "client.key"}


async def test_a_certificate_of_the_clusters_own_ca_is_trusted(tmp_path: Path) -> None:
    tls = Tls(tmp_path, "127.0.0.1")
    async with serving(version, tls.server) as fake:
        assert await asked(tls.access(fake.port, user={"token": "t"})) == "v1.34.4"


async def test_a_certificate_of_another_ca_names_the_kubeconfig(tmp_path: Path) -> None:
    tls, other = Tls(tmp_path, "127.0.0.1"), trustme.CA()
    async with serving(version, tls.server) as fake:
        access = tls.access(fake.port)
        other.cert_pem.write_to_path(tmp_path / "ca.crt")
        access = load_access(kubeconfig=str(tmp_path / "config"))
        with pytest.raises(ClusterUnreachable, match="certificate that does not fit the kubeconfig"):
            await asked(access)


async def test_a_certificate_for_another_name_passes_with_tls_server_name_only(tmp_path: Path) -> None:
    tls = Tls(tmp_path, "kubernetes.default")
    async with serving(version, tls.server) as fake:
        with pytest.raises(ClusterUnreachable, match="certificate that does not fit"):
            await asked(tls.access(fake.port))
        assert await asked(tls.access(fake.port, **{"tls-server-name": "kubernetes.default"})) == "v1.34.4"


async def test_insecure_skip_tls_verify_asks_for_no_certificate(tmp_path: Path) -> None:
    tls = Tls(tmp_path, "kubernetes.default")
    async with serving(version, tls.server) as fake:
        access = tls.access(fake.port, **{"insecure-skip-tls-verify": True, "certificate-authority": None})
        assert await asked(access) == "v1.34.4"


async def test_a_client_certificate_is_shown_to_the_server(tmp_path: Path) -> None:
    tls = Tls(tmp_path, "127.0.0.1", client_ca=True)
    async with serving(version, tls.server) as fake:
        with pytest.raises(ClusterUnreachable):
            await asked(tls.access(fake.port))
        assert await asked(tls.access(fake.port, user=tls.client_certificate())) == "v1.34.4"


async def test_a_write_uses_the_same_certificates_and_server_name(tmp_path: Path) -> None:
    tls = Tls(tmp_path, "kubernetes.default", client_ca=True)
    async with serving(version, tls.server) as fake:
        access = tls.access(fake.port, user=tls.client_certificate(), **{"tls-server-name": "kubernetes.default"})
        async with Api(access) as api:
            status, _ = await api.patch("/apis/apps/v1/x", {})
    assert status == 200


async def test_the_token_of_an_exec_plugin_is_sent_on_reads_and_writes(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text(
        f"#!{sys.executable}\n"
        'print(\'{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",\'\n'
        '      \'"status": {"token": "from-plugin"}}\')\n'
    )
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    subprocess.run([plugin], check=True, capture_output=True)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    tls = Tls(tmp_path, "127.0.0.1")
    async with serving(version, tls.server) as fake, Api(tls.access(fake.port, user=user)) as api:
        await api.warm_up()
        await api.version()
        await api.patch("/apis/apps/v1/x", {})
    assert [r.headers["authorization"] for r in fake.requests] == ["Bearer from-plugin"] * 2


async def test_a_proxy_that_is_not_there_is_named(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{free.getsockname()[1]}"
    tls = Tls(tmp_path, "127.0.0.1")
    with pytest.raises(ClusterUnreachable, match=f"through the proxy {proxy}"):
        await asked(tls.access(1, **{"proxy-url": proxy}))
