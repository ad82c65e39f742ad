import os
import resource
from collections.abc import Iterator

import pytest

from rollcheck.analyze import loadaudit
from tests.load.scripted import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A load in this process neither minds a busy machine nor leaves its mark on the process."""
    monkeypatch.setattr(loadaudit, "STALL_LIMIT_NS", 10**18)
    monkeypatch.setattr(loadaudit, "LAG_P99_LIMIT_US", 10**12)
    monkeypatch.setattr("rollcheck.analyze.load.STALL_LIMIT_NS", 10**18)
    monkeypatch.setattr(os, "nice", lambda by: 0)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
