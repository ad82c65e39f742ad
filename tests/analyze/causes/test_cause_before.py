"""What is not the replacement's fault: 40 (ourselves), 5 (keep-alive race), 28 (saturation), and the background."""

from __future__ import annotations

import pytest

from rollcheck.facts.attempts import Lane, Outcome, Phase
from rollcheck.facts.clock import SECOND
from rollcheck.facts.connections import ClosedBy
from tests.analyze.builders import Story
from tests.analyze.causes.told import cause, modes, told

AWAIT = Phase.AWAIT


def graceful(**kwargs) -> Story:
    """A graceful rollout of two pods between 10 and 22."""
    return Story(qps=40, **kwargs).graceful_rollout(10.0, pods=2).end(at=45)


# 40


@pytest.mark.parametrize("name", ["EADDRNOTAVAIL", "EMFILE", "ENOBUFS"])
def test_an_error_of_our_own_kernel_is_ours_even_at_a_pods_end(name):
    story = Story(qps=40).pods(2).restart(at=10).delete("old-1", at=13.0, exit_after=0.2, code=143).end(at=45)

    assert modes(story.fail(Lane.FRESH, 13.3, detail=name)) == {40: 1}


def test_a_refusal_by_the_target_is_not_ours():
    assert 40 not in modes(graceful().fail(Lane.FRESH, 30.0, detail="ECONNREFUSED"))


def test_a_name_that_does_not_resolve_is_the_path_from_us():
    assert modes(graceful().fail(Lane.FRESH, 13.3, Phase.RESOLVE, Outcome.NOT_RESOLVED)) == {40: 1}


def test_a_time_out_while_our_loop_stood_still_is_ours():
    story = graceful().health(30, stall_ns=4 * SECOND).fail(Lane.REUSED, 30.2, AWAIT, Outcome.TIMEOUT, took=5.0)

    assert modes(story) == {40: 1}


