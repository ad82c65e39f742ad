"""kubectl against a whole sandbox: rollouts, logs, drains and ends, as a person at a terminal sees them."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from kubectls import Kubectl, find, in_a_thread, needs_kubectl

from rollcheck.sandbox.serve import Running, serve
from rollcheck.sandbox.settings import Settings

pytestmark = [pytest.mark.loopback, needs_kubectl]


@pytest.fixture(scope="module")
def kubectl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubectl]:
    folder = tmp_path_factory.mktemp("sandbox") / "it"

    async def run(task_status: trio.TaskStatus[Running]) -> None:
        await serve(Settings(folder=folder, nodes=2, ingress="none"), task_status=task_status)

    with in_a_thread(run):
        yield Kubectl(folder / "kubeconfig")


def workload(kind: str, name: str, command: list[str] | None = None, **spec: Any) -> str:
    container: dict[str, Any] = {"name": "main", "image": "rollcheck.test/web:1"}
    if command:
        container |= {"image": "rollcheck.test/python:3", "command": command}
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    body = {"selector": {"matchLabels": labels}, "template": template, **spec}
    return json.dumps({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": body})


def up(kubectl: Kubectl, kind: str, name: str, command: list[str] | None = None, **spec: Any) -> None:
    kubectl("apply", "-f", "-", stdin=workload(kind, name, command, **spec))
    kubectl("rollout", "status", f"{kind.lower()}/{name}", "--timeout=60s")


def test_a_deployment_is_rolled_out_restarted_and_taken_back(kubectl: Kubectl) -> None:
    up(kubectl, "Deployment", "web", replicas=2)
    assert kubectl.table("get", "deploy", "web")[0]["READY"] == "2/2"
    assert {row["STATUS"] for row in kubectl.table("get", "pods", "-l", "app=web", "-o", "wide")} == {"Running"}
    kubectl("set", "image", "deploy/web", "main=rollcheck.test/python:3")
    kubectl("rollout", "undo", "deploy/web")
    said = kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    assert "successfully rolled out" in said
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert kubectl("get", "deploy", "web", "-o", image) == "rollcheck.test/web:1"
    kubectl("rollout", "restart", "deploy/web")
    kubectl("rollout", "status", "deploy/web", "--timeout=60s")
    history = kubectl("rollout", "history", "deploy/web").splitlines()[2:]
    assert [line.split()[0] for line in history if line] == ["2", "3", "4"]


def test_a_stateful_set_is_rolled_out_and_taken_back(kubectl: Kubectl) -> None:
    sleeper = ["python3", "-c", "import time; time.sleep(600)"]
    up(kubectl, "StatefulSet", "db", sleeper, replicas=1, serviceName="db")
    assert [row["NAME"] for row in kubectl.table("get", "pods", "-l", "app=db")] == ["db-0"]
    kubectl("set", "env", "statefulset/db", "A=b")
    kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
    kubectl("rollout", "undo", "statefulset/db")
    kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
    assert "A" not in kubectl("get", "pod", "db-0", "-o", "jsonpath={.spec.containers[0].env}")


def test_a_daemon_set_is_rolled_out_and_taken_back(kubectl: Kubectl) -> None:
    up(kubectl, "DaemonSet", "agent")
    assert kubectl.table("get", "ds", "agent")[0]["AVAILABLE"] == "2"
    kubectl("set", "env", "ds/agent", "A=b")
    kubectl("rollout", "status", "ds/agent", "--timeout=60s")
    kubectl("rollout", "undo", "ds/agent")
    kubectl("rollout", "status", "ds/agent", "--timeout=60s")
    assert "REVISION" in kubectl("rollout", "history", "ds/agent")


def test_a_job_is_waited_for_and_its_log_read(kubectl: Kubectl) -> None:
    kubectl("create", "job", "once", "--image=rollcheck.test/python:3", "--", "python3", "-c", "print('done it')")
    kubectl("wait", "job/once", "--for=condition=complete", "--timeout=60s")
    assert kubectl("logs", "job/once") == "done it\n"
    assert kubectl.table("get", "pods", "-l", "job-name=once")[0]["STATUS"] == "Completed"


def test_a_log_is_followed_until_the_container_ends(kubectl: Kubectl) -> None:
    program = "import time\nfor n in range(3): print('line', n, flush=True); time.sleep(0.3)"
    kubectl(
        "run",
        "talker",
        "--image=rollcheck.test/python:3",
        "--restart=Never",
        "--command",
        "--",
        "python3",
        "-c",
        program,
    )
    kubectl("wait", "pod/talker", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
    assert kubectl("logs", "-f", "talker") == "line 0\nline 1\nline 2\n"
    assert kubectl("logs", "talker", "--tail=1") == "line 2\n"
    assert "container nope is not valid for pod talker" in kubectl.try_("logs", "talker", "-c", "nope").err


def test_a_node_is_drained_within_the_budget(kubectl: Kubectl) -> None:
    up(kubectl, "Deployment", "guarded", replicas=2)
    kubectl("create", "poddisruptionbudget", "guarded", "--selector=app=guarded", "--min-available=1")
    kubectl("wait", "pdb/guarded", "--for=jsonpath={.status.disruptionsAllowed}=1", "--timeout=20s")
    flags = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s")
    said = kubectl("drain", "node-1", *flags)
    assert "node/node-1 drained" in said
    assert kubectl.table("get", "node", "node-1")[0]["STATUS"] == "Ready,SchedulingDisabled"
    left = kubectl("get", "pods", "-l", "app=guarded", "-o", "jsonpath={.items[*].spec.nodeName}").split()
    assert set(left) == {"node-2"}
    kubectl("uncordon", "node-1")
    kubectl("rollout", "status", "deploy/guarded", "--timeout=60s")


def test_an_eviction_that_the_budget_forbids_is_told(kubectl: Kubectl) -> None:
    up(kubectl, "Deployment", "needed", replicas=1)
    kubectl("create", "poddisruptionbudget", "needed", "--selector=app=needed", "--min-available=1")
    kubectl("wait", "pdb/needed", "--for=jsonpath={.status.currentHealthy}=1", "--timeout=20s")
    (node,) = kubectl("get", "pods", "-l", "app=needed", "-o", "jsonpath={.items[*].spec.nodeName}").split()
    said = kubectl.try_("drain", node, "--ignore-daemonsets", "--force", "--pod-selector=app=needed", "--timeout=3s")
    assert said.code == 1
    assert "Cannot evict pod as it would violate the pod's disruption budget." in said.err
    kubectl("uncordon", node)


def test_events_tell_the_story_of_a_pod(kubectl: Kubectl) -> None:
    up(kubectl, "Deployment", "told", replicas=1)
    (pod,) = kubectl("get", "pods", "-l", "app=told", "-o", "name").split()
    said = kubectl("describe", pod)
    events = said[said.index("Events:") :]
    places = [events.index(word) for word in ("Scheduled", "Pulled", "Created", "Started")]
    assert places[1:] == sorted(places[1:])
    assert "Controlled By:  ReplicaSet/told-" in said
    assert "Scaled up replica set" in kubectl("describe", "deploy", "told")


def test_an_image_that_is_not_there_is_shown_as_such(kubectl: Kubectl) -> None:
    kubectl("run", "odd", "--image=no.such/image:1")
    kubectl("wait", "pod/odd", "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}", "--timeout=20s")
    assert kubectl.table("get", "pod", "odd")[0]["STATUS"] in ("ErrImagePull", "ImagePullBackOff")
    kubectl("delete", "pod", "odd", "--now")


def test_a_watch_sees_a_pod_come_and_go(kubectl: Kubectl) -> None:
    watch = subprocess.Popen(
        [str(find()), "get", "pods", "-w", "--no-headers", "-l", "app=seen"],
        env=kubectl.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    timer = threading.Timer(60, watch.kill)
    timer.start()
    try:
        assert watch.stdout is not None
        up(kubectl, "Deployment", "seen", replicas=1)
        kubectl("delete", "deploy", "seen")
        words: list[str] = []
        while not words or words[-1] != "Terminating":
            words.append(watch.stdout.readline().split()[2])
        first = {word: words.index(word) for word in ("Pending", "Running", "Terminating")}
        assert sorted(first, key=first.__getitem__) == ["Pending", "Running", "Terminating"]
    finally:
        timer.cancel()
        watch.kill()
        watch.communicate()


def test_a_namespace_goes_with_all_that_is_in_it(kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("create", "namespace", "shop")
    manifest = tmp_path / "web.json"
    manifest.write_text(workload("Deployment", "web", replicas=1))
    kubectl("apply", "-n", "shop", "-f", str(manifest))
    kubectl("rollout", "status", "-n", "shop", "deploy/web", "--timeout=60s")
    kubectl("delete", "namespace", "shop", "--timeout=60s")
    assert "not found" in kubectl.try_("get", "namespace", "shop").err
    assert "No resources found" in kubectl.try_("get", "all", "-n", "shop").err
