"""Watches that end, are cut, or cannot be had for a while: what is known of the rollout then, and what is said."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from blackbox import (
    INCONCLUSIVE,
    NOT_GRACEFUL,
    Ended,
    Json,
    assert_attributed,
    assert_graceful,
    assert_sums,
    command_line,
    whole_lines,
)
from clusterside import Namespace
from conftest import QUICK, Story
from tunnel import through_a_tunnel
from workloads import DRAINS, EXITS_AT_ONCE, SHELL, Workload

pytestmark = pytest.mark.cluster
Tell = Callable[..., Story]
SHORT = Path(__file__).with_name("short_watches.py")
WATCH_S = 2
PATIENCE_S = 90
VERSIONED = ("PodSeen", "SliceSeen", "WorkloadSeen", "ReplicaSetSeen")


def arguments(story: Story, out: Path, *flags: str) -> list[str]:
    """What `rollcheck run` is asked for; over the NodePort."""
    base = ("run", "--deploy", "web", "-n", story.ns.name, "--url", story.url, "--out", str(out))
    return [*base, "-o", "json", "--yes", *QUICK, *flags]


@dataclass
class Running:
    """A rollcheck under way."""

    process: subprocess.Popen[str]
    out: Path

    def wait_for(self, what: str, found: Callable[[Json], bool]) -> None:
        """Return once its document has such a fact."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            path = self.out / "facts.jsonl"
            if path.exists() and any(map(found, whole_lines(path.read_bytes().splitlines(keepends=True)))):
                return
            time.sleep(0.05)
        self.process.kill()
        raise AssertionError(f"it never came to {what}: {self.process.communicate()[1]}")

    def end(self) -> Ended:
        """Its end, by itself."""
        stdout, stderr = self.process.communicate(timeout=PATIENCE_S)
        return Ended(argv=["rollcheck"], code=self.process.returncode, stdout=stdout, stderr=stderr, out=self.out)


@contextmanager
def running(argv: list[str], out: Path) -> Iterator[Running]:
    """Start it; it does not outlive the test."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Running(process, out)
    finally:
        process.kill()
        process.wait()


@contextmanager
def kubectl_watching(ns: Namespace, seen: Path) -> Iterator[None]:
    """kubectl's own watch of the pods, into the file `seen`: another witness of every version there was."""
    argv = ["kubectl", "-n", ns.name, "get", "pods", "-l", "app=web", "--watch", "--output-watch-events", "-o", "json"]
    with seen.open("w") as sink:
        process = subprocess.Popen(argv, stdout=sink)
        try:
            yield
        finally:
            process.kill()
            process.wait()


def versions_in(seen: Path) -> set[tuple[str, int]]:
    """(uid, resourceVersion) of each event that kubectl printed; its last may be cut off."""
    text, decoder, at, found = seen.read_text(), json.JSONDecoder(), 0, set()
    while at < len(text.rstrip()):
        try:
            event, at = decoder.raw_decode(text, at + len(text[at:]) - len(text[at:].lstrip()))
        except ValueError:
            break
        meta = event["object"]["metadata"]
        found.add((meta["uid"], int(meta["resourceVersion"])))
    return found


def of(run: Ended, *kinds: str) -> list[Json]:
    """Its facts of these kinds."""
    return [fact for fact in run.facts() if fact["fact"] in kinds]


def gaps(run: Ended) -> list[Json]:
    """Its gaps in watching."""
    return of(run, "WatchGap")


def assert_nothing_twice(run: Ended) -> None:
    """Each version of each object is told once."""
    told = Counter((f["uid"], f["resource_version"]) for f in of(run, *VERSIONED))

    assert {key: n for key, n in told.items() if n > 1} == {}, run


