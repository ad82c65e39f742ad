import os

import pytest

from bench.cost import growth_per_hour, resident_mb
from bench.machine import share_busy
from bench.spawn import processes_of


def test_memory_that_stays_has_not_grown() -> None:
    assert growth_per_hour([10.0, 30.0] + [50.0] * 38, 0.25) == 0


def test_growth_is_told_per_hour() -> None:
    # One megabyte more with each look, four looks a second.
    assert growth_per_hour([float(n) for n in range(40)], 0.25) == pytest.approx(4 * 3600)


def test_too_few_looks_say_nothing() -> None:
    with pytest.raises(ValueError, match="measure longer"):
        growth_per_hour([1.0, 2.0, 3.0], 0.25)


def test_this_process_is_among_its_processes_and_holds_memory() -> None:
    assert processes_of(os.getpid())[0] == os.getpid()
    assert 1 < resident_mb(os.getpid()) < 10_000


def test_a_process_that_is_gone_holds_nothing() -> None:
    assert resident_mb(2**22 + 1) == 0


def test_waiting_for_a_disk_is_not_being_busy() -> None:
    assert share_busy([0] * 8, [10, 0, 10, 60, 20, 0, 0, 0]) == pytest.approx(0.2)
