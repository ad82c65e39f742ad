"""Tests that need io_uring, and whether this system lets them have it."""

import pytest

from rollcheck.load.together import Receiver


def _available() -> bool:
    try:
        Receiver(64).ring.close()
    except OSError:
        return False
    return True


needs_ring = pytest.mark.skipif(not _available(), reason="this system lets nobody have an io_uring")
