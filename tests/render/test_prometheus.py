import base64
import re
from dataclasses import replace

import pytest
from cards import CARDS, graceful, immediate_exit, nothing
from harmful import TEXTS, load_of, run_of
from hypothesis import given, settings
from hypothesis import strategies as st
from loads import LOADS, failing, healthy

from rollcheck.analyze.thresholds import judge, parse_threshold
from rollcheck.render.prometheus import push_path, render_load_prometheus, render_prometheus
from rollcheck.render.text import clean

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\["\\n])*)"'
SAMPLE = re.compile(rf"({NAME})\{{((?:{LABEL},?)*)\}} (\S+)")


def samples(data):
    """(name, labels) → value, by the format's grammar; a family's lines must stand together, under its TYPE."""
    found, family, seen = {}, "", set()
    text = data.decode()
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in seen
            seen.add(family)
            continue
        if line.startswith("# TYPE "):
            assert line == f"# TYPE {family} gauge"
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        assert match[1] == family
        labels = re.findall(LABEL, match[2])
        assert len(dict(labels)) == len(labels)
        key = (family, tuple((name, re.sub(r"\\(.)", r"\1", value)) for name, value in labels))
        assert key not in found
        found[key] = float(match[5])
    return found


def value(data, name, **labels):
    (found,) = [
        v for (family, own), v in samples(data).items() if family == name and labels.items() <= dict(own).items()
    ]
    return found


@pytest.mark.parametrize("name", CARDS)
def test_every_run_is_in_the_format(name):
    assert samples(render_prometheus(CARDS[name]()))


@pytest.mark.parametrize("name", LOADS)
def test_every_load_is_in_the_format(name):
    assert samples(render_load_prometheus(LOADS[name](), ()))


def test_counts_are_exact():
    data = render_prometheus(immediate_exit())

    assert value(data, "rollcheck_requests", lane="fresh", result="failed") == 54
    assert value(data, "rollcheck_requests_not_ok", lane="fresh", outcome="connect/refused") == 51
    assert value(data, "rollcheck_cause_requests", mode="1") == 57


def test_exactly_one_verdict_is_1():
    data = render_prometheus(graceful())

    assert value(data, "rollcheck_verdict", verdict="graceful") == 1
    assert value(data, "rollcheck_verdict", verdict="not graceful") == 0
    assert value(data, "rollcheck_verdict", verdict="inconclusive") == 0


def test_what_is_proven_lost_is_told():
    assert value(render_prometheus(replace(immediate_exit(), lost=55)), "rollcheck_requests_lost") == 55


def test_latencies_are_seconds():
    data = render_prometheus(graceful())

    assert value(data, "rollcheck_response_seconds", lane="fresh", stage="tail", quantile="0.99") == 0.009


def test_what_has_no_value_has_no_sample():
    names = {name for name, _ in samples(render_prometheus(nothing()))}

    assert "rollcheck_recommended_prestop_seconds" not in names
    assert "rollcheck_exit_code" in names


def test_thresholds_of_a_load_are_samples():
    judgements = judge([parse_threshold("errors==0")], failing())

    assert value(render_load_prometheus(failing(), judgements), "rollcheck_load_threshold_met") == 0


def test_large_counts_and_small_spans_keep_their_figures():
    data = render_load_prometheus(healthy(), ())

    assert value(data, "rollcheck_load_requests", result="ok") == healthy().ok
    assert value(data, "rollcheck_ended_timestamp_seconds") > 1.7e9


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_names_of_any_kind_come_out_as_they_read(text):
    data = render_prometheus(run_of(text))

    assert value(data, "rollcheck_cause_requests", cause=clean(text), workload=clean(text)) == 57


@given(TEXTS)
@settings(max_examples=30, deadline=None)
def test_names_of_any_kind_come_out_of_a_load_as_they_read(text):
    assert value(render_load_prometheus(load_of(text), ()), "rollcheck_load_requests_not_ok", outcome=clean(text)) == 3


def test_a_group_of_a_gateway_is_a_workload_of_a_namespace():
    header = replace(graceful().timeline.document.header, workload="web")

    assert push_path(header) == "/metrics/job/rollcheck/namespace/default/workload/web"


@given(st.one_of(TEXTS, st.sampled_from(["", ".", "..", "a/b", "a b", "%2F"])))
def test_a_name_that_no_path_can_hold_is_base64(text):
    header = replace(graceful().timeline.document.header, namespace="n", workload=text)
    path = push_path(header)
    tail = path.removeprefix("/metrics/job/rollcheck/namespace/n/workload")

    assert re.fullmatch(r"[A-Za-z0-9/._~@=-]+", path)
    if tail.startswith("@base64/"):
        coded = tail.removeprefix("@base64/").rstrip("=")
        decoded = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
        assert decoded == text.encode("utf-8", "replace").decode()
    else:
        assert tail == f"/{text}"
