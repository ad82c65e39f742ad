"""A sandbox from up to down, and what is left of it by each kind of end: nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from functools import partial
from pathlib import Path

import pytest
from boxes import WEB, ask, processes_in, rollcheck, start, until

pytestmark = [
    pytest.mark.loopback,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc"),
]


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "web.yaml"
    path.write_text(WEB)
    return str(path)


@pytest.fixture
def up(tmp_path, manifest):
    """A sandbox that runs, and its folder; ended afterwards whatever became of it."""
    folder = tmp_path / "box"
    told = rollcheck("sandbox", "up", "--dir", str(folder), "-f", manifest, "--propagation", "0s")
    assert told.returncode == 0, told
    yield folder
    rollcheck("sandbox", "down", "--dir", str(folder))
    assert not folder.exists()


@pytest.fixture
def folder(tmp_path):
    """Where a sandbox may be left running; ended afterwards whatever became of it."""
    yield tmp_path / "box"
    rollcheck("sandbox", "down", "--dir", str(tmp_path / "box"))


def pids(folder):
    return [json.loads((folder / "state.json").read_text())["pid"], int((folder / "warden.pid").read_text())]


def sandboxes(out):
    return list(out.glob(".sandbox-*/state.json"))


def gone(folder):
    return not folder.exists() and not processes_in(folder)


def test_a_sandbox_serves_what_was_deployed_refuses_a_second_in_its_folder_and_leaves_nothing(up):
    second = rollcheck("sandbox", "up", "--dir", str(up))
    assert second.returncode == 2
    assert "a sandbox runs in" in second.stderr

    status = json.loads(rollcheck("sandbox", "status", "--dir", str(up), "-o", "json").stdout)

    assert [(w["name"], w["available"]) for w in status["workloads"]] == [("deployment/web -n default", 2)]
    with urllib.request.urlopen(status["workloads"][0]["urls"][0], timeout=5) as answer:
        assert answer.read() == b"ok\n"
    assert ask(up, "/version")["gitVersion"].endswith("+sandbox")
    assert len(ask(up, "/api/v1/nodes")["items"]) == 3
    assert (up / "kubeconfig").stat().st_mode & 0o077 == 0
    assert rollcheck("sandbox", "kubectl-env", "--dir", str(up)).stdout == f"export KUBECONFIG={up}/kubeconfig\n"

    ended = rollcheck("sandbox", "down", "--dir", str(up))

    assert (ended.returncode, ended.stdout) == (0, f"the sandbox in {up} is gone\n")
    assert gone(up)


def test_a_killed_sandbox_leaves_no_process_and_no_file(up):
    os.kill(pids(up)[0], signal.SIGKILL)

    until(lambda: gone(up))


def test_a_killed_warden_ends_the_sandbox_and_its_pods(up):
    os.kill(pids(up)[1], signal.SIGKILL)

    until(lambda: not processes_in(up))
    rollcheck("sandbox", "down", "--dir", str(up))


def test_a_folder_with_something_else_in_it_is_not_taken(tmp_path):
    (tmp_path / "precious").write_text("x")

    told = rollcheck("sandbox", "up", "--dir", str(tmp_path))

    assert told.returncode == 2
    assert "is not empty" in told.stderr
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sandbox_in_the_foreground_ends_with_a_signal(tmp_path, manifest, number):
    folder = tmp_path / "box"
    process = start("sandbox", "up", "--foreground", "--dir", str(folder), "-f", manifest)
    until((folder / "state.json").exists)
    process.send_signal(number)

    assert process.wait(30) == 130
    process.stdout.close()
    until(lambda: gone(folder), 5)


def test_the_sandbox_of_a_run_that_is_killed_is_gone_too(tmp_path, manifest):
    out = tmp_path / "out"
    process = start("run", "--sandbox", "--deploy", "web", "-f", manifest, "--out", str(out), "--baseline", "60s")
    found = until(partial(sandboxes, out))
    process.kill()
    process.wait(10)
    process.stdout.close()

    until(lambda: gone(found[0].parent))


def test_nothing_to_end_is_no_error(tmp_path):
    told = rollcheck("sandbox", "down", "--dir", str(tmp_path / "none"))

    assert (told.returncode, "no sandbox runs" in told.stdout) == (0, True)


@pytest.mark.parametrize("command", ["status", "kubectl-env"])
def test_a_sandbox_that_does_not_run_is_named(tmp_path, command):
    told = rollcheck("sandbox", command, "--dir", str(tmp_path / "none"))

    assert told.returncode == 2
    assert "start one with `rollcheck sandbox up`" in told.stderr


def test_what_the_api_server_refuses_is_said_in_its_words_and_nothing_is_left(tmp_path, folder):
    (tmp_path / "bad.yaml").write_text(WEB.replace("replicas: 2", "replicas: two"))

    told = rollcheck("sandbox", "up", "--dir", str(folder), "-f", str(tmp_path / "bad.yaml"))

    assert told.returncode == 2, told
    assert "deployment/web: " in told.stderr
    assert "replicas" in told.stderr
    assert "Traceback" not in told.stderr
    assert gone(folder)


def test_what_does_not_come_up_is_said_as_kubernetes_says_it_and_the_sandbox_stays(tmp_path, folder):
    unknown = WEB.replace("rollcheck.test/web:1", "nobody/has:this")
    command = WEB.replace("ports: [{containerPort: 8080}]", 'command: ["/no/such/program"]').replace("web}", "cmd}")
    (tmp_path / "stuck.yaml").write_text(f"{unknown}---\n{command}")

    told = rollcheck("sandbox", "up", "--dir", str(folder), "-f", str(tmp_path / "stuck.yaml"))

    assert told.returncode == 0, told
    assert "deployment/web: 0 of 2 pods are available" in told.stderr
    assert "ErrImagePull" in told.stderr or "ImagePullBackOff" in told.stderr
    assert "/no/such/program" in told.stderr
    rollcheck("sandbox", "down", "--dir", str(folder))
    assert gone(folder)


def test_a_run_of_a_workload_that_does_not_come_up_says_why_and_leaves_nothing(tmp_path):
    (tmp_path / "stuck.yaml").write_text(WEB.replace("rollcheck.test/web:1", "nobody/has:this"))

    told = rollcheck(
        "run", "--sandbox", "--deploy", "web", "-f", str(tmp_path / "stuck.yaml"), "--out", str(tmp_path / "out")
    )

    assert told.returncode == 2, told
    assert "nobody/has:this" in told.stderr
    assert "Traceback" not in told.stderr
    assert not list(Path(tmp_path / "out").glob(".sandbox-*"))
