"""The early life of new pods: modes 7, 8, 19, and where each must keep silent."""

from __future__ import annotations

import pytest

from rollcheck.facts.attempts import Lane, Outcome, Phase
from rollcheck.facts.cluster import Probe
from tests.analyze.builders import Story, pod_spec
from tests.analyze.causes.told import cause, container, modes, told

AWAIT = Phase.AWAIT
BARE = pod_spec(readiness=None)


def bare(*, drains: float = 6.0, code: int = 0, **kwargs) -> Story:
    """New pods without readiness probe join at 11.1 and 12.1; the old ones drain for `drains` seconds after that."""
    story = Story(qps=40, spec=BARE, **kwargs).pods(2).restart(at=10)
    story.new_pod("new-1", created=10.1).new_pod("new-2", created=11.1)
    story.delete("old-1", at=11.2, exit_after=drains, code=code).delete("old-2", at=12.2, exit_after=drains, code=code)
    return story.end(at=45)


def broken(**kwargs) -> Story:
    """A graceful rollout of two pods."""
    return Story(qps=40, **kwargs).graceful_rollout(10.0, pods=2).end(at=45)


# 7


def test_refusals_from_the_joining_of_a_new_pod_without_readiness_probe_are_its_start():
    assert modes(bare(named=False).lose(Lane.FRESH, 11.2, 17.0)) == {7: 116}


def test_refusals_of_a_pod_that_has_answered_are_not_its_start():
    assert modes(bare().lose(Lane.FRESH, 20.0, 20.5)) == {-1: 10}


def test_refusals_are_the_start_of_a_pod_only_while_they_follow_each_other():
    story = bare(named=False).lose(Lane.FRESH, 11.2, 13.0).lose(Lane.FRESH, 22.0, 22.5)

    assert modes(story) == {7: 36, -1: 10}


def test_with_a_readiness_probe_refusals_are_not_a_missing_one():
    story = Story(qps=40, named=False).graceful_rollout(10.0, pods=2).end(at=45)

    assert 7 not in modes(story.lose(Lane.FRESH, 12.3, 13.0))


def test_a_startup_probe_holds_a_pod_back_as_well():
    spec = pod_spec(readiness=None)
    held = spec.containers[0].__class__(name="web", image="i", ports=(8080,), startup=Probe(kind="http"))
    story = bare(named=False)
    for name in ("new-1", "new-2"):
        story.change(name, spec=spec.__class__(grace_s=30, containers=(held,)))

    assert 7 not in modes(story.lose(Lane.FRESH, 11.2, 17.0))


def test_the_fix_of_a_missing_readiness_probe_asks_the_port_of_the_container():
    probe = container(cause(bare(named=False).lose(Lane.FRESH, 11.2, 17.0), 7).fix)["readinessProbe"]

    assert probe["httpGet"] == {"path": "/", "port": 8080}


def test_refusals_at_both_an_immediate_exit_and_a_silent_start_are_claimed_once_and_both_are_named():
    story = bare(drains=0.2, code=143, named=False).lose(Lane.FRESH, 11.2, 19.0)
    causes, left = told(story)

    assert left == ()
    assert causes[0].mode == 7
    assert [mode for mode, _ in causes[0].competing] == [1]


def test_an_immediate_exit_of_pods_without_readiness_probe_whose_new_pods_listen_at_once_stays_one():
    story = bare(drains=0.2, code=143).lose(Lane.FRESH, 11.4, 11.6).lose(Lane.FRESH, 12.4, 12.6)

    assert list(modes(story)) == [1]


def test_refusals_through_an_ingress_are_bad_gateways_and_the_same_mode():
    story = bare(named=False, header={"route": "ingress"})
    story.lose(Lane.FRESH, 11.2, 17.0, AWAIT, Outcome.BAD_STATUS, status=502)

    assert modes(story) == {7: 116}


# 19


def bad(story: Story, start: float, end: float, **fields) -> Story:
    values = {"status": 500, "every": 5, **fields}
    return story.lose(Lane.FRESH, start, end, AWAIT, Outcome.BAD_STATUS, **values)


