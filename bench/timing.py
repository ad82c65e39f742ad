"""Rows about time: is the rate held, are arrivals even, is what is reported of a stopped server true?"""

from __future__ import annotations

import time
from typing import Any

from bench.arithmetic import counts_per_window, deviation, median, percentile, summarise
from bench.peers import FORTIO, HEY, OURS, Generator, Load, read_json
from bench.results import Figure, Row
from bench.servers import GENERATOR_CORE, SERVER_CORE, witness
from bench.session import Session
from bench.spawn import BenchError, Child, keep_on, run, workers_of
from bench.truth import Stop, response_times, timetable

LIMIT_S = 60.0
POLL_S = 0.005
RATES = (1_000, 10_000, 50_000)
RATE_HELD = 0.001
LAG_P50_US, LAG_P99_US = 60, 500

EVEN_RATE = 1_000
WINDOW_NS = 10_000_000
SKIP_HEAD_NS, SKIP_TAIL_NS = 1_000_000_000, 500_000_000
"""What is left out of a run: connections are opened at its beginning, tools wind down at its end."""

STOP_NS = 1_400_000_000
DELAY_NS = 20_000_000
HONEST_RATE = 1_000
CONNECTIONS = 64
HONEST = 0.02
PERCENTILES = (50.0, 99.0, 99.9)


def latency_us(result: dict[str, Any], kind: str) -> dict[float, float]:
    """Percentile → microseconds, of one of rollcheck's histograms: response, service or lag.

    Raises:
        BenchError: its JSON has no such histogram.
    """
    try:
        found: dict[str, float] = result["rollcheck"]["latency"][kind]["percentiles_us"]
    except KeyError as e:
        raise BenchError(f"rollcheck's JSON has no {e} on the way to the percentiles of {kind!r}") from e
    return {float(percent): value for percent, value in found.items()}


def starved_share(result: dict[str, Any]) -> float:
    """For how much of its time rollcheck's worker could have run, but others had its core.

    Raises:
        BenchError: its JSON does not say.
    """
    try:
        return float(result["rollcheck"]["generator"]["starved_share"])
    except KeyError as e:
        raise BenchError(f"rollcheck's JSON has no {e} on the way to the share of time without a core") from e


def measure_paced(session: Session, row: Row) -> None:
    """Open loop: whether the rate is held, and how late requests leave, by our own account."""
    for rate in RATES:
        held, lags, starved = [], [], []
        for number in range(session.steady_rounds):
            load = Load(url=session.nginx.url, seconds=max(session.seconds, 2), qps=rate)
            with Child(session.argv(OURS, load)) as child:
                part(child, session)
                spent = child.wait(load.seconds + LIMIT_S)
            result = read_json(spent.out)
            count = OURS.read(spent.out)
            held.append(count.answered / count.seconds)
            lags.append(latency_us(result, "lag"))
            starved.append(1e3 * starved_share(result))
            session.say(
                f"  round {number + 1} {rate:6}/s: {held[-1]:9.1f}/s lag {lags[-1][50]:.0f} / {lags[-1][99]:.0f} µs"
                f" cpu {spent.cpu_s / spent.wall_s:.2f}, kept from its core {starved[-1]:.1f} ms a second"
            )
        who = f"rollcheck {rate:,}/s"
        row.figures.append(Figure(who, "requests per second", summarise(held)))
        row.figures += [Figure(who, f"lag p{p:g}, µs", summarise([lag[p] for lag in lags])) for p in PERCENTILES]
        row.figures.append(Figure(who, "kept from its core by others, ms a second", summarise(starved)))
        missed = median([deviation(seen, rate) for seen in held])
        row.at_most(f"{rate:,}/s held within 0.1 % (share missed)", missed, RATE_HELD)
        row.at_most(f"{rate:,}/s lag p50 ≤ {LAG_P50_US} µs", median([lag[50] for lag in lags]), LAG_P50_US)
        row.at_most(f"{rate:,}/s lag p99 ≤ {LAG_P99_US} µs", median([lag[99] for lag in lags]), LAG_P99_US)


def part(child: Child, session: Session) -> None:
    """Give the worker a core of its own, and the process that folds its numbers the server's.

    "On an otherwise idle core" is meant of the process that sends; on one core the two would measure each other.
    """
    until = time.monotonic() + LIMIT_S
    while not (workers := workers_of(child.pid)):
        if child.is_over_within(POLL_S) or time.monotonic() > until:
            session.say("  its worker was not seen: both ran on any core")
            return
    keep_on(child.pid, SERVER_CORE)
    for pid in workers:
        keep_on(pid, GENERATOR_CORE)


