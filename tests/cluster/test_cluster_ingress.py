"""The same workloads through an Ingress controller, where a refused connection becomes a 502."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from blackbox import NOT_GRACEFUL, assert_graceful, assert_sums
from clusterside import Cluster
from conftest import Story
from workloads import DRAINS, EXITS_AT_ONCE, Workload

pytestmark = pytest.mark.cluster
Tell = Callable[..., Story]


@pytest.fixture(autouse=True, scope="module")
def ingress_controller(cluster: Cluster) -> None:
    if not cluster.has_ingress_class():
        pytest.skip(f"the cluster has no IngressClass {cluster.ingress_class}: cluster up --ingress")


def test_an_exit_at_once_shows_as_502_and_is_named_as_what_it_is(tell: Tell):
    run = tell(Workload(env=EXITS_AT_ONCE, ingress=True)).rollcheck()

    assert run.code == NOT_GRACEFUL, run
    assert run.result["target"]["route"] == "ingress", run
    assert run.modes[0] == 1, run
    assert run.lost()["await/bad_status 502"] + run.lost()["body/bad_status 502"] > 0, run
    assert_sums(run)


def test_an_app_that_waits_and_drains_is_graceful_through_the_ingress(tell: Tell):
    run = tell(Workload(env=DRAINS, ingress=True, replicas=2)).rollcheck()

    assert_graceful(run)


def test_an_ingress_without_any_backend_is_an_outage_by_the_strategy_whatever_it_answers(tell: Tell):
    gap = {"ON_TERM": "drain", "DRAIN_WAIT": "0", "LISTEN_AFTER": "2"}

    run = tell(Workload(env=gap, replicas=1, rolling=(0, 1), ingress=True)).rollcheck()

    assert run.code == NOT_GRACEFUL, run
    assert run.result["target"]["route"] == "ingress", run
    assert run.modes[0] == 11, run
    assert_sums(run)
