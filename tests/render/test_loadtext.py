import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcheck.render.loadtext import span
from rollcheck.render.spark import BLOCKS, grouped, spark
from rollcheck.render.text import cells


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0µs"),
        (85, "85µs"),
        (999, "999µs"),
        (999.6, "1.00ms"),
        (1_234, "1.23ms"),
        (9_994, "9.99ms"),
        (9_996, "10.0ms"),
        (99_960, "100ms"),
        (999_400, "999ms"),
        (999_600, "1.00s"),
        (12_345_678, "12.3s"),
        (3_600_000_000, "3600s"),
    ],
)
def test_a_latency_has_three_figures_and_a_unit(us, text):
    assert span(us) == text


@given(st.floats(0, 3_600_000_000))
def test_a_latency_fits_its_column(us):
    assert cells(span(us)) <= 7


def test_a_spark_tells_nothing_from_little():
    assert spark([0, 1, 1000, None]) == f"·{BLOCKS[0]}{BLOCKS[-1]}·"
    assert spark([]) == ""
    assert spark([0, 0]) == "··"


@given(st.lists(st.integers(), max_size=400), st.integers(1, 80))
def test_groups_keep_every_row_and_fit(rows, width):
    groups = grouped(rows, width)

    assert [row for group in groups for row in group] == rows
    assert len(groups) <= width
    assert len({len(group) for group in groups[:-1]}) <= 1
