from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.errors import UsageError
from rollcheck.load.pacer import plan_constant
from rollcheck.load.schedule import MAX_PERIOD, Timetable, plan_deal, plan_weights

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=5).filter(lambda shares: sum(shares) > 0.01)


def test_two_equal_lanes_take_turns():
    assert plan_deal([0.5, 0.5]) == (0, 1)


def test_a_single_lane_takes_everything():
    assert plan_deal([0.3]) == (0,)


def test_a_third_is_dealt_exactly():
    assert sorted(plan_deal([1 / 3, 2 / 3])) == [0, 1, 1]


def test_a_lane_without_a_share_takes_nothing():
    assert set(plan_deal([0.5, 0, 0.5])) == {0, 2}


@given(SHARES)
@settings(max_examples=8)
def test_any_prefix_is_within_one_of_every_share(shares):
    deal, weights = np.array(plan_deal(shares)), np.array(plan_weights(shares))
    taken = np.cumsum(deal[:, None] == np.arange(len(shares)), axis=0)
    share = np.arange(1, len(deal) + 1)[:, None] * weights

    assert (np.abs(taken * len(deal) - share) < len(deal)).all()
    assert tuple(taken[-1]) == tuple(weights)


@given(SHARES)
@settings(max_examples=8)
def test_a_rounded_share_is_off_by_less_than_a_ten_thousandth(shares):
    weights = plan_weights(shares)

    assert sum(weights) <= MAX_PERIOD
    for share, weight in zip(shares, weights, strict=True):
        assert abs(weight / sum(weights) - share / sum(shares)) <= 1 / MAX_PERIOD + 1e-12


@pytest.mark.parametrize("shares", [[], [0, 0], [-0.1, 1], [float("nan")]])
def test_shares_that_deal_nothing_are_refused(shares):
    with pytest.raises(UsageError, match="shares of the lanes"):
        plan_deal(shares)


@given(st.integers(1, 7), st.integers(1, 100))
def test_workers_take_every_arrival_of_one_timetable_once(workers, each):
    pacer = plan_constant(1000)
    tables = [Timetable(pacer, (0, 1), worker, workers) for worker in range(workers)]
    taken = sorted(table.seq(i) for table in tables for i in range(each))

    assert taken == list(range(workers * each))


@given(st.integers(1, 7), st.integers(0, 10**10))
def test_the_counts_of_all_workers_add_up(workers, offset):
    pacer = plan_constant(333)
    tables = [Timetable(pacer, (0,), worker, workers) for worker in range(workers)]

    assert sum(table.count(offset) for table in tables) == pacer.count(offset)


def test_lane_and_offset_depend_on_the_global_number_alone():
    table = Timetable(plan_constant(10), (0, 1, 1), worker=1, workers=2)

    assert table.seq(2) == 5
    assert table.lane(5) == 1
    assert list(islice(table.offsets(), 3)) == [100_000_000, 300_000_000, 500_000_000]
