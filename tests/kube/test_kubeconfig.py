"""What the user's COMMAND is given: the context and namespace that rollcheck was told, in a kubeconfig of its own."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollcheck.errors import UsageError
from rollcheck.kube.access import load_access
from rollcheck.kube.kubeconfig import environment_for_command

CREDENTIALS = "client.authentication.k8s.io/v1"
CONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "dev",
    "clusters": [
        {"name": "c", "cluster": {"server": "https://10.0.0.1", "certificate-authority": "pki/ca.crt"}},
        {"name": "d", "cluster": {"server": "https://10.0.0.2", "insecure-skip-tls-verify": True}},
    ],
    "users": [
        {"name": "alice", "user": {"client-certificate": "alice.crt", "client-key": "/keys/alice.key"}},
        {"name": "bob", "user": {"exec": {"apiVersion": CREDENTIALS, "command": "./plugin"}}},
        {"name": "carol", "user": {"exec": {"apiVersion": CREDENTIALS, "command": "aws"}}},
    ],
    "contexts": [
        {"name": "dev", "context": {"cluster": "c", "user": "alice"}},
        {"name": "stage", "context": {"cluster": "d", "user": "bob", "namespace": "shop"}},
    ],
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "home" / "config"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(CONFIG))
    credential = {"apiVersion": CREDENTIALS, "kind": "ExecCredential", "status": {"token": "t"}}
    plugin = path.with_name("plugin")
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    plugin.chmod(0o755)
    return path


def given(config: Path, **options: str) -> dict[str, Any]:
    """The kubeconfig that COMMAND gets."""
    with environment_for_command(kubeconfig=str(config), **options) as environ:
        loaded: dict[str, Any] = yaml.safe_load(Path(environ["KUBECONFIG"]).read_text())
        return loaded


def entry(loaded: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    inner: dict[str, Any] = next(e for e in loaded[kind] if e["name"] == name)[kind.removesuffix("s")]
    return inner


def test_without_a_choice_the_users_own_kubeconfig_is_handed_on(config: Path) -> None:
    with environment_for_command(kubeconfig=str(config)) as environ:
        assert environ == {"KUBECONFIG": str(config)}
    with environment_for_command() as environ:
        assert environ == {}


def test_the_context_that_was_chosen_is_the_current_one(config: Path) -> None:
    assert given(config, context="stage")["current-context"] == "stage"


def test_the_namespace_that_was_chosen_is_that_of_the_context_and_of_no_other(config: Path) -> None:
    loaded = given(config, namespace="mine")

    assert loaded["current-context"] == "dev"
    assert entry(loaded, "contexts", "dev") == {"cluster": "c", "user": "alice", "namespace": "mine"}
    assert entry(loaded, "contexts", "stage")["namespace"] == "shop"


def test_a_context_keeps_its_own_namespace_when_none_was_chosen(config: Path) -> None:
    assert entry(given(config, context="stage"), "contexts", "stage")["namespace"] == "shop"


def test_paths_beside_the_kubeconfig_still_lead_there(config: Path) -> None:
    loaded, home = given(config, context="stage"), config.parent

    assert entry(loaded, "clusters", "c")["certificate-authority"] == str(home / "pki" / "ca.crt")
    assert entry(loaded, "users", "alice") == {
        "client-certificate": str(home / "alice.crt"),
        "client-key": "/keys/alice.key",
    }
    assert entry(loaded, "users", "bob")["exec"]["command"] == str(home / "plugin")
    assert entry(loaded, "users", "carol")["exec"]["command"] == "aws"
    assert entry(loaded, "clusters", "d")["insecure-skip-tls-verify"] is True


def test_it_is_readable_for_this_user_alone_and_gone_afterwards(config: Path) -> None:
    with environment_for_command(kubeconfig=str(config), context="stage") as environ:
        path = Path(environ["KUBECONFIG"])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.parent.exists()


def test_several_kubeconfigs_become_one_that_every_tool_reads_alike(config: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(yaml.safe_dump({"current-context": "stage"}))
    environ = {"KUBECONFIG": f"{other}:{config}"}
    with environment_for_command(namespace="mine", environ=environ) as given_environ:
        found = load_access(environ={**given_environ}, namespace="")
        assert (found.context, found.namespace) == ("stage", "mine")


def test_what_it_leads_to_is_where_rollcheck_itself_goes(config: Path) -> None:
    own = load_access(kubeconfig=str(config), context="stage", namespace="mine")
    with environment_for_command(kubeconfig=str(config), context="stage", namespace="mine") as environ:
        handed = load_access(environ=environ)

    assert (handed.server, handed.context, handed.namespace) == (own.server, own.context, own.namespace)
    assert handed.credentials.header() == own.credentials.header() == "Bearer t"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl here")
def test_kubectl_takes_the_context_and_namespace_from_it(config: Path) -> None:
    with environment_for_command(kubeconfig=str(config), context="stage", namespace="mine") as environ:
        said = subprocess.run(
            ["kubectl", "config", "view", "--minify", "-o", "jsonpath={.current-context} {..namespace}"],
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", **environ},
            capture_output=True,
            text=True,
            check=True,
        )
    assert said.stdout == "stage mine"


def test_inside_of_a_pod_the_namespace_is_what_clients_there_go_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rollcheck.kube import kubeconfig as module

    (tmp_path / "token").write_text("t")
    monkeypatch.setattr(module, "SERVICE_ACCOUNT", tmp_path)
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBECONFIG": str(tmp_path / "none")}
    with environment_for_command(namespace="shop", environ=environ) as given_environ:
        assert given_environ == {"POD_NAMESPACE": "shop"}


def test_a_place_that_cannot_be_written_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    with pytest.raises(UsageError, match="set TMPDIR"), environment_for_command(kubeconfig=str(config), context="dev"):
        pass
