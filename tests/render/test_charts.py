from functools import cache

import pytest
from builders import Story
from cards import CARDS, card, graceful, immediate_exit, in_flight_and_broken, nothing
from loads import LOADS

from rollcheck.facts.attempts import Lane, Outcome, Phase
from rollcheck.render.charts import COLUMNS, ROWS, UNLISTED, charts_of_load, charts_of_run, family_of_kind
from rollcheck.render.picture import FAMILIES
from tests.analyze.load_facts import document, failure, header, interval, mark, steady


@cache
def of_run(make):
    return charts_of_run(make())


def curve(charts, when, kind):
    return next(each for each in charts.curves if (each.when, each.kind) == (when, kind))


def bars(charts, lane):
    return next(each for each in charts.errors if each.lane == lane)


def total(bars):
    return sum(sum(numbers) for numbers in bars.families.values())


@pytest.mark.parametrize("name", CARDS)
def test_every_run_has_its_charts(name):
    assert of_run(CARDS[name]).title == CARDS[name]().verdict.value.upper()


def test_every_failure_is_in_one_bar():
    charts = of_run(immediate_exit)

    assert (total(bars(charts, "fresh")), total(bars(charts, "reused"))) == (54, 3)
    assert {lane.lane for lane in charts.errors} == {"reused", "fresh"}


def test_a_failure_stands_in_the_second_in_which_it_began():
    charts = charts_of_run(card(Story(qps=10).pods(1).restart(at=11).fail(Lane.FRESH, 14.5).end(at=20).document()))
    found = bars(charts, "fresh")
    (numbers,) = found.families.values()

    assert found.start + found.width * numbers.index(1) == 3.0


def test_families_are_those_of_the_timeline_and_what_was_never_sent():
    charts = of_run(in_flight_and_broken)

    assert set(bars(charts, "fresh").families) == {"reset", "timeout", "status", "other"}
    assert bars(charts, "reused").families["not sent"].count(1) == 1


def test_a_run_without_failures_has_no_bars():
    assert of_run(graceful).errors == ()


def test_a_long_run_shares_columns_and_loses_no_failure():
    story = Story(qps=1).pods(1).restart(at=11).lose(Lane.FRESH, 20, 900, every=10)
    analysis = card(story.end(at=1500).document())
    found = bars(charts_of_run(analysis), "fresh")

    assert all(len(numbers) <= COLUMNS + 1 for numbers in found.families.values())
    assert found.width == 7
    assert total(found) == analysis.counts.failed


def test_the_curves_of_a_run_are_apart_before_and_after_the_trigger():
    charts = of_run(immediate_exit)

    assert [(each.when, each.kind) for each in charts.curves] == [
        ("before", "response"),
        ("before", "service"),
        ("since the trigger", "response"),
        ("since the trigger", "service"),
    ]
    assert curve(charts, "before", "response").count + curve(charts, "since the trigger", "response").count == 7743


def load(*values):
    return charts_of_load(document(mark(), *(interval(s, each) for s, each in enumerate(values)), head=header()))


def test_a_curve_ends_at_the_share_and_the_value_of_the_slowest_answer():
    found = curve(load([1000] * 99 + [50_000]), "", "response")

    share, slowest = found.points[-1]
    assert share == pytest.approx(100)
    assert slowest == pytest.approx(50, rel=1e-3)


def test_a_curve_never_falls():
    for found in load([3000, 1000, 2000] * 40, [9000] * 3).curves:
        values = [ms for _, ms in found.points]
        assert values == sorted(values)


def test_a_cell_of_the_heat_map_is_answers_per_second():
    heat = load([1000] * 80, [1000] * 40 + [8000] * 60).heat

    assert [sum(column) for column in heat.cells] == [80, 100]
    assert [len(column) for column in heat.cells] == [ROWS, ROWS]
    assert heat.cells[0][0] == 80


def test_rows_span_all_latencies():
    heat = load([500] * 10 + [20_000]).heat

    assert heat.low_ms == pytest.approx(0.5, rel=1e-2)
    assert heat.high_ms == pytest.approx(20, rel=1e-2)
    assert heat.beyond == 0


def test_an_outlier_is_held_by_the_highest_row_and_said():
    heat = load([100] * 10 + [3_000_000]).heat

    assert heat.high_ms < 1100
    assert (heat.beyond, heat.cells[0][-1]) == (1, 1)


def test_a_second_without_answers_is_an_empty_column():
    heat = load([1000], [], [1000]).heat

    assert [sum(column) for column in heat.cells] == [1, 0, 1]


def test_a_run_without_a_good_answer_has_neither_curves_nor_a_heat_map():
    assert (of_run(nothing).heat, of_run(nothing).curves) == (None, ())


def test_failures_of_a_load_are_those_its_intervals_count():
    kinds = {"connect/refused": 4, "await/bad_status 503": 2, "connect/dropped": 1}
    facts = [mark(), *steady(), interval(1, failed=[300] * 6, failures=kinds, not_sent=1), failure(1.5)]
    found = charts_of_load(document(*facts, head=header())).errors

    assert {family: sum(n) for family, n in found[0].families.items()} == {"refused": 4, "status": 2, "not sent": 1}


def test_failures_whose_kind_was_not_kept_are_counted():
    found = charts_of_load(document(mark(), interval(0, [900], failed=[300] * 3), head=header())).errors

    assert {family: sum(n) for family, n in found[0].families.items()} == {UNLISTED: 3}


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.BODY])
def test_every_kind_has_a_family(phase, outcome):
    assert family_of_kind(f"{phase}/{outcome} 503") in FAMILIES


def test_a_kind_of_a_later_version_has_a_family_too():
    assert family_of_kind("body/unheard_of") == "other"


@pytest.mark.parametrize("name", LOADS)
def test_a_load_is_named_by_its_url(name, monkeypatch):
    seen = {}
    monkeypatch.setattr("loads.summarise", lambda facts: seen.update(document=facts))
    LOADS[name]()

    assert charts_of_load(seen["document"]).headline.startswith("http://")
