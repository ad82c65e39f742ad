import pytest

from bench.peers import FORTIO, HEY, LOCUST, OURS, WRK, Count, Load, read_fortio, read_hey, read_locust, read_wrk
from bench.spawn import BenchError

URL = "http://127.0.0.1:8080/"

WRK_SAID = """Running 2s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.60ms    2.45ms  40.10ms   91.20%
  70912 requests in 2.01s, 10.89MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
Requests/sec:  35279.41
"""
HEY_SAID = """
Summary:
  Total:\t2.0031 secs
  Slowest:\t0.0404 secs

Response time histogram:
  0.000 [1]\t|
  0.004 [20]\t|■■

Status code distribution:
  [200]\t100 responses
  [503]\t20 responses

Error distribution:
  [7]\tGet "http://127.0.0.1:8080/": dial tcp 127.0.0.1:8080: connect: connection refused
"""


def test_wrk_is_read_by_its_line_of_requests_and_its_socket_errors() -> None:
    assert read_wrk(WRK_SAID) == Count(70912, 10, 2.01)


def test_wrk_without_errors_prints_none() -> None:
    assert read_wrk("  12 requests in 900.00ms, 1KB read\n") == Count(12, 0, 0.9)


def test_hey_answers_of_any_status_are_answers() -> None:
    assert read_hey(HEY_SAID) == Count(120, 7, 2.0031)


def test_fortio_counts_by_codes_of_which_minus_one_is_no_answer() -> None:
    said = 'Fortio says hello\n{"RetCodes": {"200": 5, "503": 2, "-1": 3}, "ActualDuration": 2500000000}\n'

    assert read_fortio(said) == Count(7, 3, 2.5)


def test_locust_failures_are_among_its_requests() -> None:
    said = '[{"num_requests": 10, "num_failures": 1, "start_time": 100.0, "last_request_timestamp": 102.0}]'

    assert read_locust(said) == Count(9, 1, 2.0)


@pytest.mark.parametrize("read", [read_wrk, read_hey, read_fortio, read_locust])
def test_a_generator_that_printed_no_count_is_an_error_that_shows_what_it_said(read: object) -> None:
    assert callable(read)
    with pytest.raises(BenchError, match="cannot connect"):
        read("cannot connect")


@pytest.mark.parametrize("generator", [OURS, WRK, FORTIO, HEY, LOCUST])
def test_every_generator_is_told_the_connections_and_the_target(generator: object) -> None:
    argv = generator.argv(Load(url=URL, connections=37, seconds=2))  # type: ignore[attr-defined]

    assert any("37" in word for word in argv)
    assert argv[-1].rstrip("/") == URL.rstrip("/")


def test_one_core_for_the_go_programs() -> None:
    assert FORTIO.env == HEY.env == {"GOMAXPROCS": "1"}


def test_hey_shares_its_rate_among_its_connections() -> None:
    argv = HEY.argv(Load(url=URL, connections=50, qps=1000))

    assert argv[argv.index("-q") + 1] == "20"


def test_fresh_connections_are_asked_for_in_each_generators_words() -> None:
    load = Load(url=URL, fresh=True)

    assert "Connection: close" in WRK.argv(load)
    assert "-keepalive=false" in FORTIO.argv(load)
    assert "-disable-keepalive" in HEY.argv(load)


def test_an_exact_number_of_calls_replaces_the_duration() -> None:
    argv = OURS.argv(Load(url=URL, calls=1, connections=1))

    assert argv[argv.index("-n") + 1] == "1"
    assert "-t" not in argv
