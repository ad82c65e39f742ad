"""Selectors and amounts as a real API server reads them (see `recorded/`), and what they mean."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.sandbox import quantities, selectors
from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import PODS
from rollcheck.sandbox.selectors import EVERYTHING, NOTHING
from rollcheck.sandbox.status import ApiFailure

RECORDED = Path(__file__).with_name("recorded")
sys.path.insert(0, str(RECORDED))
import api_cases  # noqa: E402
import api_texts  # noqa: E402

READ = json.loads((RECORDED / "api_texts.json").read_text())


@pytest.fixture(scope="module")
def registry():
    made = Registry(addresses=Addresses(16))
    for name, labels in api_texts.LABELS.items():
        metadata = {"metadata": {"name": name, "labels": labels}}
        made.create(PODS, "default", api_cases.edited(api_cases.POD, metadata))
    return made


def chosen(registry, **selector):
    try:
        return [one["metadata"]["name"] for one in registry.list(PODS, "default", **selector)]
    except ApiFailure as failure:
        return failure.body()


@pytest.mark.parametrize("text", api_texts.SELECTORS)
def test_a_label_selector_chooses_or_fails_as_in_reality(registry, text):
    assert chosen(registry, labels=text) == READ["labels"][text]


@pytest.mark.parametrize("text", api_texts.FIELDS)
def test_a_field_selector_chooses_or_fails_as_in_reality(registry, text):
    assert chosen(registry, fields=text) == READ["fields"][text]


@pytest.mark.parametrize("text", api_texts.AMOUNTS)
def test_an_amount_is_written_as_in_reality(text):
    assert quantities.canonical(text) == READ["amounts"][text]


@given(st.integers(0, 10**12), st.sampled_from(("n", "u", "m", "", "k", "M", "G", "Ki", "Mi", "Gi")))
@settings(deadline=None)
def test_writing_an_amount_changes_it_by_less_than_a_thousandth(number, suffix):
    before = quantities.parse(f"{number}{suffix}")
    after = quantities.parse(quantities.canonical(f"{number}{suffix}"))
    assert before <= after < before + quantities.MILLI


@given(st.integers(0, 10**12), st.sampled_from(("m", "", "k", "M", "Ki", "Mi", "Gi")))
@settings(deadline=None)
def test_a_written_amount_is_written_the_same_again(number, suffix):
    once = quantities.canonical(f"{number}{suffix}")
    assert quantities.canonical(once) == once


@pytest.mark.parametrize("text", ["", "a", "1 Gi", "1KB", "--1", "1e", "0x1", "1Gi2"])
def test_what_is_no_amount_says_so(text):
    with pytest.raises(quantities.NotAQuantity, match="quantities must match the regular expression"):
        quantities.parse(text)


def test_a_number_is_an_amount_too():
    assert quantities.canonical(2) == "2"
    assert quantities.canonical(0.5) == "500m"


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)


@given(LABELS, LABELS)
@settings(deadline=None)
def test_a_services_selector_chooses_who_has_all_its_labels(wanted, labels):
    matches = selectors.of_labels(wanted).matches(labels)
    assert matches == (bool(wanted) and wanted.items() <= labels.items())


@given(LABELS, LABELS)
@settings(deadline=None)
def test_a_selector_object_and_its_text_choose_the_same(wanted, labels):
    selector = {
        "matchLabels": wanted,
        "matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "y"]}, {"key": "b", "operator": "Exists"}],
    }
    by_text = selectors.parse(selectors.text_of(selector))
    assert by_text.matches(labels) == selectors.of_object(selector).matches(labels)


def test_no_selector_chooses_nothing_and_an_empty_one_everything():
    assert selectors.of_object(None) == NOTHING
    assert selectors.of_object({}) == EVERYTHING
    assert not NOTHING.matches({"a": "b"})
    assert EVERYTHING.matches(None)
