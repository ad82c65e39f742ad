from dataclasses import fields, replace
from random import Random

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.analyze.hdr import value_at
from rollcheck.analyze.load import KEPT, LoadFold, summarise
from rollcheck.errors import DocumentError
from rollcheck.facts.actions import Note
from rollcheck.facts.attempts import Lane, Outcome, Phase, Stage
from rollcheck.facts.clock import SECOND
from rollcheck.facts.wiretotals import Moments
from tests.analyze.load_facts import (
    ORIGIN,
    at,
    document,
    failure,
    header,
    health,
    interval,
    mark,
    slot,
    steady,
    wire,
)


def told(*facts, **changes):
    return summarise(document(*facts, **changes))


def plain(summary):
    """Everything a summary says, histograms as text, so that two can be compared."""
    return {
        field.name: value.encode() if isinstance(value := getattr(summary, field.name), HdrHistogram) else value
        for field in fields(summary)
    }


class TestCounts:
    def test_scheduled_is_sent_and_not_sent_and_sent_is_ok_and_failed(self):
        summary = told(interval(0, [100] * 5, failed=[7, 8], not_sent=3, failures={"connect/refused": 5}))

        assert (summary.ok, summary.failed, summary.not_sent) == (5, 2, 3)
        assert (summary.sent, summary.scheduled, summary.lost) == (7, 10, 5)

    def test_the_warm_up_is_counted_apart(self):
        summary = told(
            interval(-1, [100] * 4, stage=Stage.PREFLIGHT),
            interval(-1, failed=[5], stage=Stage.PREFLIGHT),
            failure(-0.5, stage=Stage.PREFLIGHT, seq=-1),
            interval(0, [100]),
        )

        assert (summary.warmup_ok, summary.warmup_failed) == (4, 1)
        assert (summary.scheduled, summary.lost, summary.errors) == (1, 0, ())

    def test_probes_are_in_no_count(self):
        summary = told(interval(0, [100]), failure(0.5, lane=Lane.PROBE))

        assert (summary.scheduled, summary.lost) == (1, 0)

    def test_an_attempt_counts_before_its_interval_has_come(self):
        fold = LoadFold(header())
        fold.add(failure(0.5))
        fold.add(failure(0.6, outcome=Outcome.DROPPED, sent=False))

        assert (fold.summary().failed, fold.summary().not_sent) == (1, 1)

    def test_an_interval_and_the_lines_of_its_failures_are_counted_once(self):
        summary = told(failure(0.5), interval(0, failed=[9], failures={"connect/refused": 1}))

        assert summary.failed == 1
        assert [e.count for e in summary.errors] == [1]


class TestCodes:
    def test_every_status_has_its_code_and_what_had_none_is_minus_one(self):
        bad = {"await/bad_status 503": 2, "connect/refused": 1, "body/wrong_body 200": 1}
        summary = told(
            interval(0, [1] * 3, failed=[1] * 4, failures=bad), interval(1, [1], status=204), interval(2, not_sent=1)
        )

        assert summary.codes == {-1: 2, 200: 4, 204: 1, 503: 2}
        assert list(summary.codes) == [-1, 200, 204, 503]
        assert sum(summary.codes.values()) == summary.scheduled

    def test_a_truncated_answer_has_no_code_though_its_status_is_known(self):
        summary = told(failure(0.5, Phase.BODY, Outcome.TRUNCATED_BODY, status=200))

        assert summary.codes == {-1: 1}

    def test_codes_are_exact_beyond_the_lines_that_were_kept(self):
        bad = {"await/bad_status 503": 250_000}
        summary = told(
            failure(0.1, Phase.AWAIT, Outcome.BAD_STATUS, status=503),
            interval(0, failures=bad, unlisted=249_999, failed=[]),
            replace(interval(1), failed=250_000),
        )

        assert summary.codes[503] == 250_000

    @pytest.mark.parametrize(
        ("phase", "outcome", "status", "name"),
        [
            (Phase.AWAIT, Outcome.BAD_STATUS, 503, "await/bad_status 503"),
            (Phase.BODY, Outcome.WRONG_BODY, 200, "body/wrong_body 200"),
            (Phase.BODY, Outcome.TRUNCATED_BODY, 200, "body/truncated_body"),
            (Phase.CONNECT, Outcome.REFUSED, 0, "connect/refused"),
        ],
    )
    def test_failures_are_named_by_phase_outcome_and_the_status_of_a_whole_answer(self, phase, outcome, status, name):
        assert failure(0, phase, outcome, status=status).kind == name