def test_five_hundreds_that_go_on_in_the_tail_are_the_new_versions():
    assert modes(bad(broken(), 13.0, 45.0)) == {19: 128}


def test_five_hundreds_that_go_on_in_the_tail_need_no_pod_names():
    assert modes(bad(broken(named=False), 13.0, 45.0)) == {19: 128}


def test_named_five_hundreds_of_new_pods_are_counted_by_pod():
    story = bad(broken(), 13.0, 45.0, pod="new-1", pod_from="response")

    assert "answered by new pods: new-1 128; none of this kind by an old pod" in cause(story, 19).evidence


def test_five_hundreds_of_a_named_old_pod_before_its_end_are_not_the_new_versions():
    story = bad(broken(), 11.0, 12.0, pod="old-2", pod_from="response")

    assert modes(story) == {-1: 4}


def test_five_hundreds_as_frequent_before_the_rollout_are_not_the_new_versions():
    assert modes(bad(broken(), 1.0, 45.0)) == {0: 176}


def test_a_wrong_body_that_goes_on_is_the_new_version_too():
    story = broken().lose(Lane.FRESH, 13.0, 45.0, AWAIT, Outcome.WRONG_BODY, every=5, status=200)

    assert modes(story) == {19: 128}


def test_through_an_ingress_five_hundreds_are_still_the_new_versions():
    assert modes(bad(broken(named=False, header={"route": "ingress"}), 13.0, 45.0)) == {19: 128}


def test_bad_gateways_that_go_on_after_the_rollout_are_not_taken_for_pods_ends():
    story = broken(named=False, header={"route": "ingress"})

    assert modes(bad(story, 13.0, 45.0, status=502)) == {19: 128}


def test_bad_gateways_that_are_much_denser_at_a_pods_end_are_split():
    story = Story(qps=40, named=False, header={"route": "ingress"}).pods(1).restart(at=10)
    story.new_pod("new-1", created=10.1, ready=12.0).delete("old-1", at=12.1, exit_after=0.2, code=143).end(at=45)
    bad(story, 12.2, 13.0, status=502, every=1)
    found = modes(bad(story, 20.0, 45.0, status=502, every=10))

    assert found == {19: 50, 1: 16}


def test_resets_and_a_broken_new_version_at_once_are_told_apart():
    story = broken().fail(Lane.REUSED, 18.19, AWAIT, Outcome.RESET, took=0.01, pod="old-1", connection=3)

    assert modes(bad(story, 19.0, 45.0)) == {19: 104, 6: 1}


# 8


def test_bad_answers_in_the_first_seconds_of_a_named_new_pod_came_too_early():
    story = bad(broken(), 12.3, 15.0, pod="new-1", pod_from="response")

    assert list(modes(story)) == [8]
    assert cause(story, 8).confidence == "medium"


def test_time_outs_in_the_first_seconds_of_a_named_new_pod_came_too_early():
    story = broken().fail(Lane.REUSED, 13.0, AWAIT, Outcome.TIMEOUT, took=5.0, pod="new-1")

    assert modes(story) == {8: 1}


def test_without_names_bad_answers_just_after_joining_are_attributed_with_low_confidence():
    story = bad(broken(named=False), 12.3, 14.0)

    assert cause(story, 8).confidence == "low"


def test_a_bad_answer_of_a_pod_that_is_no_longer_young_did_not_come_too_early():
    story = broken().fail(Lane.FRESH, 30.0, AWAIT, Outcome.BAD_STATUS, status=500, pod="new-1", pod_from="response")

    assert 8 not in modes(story)


def test_a_tcp_probe_that_was_content_too_early_is_replaced_by_one_that_asks():
    story = bad(broken(spec=pod_spec(readiness=Probe(kind="tcp", detail="8080"))), 12.3, 14.0)

    assert container(cause(story, 8).fix)["readinessProbe"]["tcpSocket"] is None


@pytest.mark.parametrize("kind", ["http", "grpc"])
def test_a_probe_that_asks_already_is_not_replaced(kind):
    story = bad(broken(spec=pod_spec(readiness=Probe(kind=kind))), 12.3, 14.0)

    assert cause(story, 8).fix == ""