def missed(run: Ended, witnessed: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """What the other witness saw of the pods between our first list and our last fact, and we did not."""
    told = [(f["uid"], int(f["resource_version"]), f["change"]) for f in of(run, "PodSeen")]
    first = {uid: version for uid, version, change in told if change == "listed"}
    last = max(version for _, version, _ in told)
    due = {(uid, version) for uid, version in witnessed if first.get(uid, 0) <= version <= last}
    return due - {(uid, version) for uid, version, _ in told}


@pytest.fixture(scope="module")
def drains(tell: Tell) -> Story:
    return tell(Workload(replicas=2, env=DRAINS))


@pytest.fixture(scope="module")
def short(drains: Story, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, Path, Path]:
    """A run whose watches end every two seconds; what kubectl saw meanwhile; the watches that were asked for."""
    folder = tmp_path_factory.mktemp("short")
    out, seen, log = folder / "run", folder / "seen", folder / "watches"
    argv = [sys.executable, str(SHORT), str(WATCH_S), str(log), *arguments(drains, out, "--baseline", "8s")]
    with kubectl_watching(drains.ns, seen), running(argv, out) as run:
        ended = run.end()
    return ended, seen, log


def test_watches_that_end_and_are_taken_up_again_change_nothing_of_the_verdict(short):
    run, _, _ = short

    assert_graceful(run)


def test_a_watch_that_ends_goes_on_from_the_last_version_and_not_from_the_start(short):
    run, _, log = short
    asked = [line.split() for line in log.read_text().splitlines()]
    versions = [int(version) for path, version in asked if path.endswith("/pods")]

    assert len(versions) >= 8, run
    assert versions == sorted(versions), run
    assert len(set(versions)) > 2, run


def test_between_watches_no_change_is_missed_and_none_is_told_twice(short):
    run, seen, _ = short
    witnessed = versions_in(seen)

    assert len(witnessed) > 10, run
    assert missed(run, witnessed) == set(), run
    assert_nothing_twice(run)


def test_watches_that_the_server_ended_in_good_order_are_no_gaps(short):
    assert gaps(short[0]) == [], short[0]


def has_acted(fact: Json) -> bool:
    """Whether the replacement has been asked for."""
    return bool(fact["fact"] == "Action")


@pytest.fixture(scope="module")
def cut(tell: Tell, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, Path]:
    """A run of an app that exits at once, every connection to the API server reset three times on the way."""
    story, folder = tell(Workload(env=EXITS_AT_ONCE)), tmp_path_factory.mktemp("cut")
    out, seen = folder / "run", folder / "seen"
    with through_a_tunnel(story.ns.cluster.kubectl, folder) as (tunnel, kubeconfig):
        argv = command_line(*arguments(story, out, "--kubeconfig", kubeconfig))
        with kubectl_watching(story.ns, seen), running(argv, out) as run:
            run.wait_for("the restart", has_acted)
            for pod in range(3):
                run.wait_for(f"the end of pod {pod + 1}", told_of_deletions(pod + 1))
                assert tunnel.cut() > 0
            ended = run.end()
    return ended, seen


def told_of_deletions(count: int) -> Callable[[Json], bool]:
    """Finds the fact with which `count` pods have been told to be on their way out."""
    leaving: set[str] = set()

    def found(fact: Json) -> bool:
        if fact["fact"] == "PodSeen" and fact.get("deletion_at"):
            leaving.add(fact["uid"])
        return len(leaving) >= count

    return found


def test_a_cut_watch_is_a_gap_with_its_reason(cut):
    run, _ = cut
    pods = [gap for gap in gaps(run) if gap["resource"] == "pods"]

    assert len(pods) >= 1, run
    for gap in pods:
        assert gap["reason"], run
        assert 0 < gap["end_ns"] - gap["start_ns"] < 5e9, run


def test_after_a_cut_every_change_is_still_told_once(cut):
    run, seen = cut

    assert missed(run, versions_in(seen)) == set(), run
    assert_nothing_twice(run)


def test_a_cut_watch_hides_no_loss_and_no_cause(cut):
    run, _ = cut

    assert run.code == NOT_GRACEFUL, run
    assert run.modes[0] == 1, run
    assert_sums(run)
    assert_attributed(run)


def test_a_pod_that_was_killed_while_the_api_server_could_not_be_reached_is_not_graceful(tell, tmp_path):
    story, out = tell(Workload(command=SHELL, grace_s=6, replicas=1)), tmp_path / "run"
    with through_a_tunnel(story.ns.cluster.kubectl, tmp_path) as (tunnel, kubeconfig):
        argv = command_line(*arguments(story, out, "--kubeconfig", kubeconfig))
        with running(argv, out) as process:
            process.wait_for("the restart", has_acted)
            tunnel.refuse()
            story.ns.wait_available("web")
            tunnel.listen()
            run = process.end()

    assert max(gap["end_ns"] - gap["start_ns"] for gap in gaps(run)) > 5e9, run
    assert run.code == NOT_GRACEFUL, run
    assert 2 in run.modes, run


def test_an_api_server_that_does_not_come_back_leaves_nothing_to_call_graceful(drains, tmp_path):
    out = tmp_path / "run"
    drains.ns.wait_available("web")
    with through_a_tunnel(drains.ns.cluster.kubectl, tmp_path) as (tunnel, kubeconfig):
        argv = command_line(*arguments(drains, out, "--kubeconfig", kubeconfig, "--rollout-timeout", "15s"))
        with running(argv, out) as process:
            process.wait_for("the restart", has_acted)
            tunnel.refuse()
            run = process.end()

    assert run.code == INCONCLUSIVE, run
    assert run.result["verdict"] == "inconclusive", run
    assert {"pods", "API server"} <= {gap["resource"] for gap in gaps(run)}, run
    assert run.facts()[-1]["fact"] == "Seal", run
