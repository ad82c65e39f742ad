"""Engine runs as those of a benchmark's worker: to their own end, with raw numbers, which are settled behind them."""

import trio

from rollcheck.facts.attempts import Interval, Stage
from rollcheck.facts.document import LanePlan
from rollcheck.load.engine import Engine
from rollcheck.load.histogram import Histogram
from rollcheck.load.intervals import Raw, Settler
from rollcheck.load.plan import LoadPlan, parse_target

FOUR = (LanePlan(lane="reused", share=1, connections=4),)
ONE = (LanePlan(lane="reused", share=1, connections=1),)


class Bench:
    """One engine run to its own end, its raw numbers settled."""

    def __init__(self, url: str, **plan) -> None:
        options = {"worker": plan.pop("worker", 0), "workers": plan.pop("workers", 1)}
        portable = plan.pop("portable", False)
        asked = {"target": parse_target(url), "qps": 0, "timeout_s": 1.0, "lanes": FOUR, "probe": False} | plan
        self.raw: list[Raw] = []
        self.engine = Engine(LoadPlan(**asked), self.raw.append, raw=True, portable=portable, **options)

    def run(self) -> "Bench":
        async def main():
            with trio.fail_after(20):
                await self.engine.run()

        trio.run(main)
        settler = Settler()
        self.facts = [fact for raw in self.raw for fact in settler.take(raw)]
        for interval in self.proper:
            assert Histogram.decode(interval.service_hdr).total == interval.ok
            assert Histogram.decode(interval.response_hdr).total == interval.ok
            assert Histogram.decode(interval.failed_hdr).total == interval.failed
            assert sum(interval.statuses.values()) == interval.ok
            assert sum(interval.failures.values()) == interval.failed + interval.not_sent
        assert sum(self.engine.scheduled.values()) == self.ok + self.failed + self.not_sent
        return self

    def of(self, kind):
        return [fact for fact in self.facts if isinstance(fact, kind)]

    @property
    def proper(self) -> list[Interval]:
        return [interval for interval in self.of(Interval) if interval.stage is Stage.BASELINE]

    @property
    def ok(self) -> int:
        return sum(interval.ok for interval in self.proper)

    @property
    def failed(self) -> int:
        return sum(interval.failed for interval in self.proper)

    @property
    def not_sent(self) -> int:
        return sum(interval.not_sent for interval in self.proper)
