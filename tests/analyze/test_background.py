import pytest

from rollcheck.analyze.background import like_before, saturated, split
from rollcheck.analyze.model import BaselineReport, Cause, Counts
from rollcheck.facts.attempts import Attempt, Lane, Outcome, Phase, Stage
from tests.analyze.builders import ns


def lost(seq: int, outcome: Outcome = Outcome.RESET, phase: Phase = Phase.AWAIT) -> Attempt:
    return Attempt(
        seq=seq,
        lane=Lane.REUSED,
        stage=Stage.REPLACEMENT,
        phase=phase,
        outcome=outcome,
        intended_ns=ns(20),
        released_ns=ns(20),
        sent_ns=ns(20),
        ended_ns=ns(20.1),
    )


def baseline(
    ok: int = 1000, failed: int = 0, not_sent: int = 0, seconds: float = 10.0, p50_ms: float | None = None, **by_outcome
) -> BaselineReport:
    counts = Counts(scheduled=ok + failed + not_sent, sent=ok + failed, not_sent=not_sent, ok=ok, failed=failed)
    return BaselineReport(
        seconds=seconds,
        counts=counts,
        by_outcome={name.replace("_", "/", 1): n for name, n in by_outcome.items()},
        p50_ms=p50_ms,
        p99_ms=None,
        served_qps=ok / seconds if seconds else 0.0,
    )


def cause(mode: int, *seqs: int, **fields) -> Cause:
    values = {"name": "n", "confidence": "high", "summary": "", "evidence": (), **fields}
    return Cause(mode=mode, attempts=len(seqs), seqs=tuple(("reused", s) for s in seqs), **values)


class TestSaturation:
    @pytest.mark.parametrize(
        ("report", "asked", "said"),
        [
            (baseline(1000), 100, ""),
            (baseline(960), 100, ""),
            (baseline(200), 100, "cannot serve this rate"),
            (baseline(940, failed=60), 100, "60 of 1,000 requests failed before"),
            (baseline(960, failed=40), 100, ""),
            (baseline(500, not_sent=500), 100, "500 of 1,000 requests failed before"),
            (baseline(0), 100, ""),
            (baseline(1000, seconds=0.0), 100, ""),
            (baseline(15), 2, ""),  # too few to tell a slow target from the edges of the stage
            (baseline(44, seconds=6.0, p50_ms=300.0), 8, ""),  # each took 0.3 s: two or three were under way
            (baseline(900, p50_ms=1000.0), 100, ""),  # each took 1 s, and nothing piled up
            (baseline(800, p50_ms=1000.0), 100, "cannot serve this rate"),  # the last took 2 s: a queue grew
        ],
    )
    def test_a_target_that_could_not_serve_the_load_is_told(self, report, asked, said):
        assert said in saturated(report, asked)
        assert bool(saturated(report, asked)) == bool(said)


class TestLikeBefore:
    def test_one_loss_of_a_new_class_is_one_too_many(self):
        assert like_before([lost(1)], 100_000, baseline()) == frozenset()

    def test_as_many_as_before_are_alike(self):
        assert like_before([lost(i) for i in range(5)], 1000, baseline(failed=5, await_reset=5)) == {"await/reset"}

    def test_far_more_than_before_are_not(self):
        found = like_before([lost(i) for i in range(30)], 1000, baseline(failed=5, await_reset=5))

        assert found == frozenset()

    def test_classes_are_compared_one_by_one(self):
        refused = lost(9, Outcome.REFUSED, Phase.CONNECT)
        found = like_before([lost(1), refused], 1000, baseline(failed=2, await_reset=2))

        assert found == {"await/reset"}


class TestSplit:
    def part(self, attempt: Attempt, *causes: Cause, **options) -> str:
        values = {"before": frozenset(), "alike": frozenset(), "overloaded": False, "ours": frozenset(), **options}
        losses = split([attempt], causes=causes, **values)
        parts = {name: getattr(losses, name) for name in ("standing", "background", "races", "suspect")}

        assert sum(len(part) for part in parts.values()) == 1
        return next(name for name, part in parts.items() if part)

    def test_a_loss_that_nothing_excuses_stands(self):
        assert self.part(lost(1)) == "standing"
        assert self.part(lost(1), cause(1, 1)) == "standing"

    def test_a_class_as_frequent_as_before_is_background(self):
        alike = frozenset({"await/reset"})

        assert self.part(lost(1), before=alike, alike=alike) == "background"

    def test_a_sure_cause_outweighs_how_often_its_class_failed_before(self):
        alike = frozenset({"await/reset"})

        assert self.part(lost(1), cause(6, 1), before=alike, alike=alike) == "standing"
        assert self.part(lost(1), cause(6, 1, confidence="medium"), before=alike, alike=alike) == "background"
        assert self.part(lost(1), cause(6, 1, competing=((5, ""),)), before=alike, alike=alike) == "background"

    def test_what_grew_significantly_outweighs_a_cause_that_calls_it_background(self):
        background = cause(0, 1, of_replacement=False)

        assert self.part(lost(1), background) == "background"
        assert self.part(lost(1), background, before=frozenset({"await/reset"})) == "standing"

    def test_the_keep_alive_race_needs_no_replacement(self):
        assert self.part(lost(1), cause(5, 1, of_replacement=False)) == "races"

    def test_our_own_limits_and_a_saturated_target_make_a_loss_suspect(self):
        assert self.part(lost(1), cause(40, 1, of_replacement=False)) == "suspect"
        assert self.part(lost(1), cause(28, 1, of_replacement=False)) == "suspect"
        assert self.part(lost(1), ours=frozenset({lost(1)})) == "suspect"

    def test_time_outs_of_a_target_that_was_overloaded_before_are_suspect_and_refusals_are_not(self):
        assert self.part(lost(1, Outcome.TIMEOUT), overloaded=True) == "suspect"
        assert self.part(lost(1, Outcome.REFUSED, Phase.CONNECT), overloaded=True) == "standing"
