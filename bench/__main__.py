"""`python -m bench`: see --help."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.peers import Found, find_programs, has_load
from bench.report import render_json, render_markdown, render_text
from bench.results import Row
from bench.rows import ROWS
from bench.servers import nginx
from bench.session import Session
from bench.spawn import BenchError

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure what is asked for; 0 when every goal was met, 1 when one was missed, 2 when nothing could be measured."""
    asked = _parse()
    programs = find_programs()
    for name in ("rollcheck", "wrk", "fortio", "hey", "locust", "nginx"):
        _say(f"{name:10} {programs[name].version or 'found' if name in programs else 'not found'}")
    if "nginx" not in programs:
        _say("the benchmark needs nginx as its target: apt-get install nginx-light, or NGINX=/path")
        return 2
    if len(os.sched_getaffinity(0)) < 2:
        _say("only one core: server and generator share it, so the figures say little")
    rows: list[Row] = []
    try:
        with nginx(programs["nginx"].argv[0]) as target:
            session = Session(
                programs=programs,
                stand_in=asked.engine or not has_load(programs["rollcheck"]),
                nginx=target,
                rounds=asked.rounds or (2 if asked.quick else 5),
                seconds=asked.seconds or (1 if asked.quick else 4),
                quick=asked.quick,
                long=asked.long,
                say=_say,
            )
            if session.stand_in:
                _say("rollcheck is measured by its engine alone (bench/drive.py)")
            for key in asked.only:
                rows.append(_measure(session, key))
                print(render_text(rows[-1]), flush=True)
    except KeyboardInterrupt:
        _say("interrupted; what was measured until now:")
    return _finish(rows, describe_machine(programs), _command())


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="rollcheck's load beside its peers'")
    parser.add_argument("--only", type=_keys, default=list(ROWS), help=f"rows, by comma: {','.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=0, help="how often each is measured (5; quick: 2)")
    parser.add_argument("--seconds", type=float, default=0, help="how long each time (4; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="within two minutes")
    parser.add_argument("--long", action="store_true", help="the hour at 10,000 per second as well")
    parser.add_argument("--engine", action="store_true", help="measure the engine alone, without the command around it")
    return parser.parse_args()


def _keys(text: str) -> list[str]:
    keys = [key.strip() for key in text.split(",") if key.strip()]
    unknown = [key for key in keys if key not in ROWS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    return keys


def _measure(session: Session, key: str) -> Row:
    title, measure = ROWS[key]
    row = Row(key, title)
    _say(f"{title} …")
    try:
        measure(session, row)
    except (BenchError, ValueError) as e:
        row.unknown("measured at all", str(e))
    return row


def _finish(rows: list[Row], machine: Mapping[str, Any], command: str) -> int:
    if not rows:
        return 2
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{time.strftime('%Y-%m-%dT%H%M%S')}.json"
    file.write_text(json.dumps(render_json(rows, machine, command), indent=1) + "\n")
    file.with_suffix(".md").write_text(render_markdown(rows, machine, command))
    _say(f"written: {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file} and .md")
    return 1 if any(goal.met is False for row in rows for goal in row.goals) else 0


def describe_machine(programs: Mapping[str, Found]) -> dict[str, Any]:
    """The shape of this machine: what a reader needs to judge figures, and no name of it."""
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
        "load_average": os.getloadavg(),
        "programs": {name: found.version for name, found in programs.items()},
    }


def _command() -> str:
    return shlex.join(["python", "-m", "bench", *sys.argv[1:]])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
