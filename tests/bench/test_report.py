import pytest

from bench.arithmetic import summarise
from bench.report import BEGIN, END, render_json, render_markdown, render_text, replace_figures
from bench.results import Figure, Row

MACHINE = {
    "cores": 2,
    "processor": "",
    "memory_gb": 8,
    "kernel": "6.1",
    "python": "3.11.7",
    "date": "2026-01-02",
    "programs": {"wrk": "4.1.0", "hey": ""},
}


def measured() -> Row:
    row = Row("closed", "closed loop")
    row.figures.append(Figure("wrk", "requests per CPU second", summarise([100_000.0, 120_000.0, 110_000.0])))
    row.at_least("≥ 0.85 × wrk", 0.9, 0.85)
    row.at_most("lag p50 ≤ 60 µs", 70, 60)
    row.unknown("an hour", "only with --long")
    return row


def test_goals_are_met_missed_or_not_known() -> None:
    assert [goal.met for goal in measured().goals] == [True, False, None]


def test_a_goal_that_is_just_reached_is_met() -> None:
    row = Row("x", "x")
    row.at_least("≥ 9", 9, 9)
    row.at_most("≤ 11", 11, 11)

    assert all(goal.met for goal in row.goals)


def test_the_text_shows_medians_with_their_spread() -> None:
    text = render_text(measured())

    assert "110,000  (100,000 – 120,000, 3 rounds)" in text
    assert "NO  lag p50 ≤ 60 µs: 70" in text
    assert "?  an hour: not measured" in text


def test_the_tables_say_how_and_on_what_they_were_had() -> None:
    tables = render_markdown([measured()], MACHINE, "python -m bench")

    assert tables.startswith("`python -m bench` on 2 cores, 8 GB, Linux 6.1, Python 3.11.7, 2026-01-02.")
    assert "Found: wrk 4.1.0, hey." in tables
    assert "| closed loop | ≥ 0.85 × wrk | 0.9 | yes |" in tables
    assert "| closed loop | wrk | requests per CPU second | 110,000 | 100,000 – 120,000 | 3 |" in tables


def test_paths_and_lines_of_an_error_stay_out_of_the_tables() -> None:
    row = Row("x", "x", notes=["fortio: open /some/where/cert.pem:\nno such | file, asked http://127.0.0.1:80/"])

    last = render_markdown([row], MACHINE, "c").splitlines()[-1]

    assert last == r"x: fortio: open …: no such \| file, asked http://127.0.0.1:80/"


def test_the_json_holds_every_goal() -> None:
    result = render_json([measured()], MACHINE, "c")

    assert [goal["met"] for goal in result["rows"][0]["goals"]] == [True, False, None]


def test_figures_go_between_the_marks_and_again_in_their_place() -> None:
    document = f"# Title\n{BEGIN}\n{END}\nafter\n"
    once = replace_figures(document, "first\n")

    assert once == f"# Title\n{BEGIN}\nfirst\n{END}\nafter\n"
    assert replace_figures(once, "second") == f"# Title\n{BEGIN}\nsecond\n{END}\nafter\n"


def test_a_document_without_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="lacks"):
        replace_figures("# Title\n", "x")
