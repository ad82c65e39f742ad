import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcheck.analyze.load import summarise
from rollcheck.render.loadtext import own_lines, span
from rollcheck.render.spark import BLOCKS, grouped, spark
from rollcheck.render.text import cells
from tests.analyze.load_facts import document, header, health, interval


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


@pytest.mark.parametrize(("starved_ns", "told"), [(0, False), (500_000, False), (12_000_000, True)])
def test_the_line_about_the_generator_says_when_others_had_its_processor(starved_ns, told):
    facts = (health(0, lags=[1], starved_ns=starved_ns), interval(0, [1]))
    summary = summarise(document(*facts, head=header()))
    text = " ".join(" ".join(own_lines(summary, (), quiet=False, width=80, colour=False)).split())

    assert ("; others had its processor 1.2% of the time;" in text) is told
