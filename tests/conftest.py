"""What holds for every test.

Properties are tried on the same examples every time, so that a change is held to what it changes (to look for more, set
ROLLCHECK_TEST_EXPLORE=1), and none fails for being slow: the machine may have other work.
"""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("steady", derandomize=not os.environ.get("ROLLCHECK_TEST_EXPLORE"), deadline=None)
settings.load_profile("steady")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """A command that was called in the tests' own process leaves no handler behind for the next test."""
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        if handler is not None:
            signal.signal(number, handler)
