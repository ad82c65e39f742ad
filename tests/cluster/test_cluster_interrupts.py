"""Ctrl-C and kill -9 in the middle of a run."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blackbox import INCONCLUSIVE, INTERRUPTED, Ended, command_line, rollcheck, whole_lines
from conftest import Story
from workloads import DRAINS, Workload

pytestmark = pytest.mark.cluster
Tell = Callable[..., Story]
PATIENCE_S = 60


@pytest.fixture(scope="module")
def story(tell: Tell) -> Story:
    return tell(Workload(replicas=2, env=DRAINS))


def start_and_wait_for(stage: str, story: Story, out: Path) -> subprocess.Popen[str]:
    """A run that has come to `stage` and met its first second of it; what an earlier one left under way ends first."""
    story.ns.wait_available("web")
    argv = command_line(
        *("run", "--deploy", "web", "-n", story.ns.name, "--url", story.url, "--out", str(out), "-o", "json", "--yes"),
        *("--baseline", "4s", "--tail", "30s"),
    )
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        if (out / "facts.jsonl").exists() and has_traffic_in(stage, out):
            return process
        time.sleep(0.1)
    process.kill()
    _, stderr = process.communicate()
    raise AssertionError(f"it never came to {stage} (exit {process.returncode}): {stderr}")


def has_traffic_in(stage: str, out: Path) -> bool:
    """Whether its document has an interval of the stage with attempts in it."""
    lines = whole_lines((out / "facts.jsonl").read_bytes().splitlines(keepends=True))
    return any(fact["fact"] == "Interval" and fact["stage"] == stage and fact["ok"] for fact in lines)


def end(process: subprocess.Popen[str], by: signal.Signals, out: Path) -> Ended:
    """Send the signal to rollcheck alone and wait for its end."""
    process.send_signal(by)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return Ended(argv=["rollcheck"], code=process.returncode, stdout=stdout, stderr=stderr, out=out)


@pytest.mark.parametrize("stage", ["baseline", "replacement"])
def test_ctrl_c_leaves_a_partial_report_and_exits_with_130(story, tmp_path, stage):
    out = tmp_path / "run"

    run = end(start_and_wait_for(stage, story, out), signal.SIGINT, out)

    assert run.code == INTERRUPTED, run
    assert run.result["verdict"] == "inconclusive", run
    assert "Traceback" not in run.stderr, run
    assert run.facts()[-1]["fact"] == "Seal", run


def test_after_kill_9_the_document_can_be_read_and_is_inconclusive(story, tmp_path):
    out = tmp_path / "run"
    killed = end(start_and_wait_for("replacement", story, out), signal.SIGKILL, out)
    assert killed.code == -signal.SIGKILL

    report = rollcheck("report", str(out), "-o", "json", out=out)

    assert report.code == INCONCLUSIVE, report
    assert json.loads(report.stdout)["verdict"] == "inconclusive"
    assert killed.facts()[0]["fact"] == "Header"
    assert killed.facts()[-1]["fact"] != "Seal"
