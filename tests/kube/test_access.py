"""Kubeconfigs as files, read by the official loader."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import ssl
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from rollcheck.errors import UsageError
from rollcheck.kube import access
from rollcheck.kube import kubeconfig as kubeconfigs
from rollcheck.kube.access import load_access


def kubeconfig(
    tmp_path: Path,
    *,
    user: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
    context: dict[str, Any] | None = None,
    name: str = "config",
    current: str = "dev",
) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "clusters": [{"name": "c", "cluster": {"server": "http://10.0.0.1:8080", **(cluster or {})}}],
        "users": [{"name": "alice", "user": user or {}}],
        "contexts": [
            {"name": "dev", "context": {"cluster": "c", "user": "alice", **(context or {})}},
            {"name": "production", "context": {"cluster": "c", "user": "alice", "namespace": "shop"}},
        ],
    }
    path = tmp_path / name
    path.write_text(yaml.safe_dump(config))
    return path


def script(tmp_path: Path, body: str) -> str:
    path = tmp_path / "plugin"
    path.write_text(f"#!{sys.executable}\n{body}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def exec_user(command: str) -> dict[str, Any]:
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "interactiveMode": "Never"}}


COUNTING = """
import json, pathlib, sys
count = pathlib.Path(__file__).with_name("count")
n = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(n))
status = {"token": f"token-{n}", "expirationTimestamp": EXPIRY}
status = {k: v for k, v in status.items() if v}
print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}))
"""


def test_server_context_namespace_and_user_come_from_the_current_context(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, context={"namespace": "web"})
    found = load_access(kubeconfig=str(path))
    assert (found.server, found.context, found.namespace, found.user) == ("http://10.0.0.1:8080", "dev", "web", "alice")


def test_the_namespace_is_default_when_nobody_says_another(tmp_path: Path) -> None:
    assert load_access(kubeconfig=str(kubeconfig(tmp_path))).namespace == "default"


def test_a_context_and_a_namespace_that_are_asked_for_win(tmp_path: Path) -> None:
    path = str(kubeconfig(tmp_path))
    assert load_access(kubeconfig=path, context="production").namespace == "shop"
    assert load_access(kubeconfig=path, context="production", namespace="mine").namespace == "mine"


def test_the_kubeconfig_of_the_environment_is_used_when_none_is_asked_for(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path)
    assert load_access(environ={"KUBECONFIG": str(path)}).source == str(path)


def test_several_kubeconfigs_in_the_environment_are_merged_and_missing_ones_left_out(tmp_path: Path) -> None:
    first = kubeconfig(tmp_path, cluster={"server": "http://first"})
    second = kubeconfig(tmp_path, cluster={"server": "http://second"}, name="other", current="production")
    found = load_access(environ={"KUBECONFIG": os.pathsep.join([str(first), str(tmp_path / "none"), str(second)])})
    assert (found.context, found.server) == ("dev", "http://first")


def test_of_several_kubeconfigs_the_first_that_names_a_current_context_counts_as_for_kubectl(tmp_path: Path) -> None:
    first = kubeconfig(tmp_path, current="")
    second = kubeconfig(tmp_path, name="other", current="production")
    assert load_access(environ={"KUBECONFIG": f"{first}{os.pathsep}{second}"}).context == "production"


def test_a_static_token_becomes_the_header(tmp_path: Path) -> None:
    found = load_access(kubeconfig=str(kubeconfig(tmp_path, user={"token": "abc"})))
    assert found.credentials.header() == "Bearer abc"


def test_a_user_without_credentials_sends_no_header(tmp_path: Path) -> None:
    assert load_access(kubeconfig=str(kubeconfig(tmp_path))).credentials.header() == ""


def test_a_token_file_is_read_again_when_its_token_was_refused(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old")
    found = load_access(kubeconfig=str(kubeconfig(tmp_path, user={"tokenFile": str(token)})))
    assert found.credentials.header() == "Bearer old"
    token.write_text("new")
    assert found.credentials.header() == "Bearer old"
    assert found.credentials.header(refused="Bearer old") == "Bearer new"


def test_a_password_becomes_basic_authorization(tmp_path: Path) -> None:
    found = load_access(kubeconfig=str(kubeconfig(tmp_path, user={"username": "u", "password": "p"})))
    assert found.credentials.header() == "Basic dTpw"


@pytest.mark.parametrize("expiry", ["''", "'2000-01-01T00:00:00Z'", "'2999-01-01T00:00:00Z'"])
def test_an_exec_plugin_is_not_run_for_every_request(tmp_path: Path, expiry: str) -> None:
    plugin = script(tmp_path, COUNTING.replace("EXPIRY", expiry))
    found = load_access(kubeconfig=str(kubeconfig(tmp_path, user=exec_user(plugin))))
    headers = {found.credentials.header() for _ in range(20)}
    assert len(headers) == 1
    assert int((tmp_path / "count").read_text()) <= 2


def test_an_exec_plugin_is_run_again_when_its_token_was_refused(tmp_path: Path) -> None:
    plugin = script(tmp_path, COUNTING.replace("EXPIRY", "''"))
    found = load_access(kubeconfig=str(kubeconfig(tmp_path, user=exec_user(plugin))))
    first = found.credentials.header()
    assert found.credentials.header(refused=first) == "Bearer token-2"


def test_a_token_that_another_task_has_renewed_already_is_not_renewed_twice(tmp_path: Path) -> None:
    plugin = script(tmp_path, COUNTING.replace("EXPIRY", "''"))
    found = load_access(kubeconfig=str(kubeconfig(tmp_path, user=exec_user(plugin))))
    first = found.credentials.header()
    second = found.credentials.header(refused=first)
    assert found.credentials.header(refused=first) == second


def answering(tmp_path: Path, status: dict[str, str]) -> dict[str, Any]:
    """A user whose exec plugin answers with `status`."""
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    return exec_user(script(tmp_path, f"print({json.dumps(answer)!r})"))


def name_shown_to_a_server(client: ssl.SSLContext, authority: trustme.CA) -> str | None:
    """The common name of the certificate that `client` shows to a server of `authority` which asks for one."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("10.0.0.1").configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_OPTIONAL
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname="10.0.0.1")
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (near, far):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    shown: Any = far.getpeercert() or {}
    names = {name: value for part in shown.get("subject", ()) for name, value in part}
    return names.get("commonName")


