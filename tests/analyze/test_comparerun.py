from dataclasses import replace

from rollcheck.analyze.analysis import analyse
from rollcheck.analyze.comparerun import compare_runs
from rollcheck.facts.attempts import Lane
from tests.analyze.builders import Story


def run(lost_s=0.0, *, qps=100, seal=True, **header):
    """A rollout of three pods; clients of the fresh lane are refused for so long after the first deletion."""
    story = Story(qps=qps, header=header).graceful_rollout(at=11.0)
    if lost_s:
        story.lose(Lane.FRESH, 13.4, 13.4 + lost_s)
    return analyse(story.end(at=40).document(seal=seal))


GRACEFUL, LOSING = run(), run(1.0)


def test_two_graceful_runs_are_neither_better_nor_worse():
    found = compare_runs(GRACEFUL, GRACEFUL)

    assert (found.worse, found.better, found.unjudged, found.chance) == ("", "", "", None)


def test_from_graceful_to_not_graceful_is_worse_whatever_the_numbers():
    found = compare_runs(GRACEFUL, run(0.1))

    assert found.worse == "A was graceful, B is not graceful"
    assert found.come


def test_the_other_way_round_it_is_better_and_its_causes_are_gone():
    found = compare_runs(LOSING, GRACEFUL)

    assert (found.worse, found.better) == ("", "A was not graceful, B is graceful")
    assert found.gone == tuple(cause.name for cause in LOSING.causes)


def test_more_losses_than_chance_explains_are_worse():
    found = compare_runs(LOSING, run(3.0))

    assert "more than chance explains" in found.worse
    assert found.lost[1] > found.lost[0] > 0
    assert found.chance < 0.01


def test_fewer_are_better():
    assert "more than chance explains" in compare_runs(run(3.0), LOSING).better


def test_a_difference_that_chance_explains_is_neither():
    found = compare_runs(LOSING, run(1.06))

    assert found.lost[0] != found.lost[1]
    assert (found.worse, found.better) == ("", "")


def test_with_an_inconclusive_run_nothing_is_judged():
    found = compare_runs(GRACEFUL, run(1.0, seal=False))

    assert found.unjudged == "B is inconclusive, which proves nothing"
    assert (found.worse, found.better) == ("", "")


def test_runs_that_are_not_alike_are_told_apart():
    found = compare_runs(GRACEFUL, run(qps=50, url="http://{0}/", trigger="kubectl apply"))

    assert "A sent 100 requests per second, B 50" in found.warnings
    assert any("B to http://{0}/" in each for each in found.warnings)
    assert "A was triggered by restart, B by kubectl apply" in found.warnings


def test_a_sandbox_is_no_evidence_about_a_real_cluster():
    (warning,) = compare_runs(GRACEFUL, run(sandbox=True)).warnings

    assert warning == "one of them is of the sandbox: no evidence about a real cluster"


def test_the_same_run_differs_in_nothing():
    assert compare_runs(LOSING, replace(LOSING)).warnings == ()
