import json
from dataclasses import replace
from pathlib import Path

import pytest
from loads import LOADS, closed_loop, failing, healthy, nothing

from rollcheck.analyze.hdr import decoded
from rollcheck.render.fortio import fortio_bytes, fortio_json, result_id

REAL = json.loads((Path(__file__).parent / "data" / "fortio-run.json").read_text())


def kind(value):
    """The type of a value as Go would decode it; a whole number may stand for a float, never the other way."""
    if isinstance(value, dict):
        return {name: kind(v) for name, v in value.items()}
    if isinstance(value, list):
        return [kind(value[0])] if value else []
    return type(value).__name__


def test_fields_are_fortios_in_its_order_and_ours_is_last():
    assert list(fortio_json(healthy())) == [*REAL, "ResponseLabel", "rollcheck"]


@pytest.mark.parametrize("field", [f for f in REAL if f not in ("RetCodes", "IPCountMap")])
def test_every_field_has_fortios_type(field):
    ours, theirs = kind(fortio_json(healthy())[field]), kind(REAL[field])

    assert as_json(ours) == as_json(theirs)


def as_json(shape):
    return json.dumps(shape).replace('"float"', '"number"').replace('"int"', '"number"')


@pytest.mark.parametrize(
    "path",
    [
        ("ActualDuration",),
        ("NumThreads",),
        ("DurationHistogram", "Count"),
        ("Exactly",),
        ("RunID",),
        ("HTTPReqTimeOut",),
        ("Offset",),
        ("SocketCount",),
        ("AbortOn",),
    ],
)
def test_what_go_decodes_into_a_whole_number_is_one(path):
    value = fortio_json(healthy())
    for name in path:
        value = value[name]

    assert isinstance(value, int)
    assert not isinstance(value, bool)


def test_percentiles_are_those_that_fortios_graph_looks_up():
    found = [p["Percentile"] for p in fortio_json(healthy())["DurationHistogram"]["Percentiles"]]

    assert found == [50, 75, 90, 99, 99.9]


def test_durations_hold_failures_and_the_errors_are_apart():
    made, summary = fortio_json(failing()), failing()

    assert made["DurationHistogram"]["Count"] == summary.sent
    assert made["ErrorsDurationHistogram"]["Count"] == summary.failed
    assert sum(made["RetCodes"].values()) == summary.scheduled
    assert made["RetCodes"] == {"-1": 6, "200": 6000, "503": 2}


def test_without_errors_their_histogram_has_no_data():
    errors = fortio_json(healthy())["ErrorsDurationHistogram"]

    assert errors == {"Count": 0, "Min": 0, "Max": 0, "Sum": 0, "Avg": 0, "StdDev": 0, "Data": None}


def test_histograms_in_it_are_whole():
    summary = failing()
    latency = fortio_json(summary)["rollcheck"]["latency"]

    assert decoded(latency["response"]["hdr"]).encode() == summary.response.encode()
    assert latency["service"]["percentiles_us"]["99"] == 38_207


def test_seconds_are_rows_of_named_columns():
    own = fortio_json(failing())["rollcheck"]
    row = dict(zip(own["seconds_columns"], own["seconds"][31], strict=True))

    assert (row["at_s"], row["asked"], row["failed"], row["not_sent"]) == (31.0, 100, 7, 1)


def test_no_password_is_in_it_even_of_a_url_that_has_one():
    summary = healthy()
    header = replace(summary.header, url="http://joe:s3cret@127.0.0.1:8080/echo", options={"user": "joe:s3cret"})
    made = fortio_bytes(replace(summary, header=header))

    assert b"s3cret" not in made
    assert b"joe" not in made
    assert json.loads(made)["URL"] == "http://127.0.0.1:8080/echo"
    assert json.loads(made)["UserCredentials"] == ""


@pytest.mark.parametrize("name", LOADS)
def test_every_load_can_be_written_and_read_back(name):
    made = fortio_bytes(LOADS[name]())

    assert json.loads(made) == json.loads(json.dumps(fortio_json(LOADS[name]())))
    assert made.startswith(b'{\n  "RunType": "HTTP",\n')
    assert made.endswith(b"\n}\n")


def test_options_are_told_as_they_were_given():
    options = {"connection-reuse": "5:10", "abort-on": "503", "keepalive": "false", "k": "true", "offset": "1.5ms"}
    summary = healthy()
    made = fortio_json(replace(summary, header=replace(summary.header, options={**options, "r": "0.0001"})))

    assert (made["ConnReuseRange"], made["AbortOn"]) == ([5, 10], 503)
    assert (made["DisableKeepAlive"], made["Insecure"], made["Offset"], made["Resolution"]) == (
        True,
        True,
        1_500_000,
        0.0001,
    )


@pytest.mark.parametrize(
    ("make", "asked"), [(healthy, ("100", "3s")), (closed_loop, ("max", "exactly 2001 calls, interrupted after 1500"))]
)
def test_what_was_asked_for_reads_as_in_fortio(make, asked):
    made = fortio_json(make())

    assert (made["RequestedQPS"], made["RequestedDuration"]) == asked


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (healthy, "2026-11-21-071000_echo_host"),
        (closed_loop, "2026-11-21-071000_7_evil_31m_host"),
        (nothing, "2026-11-21-071000_no_such_host"),
    ],
)
def test_a_result_is_named_by_date_run_and_labels(make, name):
    assert result_id(make()) == name
    assert fortio_json(make())["ID"] == name


def test_a_name_is_at_most_96_characters_long():
    summary = healthy()
    header = replace(summary.header, options={"labels": "x" * 200})

    assert len(result_id(replace(summary, header=header))) == 96
