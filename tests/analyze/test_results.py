import json
from pathlib import Path

import pytest

from rollcheck.analyze.compare import compare
from rollcheck.analyze.load import summarise
from rollcheck.analyze.results import BucketCurve, decode_result, of_summary
from rollcheck.errors import DocumentError
from rollcheck.render.fortiojson import fortio_bytes
from tests.analyze.load_facts import document, failure, header, interval, steady

REAL = (Path(__file__).parents[1] / "render" / "data" / "fortio-run.json").read_bytes()


def summary():
    lost = [failure(1.5), interval(1, failed=[300], failures={"connect/refused": 1}, not_sent=0)]
    return summarise(document(*steady(12), *lost, head=header(duration_s=12.0, options={"labels": "x"})))


def test_our_json_tells_what_the_document_tells():
    ours = decode_result(fortio_bytes(summary()), "b")
    theirs = of_summary(summary(), "a", started=ours.started)

    assert (ours.sent, ours.lost, ours.scheduled, ours.rate) == (
        theirs.sent,
        theirs.lost,
        theirs.scheduled,
        theirs.rate,
    )
    assert [ours.response.at(p) for p in (50, 99, 100)] == [theirs.response.at(p) for p in (50, 99, 100)]
    assert ours.service.count == theirs.service.count == ours.sent
    assert len(ours.seconds) == len(theirs.seconds) == 12
    assert compare(theirs, ours).unjudged == ""
    assert all(d.share in (None, 0.0) for d in compare(theirs, ours).differences)


def test_percentiles_out_of_buckets_are_fortios():
    raw, result = json.loads(REAL), decode_result(REAL, "fortio.json")

    for each in raw["DurationHistogram"]["Percentiles"]:
        assert result.service.at(each["Percentile"]) == pytest.approx(each["Value"] * 1e6)
    assert result.service.at(100) == pytest.approx(raw["DurationHistogram"]["Max"] * 1e6)
    assert result.service.at(0.1) == pytest.approx(raw["DurationHistogram"]["Min"] * 1e6)


def test_a_result_of_fortio_knows_no_seconds_and_no_response_time():
    result = decode_result(REAL, "fortio.json")

    assert (result.source, result.sent, result.lost, result.asked) == ("fortio", 300, 0, "100")
    assert (result.response, result.seconds) == (None, ())


def test_ours_and_fortios_are_compared_by_service_time():
    comparison = compare(decode_result(REAL, "a"), decode_result(fortio_bytes(summary()), "b"))

    assert comparison.measure == "service"
    assert "noise cannot be judged" in comparison.unjudged


def test_an_old_result_of_fortio_has_its_losses_in_its_codes():
    raw = json.loads(REAL)
    del raw["ErrorsDurationHistogram"]
    raw["RetCodes"] = {"200": 290, "503": 10}

    assert decode_result(json.dumps(raw).encode(), "old").lost == 10


def test_a_result_of_nothing_has_no_curve():
    raw = json.loads(REAL)
    raw["DurationHistogram"] = {"Count": 0, "Min": 0, "Max": 0, "Sum": 0, "Avg": 0, "StdDev": 0, "Data": None}

    assert decode_result(json.dumps(raw).encode(), "empty").service is None


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is no JSON"),
        (b"[1", "is no JSON"),
        (b"\xff\xfe\x00", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b'{"DurationHistogram": NaN}', "is no JSON"),
        (b'{"DurationHistogram": 1e999}', "is no JSON"),
        (b"[]", "is no result of a load"),
        (b"7", "is no result of a load"),
        (b'{"schema": "rollcheck.result/1"}', "is no result of a load"),
        (b'{"DurationHistogram": 7}', "can be compared"),
        (b'{"DurationHistogram": {}}', "can be compared"),
        (b'{"rollcheck": {}}', "can be compared"),
        (b'{"rollcheck": {"schema": "rollcheck.load/9"}}', "rollcheck.load/9"),
    ],
)
def test_what_is_no_result_is_refused_in_one_sentence(data, why):
    with pytest.raises(DocumentError, match=why):
        decode_result(data, "file.json")


def test_a_result_of_ours_with_a_broken_histogram_is_refused():
    raw = json.loads(fortio_bytes(summary()))
    raw["rollcheck"]["latency"]["response"]["hdr"] = "HISTFAAAA"

    with pytest.raises(DocumentError, match="cannot be read"):
        decode_result(json.dumps(raw).encode(), "x")


def test_a_curve_of_one_value_is_that_value():
    curve = BucketCurve(count=1, low=5.0, high=5.0, average=5.0, buckets=((5.0, 5.0, 100.0),))

    assert [curve.at(p) for p in (0.1, 50, 100)] == [5.0, 5.0, 5.0]
