"""Rows about counts: what the server did and what is reported must be the same number, not nearly."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram

from bench.peers import OURS, Load, read_json
from bench.results import Goal, Row
from bench.servers import GENERATOR_CORE, witness
from bench.session import Session
from bench.spawn import BenchError, run

LIMIT_S = 60.0
RUNS = 20
CALLS = 1_000
TIMEOUT = "300ms"
SETTLE_S = 2.0

WAYS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("closed loop", {"qps": 0}),
    ("open loop", {"qps": 2_000}),
    ("fresh connections", {"qps": 0, "fresh": True}),
    ("open loop, fresh connections", {"qps": 1_000, "fresh": True}),
)
ANSWERED_OK = ("ok", "slow", "ok and close", "ok, then hang up")
"""What the hostile server does that ends in a whole, good answer."""


def measure_counting(session: Session, row: Row) -> None:
    """20 runs against a server that drops, resets, cuts and stalls at random; and nginx's own access log."""
    runs = 4 if session.quick else RUNS
    wrong: list[str] = []
    for seed in range(1, runs + 1):
        way, how = WAYS[seed % len(WAYS)]
        faults = _count_once(session, seed, how)
        session.say(f"  run {seed} ({way}): {'; '.join(faults) or 'exact'}")
        wrong += [f"run {seed} ({way}): {fault}" for fault in faults]
    good = runs - len({fault.partition(" (")[0] for fault in wrong})
    row.goals.append(Goal(f"server's counts = ours in {runs} runs of {runs}", f"{good}", good == runs))
    row.notes += wrong[:10]
    logged, answered = _count_with_nginx(session)
    same = Goal("lines in nginx's access log = attempts with an answer", f"{logged} and {answered}", logged == answered)
    row.goals.append(same)


def _count_once(session: Session, seed: int, how: dict[str, Any]) -> list[str]:
    with witness("hostile", seed=seed) as server:
        load = Load(url=server.url, calls=CALLS, connections=16, extra=("-timeout", TIMEOUT), **how)
        spent = run(session.argv(OURS, load), limit_s=LIMIT_S, core=GENERATOR_CORE)
        try:
            result = read_json(spent.out)
        except BenchError as e:
            raise BenchError(f"{e}; it ended with {spent.code}: {spent.err[-300:].strip()}") from e
        report = server.report()
    return compare_counts(result, report["done"], report["requests"])


def compare_counts(result: Mapping[str, Any], done: Mapping[str, int], requests: int) -> list[str]:
    """What differs between rollcheck's result and what the server did; empty when they agree in everything.

    Args:
        result: rollcheck's JSON.
        done: deed of `targets.Hostile` → how often.
        requests: how many the server read.
    """
    counts: dict[str, int] = result["rollcheck"]["counts"]
    errors = {error["name"]: error["count"] for error in result["rollcheck"]["errors"]}
    pairs = {
        "scheduled and asked for": (counts["scheduled"], CALLS),
        "scheduled and sent + not sent": (counts["scheduled"], counts["sent"] + counts["not_sent"]),
        "sent and ok + failed": (counts["sent"], counts["ok"] + counts["failed"]),
        "sent and the sum of codes": (counts["sent"], sum(result["RetCodes"].values())),
        "failures and their classes": (counts["failed"] + counts["not_sent"], sum(errors.values())),
        "ok and the server's whole answers": (counts["ok"], sum(done.get(deed, 0) for deed in ANSWERED_OK)),
        "503 and the server's": (_named(errors, "bad_status"), done.get("unavailable", 0)),
        "cut bodies and the server's": (_named(errors, "truncated_body"), done.get("cut", 0)),
        "timeouts and the server's stalls": (_named(errors, "timeout"), done.get("stall", 0)),
        "what the server did and read": (sum(done.values()), requests),
    }
    differ = [f"{what}: {ours} ≠ {theirs}" for what, (ours, theirs) in pairs.items() if ours != theirs]
    if counts["sent"] < requests:
        differ.append(f"the server read {requests} requests, of which {counts['sent']} were sent by our account")
    return differ


def _named(errors: Mapping[str, int], outcome: str) -> int:
    return sum(n for name, n in errors.items() if name.partition(" ")[0].endswith(f"/{outcome}"))


def _count_with_nginx(session: Session) -> tuple[int, int]:
    """Lines in nginx's access log, and attempts with an answer, after a run of each way."""
    answered = 0
    log = session.nginx.access_log
    for _, how in WAYS:
        for path in ("", "no"):
            load = Load(url=session.nginx.counting_url + path, calls=CALLS, **how)
            spent = run(session.argv(OURS, load), limit_s=LIMIT_S, core=GENERATOR_CORE)
            answered += OURS.read(spent.out).answered
    until = time.monotonic() + SETTLE_S
    while (logged := _lines(log)) < answered and time.monotonic() < until:
        time.sleep(0.05)
    return logged, answered


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


def measure_workers(session: Session, row: Row) -> None:
    """Two processes on one timetable: their shares differ by at most one, and the whole is the sum of both."""
    for rate in (2_000, 0):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name) / "run"
            load = Load(url=session.nginx.url, calls=5_001, extra=("-workers", "2", "-out", str(folder)), qps=rate)
            result = read_json(run(session.argv(OURS, load), limit_s=LIMIT_S).out)
            _judge_workers(row, f"{rate:,}/s" if rate else "closed loop", result, folder)


def _judge_workers(row: Row, what: str, result: Mapping[str, Any], folder: Path) -> None:
    """From the document: what each worker wrote down; from the JSON: what was made of it."""
    intervals = read_intervals((folder / "facts.jsonl").read_text().splitlines())
    shares = shares_of(intervals)
    told = ", ".join(str(shares[worker]) for worker in sorted(shares))
    even = len(shares) == 2 and max(shares.values()) - min(shares.values()) <= 1
    row.goals.append(Goal(f"{what}: two shares that differ by at most one", told, even))
    own = result["rollcheck"]
    for kind in ("service", "response"):
        summed = sum_blobs([one.get(f"{kind}_hdr", "") for one in intervals])
        same = summed == sum_blobs([own["latency"][kind]["hdr"]]) and summed.total() == own["counts"]["ok"]
        seen = f"{summed.total()} values, {own['counts']['ok']} ok"
        row.goals.append(Goal(f"{what}: {kind} times are the exact sum of both workers'", seen, same))
    total = shares.total()
    same = total == own["counts"]["scheduled"]
    row.goals.append(Goal(f"{what}: counts are the sum", f"{total} and {own['counts']['scheduled']}", same))


def read_intervals(lines: Iterable[str]) -> list[dict[str, Any]]:
    """The intervals of the load proper in a document; its warm-up's are left out."""
    facts = (json.loads(line) for line in lines)
    return [fact for fact in facts if fact["fact"] == "Interval" and fact["stage"] != "preflight"]


def shares_of(intervals: Iterable[Mapping[str, Any]]) -> Counter[int]:
    """Worker → arrivals that ended with it."""
    shares: Counter[int] = Counter()
    for one in intervals:
        shares[one.get("worker", 0)] += one["ok"] + one["failed"] + one["not_sent"]
    return shares


def sum_blobs(blobs: Iterable[str]) -> Counter[int]:
    """Value → how often, over HDR V2 blobs (base64); empty ones hold nothing."""
    counts: Counter[int] = Counter()
    for blob in blobs:
        if blob:
            for item in HdrHistogram.decode(blob).get_recorded_iterator():
                counts[item.value_iterated_to] += item.count_at_value_iterated_to
    return counts
