"""Every action on a workload that ends well and on one that does not, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blackbox import (
    GRACEFUL,
    INCONCLUSIVE,
    INTERRUPTED,
    NOT_GRACEFUL,
    USAGE,
    Ended,
    assert_attributed,
    assert_lossless,
    assert_one_sentence,
    assert_sums,
    command_line,
    environment,
)
from clusterside import Cluster
from conftest import Story
from workloads import DRAINS, EXITS_AT_ONCE, Workload

pytestmark = pytest.mark.cluster
Tell = Callable[..., Story]
SHORT = ("--qps", "40", "--baseline", "2s", "--tail", "2s")
GOOD = {"ON_TERM": "drain", "DRAIN_WAIT": "4"}


@pytest.fixture(scope="module")
def good(tell: Tell) -> Story:
    return tell(Workload(env=GOOD, replicas=2))


@pytest.fixture(scope="module")
def bad(tell: Tell) -> Story:
    return tell(Workload(env=EXITS_AT_ONCE, replicas=2))


@pytest.fixture
def own_bad(tell: Tell) -> Story:
    """With a Service of its own: source ports that a run before left tied to dead pods cannot spoil this one."""
    return tell(Workload(env=EXITS_AT_ONCE, replicas=2))


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> list[str]:
    found = [node["metadata"]["name"] for node in cluster.get("nodes")["items"]]
    if len(found) < 2:
        pytest.skip("a drain needs two nodes")
    return found


@pytest.fixture(scope="module")
def held(tell: Tell, nodes: list[str]) -> Story:
    """Its budget wants all the pods there are."""
    return tell(Workload(env=GOOD, replicas=2, node=nodes[0], budget=2))


@pytest.fixture(autouse=True)
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "rollcheck"


def act(story: Story, action: str, *flags: str) -> Ended:
    if story.workload.kind == "Deployment":
        story.ns.wait_available("web")
    return story.rollcheck("--action", action, *SHORT, *flags)


def same_image(story: Story) -> str:
    """The id of the image that its pods run: another name for it, so that no second image is needed."""
    return str(story.ns.pods("web")[0]["status"]["containerStatuses"][0]["imageID"]).removeprefix("docker-pullable://")


def image_of(story: Story) -> str:
    return str(story.ns.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"])


def rolled_by_command(story: Story) -> tuple[str, ...]:
    """A deploy of the user's own: one that waits for its rollout."""
    kubectl = f"kubectl -n {story.ns.name} rollout"
    return ("sh", "-c", f"{kubectl} restart deployment/web && {kubectl} status deployment/web --timeout=60s")


def watched(story: Story, *flags: str) -> Ended:
    """A run that only watches, while somebody else restarts the workload."""
    story.ns.wait_available("web")
    out = story.folder / f"watched-{os.urandom(3).hex()}"
    base = ("run", "--deploy", "web", "-n", story.ns.name, "--url", story.url, "--out", str(out), "-o", "json")
    argv = command_line(*base, "--action", "none", *SHORT, *flags)
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "watching: replace the pods now" in line:
            story.ns.kubectl("rollout", "restart", "deployment/web")
    stdout, _ = process.communicate(timeout=120)
    return Ended(argv=argv, code=process.returncode, stdout=stdout, stderr=said, out=out)


def beside(
    story: Story, name: str, labels: dict[str, str], env: dict[str, str] | None = None, *, replicas: int = 1
) -> Story:
    """A further Deployment in the story's namespace, whose pods have these labels."""
    made = Workload(name=name, env=env or GOOD, replicas=replicas)
    deployment = made.deployment(story.ns.cluster.image)
    deployment["spec"]["selector"]["matchLabels"] = labels
    deployment["spec"]["template"]["metadata"]["labels"] = labels
    story.ns.apply([made.config_map(), deployment])
    story.ns.wait_available(name)
    return story


def steps(run: Ended) -> list[tuple[str, str]]:
    return [(step["verb"], step["target"]) for step in run.result["steps"]]


def replaced(run: Ended) -> int:
    return sum(1 for pod in run.old_pods if pod["deleted"])


def schedulable(cluster: Cluster, node: str) -> bool:
    return not cluster.get("node", node)["spec"].get("unschedulable", False)


