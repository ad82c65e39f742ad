"""Runs that come to their end by themselves, and what they say: `execute` with everything behind it real but kubelets.

Every count is checked against the server's own.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollcheck.analyze.model import Verdict
from rollcheck.errors import ClusterDenied, TargetUnreachable, UsageError
from rollcheck.facts.attempts import Stage
from rollcheck.facts.cluster import PodSeen
from rollcheck.record import read_document
from rollcheck.run import lanes_of

pytestmark = pytest.mark.loopback


def during_the_replacement(stand, begin, end):
    """Have `begin` called at the first old pod's deletion, and `end` when the last of them is gone."""
    happened = []

    def told(what, _):
        happened.append(what)
        if what == "deleted" and happened.count("deleted") == 1:
            begin()
        elif what == "gone" and happened.count("gone") == stand.cluster.replicas:
            end()

    stand.cluster.told = told


def test_a_restart_that_nobody_notices_is_graceful_and_counted_as_the_server_did(stand):
    run = stand.run()

    assert (run.analysis.verdict, run.analysis.exit_code) == (Verdict.GRACEFUL, 0), run.reasons
    assert run.answered == stand.target.answered
    assert run.analysis.counts.scheduled == run.analysis.counts.ok > 20
    assert run.said.stages == [Stage.BASELINE, Stage.REPLACEMENT, Stage.TAIL]
    assert stand.cluster.patches == 1


def test_what_is_on_disk_is_what_was_analysed(stand):
    run = stand.run()

    assert read_document(run.finished.folder) == run.document
    assert run.document.seal is not None
    assert run.document.header.pod_header == "x-pod-name"


def test_requests_that_the_server_resets_while_pods_go_are_lost_exactly_as_often_as_it_did(stand):
    def resetting(on):
        stand.target.resetting = on

    during_the_replacement(stand, lambda: resetting(True), lambda: resetting(False))
    run = stand.run()

    assert (run.analysis.verdict, run.analysis.exit_code) == (Verdict.NOT_GRACEFUL, 1), run.reasons
    assert run.lost.keys() == {"await/reset"}
    assert run.analysis.counts.failed + run.analysis.counts.probes_failed == stand.target.reset > 0
    assert run.answered == stand.target.answered


def test_connections_that_are_refused_while_pods_go_are_lost_and_the_others_are_not(stand):
    during_the_replacement(stand, stand.target.refuse, stand.target.listen)
    run = stand.run()

    assert (run.analysis.verdict, run.analysis.exit_code) == (Verdict.NOT_GRACEFUL, 1), run.reasons
    assert run.lost["connect/refused"] > 0
    assert run.analysis.by_outcome["reused"].keys() == {"ok"}
    assert run.answered == stand.target.answered


def test_a_target_that_fails_before_anything_is_replaced_is_left_alone(stand):
    def resetting(stage):
        stand.target.resetting = stage is Stage.BASELINE

    stand.said.on_stage = resetting
    run = stand.run()

    assert run.analysis.exit_code == 3
    assert "requests failed before anything was replaced (most often await/reset)" in run.reasons
    assert "left alone" in run.reasons
    assert stand.cluster.patches == 0
    assert run.said.stages == [Stage.BASELINE]


def test_a_target_too_slow_for_the_rate_is_left_alone_and_the_rate_named(stand):
    stand.said.on_stage = lambda _: setattr(stand.target, "delay_s", 0.3)
    run = stand.run(load=replace(stand.plan().load, lanes=lanes_of(50, 1, 0.1)))

    assert run.analysis.exit_code == 3
    assert "requests per second asked for" in run.reasons
    assert "--qps" in run.reasons
    assert stand.cluster.patches == 0


def test_without_a_baseline_the_replacement_begins_at_once(stand):
    run = stand.run(baseline_s=0)

    assert run.said.stages == [Stage.BASELINE, Stage.REPLACEMENT, Stage.TAIL]
    assert run.analysis.counts.failed == 0
    assert stand.cluster.patches == 1


