"""A sandbox in a process of its own, from the side of whoever starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rollcheck.errors import ClusterError, UsageError
from rollcheck.sandbox import state
from rollcheck.sandbox.settings import Settings
from rollcheck.sandbox.state import State

ENDS_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A sandbox that runs.

    Attributes:
        warnings: sentences about what is not as it was asked for.
    """

    folder: Path
    state: State
    warnings: tuple[str, ...]

    @property
    def kubeconfig(self) -> str:
        """Path of its kubeconfig."""
        return str(self.folder / state.KUBECONFIG)


@contextmanager
def owned(settings: Settings) -> Iterator[Box]:
    """A sandbox that lives as long as the block, and no longer than this process.

    Raises:
        UsageError: it cannot be made as asked for.
        ClusterError: it ended by itself while it started.
    """
    with tempfile.TemporaryFile() as words:
        child = _start(settings, words)
        try:
            yield _ready(child, words)
        finally:
            _end(child)


def detached(settings: Settings) -> Box:
    """A sandbox that lives on after this process.

    Raises:
        UsageError: it cannot be made as asked for.
        ClusterError: it ended by itself while it started.
    """
    with tempfile.TemporaryFile() as words:
        child = _start(settings, words)
        try:
            box = _ready(child, words)
        except BaseException:
            child.terminate()
            _end(child)
            raise
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()
    child.returncode = 0  # it is nobody's child from here on: subprocess would warn of it
    return box


def _start(settings: Settings, words: IO[bytes]) -> subprocess.Popen[bytes]:
    # Its own session: the terminal's Ctrl-C is for whoever started it, and the end of that is its end too.
    child = subprocess.Popen(  # our own program
        [sys.executable, "-P", "-m", "rollcheck.sandbox"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=words,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert child.stdin is not None
    with suppress(BrokenPipeError):  # it says why on its standard output
        child.stdin.write(settings.line())
        child.stdin.flush()
    return child


def _ready(child: subprocess.Popen[bytes], words: IO[bytes]) -> Box:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        code = child.wait()
        words.seek(0)
        last = words.read().decode(errors="replace").strip().split("\n")[-1]
        raise ClusterError(f"the sandbox ended while it started, with {code}: {last or 'without a word'}")
    told: dict[str, Any] = json.loads(line)
    if "error" in told:
        raise (UsageError if told["code"] == UsageError.exit_code else ClusterError)(told["error"])
    return Box(folder=Path(told["folder"]), state=State(**told["ready"]), warnings=tuple(told["warnings"]))


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let it end, and wait for that: its standard input ends, which is how it knows."""
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    try:
        child.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()  # its warden ends what it leaves
        child.wait()