def test_the_certificate_of_an_exec_plugin_is_shown_to_the_server(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    own = authority.issue_cert("admin.test", common_name="admin")
    status = {
        "clientCertificateData": own.cert_chain_pems[0].bytes().decode(),
        "clientKeyData": own.private_key_pem.bytes().decode(),
    }
    cluster = {"server": "https://10.0.0.1", "certificate-authority": "ca.crt"}
    found = load_access(kubeconfig=str(kubeconfig(tmp_path, user=answering(tmp_path, status), cluster=cluster)))
    assert found.credentials.header() == ""
    assert found.tls is not None
    assert name_shown_to_a_server(found.tls, authority) == "admin"


def test_a_certificate_of_an_exec_plugin_without_its_key_is_a_usage_error(tmp_path: Path) -> None:
    user = answering(tmp_path, {"clientCertificateData": "-----BEGIN CERTIFICATE-----"})
    with pytest.raises(UsageError, match="missing clientKeyData"):
        load_access(kubeconfig=str(kubeconfig(tmp_path, user=user)))


def test_a_certificate_of_an_exec_plugin_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    user = answering(tmp_path, {"clientCertificateData": "nonsense", "clientKeyData": "nonsense"})
    path = kubeconfig(tmp_path, user=user, cluster={"server": "https://10.0.0.1", "insecure-skip-tls-verify": True})
    with pytest.raises(UsageError, match=r"certificates of .* cannot be used"):
        load_access(kubeconfig=str(path))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import sys; sys.exit('please log in')", "please log in"),
        ("print('no json')", "decode"),
        ("print('{}')", "missing key"),
    ],
)
def test_a_failing_exec_plugin_is_a_usage_error_with_its_words(
    tmp_path: Path, body: str, why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = str(kubeconfig(tmp_path, user=exec_user(script(tmp_path, body))))
    with pytest.raises(UsageError, match=why) as failure:
        load_access(kubeconfig=path)
    assert "\n" not in str(failure.value)
    assert capfd.readouterr() == ("", "")
    assert not [h for h in logging.getLogger().handlers if type(h).__name__ == "Keep"]


def test_an_exec_plugin_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    path = str(kubeconfig(tmp_path, user=exec_user("no-such-login-helper")))
    with pytest.raises(UsageError, match="no-such-login-helper"):
        load_access(kubeconfig=path)


def test_a_missing_kubeconfig_is_named_with_the_flag(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no kubeconfig at .*/none; give another with --kubeconfig"):
        load_access(kubeconfig=str(tmp_path / "none"))


def test_a_missing_kubeconfig_of_the_environment_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="which KUBECONFIG names"):
        load_access(environ={"KUBECONFIG": str(tmp_path / "none")})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: b: c\n", "is not YAML (line 1)"),
        ("x: 1\ny: [\n", "is not YAML"),
        ("\x00\x01", "is not YAML"),
        ("", "an empty file"),
        ("just words", "a single str"),
        ("- 1\n", "a single list"),
        ("contexts: {}\nclusters: 5\n", "'clusters' is no list of named entries"),
        ("contexts: [1]\n", "'contexts' is no list of named entries"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_named_with_what_it_is(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(UsageError) as failure:
        load_access(kubeconfig=str(path))
    assert why in str(failure.value)
    assert str(path) in str(failure.value)


def test_bytes_that_are_no_text_are_not_yaml(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(UsageError, match="is not YAML"):
        load_access(kubeconfig=str(path))


def test_a_folder_is_no_kubeconfig(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        load_access(kubeconfig=str(tmp_path))


def test_an_unknown_context_is_named_with_the_near_and_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as failure:
        load_access(kubeconfig=str(kubeconfig(tmp_path)), context="prodution")
    assert "did you mean 'production'?" in str(failure.value)
    assert "(there are: dev, production)" in str(failure.value)


def test_no_current_context_asks_for_one_of_the_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no current context; choose one with --context \(there are: dev, production"):
        load_access(kubeconfig=str(kubeconfig(tmp_path, current="")))


@pytest.mark.parametrize(
    ("context", "why"), [({"cluster": "lost"}, "names the cluster 'lost'"), ({"user": "bob"}, "names the user 'bob'")]
)
def test_a_context_that_names_what_is_not_there_is_a_usage_error(
    tmp_path: Path, context: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        load_access(kubeconfig=str(kubeconfig(tmp_path, context=context)))


def test_a_certificate_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    cluster = {"server": "https://10.0.0.1:6443", "certificate-authority": "/no/such/ca.crt"}
    with pytest.raises(UsageError, match=r"ca\.crt"):
        load_access(kubeconfig=str(kubeconfig(tmp_path, cluster=cluster)))


def test_a_certificate_that_is_none_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("not a certificate")
    cluster = {"server": "https://10.0.0.1:6443", "certificate-authority": "ca.crt"}
    with pytest.raises(UsageError, match="certificates of"):
        load_access(kubeconfig=str(kubeconfig(tmp_path, cluster=cluster)))


def test_tls_server_name_and_proxy_are_taken_over(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.crt")
    cluster = {
        "server": "https://10.0.0.1:6443",
        "certificate-authority": "ca.crt",
        "tls-server-name": "kubernetes.default",
        "proxy-url": "http://proxy:3128",
    }
    found = load_access(kubeconfig=str(kubeconfig(tmp_path, cluster=cluster)))
    assert (found.sni, found.proxy) == ("kubernetes.default", "http://proxy:3128")
    assert found.tls is not None


def test_a_proxy_of_the_environment_is_used_unless_the_server_is_exempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(kubeconfig(tmp_path))
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    assert load_access(kubeconfig=path).proxy == "http://proxy:3128"
    monkeypatch.setenv("no_proxy", "10.0.0.1")
    assert load_access(kubeconfig=path).proxy == ""


def test_inside_a_pod_the_service_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes.config import incluster_config

    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("pod-token")
    (tmp_path / "namespace").write_text("shop\n")
    monkeypatch.setattr(access, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setattr(kubeconfigs, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = load_access(environ=environ)
    assert (found.server, found.namespace, found.context) == ("https://10.96.0.1:443", "shop", "in-cluster")
    assert found.credentials.header().lower() == "bearer pod-token"
