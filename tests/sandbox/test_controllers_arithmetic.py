"""The controllers' arithmetic, in tables: fenceposts, steps, proportions, victims, hashes, indexes, budgets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
import trio.testing

from rollcheck.sandbox.controllers import budgets, indexes, victims
from rollcheck.sandbox.controllers.conditions import new_condition, put
from rollcheck.sandbox.controllers.fenceposts import (
    Bounds,
    Generation,
    bounds_of,
    new_size,
    resolve_fenceposts,
    scaled,
    share_out,
    shrink_old,
    slow_start,
)
from rollcheck.sandbox.controllers.hashes import ALPHABET, same_template, template_hash
from rollcheck.sandbox.controllers.pods import DELETION_COST
from rollcheck.sandbox.controllers.workqueue import WorkQueue

Json = dict[str, Any]
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        ("25%", "25%", 1, (1, 0)),  # the defaults are safe for one replica
        ("25%", "25%", 2, (1, 0)),
        ("25%", "25%", 4, (1, 1)),
        ("25%", "25%", 6, (2, 1)),  # at most 8, at least 5
        ("25%", "25%", 10, (3, 2)),
        (0, "25%", 3, (0, 1)),  # both nothing: one may be missing
        (0, "25%", 1, (0, 1)),
        ("0%", "0%", 5, (0, 1)),
        (None, None, 5, (0, 1)),
        (0, "25%", 4, (0, 1)),
        (1, 0, 3, (1, 0)),
        ("100%", "100%", 3, (3, 3)),
        ("1%", "1%", 3, (1, 0)),
    ],
)
def test_surge_is_rounded_up_and_unavailable_down(
    surge: Any, unavailable: Any, replicas: int, expected: tuple[int, int]
) -> None:
    assert resolve_fenceposts(surge, unavailable, replicas) == expected


@pytest.mark.parametrize(
    ("kind", "surge", "unavailable", "replicas", "most", "least"),
    [
        ("RollingUpdate", "25%", "25%", 6, 8, 5),
        ("RollingUpdate", 5, 9, 3, 8, 0),  # no more can be missing than there are
        ("RollingUpdate", "25%", "25%", 0, 0, 0),
        ("Recreate", None, None, 3, 3, 3),
    ],
)
def test_bounds_of_a_rollout(kind: str, surge: Any, unavailable: Any, replicas: int, most: int, least: int) -> None:
    bounds = bounds_of(kind, surge, unavailable, replicas)

    assert (bounds.most, bounds.least) == (most, least)


def test_what_is_neither_a_number_nor_a_percentage_is_refused() -> None:
    with pytest.raises(ValueError, match="neither a number nor a percentage"):
        scaled("many", 3, up=True)


@pytest.mark.parametrize(
    ("desired", "surge", "now", "total", "expected"),
    [
        (10, 3, 0, 10, 3),
        (10, 3, 0, 13, 0),
        (10, 3, 5, 13, 5),
        (10, 3, 8, 9, 10),  # never more than desired
        (10, 0, 0, 10, 0),
    ],
)
def test_the_new_replica_set_grows_into_the_room_there_is(
    desired: int, surge: int, now: int, total: int, expected: int
) -> None:
    assert new_size(Bounds(desired, surge, 2), now, total) == expected


def test_old_replicas_go_as_new_ones_become_available() -> None:
    bounds = Bounds(10, 3, 2)

    assert shrink_old(bounds, Generation("new", 3, 0), [Generation("old", 10, 10)]) == [("old", 8)]
    assert shrink_old(bounds, Generation("new", 5, 0), [Generation("old", 8, 8)]) == []
    assert shrink_old(bounds, Generation("new", 5, 5), [Generation("old", 8, 8)]) == [("old", 3)]


def test_old_replicas_that_serve_nobody_go_first_and_cost_nothing() -> None:
    old = [Generation("broken", 5, 0, "2"), Generation("good", 8, 8, "1")]

    assert shrink_old(Bounds(10, 3, 2), Generation("new", 0, 0), old) == [("broken", 0)]


def test_of_several_old_ones_the_oldest_shrinks_first() -> None:
    old = [Generation("b", 4, 4, "2026-01-02"), Generation("a", 4, 4, "2026-01-01")]

    assert shrink_old(Bounds(8, 2, 2), Generation("new", 2, 2), old) == [("a", 0)]


def test_unavailable_new_pods_are_no_reason_to_remove_old_ones() -> None:
    # kubernetes' own example: a node fails while the new pods crash
    assert shrink_old(Bounds(10, 3, 2), Generation("new", 5, 0), [Generation("old", 8, 7)]) == []


@pytest.mark.parametrize(
    ("sizes", "desired", "surge", "before", "expected"),
    [
        ({"old": 8, "new": 5}, 15, 3, 13, {"old": 11, "new": 7}),  # the example of kubernetes.io
        ({"old": 8, "new": 5}, 5, 3, 13, {"old": 5, "new": 3}),
        ({"old": 5, "new": 5}, 0, 3, 10, {"old": 0, "new": 0}),
        ({"old": 5, "new": 5}, 20, 0, 10, {"old": 10, "new": 10}),
        ({"old": 3, "new": 1}, 4, 1, 4, {"old": 4, "new": 1}),
    ],
)
def test_scaling_in_a_rollout_is_shared_out_in_proportion(
    sizes: dict[str, int], desired: int, surge: int, before: int, expected: dict[str, int]
) -> None:
    active = [Generation(name, size, 0, name, before) for name, size in sizes.items()]

    assert share_out(Bounds(desired, surge, 0), active, before) == expected


def test_slow_start_doubles_and_comes_to_the_count() -> None:
    assert slow_start(12) == [1, 2, 4, 5]
    assert slow_start(1) == [1]
    assert slow_start(0) == []


def pod(name: str, *, age_s: float = 1000, ready_s: float | None = 500, node: str = "n1", **more: Any) -> Json:
    """A pod as the order of victims sees it; `ready_s` seconds ready, None for not ready."""

    def stamp(seconds: float) -> str:
        return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    conditions = [{"type": "Ready", "status": "True" if ready_s is not None else "False"}]
    conditions[0]["lastTransitionTime"] = stamp(ready_s if ready_s is not None else 100)
    containers = [{"name": "main", "restartCount": more.get("restarts", 0)}]
    notes = {DELETION_COST: str(more["cost"])} if "cost" in more else {}
    return {
        "metadata": {
            "name": name,
            "uid": more.get("uid", name),
            "creationTimestamp": stamp(age_s),
            "annotations": notes,
        },
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": more.get("phase", "Running"), "conditions": conditions, "containerStatuses": containers},
    }


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (pod("a", node="", ready_s=None, phase="Pending"), pod("b", ready_s=None, phase="Pending")),
        (pod("a", ready_s=None, phase="Pending"), pod("b", ready_s=None)),
        (pod("a", ready_s=None), pod("b")),
        (pod("a", cost=-1), pod("b", ready_s=1)),
        (pod("a", node="crowded"), pod("b", ready_s=1)),
        (pod("a", ready_s=10), pod("b", ready_s=5000, restarts=9)),
        (pod("a", restarts=2), pod("b", restarts=1, age_s=10)),
        (pod("a", age_s=10, ready_s=5), pod("b", age_s=9000, ready_s=5)),
        (pod("a", ready_s=501, uid="0"), pod("b", ready_s=500, uid="1")),  # of about the same age: chance decides
    ],
)
def test_the_order_of_victims(first: Json, other: Json) -> None:
    related = [first, other, pod("x", node="crowded")]

    assert victims.victims([other, first], 1, related, NOW) == [first]
    assert victims.victims([first, other], 1, related, NOW) == [first]


def test_when_all_go_nobody_is_sorted() -> None:
    pods = [pod("b"), pod("a", ready_s=None)]

    assert victims.victims(pods, 2, pods, NOW) == pods


def template(**spec: Any) -> Json:
    return {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "a"}], **spec}}


def test_a_hash_has_the_real_shape_and_follows_the_template_alone() -> None:
    one = template_hash(template())
    hashed = {**template(), "metadata": {"labels": {"app": "web", "pod-template-hash": "x"}}}

    assert 8 <= len(one) <= 10
    assert set(one) <= set(ALPHABET)
    assert template_hash(hashed) == one
    assert template_hash(template(hostNetwork=True)) != one
    assert template_hash(template(), 1) != one


def test_the_order_of_keys_and_empty_lists_make_no_new_template() -> None:
    reordered = {"spec": template()["spec"], "metadata": {"creationTimestamp": None, **template()["metadata"]}}

    assert same_template(template(), reordered)
    assert same_template(template(), template(volumes=[]))
    assert not same_template(template(), template(volumes=[{"name": "a", "emptyDir": {}}]))


@pytest.mark.parametrize(
    ("text", "numbers"), [("", set()), ("0", {0}), ("0,1", {0, 1}), ("0-2,5", {0, 1, 2, 5}), ("1,3-5", {1, 3, 4, 5})]
)
def test_indexes_are_written_as_ranges_and_read_back(text: str, numbers: set[int]) -> None:
    assert indexes.write_indexes(numbers) == text
    assert indexes.parse_indexes(text, 10) == numbers


def test_indexes_past_the_last_no_longer_count() -> None:
    assert indexes.parse_indexes("0-5", 3) == {0, 1, 2}


def test_the_next_indexes_are_the_first_free_ones() -> None:
    assert indexes.pending_indexes(6, {0, 2}, [1, None], 2) == [3, 4]


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0), (1, 10), (2, 20), (4, 80), (6, 320), (7, 600), (50, 600)])
def test_a_job_waits_longer_after_every_failure(failures: int, seconds: float) -> None:
    assert indexes.backoff_s(failures) == seconds


@pytest.mark.parametrize(
    ("spec", "expected", "desired"),
    [
        ({"minAvailable": 2}, 5, 2),
        ({"minAvailable": "50%"}, 5, 3),  # rounded up
        ({"maxUnavailable": 1}, 5, 4),
        ({"maxUnavailable": "30%"}, 5, 3),  # rounded up as well
        ({"maxUnavailable": 9}, 5, 0),
        ({}, 5, 0),
    ],
)
def test_how_many_must_stay_healthy(spec: Json, expected: int, desired: int) -> None:
    assert budgets.desired_healthy(spec, expected) == desired


@pytest.mark.parametrize(
    ("expected", "desired", "healthy", "allowed"),
    [(3, 2, 3, 1), (3, 2, 2, 0), (3, 2, 1, 0), (0, 0, 5, 0), (3, 0, 3, 3)],
)
def test_how_many_may_go(expected: int, desired: int, healthy: int, allowed: int) -> None:
    assert budgets.Budget(expected, desired, healthy).allowed == allowed


def test_a_promised_pod_counts_as_gone_for_two_minutes() -> None:
    stamp = (NOW - timedelta(seconds=100)).strftime("%Y-%m-%dT%H:%M:%SZ")
    pods = [pod("a"), pod("b")]

    assert budgets.healthy(pods, {"a": stamp}, NOW) == 1
    assert budgets.healthy(pods, {"a": stamp}, NOW + timedelta(seconds=21)) == 2


def test_promises_lapse_once_the_pod_is_going_or_was_never_deleted() -> None:
    fresh, stale = ((NOW - timedelta(seconds=s)).strftime("%Y-%m-%dT%H:%M:%SZ") for s in (20, 121))
    going = pod("c")
    going["metadata"]["deletionTimestamp"] = fresh
    pods = [pod("a"), pod("b"), going]

    kept, lapsed, next_check = budgets.still_disrupted(pods, {"a": fresh, "b": stale, "c": fresh, "x": fresh}, NOW)

    assert kept == {"a": fresh}
    assert [p["metadata"]["name"] for p in lapsed] == ["b"]
    assert next_check == 100


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    first = put([], new_condition("Ready", "True", "A", "", "10:00"))
    second = put(first, new_condition("Ready", "True", "B", "", "11:00"))
    third = put(second, new_condition("Ready", "False", "C", "", "12:00"))

    assert [c[0]["lastTransitionTime"] for c in (first, second, third)] == ["10:00", "10:00", "12:00"]
    assert put(third, new_condition("Ready", "False", "C", "other", "13:00")) == third


def test_a_queue_holds_a_key_once_and_gives_keys_in_order() -> None:
    async def story() -> None:
        queue = WorkQueue()
        for name in "abab":
            queue.add(("", name))
        assert len(queue) == 2
        assert [await queue.next(), await queue.next()] == [("", "a"), ("", "b")]

    trio.run(story)


def test_a_queue_brings_a_key_back_in_time_and_at_the_earliest_asked_for() -> None:
    async def story() -> None:
        queue, began = WorkQueue(), trio.current_time()
        queue.add_after(("", "a"), 30)
        queue.add_after(("", "a"), 10)
        queue.add_after(("", "a"), 20)
        assert await queue.next() == ("", "a")
        assert trio.current_time() - began == pytest.approx(10, abs=0.01)
        with trio.move_on_after(100) as scope:
            await queue.next()
        assert scope.cancelled_caught

    trio.run(story, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_key_that_fails_comes_back_later_every_time() -> None:
    async def story() -> None:
        queue, waits = WorkQueue(), []
        for _ in range(5):
            began = trio.current_time()
            queue.retry(("", "a"))
            await queue.next()
            waits.append(round((trio.current_time() - began) * 1000))
        assert waits == [5, 10, 20, 40, 80]
        queue.forget(("", "a"))
        assert queue.failures(("", "a")) == 0

    trio.run(story, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_key_that_rests_is_not_looked_at_before_it_has_rested() -> None:
    async def story() -> None:
        queue, began = WorkQueue(), trio.current_time()
        queue.rest(("", "a"), 3)
        queue.add(("", "a"))
        queue.add(("", "b"))
        assert await queue.next() == ("", "b")
        assert await queue.next() == ("", "a")
        assert trio.current_time() - began == pytest.approx(3, abs=0.01)

    trio.run(story, clock=trio.testing.MockClock(autojump_threshold=0))
