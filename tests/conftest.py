"""What holds for every test."""

import signal
from collections.abc import Iterator

import pytest

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """A command that was called in the tests' own process leaves no handler behind for the next test."""
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        if handler is not None:
            signal.signal(number, handler)
