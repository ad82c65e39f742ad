import re

import pytest
from cards import CARDS, graceful, immediate_exit, stuck
from harmful import TEXTS, run_of
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.render.checks import Check, Checkup, State, check_run
from rollcheck.render.github import CUT, MOST, ROOM, SUMMARY_BYTES, fitted_summary, render_annotations
from rollcheck.render.text import clean


def obeyed(text):
    """What GitHub's runner makes of lines: (command, title, message), as its reader undoes the escapes."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r"::(error|warning|notice) title=([^,:]*)::(.*)", line)
        assert match, line
        kind, title, message = match.groups()
        title = title.replace("%0D", "\r").replace("%0A", "\n").replace("%3A", ":").replace("%2C", ",")
        message = message.replace("%0D", "\r").replace("%0A", "\n")
        found.append((kind, title.replace("%25", "%"), message.replace("%25", "%")))
    return found


def test_a_graceful_run_is_one_notice():
    assert obeyed(render_annotations(check_run(graceful()))) == [
        ("notice", "rollcheck: graceful", graceful().headline),
    ]


def test_a_loss_and_its_cause_are_errors():
    found = obeyed(render_annotations(check_run(immediate_exit())))

    assert [(kind, title) for kind, title, _ in found] == [
        ("error", "rollcheck no-loss: No request is lost to the replacement"),
        ("error", "rollcheck cause-1: Not lost to: Immediate exit on SIGTERM"),
    ]
    assert "no container has a preStop hook" in found[1][2].split("\n")


def test_an_inconclusive_run_is_an_error_too():
    assert {kind for kind, _, _ in obeyed(render_annotations(check_run(stuck())))} == {"error"}


@pytest.mark.parametrize("name", CARDS)
def test_there_is_always_something_to_see(name):
    assert obeyed(render_annotations(check_run(CARDS[name]())))


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_names_of_any_kind_are_read_back_as_they_were(text):
    found = obeyed(render_annotations(check_run(run_of(text))))
    cause = next(message for _, title, message in found if title.startswith("rollcheck cause-1"))

    assert clean(text).replace("##[", "## [") in cause


@given(TEXTS)
@settings(max_examples=30, deadline=None)
def test_no_name_reaches_the_runners_older_kind_of_command(text):
    assert "##[" not in render_annotations(check_run(run_of(text)))


def checkup(number):
    checks = tuple(Check(id=f"c{n}", name=f"check {n}", state=State.FAILED, message=f"m{n}") for n in range(number))
    return Checkup(
        kind="run",
        run_id="r",
        subject="s",
        verdict="not graceful",
        state=State.FAILED,
        headline="h",
        started="2026-01-01T00:00:00Z",
        seconds=1,
        properties=(),
        checks=checks,
    )


def test_ten_annotations_hold_every_check_of_more():
    found = obeyed(render_annotations(checkup(MOST + 5)))

    assert len(found) == MOST
    assert found[-1][1] == "rollcheck: 6 more checks"
    assert "check 14: m14" in found[-1][2]


def test_ten_checks_are_told_one_by_one():
    assert obeyed(render_annotations(checkup(MOST)))[-1][1] == "rollcheck c9: check 9"


def test_a_summary_that_fits_is_left_as_it_is():
    assert fitted_summary("# x\n", 0) == "# x\n"


@given(st.integers(0, SUMMARY_BYTES), st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_a_summary_never_has_more_bytes_than_github_takes(taken, width):
    long = ("é" * width + "\n") * (SUMMARY_BYTES // width)

    assert len(fitted_summary(long, taken).encode()) <= max(0, SUMMARY_BYTES - ROOM - taken)


def test_a_block_that_is_cut_is_closed():
    kept = fitted_summary("```yaml\n" + "a: b\n" * SUMMARY_BYTES, 0)

    assert kept.endswith("\n```" + CUT)
