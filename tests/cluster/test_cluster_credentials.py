"""Who asks: exec plugins of both kinds, before the real API server and its 401."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blackbox import CLUSTER_FAILURE, Ended, assert_graceful, assert_one_sentence
from clusterside import Cluster
from conftest import Story
from workloads import Workload

pytestmark = pytest.mark.cluster
Tell = Callable[..., Story]
VERSION = "client.authentication.k8s.io/v1"
SETTINGS = ("ROLLCHECK_TEST_CLIENT_CERT", "ROLLCHECK_TEST_CLIENT_KEY")

PLUGIN = """
import json, pathlib, sys
here = pathlib.Path(__file__)
runs = here.with_name("runs")
runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
answers = json.loads(here.with_name("answers.json").read_text())
status = answers[min(len(runs.read_text()), len(answers)) - 1]
print(json.dumps({"apiVersion": sys.argv[1], "kind": "ExecCredential", "status": status}))
"""
"""Answers with the first of `answers.json` at its first run, with the second at its second, then with the last."""


@pytest.fixture(scope="module")
def story(tell: Tell) -> Story:
    return tell(Workload(replicas=1, env={"ON_TERM": "drain", "DRAIN_WAIT": "5"}))


@pytest.fixture(scope="module")
def token(story: Story) -> str:
    """Of a service account that may do everything in the story's namespace, and nothing elsewhere.

    Where rights cannot be given, of KUBECONFIG's own user.
    """
    if not story.ns.cluster.has_rbac():
        view = story.ns.cluster.kubectl("config", "view", "--minify", "--flatten", "--raw", "-o", "json")
        return str(json.loads(view)["users"][0]["user"]["token"])
    story.ns.kubectl("create", "serviceaccount", "deployer")
    account = f"--serviceaccount={story.ns.name}:deployer"
    story.ns.kubectl("create", "rolebinding", "deployer", "--clusterrole=admin", account)
    return story.ns.kubectl("create", "token", "deployer").strip()


@pytest.fixture(scope="module")
def certificate(cluster: Cluster) -> tuple[str, str]:
    """An admin's certificate and key as PEM: as the settings say, else those of KUBECONFIG's own user.

    The user of `../shared/cluster` has a token; what serves there is the control plane's client certificate for the
    kubelets, one of system:masters, which lies beside the CA.
    """
    asked = [os.environ.get(name, "") for name in SETTINGS]
    if all(asked):
        return Path(asked[0]).read_text(), Path(asked[1]).read_text()
    view = ("config", "view", "--minify", "--raw", "-o", "json")
    user = json.loads(cluster.kubectl(*view, "--flatten"))["users"][0]["user"]
    if "client-certificate-data" in user:
        cert, key = (base64.b64decode(user[f"client-{what}-data"]).decode() for what in ("certificate", "key"))
        return cert, key
    authority = json.loads(cluster.kubectl(*view))["clusters"][0]["cluster"].get("certificate-authority", "")
    beside = [Path(authority).with_name(f"kubelet-client.{end}") for end in ("crt", "key")] if authority else []
    if not beside or not all(path.is_file() for path in beside):
        pytest.skip(f"KUBECONFIG's user has no client certificate: name one of an admin in {' and '.join(SETTINGS)}")
    return beside[0].read_text(), beside[1].read_text()


@pytest.fixture
def ask_as(story: Story, tmp_path: Path) -> Callable[..., Ended]:
    """Runs rollcheck as a user whose exec plugin answers with each of `statuses` in turn, then with the last again."""

    def ask_as(*statuses: Any) -> Ended:
        plugin = tmp_path / "plugin.py"
        plugin.write_text(PLUGIN)
        (tmp_path / "answers.json").write_text(json.dumps(statuses))
        run = {
            "apiVersion": VERSION,
            "command": sys.executable,
            "args": [str(plugin), VERSION],
            "interactiveMode": "Never",
        }
        config = json.loads(story.ns.cluster.kubectl("config", "view", "--minify", "--flatten", "--raw", "-o", "json"))
        config["users"] = [{"name": user["name"], "user": {"exec": run}} for user in config["users"]]
        path = tmp_path / "kubeconfig"
        path.write_text(json.dumps(config))
        story.ns.wait_available("web")
        return story.rollcheck("--kubeconfig", str(path))

    return ask_as


def runs_of_the_plugin(folder: Path) -> int:
    """How often it was run."""
    return len((folder / "runs").read_text())


def test_a_plugin_that_gives_a_token_is_enough_for_a_whole_run(ask_as, token, tmp_path):
    run = ask_as({"token": token})

    assert_graceful(run)
    assert runs_of_the_plugin(tmp_path) == 1


def test_a_plugin_that_gives_a_client_certificate_is_enough_for_a_whole_run(ask_as, certificate, tmp_path):
    cert, key = certificate

    run = ask_as({"clientCertificateData": cert, "clientKeyData": key})

    assert_graceful(run)
    assert runs_of_the_plugin(tmp_path) == 1


def test_a_plugin_is_asked_again_when_the_api_server_refuses_its_token(ask_as, token, tmp_path):
    run = ask_as({"token": "worn-out"}, {"token": token})

    assert_graceful(run)
    assert runs_of_the_plugin(tmp_path) == 2


def test_a_plugin_whose_tokens_are_refused_again_and_again_is_a_401_and_not_a_loop(ask_as, tmp_path):
    run = ask_as({"token": "worn-out"})

    assert run.code == CLUSTER_FAILURE, run
    assert_one_sentence(run, "401")
    assert runs_of_the_plugin(tmp_path) == 2
