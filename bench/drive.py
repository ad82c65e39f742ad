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

from rollcheck.facts.attempts import Interval, Lane
from rollcheck.facts.document import LanePlan
from rollcheck.facts.health import HealthSample
from rollcheck.load.engine import Engine
from rollcheck.load.histogram import Histogram
from rollcheck.load.intervals import Settler
from rollcheck.load.plan import LoadPlan, parse_target


def main() -> None:
    """Put the load on and print what came of it."""
    asked = _parse()
    seen: list[Any] = []
    engine = _make_engine(asked, seen)
    began = time.monotonic_ns()
    trio.run(engine.run)
    took = time.monotonic_ns() - began
    settler = Settler()
    print(json.dumps(_result(engine, [fact for raw in seen for fact in settler.take(raw)], took)))


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


def _make_engine(asked: argparse.Namespace, seen: list[Any]) -> Engine:
    # As `rollcheck load` plans it.
    plan = LoadPlan(
        target=parse_target(asked.url),
        lanes=(LanePlan(lane=Lane.REUSED, share=1, connections=asked.c),),
        qps=asked.qps,
        keep_alive=asked.keepalive,
        probe=False,
        calls=asked.n,
        duration_s=0 if asked.n else asked.t,
        verify_tls=not asked.k,
    )
    # As in the processes of `rollcheck load`, which leave histograms to the one that started them.
    return Engine(plan, seen.append, raw=True)


def _result(engine: Engine, facts: list[Any], took_ns: int) -> dict[str, Any]:
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
    own = {"counts": counts, "latency": latency}
    return {"RetCodes": codes, "ActualDuration": took_ns, "rollcheck": own}


if __name__ == "__main__":
    main()
