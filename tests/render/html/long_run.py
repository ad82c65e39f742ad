"""Half an hour at a thousand requests a second while fifty pods are replaced: what a page has to bear.

The cluster is told as a `Story`; the load is put together directly, since a story plays every single arrival.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random

from builders import Story, ns, pod_spec, sleep
from hdrh.histogram import HdrHistogram

from rollcheck.facts.attempts import Attempt, ConnectionUse, Interval, Lane, Outcome, Phase, PodTally, Stage
from rollcheck.facts.clock import MILLISECOND, SECOND
from rollcheck.facts.connections import ClosedBy, Connection
from rollcheck.facts.document import Document, Fact
from rollcheck.facts.health import HealthSample

SECONDS = 1_800
PODS = 50
RATE = 1_000
STEP = 34
"""Seconds from one pod's replacement to the next one's."""
LOST_PER_POD = 400


@cache
def long_run(seconds: int = SECONDS, pods: int = PODS, lost_per_pod: int = LOST_PER_POD) -> Document:
    """The document; what it says is the same each time."""
    random = Random(30)
    story = Story(qps=1, spec=pod_spec(prestop=sleep(5)), new_spec=pod_spec(prestop=sleep(5))).pods(pods)
    story.restart(at=60)
    deaths = [(f"old-{n}", 70.3 + (n - 1) * STEP + random.random()) for n in range(1, pods + 1)]
    for number, (name, at) in enumerate(deaths, 1):
        story.new_pod(f"web-7d9f6c5b4f-{number:05}", created=at - 4, ready=at - 0.4)
        story.delete(name, at=at, exit_after=5.6, serves_for=0.4, code=0 if number % 9 else 137)
    bare = story.end(at=seconds).document()
    cluster = [f for f in bare.facts if not isinstance(f, Interval | PodTally | HealthSample | Attempt)]
    load = [*_seconds(random, seconds, pods), *_lost(random, deaths, lost_per_pod), *_connections(random, seconds)]
    return replace(bare, header=replace(bare.header, qps=float(RATE)), facts=(*cluster, *load))


def _blob(random: Random, micros: float, count: int) -> str:
    histogram = HdrHistogram(1, 3_600_000_000, 3)
    for _ in range(count):
        histogram.record_value(max(1, int(random.lognormvariate(0, 0.5) * micros)))
    return str(histogram.encode().decode())


def _seconds(random: Random, seconds: int, pods: int) -> list[Fact]:
    """Each second's counts: of both lanes, of the generator, and of each pod by the use of its connections."""
    blobs = [_blob(random, 4_000 + 150 * n, 300) for n in range(40)]
    lags = [_blob(random, 40 + n, 100) for n in range(10)]
    facts: list[Fact] = []
    for second in range(1, seconds):
        start, end = ns(second), ns(second + 1) - random.randrange(MILLISECOND)
        stage = Stage.BASELINE if second < 60 else Stage.REPLACEMENT if second < seconds - 10 else Stage.TAIL
        span = {"start_ns": start, "end_ns": end}
        for lane in (Lane.REUSED, Lane.FRESH):
            ok, failed = RATE // 2 - random.randrange(3), 40 if second % STEP == 3 else 0
            shared = {"stage": stage, "lane": lane, "ok": ok, "failed": failed, "not_sent": 0, "statuses": {"200": ok}}
            facts.append(
                Interval(**span, **shared, response_hdr=random.choice(blobs), service_hdr=random.choice(blobs))
            )
        facts.append(
            HealthSample(
                **span,
                asked=RATE,
                released=RATE,
                lag_hdr=random.choice(lags),
                wait_hdr=random.choice(lags),
                backlog=0,
                in_flight=random.randrange(9),
                connections=64,
                stall_ns=random.randrange(3 * MILLISECOND),
                cpu_share=round(random.random() / 5, 4),
                open_files=90,
                file_limit=65_536,
            )
        )
        for pod in range(pods):
            name = f"old-{pod + 1}" if second < 70 + pod * STEP else f"web-7d9f6c5b4f-{pod + 1:05}"
            for lane, use in ((Lane.REUSED, ConnectionUse.REUSED), (Lane.FRESH, ConnectionUse.NEW)):
                chance = random.random()
                last = start + SECOND // 2 + int(chance * (SECOND // 2 - MILLISECOND))
                facts.append(
                    PodTally(
                        start_ns=start,
                        end_ns=end,
                        lane=lane,
                        use=use,
                        pod=name,
                        ok=8 + int(chance * 5),
                        first_sent_ns=start + int(chance * SECOND / 2),
                        last_sent_ns=last,
                        last_ended_ns=last + int(chance * MILLISECOND),
                    )
                )
    return facts


WAYS = (
    (Phase.CONNECT, Outcome.REFUSED, "ECONNREFUSED", 0),
    (Phase.AWAIT, Outcome.RESET, "ECONNRESET", 0),
    (Phase.CONNECT, Outcome.TIMEOUT, "", 0),
    (Phase.BODY, Outcome.BAD_STATUS, "", 502),
    (Phase.AWAIT, Outcome.CLOSED_BEFORE_RESPONSE, "", 0),
)


def _lost(random: Random, deaths: list[tuple[str, float]], each: int) -> list[Fact]:
    """Requests that were lost around each deletion."""
    facts: list[Fact] = []
    for name, at in deaths:
        for number in range(each):
            phase, outcome, detail, status = random.choice(WAYS)
            lane = random.choice((Lane.REUSED, Lane.FRESH))
            intended = ns(at) + number * MILLISECOND + random.randrange(MILLISECOND)
            sent = intended + random.randrange(200_000)
            facts.append(
                Attempt(
                    seq=int(at * RATE) + number,
                    lane=lane,
                    stage=Stage.REPLACEMENT,
                    phase=phase,
                    outcome=outcome,
                    intended_ns=intended,
                    released_ns=intended + random.randrange(90_000),
                    sent_ns=sent,
                    ended_ns=sent + random.randrange(5_000 * MILLISECOND),
                    connected_ns=None if phase is Phase.CONNECT else sent + random.randrange(MILLISECOND),
                    status=status,
                    detail=detail,
                    connection=random.randrange(500_000),
                    use=ConnectionUse.REUSED if lane is Lane.REUSED else ConnectionUse.NEW,
                    connection_age_ns=random.randrange(60 * SECOND),
                    requests_before=random.randrange(900),
                    local=f"10.99.0.1:{random.randrange(32_768, 61_000)}",
                    peer="10.99.0.11:30362",
                    pod=name if number % 2 else "",
                    pod_from="connection" if number % 2 else "",
                    slot=random.randrange(64),
                )
            )
    return facts


def _connections(random: Random, seconds: int) -> list[Fact]:
    return [
        Connection(
            id=number,
            lane=Lane.REUSED,
            opened_ns=ns(1 + random.random() * (seconds - 40)),
            closed_ns=ns(seconds - 20 + random.random() * 10),
            closed_by=random.choice((ClosedBy.PEER_IDLE, ClosedBy.PEER_ANNOUNCED, ClosedBy.US_FAILED)),
            local=f"10.99.0.1:{random.randrange(32_768, 61_000)}",
            peer="10.99.0.11:30362",
            requests=random.randrange(4_000),
            pod=f"old-{random.randrange(1, 51)}",
        )
        for number in range(1, 3_000)
    ]
