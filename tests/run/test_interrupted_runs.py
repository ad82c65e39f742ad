"""Ctrl-C and SIGTERM, at every stage: the load stops, what there is is sealed and analysed."""

from __future__ import annotations

import os
import signal

import pytest

from rollcheck.facts.attempts import Outcome, Stage
from rollcheck.kube.actions import rollouts as actions

pytestmark = pytest.mark.loopback

EACH = pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)


@EACH
@pytest.mark.parametrize("at", [Stage.BASELINE, Stage.REPLACEMENT, Stage.TAIL])
def test_a_signal_ends_the_run_with_a_sealed_document(stand, at, by):
    stand.said.on_stage = lambda stage: signal.raise_signal(by) if stage is at else None
    run = stand.run(tail_s=30)

    assert run.finished.interrupted == by.name
    assert run.said.stages[-1] is at
    assert run.document.seal is not None
    assert run.document.seal.interrupted == by.name
    assert run.analysis.exit_code == 130
    assert f"the run was interrupted by {by.name}" in run.notes


def test_what_was_under_way_is_abandoned_and_everything_else_counted(stand):
    stand.target.delay_s = 0.1
    stand.said.on_stage = lambda stage: signal.raise_signal(signal.SIGINT) if stage is Stage.REPLACEMENT else None
    run = stand.run()

    counts = run.analysis.counts
    assert counts.scheduled == sum(run.document.seal.scheduled.values())
    assert {phase_and_outcome.rpartition("/")[2] for phase_and_outcome in run.lost} <= {Outcome.ABANDONED}
    assert counts.scheduled == counts.ok + run.lost.total()


@EACH
def test_a_signal_before_anything_began_leaves_nothing(stand, by):
    stand.said.on_word = lambda text: signal.raise_signal(by) if "good answers" in text else None

    with pytest.raises(KeyboardInterrupt, match=f"{by.name} before anything was changed"):
        stand.run()
    assert stand.cluster.patches == 0
    assert not (stand.folder / "out").exists()


def test_an_impatient_second_ctrl_c_does_not_cost_the_report(stand):
    """It comes while the user's command, which ignores SIGTERM for a while, is being ended."""
    words = []

    def strike(text):
        words.append(text)
        signal.raise_signal(signal.SIGINT)

    stand.said.on_line = strike
    script = "trap 'echo stopping; sleep 0.2; exit 0' TERM; echo on; while :; do sleep 0.02; done"
    run = stand.run(command=("sh", "-c", script))

    assert {"on", "stopping"} <= set(words)  # the shell may speak of its killed sleep as well
    assert run.finished.interrupted == "SIGINT"
    assert run.document.seal is not None


def test_the_users_command_ends_with_the_run_and_is_recorded(stand):
    pids = []

    def strike(text):
        pids.append(int(text))
        signal.raise_signal(signal.SIGTERM)

    stand.said.on_line = strike
    run = stand.run(command=("sh", "-c", "echo $$; exec sleep 60"))

    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert (run.action.status, run.action.message) == (None, "it was still running and was stopped")


def test_a_signal_while_nobody_knows_whether_the_restart_began_is_recorded_as_that(stand, monkeypatch):
    monkeypatch.setattr(actions, "LOOK_EVERY_S", 0.05)
    stand.cluster.on_patch = "lose"
    asked = []

    def told(what, path):
        asked.append((what, path))
        if stand.cluster.patches and what == "asked" and path.endswith("/deployments/web") and asked[-1] in asked[:-2]:
            os.kill(os.getpid(), signal.SIGINT)

    stand.cluster.told = told
    run = stand.run()

    assert run.finished.interrupted == "SIGINT"
    assert run.action.status is None
    assert "the API server gave no clear answer" in run.action.message
