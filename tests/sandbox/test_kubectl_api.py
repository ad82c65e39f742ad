"""kubectl against the API server alone: what it prints, applies, patches and deletes, without special flags."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from apiside import TOKEN, deployment
from kubectls import Kubectl, find, in_a_thread, needs_kubectl

from rollcheck.sandbox.apiserver.server import ApiServer
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import NODES

pytestmark = [pytest.mark.loopback, needs_kubectl]


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    path = tmp_path_factory.mktemp("kubectl") / "kubeconfig"
    registry = Registry()
    ready = [{"type": "Ready", "status": "True"}]
    registry.create(NODES, None, {"metadata": {"name": "node-1"}, "status": {"conditions": ready}})

    async def serve(task_status: trio.TaskStatus[None]) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server = ApiServer(registry, token=TOKEN)
        async with trio.open_nursery() as nursery:
            await nursery.start(server.serve, listener)
            path.write_text(server.kubeconfig())
            task_status.started()

    with in_a_thread(serve):
        yield Kubectl(path)


@pytest.fixture
def names(request: pytest.FixtureRequest) -> str:
    """A name for this test's objects, so that tests do not meet."""
    return "t" + str(abs(hash(request.node.name)) % 10**8)


def manifest(name: str, **spec: Any) -> str:
    return json.dumps(deployment(name, **spec))


def show(kubectl: Kubectl, what: str) -> dict[str, Any]:
    return json.loads(kubectl("get", what, "-o", "json"))


def test_the_server_says_that_it_is_a_sandbox(kubectl: Kubectl) -> None:
    assert json.loads(kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"].endswith("+sandbox")


def test_resources_are_discovered_with_their_short_names(kubectl: Kubectl) -> None:
    rows = {row["NAME"]: row for row in kubectl.table("api-resources")}
    assert rows["deployments"]["SHORTNAMES"] == "deploy"
    assert rows["poddisruptionbudgets"]["KIND"] == "PodDisruptionBudget"


def test_nodes_are_printed_as_a_table_narrow_and_wide(kubectl: Kubectl) -> None:
    assert kubectl.table("get", "nodes")[0]["STATUS"] == "Ready"
    assert "INTERNAL-IP" in kubectl("get", "nodes", "-o", "wide")


def test_apply_creates_then_changes_then_finds_nothing_to_do(kubectl: Kubectl, names: str) -> None:
    assert "created" in kubectl("apply", "-f", "-", stdin=manifest(names))
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=manifest(names))
    assert "configured" in kubectl("apply", "-f", "-", stdin=manifest(names, replicas=5))
    assert show(kubectl, f"deploy/{names}")["spec"]["replicas"] == 5
    assert kubectl.try_("diff", "-f", "-", stdin=manifest(names, replicas=5)).code == 0
    assert "+  replicas: 6" in kubectl.try_("diff", "-f", "-", stdin=manifest(names, replicas=6)).out


def test_apply_takes_away_what_the_manifest_no_longer_says(kubectl: Kubectl, names: str) -> None:
    kubectl("apply", "-f", "-", stdin=manifest(names, minReadySeconds=7))
    kubectl("apply", "-f", "-", stdin=manifest(names))
    assert "minReadySeconds" not in show(kubectl, f"deploy/{names}")["spec"]


def test_server_side_apply_tells_conflicts_and_can_force_them(kubectl: Kubectl, names: str) -> None:
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", stdin=manifest(names))
    other = ("apply", "--server-side", "--field-manager=other", "-f", "-")
    refused = kubectl.try_(*other, stdin=manifest(names, replicas=9))
    assert refused.code == 1
    assert 'conflict with "kubectl"' in refused.err
    assert ".spec.replicas" in refused.err
    kubectl(*other, "--force-conflicts", stdin=manifest(names, replicas=9))
    assert show(kubectl, f"deploy/{names}")["spec"]["replicas"] == 9


def test_server_side_apply_takes_over_from_client_side_apply(kubectl: Kubectl, names: str) -> None:
    kubectl("apply", "-f", "-", stdin=manifest(names))
    said = kubectl.try_("apply", "--server-side", "-f", "-", stdin=manifest(names, replicas=3))
    assert (said.code, said.err) == (0, "")
    found = json.loads(kubectl("get", f"deploy/{names}", "-o", "json", "--show-managed-fields"))
    assert {(one["manager"], one["operation"]) for one in found["metadata"]["managedFields"]} >= {("kubectl", "Apply")}


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("json", '[{"op": "replace", "path": "/spec/replicas", "value": 4}]'),
        ("merge", '{"spec": {"replicas": 4}}'),
        ("strategic", '{"spec": {"replicas": 4}}'),
    ],
)
def test_every_type_of_patch_is_taken(kubectl: Kubectl, names: str, kind: str, patch: str) -> None:
    kubectl("apply", "-f", "-", stdin=manifest(names))
    kubectl("patch", f"deploy/{names}", f"--type={kind}", "-p", patch)
    assert show(kubectl, f"deploy/{names}")["spec"]["replicas"] == 4


