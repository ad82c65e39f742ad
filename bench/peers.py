"""The generators: which are on this machine, how each is told to put a load on, and how its count is read.

A peer is found by its variable (FORTIO=/path), then in `.peers/bin` (see `make bench-peers`), then on PATH.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.spawn import ROOT, BenchError, run

PEER_FOLDER = ROOT / ".peers" / "bin"
LOCUSTFILE = Path(__file__).parent / "locustfile.py"
ENGINE_ALONE = Path(__file__).parent / "drive.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to put on whom.

    Attributes:
        connections: kept alive, or, when `fresh`, at most at a time.
        seconds: how long; ignored when `calls` says how many.
        qps: 0 for as many as the answers allow.
        fresh: a connection for each request.
        insecure: the certificate is not checked.
        extra: flags of rollcheck or fortio's own, for those two.
    """

    url: str
    connections: int = 64
    seconds: float = 5
    qps: float = 0
    calls: int = 0
    fresh: bool = False
    insecure: bool = False
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Count:
    """What a generator says that it did.

    Attributes:
        answered: requests that got an answer, whatever its status.
        failed: requests that got none.
        seconds: how long it says that took.
    """

    answered: int
    failed: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """One generator in one of its ways of working.

    Attributes:
        name: as it stands in tables: "fortio -stdclient".
        program: the file's name: "fortio".
        start: what the command line begins with.
        argv: the rest of it for a load.
        read: what it printed → its count.
        env: variables it needs; the Go ones get one core like all others.
        once_needs_silence: it cannot send just one request, so that its start-up is measured on a server that never
            answers.
    """

    name: str
    program: str
    start: tuple[str, ...]
    argv: Callable[[Load], list[str]]
    read: Callable[[str], Count]
    env: Mapping[str, str] = field(default_factory=dict)
    once_needs_silence: bool = False


def wrk_argv(load: Load) -> list[str]:
    """Wrk knows no single request: its shortest run is a second."""
    seconds = max(1, round(load.seconds)) if not load.calls else 1
    close = ["-H", "Connection: close"] if load.fresh else []
    return ["-t1", f"-c{load.connections}", f"-d{seconds}s", *close, load.url]


def hey_argv(load: Load) -> list[str]:
    """Hey's -c may not exceed its -n; its -q is per connection; it never checks certificates."""
    much = ["-n", str(load.calls)] if load.calls else ["-z", f"{load.seconds:g}s"]
    rate = ["-q", f"{load.qps / load.connections:g}"] if load.qps else []
    close = ["-disable-keepalive"] if load.fresh else []
    return [*much, "-c", str(load.connections), "-cpus", "1", *rate, *close, load.url]


def fortio_argv(load: Load) -> list[str]:
    """The command line that fortio and rollcheck share."""
    much = ["-n", str(load.calls)] if load.calls else ["-t", f"{load.seconds:g}s"]
    flags = [*(["-keepalive=false"] if load.fresh else []), *(["-k"] if load.insecure else []), *load.extra]
    return ["-c", str(load.connections), "-qps", f"{load.qps:g}", *much, *flags, "-quiet", "-json", "-", load.url]


def locust_argv(load: Load) -> list[str]:
    """Users are locust's connections; the locustfile stops each after one request when asked for a single one.

    A run takes three seconds or more: starting alone costs it one.
    """
    seconds = max(3, round(load.seconds)) if not load.calls else 1
    users = ["--users", str(load.connections), "--spawn-rate", str(load.connections)]
    quiet = ["--headless", "--only-summary", "--skip-log", "--json", "--loglevel", "ERROR"]
    stop = ["--run-time", f"{seconds}s", "--stop-timeout", "0"]
    return ["-f", str(LOCUSTFILE), *quiet, *users, *stop, "--host", load.url.rstrip("/")]


def read_wrk(out: str) -> Count:
    """From `N requests in S s` and its line of socket errors."""
    found = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b", out)
    if found is None:
        raise BenchError(f"wrk printed no count: {out[-300:].strip()}")
    unit = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[found[3]]
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    failed = sum(map(int, errors.groups())) if errors else 0
    return Count(int(found[1]), failed, float(found[2]) * unit)