def node_of(story: Story) -> str:
    return str(story.ns.pods("web")[0]["spec"]["nodeName"])


def replicas(story: Story) -> int:
    return int(story.ns.get(story.workload.ref)["spec"]["replicas"])


class TestOnAWorkloadThatEndsWell:
    @pytest.mark.parametrize("action", ["scale 1", "scale 4", "delete-pod", "evict all", "evict 1"])
    def test_nobody_notices(self, good: Story, action: str):
        run = act(good, action)

        assert_lossless(run)
        assert replaced(run) >= 1, run
        assert replicas(good) == 2

    def test_a_repeated_restart_counts_every_round(self, good: Story):
        run = act(good, "restart", "--repeat", "2")

        assert_lossless(run)
        assert run.result["bounds"]["pods_replaced"] == 4, run
        assert "round 2 of 2" in run.stderr

    def test_another_image_is_a_rollout_and_is_put_back(self, good: Story):
        before = image_of(good)
        run = act(good, f"set-image app={same_image(good)}")

        assert_lossless(run)
        assert replaced(run) == 2, run
        assert image_of(good) == before
        verbs = [verb for verb, _ in steps(run)]
        assert verbs == ["patch", "gone", "gone", "patch"], run.result["steps"]

    def test_a_command_that_rolls_it_out(self, good: Story):
        good.ns.wait_available("web")
        run = good.rollcheck(*SHORT, command=rolled_by_command(good))

        assert_lossless(run)
        assert replaced(run) == 2, run
        assert ("exit", 0) in [(step["verb"], step["status"]) for step in run.result["steps"]]

    def test_somebody_elses_restart_that_is_only_watched(self, good: Story):
        run = watched(good)

        assert_lossless(run)
        assert replaced(run) == 2, run

    def test_an_undo_is_a_rollout_and_is_taken_back(self, good: Story):
        good.ns.kubectl("set", "env", "deployment/web", "MARK=new")
        good.ns.wait_available("web")
        run = act(good, "undo")

        assert_lossless(run)
        good.ns.wait_available("web")
        env = good.ns.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["env"]
        assert {"name": "MARK", "value": "new"} in env


def assert_exits_at_once(run: Ended) -> None:
    """Not graceful, because its pods stop before every proxy knows."""
    assert run.code == NOT_GRACEFUL, run
    assert run.modes[0] == 1, run
    assert_sums(run)
    assert_attributed(run)


class TestOnAWorkloadThatExitsAtOnce:
    @pytest.mark.parametrize("action", ["restart", "evict all"])
    def test_pods_replaced_one_after_the_other_lose_requests(self, own_bad: Story, action: str):
        run = act(own_bad, action, "--qps", "150")

        assert_exits_at_once(run)
        assert replaced(run) == 2, run

    def test_another_image_loses_what_a_restart_would_and_is_put_back(self, own_bad: Story):
        before = image_of(own_bad)
        run = act(own_bad, f"set-image app={same_image(own_bad)}", "--qps", "150")

        assert_exits_at_once(run)
        assert image_of(own_bad) == before

    def test_an_undo_loses_what_a_restart_would(self, own_bad: Story):
        own_bad.ns.kubectl("set", "env", "deployment/web", "MARK=new")
        run = act(own_bad, "undo", "--qps", "150")

        assert_exits_at_once(run)

    def test_a_command_that_rolls_it_out_is_not_graceful_though_it_ends_well(self, own_bad: Story):
        own_bad.ns.wait_available("web")
        run = own_bad.rollcheck(*SHORT, "--qps", "150", command=rolled_by_command(own_bad))

        assert_exits_at_once(run)

    def test_somebody_elses_restart_that_is_only_watched(self, own_bad: Story):
        assert_exits_at_once(watched(own_bad, "--qps", "150"))

    def test_a_deleted_pod_loses_what_a_rollout_would(self, bad: Story):
        run = act(bad, "delete-pod", "--qps", "150", "--repeat", "3")  # one pod may meet no request as it ends

        assert run.code == NOT_GRACEFUL, run
        assert run.modes[0] == 1, run
        assert_sums(run)
        assert_attributed(run)

    def test_all_pods_evicted_at_once_are_an_outage(self, bad: Story):
        run = act(bad, "evict all", "--at-once")

        assert run.code == NOT_GRACEFUL, run
        assert run.modes[0] == 14, run
        assert_attributed(run)

    def test_a_pod_deleted_by_force_is_said_to_be(self, bad: Story):
        run = act(bad, "delete-pod", "--grace-period", "0", "--force", "--qps", "150")

        assert run.code != GRACEFUL, run
        assert 39 in run.modes, run

    def test_scaling_down_and_up_loses_at_the_pods_end(self, bad: Story):
        run = act(bad, "scale 1", "--qps", "150")

        assert run.code == NOT_GRACEFUL, run
        assert 1 in run.modes, run
        assert replicas(bad) == 2


