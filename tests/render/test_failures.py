import json

from cards import immediate_exit, in_flight_and_broken
from harmful import TEXTS, run_of
from hypothesis import given, settings

from rollcheck.facts.attempts import Lane, Outcome
from rollcheck.render.failures import render_failures, render_load_failures
from tests.analyze.load_facts import document, failure, mark


def lines(data):
    return [json.loads(line) for line in data.decode().splitlines()]


def test_every_failed_request_has_a_line_in_order_of_its_start():
    found = lines(render_failures(immediate_exit()))

    assert len(found) == 57
    assert [each["at_s"] for each in found] == sorted(each["at_s"] for each in found)


def test_a_line_names_the_cause_of_its_failure():
    analysis = in_flight_and_broken()
    (cause,) = [each for each in analysis.causes if each.mode == 4]
    seqs = tuple((a.lane.value, a.seq) for a in analysis.timeline.failures if a.outcome is Outcome.TRUNCATED_BODY)
    object.__setattr__(cause, "seqs", seqs)

    found = [each for each in lines(render_failures(analysis)) if each["outcome"] == "truncated_body"]

    assert {(each["mode"], each["cause"]) for each in found} == {(4, "requests under way dropped on SIGTERM")}


def test_what_no_cause_claims_has_null():
    odd = [each for each in lines(render_failures(in_flight_and_broken())) if each["outcome"] == "not_resolved"]

    assert [(each["mode"], each["cause"]) for each in odd] == [(None, None)]


def test_what_was_never_sent_is_told_without_a_service_time():
    (dropped,) = [each for each in lines(render_failures(in_flight_and_broken())) if each["outcome"] == "dropped"]

    assert (dropped["sent_ns"], dropped["service_ms"]) == (None, None)


def test_probes_and_good_answers_of_a_load_have_no_line():
    facts = document(mark(), failure(1.0), failure(1.5, lane=Lane.PROBE), failure(2.0, outcome=Outcome.OK))

    assert len(lines(render_load_failures(facts))) == 1


@given(TEXTS)
@settings(max_examples=40, deadline=None)
def test_names_of_any_kind_are_read_back_as_they_were(text):
    data = render_failures(run_of(text))

    assert {each["pod"] for each in lines(data)} == {text.encode("utf-8", "replace").decode()}
