"""Render tests tell runs with the stories of the analysis tests; golden files are rewritten on request."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "analyze"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

UPDATE = "ROLLCHECK_UPDATE_GOLDEN"


@pytest.fixture
def golden():
    """Compares bytes with a file of tests/render/golden, or writes them there when ROLLCHECK_UPDATE_GOLDEN is 1."""

    def compare(name: str | Path, data: bytes) -> None:
        path = HERE / "golden" / name
        if os.environ.get(UPDATE) == "1":
            path.write_bytes(data)
        assert path.exists(), f"no golden file {name}: write it with {UPDATE}=1"
        assert data.decode() == path.read_text(encoding="utf-8")

    return compare
