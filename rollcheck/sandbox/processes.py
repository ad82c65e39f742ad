"""What the system knows of processes: for the warden, which loads this file by its path. Standard library only."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "ROLLCHECK_CONTAINER"
"""Set in the environment of every process of a container: tells whose a stray is."""
LOOKS, LOOK_S, ASLEEP = 250, 0.002, 5
"""How often at most, and how far apart, it is looked whether a signal stays blocked; with how many looks at a
sleeper it does."""


def find_program(name: str, env: dict[str, str]) -> str:
    """The path of a program as execvp(3) finds it; OSError when there is none."""
    if "/" in name:
        return name
    for folder in env.get("PATH", os.defpath).split(os.pathsep):
        path = Path(folder) / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise FileNotFoundError(2, "executable file not found in $PATH")


def own_children() -> Iterator[int]:
    """The pids of our children, those included that came to us; nothing where there is no /proc."""
    me = os.getpid()
    try:
        yield from map(int, Path(f"/proc/{me}/task/{me}/children").read_bytes().split())
        return
    except OSError:
        pass
    with suppress(OSError):
        for path in Path("/proc").iterdir():
            if path.name.isdigit() and read_stat(int(path.name))[:1] == [me]:
                yield int(path.name)


def read_stat(pid: int) -> list[int]:
    """Parent and process group of a process; nothing when it is gone."""
    with suppress(OSError, ValueError):
        return [int(n) for n in Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1:3]]
    return []


def belongs(pid: int, container: str, leaders: set[int]) -> bool:
    """Whether a stray is of a container: by its group, or by the mark in its first environment."""
    if leaders & set(read_stat(pid)[1:]):
        return True
    with suppress(OSError):
        return f"{MARK}={container}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def reaches_process_one(pid: int, number: int) -> bool:
    """Whether the kernel would deliver this signal to process 1: it is caught or blocked. True where nobody can say.

    Blocked means blocked for good, as by a program that sleeps until a signal comes: while it forks, every program
    blocks them all for a moment, which on a busy machine lasts until it gets its turn.
    """
    if number == signal.SIGKILL:
        return True
    asleep = 0
    for _ in range(LOOKS):
        try:
            said = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            caught, blocked = (int(said[name], 16) >> (number - 1) & 1 for name in ("SigCgt", "SigBlk"))
        except (OSError, KeyError):
            return True
        if caught or not blocked:
            return bool(caught) or _waits_for_signals(pid)
        asleep += said.get("State", "").strip().startswith("S")
        if asleep == ASLEEP:
            break
        time.sleep(LOOK_S)
    return True


def _waits_for_signals(pid: int) -> bool:
    """Whether it is in sigwait(3), for whose time Linux shows a signal as not blocked; False where nobody can say."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/wchan").read_text().startswith("do_sigtimedwait")
    return False
