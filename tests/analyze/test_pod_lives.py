from dataclasses import replace

import pytest

from rollcheck.analyze.model import PodLife, Timeline
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.attempts import Lane, Outcome, Phase
from rollcheck.facts.clock import SECOND, Window
from rollcheck.facts.cluster import Change, ContainerState, PodSeen
from rollcheck.facts.document import Document
from tests.analyze.builders import Story, ns, pod_spec, sleep


def life(document: Document, name: str) -> PodLife:
    return next(p for p in build_timeline(document).pods if p.name == name)


def rewrite(document: Document, change) -> Document:
    facts = (change(f) if isinstance(f, PodSeen) else f for f in document.facts)
    return replace(document, facts=tuple(f for f in facts if f is not None))


def one_deleted(**how) -> Story:
    return Story(qps=20).pods(1).restart(at=5).new_pod("new-1", created=5.1).delete("old-1", **{"at": 7.4, **how})


class TestGenerations:
    def test_pods_there_at_the_trigger_are_old_and_later_ones_new(self):
        timeline = build_timeline(Story(qps=20).graceful_rollout(pods=2).end(at=30).document())

        assert [(p.name, p.generation) for p in timeline.pods] == [
            ("old-1", "old"),
            ("old-2", "old"),
            ("new-1", "new"),
            ("new-2", "new"),
        ]

    def test_a_pod_being_deleted_before_the_trigger_is_neither(self):
        story = Story(qps=20).pods(2).delete("old-2", at=3, exit_after=10).restart(at=5).end(at=30)

        assert life(story.document(), "old-2").generation == "other"

    def test_a_late_pod_of_the_replaced_template_is_old_when_the_template_changed(self):
        story = one_deleted().new_pod("late", created=5.3, template_hash="aaaa").end(at=30)

        assert life(story.document(), "late").generation == "old"

    def test_a_late_pod_of_the_same_template_is_new_when_pods_were_only_deleted(self):
        story = Story(qps=20).pods(2).command("kubectl delete pod old-1", at=5, until=6).delete("old-1", at=5.2)
        story.new_pod("again", created=5.3, template_hash="aaaa").end(at=30)

        assert life(story.document(), "again").generation == "new"

    def test_a_command_is_a_trigger_too(self):
        story = Story(qps=20).pods(1).command("make deploy", at=5, until=9).new_pod("new-1", created=6).end(at=30)
        timeline = build_timeline(story.document())

        assert timeline.trigger is not None
        assert timeline.trigger.description == "make deploy"
        assert [p.generation for p in timeline.pods] == ["old", "new"]

    def test_without_any_trigger_pods_are_old_unless_they_went(self):
        story = Story(qps=20).pods(2).delete("old-2", at=4).end(at=9)
        timeline = build_timeline(story.document())

        assert timeline.replacement is None
        assert [p.generation for p in timeline.pods] == ["old", "other"]

    def test_the_stage_begins_the_replacement_where_the_trigger_was_not_recorded(self):
        document = one_deleted().end(at=30).document()
        facts = tuple(f for f in document.facts if type(f).__name__ != "Action")

        timeline = build_timeline(replace(document, facts=facts))

        assert timeline.trigger is None
        assert timeline.replacement == Window(start=ns(5), end=ns(30))


