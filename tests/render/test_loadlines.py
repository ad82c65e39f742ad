"""Single attempts as lines of text."""

import json

import pytest

from rollcheck.facts.attempts import Attempt, Lane, Outcome, Phase, Stage
from rollcheck.facts.clock import ClockAnchor
from rollcheck.facts.wiretotals import AccessLine
from rollcheck.render.loadlines import access_line, failure_line, wall_text

ANCHOR = ClockAnchor(monotonic_ns=5_000, wall_ns=1_700_000_000_123_456_789)


def line(**changes) -> AccessLine:
    whole = {"seq": 3, "worker": 0, "slot": 1, "ok": True, "status": 200, "outcome": "ok"}
    return AccessLine(sent_ns=5_000, ended_ns=1_505_000, **{**whole, **changes})


def test_a_good_answer_is_as_fortio_writes_it():
    # fortio 1.68, periodic.go: {"latency":%f,"timestamp":%d,"thread":%d,"iter":%d,"ok":%t,"details":%q}
    assert access_line(line(), ANCHOR, 4, "json") == (
        '{"latency":0.001500,"timestamp":1700000000123456789,"thread":4,"iter":3,"ok":true,"details":"200"}\n'
    )


def test_influx_lines_are_as_fortio_writes_them():
    # fortio 1.68, periodic.go: latency,thread=%d,ok=%t value=%f,details=%q %d
    assert access_line(line(), ANCHOR, 4, "influx") == (
        'latency,thread=4,ok=true value=0.001500,details="200" 1700000000123456789\n'
    )


@pytest.mark.parametrize(
    ("status", "outcome", "details"), [(503, "body/bad_status", "503"), (0, "await/reset", "await/reset")]
)
def test_a_failure_has_its_status_or_else_what_happened(status, outcome, details):
    made = json.loads(access_line(line(ok=False, status=status, outcome=outcome), ANCHOR, 0, "json"))

    assert (made["ok"], made["details"]) == (False, details)


def test_a_failure_is_a_json_object_with_wall_time_and_milliseconds():
    attempt = Attempt(
        seq=9,
        lane=Lane.REUSED,
        stage=Stage.BASELINE,
        phase=Phase.AWAIT,
        outcome=Outcome.RESET,
        intended_ns=5_000,
        released_ns=6_000,
        sent_ns=505_000,
        ended_ns=2_005_000,
        detail='said "no"\n',
    )

    made = json.loads(failure_line(attempt, ANCHOR))

    assert failure_line(attempt, ANCHOR).count("\n") == 1
    assert (made["time"], made["seq"], made["outcome"]) == ("2023-11-14T22:13:20.123456789Z", 9, "reset")
    assert (made["response_ms"], made["service_ms"], made["detail"]) == (2.0, 1.5, 'said "no"\n')


def test_what_was_never_sent_has_no_service_time():
    attempt = Attempt(
        seq=1,
        lane=Lane.REUSED,
        stage=Stage.BASELINE,
        phase=Phase.CONNECT,
        outcome=Outcome.DROPPED,
        intended_ns=5_000,
        released_ns=5_000,
        sent_ns=None,
        ended_ns=5_000,
    )

    made = json.loads(failure_line(attempt, ANCHOR))

    assert made["service_ms"] is None
    assert made["sent_ns"] is None


def test_an_instant_is_told_to_the_nanosecond():
    assert wall_text(ANCHOR, 5_000 + 876_543_211) == "2023-11-14T22:13:21.000000000Z"
