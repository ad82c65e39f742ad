"""Rows about what a run takes beside CPU: memory as it runs, time until its first request."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from bench.arithmetic import median, summarise
from bench.peers import FORTIO, HEY, LOCUST, OURS, WRK, Generator, Load, read_json
from bench.results import Figure, Row
from bench.servers import GENERATOR_CORE
from bench.session import Session
from bench.spawn import BenchError, Child, processes_of, run

LIMIT_S = 60.0
LATE = 1.2
"""How much longer than asked an hour may take on a machine that has something else to do."""
SAMPLE_S = 0.25
MEMORY_RATE = 10_000
WORKER_MB, MANY_MB = 150, 200
GROWTH_MB_PER_HOUR = 10.0
MANY = 10_000
PATIENT = ("-timeout", "30s")
"""So many connections at once take their time; this row is about memory."""
SPARE_FILES = 100
HOUR_S = 3600
FIRST_MS, HELP_MS = 300, 250
START_ROUNDS = 10


def resident_mb(pid: int) -> float:
    """Memory that it holds now, megabytes of 10⁶ bytes; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / 1e6


def watch_memory(child: Child, seconds: float) -> list[list[float]]:
    """Every quarter of a second, what each process of the run holds, until it ends."""
    samples = []
    until = time.monotonic() + seconds
    while not child.is_over_within(SAMPLE_S):
        if time.monotonic() > until:
            raise BenchError(f"a run was not over within {seconds:.0f} s")
        samples.append([resident_mb(pid) for pid in processes_of(child.pid)])
    return samples


def growth_per_hour(greatest: Sequence[float], seconds_between: float) -> float:
    """How fast memory grows: from the median of the second quarter of a run to that of its last.

    The first quarter is left out: imports and first histograms are no leak.
    """
    quarter = len(greatest) // 4
    if not quarter:
        raise ValueError("too few looks at memory; measure longer")
    early, late = median(greatest[quarter : 2 * quarter]), median(greatest[-quarter:])
    # Their middles lie 2 quarters and a remainder apart.
    apart = (len(greatest) - quarter / 2) - 1.5 * quarter
    return (late - early) / (apart * seconds_between) * 3600


def measure_memory(session: Session, row: Row) -> None:
    """10,000 per second for a while, or for an hour; then 10,000 connections."""
    seconds = float(HOUR_S) if session.long else (4.0 if session.quick else 20.0)
    load = Load(url=session.nginx.url, seconds=seconds, qps=MEMORY_RATE)
    samples = _watch(session, row, f"{MEMORY_RATE:,}/s for {seconds:g} s", load)
    greatest = [max(sample) for sample in samples]
    what = f"at {MEMORY_RATE:,}/s, {seconds:g} s"
    row.at_most(f"no process above {WORKER_MB} MB {what}", max(greatest), WORKER_MB)
    if session.long:
        grown = growth_per_hour(greatest, SAMPLE_S)
        row.at_most(f"flat: at most {GROWTH_MB_PER_HOUR:g} MB more an hour", grown, GROWTH_MB_PER_HOUR)
    else:
        row.unknown("one hour under 150 MB, flat", "the hour at 10,000 per second is measured by --long only")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and files < MANY + SPARE_FILES:
        row.unknown(f"{MANY:,} connections under {MANY_MB} MB", f"only {files} files may be open here")
        return
    many = Load(
        url=session.nginx.url, seconds=4 if session.quick else 10, qps=MANY / 2, connections=MANY, extra=PATIENT
    )
    samples = _watch(session, row, f"{MANY:,} connections", many)
    row.at_most(f"{MANY:,} connections: no process above {MANY_MB} MB", max(map(max, samples)), MANY_MB)


def _watch(session: Session, row: Row, what: str, load: Load) -> list[list[float]]:
    with Child(session.argv(OURS, load), core=GENERATOR_CORE) as child:
        samples = watch_memory(child, load.seconds * LATE + LIMIT_S)
        spent = child.wait(1)
    if not samples:
        raise BenchError(f"the run was over at once: {spent.err[-300:].strip()}")
    count = OURS.read(spent.out)
    sockets = read_json(spent.out).get("SocketCount", 0)
    session.say(f"  {what}: {count.answered} answers, {count.failed} failures, {sockets} sockets")
    if count.failed:
        row.notes.append(f"{what}: {count.failed} of {count.answered + count.failed} requests failed")
    greatest, whole = max(map(max, samples)), max(map(sum, samples))
    row.figures.append(Figure("rollcheck", f"{what}: greatest process at its peak, MB", summarise([greatest])))
    row.figures.append(Figure("rollcheck", f"{what}: all its processes at their peak, MB", summarise([whole])))
    return samples


def measure_start(session: Session, row: Row) -> None:
    """From exec to the first byte of a request at a listener; and how long --help takes."""
    rounds = 2 if session.quick else START_ROUNDS
    turns = session.present(OURS, WRK, FORTIO, HEY, LOCUST)
    times: dict[str, list[float]] = {generator.name: [] for generator in turns}
    for number in range(rounds + 1):
        for generator in turns:
            taken = first_request_ms(session, generator)
            # The first time, Python writes its byte code and files come from the disk.
            if number:
                times[generator.name].append(taken)
    for name, seen in times.items():
        row.figures.append(Figure(name, "ms to the first request", summarise(seen)))
    row.at_most(f"first request on the wire ≤ {FIRST_MS} ms", median(times[OURS.name]), FIRST_MS)
    for words in (["--help"], ["load", "--help"]):
        argv = [*session.programs["rollcheck"].argv, *words]
        seen = [run(argv, limit_s=LIMIT_S, core=GENERATOR_CORE).wall_s * 1e3 for _ in range(rounds + 1)][1:]
        what = f"rollcheck {' '.join(words)}"
        row.figures.append(Figure("rollcheck", f"ms for {' '.join(words)}", summarise(seen)))
        row.at_most(f"{what} ≤ {HELP_MS} ms", median(seen), HELP_MS)


def first_request_ms(session: Session, generator: Generator) -> float:
    """Milliseconds from just before the process is made until a request's first byte is here.

    Raises:
        BenchError: none came.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        listener.settimeout(LIMIT_S)
        load = Load(url=f"http://127.0.0.1:{listener.getsockname()[1]}/", seconds=1)
        argv = session.argv(generator, load)
        # On any core, as it is started by hand. It is not asked to end in good order: it would wait for an answer that
        # never comes.
        with Child(argv, env=generator.env, patience_s=0) as child:
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(LIMIT_S)
                    connection.recv(1)
                    return (time.monotonic() - child.started) * 1e3
            except TimeoutError as e:
                raise BenchError(f"{generator.name} sent nothing: {child.said()[-300:].strip()}") from e
