"""The rows of the table, in its order: each a function that measures and judges."""

from __future__ import annotations

from collections.abc import Callable

from bench.cost import measure_memory, measure_start
from bench.exact import measure_counting, measure_workers
from bench.peers import FORTIO, FORTIO_STD, HEY, LOCUST, OURS, WRK, Load
from bench.rates import judge_ratio, measure_rates
from bench.results import Row
from bench.sandbox import measure_sandbox
from bench.session import Session
from bench.timing import measure_evenness, measure_honesty, measure_paced

LONGER = 2
"""Where CPU time is compared, runs are longer: what a run costs at its end, whatever its length, counts for less."""


def measure_closed(session: Session, row: Row) -> None:
    """Closed loop: how many requests a CPU second of the generator is good for."""
    generators = session.present(OURS, WRK, FORTIO, FORTIO_STD, HEY, LOCUST)
    series = measure_rates(session, row, generators, Load(url=session.nginx.url, seconds=LONGER * session.seconds))
    for other, floor in (("wrk", 0.85), ("fortio", 1.15), ("fortio -stdclient", 4), ("hey", 4), ("locust", 15)):
        judge_ratio(row, series, other, floor)


def measure_fresh(session: Session, row: Row) -> None:
    """A fresh connection for each request."""
    load = Load(url=session.nginx.url, seconds=LONGER * session.seconds, fresh=True)
    series = measure_rates(session, row, session.present(OURS, WRK, FORTIO), load)
    for per_cpu in (True, False):
        judge_ratio(row, series, "wrk", 0.8, per_cpu=per_cpu)


def measure_tls(session: Session, row: Row) -> None:
    """TLS, connections kept."""
    load = Load(url=session.nginx.tls_url, seconds=LONGER * session.seconds, insecure=True)
    series = measure_rates(session, row, session.present(OURS, WRK, FORTIO), load)
    for per_cpu in (True, False):
        judge_ratio(row, series, "fortio", 1, per_cpu=per_cpu)


ROWS: dict[str, tuple[str, Callable[[Session, Row], None]]] = {
    "closed": ("closed loop, 64 connections", measure_closed),
    "workers": ("two workers on one timetable", measure_workers),
    "fresh": ("fresh connection per request", measure_fresh),
    "tls": ("TLS, keep-alive, 64 connections", measure_tls),
    "paced": ("open loop, 64 connections", measure_paced),
    "even": ("evenness at 1,000 per second, seen by the server", measure_evenness),
    "honesty": ("a server that stops for 1.4 s", measure_honesty),
    "memory": ("memory", measure_memory),
    "start": ("start", measure_start),
    "counting": ("counting", measure_counting),
    "sandbox": ("the sandbox", measure_sandbox),
}
