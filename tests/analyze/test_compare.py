from random import Random

import pytest

from rollcheck.analyze.compare import compare, permuted
from rollcheck.analyze.load import summarise
from rollcheck.analyze.results import of_summary
from tests.analyze.load_facts import document, failure, header, health, interval, mark


def load(seed, *, factor=1.0, seconds=40, rate=50, lost_every=0, stumbles=(), **changes):
    """A load with a spread of latencies; the seconds in `stumbles` are ten times slower."""
    random = Random(seed)
    facts = [mark()]
    for second in range(seconds):
        slow = factor * (10 if second in stumbles else 1)
        facts.append(health(second, lags=[40] * rate, waits=[0] * rate))
        facts.append(interval(second, [int(random.lognormvariate(7, 0.4) * slow) for _ in range(rate)]))
        if lost_every and second % lost_every == 0:
            facts += [failure(second + 0.5), interval(second, failed=[300], failures={"connect/refused": 1})]
    return summarise(document(*facts, head=header(duration_s=float(seconds), **changes)))


def side(summary, name="x"):
    return of_summary(summary, name, started="2026-11-21T07:10:00Z")


def found(comparison, name):
    return next(d for d in comparison.differences if d.name == name)


A = side(load(1))


class TestNoise:
    def test_two_of_a_kind_do_not_differ(self):
        comparison = compare(A, side(load(2)))

        assert (comparison.worse, comparison.better, comparison.unjudged) == ((), (), "")

    def test_a_load_is_like_itself(self):
        comparison = compare(A, A)

        assert all(d.share in (None, 0.0) for d in comparison.differences)
        assert found(comparison, "p50").noise.chance == 1.0

    def test_a_slower_one_is_worse_and_the_range_holds_how_much(self):
        comparison = compare(A, side(load(3, factor=1.3)))
        noise = found(comparison, "p50").noise

        assert {"p50", "p99"} <= set(comparison.worse)
        assert noise.low / noise.base < 0.3 < noise.high / noise.base
        assert noise.low > 0

    def test_a_faster_one_is_better(self):
        assert "p50" in compare(side(load(3, factor=1.3)), A).better

    def test_a_few_bad_seconds_are_noise(self):
        comparison = compare(A, side(load(2, stumbles={7, 19})))

        assert found(comparison, "max").share > 1
        assert comparison.worse == ()

    def test_losses_all_along_are_worse(self):
        assert compare(A, side(load(2, lost_every=2))).worse == ("lost",)

    def test_one_loss_is_within_the_noise(self):
        comparison = compare(A, side(load(2, lost_every=1000)))

        assert (found(comparison, "lost").a, found(comparison, "lost").b) == (0.0, 1.0)
        assert not found(comparison, "lost").noise.larger

    def test_a_lower_rate_is_worse(self):
        slower = side(load(2, rate=40, qps=0.0))

        assert "rate" in compare(side(load(1, qps=0.0)), slower).worse

    def test_what_is_tolerated_is_not_called_worse(self):
        comparison = compare(A, side(load(3, factor=1.3)), tolerance=0.6)

        assert comparison.worse == ()
        assert found(comparison, "p50").noise.larger

    def test_the_same_two_compare_alike_every_time(self):
        b = side(load(3, factor=1.02))

        assert compare(A, b) == compare(A, b)

    def test_loads_of_different_length_can_be_compared(self):
        comparison = compare(side(load(1, seconds=9)), side(load(2, seconds=60)))

        assert (comparison.unjudged, comparison.worse) == ("", ())

    @pytest.mark.parametrize("spread", [1, 5, 30])
    def test_chance_calls_few_equals_different(self, spread):
        random = Random(spread)
        pairs = [[[random.gauss(100, spread) for _ in range(12)] for _ in range(2)] for _ in range(40)]

        assert sum(permuted(a, b).larger for a, b in pairs) <= 2


class TestWhatCannotBeJudged:
    def test_a_short_load_is_not_judged(self):
        comparison = compare(side(load(1, seconds=5)), A)

        assert "5 whole seconds" in comparison.unjudged
        assert comparison.worse == ()
        assert found(comparison, "p50").noise is None

    def test_seconds_without_answers_are_not_judged(self):
        nothing = summarise(
            document(mark(), *(interval(s, failed=[5], failures={"connect/refused": 1}) for s in range(20)))
        )
        comparison = compare(A, side(nothing))

        assert found(comparison, "p50").b is None
        assert found(comparison, "p50").noise is None
        assert "lost" in comparison.worse

    def test_nothing_at_all_can_be_compared_with_nothing(self):
        nothing = side(summarise(document()))
        comparison = compare(nothing, nothing)

        assert comparison.unjudged
        assert found(comparison, "p99").a is None


class TestWarnings:
    def test_other_rates_are_other_loads(self):
        comparison = compare(A, side(load(2, rate=100, qps=200.0)))

        assert any("different loads" in w for w in comparison.warnings)
        assert found(comparison, "rate").noise is None

    def test_other_targets_are_said(self):
        comparison = compare(A, side(load(2, url="http://other/")))

        assert any("http://other/" in w for w in comparison.warnings)

    def test_a_generator_that_failed_is_said(self):
        late = summarise(document(mark(), health(0, lags=[1], asked=100), interval(0, [100])))

        assert any("B is not to be trusted" in w for w in compare(A, side(late)).warnings)
