import re
import xml.etree.ElementTree as ET

import junitparser
import pytest
from cards import CARDS, graceful, immediate_exit, stuck
from harmful import TEXTS, load_of, run_of
from hypothesis import given, settings
from loads import LOADS

from rollcheck.render.checks import State, check_load, check_run
from rollcheck.render.junit import render_junit
from rollcheck.render.text import clean

TOKEN = r"\S+( \S+)*"
"""What XML Schema calls a token, of at least one character."""
RULES = {
    "testsuites": ({}, ["testsuite"]),
    "testsuite": (
        {
            "package": TOKEN,
            "id": r"\d+",
            "name": TOKEN,
            "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
            "hostname": TOKEN,
            "tests": r"\d+",
            "failures": r"\d+",
            "errors": r"\d+",
            "skipped": r"\d+",
            "time": r"\d+\.\d+",
        },
        ["properties", "testcase*", "system-out", "system-err"],
    ),
    "properties": ({}, ["property*"]),
    "property": ({"name": TOKEN, "value": ".*"}, []),
    "testcase": ({"name": TOKEN, "classname": TOKEN, "time": r"\d+"}, ["failure?", "error?", "skipped?"]),
    "failure": ({"message": ".+", "type": ".+"}, []),
    "error": ({"message": ".+", "type": ".+"}, []),
    "skipped": ({"message": ".+"}, []),
    "system-out": ({}, []),
    "system-err": ({}, []),
}
"""Attributes and children of every element: what the schemas of Ant (Windy Road's) and of Jenkins (xunit's junit-10)
both allow; the first asks for the order of children and for the shape of values."""


def check_structure(element):
    attributes, children = RULES[element.tag]
    assert set(element.attrib) == set(attributes)
    for name, shape in attributes.items():
        assert re.fullmatch(shape, element.attrib[name]), (element.tag, name, element.attrib[name])
    shape = "".join(f"(?:{child.rstrip('*?')} ){child[-1] if child[-1] in '*?' else ''}" for child in children)
    assert re.fullmatch(shape, "".join(f"{child.tag} " for child in element))
    for child in element:
        check_structure(child)


def parsed(checkup):
    return ET.fromstring(render_junit(checkup))


CHECKUPS = {
    **{name: lambda make=make: check_run(make()) for name, make in CARDS.items()},
    **{f"load-{name}": lambda make=make: check_load(make(), ()) for name, make in LOADS.items()},
}


@pytest.mark.parametrize("name", CHECKUPS)
def test_elements_attributes_and_their_order_are_those_of_the_schemas(name):
    check_structure(parsed(CHECKUPS[name]()))


@pytest.mark.parametrize("name", CHECKUPS)
def test_a_second_parser_counts_what_was_checked(name):
    checkup = CHECKUPS[name]()
    (suite,) = junitparser.JUnitXml.fromstring(render_junit(checkup))
    found = [case.result[0] if case.result else None for case in suite]

    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (
        len(found),
        sum(isinstance(each, junitparser.Failure) for each in found),
        sum(isinstance(each, junitparser.Error) for each in found),
        sum(isinstance(each, junitparser.Skipped) for each in found),
    )
    assert suite.failures == len(checkup.of(State.FAILED))


def test_a_graceful_run_has_a_case_for_each_check_and_none_failed():
    suite = parsed(check_run(graceful()))[0]

    assert [case.attrib["classname"] for case in suite.iter("testcase")] == [
        "rollcheck.run.no-loss",
        "rollcheck.run.ends-by-itself",
        "rollcheck.run.conclusive",
        "rollcheck.run.generator",
    ]
    assert list(suite.iter("failure")) == list(suite.iter("error")) == []


def test_a_cause_is_a_failed_case_with_its_evidence_and_patch():
    suite = parsed(check_run(immediate_exit()))[0]
    case = next(case for case in suite.iter("testcase") if case.attrib["classname"] == "rollcheck.run.cause-1")

    assert case[0].attrib["message"].startswith("57 requests lost: Each old pod stopped listening")
    assert "no container has a preStop hook" in case[0].text
    assert "          preStop:\n            sleep:\n" in case[0].text


def test_what_is_not_known_is_an_error_and_no_failure():
    suite = parsed(check_run(stuck()))[0]

    assert list(suite.iter("failure")) == []
    assert {error.attrib["type"] for error in suite.iter("error")} == {"inconclusive"}


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_names_of_any_kind_come_out_as_they_read(text):
    suite = parsed(check_run(run_of(text)))[0]
    check_structure(suite)
    values = {each.attrib["name"]: each.attrib["value"] for each in suite.iter("property")}
    failures = [each.attrib["message"] for each in suite.iter("failure")]

    assert values.get("workload", "-") == (clean(text) or "-")
    assert any(clean(text) in message for message in failures)


@given(TEXTS)
@settings(max_examples=30, deadline=None)
def test_names_of_any_kind_come_out_of_a_load_as_they_read(text):
    suite = parsed(check_load(load_of(text), ()))[0]
    check_structure(suite)

    assert clean(f"3 {text}") in suite.find("system-out").text
