"""Requests per CPU second of the generator: closed loop, fresh connections, TLS. Peers take turns within each round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bench.arithmetic import median, net_rate, ratios, summarise
from bench.peers import Generator, Load
from bench.results import Figure, Row
from bench.servers import GENERATOR_CORE, silence
from bench.session import Session
from bench.spawn import BenchError, run

STARTUP_ROUNDS = 3
LIMIT_S = 60.0
"""How much longer than asked a generator may take before it is ended."""


@dataclass(slots=True)
class Series:
    """What one generator did, round by round.

    Attributes:
        rates: requests per CPU second, start-up left out.
        throughputs: requests per second.
        startup_s: CPU seconds of a run with one request, the median.
    """

    rates: list[float] = field(default_factory=list)
    throughputs: list[float] = field(default_factory=list)
    startup_s: float = 0.0


def measure_rates(session: Session, row: Row, generators: Sequence[Generator], load: Load) -> dict[str, Series]:
    """Let the generators take turns on `load`, and put what they did into the row.

    A generator that cannot do it is left out and named in the row's notes.
    """
    series: dict[str, Series] = {}
    for generator in generators:
        try:
            series[generator.name] = Series(startup_s=measure_startup(session, generator, load))
        except BenchError as e:
            row.notes.append(f"{generator.name}: {e}")
    turns = [generator for generator in generators if generator.name in series]
    left_out: set[str] = set()
    for number in range(session.rounds):
        # Each round begins with another one: none always runs after the same neighbour.
        shift = number % max(len(turns), 1)
        for generator in turns[shift:] + turns[:shift]:
            if generator.name in left_out:
                continue
            try:
                _measure_once(session, generator, load, series[generator.name], number)
            except (BenchError, ValueError) as e:
                row.notes.append(f"{generator.name}, left out after round {number}: {e}")
                left_out.add(generator.name)
                del series[generator.name]
    for generator in turns:
        if generator.name in left_out:
            continue
        seen = series[generator.name]
        row.figures.append(Figure(generator.name, "requests per CPU second", summarise(seen.rates)))
        row.figures.append(Figure(generator.name, "requests per second", summarise(seen.throughputs)))
        row.figures.append(Figure(generator.name, "CPU ms to start", summarise([seen.startup_s * 1e3])))
    return series


def measure_startup(session: Session, generator: Generator, load: Load) -> float:
    """CPU seconds of a run that sends one request: its start, its connection, its summary."""
    with silence() as silent_url:
        url = silent_url if generator.once_needs_silence else load.url
        once = replace(load, url=url, calls=1, connections=1, qps=0)
        argv = session.argv(generator, once)
        env = {**generator.env, "BENCH_ONCE": "1"}
        spent = [
            run(argv, limit_s=LIMIT_S, core=GENERATOR_CORE, env=env)
            for _ in range(1 if session.quick else STARTUP_ROUNDS)
        ]
    return median([one.cpu_s for one in spent])


def _measure_once(session: Session, generator: Generator, load: Load, series: Series, number: int) -> None:
    argv = session.argv(generator, load)
    spent = run(argv, limit_s=load.seconds + LIMIT_S, core=GENERATOR_CORE, env=generator.env)
    try:
        count = generator.read(spent.out)
    except BenchError as e:
        raise BenchError(f"{generator.name} (exit code {spent.code}): {e}; stderr: {spent.err[-300:].strip()}") from e
    if not count.answered or not count.seconds:
        raise BenchError(
            f"{generator.name} (exit code {spent.code}) had no answers; stderr: {spent.err[-300:].strip()}"
        )
    if count.failed > count.answered // 1000:
        raise BenchError(f"{generator.name} had {count.failed} failures beside {count.answered} answers")
    rate = net_rate(count.answered, spent.cpu_s, series.startup_s)
    series.rates.append(rate)
    series.throughputs.append(count.answered / count.seconds)
    session.say(
        f"  round {number + 1} {generator.name:18} {count.answered / count.seconds:9.0f}/s"
        f" {rate:9.0f} per CPU s = {1e6 / rate:6.2f} µs CPU a request"
    )


def judge_ratio(row: Row, series: dict[str, Series], other: str, floor: float, *, per_cpu: bool = True) -> None:
    """The median, over the rounds, of rollcheck's rate ÷ the other's must reach `floor`.

    Args:
        per_cpu: go by requests per CPU second; else by requests per second, which the server may limit.
    """
    measure = "requests per CPU second" if per_cpu else "requests per second"
    what = f"{measure} ≥ {floor:g} × {other}"
    if other not in series or "rollcheck" not in series:
        row.unknown(what, f"{other} or rollcheck could not be measured")
        return
    ours, theirs = series["rollcheck"], series[other]
    seen = ratios(ours.rates, theirs.rates) if per_cpu else ratios(ours.throughputs, theirs.throughputs)
    row.figures.append(Figure(f"rollcheck ÷ {other}", measure, summarise(seen)))
    row.at_least(what, median(seen), floor)
