from rollcheck.load.cadence import Cadence

S = 1_000_000_000


def test_an_interval_that_was_cut_late_leaves_the_grid_where_it_is():
    cadence = Cadence(0.5, 0)

    assert [cadence.is_cut(now) for now in (S // 2 - 1, S // 2 + 7, S - 1, S)] == [False, True, False, True]


def test_intervals_that_were_slept_through_are_one():
    cadence = Cadence(0.5, 0)

    assert [cadence.is_cut(now) for now in (3 * S + 1, 3 * S + 2, 3 * S + S // 2)] == [True, False, True]


def test_a_sample_covers_a_second_from_the_one_before_it():
    cadence = Cadence(0.5, 0)

    assert [cadence.is_sample(now) for now in (S - 1, S + S // 2, 2 * S, 2 * S + S // 2)] == [False, True, False, True]


def test_nothing_is_due_before_the_earlier_of_both():
    cadence = Cadence(10, 5)

    assert cadence.next == S + 5
