"""rollcheck's command line as a shell calls it, in the tests' own process: an interpreter takes a second to start."""

from __future__ import annotations

import sys
from unittest import mock

import pytest

from rollcheck.cli import main


def call(*arguments: str) -> int:
    """The exit code."""
    with mock.patch.object(sys, "argv", ["rollcheck", *arguments]), pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)
