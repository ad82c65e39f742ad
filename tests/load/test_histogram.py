import math
from array import array

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.load.histogram import DIGITS, HIGHEST_US, LOWEST_US, Histogram

VALUES = st.lists(st.integers(0, HIGHEST_US), max_size=200)


def record_one_by_one(values):
    h = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
    for value in values:
        assert h.record_value(value)
    return h


def filled(values):
    histogram = Histogram()
    histogram.record(np.array(values, dtype=np.int64))
    return histogram


def test_powers_of_two_and_their_neighbours_land_where_the_library_puts_them():
    values = [v for power in range(32) for v in (2**power - 1, 2**power, 2**power + 1) if v <= HIGHEST_US]

    assert filled(values).encode() == record_one_by_one(values).encode().decode()


@given(VALUES.filter(len))
@settings(max_examples=50)
def test_a_bulk_fill_encodes_to_the_librarys_own_bytes(values):
    assert filled(values).encode() == record_one_by_one(values).encode().decode()


@given(VALUES.filter(len))
@settings(max_examples=50)
def test_total_and_extremes_are_the_librarys(values):
    ours, theirs = filled(values), record_one_by_one(values)

    assert (ours.total, ours.max_us) == (theirs.get_total_count(), theirs.max_value)
    assert ours._hdr.min_value == theirs.min_value


@given(st.integers(0, HIGHEST_US), st.integers(0, 50))
@settings(max_examples=50)
def test_many_equal_values_at_once_are_the_same_as_one_by_one(value, times):
    at_once = Histogram()
    at_once.record_equal(value, times)

    assert at_once.encode() == filled([value] * times).encode()


@given(VALUES.filter(len), st.floats(0, 100))
@settings(max_examples=50)
def test_a_percentile_is_the_value_of_that_rank_to_one_part_in_a_thousand(values, percent):
    rank = max(1, math.ceil(percent / 100 * len(values) - 1e-9))
    exact = sorted(values)[rank - 1]

    assert exact <= filled(values).percentile(percent) <= exact * 1.001 + 1


@given(VALUES, VALUES)
@settings(max_examples=30)
def test_merging_blobs_is_recording_everything(first, second):
    merged = Histogram.decode(filled(first).encode())
    merged.merge(Histogram.decode(filled(second).encode()))

    assert merged.total == len(first) + len(second)
    assert (merged._counts() == filled(first + second)._counts()).all()


def test_an_empty_histogram_is_an_empty_blob():
    assert Histogram().encode() == ""
    assert Histogram.decode("").total == 0
    assert Histogram().percentile(99) == 0


def test_a_value_out_of_range_is_counted_at_the_edge_and_said():
    histogram = filled([-5, HIGHEST_US + 1, 7])

    assert histogram.total == 3
    assert histogram.clamped == 2


def test_nanoseconds_are_cut_to_whole_microseconds():
    histogram = Histogram()
    histogram.record_ns(array("q", [1_999, 2_000]))

    assert [histogram.percentile(50), histogram.percentile(100)] == [1, 2]


@pytest.mark.parametrize("count", [1, 3, 1000])
def test_recording_in_pieces_is_recording_at_once(count):
    values = np.arange(count, dtype=np.int64) * 37
    pieces = Histogram()
    for value in values:
        pieces.record(np.array([value], dtype=np.int64))

    assert pieces.encode() == filled(values).encode()
