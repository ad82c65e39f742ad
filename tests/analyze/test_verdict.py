"""What makes a run graceful, not graceful or inconclusive: one story each."""

from dataclasses import replace

import pytest

from rollcheck.analyze.analysis import analyse
from rollcheck.analyze.model import Analysis, Verdict
from rollcheck.facts.actions import Action
from rollcheck.facts.attempts import Interval, Lane, Outcome, Phase
from rollcheck.facts.clock import MILLISECOND
from rollcheck.facts.cluster import PodSeen
from rollcheck.facts.connections import ClosedBy
from rollcheck.facts.document import Document
from tests.analyze.builders import Story, pod_spec

GRACEFUL, NOT_GRACEFUL, INCONCLUSIVE = Verdict.GRACEFUL, Verdict.NOT_GRACEFUL, Verdict.INCONCLUSIVE


def good(pods: int = 2, **options) -> Story:
    return Story(qps=40, **options).graceful_rollout(pods=pods).end(at=35)


def deployed(*, status: int | None) -> Story:
    story = Story(qps=40).pods(1).command("make deploy", at=11, until=12, status=status)
    return story.new_pod("new-1", created=12).delete("old-1", at=14, exit_after=2).end(at=35)


def abrupt(**options) -> Story:
    """Two pods that exit at once and lose requests on new connections for 0.6 s each."""
    story = Story(qps=100, **options).pods(2).restart(at=11)
    for number in (1, 2):
        at = 10.5 + number * 3
        story.new_pod(f"new-{number}", created=at - 2, ready=at - 0.1)
        story.delete(f"old-{number}", at=at, exit_after=0.1, code=143, serves_for=0.05)
        story.lose(Lane.FRESH, at + 0.15, at + 0.75, every=3)
    return story.end(at=35)


def judged(story: Story | Document, **options) -> Analysis:
    analysis = analyse(story if isinstance(story, Document) else story.document(**options))
    codes = {GRACEFUL: {0}, NOT_GRACEFUL: {1}, INCONCLUSIVE: {3, 130}}

    assert analysis.exit_code in codes[analysis.verdict]
    assert bool(analysis.reasons) == (analysis.verdict is INCONCLUSIVE)
    return analysis


class TestGraceful:
    def test_a_rollout_that_loses_nothing_and_ends_in_good_order_is_graceful(self):
        found = judged(good())

        assert found.verdict is GRACEFUL
        assert found.headline == (
            "None of 960 requests was lost while 2 pods were replaced, and every pod ended within its grace."
        )

    def test_a_command_that_ends_well_is_as_good_as_a_restart(self):
        assert judged(deployed(status=0)).verdict is GRACEFUL

    def test_idle_connections_that_the_server_closed_are_a_fact_and_no_loss(self):
        story = good().connection(1, opened=2, closed=15, by=ClosedBy.PEER_IDLE)
        story.connection(2, opened=2, closed=16, by=ClosedBy.PEER_ANNOUNCED)
        found = judged(story)

        assert found.verdict is GRACEFUL
        assert "1 reused connection closed by the server while idle: no request was lost" in found.observations
        assert any("Connection: close" in o for o in found.observations)

    def test_failures_of_the_baseline_alone_are_not_the_replacements(self):
        found = judged(good().fail(Lane.REUSED, 5, Phase.AWAIT, Outcome.RESET))

        assert found.verdict is GRACEFUL
        assert found.counts.failed == 1

    def test_deleting_some_pods_replaces_only_those(self):
        story = Story(qps=40).pods(3).command("kubectl delete pod old-1", at=11, until=14)
        story.delete("old-1", at=11.1, exit_after=2).new_pod("again", created=11.2, template_hash="aaaa")

        assert judged(story.end(at=35)).verdict is GRACEFUL

    def test_a_watch_that_resumed_without_loss_hides_nothing(self):
        assert judged(good().gap(14, 14.5, relisted=False)).verdict is GRACEFUL

    def test_a_note_that_is_not_fatal_is_a_blind_spot(self):
        found = judged(good().note("events may not be read", at=1, topic="permission"))

        assert found.verdict is GRACEFUL
        assert "events may not be read" in found.blind

    def test_a_missing_baseline_is_a_blind_spot(self):
        document = good(baseline_from=0.0).document()
        facts = tuple(f for f in document.facts if getattr(f, "stage", None) != "baseline" or isinstance(f, Interval))

        assert any(b.startswith("baseline:") for b in judged(replace(document, facts=facts)).blind)

    def test_a_pod_without_exit_code_that_went_well_before_its_grace_ended_by_itself(self):
        assert judged(without_exits(good().document())).verdict is GRACEFUL

    def test_the_sandbox_says_so(self):
        assert any("sandbox" in o for o in judged(good(header={"sandbox": True})).observations)

    def test_lost_killing_events_are_a_blind_spot(self):
        story = good().change("old-1", killing=None)

        assert any("Killing" in b for b in judged(story).blind)