class TestErrors:
    def test_a_class_knows_its_first_its_last_and_the_words_of_its_first(self):
        summary = told(failure(2.5, detail="second"), failure(1.5, detail="late line"), failure(4.0))

        (refused,) = summary.errors
        assert (refused.name, refused.count) == ("connect/refused", 3)
        assert (refused.first_ns, refused.last_ns) == (at(1.5), at(4.0))
        assert refused.example == "second"

    def test_the_most_frequent_comes_first(self):
        summary = told(failure(1), failure(2, outcome=Outcome.RESET), failure(3, outcome=Outcome.RESET))

        assert [e.name for e in summary.errors] == ["connect/reset", "connect/refused"]

    def test_what_nothing_tells_of_is_unlisted(self):
        summary = told(failure(0.5), replace(interval(0), failed=4, unlisted=3))

        assert {e.name: e.count for e in summary.errors} == {"connect/refused": 1, "unlisted": 3}
        assert summary.unlisted == 3

    def test_only_the_first_failures_are_kept_whole(self):
        fold = LoadFold(header())
        for number in range(KEPT + 5):
            fold.add(failure(1, seq=number))

        assert len(fold.summary().failures) == KEPT
        assert fold.summary().failed == KEPT + 5


class TestSeconds:
    def test_each_second_has_a_row_even_one_in_which_nothing_ended(self):
        summary = told(mark(), health(0, lags=[1] * 10), interval(0, [100] * 10), interval(2, [300] * 4))

        assert [(r.asked, r.ok, r.p50_us) for r in summary.seconds] == [(10, 10, 100), (0, 0, None), (0, 4, 300)]
        assert [r.at_ns for r in summary.seconds] == [at(0), at(1), at(2)]

    def test_lanes_and_workers_share_a_row(self):
        summary = told(
            interval(0, [100] * 50),
            interval(0.01, [200] * 49, worker=1),
            interval(0, [9000], lane=Lane.FRESH, worker=1),
        )

        (row,) = summary.seconds
        assert (row.ok, row.p50_us, row.p99_us) == (100, 100, 200)

    def test_the_last_row_is_as_long_as_the_load_lasted(self):
        summary = told(interval(0, [1]), interval(1, [1], length=0.25))

        assert [r.length_ns for r in summary.seconds] == [SECOND, SECOND // 4]

    def test_old_rows_are_let_go_and_keep_their_percentiles(self):
        fold = LoadFold(header())
        for second in range(100):
            fold.add(interval(second, [100 + second] * 10))

        held = [row for row in fold._rows.values() if row.slots]
        assert len(held) <= 31
        assert [r.p50_us for r in fold.summary().seconds] == [100 + second for second in range(100)]

    def test_an_interval_long_after_its_second_still_counts(self):
        fold = LoadFold(header())
        for second in range(100):
            fold.add(interval(second, [100]))
        fold.add(interval(3, [9000] * 5, worker=1))

        assert fold.summary().seconds[3].ok == 6
        assert fold.summary().seconds[3].p99_us == 100
        assert fold.summary().ok == 105

    def test_a_document_with_an_interval_far_from_all_others_is_refused(self):
        with pytest.raises(DocumentError, match="seconds from the start"):
            told(interval(0, [1]), interval(40_000_000, [1]))


class TestLatency:
    def test_histograms_of_every_interval_are_one(self):
        summary = told(
            interval(0, [100] * 98, service=[90] * 98, failed=[5]), interval(1, [900_000] * 2, service=[80_000] * 2)
        )

        assert value_at(summary.response, 50) == 100
        assert value_at(summary.response, 99) == pytest.approx(900_000, rel=0.001)
        assert value_at(summary.service, 99) == pytest.approx(80_000, rel=0.001)
        assert value_at(summary.failed_service, 50) == 5

    def test_lag_is_ours_and_wait_is_the_targets(self):
        summary = told(health(0, lags=[40], waits=[7]))

        assert (value_at(summary.lag, 50), value_at(summary.wait, 50)) == (40, 7)

    def test_a_summary_stays_as_it_is_while_the_load_goes_on(self):
        fold = LoadFold(header())
        fold.add(interval(0, [100]))
        early = fold.summary()
        fold.add(interval(1, [900]))

        assert early.response.get_total_count() == 1


class TestGenerator:
    def test_the_worst_of_all_samples_is_told(self):
        summary = told(
            health(0, lags=[1] * 5, stall_ns=7, cpu_share=0.2),
            health(0, lags=[1] * 4, stall_ns=3, cpu_share=0.8, worker=1, open_files=1000, skipped=2),
        )

        state = summary.generator
        assert (state.asked, state.released, state.skipped, state.stall_ns) == (9, 9, 2, 7)
        assert (state.cpu_share, state.cpu_peak) == pytest.approx((0.5, 0.8))
        assert (state.files, state.workers) == ((1000, 1024), 2)

    def test_slots_are_in_order_of_worker_lane_and_place(self):
        summary = told(slot(1, worker=1), slot(0, worker=1), slot(1), slot(0, lane=Lane.FRESH), slot(0))

        assert [(s.worker, s.lane, s.slot) for s in summary.slots] == [
            (0, Lane.REUSED, 0),
            (0, Lane.REUSED, 1),
            (0, Lane.FRESH, 0),
            (1, Lane.REUSED, 0),
            (1, Lane.REUSED, 1),
        ]

    def test_sizes_of_all_workers_add_up(self):
        summary = told(wire(headers=[10, 20], totals=[30], connects=[5]), wire(headers=[40], connects=[9], worker=1))

        assert summary.header_bytes == Moments(count=3, sum=70, squares=2100, low=10, high=40)
        assert summary.connect.get_total_count() == 2


class TestTimes:
    def test_a_load_begins_at_its_mark_and_ends_with_its_last_interval(self):
        summary = told(mark(0.5), interval(0.5, [1]), interval(1.5, [1], length=0.75))

        assert (summary.started_ns, summary.ended_ns) == (at(0.5), at(2.25))
        assert summary.rate == pytest.approx(2 / 1.75)

    def test_nothing_at_all_is_a_summary_too(self):
        summary = told()

        assert (summary.scheduled, summary.rate, summary.response, summary.seconds) == (0, 0.0, None, ())
        assert summary.started_ns == summary.ended_ns == ORIGIN

    def test_notes_say_why_it_ended_early(self):
        summary = told(
            Note(at_ns=at(1), topic="abort", text="got status 503", fatal=True),
            Note(at_ns=at(1), topic="target", text="no epoll here"),
        )

        assert summary.aborted == "got status 503"
        assert summary.notes == ("no epoll here",)
        assert summary.held

    def test_a_document_that_was_cut_short_is_damaged(self):
        assert told(sealed=False).damaged
        assert told(interrupted="SIGINT").interrupted == "SIGINT"


FACTS = [*steady(8), *(failure(s + 0.3) for s in range(8)), *(interval(s, [500] * 7, worker=1) for s in range(8))]


@pytest.mark.parametrize("seed", range(5))
def test_the_order_in_which_workers_report_makes_no_difference(seed):
    shuffled = FACTS[1:]
    Random(seed).shuffle(shuffled)

    one, other = (plain(told(mark(), *facts)) for facts in (shuffled, FACTS[1:]))
    for summary in (one, other):
        summary["failures"] = sorted(summary["failures"], key=lambda a: a.ended_ns)
    assert one == other


@given(st.lists(st.lists(st.integers(1, 100_000), max_size=6), min_size=1, max_size=6), st.integers(1, 5))
@settings(max_examples=15, deadline=None)
def test_a_fold_of_parts_is_the_fold_of_the_whole(seconds, workers):
    """Each worker takes every so manieth request, as one global timetable deals them."""
    whole = told(mark(), *(interval(s, values) for s, values in enumerate(seconds)))
    parts = told(
        mark(),
        *(
            interval(s, values[worker::workers], worker=worker)
            for worker in range(workers)
            for s, values in enumerate(seconds)
        ),
    )

    assert plain(parts) == plain(whole)
