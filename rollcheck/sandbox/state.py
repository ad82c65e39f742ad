"""What a sandbox leaves in its folder for those who want to use or end it.

state.json      who it is: its process, its API server
kubeconfig      the way in, for kubectl and rollcheck
sandbox.log     what it said since it is ready
lock            locked for as long as it lives, so that a process number is never taken for somebody else's
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rollcheck.errors import UsageError

STATE, KUBECONFIG, LOG, LOCK = "state.json", "kubeconfig", "sandbox.log", "lock"
LOOK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A sandbox that runs.

    Attributes:
        pid: its process.
        server: URL of its API server; context: what its kubeconfig calls it.
        version: what the API server says.
        nodes: name → address.
        started: RFC 3339.
    """

    pid: int
    server: str
    context: str
    version: str
    nodes: dict[str, str]
    started: str


@contextmanager
def held(folder: Path, state: State, kubeconfig: str) -> Iterator[None]:
    """Write the files of a sandbox that runs, and hold its lock meanwhile; they go with the folder."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (folder / KUBECONFIG).touch(mode=0o600)
        (folder / KUBECONFIG).write_text(kubeconfig)
        (folder / STATE).write_text(json.dumps(asdict(state)))
        yield
    finally:
        os.close(descriptor)


def find(folder: Path) -> State | None:
    """The sandbox that runs in that folder, None when none does."""
    try:
        state = State(**json.loads((folder / STATE).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return state if _locked(folder) else None


def clear(folder: Path) -> None:
    """Remove what a sandbox left that ended without its warden; anything else in the folder is not ours to remove.

    Raises:
        UsageError: the folder is in use, or is not a sandbox's.
    """
    if not folder.exists():
        return
    if state := find(folder):
        raise UsageError(
            f"a sandbox runs in {folder} already ({state.server}); end it with `rollcheck sandbox down --dir {folder}`"
        )
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; choose another one with --dir")
    if (folder / STATE).exists() and (folder / LOCK).exists():
        shutil.rmtree(folder)
    elif next(folder.iterdir(), None) is not None:
        raise UsageError(f"{folder} is not empty and no sandbox's; choose another folder with --dir")


def end(folder: Path, patience_s: float) -> bool:
    """End the sandbox of that folder and wait until nothing of it is left; False when it took too long."""
    state = find(folder)
    if state is None:
        clear(folder)
        return True
    with suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGTERM)
    until = time.monotonic() + patience_s
    while folder.exists() and time.monotonic() < until:
        time.sleep(LOOK_S)
    return not folder.exists()


def _locked(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
