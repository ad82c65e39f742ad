"""The engine alone, with the few flags of fortio's that the benchmark uses: for figures of the core by itself.

    python bench/drive.py -c 64 -qps 0 -t 5s URL

Unlike `rollcheck load` this renders nothing and starts no process of its own, so that the difference between the two
is what the command costs around its engine. Prints JSON with fortio's names.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import trio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rollcheck.errors import UsageError
from rollcheck.facts.attempts import Interval, Lane
from rollcheck.facts.document import Fact, LanePlan
from rollcheck.facts.health import HealthSample
from rollcheck.load.engine import Engine
from rollcheck.load.histogram import Histogram
from rollcheck.load.plan import LoadPlan, parse_target

NEARLY_CLOSED_QPS = 50_000
"""Asked for when this engine has no closed loop."""


def main() -> None:
    """Put the load on and print what came of it."""
    asked = _parse()
    facts: list[Fact] = []
    engine, closed = _make_engine(asked, facts)
    began = time.monotonic_ns()
    trio.run(_drive, engine, asked.t, asked.n)
    print(json.dumps(_result(engine, facts, time.monotonic_ns() - began, closed)))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("-c", type=int, default=64)
    parser.add_argument("-qps", type=float, default=0)
    parser.add_argument("-t", type=lambda text: float(text.removesuffix("s")), default=5)
    parser.add_argument("-n", type=int, default=0)
    parser.add_argument("-keepalive", type=lambda text: text != "false", default=True)
    parser.add_argument("-k", action="store_true")
    parser.add_argument("-quiet", action="store_true")
    parser.add_argument("-json", default="-")
    parser.add_argument("url")
    return parser.parse_args()


def _make_engine(asked: argparse.Namespace, facts: list[Fact]) -> tuple[Engine, bool]:
    lane = LanePlan(lane=Lane.REUSED if asked.keepalive else Lane.FRESH, share=1, connections=asked.c)
    plan: dict[str, Any] = {
        "target": parse_target(asked.url),
        "lanes": (lane,),
        "timeout_s": 3600,
        "verify_tls": not asked.k,
    }
    try:
        return Engine(LoadPlan(qps=asked.qps, **plan), facts.append), not asked.qps
    except UsageError:
        return Engine(LoadPlan(qps=NEARLY_CLOSED_QPS, **plan), facts.append), False


async def _drive(engine: Engine, seconds: float, calls: int) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.run)
        if not calls:
            await trio.sleep(seconds)
        while calls and sum(engine.scheduled.values()) < calls:  # noqa: ASYNC110 - the engine tells nobody
            await trio.sleep(0.001)
        # What still waits is no part of a closed loop, and would take long to end.
        if calls or not engine.plan.qps:
            engine.stop()
        else:
            engine.abandon()


def _result(engine: Engine, facts: list[Fact], took_ns: int, closed: bool) -> dict[str, Any]:
    histograms = {"lag": Histogram(), "response": Histogram(), "service": Histogram()}
    codes: Counter[str] = Counter()
    for fact in facts:
        if isinstance(fact, HealthSample) and fact.lag_hdr:
            histograms["lag"].merge(Histogram.decode(fact.lag_hdr))
        if isinstance(fact, Interval):
            codes.update(fact.statuses)
            if fact.ok:
                histograms["response"].merge(Histogram.decode(fact.response_hdr))
                histograms["service"].merge(Histogram.decode(fact.service_hdr))
    progress = engine.progress()
    if progress.failed:
        codes["-1"] = progress.failed
    latency = {
        name: {"percentiles_us": {f"{p:g}": histogram.percentile(p) for p in (50, 90, 99, 99.9)}}
        for name, histogram in histograms.items()
    }
    counts = {name: getattr(progress, name) for name in ("scheduled", "ok", "failed", "not_sent")}
    own = {"closed_loop": closed, "counts": counts, "latency": latency}
    return {"RetCodes": codes, "ActualDuration": took_ns, "rollcheck": own}


if __name__ == "__main__":
    main()