class TestDrains:
    def test_all_replicas_on_one_node_are_an_outage(self, tell: Tell, cluster: Cluster, nodes: list[str]):
        story = tell(Workload(env=EXITS_AT_ONCE, replicas=2, node=nodes[0]))
        run = act(story, f"drain {node_of(story)}")

        assert run.code == NOT_GRACEFUL, run
        assert run.modes[0] == 14, run
        assert schedulable(cluster, nodes[0])

    def test_a_budget_that_leaves_room_makes_a_good_workloads_drain_unnoticed(self, tell: Tell, nodes: list[str]):
        story = tell(Workload(env=DRAINS, replicas=2, node=nodes[0], budget=1))
        run = act(story, "drain", "--node-of-pod", story.ns.pods("web")[0]["metadata"]["name"])

        assert_lossless(run)
        assert replaced(run) >= 1

    def test_a_repeated_drain_goes_where_the_pods_are_and_uncordons_each_node(
        self, tell: Tell, cluster: Cluster, nodes: list[str]
    ):
        story = tell(Workload(env=DRAINS, replicas=2, budget=1))
        pod = story.ns.pods("web")[0]
        run = act(story, "drain", "--node-of-pod", pod["metadata"]["name"], "--repeat", "2")

        assert_lossless(run)
        touched = [step for step in steps(run) if step[0] in ("cordon", "uncordon")]
        first, second = (target for verb, target in touched if verb == "cordon")
        assert first == f"node/{pod['spec']['nodeName']}"
        assert touched == [("cordon", first), ("uncordon", first), ("cordon", second), ("uncordon", second)]
        assert all(schedulable(cluster, node) for node in nodes)

    def test_a_budget_that_wants_all_blocks_it_to_its_end(self, held: Story, cluster: Cluster):
        node = node_of(held)
        run = act(held, f"drain {node}", "--rollout-timeout", "12s")

        assert run.code == INCONCLUSIVE, run
        assert run.modes == [15], run
        assert "web-budget needs 2 healthy pods and has 2 currently" in " ".join(run.result["reasons"]), run
        assert schedulable(cluster, node)
        taken = run.result["steps"]
        assert [s["verb"] for s in (taken[0], taken[-1])] == ["cordon", "uncordon"], taken
        refused = [s for s in taken[1:-1] if s["target"].count("/") == 1]  # others have their namespace before them
        assert {(s["verb"], s["status"], s["refusal"], s["budget"]) for s in refused} == {
            ("evict", 429, "budget", "web-budget")
        }
        assert max(s["attempt"] for s in refused) >= 2, taken  # asked again every 5 s

    def test_a_dry_run_foretells_it_and_changes_nothing(self, held: Story, cluster: Cluster):
        node = node_of(held)
        before = [pod["metadata"]["uid"] for pod in held.ns.pods("web")]
        flags = ("--action", f"drain {node}", "--dry-run", "--yes")  # pods of other stories may be there
        argv = command_line("run", "--deploy", "web", "-n", held.ns.name, *flags)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

        assert done.returncode == 0, done
        assert "budget web-budget allows no disruption now" in done.stdout
        assert "would answer 429 to the eviction" in done.stdout
        assert "Nothing was changed" in done.stdout
        assert schedulable(cluster, node)
        assert [pod["metadata"]["uid"] for pod in held.ns.pods("web")] == before

    @pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_in_its_middle_leaves_the_node_as_it_was(self, held: Story, cluster: Cluster, by: signal.Signals):
        node = node_of(held)
        process = self.begun(held, cluster, node)
        process.send_signal(by)
        process.communicate(timeout=60)

        assert process.returncode == INTERRUPTED
        assert schedulable(cluster, node)

    def test_after_a_kill_cleanup_makes_the_node_schedulable(self, held: Story, cluster: Cluster, journals: Path):
        node = node_of(held)
        process = self.begun(held, cluster, node)
        process.kill()
        process.communicate(timeout=60)
        assert not schedulable(cluster, node)

        done = subprocess.run(command_line("cleanup"), capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, f"node/{node} was uncordoned\n"), done
        assert schedulable(cluster, node)
        assert list(journals.iterdir()) == []
        time.sleep(30)  # the killed run's claim on the workload ends by itself

    def test_two_budgets_are_refused_by_the_api(self, held: Story, cluster: Cluster):
        held.ns.apply([held.workload.disruption_budget("second", 1)])
        node = node_of(held)
        run = act(held, f"drain {node}", "--rollout-timeout", "20s")
        held.ns.kubectl("delete", "poddisruptionbudget", "second")

        assert run.code == INCONCLUSIVE, run
        assert run.modes == [16], run
        assert schedulable(cluster, node)

    def begun(self, story: Story, cluster: Cluster, node: str) -> subprocess.Popen[str]:
        """A run in the middle of a drain that does not end."""
        out = story.folder / f"begun-{os.urandom(3).hex()}"
        flags = ("run", "--deploy", "web", "-n", story.ns.name, "--url", story.url, "--out", str(out), *SHORT)
        argv = command_line(*flags, "--action", f"drain {node}", "--yes")  # pods of other stories may be there
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
        deadline = time.monotonic() + 60
        while schedulable(cluster, node):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
        return process


