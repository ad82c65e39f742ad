from dataclasses import replace

import pytest

from rollcheck.analyze.model import Outage
from rollcheck.analyze.outages import find_outages, lane_spacing_ns, longest_and_number
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.attempts import Attempt, Interval, Lane, Outcome, Phase
from rollcheck.facts.clock import SECOND, Window
from rollcheck.facts.connections import ClosedBy
from tests.analyze.builders import Story, ns


def outages(story: Story) -> tuple[Outage, ...]:
    return find_outages(build_timeline(story.end(at=30).document()))


def story() -> Story:
    return Story(qps=100).graceful_rollout(pods=1)


def test_nothing_failed_is_no_outage():
    assert outages(story()) == ()


def test_a_total_outage_is_one_and_bounded_by_the_answers_on_both_sides():
    (outage,) = outages(story().lose(Lane.FRESH, 20, 21))

    assert (outage.attempts, outage.total, outage.full) == (50, 50, True)
    assert outage.window.length == pytest.approx(0.98 * SECOND, abs=1000)
    assert outage.bound.start < outage.window.start
    assert outage.window.end < outage.bound.end
    assert SECOND <= outage.bound.length <= 1.06 * SECOND
    assert outage.by_outcome == {"connect/refused": 50}


def test_known_answers_bound_it_closer_than_the_pace():
    (outage,) = outages(story().lose(Lane.FRESH, 20, 21))

    assert outage.bound.start == outage.window.start - 2 * SECOND // 100 or outage.bound.start > outage.window.start - (
        4 * SECOND // 100
    )


def test_two_failures_with_many_answers_between_are_two_outages():
    assert len(outages(story().fail(Lane.FRESH, 20).fail(Lane.FRESH, 22))) == 2


def test_one_pod_in_three_dead_is_one_outage_that_lets_some_through():
    (outage,) = outages(story().lose(Lane.FRESH, 20, 22, every=3))

    assert not outage.full
    assert outage.attempts == 34
    assert outage.total == 100


def test_lanes_have_outages_of_their_own():
    found = outages(story().lose(Lane.FRESH, 20, 21).lose(Lane.REUSED, 20.5, 21, Phase.AWAIT, Outcome.RESET, pod="p"))

    assert [(o.lane, o.pods) for o in found] == [(Lane.FRESH, ()), (Lane.REUSED, ("p",))]


def test_a_connect_time_out_is_placed_where_it_began():
    (outage,) = outages(story().lose(Lane.FRESH, 20, 20.2, outcome=Outcome.TIMEOUT, took=5.0))

    assert outage.window.end < ns(20.2)


def test_an_attempt_that_was_never_sent_is_no_outage():
    assert outages(story().lose(Lane.FRESH, 20, 21, outcome=Outcome.DROPPED, sent_ns=None)) == ()


def test_failures_beyond_the_kept_lines_join_and_blur_the_outage():
    document = story().lose(Lane.FRESH, 20, 22).end(at=30).document()
    facts = []
    for fact in document.facts:
        if isinstance(fact, Attempt) and ns(20.4) < fact.intended_ns < ns(21.5):
            continue
        if isinstance(fact, Interval) and fact.lane is Lane.FRESH and fact.start_ns in (ns(20), ns(21)):
            fact = replace(fact, unlisted=25)
        facts.append(fact)
    (outage,) = find_outages(build_timeline(replace(document, facts=tuple(facts))))

    assert outage.total is None
    assert not outage.full
    assert outage.bound.start < ns(20)
    assert outage.bound.end > ns(22)


def test_a_run_without_a_rate_still_groups_by_time():
    timeline = build_timeline(
        replace(
            (document := story().lose(Lane.FRESH, 20, 21).end(at=30).document()),
            header=replace(document.header, qps=0.0),
        )
    )

    assert lane_spacing_ns(timeline, Lane.FRESH) == SECOND // 10
    assert len(find_outages(timeline)) == 1


def test_outages_of_several_lanes_at_one_time_are_one_span():
    found = outages(story().lose(Lane.FRESH, 20, 21).lose(Lane.REUSED, 20.5, 21.5).fail(Lane.FRESH, 25))

    number, longest = longest_and_number(found)
    assert number == 2
    assert longest == pytest.approx(1.52, abs=0.05)


def test_no_outage_has_no_length():
    assert longest_and_number(()) == (0, 0.0)


def test_the_bound_of_an_outage_at_the_very_start_does_not_need_an_answer_before():
    (outage,) = outages(Story(qps=100, named=False).pods(1).lose(Lane.FRESH, 1, 1.5))

    assert outage.bound.start < outage.window.start
    assert outage.bound.meets(Window(start=ns(1), end=ns(1.5)))


def tied(story: Story, at: float) -> Story:
    """A connect without an answer from a port that was reset a second before."""
    story.connection(7, opened=2.0, closed=at - 1, by=ClosedBy.PEER_IDLE, reset=True, local="10.0.9.9:40001")
    return story.fail(Lane.FRESH, at, Phase.CONNECT, Outcome.TIMEOUT, took=2.0, local="10.0.9.9:40001")


def test_a_connect_from_a_port_tied_to_a_dead_pod_is_no_outage_of_the_service():
    assert find_outages(build_timeline(tied(Story().pods(2).restart(at=11), 20.0).document())) == ()


def test_within_an_outage_it_counts_like_every_other():
    story = Story().pods(2).restart(at=11).lose(Lane.FRESH, 20.0, 21.0)
    [without] = find_outages(build_timeline(story.document()))
    story.losses.clear()
    [found] = find_outages(build_timeline(tied(story.lose(Lane.FRESH, 20.0, 21.0), 20.5).document()))

    assert found.window == without.window
    assert found.attempts == without.attempts + 1
    assert found.by_outcome == {"connect/refused": without.attempts, "connect/timeout": 1}
