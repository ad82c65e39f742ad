"""The usual tool beside rollcheck, at the same time, on the same pods (docs/fortio.md)."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from blackbox import NOT_GRACEFUL, Ended, assert_sums
from clusterside import Cluster
from conftest import Story
from workloads import EXITS_AT_ONCE, Workload

pytestmark = pytest.mark.cluster
Tell = Callable[..., Story]
CONNECTIONS = 8
BRISK = {**EXITS_AT_ONCE, "DELAY_MS": "5"}
"""Eight connections cannot carry 1000 requests a second at the app's usual 20 ms each."""


@dataclass(frozen=True)
class Fortio:
    """What fortio printed, all of it on stderr.

    Attributes:
        codes: of its closing lines, how often it counted each; -1 is "no answer".
        sockets: of the line "Sockets used".
        log: its log lines, those in JSON.
    """

    code: int
    words: str
    codes: dict[int, int]
    sockets: int
    log: list[dict[str, Any]]

    @classmethod
    def read(cls, code: int, words: str) -> Fortio:
        """Its report, once it has ended."""
        used = re.search(r"^Sockets used: (\d+)", words, re.MULTILINE)
        assert used, words
        counted = re.findall(r"^Code +(-?\d+) : (\d+)", words, re.MULTILINE)
        log = [json.loads(line) for line in words.splitlines() if line.startswith("{")]
        return cls(code, words, {int(c): int(n) for c, n in counted}, int(used[1]), log)

    @property
    def failed(self) -> int:
        """What it calls failed."""
        return sum(n for code, n in self.codes.items() if code != 200)

    @property
    def cut(self) -> int:
        """Kept connections that died under a request: it opens sockets for nothing else but its start and failures."""
        return self.sockets - CONNECTIONS - self.failed

    @property
    def sent_again(self) -> int:
        """Requests whose connection died, that it sent once more and then counted as good."""
        pending: set[int] = set()
        good = 0
        for line in self.log:
            thread = line.get("thread", -1)
            if line["msg"].startswith("Closing dead socket"):
                good += thread in pending  # the one before was not followed by an error
                pending.add(thread)
            elif line["level"] in ("err", "warn"):
                pending.discard(thread)
        return good + len(pending)


@dataclass(frozen=True)
class Both:
    """Two witnesses of one rollout."""

    run: Ended
    fortio: Fortio

    def __str__(self) -> str:
        return f"{self.run}\n{self.fortio.words}"


@pytest.fixture(scope="module")
def program() -> str:
    """The path of fortio."""
    found = shutil.which("fortio")
    if found is None:
        pytest.skip("fortio is not on the PATH: go install fortio.org/fortio@v1.68.0")
    return found


def watch_with_both(story: Story, program: str, *target: str) -> Both:
    """`rollcheck run` on the story, and fortio on `target` from before it until after it."""
    argv = [program, "load", "-c", str(CONNECTIONS), "-qps", "1000", "-t", "120s", *target]
    fortio = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        run = story.rollcheck()
        fortio.send_signal(signal.SIGINT)  # it ends in good order then, and prints its report
        _, words = fortio.communicate(timeout=30)
    finally:
        fortio.kill()
        fortio.wait()
    return Both(run, Fortio.read(fortio.returncode, words))


@pytest.fixture(scope="module")
def over_the_node_port(program: str, tell: Tell) -> Both:
    story = tell(Workload(env=BRISK))
    return watch_with_both(story, program, story.url)


@pytest.fixture(scope="module")
def through_the_ingress(program: str, tell: Tell, cluster: Cluster) -> Both:
    if not cluster.has_ingress_class():
        pytest.skip(f"the cluster has no IngressClass {cluster.ingress_class}: cluster up --ingress")
    story = tell(Workload(env=BRISK, ingress=True))
    entry = story.ns.ingress_entry("web")
    assert entry
    return watch_with_both(story, program, "-resolve", entry[0], f"http://{story.ns.name}.example.test:{entry[1]}/")


def test_of_the_connections_that_a_rollout_cuts_fortio_reports_only_those_it_could_not_replace(over_the_node_port):
    fortio = over_the_node_port.fortio

    assert fortio.cut >= CONNECTIONS, over_the_node_port  # each of the first eight led to a pod that was replaced
    assert fortio.sent_again > 0, over_the_node_port


def test_rollcheck_calls_the_same_rollout_an_exit_at_once(over_the_node_port):
    run = over_the_node_port.run

    assert run.code == NOT_GRACEFUL, over_the_node_port
    assert run.modes[0] == 1, over_the_node_port
    assert run.cause(1)["fix"], over_the_node_port
    assert_sums(run)


def test_through_the_ingress_fortio_counts_what_failed_and_rollcheck_says_why(through_the_ingress):
    run, fortio = through_the_ingress.run, through_the_ingress.fortio

    assert fortio.failed > 0, through_the_ingress
    assert run.code == NOT_GRACEFUL, through_the_ingress
    assert run.modes[0] == 1, through_the_ingress
    assert_sums(run)


@pytest.mark.parametrize("way", ["over_the_node_port", "through_the_ingress"])
def test_fortio_ends_well_and_names_neither_pod_nor_cause(way, request):
    both: Both = request.getfixturevalue(way)
    evidence = " ".join(both.run.cause(1)["evidence"])

    assert both.fortio.code == 0, both
    for pod in both.run.old_pods:
        assert pod["name"] not in both.fortio.words, both
    assert "SIGTERM" in both.run.cause(1)["summary"] + evidence, both
    assert "SIGTERM" not in both.fortio.words, both