class TestDeletion:
    def test_the_request_is_the_deletion_timestamp_minus_the_grace(self):
        pod = life(one_deleted(at=7.4).end(at=30).document(), "old-1")

        assert pod.deleted is not None
        assert pod.deleted.reported == Window(start=ns(7), end=ns(8))
        assert pod.deleted.seen_ns == ns(7.405)
        assert pod.grace_s == 30

    def test_a_grace_of_its_own_belongs_to_the_deletion(self):
        pod = life(one_deleted(grace=5).end(at=30).document(), "old-1")

        assert pod.grace_s == 5
        assert pod.deleted is not None
        assert pod.deleted.reported == Window(start=ns(7), end=ns(8))

    def test_the_last_delete_of_the_kubelet_with_grace_0_changes_nothing(self):
        def kubelet(fact: PodSeen) -> PodSeen:
            if fact.change is not Change.DELETED:
                return fact
            return replace(fact, deletion_grace_s=0, deletion_at="2026-01-15T12:00:09Z")

        pod = life(rewrite(one_deleted().end(at=30).document(), kubelet), "old-1")

        assert pod.grace_s == 30
        assert pod.deleted is not None
        assert pod.deleted.reported == Window(start=ns(7), end=ns(8))

    def test_a_deletion_first_seen_when_the_containers_had_ended_may_be_a_grace_older(self):
        def only_the_end(fact: PodSeen) -> PodSeen | None:
            if fact.change is Change.DELETED:
                return replace(fact, deletion_grace_s=0, deletion_at="2026-01-15T12:00:09Z")
            return None if fact.deletion_at else fact

        pod = life(rewrite(one_deleted().end(at=30).document(), only_the_end), "old-1")

        assert pod.deleted is not None
        assert pod.deleted.reported == Window(start=ns(9 - 30), end=ns(10))
        assert pod.grace_s == 30

    def test_a_forced_deletion_has_no_grace_and_no_exit(self):
        def forced(fact: PodSeen) -> PodSeen | None:
            running = fact.containers[0].state == "running"
            if fact.change is Change.DELETED:
                return replace(
                    fact,
                    deletion_grace_s=0,
                    deletion_at="2026-01-15T12:00:07Z",
                    containers=(ContainerState(name="web", ready=True, restarts=0, state="running"),),
                )
            return None if fact.deletion_at or (not running and fact.name == "old-1") else fact

        pod = life(rewrite(one_deleted().end(at=30).document(), forced), "old-1")

        assert pod.grace_s == 0
        assert pod.exits == ()
        assert not pod.killed

    def test_a_shortened_grace_is_the_one_in_force(self):
        story = one_deleted(exit_after=4.0, code=137).end(at=30)
        pods = [f for f in story.document().facts if isinstance(f, PodSeen) and f.deletion_at]
        shortened = replace(
            pods[0],
            seen_ns=pods[0].seen_ns + SECOND,
            deletion_grace_s=3,
            deletion_at="2026-01-15T12:00:10Z",
            resource_version="2500",
        )
        pod = life(story.add(shortened, at=8.5).document(), "old-1")

        assert pod.grace_s == 3
        assert pod.killed
        assert pod.deleted is not None
        assert pod.deleted.reported == Window(start=ns(7), end=ns(8))

    def test_a_time_that_is_no_time_leaves_what_we_saw(self):
        document = one_deleted().end(at=30).document()

        pod = life(rewrite(document, lambda f: replace(f, deletion_at=f.deletion_at and "soon")), "old-1")

        assert pod.deleted is not None
        assert pod.deleted.reported is None
        assert pod.deleted.earliest == ns(7.405)

    def test_an_object_that_went_without_a_timestamp_was_deleted_when_it_was_seen_gone(self):
        document = rewrite(one_deleted().end(at=30).document(), lambda f: replace(f, deletion_at=""))

        pod = life(document, "old-1")

        assert pod.deleted is not None
        assert pod.deleted.seen_ns == ns(8.905)
        assert pod.deleted.reported is None

    def test_a_vanished_pod_was_deleted_inside_the_gap(self):
        story = one_deleted().change("old-1", vanishes=True).gap(7.0, 8.9).end(at=30)

        pod = life(story.document(), "old-1")

        assert pod.vanished
        assert pod.deleted is not None
        assert pod.deleted.reported == Window(start=ns(7), end=ns(8.9))
        assert pod.exits == ()

    def test_a_vanished_pod_without_a_recorded_gap_was_deleted_after_it_was_last_seen(self):
        pod = life(one_deleted().change("old-1", vanishes=True).end(at=30).document(), "old-1")

        assert pod.deleted is not None
        assert pod.deleted.reported == Window(start=ns(0), end=ns(8.9))


