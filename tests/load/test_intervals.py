"""Raw numbers become facts: in whatever parts they come, the facts are the same."""

from array import array
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.facts.attempts import ConnectionUse as Use
from rollcheck.facts.attempts import Interval, Lane, Outcome, PodTally, Stage
from rollcheck.facts.wiretotals import Moments, WireTotals
from rollcheck.load.answers import Answer
from rollcheck.load.book import LaneBook, RunningMoments
from rollcheck.load.health import HealthMeter, count_starved_ns
from rollcheck.load.histogram import Histogram
from rollcheck.load.intervals import RawLatencies, RawWireTotals, Settler
from rollcheck.load.recorder import LoadRecorder

LATENCIES = st.lists(st.integers(0, 4_000_000_000), max_size=60)


def fill(book, latencies) -> None:
    for latency in latencies:
        book.services.append(latency)
        book.responses.append(latency + 1000)


def settle(parts, worker=0) -> Interval:
    book, settler, facts = LaneBook(Lane.REUSED, worker=worker, detailed=True), Settler(), []
    for part in parts[:-1]:
        fill(book, part)
        facts += settler.take(book.flush())
    fill(book, parts[-1])
    facts += settler.take(book.take(0, 10, Stage.BASELINE))
    (interval,) = facts
    return interval


@given(LATENCIES.filter(bool), st.data())
@settings(max_examples=30)
def test_an_interval_handed_on_in_parts_is_the_same_as_one_handed_on_whole(latencies, data):
    cut = data.draw(st.integers(0, len(latencies)))

    assert settle([latencies[:cut], latencies[cut:]]) == settle([latencies])


def test_what_one_worker_handed_on_is_not_taken_for_another_s():
    one, two, settler = LaneBook(Lane.REUSED, worker=0), LaneBook(Lane.REUSED, worker=1), Settler()
    fill(one, [1_000_000] * 3)
    fill(two, [2_000_000] * 5)
    for book in (one, two):
        settler.take(book.flush())
    intervals = [settler.take(book.take(0, 10, Stage.BASELINE))[0] for book in (one, two)]

    assert [(i.worker, i.ok, Histogram.decode(i.service_hdr).total) for i in intervals] == [(0, 3, 3), (1, 5, 5)]


def test_without_responses_the_services_are_both():
    book = LaneBook(Lane.REUSED)
    book.services.extend([5_000_000, 6_000_000])
    (interval,) = Settler().take(book.take(0, 10, Stage.BASELINE))

    assert interval.response_hdr == interval.service_hdr != ""


def test_an_interval_in_which_nothing_ended_leaves_no_fact():
    assert LaneBook(Lane.REUSED).take(0, 10, Stage.BASELINE) is None


def test_the_latest_interval_is_that_of_all_lanes():
    settler = Settler()
    for lane in (Lane.REUSED, Lane.FRESH):
        book = LaneBook(lane)
        fill(book, [1_000_000])
        settler.take(book.take(0, 10, Stage.BASELINE))

    assert settler.latest.total == 2


def test_answers_met_again_are_counted_by_status_and_size():
    book = LaneBook(Lane.REUSED, detailed=True)
    answer = Answer(200, Outcome.OK, keep_alive=True, head_bytes=30, total_bytes=40)
    book.remember(b"x", answer, 10)
    answer.hits += 3
    book.services.extend([1, 1, 1])
    taken = book.take(0, 10, Stage.BASELINE)

    assert taken.statuses == {200: 3}
    assert book.totals.moments() == Moments(count=3, sum=120, squares=4800, low=40, high=40)
    assert answer.hits == 0


def test_hits_are_counted_when_the_memory_is_full_and_begins_anew():
    book = LaneBook(Lane.REUSED)
    for number in count():
        if number == 5:
            break
        answer = Answer(200, Outcome.OK, keep_alive=True)
        book.remember(str(number).encode(), answer, 2)
        answer.hits += 1
        book.services.append(1)

    assert book.take(0, 10, Stage.BASELINE).statuses == {200: 5}
    assert len(book.known) <= 2


def test_an_answer_that_ends_its_connection_is_known_but_not_quick():
    book = LaneBook(Lane.REUSED)
    book.remember(b"x", Answer(200, Outcome.OK, keep_alive=False), 10)

    assert (len(book.known), len(book.quick)) == (1, 0)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 5)), max_size=20), st.integers(0, 20))