def test_a_short_stall_does_not_explain_a_time_out():
    story = graceful().health(30, stall_ns=SECOND // 10).fail(Lane.REUSED, 30.2, AWAIT, Outcome.TIMEOUT, took=5.0)

    assert 40 not in modes(story)


def test_a_refusal_while_our_loop_stood_still_is_not_ours():
    story = graceful().health(30, stall_ns=4 * SECOND).fail(Lane.FRESH, 30.2)

    assert 40 not in modes(story)


def test_arrivals_never_sent_for_want_of_ports_are_told_though_nothing_failed():
    story = graceful()
    for at in (30.0, 30.5):
        story.fail(Lane.FRESH, at, Phase.CONNECT, Outcome.DROPPED, detail="EADDRNOTAVAIL", sent_ns=None)

    assert modes(story) == {40: 0}


def test_a_path_that_broke_for_the_api_too_is_ours():
    story = graceful().gap(30.0, 33.0).gap(30.1, 33.0, resource="endpointslices")

    assert modes(story.fail(Lane.FRESH, 30.5, Phase.CONNECT, Outcome.TIMEOUT, took=2.0)) == {40: 1}


def test_one_watch_that_broke_off_says_nothing_about_the_path():
    story = graceful().gap(30.0, 33.0)

    assert 40 not in modes(story.fail(Lane.FRESH, 30.5, Phase.CONNECT, Outcome.TIMEOUT, took=2.0))


def test_what_is_ours_is_not_the_replacements():
    assert not cause(graceful().fail(Lane.FRESH, 13.3, detail="EMFILE"), 40).of_replacement


# 5


def race(story: Story, at: float, *, number: int, idle: float | None = 5.0, took: float = 0.001, **fields) -> Story:
    """A request written on connection `number`, idle for so long, which the server closes at that moment."""
    story.fail(Lane.REUSED, at, AWAIT, Outcome.CLOSED_BEFORE_RESPONSE, took=took, connection=number, **fields)
    if idle is not None:
        values = {"idle_ns": int((idle + took) * SECOND)}
        story.connection(number, opened=at - 8.0, closed=at + took, by=ClosedBy.PEER_IN_FLIGHT, **values)
    return story


def test_a_close_under_the_request_before_any_rollout_is_the_idle_race():
    assert modes(race(graceful(), 5.0, number=1)) == {5: 1}


def test_races_after_the_rollout_with_the_same_idle_time_as_before_are_the_same():
    story = race(race(race(graceful(), 5.0, number=1), 30.0, number=2, idle=5.1), 35.0, number=3, idle=4.9)

    assert modes(story) == {5: 3}


def test_the_time_out_of_the_server_is_read_off_idle_connections_that_it_closed():
    story = graceful()
    for number, at in ((11, 4.0), (12, 6.0), (13, 30.0)):
        story.connection(number, opened=at - 7, closed=at, by=ClosedBy.PEER_IDLE, idle_ns=5 * SECOND)

    assert modes(race(story, 32.0, number=1, idle=4.98)) == {5: 1}


def test_a_race_at_a_pods_end_with_the_idle_time_of_the_baseline_stays_one_and_names_the_other():
    story = race(race(graceful(), 5.0, number=1), 18.19, number=2, idle=5.0, pod="old-1")

    assert modes(story) == {5: 2}
    assert 6 in dict(cause(story, 5).competing)


def test_a_close_at_a_pods_end_on_a_busy_connection_is_not_the_idle_race():
    story = race(race(graceful(), 5.0, number=1), 18.19, number=2, idle=0.05, pod="old-1")

    assert modes(story) == {5: 1, 6: 1}


def test_a_refusal_in_the_baseline_is_not_the_idle_race():
    assert 5 not in modes(graceful().fail(Lane.FRESH, 5.0))


def test_a_close_after_the_first_bytes_is_not_the_idle_race():
    story = race(graceful(), 30.0, number=1, idle=5.0, bytes_received=10)

    assert modes(story) == {-1: 1}


# 0: the background


def test_what_fails_as_often_before_as_after_is_not_the_replacement():
    story = graceful().lose(Lane.FRESH, 1.0, 45.0, AWAIT, Outcome.BAD_STATUS, every=20, status=500)

    assert list(modes(story)) == [0]
    assert not cause(story, 0).of_replacement


def test_what_fails_much_more_often_afterwards_is_not_background():
    story = graceful().lose(Lane.FRESH, 1.0, 10.0, AWAIT, Outcome.BAD_STATUS, every=40, status=500)
    story.lose(Lane.FRESH, 13.0, 45.0, AWAIT, Outcome.BAD_STATUS, every=2, status=500)

    assert modes(story) == {19: 320, 0: 5}


def test_one_refusal_in_the_baseline_does_not_excuse_an_immediate_exit():
    story = Story(qps=40).pods(2).restart(at=10).new_pod("new-1", created=10.1, ready=12.5)
    story.delete("old-1", at=13.0, exit_after=0.2, code=143).end(at=45)

    assert modes(story.fail(Lane.FRESH, 5.0).lose(Lane.FRESH, 13.2, 13.6)) == {1: 8, 0: 1}


# 28


def test_a_target_that_times_out_before_the_rollout_cannot_serve_this_rate():
    story = graceful().lose(Lane.REUSED, 1.0, 45.0, AWAIT, Outcome.TIMEOUT, every=4, took=5.0)
    causes, left = told(story)

    assert left == ()
    assert causes[0].mode == 28
    assert not causes[0].of_replacement


def test_arrivals_without_a_free_connection_before_the_rollout_say_the_same():
    story = graceful().lose(
        Lane.REUSED, 2.0, 10.0, Phase.CONNECT, Outcome.DROPPED, every=4, sent_ns=None, detail="no free connection"
    )

    assert modes(story) == {28: 0}


def test_too_few_pods_during_the_rollout_time_out_without_a_word_before():
    story = Story(qps=40, max_unavailable="2", max_surge="0", named=False).pods(3).restart(at=10)
    story.delete("old-1", at=10.1, exit_after=0.5).delete("old-2", at=10.1, exit_after=0.5)
    story.new_pod("new-1", created=10.2, ready=20.0).new_pod("new-2", created=10.2, ready=20.0).end(at=60)
    found = modes(story.lose(Lane.REUSED, 15.0, 19.0, AWAIT, Outcome.TIMEOUT, every=4, took=5.0))

    assert found == {28: 20}


def test_time_outs_with_every_pod_ready_are_no_lack_of_capacity():
    story = Story(qps=40, named=False).pods(3).restart(at=10).end(at=45)

    assert 28 not in modes(story.lose(Lane.REUSED, 20.0, 22.0, AWAIT, Outcome.TIMEOUT, took=5.0))


def broken_on_reuse(story: Story, every: int, *, first: int = 1) -> Story:
    """Connections opened each half second, of which `every` n-th is reset under its second request, evenly paced."""
    for number in range(first, first + 80):
        opened = 1.1 + (number - first) * 0.5
        if number % every:
            story.connection(number, opened=opened, closed=44.9, by=ClosedBy.US_END, requests=20)
            continue
        values = {"by": ClosedBy.PEER_IN_FLIGHT, "requests": 1, "reset": True, "idle_ns": SECOND}
        story.connection(number, opened=opened, closed=opened + 1.0, **values)
        story.fail(Lane.REUSED, opened + 0.999, AWAIT, Outcome.RESET, connection=number, requests_before=1)
    return story


def test_resets_of_every_connection_that_is_used_again_are_no_race_with_a_time_out():
    story = broken_on_reuse(Story(qps=8).graceful_rollout(10.0, pods=2).end(at=45), 1)

    assert list(modes(story)) == [0]


def test_a_few_resets_after_the_same_idle_time_are_a_race():
    story = broken_on_reuse(Story(qps=8).graceful_rollout(10.0, pods=2).end(at=45), 8)

    assert modes(story) == {5: 10}


def test_a_server_that_closes_idle_connections_as_well_races_however_often_it_wins():
    story = broken_on_reuse(Story(qps=8).graceful_rollout(10.0, pods=2).end(at=45), 1)
    for number, at in ((201, 4.0), (202, 6.0), (203, 30.0)):
        story.connection(number, opened=at - 7, closed=at, by=ClosedBy.PEER_IDLE, idle_ns=SECOND)

    assert 5 in modes(story)


def test_every_request_of_the_reused_lane_reset_before_any_rollout_is_background():
    assert list(modes(graceful().lose(Lane.REUSED, 1.0, 45.0, AWAIT, Outcome.RESET))) == [0]
