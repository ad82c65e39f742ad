"""The machine that is measured on: its shape, and whether it has anything else to do."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.peers import Found

QUIET = 0.1
"""Figures taken while a larger share of the machine was busy are not worth keeping."""


def describe_machine(programs: Mapping[str, Found], busy: float) -> dict[str, Any]:
    """What a reader needs to judge figures; no name of this machine, no path on it."""
    info = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count() or 1,
        "processor": models[0] if models else "",
        "memory_gb": round(memory / 2**30),
        "kernel": ".".join(platform.release().split("-")[0].split(".")[:2]),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "busy_before": round(busy, 2),
        "programs": {name: found.version for name, found in programs.items()},
    }


def busy_share(seconds: float) -> float:
    """Share of all cores' time that was not idle, over the next moment."""
    before = _ticks()
    time.sleep(seconds)
    return share_busy(before, _ticks())


def share_busy(before: Sequence[int], after: Sequence[int]) -> float:
    """The same from two readings of proc(5)'s first line: user, nice, system, idle, iowait, irq, softirq, steal."""
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return 1 - (spent[3] + spent[4]) / sum(spent) if sum(spent) else 0.0


def _ticks() -> list[int]:
    return [int(ticks) for ticks in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
