import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.analyze import hdr
from rollcheck.errors import DocumentError
from tests.analyze.load_facts import blob

VALUES = st.lists(st.integers(1, 3_600_000_000), min_size=1, max_size=40)
few = settings(max_examples=12, deadline=None)


def recorded(values):
    return hdr.decoded(blob(values))


def test_slots_are_those_of_the_library():
    histogram = hdr.empty()
    low, high = hdr.slots(histogram)

    for index in (0, 1, 2047, 2048, 2049, 3071, 3072, 10_000, histogram.counts_len - 1):
        value = histogram.get_value_from_index(index)
        assert low[index] == value
        assert high[index] == histogram.get_highest_equivalent_value(value)


@pytest.mark.parametrize("values", [[1], [2047, 2048, 2049, 4096], [3, 3, 3_600_000_000, 77_777, 1_000_001]])
def test_mean_and_deviation_are_those_of_the_library(values):
    histogram = recorded(values)
    mean, deviation = hdr.mean_and_deviation(histogram)

    assert mean == pytest.approx(histogram.get_mean_value(), rel=1e-9)
    assert deviation == pytest.approx(histogram.get_stddev(), rel=1e-6, abs=1e-3)


@given(VALUES, st.floats(0.1, 100))
@few
def test_a_percentile_has_at_least_its_share_at_or_below_it_and_no_smaller_slot_has(values, percent):
    histogram = recorded(values)
    found = hdr.value_at(histogram, percent)

    wanted = percent / 100 * len(values) * (1 - 1e-8)
    below = sum(1 for v in values if v <= found)
    in_its_slot = histogram.get_count_at_value(found)
    assert below >= wanted
    assert below - in_its_slot < wanted


def test_a_percentile_of_three_values_is_not_rounded_down():
    assert hdr.values_at(recorded([10, 20, 30]), [33, 34, 66, 67, 75, 100]) == [10, 20, 20, 30, 30, 30]


def test_a_product_of_floats_does_not_lift_a_rank():
    assert hdr.value_at(recorded(range(1, 1001)), 99.9) == 999


@given(VALUES)
@few
def test_extremes_hold_every_value(values):
    low, high = hdr.extremes(recorded(values))

    assert low <= min(values) <= max(values) <= high
    assert high <= max(values) * 1.001


@given(VALUES, st.integers(1, 2_000))
@few
def test_values_from_a_limit_on_are_counted(values, limit):
    assert hdr.count_from(recorded(values), limit) == sum(1 for v in values if v >= limit)


@given(VALUES, VALUES)
@few
def test_a_sum_of_histograms_is_the_histogram_of_all_values(one, other):
    assert hdr.summed([recorded(one), None, recorded(other)]).encode() == recorded(one + other).encode()


def test_a_sum_leaves_its_parts_alone():
    part = recorded([5])
    hdr.summed([part, recorded([7])])

    assert part.get_total_count() == 1


@given(VALUES)
@few
def test_filling_is_recording(values):
    filled = hdr.empty()
    hdr.fill(filled, np.array(values), np.ones(len(values), dtype=np.int64))

    assert filled.encode() == recorded(values).encode()
    assert filled.get_total_count() == len(values)


def test_nothing_has_no_percentile():
    assert hdr.values_at(None, [50]) == []
    assert hdr.value_at(hdr.empty(), 50) is None
    assert hdr.decoded("") is None
    assert hdr.summed([]) is None


@pytest.mark.parametrize("text", ["!", "abc", "HISTFAAAAAA="])
def test_what_is_no_histogram_is_a_document_error(text):
    with pytest.raises(DocumentError, match="cannot be read"):
        hdr.decoded(text)


def test_a_histogram_of_another_shape_is_a_document_error():
    other = HdrHistogram(1, 1_000_000, 2)
    other.record_value(5)

    with pytest.raises(DocumentError, match="not of microseconds"):
        hdr.decoded(other.encode().decode())


def test_what_is_held_is_everything_in_order():
    index, times = hdr.held(recorded([5, 5, 9]))

    assert list(index) == [5, 9]
    assert list(times) == [2, 1]
