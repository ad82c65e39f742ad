from collections.abc import Iterator

import pytest
import scripted
from hypothesis import settings

# Other work on the machine must not fail a property for being slow.
settings.register_profile("load", deadline=None)
settings.load_profile("load")


@pytest.fixture
def server() -> Iterator[scripted.Server]:
    with scripted.Server() as running:
        yield running
