from dataclasses import replace

import pytest
from cards import CARDS, graceful, immediate_exit, killed, stuck, unsealed
from loads import LOADS, failing, healthy, late, nothing

from rollcheck.analyze.thresholds import judge, parse_threshold
from rollcheck.cli.loadresults import exit_code
from rollcheck.render.checks import State, check_load, check_run


def states(checkup):
    return {check.id: check.state for check in checkup.checks}


@pytest.mark.parametrize("name", CARDS)
def test_a_run_has_no_failed_and_no_unknown_check_exactly_where_its_exit_code_is_0(name):
    analysis = CARDS[name]()

    assert (not check_run(analysis).of(State.FAILED, State.UNKNOWN)) == (analysis.exit_code == 0)


@pytest.mark.parametrize("name", CARDS)
def test_something_failed_exactly_where_a_run_is_not_graceful(name):
    analysis = CARDS[name]()

    assert bool(check_run(analysis).of(State.FAILED)) == (analysis.exit_code == 1)


@pytest.mark.parametrize("threshold", ["errors==0", "errors>=0"])
@pytest.mark.parametrize("name", LOADS)
def test_a_load_has_no_failed_and_no_unknown_check_exactly_where_its_exit_code_is_0(name, threshold):
    summary = LOADS[name]()
    judgements = judge([parse_threshold(threshold)], summary)

    bad = check_load(summary, judgements).of(State.FAILED, State.UNKNOWN)

    assert (not bad) == (exit_code(summary, judgements) == 0)


def test_ids_are_the_same_for_runs_that_end_differently():
    first = ("no-loss", "ends-by-itself", "conclusive", "generator")

    assert tuple(check.id for check in check_run(graceful()).checks) == first
    assert tuple(check.id for check in check_run(immediate_exit()).checks) == (*first, "cause-1")


def test_two_causes_of_one_mode_have_ids_of_their_own():
    (cause,) = immediate_exit().causes

    ids = [check.id for check in check_run(replace(immediate_exit(), causes=(cause, cause))).checks]

    assert ids[-2:] == ["cause-1", "cause-1-2"]


def test_a_killed_pod_alone_fails_only_the_check_on_how_pods_end():
    base = killed()
    analysis = replace(base, causes=(), lost=0)

    assert states(check_run(analysis))["no-loss"] is State.PASSED
    assert states(check_run(analysis))["ends-by-itself"] is State.FAILED


def test_losses_and_a_killed_pod_fail_both_checks():
    found = states(check_run(replace(killed(), lost=3)))

    assert (found["no-loss"], found["ends-by-itself"]) == (State.FAILED, State.FAILED)


def test_what_a_run_could_not_judge_is_no_pass():
    found = states(check_run(unsealed()))

    assert (found["no-loss"], found["conclusive"]) == (State.ASIDE, State.UNKNOWN)


def test_a_cause_of_an_inconclusive_run_is_unknown_with_its_summary():
    check = next(check for check in check_run(stuck()).checks if check.id == "cause-20")

    assert (check.state, check.message) == (State.UNKNOWN, "new-1 never became ready: ImagePullBackOff.")


def test_a_cause_that_is_not_the_replacements_doing_fails_nothing():
    (cause,) = immediate_exit().causes
    analysis = replace(immediate_exit(), causes=(replace(cause, of_replacement=False),))

    assert states(check_run(analysis))["cause-1"] is State.ASIDE


def test_a_fault_of_the_generator_is_told_by_its_own_check_alone():
    base = unsealed()
    analysis = replace(base, reasons=("it was late",), generator=replace(base.generator, faults=("it was late",)))

    found = states(check_run(analysis))

    assert (found["generator"], found["conclusive"]) == (State.UNKNOWN, State.PASSED)


def test_each_threshold_is_a_check():
    summary = healthy()
    judgements = judge([parse_threshold("p99<1ns"), parse_threshold("errors==0")], summary)

    found = states(check_load(summary, judgements))

    assert (found["threshold-p99<1ns"], found["threshold-errors==0"]) == (State.FAILED, State.PASSED)


def test_a_generator_that_did_not_hold_the_rate_makes_a_load_unknown():
    assert check_load(late(), ()).state is State.UNKNOWN


def test_a_load_without_one_good_answer_failed():
    assert check_load(nothing(), ()).state is State.FAILED


def test_errors_that_no_threshold_judges_fail_nothing():
    assert check_load(failing(), ()).state is State.PASSED
