"""The cluster as the tests see it: kubectl, and the few questions they ask through it."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from workloads import Manifest


def run(*argv: str, stdin: str | None = None) -> str:
    """Its stdout; AssertionError with its own words when it fails."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}"
    return done.stdout


def wait_answers(url: str, host: str = "", seconds: float = 60) -> None:
    """Wait until it answered 200 ten times in a row: Ready pods need not listen, and proxies learn of them late.

    Args:
        url: what to ask; host: what to send as `Host` instead of the URL's own.
        seconds: how long to try before the test fails.
    """
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    deadline, row = time.monotonic() + seconds, 0
    while row < 10:
        assert time.monotonic() < deadline, f"{url} did not come to answer within {seconds:g} s"
        row += 1
        try:
            with contextlib.closing(urllib.request.urlopen(request, timeout=2)) as answer:
                answer.read()
        except OSError:
            row = 0
            time.sleep(0.2)


@dataclass(frozen=True)
class Cluster:
    """Where the tests run; an empty `node` means the first one's InternalIP."""

    image: str
    node: str
    ingress_class: str

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        """What kubectl printed."""
        return run("kubectl", *argv, stdin=stdin)

    def get(self, *argv: str) -> Any:
        """An object or a list, as JSON."""
        return json.loads(self.kubectl("get", *argv, "-o", "json"))

    def new_namespace(self) -> Namespace:
        """A namespace nobody else has."""
        name = f"rollcheck-test-{secrets.token_hex(3)}"
        self.kubectl("create", "namespace", name)
        return Namespace(cluster=self, name=name)

    def node_address(self) -> str:
        """Where NodePorts answer."""
        if self.node:
            return self.node
        addresses = self.get("nodes")["items"][0]["status"]["addresses"]
        return str(next(a["address"] for a in addresses if a["type"] == "InternalIP"))

    def has_ingress_class(self) -> bool:
        """Whether the class exists; that a controller serves it shows only when an Ingress gets an address."""
        classes = self.get("ingressclasses")["items"]
        return any(c["metadata"]["name"] == self.ingress_class for c in classes)

    def has_rbac(self) -> bool:
        """Whether rights can be given and taken away."""
        return "rbac.authorization.k8s.io/v1" in self.kubectl("api-versions").split()

    def has_image(self, name: str) -> bool:
        """Whether every node has the image, as far as the nodes say (they list 50 of theirs)."""
        nodes = self.get("nodes")["items"]
        return all(
            any(name in listed for image in node["status"].get("images", ()) for listed in image.get("names") or ())
            for node in nodes
        )


@dataclass(frozen=True)
class Namespace:
    """One namespace of the tests."""

    cluster: Cluster
    name: str

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        """What kubectl printed, in this namespace."""
        return self.cluster.kubectl("-n", self.name, *argv, stdin=stdin)

    def get(self, *argv: str) -> Any:
        """An object or a list of this namespace."""
        return self.cluster.get("-n", self.name, *argv)

    def apply(self, manifests: Iterable[Manifest]) -> None:
        """Apply them all."""
        self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": [*manifests]}))

    def wait_available(self, deployment: str, seconds: int = 120, kind: str = "deployment") -> None:
        """Wait until its rollout is complete and the pods before it are gone."""
        self.kubectl("rollout", "status", f"{kind}/{deployment}", f"--timeout={seconds}s")
        ending = [p["metadata"]["name"] for p in self.pods(deployment) if "deletionTimestamp" in p["metadata"]]
        for pod in ending:
            self.kubectl("wait", "--for=delete", f"pod/{pod}", f"--timeout={seconds}s")

    def pods(self, app: str) -> list[Any]:
        """The pods labelled app=`app`."""
        found: list[Any] = self.get("pods", "-l", f"app={app}")["items"]
        return found

    def generation(self, deployment: str) -> int:
        """The generation of its spec: it grows with every change."""
        return int(self.get("deployment", deployment)["metadata"]["generation"])

    def node_port_url(self, service: str) -> str:
        """The URL of the Service's first NodePort."""
        port = self.get("service", service)["spec"]["ports"][0]["nodePort"]
        return f"http://{self.cluster.node_address()}:{port}/"

    def wait_ingress(self, name: str, seconds: float = 60) -> None:
        """Wait until the Ingress has an address and its host answers there."""
        deadline = time.monotonic() + seconds
        while (entry := self.ingress_entry(name)) is None:
            assert time.monotonic() < deadline, f"no controller gave Ingress {name} an address within {seconds:g} s"
            time.sleep(0.5)
        host = self.get("ingress", name)["spec"]["rules"][0]["host"]
        wait_answers(f"http://{entry[0]}:{entry[1]}/", host)

    def ingress_entry(self, name: str) -> tuple[str, int] | None:
        """Address and port at which its controller says that the Ingress answers; None before it says so."""
        entries = self.get("ingress", name)["status"]["loadBalancer"].get("ingress")
        if not entries:
            return None
        ports = entries[0].get("ports") or [{"port": 80}]  # few controllers name theirs
        return entries[0].get("ip") or entries[0]["hostname"], ports[0]["port"]

    def delete(self) -> None:
        """Have it deleted, without waiting for that."""
        self.cluster.kubectl("delete", "namespace", self.name, "--wait=false")
