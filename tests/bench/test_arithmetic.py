import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.arithmetic import (
    Summary,
    counts_per_window,
    deviation,
    median,
    net_rate,
    percentile,
    ratios,
    summarise,
)


def test_a_summary_holds_the_median_the_spread_and_how_often() -> None:
    assert summarise([3.0, 1.0, 2.0]) == Summary(2.0, 1.0, 3.0, 3)


def test_the_median_of_an_even_number_of_values_lies_between_the_two_in_the_middle() -> None:
    assert median([4, 1, 3, 2]) == 2.5


def test_nothing_measured_has_no_summary() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        summarise([])


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([10, 20], [5, 40]) == [2.0, 0.5]


def test_rounds_that_do_not_pair_up_are_no_ratios() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratios([1], [1, 2])


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (1, 1), (50, 50), (99, 99), (99.9, 100), (100, 100)])
def test_percentiles_go_by_nearest_rank(percent: float, expected: int) -> None:
    assert percentile(range(1, 101), percent) == expected


def test_a_rounding_error_does_not_push_a_percentile_to_the_next_rank() -> None:
    assert percentile(range(1, 1001), 99.9) == 999


@given(st.lists(st.integers(0, 10**9), min_size=1), st.floats(0.01, 100))
def test_at_least_that_share_of_values_does_not_exceed_a_percentile_and_no_lesser_value_would_do(
    values: list[int], percent: float
) -> None:
    found = percentile(values, percent)
    needed = percent * len(values) / 100 - 1e-6

    assert sum(value <= found for value in values) >= needed
    assert sum(value < found for value in values) < needed + 1e-6 or found == min(values)


def test_start_up_is_no_part_of_the_rate() -> None:
    assert net_rate(1000, 3.0, 1.0) == 500


def test_a_run_that_costs_no_more_than_its_start_says_nothing() -> None:
    with pytest.raises(ValueError, match="measure longer"):
        net_rate(1000, 1.0, 1.0)


def test_windows_count_what_lies_in_them_and_the_empty_ones_too() -> None:
    assert counts_per_window([0, 9, 10, 35, 99], 10, 0, 40) == [2, 1, 0, 1]


def test_a_last_window_that_does_not_fit_is_left_out() -> None:
    assert counts_per_window([5, 15, 25], 10, 0, 25) == [1, 1]


def test_stamps_before_the_first_window_are_left_out() -> None:
    assert counts_per_window([1, 2, 11], 10, 10, 20) == [1]


@given(st.lists(st.integers(0, 999)), st.integers(1, 50))
def test_every_stamp_within_whole_windows_is_counted_once(stamps: list[int], window: int) -> None:
    whole = 1000 // window * window

    assert sum(counts_per_window(stamps, window, 0, 1000)) == sum(stamp < whole for stamp in stamps)


def test_a_deviation_has_no_sign() -> None:
    assert deviation(98, 100) == deviation(102, 100) == pytest.approx(0.02)