def test_what_kubectl_makes_itself_arrives_whole(kubectl: Kubectl, names: str) -> None:
    kubectl("create", "deployment", names, "--image=a:1", "--image=b:2", "--replicas=3", "--port=80")
    found = show(kubectl, f"deploy/{names}")["spec"]
    assert found["replicas"] == 3
    assert [one["image"] for one in found["template"]["spec"]["containers"]] == ["a:1", "b:2"]
    kubectl("create", "configmap", names, "--from-literal=a=b")
    kubectl("create", "secret", "generic", names, "--from-literal=a=b")
    kubectl("create", "job", names, "--image=a", "--", "echo", "hi")
    assert show(kubectl, f"cm/{names}")["data"] == {"a": "b"}
    assert show(kubectl, f"secret/{names}")["data"] == {"a": "Yg=="}
    assert show(kubectl, f"job/{names}")["spec"]["template"]["spec"]["containers"][0]["command"] == ["echo", "hi"]
    kubectl("create", "service", "clusterip", names, "--tcp=80:8080")
    assert show(kubectl, f"svc/{names}")["spec"]["ports"][0]["targetPort"] == 8080
    kubectl("create", "poddisruptionbudget", names, "--selector=app=x", "--min-available=50%")
    assert show(kubectl, f"pdb/{names}")["spec"]["minAvailable"] == "50%"
    kubectl("create", "ingress", names, "--rule=a.example/*=x:80")
    assert show(kubectl, f"ing/{names}")["spec"]["rules"][0]["host"] == "a.example"
    kubectl("run", names, "--image=a", "--", "sleep", "9")
    kubectl("expose", f"deploy/{names}", f"--name={names}-2", "--port=80")
    kubectl("create", "namespace", names)


def test_images_labels_annotations_and_environment_are_set(kubectl: Kubectl, names: str) -> None:
    kubectl("apply", "-f", "-", stdin=manifest(names))
    kubectl("set", "image", f"deploy/{names}", "main=new:2")
    kubectl("set", "env", f"deploy/{names}", "A=b")
    kubectl("set", "resources", f"deploy/{names}", "--limits=cpu=1")
    kubectl("label", f"deploy/{names}", "x=y")
    kubectl("annotate", f"deploy/{names}", "n=m")
    found = show(kubectl, f"deploy/{names}")
    container = found["spec"]["template"]["spec"]["containers"][0]
    assert (container["image"], container["env"]) == ("new:2", [{"name": "A", "value": "b"}])
    assert container["resources"]["limits"] == {"cpu": "1"}
    assert (found["metadata"]["labels"]["x"], found["metadata"]["annotations"]["n"]) == ("y", "m")
    kubectl("label", f"deploy/{names}", "x-")
    assert "x" not in show(kubectl, f"deploy/{names}")["metadata"].get("labels", {})


def test_workloads_are_scaled_and_restarted(kubectl: Kubectl, names: str) -> None:
    kubectl("apply", "-f", "-", stdin=manifest(names))
    kubectl("scale", f"deploy/{names}", "--replicas=7")
    kubectl("rollout", "restart", f"deploy/{names}")
    found = show(kubectl, f"deploy/{names}")["spec"]
    assert found["replicas"] == 7
    assert "kubectl.kubernetes.io/restartedAt" in found["template"]["metadata"]["annotations"]
    assert kubectl.try_("scale", f"deploy/{names}", "--replicas=2", "--current-replicas=3").code == 1
    rows = kubectl.table("get", f"deploy/{names}", "--subresource=scale")
    assert rows[0]["DESIRED"] == "7"


def test_nodes_are_cordoned_and_tainted(kubectl: Kubectl) -> None:
    kubectl("cordon", "node-1")
    assert kubectl.table("get", "nodes")[0]["STATUS"] == "Ready,SchedulingDisabled"
    kubectl("uncordon", "node-1")
    kubectl("taint", "node", "node-1", "a=b:NoSchedule")
    assert "a=b:NoSchedule" in kubectl("describe", "node", "node-1")
    kubectl("taint", "node", "node-1", "a-")
    assert kubectl.table("get", "nodes")[0]["STATUS"] == "Ready"


@pytest.mark.parametrize(
    "form", ["yaml", "json", "name", "wide", "jsonpath={.metadata.name}", "custom-columns=N:.metadata.name"]
)
def test_objects_are_printed_in_every_form(kubectl: Kubectl, names: str, form: str) -> None:
    kubectl("apply", "-f", "-", stdin=manifest(names))
    assert names in kubectl("get", f"deploy/{names}", "-o", form)


def test_lists_are_chosen_by_labels_and_fields_and_sorted(kubectl: Kubectl, names: str) -> None:
    for letter in "ba":
        kubectl("create", "configmap", f"{names}-{letter}")
        kubectl("label", "configmap", f"{names}-{letter}", f"of={names}")
    chosen = kubectl("get", "cm", "-l", f"of={names}", "-o", "name").split()
    assert chosen == [f"configmap/{names}-a", f"configmap/{names}-b"]
    by_field = kubectl("get", "cm", f"--field-selector=metadata.name={names}-b", "-o", "name").split()
    assert by_field == [f"configmap/{names}-b"]
    assert f"{names}-a" in kubectl("get", "cm", "--chunk-size=1", "--sort-by=.metadata.name")


