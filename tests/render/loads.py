"""Loads whose reports are golden files: each is a summary that shows one side of the report."""

from __future__ import annotations

from random import Random

from rollcheck.analyze.load import LoadSummary, summarise
from rollcheck.facts.actions import Note
from rollcheck.facts.attempts import Lane, Outcome, Phase, Stage
from rollcheck.facts.document import LanePlan
from tests.analyze.load_facts import at, document, failure, header, health, interval, mark, slot, steady, wire

OPTIONS = {"labels": "echo , host", "p": "50,75,90,99,99.9", "procs": "2"}


def healthy() -> LoadSummary:
    """Three seconds at 100 per second; nothing amiss."""
    warmup = interval(-1, [700] * 4, stage=Stage.PREFLIGHT)
    return summarise(document(warmup, *steady(), head=header(options=OPTIONS)))


def failing() -> LoadSummary:
    """A minute over two lanes with a bad second in it: refused, 503, cut short, and some never sent."""
    random = Random(4)
    facts = [mark()]
    for second in range(60):
        slow = 40 if second == 31 else 1
        values = [int(random.lognormvariate(7, 0.6)) * slow for _ in range(50)]
        facts.append(health(second, lags=[random.randint(20, 90) for _ in range(100)], waits=[0] * 100))
        facts.append(interval(second, values, service=[v - 45 for v in values]))
        facts.append(interval(second, values, lane=Lane.FRESH))
    bad = [(Phase.CONNECT, Outcome.REFUSED, 0, "ECONNREFUSED")] * 4
    bad += [(Phase.AWAIT, Outcome.BAD_STATUS, 503, "")] * 2 + [(Phase.BODY, Outcome.TRUNCATED_BODY, 200, "612 of 1024")]
    facts += [
        failure(31.2 + number / 10, phase, outcome, status=status, detail=detail)
        for number, (phase, outcome, status, detail) in enumerate(bad)
    ]
    facts.append(failure(31.9, outcome=Outcome.DROPPED, sent=False, detail="no free connection"))
    kinds = {"connect/refused": 4, "await/bad_status 503": 2, "body/truncated_body": 1, "connect/dropped": 1}
    facts.append(interval(31, failed=[310, 320, 290, 305, 2_100, 1_900, 700], failures=kinds, not_sent=1))
    facts += [slot(0, sockets=5, connect_us=[200] * 4), slot(1, connect_us=[90])]
    facts.append(slot(2, sockets=2, connect_us=[300, 310]))
    facts.append(slot(3, sockets=3, connect_us=[250] * 2, addresses={"10.0.0.2:80": 1, "10.0.0.3:80": 1}))
    connects = [200] * 4 + [90, 300, 310, 250, 250]
    facts.append(wire(headers=[75] * 6000 + [90] * 2, totals=[1099] * 6002, connects=connects))
    return summarise(document(*facts, head=header(duration_s=60.0, options={**OPTIONS, "uniform": "true"})))


def late() -> LoadSummary:
    """The generator could not hold the rate, and one of its two workers died."""
    facts = [mark(), *(health(s, lags=[40_000] * 900, asked=1000, cpu_share=0.99, worker=s % 2) for s in range(4))]
    facts += [interval(s, [41_000] * 900, service=[900] * 900, worker=s % 2) for s in range(4)]
    facts.append(Note(at_ns=at(3), topic="generator", text="worker 1 was killed (SIGKILL)", fatal=True))
    head = header(qps=1000.0, duration_s=4.0, workers=2, options=OPTIONS)
    return summarise(document(*facts, head=head, sealed=False))


def slow_target() -> LoadSummary:
    """Two connections to a target that takes 20 ms: 100 of the 300 requests per second that were asked for."""
    facts = [mark()]
    for second in range(6):
        waits = [min(3_000_000, 20_000 * n) for n in range(100)]
        if second < 2:
            facts.append(health(second, lags=[50] * 300, waits=waits))
        else:
            facts.append(health(second, waits=waits))
        facts.append(interval(second, [20_500 + w for w in waits], service=[20_500] * 100))
    lanes = (LanePlan(lane="reused", share=1.0, connections=2),)
    return summarise(document(*facts, head=header(qps=300.0, duration_s=2.0, lanes=lanes, options=OPTIONS)))


def closed_loop() -> LoadSummary:
    """Exactly 2,001 calls, as fast as answers came, cut short by Ctrl-C; a label that is no friend of terminals."""
    facts = [mark(), health(0, cpu_share=0.97), interval(0, [120] * 1500, length=0.4), slot(0), slot(1)]
    lanes = (LanePlan(lane="reused", share=1.0, connections=2),)
    options = {"labels": "evil \x1b[31m , \u202ehost", "runid": "7", "quiet": "false"}
    head = header(qps=0.0, duration_s=0.0, calls=2001, lanes=lanes, options=options)
    return summarise(document(*facts, head=head, interrupted="SIGINT"))


def nothing() -> LoadSummary:
    """Not one request: the name did not resolve."""
    lost = [failure(s, Phase.RESOLVE, Outcome.NOT_RESOLVED, sent=False, detail="EAI_NONAME") for s in range(3)]
    return summarise(document(*lost, head=header(url="http://no.such.host/", options={})))


LOADS = {
    "healthy": healthy,
    "failing": failing,
    "late": late,
    "slow-target": slow_target,
    "closed-loop": closed_loop,
    "nothing": nothing,
}
