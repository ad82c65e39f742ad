from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcheck.errors import UsageError
from rollcheck.load.pacer import plan_constant

RATES = st.one_of(st.integers(1, 1_000_000), st.floats(0.01, 1_000_000, allow_nan=False))


@pytest.mark.parametrize(
    ("qps", "index", "offset"),
    [
        (1, 0, 0),
        (1, 1, 1_000_000_000),
        (200, 1, 5_000_000),
        (3, 1, 333_333_333),
        (3, 2, 666_666_666),
        (3, 3, 1_000_000_000),
        (0.5, 3, 6_000_000_000),
        (0.1, 1, 10_000_000_000),
        (200_000, 86_400 * 200_000, 86_400 * 10**9),
    ],
)
def test_an_arrival_is_due_at_the_floor_of_its_multiple_of_the_period(qps, index, offset):
    assert plan_constant(qps).offset_ns(index) == offset


@given(RATES, st.integers(0, 10**9))
def test_no_error_builds_up_however_far_into_the_run(qps, index):
    ideal = index * Fraction(10**9) / Fraction(qps).limit_denominator(1_000_000)

    assert 0 <= ideal - plan_constant(qps).offset_ns(index) < 1


@given(RATES, st.integers(0, 10**12))
def test_count_is_the_number_of_arrivals_before_an_offset(qps, offset):
    pacer = plan_constant(qps)
    n = pacer.count(offset)

    assert pacer.offset_ns(n) >= offset
    assert n == 0 or pacer.offset_ns(n - 1) < offset


def test_nothing_is_due_before_the_start():
    assert plan_constant(10).count(-5) == 0


@pytest.mark.parametrize("qps", [0, -1, float("nan"), float("inf"), 1e9])
def test_a_rate_that_cannot_be_is_refused_by_name(qps):
    with pytest.raises(UsageError, match="requests per second"):
        plan_constant(qps)
