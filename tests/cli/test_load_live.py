"""What is said while a load goes on."""

import io
import os
import sys
import time
from array import array

import pytest

from rollcheck.cli.loadlive import Live, columns_of
from rollcheck.facts.actions import StageMark
from rollcheck.facts.attempts import Attempt, Interval, Lane, Outcome, Phase, Stage
from rollcheck.facts.clock import SECOND
from rollcheck.load.histogram import Histogram


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test sets."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic_ns", lambda: int(now[0] * SECOND))
    monkeypatch.delenv("CI", raising=False)
    return now


def interval(second: int, *, ok: int = 0, failed: int = 0, us: int = 1000, stage: Stage = Stage.BASELINE) -> Interval:
    histogram = Histogram()
    histogram.record_ns(array("q", [us * 1000] * ok))
    return Interval(
        start_ns=second * SECOND,
        end_ns=(second + 1) * SECOND,
        stage=stage,
        lane=Lane.REUSED,
        ok=ok,
        failed=failed,
        not_sent=0,
        response_hdr=histogram.encode(),
        statuses={"200": ok},
    )


def began() -> StageMark:
    return StageMark(at_ns=0, stage=Stage.BASELINE)


def test_off_a_terminal_there_is_a_line_each_interval(clock, capsys):
    live = Live(quiet=False, every_s=2, length_s=60)
    live.see(began())
    for second in range(5):
        clock[0] = second + 0.5
        live.see(interval(second - 1, ok=100, failed=1)) if second else None
        live.tick()
        clock[0] = second + 0.75
        live.tick()

    assert capsys.readouterr().err.splitlines() == [
        "[   2.5s] 101/s  ok 200  failed 2  not sent 0  p50 1.00 ms  p99 1.00 ms",
        "[   4.5s] 101/s  ok 400  failed 4  not sent 0  p50 1.00 ms  p99 1.00 ms",
    ]


def test_rates_and_percentiles_are_those_since_the_last_line(clock, capsys):
    live = Live(quiet=False, every_s=1, length_s=60)
    live.see(began())
    for second, (ok, us) in enumerate([(100, 1000), (50, 2000)]):
        live.see(interval(second, ok=ok, us=us))
        clock[0] = second + 1.3
        live.tick()

    first, second = capsys.readouterr().err.splitlines()
    assert "100/s  ok 100 " in first
    assert "50/s  ok 150 " in second
    assert "p50 2.00 ms" in second


def test_on_a_terminal_one_line_is_rewritten_a_few_times_a_second(clock, monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    live = Live(quiet=False, every_s=5, length_s=60)
    live.see(began())
    live.see(interval(0, ok=100))
    for tick in range(1, 7):
        clock[0] = tick / 4
        live.tick()
    live.end()

    lines = screen.getvalue().split("\r\x1b[2K")
    assert len(lines) == 8
    assert "\n" not in screen.getvalue()
    assert lines[6] == "1.5s of 60s  100/s  ok 100  failed 0  not sent 0  p50 1.00 ms  p99 1.00 ms"


def test_a_line_is_no_longer_than_the_terminal_is_wide(clock, monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr("rollcheck.cli.loadlive.columns_of", lambda stream: 20)
    live = Live(quiet=False, every_s=5, length_s=60)
    live.see(began())
    live.see(interval(0, ok=100))
    clock[0] = 1.5
    live.tick()

    assert screen.getvalue() == "\r\x1b[2K1.5s of 60s  100/s "


def test_a_terminal_of_no_known_width_is_taken_as_80_columns(monkeypatch):
    class Unknown(Screen):
        def fileno(self) -> int:
            return 2

    monkeypatch.setattr("os.get_terminal_size", lambda fd: os.terminal_size((0, 0)))

    assert columns_of(Unknown()) == 80
    assert columns_of(Screen()) == 80


def test_who_has_closed_stderr_costs_no_load(clock, monkeypatch):
    class Closed(Screen):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    live = Live(quiet=False, every_s=5, length_s=60)
    live.see(began())
    clock[0] = 1.5
    live.tick()
    live.end()

    live.say("anything")


def test_a_terminal_of_a_ci_gets_lines(clock, monkeypatch):
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(sys, "stderr", Screen())

    assert not Live(quiet=False, every_s=5, length_s=60).terminal


@pytest.mark.parametrize("options", [{"quiet": True, "every_s": 1}, {"quiet": False, "every_s": 0}])
def test_nothing_is_said_when_nothing_is_wanted(clock, capsys, options):
    live = Live(length_s=60, **options)
    live.see(began())
    live.see(interval(0, ok=10))
    clock[0] = 5
    live.tick()

    assert capsys.readouterr().err == ""


def test_nothing_is_said_before_the_load_begins(clock, capsys):
    live = Live(quiet=False, every_s=1, length_s=60)
    clock[0] = 5
    live.tick()

    assert capsys.readouterr().err == ""


def test_the_warm_up_is_in_no_count_and_its_first_failure_is_kept(clock, capsys):
    live = Live(quiet=False, every_s=1, length_s=60)
    failures = [
        Attempt(
            seq=-seq,
            lane=Lane.REUSED,
            stage=Stage.PREFLIGHT,
            phase=Phase.CONNECT,
            outcome=Outcome.REFUSED,
            intended_ns=0,
            released_ns=0,
            sent_ns=0,
            ended_ns=0,
        )
        for seq in (1, 2)
    ]
    live.see(began())
    for failure in failures:
        live.see(failure)
    live.see(interval(0, ok=3, stage=Stage.PREFLIGHT))
    clock[0] = 1.3
    live.tick()

    assert live.first_failure is failures[0]
    assert "0/s  ok 0  failed 0" in capsys.readouterr().err


def test_what_could_drive_a_terminal_is_not_passed_on(clock, capsys):
    Live(quiet=False, every_s=1, length_s=60).say("http://host/\x1b[2J")

    assert "\x1b" not in capsys.readouterr().err
