import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.analyze.hdr import decoded
from rollcheck.facts.wiretotals import Moments
from rollcheck.render.buckets import Distribution, of_latencies, of_moments
from tests.analyze.load_facts import blob, moments

# What fortio 1.68.0's own histogram made of these values, at two resolutions.
REAL = json.loads((Path(__file__).parent / "data" / "fortio-buckets.json").read_text())


def of(values, resolution=0.001, percentiles=(50.0, 99.0), offset=0.0):
    return of_latencies(decoded(blob(values)), percentiles, resolution=resolution, offset=offset)


@pytest.mark.parametrize("resolution", ["0.001", "0.0001"])
def test_buckets_are_filled_as_fortio_fills_them(resolution):
    theirs = REAL["by_resolution"][resolution]
    ours = of(REAL["values_us"], float(resolution))

    assert [(b.count, b.percent) for b in ours.buckets] == [(b["Count"], b["Percent"]) for b in theirs["Data"]]
    inner = [(b.start, b.end) for b in ours.buckets[1:-1]]
    assert inner == [(b["Start"], b["End"]) for b in theirs["Data"][1:-1]]
    assert ours.buckets[-1].start == theirs["Data"][-1]["Start"]


def test_figures_are_fortios_to_a_thousandth():
    theirs, ours = REAL["by_resolution"]["0.001"], of(REAL["values_us"])

    assert ours.count == theirs["Count"]
    assert ours.low == pytest.approx(theirs["Min"], abs=1e-6)
    for mine, name in ((ours.high, "Max"), (ours.total, "Sum"), (ours.mean, "Avg"), (ours.deviation, "StdDev")):
        assert mine == pytest.approx(theirs[name], rel=0.001)


def test_percentiles_are_not_read_off_the_buckets():
    # fortio says 457 µs of values of 49 µs: all are in its first bucket.
    assert of([49] * 1000, percentiles=(50.0,)).percentiles == ((50.0, 0.000049),)


@given(st.lists(st.integers(1, 200_000_000), min_size=1, max_size=50), st.sampled_from([1e-6, 1e-4, 1e-3, 0.02]))
@settings(max_examples=30, deadline=None)
def test_buckets_hold_every_value_once_and_end_at_the_extremes(values, resolution):
    found = of(values, resolution)

    assert sum(b.count for b in found.buckets) == found.count == len(values)
    assert found.buckets[0].start == found.low
    assert found.buckets[-1].end == found.high
    assert found.buckets[-1].percent == 100.0
    assert all(one.percent < next_.percent for one, next_ in zip(found.buckets, found.buckets[1:], strict=False))
    assert found.low <= found.mean <= found.high


def test_an_offset_is_where_the_first_bucket_ends():
    found = of([900, 1_100, 3_500], offset=0.001)

    assert [(b.start, b.end, b.count) for b in found.buckets] == [
        (0.0009, 0.001, 1),
        (0.001, 0.002, 1),
        (0.003, 0.003501, 1),
    ]


def test_what_is_beyond_the_last_edge_has_a_bucket():
    found = of([50, 900_000], resolution=1e-6)

    assert (found.buckets[-1].start, found.buckets[-1].count) == (pytest.approx(0.1), 1)


def test_nothing_is_an_empty_distribution():
    assert of_latencies(None, (50.0,), resolution=0.001) == Distribution()
    assert of_moments(Moments()) == Distribution()


def test_moments_are_one_bucket():
    found = of_moments(moments([100, 300]), per=1000)

    assert (found.count, found.mean, found.deviation, found.total) == (2, 0.2, 0.1, 0.4)
    assert [(b.start, b.end, b.count, b.percent) for b in found.buckets] == [(0.1, 0.3, 2, 100.0)]