class TestEnds:
    @pytest.mark.parametrize(
        ("grace", "prestop", "exit_after", "code", "reason", "killed"),
        [
            (30, None, 0.2, 0, "", False),
            (30, None, 0.2, 143, "", False),
            (10, None, 10.3, 137, "", True),
            (10, None, 12.2, 137, "", True),  # preStop ate the grace, two seconds are added
            (10, sleep(8), 20.2, 137, "", True),  # kubelets of 1.22 to 1.27 gave it twice
            (10, None, 9.2, 137, "", True),  # a node's clock is a second behind
            (10, None, 3.0, 137, "", False),  # something else killed it
            (10, None, 10.3, 137, "OOMKilled", False),
            (10, None, 10.3, 137, "ContainerStatusUnknown", False),
            (10, None, 9.9, 0, "", False),
            (1, None, 1.2, 137, "", True),
        ],
    )
    def test_killed_is_a_137_at_the_end_of_the_grace(self, grace, prestop, exit_after, code, reason, killed):
        story = Story(qps=20, spec=pod_spec(grace=grace, prestop=prestop)).pods(1).restart(at=5)
        story.delete("old-1", at=7.4, exit_after=exit_after, code=code, reason=reason).end(at=40)

        assert life(story.document(), "old-1").killed is killed

    def test_an_exit_is_a_bracket_with_code_and_reason(self):
        (end,) = life(one_deleted(exit_after=1.2, code=143).end(at=30).document(), "old-1").exits

        assert (end.container, end.code, end.reason) == ("web", 143, "Error")
        assert end.finished == Window(start=ns(8), end=ns(9))
        assert end.seen_ns == ns(8.605)

    def test_how_long_it_took_holds_the_truth_within_both_clocks(self):
        pod = life(one_deleted(exit_after=4.2).end(at=30).document(), "old-1")

        assert pod.took_s is not None
        assert pod.took_s[0] <= 4.2 <= pod.took_s[1]
        assert pod.took_s[1] - pod.took_s[0] <= 2

    def test_an_exit_without_its_time_is_bounded_by_when_it_was_seen(self):
        def unstamped(fact: PodSeen) -> PodSeen:
            return replace(fact, containers=tuple(replace(c, finished_at="") for c in fact.containers))

        pod = life(rewrite(one_deleted(exit_after=4.2).end(at=30).document(), unstamped), "old-1")

        assert pod.exits[0].finished is None
        assert pod.took_s is not None
        assert pod.took_s[0] == 0
        assert pod.took_s[1] >= 4.2

    def test_a_pod_still_ending_has_no_exit_and_is_not_gone(self):
        pod = life(one_deleted(exit_after=None).end(at=30).document(), "old-1")

        assert (pod.exits, pod.gone_ns, pod.took_s, pod.killed) == ((), None, None, False)

    def test_restarts_count_only_those_of_the_run(self):
        story = one_deleted().change("new-1", restarts=[9.0, 11.0]).end(at=30)
        document = rewrite(
            story.document(),
            lambda f: (
                replace(f, containers=tuple(replace(c, restarts=c.restarts + 7) for c in f.containers))
                if f.name == "old-1"
                else f
            ),
        )

        assert life(document, "new-1").restarts == 2
        assert life(document, "old-1").restarts == 0

    def test_a_failed_hook_keeps_its_message(self):
        pod = life(one_deleted(prestop_failed_after=0.3).end(at=30).document(), "old-1")

        assert pod.prestop_failed == "PreStopHook failed"

    def test_a_restart_by_the_liveness_probe_is_not_the_killing_of_a_deletion(self):
        story = one_deleted(killing_after=None)
        story.event(
            "Killing",
            at=7.5,
            uid="uid-old-1",
            name="old-1",
            message="Container web failed liveness probe, will be restarted",
        )

        assert life(story.end(at=30).document(), "old-1").killing is None

    def test_a_killing_long_before_the_deletion_is_not_its_own(self):
        story = one_deleted(killing_after=None).event(
            "Killing", at=3, uid="uid-old-1", message="Stopping container web"
        )

        assert life(story.end(at=30).document(), "old-1").killing is None

    def test_a_killing_delivered_a_moment_before_the_deletion_is(self):
        story = one_deleted(at=7.0, killing_after=None)
        story.event("Killing", at=6.99, uid="uid-old-1", message="Stopping container web", first_at="")

        killing = life(story.end(at=30).document(), "old-1").killing

        assert killing is not None
        assert killing.seen_ns == ns(6.995)

    def test_an_evicted_pod_bears_its_disruption(self):
        story = one_deleted().change("old-1", disruption="EvictionByEvictionAPI").end(at=30)

        assert life(story.document(), "old-1").disruption == "EvictionByEvictionAPI"


