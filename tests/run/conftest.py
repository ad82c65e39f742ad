"""A cluster that plays a Deployment, a target, and rollcheck run on both: in this process, or in one of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollcheck import conductor
from rollcheck.analyze import generator
from rollcheck.kube.actions import watching
from tests.fakes.cluster import Cluster
from tests.fakes.target import Target
from tests.run.stage import Stand


@pytest.fixture(autouse=True)
def no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """How busy the machine of the tests is must not decide a verdict; that it does is tested in tests/analyze."""
    monkeypatch.setattr(generator, "LAG_P99_LIMIT_US", 10_000_000)
    monkeypatch.setattr(generator, "STALL_LIMIT_NS", 10_000_000_000)


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a real cluster is given seconds, this one needs none."""
    monkeypatch.setattr(conductor, "STUCK_PATIENCE_S", 0.2)
    monkeypatch.setattr(watching, "SETTLE_S", 0.2)


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """The command line sets handlers of its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as playing:
        yield playing


@pytest.fixture
def target(cluster: Cluster) -> Iterator[Target]:
    def next_pod() -> str:
        serving = cluster.serving_pods()
        return serving[server.answered % len(serving)] if serving else ""

    with Target(next_pod) as server:
        yield server


@pytest.fixture
def stand(cluster: Cluster, target: Target, tmp_path: Path) -> Stand:
    """Both, and the way to run rollcheck on them."""
    return Stand(cluster=cluster, target=target, folder=tmp_path)
