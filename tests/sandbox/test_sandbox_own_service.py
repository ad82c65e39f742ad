"""How pods find the API server: the Service `kubernetes`, and the certificate in every Namespace."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path

import pytest
import trio
import trio.testing
from boxes import ask, rollcheck, until

from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.apiserver.ownservice import LOOK_S, keep_own_service
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES

RECORDED = json.loads((Path(__file__).parent / "recorded" / "tables_1_34.json").read_text())
OF_THE_CLUSTER = ("uid", "resourceVersion", "creationTimestamp", "managedFields")
NETWORK = {"10.96.0.1": "127.16.200.1", "10.99.0.1": "127.16.0.1"}
"""Addresses of the cluster that was recorded → those of a sandbox."""
CALLER = """
import os, ssl, urllib.request
trusted = ssl.create_default_context(cafile="/ca/ca.crt")
at = "https://" + os.environ["KUBERNETES_SERVICE_HOST"] + ":" + os.environ["KUBERNETES_SERVICE_PORT_HTTPS"]
assert urllib.request.urlopen(at + "/healthz", context=trusted, timeout=20).read() == b"ok"
"""


def recorded(kind, name):
    """What a real Kubernetes 1.34 has, with a sandbox's addresses."""
    found = next(r["object"] for r in RECORDED[kind]["rows"] if r["object"]["metadata"]["name"] == name)
    text = json.dumps(without_what_differs(found))
    for theirs, ours in NETWORK.items():
        text = text.replace(theirs, ours)
    return json.loads(text)


def without_what_differs(found):
    plain = {key: value for key, value in found.items() if key not in ("apiVersion", "kind")}
    return plain | {"metadata": {k: v for k, v in found["metadata"].items() if k not in OF_THE_CLUSTER}}


@pytest.mark.parametrize("resource", [SERVICES, ENDPOINTS, ENDPOINT_SLICES], ids=lambda r: r.kind)
def test_it_is_what_a_cluster_has(resource):
    async def test():
        registry = Registry(addresses=Addresses())
        async with trio.open_nursery() as nursery:
            await nursery.start(keep_own_service, registry)
            found = registry.get(resource, "default", "kubernetes")
            assert without_what_differs(found) == recorded(resource.kind, "kubernetes")
            nursery.cancel_scope.cancel()

    trio.run(test)


@pytest.mark.parametrize("resource", [SERVICES, ENDPOINTS, ENDPOINT_SLICES], ids=lambda r: r.kind)
def test_it_comes_back_when_it_is_deleted(resource):
    async def test():
        registry = Registry(addresses=Addresses())
        async with trio.open_nursery() as nursery:
            await nursery.start(keep_own_service, registry)
            registry.delete(resource, "default", "kubernetes")
            await trio.sleep(LOOK_S + 0.1)
            assert without_what_differs(registry.get(resource, "default", "kubernetes"))
            nursery.cancel_scope.cancel()

    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


def test_it_goes_without_its_service_while_another_has_the_address():
    async def test():
        registry = Registry(addresses=Addresses())
        ports = [{"port": 80}]
        registry.create(
            SERVICES, "default", {"metadata": {"name": "x"}, "spec": {"clusterIP": "127.16.200.1", "ports": ports}}
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(keep_own_service, registry)
            assert registry.peek(SERVICES, "default", "kubernetes") is None
            registry.delete(SERVICES, "default", "x")
            await trio.sleep(LOOK_S + 0.1)
            assert registry.get(SERVICES, "default", "kubernetes")["spec"]["clusterIP"] == "127.16.200.1"
            nursery.cancel_scope.cancel()

    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    """A sandbox with a pod in a Namespace of its own that asks the API server."""
    home = tmp_path_factory.mktemp("own")
    mount = {"name": "ca", "mountPath": "/ca"}
    asks = {
        "name": "x",
        "image": "rollcheck.test/python:3",
        "command": ["python3", "-c", CALLER],
        "volumeMounts": [mount],
    }
    spec = {
        "restartPolicy": "Never",
        "containers": [asks],
        "volumes": [{"name": "ca", "configMap": {"name": "kube-root-ca.crt"}}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "caller"}, "spec": spec}
    (home / "pod.json").write_text(json.dumps(pod))
    try:
        told = rollcheck("sandbox", "up", "--dir", str(home / "box"), "-f", str(home / "pod.json"), "-n", "elsewhere")
        assert told.returncode == 0, told
        yield home / "box"
    finally:
        rollcheck("sandbox", "down", "--dir", str(home / "box"))


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs the whole of 127.0.0.0/8")


@on_linux
@pytest.mark.loopback
def test_a_pod_reaches_the_api_server_by_its_environment_and_trusts_it(box):
    def phase():
        return ask(box, "/api/v1/namespaces/elsewhere/pods/caller")["status"]["phase"]

    until(lambda: phase() in ("Succeeded", "Failed"))
    assert phase() == "Succeeded", ask(box, "/api/v1/namespaces/elsewhere/pods/caller")["status"]


@on_linux
@pytest.mark.loopback
@pytest.mark.parametrize("namespace", ["default", "kube-public", "elsewhere"])
def test_every_namespace_has_the_certificate_of_the_api_server(box, namespace):
    found = ask(box, f"/api/v1/namespaces/{namespace}/configmaps/kube-root-ca.crt")
    cluster = json.loads((box / "kubeconfig").read_text())["clusters"][0]["cluster"]

    assert found["data"] == {"ca.crt": base64.b64decode(cluster["certificate-authority-data"]).decode()}
    assert found["metadata"]["annotations"] == recorded("ConfigMap", "kube-root-ca.crt")["metadata"]["annotations"]


@on_linux
@pytest.mark.loopback
def test_a_certificate_that_is_changed_is_put_right(box):
    path = "/api/v1/namespaces/default/configmaps/kube-root-ca.crt"
    before = ask(box, path)["data"]
    assert ask(box, path, patch={"data": {"ca.crt": "forged"}})["data"] == {"ca.crt": "forged"}

    until(lambda: ask(box, path)["data"] == before)
