import pytest

from rollcheck.analyze.words import rounded_up


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0, 0.0), (0.001, 0.1), (1.0, 1.0), (1.03, 1.1), (0.6000000000000001, 0.6), (4.9, 4.9)]
)
def test_a_bound_is_never_told_as_less_than_it_is(seconds, told):
    assert rounded_up(seconds) == told