def read_hey(out: str) -> Count:
    """From its distributions of statuses and errors."""
    total = re.search(r"Total:\s+([\d.]+) secs", out)
    if total is None:
        raise BenchError(f"hey printed no count: {out[-300:].strip()}")
    answered = sum(int(n) for n in re.findall(r"^\s*\[\d{3}\]\s+(\d+) responses", out, re.MULTILINE))
    failed = sum(int(n) for n in re.findall(r"^\s*\[(\d+)\]\s+(?!\d+ responses)\S", out, re.MULTILINE))
    return Count(answered, failed, float(total[1]))


def read_fortio(out: str) -> Count:
    """From fortio's JSON, which rollcheck writes too."""
    result = read_json(out)
    codes: dict[str, int] = result["RetCodes"] or {}
    failed = codes.get("-1", 0)
    return Count(sum(codes.values()) - failed, failed, result["ActualDuration"] / 1e9)


def read_json(out: str) -> dict[str, Any]:
    """The JSON object that was printed.

    Raises:
        BenchError: there is none.
    """
    try:
        result: dict[str, Any] = json.loads(out[out.index("{") :])
    except ValueError as e:
        raise BenchError(f"no JSON was printed but: {out[-300:].strip()!r}") from e
    return result


def read_locust(out: str) -> Count:
    """From the list of its statistics, one entry a name of request."""
    try:
        entries = json.loads(out[out.index("[") :])
    except ValueError as e:
        raise BenchError(f"locust printed no statistics but: {out[-300:].strip()!r}") from e
    asked = sum(entry["num_requests"] for entry in entries)
    failed = sum(entry["num_failures"] for entry in entries)
    span = max((entry["last_request_timestamp"] - entry["start_time"] for entry in entries), default=0.0)
    return Count(asked - failed, failed, span)


ONE_CORE = {"GOMAXPROCS": "1"}
OURS = Generator(name="rollcheck", program="rollcheck", start=("load",), argv=fortio_argv, read=read_fortio)
WRK = Generator(name="wrk", program="wrk", start=(), argv=wrk_argv, read=read_wrk, once_needs_silence=True)
FORTIO = Generator(name="fortio", program="fortio", start=("load",), argv=fortio_argv, read=read_fortio, env=ONE_CORE)
FORTIO_STD = replace(FORTIO, name="fortio -stdclient", start=("load", "-stdclient"))
HEY = Generator(name="hey", program="hey", start=(), argv=hey_argv, read=read_hey, env=ONE_CORE)
LOCUST = Generator(name="locust", program="locust", start=(), argv=locust_argv, read=read_locust)
GENERATORS = (OURS, WRK, FORTIO, FORTIO_STD, HEY, LOCUST)

VERSION_FLAGS = {"wrk": "-v", "fortio": "version", "locust": "--version", "nginx": "-v", "rollcheck": "--version"}


@dataclass(frozen=True, slots=True)
class Found:
    """A program on this machine.

    Attributes:
        argv: what starts it.
        version: as it says itself; empty when it does not (hey).
    """

    argv: tuple[str, ...]
    version: str


def find_programs() -> dict[str, Found]:
    """The programs that are here, by name; rollcheck is always."""
    found = {"rollcheck": _find_ours()}
    for program in ("wrk", "fortio", "hey", "locust", "nginx"):
        path = os.environ.get(program.upper()) or _in_folder(program) or shutil.which(program)
        if path:
            found[program] = Found((path,), _version((path,), program))
    return found


def _in_folder(program: str) -> str:
    path = PEER_FOLDER / program
    return str(path) if os.access(path, os.X_OK) else ""


def _find_ours() -> Found:
    """The installed command, or the package beside this folder."""
    beside = Path(sys.executable).parent / "rollcheck"
    argv = (str(beside),) if beside.exists() else (sys.executable, "-m", "rollcheck")
    return Found(argv, _version(argv, "rollcheck"))


def _version(argv: Sequence[str], program: str) -> str:
    if program not in VERSION_FLAGS:
        return ""
    spent = run([*argv, VERSION_FLAGS[program]], limit_s=30)
    found = re.search(r"\d+\.\d+[\w.+-]*", spent.out + spent.err)
    return found[0] if found else ""
