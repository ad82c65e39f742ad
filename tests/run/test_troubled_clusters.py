"""The API server goes away, comes back, refuses, or leaves us in doubt."""

from __future__ import annotations

import pytest

from rollcheck.analyze.model import Verdict
from rollcheck.errors import ClusterDenied, ClusterUnreachable
from rollcheck.facts.attempts import Stage
from rollcheck.facts.cluster import WatchGap
from rollcheck.kube import reflector
from rollcheck.kube.actions import rollouts as actions

pytestmark = pytest.mark.loopback


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(actions, "UNSURE_S", 0.5)
    monkeypatch.setattr(actions, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(reflector, "BACKOFF_FIRST_S", 0.02)


def test_an_api_server_that_is_gone_when_the_restart_is_due_ends_the_run_and_nothing_was_changed(stand):
    stand.said.on_stage = lambda stage: stand.cluster.do(stand.cluster.go_away) if stage is Stage.BASELINE else None
    run = stand.run()

    assert isinstance(run.finished.failure, ClusterUnreachable)
    assert run.finished.failure.exit_code == 4
    assert run.analysis.verdict is Verdict.INCONCLUSIVE
    assert run.document.seal is not None
    assert stand.cluster.patches == 0


def test_an_api_server_that_goes_away_during_the_rollout_leaves_the_run_inconclusive(stand):
    stand.cluster.told = lambda what, _: stand.cluster.go_away() if what == "created" else None
    run = stand.run(rollout_timeout_s=1)

    assert run.analysis.exit_code == 3
    assert "the replacement had not ended after 1 s" in run.reasons
    assert run.answered == stand.target.answered


def test_changes_that_were_missed_while_the_api_server_was_away_are_a_gap_and_no_grace(stand):
    """It comes back when the old pods are gone: nobody saw how they ended."""

    def told(what, _):
        if what == "created":
            stand.cluster.go_away()
        elif what == "gone" and len(stand.cluster.serving_pods()) == stand.cluster.replicas:
            stand.cluster.forget_changes()
            stand.cluster.come_back()

    stand.cluster.told = told
    run = stand.run()

    assert run.said.stages[-1] is Stage.TAIL
    assert any(gap.resource == "pods" and gap.relisted for gap in run.document.of(WatchGap))
    assert run.analysis.verdict is Verdict.INCONCLUSIVE, run.analysis.headline


def test_a_watch_that_resumes_where_it_was_cut_loses_nothing(stand):
    stand.cluster.told = lambda what, _: stand.cluster.hang_up() if what == "deleted" else None
    run = stand.run()

    assert run.analysis.verdict is Verdict.GRACEFUL, run.reasons


def test_a_restart_that_is_forbidden_after_all_ends_the_run(stand):
    stand.cluster.on_patch = "deny"
    run = stand.run()

    assert isinstance(run.finished.failure, ClusterDenied)
    assert run.finished.failure.exit_code == 4
    assert "cannot patch" in str(run.finished.failure)
    assert run.document.seal is not None
    assert run.analysis.verdict is Verdict.INCONCLUSIVE


def test_what_cannot_be_watched_is_named_and_the_run_goes_on(stand):
    stand.cluster.refuse = {"events": 403}
    run = stand.run()

    assert any("events cannot be watched (forbidden)" in note for note in run.notes)
    assert run.analysis.counts.failed == 0
    assert run.said.stages[-1] is Stage.TAIL


class TestNoAnswerToTheRestart:
    """Whether it began is not known then; it is read from the Deployment, or said."""

    def test_a_restart_that_was_taken_though_its_answer_was_lost_is_observed_as_any_other(self, stand):
        stand.cluster.on_patch = "lose answer"
        run = stand.run()

        assert run.action.succeeded
        assert "the Deployment carries its stamp" in run.action.message
        assert any("gave no clear answer" in note for note in run.notes)
        assert run.analysis.verdict is Verdict.GRACEFUL, run.reasons

    def test_an_api_server_that_comes_back_later_is_waited_for(self, stand):
        stand.cluster.on_patch = "lose answer"
        stand.cluster.told = lambda what, _: stand.cluster.go_away_for(0.2) if what == "patched" else None
        run = stand.run()

        assert run.action.succeeded
        assert run.said.stages[-1] is Stage.TAIL

    @pytest.mark.parametrize("how", ["lose", "time out"])
    def test_a_restart_of_which_no_trace_is_found_is_said_to_be_unknown_and_never_graceful(self, stand, how):
        stand.cluster.on_patch = how
        run = stand.run()

        assert run.action.status is None
        assert not run.action.succeeded
        assert any(note.startswith("it is not known whether the restart began") for note in run.notes)
        assert run.analysis.exit_code == 3
        assert "it is not known whether the restart began" in run.analysis.headline
        assert run.finished.failure is None
        assert stand.cluster.patches == 1

    def test_the_load_goes_on_meanwhile(self, stand):
        stand.cluster.on_patch = "lose"
        run = stand.run()

        replacement = run.analysis.timeline.stages[Stage.REPLACEMENT]
        assert replacement.length >= 0.5e9
        assert sum(i.ok for i in run.analysis.timeline.intervals if i.stage is Stage.REPLACEMENT) > 10
