"""Strategies that leave a moment without any pod."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from blackbox import NOT_GRACEFUL, assert_attributed, assert_sums
from conftest import Story
from workloads import Workload

pytestmark = pytest.mark.cluster
Tell = Callable[..., Story]
GAP = {"ON_TERM": "drain", "DRAIN_WAIT": "0", "LISTEN_AFTER": "2"}
"""Old pods end in order but soon, new ones take two seconds: whatever the machine, there is a moment without any."""


def test_a_single_replica_that_may_be_unavailable_is_an_outage_by_its_strategy(tell: Tell):
    run = tell(Workload(env=GAP, replicas=1, rolling=(0, 1))).rollcheck()

    assert run.code == NOT_GRACEFUL, run
    assert run.modes[0] == 11, run
    assert run.lost("fresh")["connect/refused"] > 0, run
    assert_sums(run)
    assert_attributed(run)


def test_the_recreate_strategy_is_an_outage_by_its_strategy(tell: Tell):
    run = tell(Workload(env=GAP, replicas=2, strategy="Recreate")).rollcheck()

    assert run.code == NOT_GRACEFUL, run
    assert run.modes[0] == 13, run


def test_a_surge_of_nothing_that_rounds_to_one_unavailable_is_named(tell: Tell):
    run = tell(Workload(env=GAP, replicas=1, rolling=(0, "25%"))).rollcheck()

    assert run.code == NOT_GRACEFUL, run
    assert run.modes[0] == 12, run