class TestBeginnings:
    def test_a_new_pod_listens_then_is_ready_then_is_in_the_endpoints(self):
        story = Story(qps=20).pods(1).restart(at=5).new_pod("new-1", created=5.1, listening=6.0, ready=8.0).end(at=30)
        pod = life(story.document(), "new-1")

        assert pod.listening is not None
        assert pod.listening.reported == Window(start=ns(6), end=ns(7))
        assert pod.ready == (Window(start=ns(8.005), end=ns(30)),)
        assert pod.in_endpoints == (Window(start=ns(8.025), end=ns(30)),)
        assert pod.unready_reason == ""

    def test_a_pod_that_never_starts_says_why(self):
        story = Story(qps=20).pods(1).restart(at=5).new_pod("new-1", created=5.1, never_ready="ImagePullBackOff")
        pod = life(story.end(at=30).document(), "new-1")

        assert pod.unready_reason == "ImagePullBackOff"
        assert (pod.listening, pod.ready) == (None, ())

    def test_a_pod_not_ready_for_no_container_reason_bears_its_conditions(self):
        story = Story(qps=20).pods(1).restart(at=5).new_pod("new-1", created=5.1, listening=6.0, ready=29.0).end(at=20)

        assert life(story.document(), "new-1").unready_reason == "ContainersNotReady"


class TestTraffic:
    def story(self) -> Story:
        return one_deleted(at=7.0, exit_after=3.0, serves_for=0.5).end(at=30)

    def test_last_answers_are_told_apart_by_the_use_of_the_connection(self):
        traffic = life(self.story().document(), "old-1").traffic

        assert traffic.last_ok_new_ns is not None
        assert traffic.last_ok_reused_ns is not None
        assert ns(7.2) < traffic.last_ok_new_ns < ns(7.5)
        assert ns(7.2) < traffic.last_ok_reused_ns < ns(7.5)

    def test_requests_met_while_ending_are_counted_from_the_deletion_on(self):
        story = self.story().fail(Lane.REUSED, 9.9, Phase.AWAIT, Outcome.RESET, pod="old-1", took=0.2)

        traffic = life(story.document(), "old-1").traffic

        assert traffic.failed == 1
        assert traffic.met_terminating is not None
        assert 3 <= traffic.met_terminating <= 11

    def test_one_answer_late_in_an_uncut_interval_proves_one_request_met(self):
        document = self.story().document()
        tallies = [f for f in document.facts if type(f).__name__ == "PodTally" and f.pod == "old-1"]
        whole = replace(tallies[0], start_ns=ns(1), end_ns=ns(8), last_ended_ns=ns(7.3))
        others = tuple(f for f in document.facts if f not in tallies)

        traffic = life(replace(document, facts=(*others, whole)), "old-1").traffic

        assert traffic.met_terminating == 1

    def test_where_responses_name_no_pod_exposure_is_not_known(self):
        story = Story(qps=20, named=False).graceful_rollout(pods=1).end(at=30)

        assert life(story.document(), "old-1").traffic.met_terminating is None

    def test_the_first_failures_are_those_after_the_deletion(self):
        story = self.story()
        for at in (3.0, 7.8, 8.4):
            story.fail(Lane.FRESH, at, peer="10.0.0.1:8080")
        story.fail(Lane.REUSED, 9.0, Phase.AWAIT, Outcome.RESET, pod="old-1")

        traffic = life(story.document(), "old-1").traffic

        assert traffic.first_fail_new_ns == ns(7.8)
        assert traffic.first_fail_reused_ns == ns(9.0)
        assert traffic.failed == 4

    def test_an_ipv6_peer_is_recognised(self):
        story = self.story().change("old-1", ip="fd00::7").fail(Lane.FRESH, 7.8, peer="[fd00::7]:8080")

        assert life(story.document(), "old-1").traffic.failed == 1

    def test_a_good_fresh_probe_tells_that_the_pod_still_answers_but_is_nobodys_request(self):
        story = self.story()
        before = life(story.document(), "old-1").traffic
        story.fail(Lane.FRESH, 8.0, Phase.AWAIT, Outcome.RESET, took=0.0)
        lost = next(f for f in story.document().facts if type(f).__name__ == "Attempt")
        probe = replace(lost, lane=Lane.PROBE, outcome=Outcome.OK, phase=Phase.BODY, pod="old-1", pod_from="response")
        traffic = life(story.add(probe, at=8.01).document(), "old-1").traffic

        assert traffic.last_ok_new_ns == ns(8.0)
        assert traffic.answered <= before.answered


def test_pods_are_ordered_by_first_sight_then_name():
    timeline: Timeline = build_timeline(Story(qps=20).pods(3).end(at=9).document())

    assert [p.name for p in timeline.pods] == ["old-1", "old-2", "old-3"]