class TestOtherKinds:
    def test_a_statefulset_is_replaced_in_order(self, tell: Tell):
        run = act(tell(Workload(env=GOOD, replicas=2, kind="StatefulSet")), "restart")

        assert_lossless(run)
        ended = sorted(run.old_pods, key=lambda pod: pod["deleted"]["seen_s"])
        assert [pod["name"] for pod in ended] == ["web-1", "web-0"], run

    def test_pods_below_a_partition_stay(self, tell: Tell):
        run = act(tell(Workload(env=GOOD, replicas=2, kind="StatefulSet", partition=1)), "restart")

        assert_lossless(run)
        assert [pod["name"] for pod in run.old_pods if pod["deleted"]] == ["web-1"], run

    def test_a_daemonset_that_exits_at_once_loses_requests(self, tell: Tell):
        run = act(tell(Workload(env=EXITS_AT_ONCE, kind="DaemonSet")), "restart", "--qps", "150")

        assert run.code == NOT_GRACEFUL, run
        assert run.modes[0] == 1, run

    def test_two_deployments_are_replaced_together(self, tell: Tell):
        story = tell(Workload(env=GOOD, replicas=1))
        second = Workload(name="canary", env=GOOD, replicas=1)
        story.ns.apply([second.config_map(), second.deployment(story.ns.cluster.image)])
        story.ns.wait_available("canary")
        run = story.rollcheck("--deploy", "canary", *SHORT)

        assert_lossless(run)
        assert replaced(run) == 2, run

    def test_a_canary_behind_the_same_service_is_a_backend_that_stays(self, tell: Tell):
        story = tell(Workload(env=GOOD, replicas=1))
        canary = beside(story, "canary", {"app": "web", "track": "canary"})
        run = act(story, "restart")

        assert_lossless(run)
        assert replaced(run) == 1, run
        (kept,) = (pod for pod in run.result["pods"] if pod["name"].startswith("canary-"))
        assert (kept["generation"], kept["workload"], kept["deleted"]) == ("other", "", None), run
        assert kept["traffic"]["answered"] > 0, run
        assert "served the same clients and was not to be replaced (canary-" in " ".join(run.result["observations"])
        assert len(canary.ns.pods("web")) == 2

    def test_a_bad_canary_replaced_along_with_a_good_workload_is_what_loses(self, tell: Tell):
        story = tell(Workload(env=GOOD, replicas=2))
        beside(story, "canary", {"app": "web", "track": "canary"}, EXITS_AT_ONCE, replicas=2)
        run = story.rollcheck("--deploy", "canary", *SHORT, "--qps", "150")

        assert_exits_at_once(run)
        assert replaced(run) == 4, run
        ended = [line for line in run.cause(1)["evidence"] if line.startswith("pod ")]
        assert ended, run
        assert all(line.startswith("pod canary-") for line in ended), run

    def test_what_happens_behind_another_service_explains_nothing(self, tell: Tell):
        story = tell(Workload(env=GOOD, replicas=2))
        other = Workload(name="api", env=EXITS_AT_ONCE, replicas=1, strategy="Recreate")
        story.ns.apply([other.config_map(), other.deployment(story.ns.cluster.image), other.service()])
        story.ns.wait_available("api")
        run = story.rollcheck("--deploy", "api", *SHORT)

        assert_lossless(run)
        assert run.result["target"]["service"] == "web", run
        assert {(pod["workload"], pod["generation"]) for pod in run.result["pods"]} == {
            (f"deployment/{name}", generation) for name in ("web", "api") for generation in ("old", "new")
        }
        assert all(pod["in_endpoints_s"] for pod in run.result["pods"]), run
        assert "service/api had no ready pod from" in " ".join(run.result["observations"]), run

    def test_an_autoscaler_that_scales_down_is_recognised(self, tell: Tell):
        story = tell(Workload(env=EXITS_AT_ONCE, replicas=3))
        story.ns.apply([story.workload.autoscaler(least=1, most=3)])
        patch = f'kubectl -n {story.ns.name} patch hpa web -p \'{{"spec":{{"maxReplicas":1}}}}\' && sleep 25'
        run = story.rollcheck("--qps", "150", command=("sh", "-c", patch))

        assert run.code == NOT_GRACEFUL, run
        assert 31 in run.modes, run


