import gzip
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from rollcheck.analyze.analysis import analyse
from rollcheck.analyze.history import BAD, GOOD, UNSURE, Entry, entry_of_load, entry_of_run, series_of
from rollcheck.analyze.results import of_summary
from rollcheck.errors import DocumentError
from rollcheck.facts.codec import decode_document
from rollcheck.render.result import render_result
from tests.analyze.load_facts import document, interval, mark, steady

RECORDED = Path(__file__).parent.parent / "recorded" / "ingress-502" / "facts.jsonl.gz"


@cache
def result():
    return render_result(analyse(decode_document(gzip.decompress(RECORDED.read_bytes()).splitlines())))


def entry(verdict="graceful", started="2026-01-01T00:00:00Z", **fields):
    base = Entry(
        place="p",
        kind="run",
        subject="deployment/web in shop",
        started=started,
        verdict=verdict,
        tone=GOOD,
        lost=0,
        sent=9,
    )
    return replace(base, **fields)


def summary(*verdicts):
    (series,) = series_of(entry(verdict, f"2026-01-0{day}T00:00:00Z") for day, verdict in enumerate(verdicts, 1))
    return series.summary


def test_a_run_is_counted_since_its_trigger():
    found = entry_of_run(json.loads(result()), "ingress-502")

    assert (found.lost, found.sent) == (85, 660)
    assert (found.verdict, found.tone) == ("not graceful", BAD)
    assert found.causes == ("immediate exit on SIGTERM",)


def test_the_latency_of_a_run_is_that_of_its_replacement():
    raw = json.loads(result())
    busiest = max((each for each in raw["latency"] if each["stage"] == "replacement"), key=lambda each: each["ok"])

    assert entry_of_run(raw, "x").p99_ms == busiest["response_ms"]["p99"]


def test_a_load_is_measured_and_what_it_lost_is_bad():
    from rollcheck.analyze.load import summarise

    loads = [summarise(document(*steady())), summarise(document(mark(), interval(0, [900], failed=[300] * 3)))]
    found = [entry_of_load(of_summary(each, "n", started="2026-01-01T00:00:00Z"), "n") for each in loads]

    assert [(each.verdict, each.tone) for each in found] == [("measured", GOOD), ("measured", BAD)]
    assert found[1].lost == 3


def test_a_load_whose_generator_failed_is_not_to_be_trusted():
    from rollcheck.analyze.load import summarise

    held = of_summary(summarise(document(*steady())), "n", started="2026-01-01T00:00:00Z")

    assert entry_of_load(replace(held, faults=("late",)), "n").tone == UNSURE


@pytest.mark.parametrize("raw", [{}, {"schema": "rollcheck.result/1"}, {"schema": "other/9"}])
def test_what_is_no_result_is_one_sentence(raw):
    with pytest.raises(DocumentError, match="reports/x"):
        entry_of_run(raw, "reports/x")


def test_entries_of_one_subject_stand_together_in_order_of_time():
    late, early = entry(started="2026-01-02T00:00:00Z"), entry(started="2026-01-01T00:00:00Z")
    other = entry(subject="deployment/api in shop")
    load = entry(kind="load", subject="a url")

    found = series_of([load, late, other, early])

    assert [(each.kind, each.subject) for each in found] == [
        ("run", "deployment/api in shop"),
        ("run", "deployment/web in shop"),
        ("load", "a url"),
    ]
    assert found[1].entries == (early, late)


def test_a_series_says_since_when_it_is_as_it_is():
    assert summary("not graceful", "graceful", "graceful") == (
        "graceful the last 2 of 3, since 2026-01-02T00:00:00Z; not graceful before that"
    )


def test_a_series_that_never_changed_says_so():
    assert summary("graceful", "graceful") == "graceful every time, 2 in all"
    assert summary("inconclusive") == "inconclusive, the only one"


def test_a_share_of_nothing_is_nothing():
    assert entry(sent=0).share == 0.0
