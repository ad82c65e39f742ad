"""The whole of attribution: every attempt once, ranking, ingresses, what is left over."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollcheck.analyze.correlate import attribute
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.attempts import Lane, Outcome, Phase
from tests.analyze.builders import Story, pod_spec, sleep
from tests.analyze.causes.told import cause, modes, told

AWAIT = Phase.AWAIT
INGRESS = {"header": {"route": "ingress"}, "named": False}


def base(**kwargs) -> Story:
    story = Story(qps=40, **kwargs).pods(2).restart(at=10)
    return story.new_pod("new-1", created=10.1, ready=12.5).end(at=45)


def at_once() -> Story:
    return base(**INGRESS).delete("old-1", at=13.0, exit_after=0.2, code=143)


def after_prestop() -> Story:
    return base(spec=pod_spec(prestop=sleep(8)), **INGRESS).delete("old-1", at=13.0, exit_after=8.2, code=143)


def killed() -> Story:
    return base(spec=pod_spec(grace=8), **INGRESS).delete("old-1", at=13.0, exit_after=8.1, code=137)


def overrun() -> Story:
    spec = pod_spec(grace=8, prestop=sleep(8))
    return base(spec=spec, **INGRESS).delete("old-1", at=13.0, exit_after=10.1, code=137)


def hook_failed() -> Story:
    spec = pod_spec(prestop=sleep(8))
    return base(spec=spec, **INGRESS).delete("old-1", at=13.0, exit_after=0.3, code=143, prestop_failed_after=0.1)


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize(
    ("make", "at", "mode"),
    [
        (at_once, 13.3, 1),
        (at_once, 15.0, 1),
        (after_prestop, 21.1, 4),
        (killed, 21.05, 2),
        (overrun, 23.05, 9),
        (hook_failed, 13.4, 10),
    ],
)
def test_through_an_ingress_a_bad_gateway_has_the_cause_that_the_pod_had(
    make: Callable[[], Story], at: float, mode: int, status: int
):
    story = make().fail(Lane.REUSED, at, AWAIT, Outcome.BAD_STATUS, took=0.05, status=status)

    assert modes(story) == {mode: 1}


def test_through_an_ingress_a_page_instead_of_an_answer_is_a_bad_gateway_too():
    assert modes(at_once().fail(Lane.FRESH, 13.3, AWAIT, Outcome.WRONG_BODY, status=200)) == {1: 1}


def test_through_an_ingress_a_bad_gateway_far_from_any_end_is_left_over():
    assert modes(at_once().fail(Lane.FRESH, 30.0, AWAIT, Outcome.BAD_STATUS, status=502)) == {-1: 1}


def test_without_an_ingress_a_bad_gateway_is_the_apps_own_answer():
    story = base(named=False).delete("old-1", at=13.0, exit_after=0.2, code=143)

    assert 1 not in modes(story.fail(Lane.FRESH, 13.3, AWAIT, Outcome.BAD_STATUS, status=502))


def test_through_an_ingress_a_connection_names_no_pod():
    story = at_once().fail(Lane.REUSED, 13.3, AWAIT, Outcome.BAD_STATUS, status=502, pod="old-2")

    assert modes(story) == {1: 1}


def test_behind_an_ingress_it_is_not_claimed_to_know_which_connection_was_cut():
    story = after_prestop().fail(Lane.REUSED, 21.1, AWAIT, Outcome.BAD_STATUS, took=0.05, status=502)
    found = cause(story, 4)

    assert found.confidence == "medium"
    assert "cannot be seen" in dict(found.competing)[6]


def test_the_most_attempts_come_first():
    story = base().delete("old-1", at=13.0, exit_after=0.2, code=143).lose(Lane.FRESH, 13.2, 13.6)
    story.lose(Lane.FRESH, 25.0, 45.0, AWAIT, Outcome.BAD_STATUS, status=500, every=4)

    assert list(modes(story)) == [19, 1]


def test_a_cause_that_lost_nothing_comes_after_those_that_did():
    story = base().delete("old-1", at=13.0, exit_after=0.2, code=143).lose(Lane.FRESH, 13.2, 13.6)
    story.new_pod("new-2", created=13.1, ready=15.0).delete("old-2", at=15.1, exit_after=2.1, code=137, grace=2)

    assert [c.mode for c in told(story)[0]] == [1, 2]


def test_what_nobody_explains_comes_with_the_nearest_facts_in_words():
    story = base().delete("old-1", at=13.0, exit_after=0.2, code=0)
    _, left = told(story.fail(Lane.FRESH, 25.105))

    assert len(left[0].nearest) == 3
    assert any("pod old-1 was gone 11.40 s before" in fact for fact in left[0].nearest)


def test_what_lies_far_from_every_fact_says_so():
    story = Story(qps=10).pods(1).restart(at=10).end(at=200).tail(at=100)
    _, left = told(story.fail(Lane.FRESH, 180.0))

    assert left[0].nearest == ("nothing was seen in the cluster within 60 s of it",)


def test_a_graceful_rollout_has_no_cause():
    assert told(Story(qps=40).graceful_rollout(10.0, pods=2).end(at=45)) == ((), ())


def test_a_run_without_a_cluster_leaves_everything_over():
    assert modes(Story(qps=40).restart(at=10).fail(Lane.FRESH, 20.0).end(at=45)) == {-1: 1}


def test_the_measured_time_of_propagation_goes_into_the_patch():
    story = base().delete("old-1", at=13.0, exit_after=0.2, code=143).lose(Lane.FRESH, 13.2, 13.6)

    assert "seconds: 17" in cause(story, 1, prestop_s=17).fix


STORIES = (
    lambda: base().delete("old-1", at=13.0, exit_after=0.2, code=143),
    lambda: base(spec=pod_spec(prestop=sleep(5))).delete("old-1", at=13.0, exit_after=5.2, code=143),
    lambda: base(named=False, spec=pod_spec(readiness=None)).delete("old-1", at=13.0, exit_after=0.2, code=143),
    lambda: base(**INGRESS, strategy="Recreate").delete("old-1", at=13.0, exit_after=0.2).delete("old-2", at=13.0),
    lambda: base(spec=pod_spec(grace=8)).delete("old-1", at=13.0, exit_after=8.1, code=137),
    lambda: Story(qps=40).pods(1).restart(at=10).end(at=45),
)
ENDS = [
    (Phase.CONNECT, Outcome.REFUSED, 0),
    (Phase.CONNECT, Outcome.TIMEOUT, 0),
    (Phase.CONNECT, Outcome.UNREACHABLE, 0),
    (Phase.TLS, Outcome.TLS_FAILED, 0),
    (Phase.RESOLVE, Outcome.NOT_RESOLVED, 0),
    (Phase.SEND, Outcome.RESET, 0),
    (AWAIT, Outcome.RESET, 0),
    (AWAIT, Outcome.CLOSED_BEFORE_RESPONSE, 0),
    (AWAIT, Outcome.TIMEOUT, 0),
    (AWAIT, Outcome.PROTOCOL, 0),
    (AWAIT, Outcome.BAD_STATUS, 500),
    (AWAIT, Outcome.BAD_STATUS, 502),
    (AWAIT, Outcome.WRONG_BODY, 200),
    (Phase.BODY, Outcome.TRUNCATED_BODY, 200),
]
LOSS = st.tuples(
    st.sampled_from([Lane.REUSED, Lane.FRESH]),
    st.sampled_from(ENDS),
    st.integers(10, 440),
    st.sampled_from([0.001, 0.05, 3.0, 9.0]),
    st.sampled_from(["", "old-1", "old-2", "new-1", "nobody"]),
    st.sampled_from(["response", "connection"]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(number=st.integers(0, len(STORIES) - 1), losses=st.lists(LOSS, max_size=12))
def test_whatever_fails_every_attempt_is_claimed_exactly_once(number, losses):
    story = STORIES[number]()
    story.qps = 4
    for lane, (phase, outcome, status), tenths, took, pod, source in losses:
        fields = {"status": status, "pod": pod, "pod_from": source if pod else ""}
        story.fail(lane, tenths / 10, phase, outcome, took=took, **fields)

    told(story)


def test_the_same_facts_give_the_same_causes():
    story = base().delete("old-1", at=13.0, exit_after=0.2, code=143).lose(Lane.FRESH, 13.2, 14.5)

    assert attribute(build_timeline(story.document())) == attribute(build_timeline(story.document()))