class TestFailures:
    def test_an_image_that_does_not_exist_is_stuck_and_put_back(self, good: Story):
        before = good.ns.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"]
        run = act(good, "set-image app=rollcheck.test/no-such-image:1", "--undo-on-failure")
        good.ns.wait_available("web")

        assert run.code == INCONCLUSIVE, run
        assert 20 in run.modes, run
        assert good.ns.get("deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"] == before

    def test_too_many_failures_stop_the_action(self, tell: Tell):
        story = tell(Workload(env=EXITS_AT_ONCE | {"LISTEN_AFTER": "20"}, replicas=2, strategy="Recreate"))
        before = story.ns.get("deployment", "web")["spec"]["template"]["metadata"].get("annotations", {})
        run = act(story, "restart", "--abort-on-errors", "20%")

        assert run.code == NOT_GRACEFUL, run
        assert "was stopped" in run.stderr, run
        after = story.ns.get("deployment", "web")["spec"]["template"]["metadata"].get("annotations", {})
        assert after == before

    @pytest.mark.parametrize(
        ("action", "name"),
        [
            ("drain no-such-node", "no-such-node"),
            ("delete-pod no-such-pod", "no-such-pod"),
            ("set-image nope=nginx", "nope"),
            ("scale -1", "-1"),
            ("scale 2", "2 replicas"),
            ("undo 99", "99"),
        ],
    )
    def test_what_is_not_there_is_one_sentence_and_changes_nothing(self, good: Story, action: str, name: str):
        before = good.ns.generation("web")
        run = act(good, action)

        assert run.code == USAGE, run
        assert_one_sentence(run, name)
        assert good.ns.generation("web") == before

    def test_two_runs_do_not_fight(self, good: Story):
        good.ns.wait_available("web")
        flags = ("--url", good.url, "--action", "delete-pod", "--baseline", "30s", "--out", str(good.folder / "first"))
        argv = command_line("run", "--deploy", "web", "-n", good.ns.name, *flags)
        first = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + 30
            while not good.ns.get("leases")["items"]:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            run = act(good, "restart")
            assert run.code == USAGE, run
            assert_one_sentence(run, "another run is at deployment/web")
        finally:
            first.send_signal(signal.SIGINT)
            first.communicate(timeout=60)
        assert good.ns.get("leases")["items"] == []
