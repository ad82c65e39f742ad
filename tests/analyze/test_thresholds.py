import pytest

from rollcheck.analyze.load import summarise
from rollcheck.analyze.thresholds import judge, parse_threshold
from rollcheck.errors import UsageError
from tests.analyze.load_facts import document, health, interval, wire

SUMMARY = summarise(
    document(
        health(0, lags=[40] * 100, waits=[0] * 100),
        interval(0, [1_000] * 98 + [20_000], service=[500] * 99, failed=[300], failures={"connect/refused": 1}),
        wire(connects=[250]),
    )
)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("p50<2ms", True),
        ("p50<1ms", False),
        ("p50<=1ms", True),
        ("p99.9<50ms", True),
        ("p99.9<10ms", False),
        ("max<=0.03", True),
        ("mean<1200us", True),
        ("min>=900µs", True),
        ("service.p99==500us", True),
        ("lag.p99<1ms", True),
        ("wait.max<1ms", True),
        ("failed.p50<1ms", True),
        ("connect.p50<300us", True),
        ("errors==0", False),
        ("errors<=1", True),
        ("errors<=1%", True),
        ("errors<1%", False),
        ("failed!=0", True),
        ("not_sent==0", True),
        ("ok==99", True),
        ("sent>99.5", True),
        ("rate>=99", True),
        ("rate>100", False),
        (" p99 < 1m ", True),
    ],
)
def test_a_threshold_is_met_or_missed(text, met):
    (judgement,) = judge([parse_threshold(text)], SUMMARY)

    assert judgement.met is met
    assert ("MISSED" in judgement.said) is not met


@pytest.mark.parametrize("text", ["p99<50ms", "p99>0", "service.max<1m", "errors<1%"])
def test_what_was_not_measured_meets_no_threshold(text):
    (judgement,) = judge([parse_threshold(text)], summarise(document()))

    assert not judgement.met
    assert "nothing was measured" in judgement.said


def test_no_errors_of_nothing_is_no_errors():
    assert judge([parse_threshold("errors==0")], summarise(document()))[0].met


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p50<50ms", "p50<50ms: met, 1 ms"),
        ("max<1ms", "max<1ms: MISSED, 20.015 ms"),
        ("errors<2%", "errors<2%: met, 1 %"),
        ("rate>=999", "rate>=999: MISSED, 100"),
    ],
)
def test_a_judgement_tells_the_value_in_the_thresholds_unit(text, said):
    assert judge([parse_threshold(text)], SUMMARY)[0].said == said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be read"),
        ("p99", "cannot be read"),
        ("p99<", "cannot be read"),
        ("p99<fast", "cannot be read"),
        ("p99=<5ms", "cannot be read"),
        ("p99<-5ms", "cannot be read"),
        ("p0<5ms", "no measure 'p0'"),
        ("p101<5ms", "no measure 'p101'"),
        ("q99<5ms", "cannot be read"),
        ("speed<5", "no measure 'speed'"),
        ("p99<5lightyears", "no unit of time"),
        ("other.p99<5ms", "no 'other'"),
        ("service.errors<5", "no measure 'errors'"),
        ("errors<5ms", "is a number"),
        ("rate<5%", "is a number"),
    ],
)
def test_what_is_no_threshold_is_refused_with_the_way_out(text, why):
    with pytest.raises(UsageError, match=why):
        parse_threshold(text)
