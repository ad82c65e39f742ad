"""One real Kubernetes, the one that KUBECONFIG names; each story has a namespace of its own there.

With ROLLCHECK_TEST_SANDBOX=1 it is a sandbox instead, made for the tests of this process.

Settings (environment):
    ROLLCHECK_TEST_IMAGE            image with python3, sh and sleep (rollcheck.test/python:3)
    ROLLCHECK_TEST_NODE             address at which NodePorts answer (the first node's InternalIP)
    ROLLCHECK_TEST_INGRESS_CLASS    class of the Ingresses (traefik)
    ROLLCHECK_TEST_WORDPRESS        1 = the WordPress story must run, 0 = it must not (runs where its images are)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sandboxed
from blackbox import Ended, measured, on_a_sandbox, rollcheck
from clusterside import Cluster, Namespace, wait_answers
from workloads import Workload

HERE = Path(__file__).parent
QUICK = ("--baseline", "3s", "--tail", "3s")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """These tests make and delete things in whatever cluster KUBECONFIG names, so they have to be asked for."""
    if reason := why_not(config.option.markexpr):
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


def why_not(asked: str) -> str:
    """Why none of them can run; empty when they can."""
    if "cluster" not in asked:
        return "works on the cluster that KUBECONFIG names: run with make cluster-test"
    if on_a_sandbox() and sandboxed.kubectl() is None:
        return "there is no kubectl on PATH, at $ROLLCHECK_KUBECTL or in the test cluster's cache"
    return ""


@dataclass(frozen=True)
class Story:
    """A workload in a namespace, and rollcheck to be pointed at it.

    Attributes:
        folder: where runs write, a folder each.
        url: the Service's NodePort.
    """

    ns: Namespace
    workload: Workload
    folder: Path
    url: str

    def rollcheck(self, *flags: str, command: tuple[str, ...] = ()) -> Ended:
        """`rollcheck run` on the workload with `-o json`, over its NodePort unless `flags` have a URL; once more where
        the machine did not let it measure.
        """
        restarts = not command and ("--action" not in flags or "restart" in flags)
        return measured(lambda out: self._rollcheck_once(out, flags, command), self.folder, repeatable=restarts)

    def _rollcheck_once(self, out: Path, flags: tuple[str, ...], command: tuple[str, ...]) -> Ended:
        url = () if "--url" in flags or self.workload.ingress else ("--url", self.url)
        tail = ("--", *command) if command else ()
        base = ("run", "--deploy", self.workload.ref, "-n", self.ns.name, "--out", str(out), "-o", "json", "--yes")
        return rollcheck(*base, *QUICK, *url, *flags, *tail, out=out)


@pytest.fixture(scope="session", autouse=True)
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The sandbox of this process, where one is asked for."""
    if not on_a_sandbox():
        yield
        return
    with sandboxed.sandbox(tmp_path_factory.mktemp("sandbox")):
        yield


@pytest.fixture(scope="session")
def cluster(sandbox: None) -> Cluster:
    """The cluster; a failure, not a skip, when it does not answer."""
    found = Cluster(
        image=os.environ.get("ROLLCHECK_TEST_IMAGE", "rollcheck.test/python:3"),
        node=os.environ.get("ROLLCHECK_TEST_NODE", ""),
        ingress_class=os.environ.get("ROLLCHECK_TEST_INGRESS_CLASS", "traefik"),
    )
    found.kubectl("version", "--request-timeout=10s")
    return found


@pytest.fixture(scope="session")
def rights(cluster: Cluster) -> None:
    """For tests that give rights and take them away."""
    if not cluster.has_rbac():
        pytest.skip("the cluster has no RBAC: whoever it knows may do everything")


@pytest.fixture(scope="module")
def tell(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Story]]:
    """Makes a story: a workload that runs in a namespace of its own, which is deleted after the module."""
    made: list[Namespace] = []

    def tell(workload: Workload, *, ready: bool = True) -> Story:
        ns = cluster.new_namespace()
        made.append(ns)
        # Two Ingresses with one host share its traffic, and a namespace takes a while to go: a host for each story.
        ns.apply(workload.objects(cluster.image, cluster.ingress_class, host=f"{ns.name}.example.test"))
        url = ns.node_port_url(workload.name)
        if workload.replicas and ready:
            ns.wait_available(workload.name, kind=workload.kind.lower())
            wait_answers(url)
            if workload.ingress:
                ns.wait_ingress(workload.name)
        return Story(ns=ns, workload=workload, folder=tmp_path_factory.mktemp("runs"), url=url)

    yield tell
    for ns in made:
        ns.delete()
