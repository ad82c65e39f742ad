"""What `--dry-run` foretells of a drain, held to what the scheduler then does."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blackbox import INCONCLUSIVE, command_line, environment
from clusterside import Cluster
from conftest import Story
from test_cluster_rights import account_of, less, roles
from workloads import DRAINS, Manifest, Workload

pytestmark = pytest.mark.cluster
Tell = Callable[..., Story]
HOST = "kubernetes.io/hostname"
OURS = {"matchLabels": {"app": "web"}}
SPREAD = [{"topologyKey": HOST, "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": OURS}]
APART = {
    "podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": HOST, "labelSelector": OURS}]
    }
}


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> list[str]:
    found = [node["metadata"]["name"] for node in cluster.get("nodes")["items"]]
    if len(found) != 2:
        pytest.skip("these pods fill two nodes")
    return found


def placed(tell: Tell, replicas: int, **spec: Any) -> Story:
    """A workload whose pods have more to their spec than `Workload` says."""
    story = tell(Workload(env=DRAINS, replicas=0))
    patch = {"spec": {"replicas": replicas, "template": {"spec": spec}}}
    story.ns.kubectl("patch", "deployment", "web", "-p", json.dumps(patch))
    story.ns.wait_available("web")
    return story


def node_of(story: Story) -> str:
    return str(story.ns.pods("web")[0]["spec"]["nodeName"])


def foretold(story: Story, node: str, kubeconfig: Path | None = None) -> str:
    """The words of a dry run, one line."""
    flags = ("--deploy", "web", "-n", story.ns.name, "--action", f"drain {node}", "--dry-run", "--yes")
    env = environment(KUBECONFIG=str(kubeconfig)) if kubeconfig else None
    argv = command_line("run", *flags)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert done.returncode == 0, done
    return " ".join(done.stdout.split())


def test_a_topology_spread_that_the_drained_node_breaks_is_foretold_and_comes_true(tell: Tell, nodes: list[str]):
    """A cordoned node is still the emptiest domain: the only other node may not have two."""
    story = placed(tell, 2, topologySpreadConstraints=SPREAD)
    node = node_of(story)
    (other,) = set(nodes) - {node}

    said = foretold(story, node)
    assert f"fits on no other node ({other}: its topology spread over {HOST}: 1 there and 0 in the emptiest" in said

    run = story.rollcheck("--action", f"drain {node}", "--qps", "20", "--rollout-timeout", "25s", "--yes")
    assert run.code == INCONCLUSIVE, run
    assert "topology spread" in json.dumps(run.result), run


def test_a_spread_that_leaves_out_tainted_nodes_is_foretold_to_fit(tell: Tell, nodes: list[str]):
    story = placed(tell, 2, topologySpreadConstraints=[{**SPREAD[0], "nodeTaintsPolicy": "Honor"}])
    first = story.ns.pods("web")[0]

    said = foretold(story, first["spec"]["nodeName"])
    assert f"replacement of pod {first['metadata']['name']} fits on no" not in said  # others' pods on the node may


def test_pods_that_must_be_apart_are_foretold_to_fit_nowhere(tell: Tell, nodes: list[str]):
    story = placed(tell, 2, affinity=APART)
    node = node_of(story)
    (other,) = set(nodes) - {node}

    assert f"fits on no other node ({other}: its anti-affinity to pods there)" in foretold(story, node)


@pytest.fixture
def local(tell: Tell, cluster: Cluster, nodes: list[str]) -> Iterator[Story]:
    """Its volume is a folder of the first node, which the claim allows one pod to use."""
    if "persistentvolumes" not in cluster.kubectl("api-resources", "-o", "name").split():
        pytest.skip("the cluster has no volumes")
    story = tell(Workload(env=DRAINS, replicas=0))
    volume = f"pv-{story.ns.name}"
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(local_volume(volume, nodes[0])))
    story.ns.apply([claim(volume)])
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data", "readOnly": True}}]
    patch = {"spec": {"replicas": 1, "template": {"spec": {"volumes": volumes}}}}
    story.ns.kubectl("patch", "deployment", "web", "-p", json.dumps(patch))
    story.ns.wait_available("web")
    yield story
    cluster.kubectl("delete", "persistentvolume", volume, "--wait=false")


def local_volume(name: str, node: str) -> Manifest:
    here = {"matchExpressions": [{"key": HOST, "operator": "In", "values": [node]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Mi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "local": {"path": "/var/tmp"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}},
        },
    }


def claim(volume: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "volumeName": volume,
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }


def test_a_local_volume_is_foretold_to_keep_its_pod_on_the_node(local: Story, nodes: list[str]):
    said = foretold(local, nodes[0])

    assert f"{nodes[1]}: its local volume pv-{local.ns.name} (claim data) can be used only on {nodes[0]}" in said


def unread(said: str) -> str:
    """What may not be listed; pods of other namespaces, which the account cannot see into, may be on the node too."""
    found = re.search(
        r"volumes that keep pods on node \S+ are not known: no right to list (.*?)(?= the API| Nothing)", said
    )
    assert found, said
    return found[1]


def test_without_the_right_to_read_volumes_one_sentence_says_so(
    local: Story, nodes: list[str], rights: None, tmp_path: Path
):
    given = roles("drain")
    with account_of(local, tmp_path) as account:
        account.may(given)
        assert "can be used only on" in foretold(local, nodes[0], account.kubeconfig)

        account.may([less(role, "persistentvolumes", "list") for role in given])
        said = unread(foretold(local, nodes[0], account.kubeconfig))
        assert "persistentvolumes" in said
        assert local.ns.name not in said

        account.may([less(role, "persistentvolumeclaims", "list") for role in given])
        said = unread(foretold(local, nodes[0], account.kubeconfig))
        assert f"persistentvolumeclaims in namespace {local.ns.name}" in said