def test_a_rollout_whose_pods_cannot_start_is_stuck_and_inconclusive(stand):
    stand.cluster.stuck = "ImagePullBackOff"
    run = stand.run()

    assert run.analysis.exit_code == 3
    assert "the rollout is stuck: container web of pod" in run.reasons
    assert "ImagePullBackOff" in run.reasons
    assert Stage.TAIL not in run.said.stages


def test_an_old_pod_that_does_not_go_ends_the_wait_at_its_time(stand):
    stand.cluster.end_s = 60
    run = stand.run(rollout_timeout_s=0.8)

    assert run.analysis.exit_code == 3
    assert "the replacement had not ended after 0.8 s: 2 of 2 old pods left" in run.reasons
    assert run.answered == stand.target.answered


def test_the_load_is_held_until_the_last_old_pod_is_gone(stand):
    stand.cluster.end_s = 0.6
    run = stand.run()

    gone = max(pod.seen_ns for pod in run.document.of(PodSeen) if pod.change == "deleted")
    last = max(interval.end_ns for interval in run.analysis.timeline.intervals)
    assert last - gone >= 0.2e9
    assert run.analysis.exit_code == 0, run.reasons


def test_an_evicted_pod_that_nobody_collects_does_not_hold_the_run(stand):
    stand.cluster.add_evicted_pod()
    run = stand.run(rollout_timeout_s=5)

    assert run.said.stages[-1] is Stage.TAIL


def test_a_deployment_that_is_deleted_meanwhile_is_said(stand):
    stand.cluster.told = lambda what, _: stand.cluster.delete_deployment() if what == "deleted" else None
    run = stand.run()

    assert run.analysis.exit_code == 3
    assert "the rollout is stuck: deployment/web was deleted" in run.reasons


def test_a_pod_that_is_killed_at_the_end_of_its_grace_is_not_graceful(stand):
    stand.cluster.exit_code, stand.cluster.end_s, stand.cluster.grace_s = 137, 1.1, 1
    run = stand.run()

    assert run.analysis.exit_code == 1, run.reasons
    assert "killed" in run.analysis.headline


class TestRefusedBeforehand:
    """Nothing is written and nothing changed."""

    @pytest.fixture(autouse=True)
    def nothing(self, stand):
        yield
        assert stand.cluster.patches == 0
        assert not (stand.folder / "out").exists()

    def test_a_missing_right_is_named(self, stand):
        stand.cluster.forbidden = {("patch", "deployments")}
        with pytest.raises(ClusterDenied, match=r"alice may not .*patch deployments \(a restart is a patch of it\)"):
            stand.run()

    def test_an_unknown_deployment_is_named(self, stand):
        with pytest.raises(UsageError, match="no deployment 'wbe' in namespace 'default'; did you mean 'web'"):
            stand.run(deploy="wbe")

    def test_a_workload_that_is_not_fit_is_named_once(self, stand):
        stand.cluster.deployment["spec"]["paused"] = True
        with pytest.raises(UsageError, match="paused") as refused:
            stand.run()
        assert str(refused.value).count("default") == 1

    def test_a_url_that_does_not_answer_is_named_with_the_reason(self, stand):
        stand.target.refuse()
        with pytest.raises(TargetUnreachable, match=rf"{stand.target.url}.*refused"):
            stand.run()
        stand.target.listen()

    def test_a_url_whose_answers_are_no_good_is_named_with_the_last(self, stand):
        stand.target.status = 503
        with pytest.raises(TargetUnreachable, match="503"):
            stand.run()

    def test_answers_that_are_good_only_now_and_then_are_no_row(self, stand):
        statuses = iter([200] + [200, 503] * 20)

        def pick():
            stand.target.status = next(statuses)
            return ""

        stand.target.pick = pick
        with pytest.raises(TargetUnreachable, match=r"did not give 2 good answers in a row.*503"):
            stand.run()

    def test_a_namespace_in_production_is_not_touched_without_a_word(self, stand):
        def no(context, namespace):
            raise UsageError(f"{context} {namespace}")

        with pytest.raises(UsageError, match="dev default"):
            stand.run(confirm=no)
