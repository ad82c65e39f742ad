from collections.abc import Iterator

import pytest
import scripted


@pytest.fixture
def server() -> Iterator[scripted.Server]:
    with scripted.Server() as running:
        yield running


@pytest.fixture(autouse=True)
def no_collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine collects garbage before it begins: with a heap like pytest's that is most of a short run's time."""
    monkeypatch.setattr("rollcheck.load.collector.gc.collect", lambda: 0)