class TestNotGraceful:
    def test_lost_attempts_are_counted_exactly(self):
        found = judged(abrupt())

        assert found.verdict is NOT_GRACEFUL
        assert found.headline == (
            "20 of 2,400 requests were lost in 2 outages of at most 0.6 s while 2 pods were replaced."
        )
        assert sum(c.attempts for c in found.causes) + len(found.unattributed) == 20

    def test_one_lost_attempt_is_enough(self):
        found = judged(good(pods=1).fail(Lane.REUSED, 13.3, Phase.AWAIT, Outcome.RESET, pod="old-1"))

        assert found.verdict is NOT_GRACEFUL
        assert found.headline.startswith("1 of 960 requests was lost in 1 outage of at most ")

    def killed(self) -> Story:
        story = Story(qps=40, spec=pod_spec(grace=5)).pods(1).restart(at=11).new_pod("new-1", created=11.5)
        return story.delete("old-1", at=13, exit_after=5.1, code=137).end(at=35)

    def test_a_pod_killed_at_the_end_of_its_grace_is_not_graceful_even_with_nothing_in_flight(self):
        found = judged(self.killed())

        assert found.verdict is NOT_GRACEFUL
        assert found.headline == (
            "No request was lost while 1 pod was replaced, but 1 pod did not end within 5 s and was killed."
        )

    def test_the_headline_says_when_it_was_both(self):
        found = judged(self.killed().fail(Lane.REUSED, 18.05, Phase.AWAIT, Outcome.RESET, pod="old-1"))

        assert found.headline.endswith("while 1 pod was replaced; 1 pod did not end within 5 s and was killed.")

    def test_pods_with_different_graces_are_killed_at_the_end_of_their_grace(self):
        story = Story(qps=40, spec=pod_spec(grace=5)).pods(2).restart(at=11).new_pod("new-1", created=11.5)
        story.delete("old-1", at=13, exit_after=5.1, code=137)
        story.delete("old-2", at=14, exit_after=3.1, code=137, grace=3).end(at=35)

        assert "2 pods did not end within its grace and were killed" in judged(story).headline

    def test_losses_stand_beside_a_rollout_that_never_finished(self):
        found = judged(abrupt().note("rollout did not complete within 5m0s", at=34, fatal=True))

        assert found.verdict is NOT_GRACEFUL
        assert "rollout did not complete within 5m0s" in found.observations

    def test_losses_stand_beside_a_command_that_failed(self):
        document = abrupt().document()
        facts = tuple(
            replace(f, kind="command", status=1, description="make") if isinstance(f, Action) else f
            for f in document.facts
        )
        found = judged(replace(document, facts=facts))

        assert found.verdict is NOT_GRACEFUL
        assert "the command ended with code 1 (make)" in found.observations

    def test_losses_that_a_generator_fault_does_not_explain_stand_with_the_caveat(self):
        found = judged(abrupt().health(25, stall_ns=2000 * MILLISECOND))

        assert found.verdict is NOT_GRACEFUL
        assert any("stood still" in o for o in found.observations)

    def test_refusals_stand_though_the_target_was_failing_otherwise_before(self):
        found = judged(abrupt().lose(Lane.REUSED, 2, 10, Phase.AWAIT, Outcome.BAD_STATUS, every=40, status=500))

        assert found.verdict is NOT_GRACEFUL

    def test_losses_beyond_the_kept_lines_are_counted_beside_those_that_stand(self):
        document = abrupt().document()
        facts = list(document.facts)
        at = next(
            i
            for i, f in enumerate(facts)
            if isinstance(f, Interval) and f.lane is Lane.FRESH and f.failed and f.ok >= 5
        )
        facts[at] = replace(facts[at], ok=facts[at].ok - 5, failed=facts[at].failed + 5, unlisted=5)

        assert judged(replace(document, facts=tuple(facts))).headline.startswith("25 of 2,400 requests were lost")

    def test_a_new_version_that_answers_500_is_not_graceful(self):
        story = good(pods=1).lose(Lane.FRESH, 14, 34, Phase.AWAIT, Outcome.BAD_STATUS, every=5, status=500, pod="new-1")

        assert judged(story).verdict is NOT_GRACEFUL


