from dataclasses import replace

import pytest

from rollcheck.analyze.exposure import bounds_of, replaced_pods, replacement_counts, replacement_losses, termination
from rollcheck.analyze.model import Bounds, Timeline
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.attempts import Interval, Lane, Outcome, Phase
from rollcheck.facts.document import LanePlan
from tests.analyze.builders import Story, ns


def timeline_of(story: Story) -> Timeline:
    return build_timeline(story.end(at=40).document())


def bounds(story: Story) -> Bounds:
    return bounds_of(timeline_of(story))


def test_nothing_lost_in_n_requests_bounds_the_loss_by_them():
    timeline = timeline_of(Story().graceful_rollout())
    sent = replacement_counts(timeline).sent

    assert sent == 2900
    assert bounds_of(timeline).loss_per_request == pytest.approx(1 - 0.05 ** (1 / sent))


def test_three_lossless_pods_bound_the_loss_per_pod():
    found = bounds(Story().graceful_rollout())

    assert (found.pods_replaced, found.pods_lossless) == (3, 3)
    assert found.loss_per_pod == pytest.approx(1 - 0.05 ** (1 / 3))


def test_a_loss_known_to_be_on_a_pod_counts_against_that_pod_only():
    found = bounds(Story().graceful_rollout().fail(Lane.REUSED, 14.5, Phase.AWAIT, Outcome.RESET, pod="old-2"))

    assert (found.pods_replaced, found.pods_lossless) == (3, 2)


def test_a_loss_of_unknown_pod_counts_against_every_pod_that_was_ending():
    found = bounds(Story().graceful_rollout().fail(Lane.FRESH, 18.0))

    assert found.pods_lossless == 1  # old-1 and old-2 were ending


def test_a_loss_when_no_pod_was_ending_counts_against_the_nearest():
    found = bounds(Story().graceful_rollout().fail(Lane.FRESH, 36.0))

    assert found.pods_lossless == 2


def test_losses_of_the_baseline_are_not_the_replacements():
    timeline = timeline_of(Story().graceful_rollout().fail(Lane.FRESH, 5))

    assert replacement_losses(timeline) == ()
    assert replacement_counts(timeline).failed == 0


def test_a_pod_still_ending_is_not_replaced_yet():
    story = Story().graceful_rollout(pods=2).change("old-2", exited=None, gone=None)

    assert [p.name for p in replaced_pods(timeline_of(story))] == ["old-1"]


def test_a_pod_that_met_nothing_while_it_ended_is_named():
    story = Story(qps=4).pods(1).restart(at=11).new_pod("new-1", created=11.1, ready=13)
    story.delete("old-1", at=13.4, exit_after=2, serves_for=0.0)

    assert bounds(story).unmet == ("old-1",)


def test_without_names_nobody_knows_what_pods_met():
    found = bounds(Story(named=False).graceful_rollout())

    assert not found.exposure_known
    assert found.unmet == ()


def test_evenly_paced_arrivals_see_every_outage_as_long_as_their_spacing():
    found = bounds(Story(qps=200, lanes={Lane.REUSED: 0.9, Lane.FRESH: 0.1}).graceful_rollout())

    assert found.shortest_outage_s == pytest.approx({Lane.REUSED: 1 / 180, Lane.FRESH: 1 / 20})


def test_a_rate_that_was_not_kept_sees_less():
    document = Story().graceful_rollout().end(at=40).document()
    halved = tuple(replace(f, ok=f.ok // 2) if isinstance(f, Interval) else f for f in document.facts)

    found = bounds_of(build_timeline(replace(document, facts=halved)))

    assert found.shortest_outage_s[Lane.FRESH] == pytest.approx(0.04, rel=0.1)


def test_a_lane_that_answered_nothing_saw_no_outage_shorter_than_the_run():
    document = Story().graceful_rollout().end(at=40).document()
    empty = tuple(replace(f, ok=0) if isinstance(f, Interval) else f for f in document.facts)

    assert bounds_of(build_timeline(replace(document, facts=empty))).shortest_outage_s[Lane.FRESH] == 29


def test_a_lane_without_share_or_traffic_has_no_bound():
    document = Story().graceful_rollout().end(at=40).document()
    lanes = (*document.header.lanes, LanePlan(lane="long", share=0.0, connections=1))

    found = bounds_of(build_timeline(replace(document, header=replace(document.header, lanes=lanes))))

    assert "long" not in found.shortest_outage_s


def test_where_nothing_was_replaced_the_bounds_say_nothing():
    found = bounds(Story().pods(2))

    assert (found.loss_per_request, found.loss_per_pod, found.pods_replaced) == (1.0, 1.0, 0)


def test_a_loss_without_any_replaced_pod_counts_against_none():
    found = bounds(Story().pods(2).restart(at=11).fail(Lane.FRESH, 20))

    assert (found.pods_replaced, found.pods_lossless) == (0, 0)


def test_an_ending_outlives_the_object_by_a_second():
    timeline = timeline_of(Story().graceful_rollout(pods=1))
    old, new = timeline.pods

    span = termination(old, timeline.window.end)
    assert span is not None
    assert span.start == ns(13)
    assert span.end == ns(20.705)
    assert termination(new, timeline.window.end) is None
