from fractions import Fraction
from itertools import islice, pairwise
from math import e

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.errors import UsageError
from rollcheck.load.pacer import ENDLESS, RandomPacer, RateStage, StagedPacer, parse_stages, plan_constant

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


STAGES = st.lists(
    st.builds(RateStage, st.floats(0, 2000), st.floats(0, 2000), st.floats(0.01, 3)), min_size=1, max_size=4
).filter(lambda stages: sum(stage.arrivals for stage in stages) >= 1)


@given(STAGES)
@settings(max_examples=30)
def test_staged_arrivals_never_go_back_in_time_and_end_with_the_stages(stages):
    pacer = StagedPacer(tuple(stages))
    whole = sum(stage.arrivals for stage in stages)
    offsets = list(islice(pacer.offsets(0, 1), int(whole) + 2))

    assert offsets == sorted(offsets)
    assert sum(offset < ENDLESS for offset in offsets) == pytest.approx(whole, abs=1)
    assert max(offset for offset in offsets if offset < ENDLESS) <= pacer.length_ns + 1


@given(STAGES, st.floats(0, 10))
@settings(max_examples=30)
def test_a_staged_count_is_the_number_of_arrivals_before_an_offset(stages, seconds):
    pacer = StagedPacer(tuple(stages))
    offset = int(seconds * 1e9)
    offsets = islice(pacer.offsets(0, 1), int(sum(stage.arrivals for stage in stages)) + 2)

    assert pacer.count(offset) == sum(due < offset for due in offsets)


def test_a_ramp_is_half_done_in_arrivals_when_its_rate_says_so():
    pacer = StagedPacer((RateStage(0, 1000, 2),))

    # 0 to 1,000/s in 2 s: 250·t² arrivals by t.
    assert pacer.offset_ns(250) == pytest.approx(1e9, abs=1)
    assert pacer.count(2 * 10**9) == 1000


@pytest.mark.parametrize("spread", ["poisson", "jitter"])
def test_the_same_seed_gives_the_same_timetable(spread):
    first, second = (list(islice(RandomPacer(plan_constant(100), 5, spread).offsets(0, 1), 500)) for _ in range(2))

    assert first == second == sorted(first)
    assert first != list(islice(RandomPacer(plan_constant(100), 6, spread).offsets(0, 1), 500))


@pytest.mark.parametrize("spread", ["poisson", "jitter"])
def test_the_workers_of_a_random_timetable_share_it(spread):
    pacer = RandomPacer(plan_constant(100), 5, spread)
    parts = [list(islice(pacer.offsets(k, 3), 100)) for k in range(3)]

    assert [offset for trio in zip(*parts, strict=True) for offset in trio] == list(islice(pacer.offsets(0, 1), 300))


@pytest.mark.parametrize("spread", ["poisson", "jitter"])
def test_a_random_count_is_the_number_of_arrivals_before_an_offset(spread):
    pacer = RandomPacer(plan_constant(1000), 5, spread)
    offsets = list(islice(pacer.offsets(0, 1), 3000))

    for offset in (0, 10**8, 10**9, 10**8, 2 * 10**9):
        assert pacer.count(offset) == sum(due < offset for due in offsets)


def test_poisson_gaps_are_exponential():
    offsets = list(islice(RandomPacer(plan_constant(1000), 5, "poisson").offsets(0, 1), 20_000))
    gaps = [b - a for a, b in pairwise(offsets)]

    assert sum(gaps) / len(gaps) == pytest.approx(1e6, rel=0.03)
    assert sum(gap > 1e6 for gap in gaps) / len(gaps) == pytest.approx(1 / e, rel=0.03)


def test_jitter_moves_an_arrival_by_a_tenth_of_a_gap_at_most():
    offsets = list(islice(RandomPacer(plan_constant(1000), 5, "jitter").offsets(0, 1), 2000))

    assert all(abs(offset - i * 1e6) <= 1e5 for i, offset in enumerate(offsets))


@pytest.mark.parametrize(
    ("text", "stages"),
    [
        ("100:30,500:60", (RateStage(100, 100, 30), RateStage(500, 500, 60))),
        ("100-500:30", (RateStage(100, 500, 30),)),
        ("0..50:2, 0:1", (RateStage(0, 50, 2), RateStage(0, 0, 1))),
    ],
)
def test_stages_are_steps_ramps_and_pauses(text, stages):
    assert parse_stages(text, float) == stages


@pytest.mark.parametrize(
    "text", ["", "100", "100:", "x:30", "100:x", "0:30", "100:0", "100:-5", "1e9:30", "100:30,,", "1.2.3:4"]
)
def test_what_is_no_stage_is_refused_by_name(text):
    with pytest.raises(UsageError, match="stage"):
        parse_stages(text, float)
