"""What cannot be run is refused in one sentence, and nothing in the cluster has changed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blackbox import CLUSTER_FAILURE, USAGE, assert_one_sentence, environment, rollcheck
from conftest import Story
from workloads import Workload

pytestmark = pytest.mark.cluster
Tell = Callable[..., Story]
REFUSED = (USAGE, CLUSTER_FAILURE)
BRIEF = {"ON_TERM": "drain", "DRAIN_WAIT": "0"}


@pytest.fixture(scope="module")
def story(tell: Tell) -> Story:
    return tell(Workload(replicas=1, env=BRIEF))


@pytest.fixture
def unchanged(story: Story) -> Iterator[Story]:
    """The story, and after the test the proof that its Deployment is as it was."""
    before = story.ns.generation("web")
    yield story
    assert story.ns.generation("web") == before


@pytest.fixture(scope="module")
def kubeconfig(story: Story) -> Any:
    """What KUBECONFIG says of the current context, its files inlined."""
    return json.loads(story.ns.cluster.kubectl("config", "view", "--minify", "--flatten", "-o", "json"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], str]:
    """Writes a kubeconfig and gives its path."""

    def write(config: Any) -> str:
        path = tmp_path / "kubeconfig"
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        return str(path)

    return write


def as_token(kubeconfig: Any, token: str) -> Any:
    """The same cluster, asked by somebody else."""
    users = [{"name": user["name"], "user": {"token": token}} for user in kubeconfig["users"]]
    return {**kubeconfig, "users": users}


def test_an_unknown_deployment_is_named(unchanged):
    out = unchanged.folder / "unknown-deployment"

    run = rollcheck(
        "run", "--deploy", "wbe", "-n", unchanged.ns.name, "--out", str(out), "-o", "json", "--yes", out=out
    )

    assert run.code in REFUSED, run
    assert_one_sentence(run, "wbe", unchanged.ns.name)


def test_an_unknown_namespace_is_named(unchanged):
    out = unchanged.folder / "unknown-namespace"

    run = rollcheck("run", "--deploy", "web", "-n", "no-such-ns", "--out", str(out), "--yes", out=out)

    assert run.code in REFUSED, run
    assert_one_sentence(run, "no-such-ns")


def test_an_unknown_context_is_named(unchanged):
    run = unchanged.rollcheck("--context", "no-such-context")

    assert run.code == USAGE, run
    assert_one_sentence(run, "no-such-context")


def test_an_api_server_that_does_not_answer_is_named(unchanged, kubeconfig, write):
    clusters = [
        {"name": c["name"], "cluster": {**c["cluster"], "server": "https://127.0.0.1:9"}}
        for c in kubeconfig["clusters"]
    ]

    run = unchanged.rollcheck("--kubeconfig", write({**kubeconfig, "clusters": clusters}))

    assert run.code == CLUSTER_FAILURE, run
    assert_one_sentence(run, "127.0.0.1:9")


def test_a_token_that_the_api_server_does_not_know_is_a_401(unchanged, kubeconfig, write):
    run = unchanged.rollcheck("--kubeconfig", write(as_token(kubeconfig, "nobody")))

    assert run.code == CLUSTER_FAILURE, run
    assert_one_sentence(run, "401")


@pytest.mark.usefixtures("rights")
def test_a_service_account_without_rights_is_a_403(unchanged, kubeconfig, write):
    token = unchanged.ns.kubectl("create", "token", "default").strip()

    run = unchanged.rollcheck("--kubeconfig", write(as_token(kubeconfig, token)))

    assert run.code == CLUSTER_FAILURE, run
    assert_one_sentence(run, "deployments", unchanged.ns.name)


@pytest.mark.usefixtures("rights")
def test_a_service_account_that_may_only_look_is_told_what_it_lacks_before_anything_starts(
    unchanged, kubeconfig, write
):
    unchanged.ns.kubectl("create", "serviceaccount", "viewer")
    unchanged.ns.kubectl(
        "create", "rolebinding", "viewer", "--clusterrole=view", f"--serviceaccount={unchanged.ns.name}:viewer"
    )
    token = unchanged.ns.kubectl("create", "token", "viewer").strip()

    run = unchanged.rollcheck("--kubeconfig", write(as_token(kubeconfig, token)))

    assert run.code == CLUSTER_FAILURE, run
    assert_one_sentence(run, "patch")


def test_a_kubeconfig_that_is_not_yaml_is_named(unchanged, write):
    path = write("clusters: [\n  - {name: }: ]]\n\t")

    run = unchanged.rollcheck("--kubeconfig", path)

    assert run.code == USAGE, run
    assert_one_sentence(run, path)


def test_a_kubeconfig_that_is_not_there_is_named(unchanged, tmp_path):
    path = str(tmp_path / "nothing-here")

    run = unchanged.rollcheck("--kubeconfig", path)

    assert run.code == USAGE, run
    assert_one_sentence(run, path)


def test_without_any_kubeconfig_the_way_out_is_named(unchanged, tmp_path):
    env = environment(KUBECONFIG=None, HOME=str(tmp_path), KUBERNETES_SERVICE_HOST=None)
    out = tmp_path / "run"

    run = rollcheck("run", "--deploy", "web", "--out", str(out), "--yes", out=out, env=env)

    assert run.code in REFUSED, run
    assert_one_sentence(run, "--kubeconfig")


def test_a_url_that_never_answers_is_named(unchanged):
    host = unchanged.url.removeprefix("http://").partition(":")[0]

    run = unchanged.rollcheck("--url", f"http://{host}:9/")

    assert run.code in REFUSED, run
    assert_one_sentence(run, f"{host}:9")


def test_a_url_that_is_none_is_a_usage_error(unchanged):
    run = unchanged.rollcheck("--url", "web:80")

    assert run.code == USAGE, run
    assert_one_sentence(run, "web:80")


def test_a_paused_deployment_is_refused(tell):
    story = tell(Workload(replicas=1, env=BRIEF))
    story.ns.kubectl("rollout", "pause", "deployment/web")
    before = story.ns.generation("web")

    run = story.rollcheck()

    assert run.code in REFUSED, run
    assert_one_sentence(run, "paused")
    assert story.ns.generation("web") == before


def test_a_deployment_with_0_replicas_is_refused(tell):
    story = tell(Workload(replicas=0, env=BRIEF))
    before = story.ns.generation("web")

    run = story.rollcheck()

    assert run.code in REFUSED, run
    assert_one_sentence(run, "0 replicas")
    assert story.ns.generation("web") == before


def test_a_deployment_that_never_becomes_ready_is_refused(tell):
    story = tell(Workload(replicas=1, env={**BRIEF, "READY_AFTER": "9999"}), ready=False)
    before = story.ns.generation("web")

    run = story.rollcheck("--rollout-timeout", "10s")

    assert run.code in REFUSED, run
    assert_one_sentence(run, "ready")
    assert story.ns.generation("web") == before