def measure_evenness(session: Session, row: Row) -> None:
    """1,000 per second: how many arrive in each 10 ms, by the server's own clock."""
    load = Load(url="", seconds=3 if session.quick else 6, qps=EVEN_RATE)
    turns = session.present(OURS, FORTIO, HEY)
    seen: dict[str, list[list[int]]] = {generator.name: [] for generator in turns}
    for number in range(session.steady_rounds):
        for generator in turns:
            counts = _arrivals(session, generator, load)
            seen[generator.name].append(counts)
            low, mid, high = (percentile(counts, p) for p in (1, 50, 99))
            session.say(f"  round {number + 1} {generator.name:18} per 10 ms: p1 {low:g} p50 {mid:g} p99 {high:g}")
    for generator in turns:
        for p in (1, 50, 99):
            values = [percentile(counts, p) for counts in seen[generator.name]]
            row.figures.append(Figure(generator.name, f"arrivals per 10 ms, p{p}", summarise(values)))
    row.at_least("p1 of arrivals per 10 ms ≥ 9", median([percentile(c, 1) for c in seen[OURS.name]]), 9)
    row.at_most("p99 of arrivals per 10 ms ≤ 11", median([percentile(c, 99) for c in seen[OURS.name]]), 11)


def _arrivals(session: Session, generator: Generator, load: Load) -> list[int]:
    """Arrivals in each 10 ms at a server of ours."""
    extra = ("-uniform", "-nocatchup") if generator is FORTIO else ()
    with witness("recorder") as server:
        asked = Load(url=server.url, seconds=load.seconds, qps=load.qps, connections=CONNECTIONS, extra=extra)
        run(session.argv(generator, asked), limit_s=load.seconds + LIMIT_S, core=GENERATOR_CORE, env=generator.env)
        stamps: list[int] = server.report()["stamps"]
    if not stamps:
        raise BenchError(f"{generator.name} sent nothing")
    counts = counts_per_window(stamps, WINDOW_NS, SKIP_HEAD_NS, int(load.seconds * 1e9) - SKIP_TAIL_NS)
    if not counts:
        raise BenchError("the run was too short to look at windows")
    return counts


def measure_honesty(session: Session, row: Row) -> None:
    """A server that stops for 1.4 s: reported percentiles beside the computed truth."""
    seconds = 8.0 if session.quick else 30.0
    for generator in session.present(OURS, FORTIO):
        with witness("stopping", delay_ns=DELAY_NS, after_ns=int(seconds / 3 * 1e9), stop_ns=STOP_NS) as server:
            load = Load(url=server.url, seconds=seconds, qps=HONEST_RATE, connections=CONNECTIONS)
            argv = session.argv(generator, load)
            out = run(argv, limit_s=seconds + LIMIT_S, core=GENERATOR_CORE, env=generator.env).out
            report = server.report()
        truth = _truth(report, seconds)
        result = read_json(out)
        if generator is OURS:
            _compare(row, "rollcheck response time", latency_us(result, "response"), truth)
            _compare(row, "rollcheck service time", latency_us(result, "service"), truth)
            for p in PERCENTILES:
                missed = deviation(latency_us(result, "response")[p], truth[p])
                row.at_most(f"response time p{p:g} within 2 % of the truth (share missed)", missed, HONEST)
        else:
            told = {one["Percentile"]: one["Value"] * 1e6 for one in result["DurationHistogram"]["Percentiles"]}
            _compare(row, generator.name, told, truth)


def _truth(report: dict[str, Any], seconds: float) -> dict[float, float]:
    """Percentile → microseconds that clients on the timetable had to wait.

    The delay is the server's own median, so that how late its timer rings is not held against anyone.
    """
    start = report["stopped_after_ns"]
    stop = Stop(delay_ns=report["delay_ns"], start_ns=start, end_ns=start + report["stopped_ns"])
    times = response_times(timetable(HONEST_RATE, seconds), CONNECTIONS, stop)
    return {p: percentile(times, p) / 1e3 for p in PERCENTILES}


def _compare(row: Row, who: str, told: dict[float, float], truth: dict[float, float]) -> None:
    for p in PERCENTILES:
        row.figures.append(Figure(who, f"p{p:g}, ms", summarise([told[p] / 1e3])))
        row.figures.append(Figure(who, f"p{p:g} of the truth, ms", summarise([truth[p] / 1e3])))
