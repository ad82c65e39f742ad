import math

import pytest

from rollcheck.render.gofmt import duration, shortest, significant, timestamp

# Each expected text is what Go 1.26 printed for that value.


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1"),
        (75, "75"),
        (100000, "100000"),
        (999999, "999999"),
        (1000000, "1e+06"),
        (1234567.25, "1.23456725e+06"),
        (123456789, "1.23456789e+08"),
        (22500000, "2.25e+07"),
        (5.833e-05, "5.833e-05"),
        (0.0001, "0.0001"),
        (0.00012, "0.00012"),
        (0.30520308399999996, "0.30520308399999996"),
        (99.95, "99.95"),
        (1e20, "1e+20"),
        (1e-7, "1e-07"),
        (math.pi, "3.141592653589793"),
        (-0.25, "-0.25"),
    ],
)
def test_a_number_without_precision_reads_as_in_go(value, text):
    assert shortest(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1234567.25, 8, "1234567.2"),
        (123456789, 8, "1.2345679e+08"),
        (123456789, 9, "123456789"),
        (100000, 4, "1e+05"),
        (22500, 4, "2.25e+04"),
        (5.833e-05, 6, "5.833e-05"),
        (0, 8, "0"),
        (99.95, 5, "99.95"),
    ],
)
def test_a_number_with_precision_reads_as_in_go(value, digits, text):
    assert significant(value, digits) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (999, "999ns"),
        (1000, "1µs"),
        (1500, "1.5µs"),
        (999999, "999.999µs"),
        (1000000, "1ms"),
        (11758956, "11.758956ms"),
        (100000, "100µs"),
        (1000000000, "1s"),
        (3001396926, "3.001396926s"),
        (59999999999, "59.999999999s"),
        (60000000000, "1m0s"),
        (61500000000, "1m1.5s"),
        (3600000000000, "1h0m0s"),
        (3661000000001, "1h1m1.000000001s"),
        (86400000000000, "24h0m0s"),
        (123456789012345, "34h17m36.789012345s"),
    ],
)
def test_a_duration_reads_as_in_go(ns, text):
    assert duration(ns) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (1795244988154965961, "2026-11-21T07:09:48.154965961Z"),
        (1795244988000000000, "2026-11-21T07:09:48Z"),
        (1795244988100000000, "2026-11-21T07:09:48.1Z"),
        (1795244988000000001, "2026-11-21T07:09:48.000000001Z"),
        (0, "1970-01-01T00:00:00Z"),
    ],
)
def test_a_time_reads_as_in_go(ns, text):
    assert timestamp(ns) == text