def test_a_watch_shows_changes_as_they_happen(kubectl: Kubectl, names: str) -> None:
    watch = subprocess.Popen(
        [str(find()), "get", "cm", "-w", f"--field-selector=metadata.name={names}", "--no-headers"],
        env=kubectl.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    timer = threading.Timer(30, watch.kill)
    timer.start()
    try:
        assert watch.stdout is not None
        kubectl("create", "configmap", names)
        assert watch.stdout.readline().split()[:2] == [names, "0"]
        kubectl("patch", "cm", names, "--type=merge", "-p", '{"data": {"a": "b"}}')
        assert watch.stdout.readline().split()[:2] == [names, "1"]
    finally:
        timer.cancel()
        watch.kill()
        watch.communicate()


def test_waiting_ends_with_a_condition_a_field_or_a_deletion(kubectl: Kubectl, names: str) -> None:
    kubectl("apply", "-f", "-", stdin=manifest(names))
    kubectl("wait", f"deploy/{names}", "--for=jsonpath={.spec.replicas}=2", "--timeout=10s")
    timer = threading.Timer(1, lambda: kubectl("delete", f"deploy/{names}", "--wait=false"))
    timer.start()
    kubectl("wait", f"deploy/{names}", "--for=delete", "--timeout=20s")
    timer.join()


def test_deleting_waits_and_says_what_is_not_there(kubectl: Kubectl, names: str) -> None:
    kubectl("apply", "-f", "-", stdin=manifest(names))
    assert "deleted" in kubectl("delete", "-f", "-", stdin=manifest(names))
    said = kubectl.try_("delete", "deploy", names)
    assert (said.code, "NotFound" in said.err) == (1, True)
    kubectl("delete", "deploy", names, "--ignore-not-found")


def test_replace_and_create_tell_what_is_in_the_way(kubectl: Kubectl, names: str) -> None:
    kubectl("create", "-f", "-", stdin=manifest(names))
    assert "AlreadyExists" in kubectl.try_("create", "-f", "-", stdin=manifest(names)).err
    assert "replaced" in kubectl("replace", "-f", "-", stdin=manifest(names, replicas=1))


def test_a_manifest_with_a_wrong_type_is_refused_in_the_servers_words(kubectl: Kubectl, names: str) -> None:
    said = kubectl.try_("apply", "-f", "-", stdin=manifest(names, replicas="three"))
    assert said.code == 1
    assert "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32" in said.err


def test_a_manifest_with_an_unknown_field_is_refused(kubectl: Kubectl, names: str) -> None:
    said = kubectl.try_("apply", "-f", "-", stdin=manifest(names, replica=3))
    assert 'strict decoding error: unknown field "spec.replica"' in said.err
    warned = kubectl.try_("apply", "--validate=warn", "-f", "-", stdin=manifest(names, replica=3))
    assert (warned.code, "Warning: unknown field" in warned.err) == (0, True)


def test_an_unknown_kind_is_said_to_be_unknown(kubectl: Kubectl) -> None:
    said = kubectl.try_(
        "apply", "-f", "-", stdin=json.dumps({"apiVersion": "x/v1", "kind": "Odd", "metadata": {"name": "a"}})
    )
    assert 'no matches for kind "Odd" in version "x/v1"' in said.err
    assert "doesn't have a resource type" in kubectl.try_("get", "nonsense").err


def test_rights_are_asked_and_granted(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "delete", "pods").strip() == "yes"
    assert "*.*" in kubectl("auth", "can-i", "--list")
    assert "sandbox-admin" in kubectl("auth", "whoami")


def test_a_wrong_token_is_refused(kubectl: Kubectl, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(kubectl.kubeconfig.read_text().replace(TOKEN, "wrong"))
    said = Kubectl(path).try_("get", "pods")
    assert (said.code, "You must be logged in" in said.err or "Unauthorized" in said.err) == (1, True)


def test_fields_are_explained(kubectl: Kubectl) -> None:
    said = kubectl("explain", "deploy.spec.template.spec.containers")
    assert "FIELD: containers <[]Container>" in said
    assert "readinessProbe" in said


def test_every_kind_can_be_described(kubectl: Kubectl, names: str) -> None:
    kubectl("apply", "-f", "-", stdin=manifest(names))
    kubectl("create", "configmap", names)
    kubectl("create", "secret", "generic", names)
    kubectl("create", "service", "clusterip", names, "--tcp=80:8080")
    kubectl("create", "ingress", names, "--rule=a.example/*=x:80")
    kubectl("create", "poddisruptionbudget", names, "--selector=app=x", "--min-available=1")
    kubectl("create", "job", names, "--image=a")
    for what in ("deploy", "cm", "secret", "svc", "ing", "pdb", "job", "node/node-1", "ns/default"):
        said = kubectl("describe", *([what] if "/" in what else [what, names]))
        assert said.startswith("Name:")
