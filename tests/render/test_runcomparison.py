import json

import pytest
from cards import graceful, immediate_exit, stuck
from harmful import TEXTS, run_of
from hypothesis import given, settings

from rollcheck.analyze.comparerun import compare_runs
from rollcheck.render.runcomparison import run_comparison_json, run_comparison_text, verdict
from rollcheck.render.text import clean

NAMES = ("reports/before", "reports/after")


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        (graceful, graceful, "Both are graceful."),
        (immediate_exit, graceful, "B is better: A was not graceful, B is graceful."),
        (graceful, immediate_exit, "B is worse: A was graceful, B is not graceful."),
        (graceful, stuck, "Which is worse is not known: B is inconclusive, which proves nothing."),
        (stuck, stuck, "Which is worse is not known: A and B are inconclusive, which proves nothing."),
        (
            immediate_exit,
            immediate_exit,
            "Both lost requests, and the shares do not differ by more than chance explains.",
        ),
    ],
)
def test_one_sentence_says_which_is_worse(a, b, said):
    comparison = compare_runs(a(), b())

    assert verdict(comparison) == said
    assert " ".join(said.split()) in " ".join(run_comparison_text(comparison, NAMES).split())


def test_json_has_both_sides():
    told = json.loads(run_comparison_json(compare_runs(immediate_exit(), graceful()), NAMES))

    assert (told["schema"], told["a"]["name"], told["b"]["verdict"]) == (
        "rollcheck.compare-runs/1",
        "reports/before",
        "graceful",
    )
    assert told["a"]["causes"] == [{"mode": 1, "name": "Immediate exit on SIGTERM", "attempts": 57}]


@given(TEXTS)
@settings(max_examples=30, deadline=None)
def test_names_of_any_kind_come_out_harmless(text):
    comparison = compare_runs(graceful(), run_of(text))

    shown = run_comparison_text(comparison, (text, text), width=1000)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert clean(text) in " ".join(shown.split())
    assert (
        json.loads(run_comparison_json(comparison, (text, text)))["a"]["name"]
        == text.encode("utf-8", "replace").decode()
    )
