import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcheck.analyze.statistics import fisher_more, upper_bound


@pytest.mark.parametrize(
    ("lost", "trials", "bound"),
    [
        (0, 1, 0.95),
        (0, 3, 1 - 0.05 ** (1 / 3)),
        (0, 100, 1 - 0.05**0.01),
        (0, 0, 1.0),
        (5, 5, 1.0),
        (1, 10, 0.39416),  # published Clopper–Pearson one-sided 95 % limits
        (2, 20, 0.28262),
        (10, 1000, 0.01690),
    ],
)
def test_upper_bound_is_the_exact_one(lost, trials, bound):
    assert upper_bound(lost, trials) == pytest.approx(bound, abs=6e-5)


def test_with_nothing_lost_in_many_the_bound_is_about_three_over_n():
    assert upper_bound(0, 100_000) == pytest.approx(3 / 100_000, rel=0.01)


@given(st.integers(0, 60), st.integers(1, 400))
def test_the_bound_solves_its_definition(lost, trials):
    if lost >= trials:
        assert upper_bound(lost, trials) == 1.0
        return
    p = upper_bound(lost, trials)
    chance = sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(lost + 1))

    assert chance == pytest.approx(0.05, rel=1e-6)


def test_a_large_count_is_bounded_quickly_and_sanely():
    assert 0.1 < upper_bound(100_000, 1_000_000) < 0.101
    assert 0.99 < upper_bound(999_000, 1_000_000) < 1.0


@pytest.mark.parametrize(
    ("lost", "trials", "before", "trials_before", "p"),
    [
        (3, 4, 1, 4, 17 / 70),  # the lady tasting tea: (16 + 1) / 70
        (4, 4, 0, 4, 1 / 70),
        (0, 10, 5, 10, 1.0),
        (1, 1, 0, 0, 1.0),
        (0, 10, 0, 10, 1.0),
    ],
)
def test_fisher_by_hand(lost, trials, before, trials_before, p):
    assert fisher_more(lost, trials, before, trials_before) == pytest.approx(p)


@given(st.integers(0, 30), st.integers(1, 60), st.integers(0, 30), st.integers(1, 60))
def test_fisher_is_a_probability_and_falls_with_what_was_lost(lost, good, before, good_before):
    trials, trials_before = lost + good, before + good_before
    p = fisher_more(lost, trials, before, trials_before)

    assert 0 <= p <= 1
    assert fisher_more(lost + 1, trials + 1, before, trials_before) <= p + 1e-9
