from functools import cache

import pytest
from harmful import TEXTS, load_of
from hypothesis import given, settings
from loads import LOADS, failing, healthy, late, slow_target
from reading import cells, data_of, program, read

from rollcheck.analyze.hdr import value_at
from rollcheck.analyze.thresholds import judge, parse_threshold
from rollcheck.render.html.load import render_load
from rollcheck.render.html.verdict import milliseconds

every_load = pytest.mark.parametrize("name", LOADS)


@cache
def tree_of(name):
    return read(render_load(LOADS[name]()))


def words(element):
    return " ".join(element.text.split())


@every_load
def test_the_same_load_gives_the_same_bytes(name):
    assert render_load(LOADS[name]()) == render_load(LOADS[name]())


@every_load
def test_every_request_is_counted_in_the_headline(name):
    summary = LOADS[name]()
    (headline,) = tree_of(name).all("h1")

    assert f"{summary.ok:,} ok, {summary.failed:,} failed, {summary.not_sent:,} never sent" in headline.text


def test_a_threshold_that_was_missed_is_the_verdict():
    summary = failing()
    judgements = judge([parse_threshold("errors==0"), parse_threshold("ok>1")], summary)
    tree = read(render_load(summary, judgements))
    (badge,) = tree.all("p", class_="badge")
    (table,) = tree.all("div", aria_label="Thresholds")

    assert words(badge).endswith("failed")
    assert [words(row.all("td")[-1]) for row in table.all("tbody")[0].all("tr")] == ["missed", "met"]


def test_losses_that_no_threshold_forbids_are_no_plain_success():
    assert words(tree_of("failing").all("p", class_="badge")[0]).endswith("passed with losses")
    assert words(tree_of("healthy").all("p", class_="badge")[0]).endswith("passed")


def test_a_load_that_proves_nothing_says_why_first():
    (verdict,) = tree_of("late").all("section", class_="verdict unsure")

    assert "Worker 1 was killed (SIGKILL)" in words(verdict)
    assert late().faults


def test_percentiles_are_those_of_the_histogram():
    (table,) = tree_of("failing").all("div", aria_label="Latencies")
    (row,) = [each for each in table.all("tr") if words(each).startswith("response time")]
    known = failing().response

    assert milliseconds(value_at(known, 99.9) / 1000) in [words(cell) for cell in row.all("td")]


def test_errors_are_told_by_kind_with_an_example():
    (table,) = tree_of("failing").all("div", aria_label="Errors by kind")
    told = [[words(cell) for cell in row.all()[1:]] for row in table.all("tbody")[0].all("tr")]

    assert ["refused", "4", "+31.2", "+31.5", "ECONNREFUSED"] in told


def test_the_curve_has_a_line_for_response_and_one_for_service_time():
    (curve,) = tree_of("failing").all("svg", class_="curve")

    assert len(curve.all("polyline")) == 2
    assert {"response time", "service time", "p99.9"} <= {each.text for each in curve.all("text")}


def test_a_target_that_is_too_slow_is_worth_knowing():
    assert slow_target().target_slow[1:].rstrip(".") in words(tree_of("slow-target"))


def test_every_second_is_drawn():
    data = data_of(render_load(failing()), "moments-a")

    assert len(data["slots"]["start"]) == len(failing().seconds) == 60
    assert max(data["slots"]["p99"]) == max(row.p99_us for row in failing().seconds) / 1000
    assert sum(kind["count"] for kind in data["kinds"]) == len(failing().failures)


def test_lost_requests_beyond_those_that_are_kept_are_told_to_be_more():
    data = data_of(render_load(failing()), "moments-a")

    assert data["unlisted"] == failing().lost - len(failing().failures)
    assert data_of(render_load(healthy()), "moments-a")["unlisted"] == 0


def test_an_attempt_can_be_looked_into():
    (table,) = data_of(render_load(failing()), "raw-a")

    assert cells(table["columns"]["detail"], table["rows"]) == [a.detail for a in failing().failures]


@cache
def named(text):
    return read(render_load(load_of(text)))


@settings(max_examples=15, deadline=None)
@given(TEXTS)
def test_no_name_becomes_markup(text):
    tree, harmless = read(render_load(load_of(text))), named("harmless")

    assert {each.tag for each in tree.all()} == {each.tag for each in harmless.all()}
    assert program(tree) == program(harmless)