def without_exits(document: Document) -> Document:
    """The pods' exit codes were never seen."""

    def running(fact: PodSeen) -> PodSeen:
        state = "running" if fact.containers[0].state == "terminated" else fact.containers[0].state
        return replace(fact, containers=(replace(fact.containers[0], state=state, exit_code=None, finished_at=""),))

    return replace(document, facts=tuple(running(f) if isinstance(f, PodSeen) else f for f in document.facts))


class TestInconclusive:
    @pytest.mark.parametrize(
        ("story", "reason"),
        [
            (Story(qps=40).pods(2).end(at=20), "nothing was asked of the cluster"),
            (Story(qps=40).pods(2).restart(at=11).end(at=30), "no pod was replaced"),
            (Story(qps=40).restart(at=11).end(at=30), "no pod was seen"),
            (
                Story(qps=40).pods(2).restart(at=11, status=403, message="forbidden").end(at=30),
                "was not accepted: forb",
            ),
            (deployed(status=2), "the command ended with code 2 (make deploy)"),
            (deployed(status=None), "the command did not end by itself (make deploy)"),
            (good().note("rollout did not complete within 5m0s", at=34, fatal=True), "rollout did not complete"),
            (good().change("old-2", gone=None), "old-2 was still ending when the run was over"),
            (
                good().change("old-2", deleted=None, killing=None, exited=None, gone=None, endpoint_out=None),
                "the rollout did not finish: old-2 of the old template was never replaced",
            ),
            (
                good().new_pod("new-3", created=20, never_ready="CrashLoopBackOff"),
                "1 new pod never became ready (new-3: CrashLoopBackOff)",
            ),
            (good().end(at=35, load_until=10.5), "no request was sent while pods were replaced"),
            (good().gap(13, 15), "the watch of pods was blind for 2.0 s"),
            (good().health(20, stall_ns=2000 * MILLISECOND), "the generator stood still"),
            (
                good().lose(Lane.FRESH, 20, 20.5, outcome=Outcome.DROPPED, sent_ns=None, detail="EADDRNOTAVAIL"),
                "this machine could not send 10 requests",
            ),
            (
                good().lose(Lane.REUSED, 20, 20.5, outcome=Outcome.DROPPED, sent_ns=None, detail="no_connection"),
                "10 requests found no free connection",
            ),
            (
                good().lose(Lane.REUSED, 2, 34, Phase.AWAIT, Outcome.BAD_STATUS, every=30, status=500),
                "as frequent without any replacement",
            ),
            (
                good().lose(Lane.REUSED, 1, 34, Phase.AWAIT, Outcome.TIMEOUT, every=2, took=5.0),
                "requests failed before anything was replaced",
            ),
            (
                Story(qps=40).pods(2).restart(at=11).fail(Lane.FRESH, 20, Phase.CONNECT, Outcome.REFUSED).end(at=30),
                "1 request failed although no pod went or came",
            ),
            (
                good().health(13, stall_ns=2000 * MILLISECOND).fail(Lane.FRESH, 13.5, Phase.AWAIT, Outcome.TIMEOUT),
                "this machine's own trouble explains",
            ),
        ],
    )
    def test_a_run_that_proves_nothing_says_why(self, story, reason):
        found = judged(story)

        assert found.verdict is INCONCLUSIVE
        assert any(reason in r for r in found.reasons), found.reasons

    def test_an_end_that_nobody_saw_may_have_been_a_kill(self):
        story = Story(qps=40, spec=pod_spec(grace=4)).pods(1).restart(at=11).new_pod("new-1", created=11.5)
        story.delete("old-1", at=13, exit_after=4.5).end(at=35)
        found = judged(without_exits(story.document()))

        assert found.verdict is INCONCLUSIVE
        assert any("how old-1 ended was not seen" in r for r in found.reasons)

    def test_where_not_even_the_grace_is_known_an_end_may_have_been_a_kill(self):
        document = without_exits(good(pods=1).document())
        facts = tuple(
            replace(f, spec=None, deletion_at="", deletion_grace_s=None) if isinstance(f, PodSeen) else f
            for f in document.facts
        )

        assert any("how old-1 ended was not seen" in r for r in judged(replace(document, facts=facts)).reasons)

    def test_a_restart_that_was_never_answered_is_no_replacement(self):
        document = Story(qps=40).pods(1).restart(at=11).end(at=30).document()
        facts = tuple(
            replace(f, status=None, ended_ns=None, message="no answer") if isinstance(f, Action) else f
            for f in document.facts
        )

        assert judged(replace(document, facts=facts)).reasons == ("no pod was replaced",)

    def test_the_race_with_an_idle_server_alone_neither_fails_nor_passes(self):
        story = good()
        for number, at in enumerate((5.0, 20.0, 31.0), 1):
            story.fail(Lane.REUSED, at, Phase.AWAIT, Outcome.RESET, connection=number)
            story.connection(number, opened=1, closed=at + 0.001, by=ClosedBy.PEER_IN_FLIGHT, idle_ns=5_001_000_000)
        found = judged(story)

        assert found.verdict is INCONCLUSIVE
        assert any("keep-alive race" in r for r in found.reasons), found.reasons

    def test_a_miscount_is_a_fault_of_ours(self):
        assert any("are accounted for" in r for r in judged(good(), miscount=1).reasons)

    def test_an_interrupted_run_ends_with_130_whatever_was_lost(self):
        found = judged(abrupt(), interrupted="SIGINT")

        assert (found.verdict, found.exit_code) == (INCONCLUSIVE, 130)
        assert found.headline.endswith("Until then 20 requests were lost.")

    def test_a_run_that_an_error_cut_short_ends_with_3(self):
        assert judged(good(), interrupted="ClusterUnreachable: no answer").exit_code == 3

    def test_an_unsealed_document_is_never_anything_else(self):
        found = judged(abrupt(), seal=False)

        assert (found.verdict, found.exit_code) == (INCONCLUSIVE, 3)
        assert found.reasons == ("the document is not sealed: the run was cut short (its end is missing)",)

    def test_a_damaged_document_says_where(self):
        document = replace(good().document(seal=False), damaged="line 9 and what may follow it cannot be read")

        assert "line 9" in judged(document).headline

    def test_a_reason_is_given_once(self):
        story = good().note("stuck", at=30, fatal=True).note("stuck", at=31, fatal=True)

        assert judged(story).reasons == ("stuck",)


class TestObservations:
    def test_slow_ends_and_restarts_are_said(self):
        story = Story(qps=20, spec=pod_spec(grace=60)).pods(1).restart(at=11).new_pod("new-1", created=11.5)
        story.change("new-1", restarts=[20.0]).delete("old-1", at=13, exit_after=40).end(at=70)
        found = judged(story).observations

        assert any("1 pod took up to 40 s to end" in o or "1 pod took up to 41 s to end" in o for o in found)
        assert "containers restarted during the run in new-1" in found

    def test_what_was_under_way_at_the_end_is_said(self):
        story = good().fail(Lane.FRESH, 34.9, Phase.AWAIT, Outcome.ABANDONED, took=0.05)

        assert "1 request under way when the run ended are nobody's loss" in judged(story).observations
