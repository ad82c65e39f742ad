"""The limit on open files, raised as far as it may be."""

import resource
from dataclasses import replace

import pytest

from rollcheck.errors import UsageError
from rollcheck.load.plan import LoadPlan, parse_target
from rollcheck.openfiles import ENOUGH, allow_files
from rollcheck.run import files_of, lanes_of

UNLIMITED = resource.RLIM_INFINITY


@pytest.fixture
def limits(monkeypatch):
    """A machine whose limits the test says."""
    state = {"now": (1024, 4096), "refuses": False}

    def set_limit(_, wanted):
        if state["refuses"]:
            raise ValueError("not allowed to raise maximum limit")
        state["now"] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _: state["now"])
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    return state


@pytest.mark.parametrize(
    ("before", "needed", "after"),
    [
        ((1024, 4096), 100, (4096, 4096)),
        ((1024, 1_000_000_000), 100, (ENOUGH, 1_000_000_000)),
        ((1024, UNLIMITED), 100, (ENOUGH, UNLIMITED)),
        ((1024, UNLIMITED), 100_000, (100_000, UNLIMITED)),
        ((100_000, 100_000), 100, (100_000, 100_000)),
        ((UNLIMITED, UNLIMITED), 100, (UNLIMITED, UNLIMITED)),
    ],
)
def test_the_soft_limit_is_raised_to_the_hard_one_or_to_enough(limits, before, needed, after):
    limits["now"] = before
    allow_files(needed, "lower it")

    assert limits["now"] == after


def test_a_hard_limit_that_is_too_low_is_named_with_the_way_out(limits):
    with pytest.raises(UsageError, match=r"5,000 files open at once, and no more than 4,096.*or lower it"):
        allow_files(5000, "lower it")


def test_a_system_that_does_not_let_us_is_no_fault_while_the_soft_limit_will_do(limits):
    limits["refuses"] = True
    allow_files(1000, "lower it")

    with pytest.raises(UsageError, match="no more than 1,024"):
        allow_files(2000, "lower it")


def test_a_load_may_need_a_file_for_each_request_that_can_be_under_way():
    load = LoadPlan(target=parse_target("http://x.test/"), qps=200, lanes=lanes_of(200, 16, 0.5), timeout_s=3)

    assert files_of(load) == 16 + 16 + 301 + 64
    assert files_of(replace(load, qps=100_000, lanes=lanes_of(100_000, 16, 1))) == 1000 + 64
