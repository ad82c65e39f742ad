"""One browser for the tests of a module that ask for one; they are skipped where there is none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import MISSING, Browser, browser, there_is_one


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not there_is_one():
        pytest.skip(MISSING)
    with browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for pages to be opened from."""
    return tmp_path_factory.mktemp("pages")
