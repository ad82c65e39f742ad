from hypothesis import given
from hypothesis import strategies as st

from bench.arithmetic import percentile
from bench.truth import Stop, response_times, timetable

MS = 1_000_000
NEVER = Stop(delay_ns=20 * MS, start_ns=0, end_ns=0)


def test_a_timetable_is_even_and_ends_before_its_end() -> None:
    assert timetable(1000, 0.004) == [0, MS, 2 * MS, 3 * MS]


def test_a_server_that_never_stops_takes_its_delay() -> None:
    assert response_times([0, MS, 2 * MS], 64, NEVER) == [20 * MS] * 3


def test_with_too_few_connections_clients_wait_in_line() -> None:
    assert response_times([0, 0, 0], 1, NEVER) == [20 * MS, 40 * MS, 60 * MS]


def test_what_comes_during_the_stop_is_read_at_its_end() -> None:
    stop = Stop(delay_ns=20 * MS, start_ns=100 * MS, end_ns=1500 * MS)

    assert response_times([600 * MS], 64, stop) == [920 * MS]


def test_an_answer_that_was_due_during_the_stop_leaves_at_its_end() -> None:
    stop = Stop(delay_ns=20 * MS, start_ns=100 * MS, end_ns=1500 * MS)

    assert response_times([90 * MS], 64, stop) == [1410 * MS]


def test_a_stop_of_a_twentieth_of_the_run_shows_at_p99_but_not_at_p50() -> None:
    stop = Stop(delay_ns=20 * MS, start_ns=10_000 * MS, end_ns=11_400 * MS)
    times = response_times(timetable(1000, 30), 3000, stop)

    assert percentile(times, 50) == 20 * MS
    # Slower are 300 of 30,000: the 20 that were under way, and the 280 that came first in the stop.
    assert percentile(times, 99) == 1420 * MS - 280 * MS
    assert max(times) == 1420 * MS


def test_with_few_connections_the_line_that_a_stop_leaves_takes_its_time_too() -> None:
    stop = Stop(delay_ns=20 * MS, start_ns=10_000 * MS, end_ns=11_400 * MS)

    # Each 20 ms after the stop the next 64 get their turn; the 300th from the slowest is in the fifth such lot.
    assert percentile(response_times(timetable(1000, 30), 64, stop), 99) == 1220 * MS


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=60), st.integers(1, 5))
def test_nobody_is_served_faster_than_the_delay_and_no_more_are_served_at_once_than_there_are_connections(
    offsets: list[int], connections: int
) -> None:
    arrivals = sorted(offset * MS for offset in offsets)
    stop = Stop(delay_ns=20 * MS, start_ns=500 * MS, end_ns=900 * MS)
    times = response_times(arrivals, connections, stop)
    ended = [arrival + taken for arrival, taken in zip(arrivals, times, strict=True)]

    assert min(times) >= 20 * MS
    for start in ended:
        assert sum(start <= end < start + 20 * MS for end in ended if not 900 * MS <= end < 940 * MS) <= connections