def test_moments_of_two_parts_are_those_of_the_whole(values, cut):
    whole, first, second = RunningMoments(), RunningMoments(), RunningMoments()
    for number, (value, times) in enumerate(values):
        whole.add(value, times)
        (first if number < cut else second).add(value, times)

    assert first.moments() + second.moments() == whole.moments()


def health(meter):
    return meter.sample(1, asked=3, released=3, backlog=0, in_flight=0, connections=0)


@given(LATENCIES, LATENCIES, st.integers(0, 60))
@settings(max_examples=30)
def test_a_health_sample_handed_on_in_parts_is_the_same_as_one_handed_on_whole(lags, waits, cut):
    meters = HealthMeter(0), HealthMeter(0)
    for meter in meters:
        meter.lags.extend(lags[:cut])
        meter.waits.extend(waits[:cut])
    settler = Settler()
    assert settler.take(meters[0].flush()) == []
    for meter in meters:
        meter.lags.extend(lags[cut:])
        meter.waits.extend(waits[cut:])
    (parted,), (whole,) = settler.take(health(meters[0])), Settler().take(health(meters[1]))

    assert (parted.lag_hdr, parted.wait_hdr) == (whole.lag_hdr, whole.wait_hdr)


def test_waits_of_nothing_are_counted_among_the_waits():
    meter = HealthMeter(0)
    meter.lags.extend([1_000, 2_000, 3_000])
    meter.waits.append(5_000_000)
    meter.unwaited = 2
    raw = health(meter)
    (sample,) = Settler().take(raw)

    assert Histogram.decode(sample.lag_hdr).total == 3
    assert Histogram.decode(sample.wait_hdr).total == 3
    assert Histogram.decode(sample.wait_hdr).percentile(50) == 0


def test_connect_times_are_gathered_until_the_totals_come():
    settler = Settler()
    for _ in range(2):
        settler.take(RawLatencies(worker=1, lane=Lane.FRESH, connects=array("q", [70_000, 80_000])))
    (totals,) = settler.take(RawWireTotals(worker=1, header_bytes=Moments(), total_bytes=Moments()))

    assert isinstance(totals, WireTotals)
    assert Histogram.decode(totals.connect_hdr).total == 4


def test_a_recorder_that_settles_itself_writes_a_pod_s_tally_after_its_interval():
    facts = []
    recorder = LoadRecorder([Lane.REUSED], facts.append, keep=10, stage=Stage.BASELINE, now=0)
    book = recorder.books[Lane.REUSED]
    fill(book, [1_000_000])
    book.add_pod("web-1", Use.NEW, 5, 9)
    recorder.finish(100)

    assert [type(fact) for fact in facts] == [Interval, PodTally]
    assert (facts[1].pod, facts[1].ok, facts[1].first_sent_ns, facts[1].last_ended_ns) == ("web-1", 1, 5, 9)


def test_a_recorder_bounds_what_it_keeps_raw_without_losing_a_count():
    facts = []
    recorder = LoadRecorder([Lane.REUSED], facts.append, keep=10, stage=Stage.BASELINE, now=0)
    book = recorder.books[Lane.REUSED]
    for _ in range(3):
        fill(book, [1_000_000] * 70_000)
        recorder.flush_large(HealthMeter(0))
        assert len(book.services) == 0
    recorder.finish(100)

    assert [fact.ok for fact in facts] == [210_000]
    assert Histogram.decode(facts[0].service_hdr).total == 210_000


@pytest.mark.parametrize(("text", "starved"), [("920 4711 3\n", 4711), ("0 0 0\n", 0), ("", 0), ("none\n", 0)])
def test_how_long_others_had_the_processor_is_what_the_kernel_says(tmp_path, monkeypatch, text, starved):
    (tmp_path / "schedstat").write_text(text)
    monkeypatch.setattr("rollcheck.load.health._SCHEDSTAT", str(tmp_path / "schedstat"))

    assert count_starved_ns() == starved


def test_where_nobody_says_how_long_others_had_the_processor_it_is_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("rollcheck.load.health._SCHEDSTAT", str(tmp_path / "none"))

    assert count_starved_ns() == 0


def test_a_sample_says_for_how_long_others_had_the_processor_in_its_span(monkeypatch):
    said = iter([1_000, 4_000, 9_000])
    monkeypatch.setattr("rollcheck.load.health.count_starved_ns", lambda: next(said))
    meter = HealthMeter(0)

    assert [health(meter).rest.starved_ns for _ in range(2)] == [3_000, 5_000]
