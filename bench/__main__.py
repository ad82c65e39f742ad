"""`python -m bench`: see --help."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

from bench.machine import QUIET, busy_share, describe_machine
from bench.peers import Found, find_programs
from bench.report import render_json, render_markdown, render_text, replace_figures
from bench.results import Goal, Row
from bench.rows import ROWS
from bench.servers import Nginx, nginx
from bench.session import Session
from bench.spawn import ROOT, BenchError

RESULTS = ROOT / "bench" / "results"
DOCS = ROOT / "docs" / "benchmarks.md"
INTERRUPTED = 130


def main() -> int:
    """Measure what is asked for.

    Returns:
        0 when no goal was missed, 1 when one was, 2 when nothing could be measured, 130 when interrupted.
    """
    asked = _parse()
    # Nginx and the generators end with us by a plain kill too, and when a shell started us in the background.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    # Ten thousand connections need as many files, in nginx too.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows: list[Row] = []
    try:
        programs = find_programs()
        busy = busy_share(0.5)
        _introduce(programs, busy)
        _measure_all(asked, programs, rows)
    except BenchError as e:
        _say(str(e))
        return 2
    except KeyboardInterrupt:
        _say("interrupted")
        if rows:
            _write(rows, describe_machine(programs, busy), docs=False)
        return INTERRUPTED
    _write(rows, describe_machine(programs, busy), docs=asked.docs)
    return 1 if any(goal.met is False for row in rows for goal in row.goals) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="rollcheck's load beside its peers'")
    parser.add_argument("--only", type=_keys, default=list(ROWS), help=f"rows, by comma: {','.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=0, help="how often each is measured (5; quick: 2)")
    parser.add_argument("--seconds", type=float, default=0, help="how long each time (4; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="within two minutes")
    parser.add_argument("--long", action="store_true", help="the hour at 10,000 per second as well")
    parser.add_argument("--engine", action="store_true", help="measure the engine alone, without the command around it")
    parser.add_argument("--docs", action="store_true", help="put the tables into docs/benchmarks.md")
    return parser.parse_args()


def _keys(text: str) -> list[str]:
    keys = [key.strip() for key in text.split(",") if key.strip()]
    unknown = [key for key in keys if key not in ROWS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    return keys


def _introduce(programs: Mapping[str, Found], busy: float) -> None:
    """Say what was found, and what speaks against keeping the figures."""
    for name in ("rollcheck", "wrk", "fortio", "hey", "locust", "nginx"):
        _say(f"{name:10} {programs[name].version or 'found' if name in programs else 'not found'}")
    if "nginx" not in programs:
        raise BenchError("the benchmark needs nginx as its target: apt-get install nginx-light, or NGINX=/path")
    if busy > QUIET:
        _say(f"this machine is {busy:.0%} busy with something else: good for trying it out, no figures to keep")
    if len(os.sched_getaffinity(0)) < 2:
        _say("only one core: server and generator share it, so the figures say little")


def _measure_all(asked: argparse.Namespace, programs: dict[str, Found], rows: list[Row]) -> None:
    """Fill `rows`, which keeps what there is when this is interrupted."""
    with nginx(programs["nginx"].argv[0]) as target:
        session = _make_session(asked, programs, target)
        for key in asked.only:
            rows.append(_measure(session, key))
            print(render_text(rows[-1]), flush=True)


def _make_session(asked: argparse.Namespace, programs: dict[str, Found], target: Nginx) -> Session:
    return Session(
        programs=programs,
        engine_alone=asked.engine,
        nginx=target,
        rounds=asked.rounds or (2 if asked.quick else 5),
        seconds=asked.seconds or (1 if asked.quick else 4),
        quick=asked.quick,
        long=asked.long,
        say=_say,
    )


def _measure(session: Session, key: str) -> Row:
    title, measure = ROWS[key]
    row = Row(key, title)
    _say(f"{title} …")
    began = time.monotonic()
    try:
        measure(session, row)
    except (BenchError, ValueError) as e:
        row.goals.append(Goal("can be measured", str(e), False))
    _say(f"  took {time.monotonic() - began:.0f} s")
    return row


def _write(rows: list[Row], machine: Mapping[str, Any], *, docs: bool) -> None:
    command = shlex.join(["python", "-m", "bench", *(word for word in sys.argv[1:] if word != "--docs")])
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{time.strftime('%Y-%m-%dT%H%M%S')}.json"
    file.write_text(json.dumps(render_json(rows, machine, command), indent=1) + "\n")
    tables = render_markdown(rows, machine, command)
    file.with_suffix(".md").write_text(tables)
    _say(f"written: {file.relative_to(ROOT)} and .md")
    if docs:
        DOCS.write_text(replace_figures(DOCS.read_text(), tables))
        _say(f"written: {DOCS.relative_to(ROOT)}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
