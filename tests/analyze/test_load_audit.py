import pytest

from rollcheck.analyze.load import summarise
from rollcheck.analyze.loadaudit import behind_share
from rollcheck.facts.actions import Note
from rollcheck.facts.attempts import Outcome
from tests.analyze.load_facts import at, document, failure, header, health, interval, steady


def told(*facts, **changes):
    return summarise(document(*facts, head=header(**changes)))


def test_a_healthy_load_has_no_fault():
    summary = told(*steady())

    assert (summary.held, summary.faults, summary.target_slow) == (True, (), "")


def test_arrivals_that_were_never_taken_up_are_a_fault():
    summary = told(health(0, lags=[1] * 990, asked=1000), interval(0, [100] * 990), qps=1000.0)

    assert not summary.held
    assert "990 of the 1,000" in summary.faults[0]


@pytest.mark.parametrize(("released", "held"), [(1000, True), (999, True), (998, False)])
def test_a_rate_is_held_within_a_thousandth(released, held):
    assert told(health(0, lags=[1] * released, asked=1000), interval(0, [100] * released)).held is held


def test_arrivals_that_catching_up_was_forbidden_to_send_are_not_the_generators_fault():
    summary = told(health(0, lags=[1] * 900, asked=1000, skipped=100), interval(0, [100] * 900))

    assert summary.held
    assert "100 never" in summary.target_slow


def test_lateness_of_ours_is_a_fault_where_it_makes_the_figures():
    summary = told(health(0, lags=[40] * 90 + [30_000] * 10), interval(0, [31_000] * 100))

    assert "30 ms or more after its time" in summary.faults[0]


def test_lateness_of_ours_that_a_slow_target_dwarfs_is_no_fault():
    assert told(health(0, lags=[30_000] * 100), interval(0, [900_000] * 100)).held


def test_a_closed_loop_has_no_timetable_to_be_late_for():
    assert told(health(0, lags=[90_000] * 10, asked=50), interval(0, [1] * 10), qps=0.0).held


def test_a_stall_is_a_fault():
    summary = told(health(0, lags=[1], stall_ns=1_400_000_000), interval(0, [1]))

    assert "stood still for up to 1.4 s, once" in summary.faults[0]


@pytest.mark.parametrize("sample", [{"stall_ns": 1_400_000_000}, {"lags": [30_000] * 100}], ids=["stall", "lag"])
def test_a_fault_says_when_others_had_the_processor(sample):
    summary = told(health(0, **({"lags": [1]} | sample), starved_ns=250_000_000), interval(0, [1] * 100))

    assert "; other processes had its processor for 25% of that time" in summary.faults[0]


def test_how_long_others_had_the_processor_is_an_average_of_all_workers():
    samples = [
        health(second, lags=[1], worker=worker, starved_ns=10**8 * worker) for second in (0, 1) for worker in (1, 3)
    ]

    assert told(*samples, interval(0, [1] * 4)).generator.starved_share == pytest.approx(0.2)


def test_a_machine_without_ports_is_a_fault():
    dropped = failure(0.5, outcome=Outcome.DROPPED, sent=False, detail="EADDRNOTAVAIL")
    summary = told(dropped, interval(0, [1] * 99), health(0, lags=[1] * 100))

    assert "1 request;" in summary.faults[0]
    assert summary.target_slow == ""


def test_a_worker_that_died_is_a_fault():
    note = Note(at_ns=at(1), topic="generator", text="worker 1 was killed (SIGKILL)", fatal=True)

    assert told(*steady(), note).faults == ("worker 1 was killed (SIGKILL)",)


class TestSlowTarget:
    def test_requests_that_found_no_connection_are_the_targets_doing(self):
        lost = [failure(1, outcome=Outcome.DROPPED, sent=False, detail="no connection") for _ in range(40)]
        health_facts = [health(s, lags=[1] * 100, waits=[900_000] * 60) for s in range(3)]
        summary = told(*lost, *health_facts, *(interval(s, [20_000] * 60) for s in range(3)))

        assert summary.held
        assert summary.target_slow.startswith("the target kept all 4 connections busy: 60 of 100 requests per second")
        assert "40 never" in summary.target_slow

    def test_a_rate_that_was_reached_late_is_not_reached(self):
        facts = [health(s, lags=[1] * 100, waits=[50_000] * 66) for s in range(3)]
        summary = told(*facts, *(interval(s, [20_000] * 66) for s in range(4)), interval(4, [20_000] * 36))

        assert "of 100 requests per second were sent" in summary.target_slow

    def test_waits_that_cost_no_rate_are_told_as_behind_only(self):
        summary = told(health(0, lags=[1] * 100, waits=[0] * 90 + [2_000] * 10), interval(0, [9] * 100), duration_s=1.0)

        assert summary.target_slow == ""
        assert summary.behind == pytest.approx(0.1)

    def test_one_late_answer_does_not_lower_the_rate_of_a_short_load(self):
        summary = told(
            health(0, lags=[1] * 100, waits=[0] * 100),
            interval(0, [9] * 99),
            interval(1, [900_000], length=0.9),
            duration_s=1.0,
        )

        assert summary.rate < 60
        assert summary.target_slow == ""

    def test_an_interrupted_load_is_measured_against_its_rate(self):
        facts = [health(0, lags=[1] * 100, waits=[0] * 100), interval(0, [9] * 100)]
        summary = summarise(document(*facts, head=header(duration_s=60.0), interrupted="SIGINT"))

        assert summary.target_slow == ""


def test_nothing_sent_is_not_behind():
    assert behind_share(told()) == 0.0
