"""The machine's nginx as the ingress of a sandbox, as its users start it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from boxes import WEB, ask, processes_in, rollcheck, until

from rollcheck.errors import UsageError
from rollcheck.sandbox.network.nginx import find_nginx


def has_nginx():
    try:
        return bool(find_nginx())
    except UsageError:
        return False


pytestmark = [
    pytest.mark.loopback,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc"),
    pytest.mark.skipif(not has_nginx(), reason="there is no nginx on this machine: apt install nginx-light"),
]
HOST = "shop.example.test"
LONG = f"{'.'.join(['a' * 60] * 4)}.test"
"""Longer than nginx has room for unless it is told to."""
DEPLOYMENT = "/apis/apps/v1/namespaces/default/deployments/web"
ROUTES = f"""---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web}}
spec:
  ingressClassName: nginx
  rules:
  - host: {HOST}
    http:
      paths:
      - {{path: /, pathType: Prefix, backend: &web {{service: {{name: web, port: {{number: 80}}}}}}}}
  - host: {LONG}
    http:
      paths:
      - {{path: '/q";{{x}}$y', pathType: Prefix, backend: *web}}
      - {{path: /sp%20ace, pathType: Exact, backend: *web}}
"""


@dataclass(frozen=True)
class Box:
    """A sandbox behind nginx."""

    folder: Path

    @property
    def pid(self):
        return int((self.folder / "nginx" / "nginx.pid").read_text() or 0)

    @property
    def entry(self):
        """Host and port of the Ingress, as its status says."""
        at = ask(self.folder, "/apis/networking.k8s.io/v1/namespaces/default/ingresses/web")["status"]["loadBalancer"]
        entry = at["ingress"][0]
        return f"{entry['ip']}:{entry.get('ports', [{'port': 80}])[0]['port']}"

    def processes(self):
        """Its processes: the master, and who that started."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [self.pid, *map(int, children.split())]

    def backends(self):
        """The addresses that it is configured to ask."""
        return set(re.findall(r"server (\S+) max_fails", (self.folder / "nginx" / "nginx.conf").read_text()))

    def answer(self, host=HOST, path="/"):
        """Status and `Server` of what it answers; 0 when nobody does."""
        request = urllib.request.Request(f"http://{self.entry}{path}", headers={"Host": host})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.headers["Server"]
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.headers["Server"]
        except OSError:
            return 0, None

    def answers(self, status, **of):
        until(lambda: self.answer(**of)[0] == status)

    def scale(self, replicas):
        ask(self.folder, DEPLOYMENT, patch={"spec": {"replicas": replicas}})


@contextmanager
def started(home):
    """A sandbox with the routes, ended afterwards whatever became of it."""
    (home / "web.yaml").write_text(WEB + ROUTES)
    arguments = ("--dir", str(home / "box"), "-f", str(home / "web.yaml"), "--propagation", "0s..0.1s")
    try:
        told = rollcheck("sandbox", "up", "--ingress", "nginx", *arguments)
        assert told.returncode == 0, told
        box = Box(home / "box")
        box.answers(200)
        yield box
    finally:
        rollcheck("sandbox", "down", "--dir", str(home / "box"))


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    with started(tmp_path_factory.mktemp("nginx")) as box:
        yield box


def test_an_ingress_is_answered_by_the_machines_nginx(box):
    assert box.answer() == (200, "nginx")
    assert Path(f"/proc/{box.pid}/comm").read_text() == "nginx\n"
    assert box.answer(host="nobody.example.test") == (404, "nginx")


def test_long_hosts_and_odd_paths_are_no_trouble(box):
    assert box.answer(host=LONG) == (404, "nginx")
    assert box.answer(host=LONG, path="/q%22;%7Bx%7D$y/z") == (200, "nginx")
    assert box.answer(host=LONG, path="/sp%20ace") == (200, "nginx")
    assert box.answer(host=LONG, path="/sp%20ace/z") == (404, "nginx")


def test_without_endpoints_it_answers_503_until_there_is_one_again(box):
    box.scale(0)
    box.answers(503)
    box.scale(2)
    box.answers(200)


def test_a_rollout_through_it_loses_nothing_when_the_pods_drain(box, tmp_path):
    box.answers(200)
    before, pid = box.backends(), box.pid
    words = ("--deploy", "web", "--kubeconfig", str(box.folder / "kubeconfig"), "--out", str(tmp_path / "run"))
    told = rollcheck("run", *words, "--qps", "50", "--baseline", "1s", "--tail", "1s", "--yes", patience=180)
    result = json.loads((tmp_path / "run" / "result.json").read_text())

    assert result["target"]["route"] == "ingress", told
    assert result["attempts"]["failed"] == 0, told
    assert len([pod for pod in result["pods"] if pod["generation"] == "old" and pod["deleted"]]) == 2, told
    assert len(box.backends()) == 2
    assert not box.backends() & before
    assert box.pid == pid


def test_when_it_is_killed_it_is_started_again(box):
    killed = box.pid
    os.kill(killed, signal.SIGKILL)

    until(lambda: box.pid != killed)
    box.answers(200)


@pytest.mark.parametrize("end", ["down", "kill"])
def test_nothing_of_it_is_left_when_the_sandbox_ends(tmp_path, end):
    with started(tmp_path) as box:
        ours = box.processes()
        assert len(ours) == 2  # a master, a worker
        if end == "down":
            rollcheck("sandbox", "down", "--dir", str(box.folder))
        else:
            os.kill(json.loads((box.folder / "state.json").read_text())["pid"], signal.SIGKILL)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in ours) and not processes_in(box.folder))
        assert not box.folder.exists()
