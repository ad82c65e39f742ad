from dataclasses import replace

import pytest
from builders import Story, ns, pod_spec
from cards import CARDS, card, graceful, immediate_exit, in_flight_and_broken, killed, nasty, stuck

from rollcheck.analyze.model import Outage
from rollcheck.facts.attempts import Lane
from rollcheck.facts.clock import Window
from rollcheck.render.picture import picture_of


def rows(analysis):
    return {pod.name: pod for pod in picture_of(analysis).pods}


def test_old_pods_come_first_in_the_order_of_their_deletion():
    assert [pod.name for pod in picture_of(graceful()).pods] == ["old-1", "old-2", "old-3", "new-1", "new-2", "new-3"]


def test_a_new_pod_starts_runs_and_is_ready():
    states = rows(graceful())["new-1"].states

    assert [state for state, _, _ in states] == ["starting", "running", "ready"]
    assert states[0][1] == pytest.approx(0.105)
    assert states[2][1:] == (pytest.approx(2.105), pytest.approx(29.0))


def test_an_old_pod_is_terminating_from_its_deletion_until_it_is_gone():
    states = rows(graceful())["old-1"].states

    assert [state for state, _, _ in states] == ["ready", "terminating"]
    assert states[1][1:] == (pytest.approx(2.205), pytest.approx(8.705))


@pytest.mark.parametrize("name", CARDS)
def test_states_of_a_pod_follow_each_other_without_gaps(name):
    for pod in picture_of(CARDS[name]()).pods:
        for (_, _, end), (_, start, _) in zip(pod.states, pod.states[1:], strict=False):
            assert start == end


def test_membership_ends_where_the_slice_dropped_the_pod():
    assert rows(graceful())["old-1"].endpoints[-1][1] == pytest.approx(2.235)


def test_pre_stop_lasts_from_the_deletion_to_the_inferred_sigterm():
    pod = rows(graceful())["old-1"]

    assert pod.prestop is not None
    assert pod.sigterm is not None
    assert pod.prestop == (pytest.approx(2.205), pod.sigterm[0])


def test_a_pod_without_a_hook_has_no_pre_stop_span():
    assert rows(immediate_exit())["old-1"].prestop is None


def test_an_exit_of_143_is_not_marked_as_bad():
    assert rows(immediate_exit())["old-1"].ended == (pytest.approx(2.305), "143")
    assert not rows(immediate_exit())["old-1"].ended_badly


def test_an_exit_of_137_is_marked_as_bad():
    assert rows(killed())["old-1"].ended_badly


def test_failures_have_a_row_for_each_lane_and_kind():
    shown = [(row.lane, row.words, row.count) for row in picture_of(immediate_exit()).failures]

    assert shown == [("fresh", "refused", 51), ("fresh", "no route", 3), ("reused", "reset before the answer", 3)]


def test_a_failure_is_drawn_where_it_began_and_not_where_it_ended():
    routes = next(row for row in picture_of(immediate_exit()).failures if row.words == "no route")

    assert routes.at == pytest.approx((2.65, 5.65, 8.65))


def test_marks_too_close_to_be_told_apart_are_drawn_once_but_counted_all():
    story = Story(qps=400, lanes={Lane.FRESH: 1.0}).pods(1).restart(at=2).lose(Lane.FRESH, 4, 4.5)
    row = picture_of(card(story.end(at=12).document())).failures[0]

    assert row.count == 200
    assert len(row.at) < 70


def test_attempts_never_sent_have_a_row_of_their_own():
    assert [
        (row.words, row.count) for row in picture_of(in_flight_and_broken()).failures if row.family == "not sent"
    ] == [("never sent", 1)]


def test_slots_account_for_every_attempt():
    analysis = immediate_exit()
    slots = picture_of(analysis).slots

    assert sum(slot.ok * (slot.end - slot.start) for slot in slots) == pytest.approx(analysis.counts.ok)
    assert sum(slot.failed * (slot.end - slot.start) for slot in slots) == pytest.approx(analysis.counts.failed)


def test_intervals_cut_short_by_an_event_do_not_make_slots_of_their_own():
    assert all(slot.end - slot.start >= 0.6 for slot in picture_of(immediate_exit()).slots)


def test_latency_of_a_slot_is_that_of_its_histograms():
    slow = card(Story().pods(1).slowly(4.0, 5.0, 0.2).end(at=8).document())
    slot = next(slot for slot in picture_of(slow).slots if slot.start == pytest.approx(4.0))

    assert slot.p50_ms == pytest.approx(200, rel=0.01)


def test_a_slot_without_a_good_answer_has_no_latency():
    story = Story().pods(1).lose(Lane.FRESH, 4, 6).lose(Lane.REUSED, 4, 6)

    assert any(slot.p50_ms is None for slot in picture_of(card(story.end(at=8).document())).slots)


def test_endpoints_run_to_the_end_of_the_run():
    assert picture_of(graceful()).endpoints[-1] == (29.0, 3)


def test_outages_that_meet_are_one_span():
    def outage(start, end, lane):
        window = Window(start=ns(start), end=ns(end))
        return Outage(lane=lane, window=window, bound=window, attempts=1, total=1, full=True, by_outcome={})

    outages = (outage(13, 14, Lane.FRESH), outage(13.5, 15, Lane.REUSED), outage(20, 21, Lane.FRESH))

    assert picture_of(replace(graceful(), outages=outages)).outages == ((2.0, 4.0), (9.0, 10.0))


def test_a_pod_that_never_starts_is_starting_to_the_end():
    assert [state for state, _, _ in rows(stuck())["new-1"].states] == ["starting"]


def test_names_are_printable():
    assert all(pod.name.isprintable() for pod in picture_of(nasty()).pods)


def test_a_hook_of_a_pod_that_was_not_deleted_is_not_drawn():
    story = Story(spec=pod_spec(prestop=None)).pods(1).end(at=5)

    assert all(pod.prestop is None for pod in picture_of(card(story.document())).pods)
