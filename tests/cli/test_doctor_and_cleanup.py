"""`rollcheck doctor`, `rollcheck cleanup` and `rollcheck run --dry-run`, on a played cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from rollcheck.kube.journal import Entry, Journal
from tests.fakes.disruptable import BLOCKED, DisruptableCluster
from tests.fakes.shell import call

pytestmark = pytest.mark.loopback


@pytest.fixture
def cluster() -> Iterator[DisruptableCluster]:
    with DisruptableCluster() as playing:
        yield playing


@pytest.fixture
def kubeconfig(cluster: DisruptableCluster, tmp_path: Path) -> str:
    return cluster.write_kubeconfig(tmp_path / "kubeconfig")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "rollcheck"


def left_behind(state: Path, kubeconfig: str, server: str) -> Journal:
    """The journal of a run that was killed after it had cordoned n1."""
    journal = Journal(state, "web-1", {"kubeconfig": kubeconfig, "context": "dev", "server": server})
    journal.enter(Entry(kind="node", path="/api/v1/nodes/n1", uid="uid-n1", what="node/n1"))
    os.close(journal._fd)
    journal._fd = -1
    return journal


class TestCleanup:
    def test_nothing_to_put_back_is_said(self, capsys):
        assert call("cleanup") == 0
        assert capsys.readouterr().out == "nothing to put back\n"

    def test_what_a_killed_run_left_is_put_back(self, cluster, kubeconfig, state, capsys):
        cluster.nodes["n1"]["spec"]["unschedulable"] = True
        journal = left_behind(state, kubeconfig, cluster.url)

        assert call("cleanup") == 0
        assert capsys.readouterr().out == "node/n1 was uncordoned\n"
        assert cluster.cordoned() == []
        assert not journal.path.exists()

    def test_a_run_that_goes_on_is_left_alone(self, cluster, kubeconfig, state, capsys):
        journal = Journal(state, "web-1", {"kubeconfig": kubeconfig, "context": "dev"})
        journal.enter(Entry(kind="node", path="/api/v1/nodes/n1", uid="uid-n1", what="node/n1"))

        assert call("cleanup") == 0
        assert "web-1 still goes on" in capsys.readouterr().out
        assert cluster.writes == []
        journal.close()

    def test_a_context_that_means_another_cluster_by_now_is_not_touched(self, cluster, kubeconfig, state, capsys):
        left_behind(state, kubeconfig, "https://elsewhere.test:6443")

        assert call("cleanup") == 4
        said = capsys.readouterr()
        assert "not https://elsewhere.test:6443 where the run was" in said.out
        assert "Traceback" not in said.err
        assert cluster.writes == []

    def test_what_is_refused_stays_for_the_next_time(self, cluster, kubeconfig, state, capsys):
        from tests.fakes.api import status_object

        cluster.nodes["n1"]["spec"]["unschedulable"] = True
        cluster.on_write = lambda method, path: status_object(403, "Forbidden", "nodes are not yours")
        journal = left_behind(state, kubeconfig, cluster.url)

        assert call("cleanup") == 4
        assert "nodes are not yours" in capsys.readouterr().out
        assert journal.path.exists()


class TestDoctor:
    def test_who_may_do_everything_is_told_so(self, kubeconfig, capsys):
        assert call("doctor", "--kubeconfig", kubeconfig) == 0
        said = capsys.readouterr().out
        assert "as alice, namespace default" in said
        assert {line.split()[1] for line in said.splitlines()[1:]} == {"yes"}

    def test_a_missing_right_is_named_with_the_role_that_gives_it(self, cluster, kubeconfig, capsys):
        cluster.forbidden = {("patch", "deployments")}
        assert call("doctor", "--kubeconfig", kubeconfig) == 0
        said = capsys.readouterr().out
        assert "restart     no: patch deployments.apps in namespace default (a restart is a patch of it)" in said
        assert "evict       yes" in said
        assert "rollcheck doctor --role --action restart" in said

    def test_an_action_that_was_asked_for_decides_the_exit_code(self, cluster, kubeconfig, capsys):
        cluster.forbidden = {("patch", "nodes")}
        assert call("doctor", "--kubeconfig", kubeconfig, "--action", "drain") == 4
        assert "patch nodes in the whole cluster (cordoning is a patch of it)" in capsys.readouterr().err
        assert call("doctor", "--kubeconfig", kubeconfig, "--action", "restart") == 0

    def test_json_says_the_same(self, cluster, kubeconfig, capsys):
        cluster.forbidden = {("delete", "pods")}
        call("doctor", "--kubeconfig", kubeconfig, "-o", "json")
        actions = json.loads(capsys.readouterr().out)["actions"]
        assert [name for name, said in actions.items() if not said["permitted"]] == ["delete-pod"]

    def test_a_role_needs_no_cluster(self, capsys):
        assert call("doctor", "--role", "--action", "drain", "--kind", "statefulset") == 0
        kinds = [raw["kind"] for raw in yaml.safe_load_all(capsys.readouterr().out)]
        assert kinds == ["Role", "ClusterRole"]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--action", "restrat"), "no action 'restrat'"),
            (("--kind", "cronjob"), "'cronjob' is none"),
            (("--kind", "daemonset", "--action", "scale"), "scale cannot be done to a DaemonSet"),
        ],
    )
    def test_what_cannot_be_is_a_usage_error(self, arguments, words, capsys):
        assert call("doctor", *arguments) == 2
        assert words in capsys.readouterr().err

    def test_what_a_killed_run_left_is_mentioned(self, cluster, kubeconfig, state, capsys):
        left_behind(state, kubeconfig, cluster.url)
        call("doctor", "--kubeconfig", kubeconfig)
        assert "The run web-1 was killed or goes on: `rollcheck cleanup`" in capsys.readouterr().out


class TestDryRun:
    def told(self, kubeconfig, capsys, *arguments):
        assert call("run", "--deploy", "web", "--kubeconfig", kubeconfig, "--dry-run", "-q", *arguments) == 0
        return capsys.readouterr().out.splitlines()

    def test_a_drain_that_would_block_is_foretold_and_nothing_changed(self, cluster, kubeconfig, capsys):
        labels = cluster.deployment["spec"]["template"]["metadata"]["labels"]
        status = {"disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2}
        cluster.add(
            "poddisruptionbudgets",
            {
                "metadata": {"name": "keep", "namespace": "default"},
                "spec": {"selector": {"matchLabels": labels}},
                "status": status,
            },
        )
        cluster.on_evict = lambda name: BLOCKED
        told = self.told(kubeconfig, capsys, "--action", "drain n1")

        assert told[0].startswith("node n1 would be cordoned, and 2 pods evicted at the same moment")
        assert any("budget keep allows no disruption now (it needs 2 healthy pods and has 2)" in t for t in told)
        assert any("would answer 429 to the eviction of" in t for t in told)
        assert told[-1] == "Nothing was changed (--dry-run)."
        assert all("dryRun" in body["deleteOptions"] for _, _, body in cluster.writes)
        assert cluster.cordoned() == []

    def test_pods_that_share_the_node_and_have_no_budget_are_named(self, kubeconfig, capsys):
        told = self.told(kubeconfig, capsys, "--action", "drain n1")
        (shared,) = [t for t in told if "no budget covers" in t]
        assert "all 2 pods of deployment/web" in shared
        assert "leaves none until new ones are ready" in shared

    @pytest.mark.parametrize(
        ("action", "words"),
        [
            ("restart", "its 2 pods would be replaced"),
            ("scale 0", "no pod would be left in between"),
            ("delete-pod all", "would end 2 of 2 pods"),
            ("none", "would only be watched"),
        ],
    )
    def test_every_action_says_what_it_would_do(self, cluster, kubeconfig, capsys, action, words):
        assert words in self.told(kubeconfig, capsys, "--action", action)[0]
        assert cluster.writes == []


class TestBadOptions:
    def test_where_no_journal_can_be_written_nothing_that_needs_one_is_begun(
        self, cluster, kubeconfig, tmp_path, monkeypatch, capsys
    ):
        (tmp_path / "taken").write_text("a file")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "taken"))
        assert call("run", "--deploy", "web", "--kubeconfig", kubeconfig, "--action", "scale 1") == 2
        assert (
            "cannot be written (Not a directory), so nothing was changed; set XDG_STATE_HOME" in capsys.readouterr().err
        )
        assert cluster.requests == []

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--action", "scale -1"), "no number of replicas"),
            (("--action", "scale 1", "--", "true"), "choose one"),
            (("--action", "undo", "--repeat", "2"), "cannot be done twice"),
            (("--action", "evict web-1", "--repeat", "2"), "is gone after the first round"),
            (("--action", "drain n1", "--repeat", "2"), "the node is chosen anew in each round"),
            (("--action", "scale 1", "--undo-on-failure"), "is for set-image and undo"),
            (("--abort-on-errors", "lots"), "is no share of requests"),
            (("--abort-on-errors", "0"), "is no share of requests"),
            (("--abort-on-errors", "120%"), "is no share of requests"),
            (("--deploy", "web"), "named twice"),
            (("--deploy", "cronjob/x"), "'cronjob' is no kind"),
            (("--qps", "5000"), "say with --yes"),
        ],
    )
    def test_what_cannot_be_is_one_sentence_and_no_request(self, cluster, kubeconfig, capsys, arguments, words):
        assert call("run", "--deploy", "web", "--kubeconfig", kubeconfig, *arguments) == 2
        assert words in capsys.readouterr().err
        assert cluster.requests == []
