import json
from typing import Any

from hdrh.histogram import HdrHistogram

from bench.exact import compare_counts, read_intervals, shares_of, sum_blobs

DONE = {
    "ok": 800,
    "slow": 40,
    "ok and close": 50,
    "ok, then hang up": 10,
    "unavailable": 30,
    "drop": 40,
    "cut": 20,
    "stall": 5,
}


def result(**changed: int) -> dict[str, Any]:
    counts = {"scheduled": 1000, "sent": 1000, "not_sent": 0, "ok": 900, "failed": 100, **changed}
    names = {
        "body/bad_status 503": 30,
        "await/closed_before_response": 40,
        "body/truncated_body": 20,
        "await/timeout": 5,
        "await/reset": 5,
    }
    errors = [{"name": name, "count": count} for name, count in names.items()]
    return {"RetCodes": {"200": 900, "503": 30, "-1": 70}, "rollcheck": {"counts": counts, "errors": errors}}


def test_counts_that_agree_in_everything_differ_in_nothing() -> None:
    assert compare_counts(result(), DONE, 995) == []


def test_an_answer_that_was_counted_twice_is_noticed() -> None:
    differ = compare_counts(result(ok=901), DONE, 995)

    assert "ok and the server's whole answers: 901 ≠ 900" in differ
    assert "sent and ok + failed: 1000 ≠ 1001" in differ


def test_a_request_that_was_sent_again_unseen_is_noticed() -> None:
    done = {**DONE, "drop": 46}

    assert compare_counts(result(), done, 1001) == [
        "the server read 1001 requests, of which 1000 were sent by our account"
    ]


def test_a_failure_that_stands_in_two_classes_is_noticed() -> None:
    made = result()
    made["rollcheck"]["errors"].append({"name": "body/truncated_body 200", "count": 20})

    assert "cut bodies and the server's: 40 ≠ 20" in compare_counts(made, DONE, 995)


def test_shares_count_all_that_ended_with_a_worker_but_its_warm_up() -> None:
    lines = [
        {"fact": "Header"},
        {"fact": "Interval", "stage": "preflight", "ok": 64, "failed": 0, "not_sent": 0},
        {"fact": "Interval", "stage": "baseline", "ok": 5, "failed": 1, "not_sent": 1},
        {"fact": "Interval", "stage": "baseline", "ok": 6, "failed": 0, "not_sent": 0, "worker": 1},
        {"fact": "Interval", "stage": "baseline", "ok": 1, "failed": 0, "not_sent": 0, "worker": 1},
    ]

    assert shares_of(read_intervals(json.dumps(line) for line in lines)) == {0: 7, 1: 7}


def test_blobs_are_summed_value_by_value() -> None:
    blobs = []
    for values in ([100, 100, 200], [200, 70_000]):
        histogram = HdrHistogram(1, 3_600_000_000, 3)
        for value in values:
            histogram.record_value(value)
        blobs.append(histogram.encode().decode())
    whole = HdrHistogram(1, 3_600_000_000, 3)
    for value in (100, 100, 200, 200, 70_000):
        whole.record_value(value)

    assert sum_blobs([*blobs, ""]) == sum_blobs([whole.encode().decode()])
    assert sum_blobs(blobs).total() == 5
