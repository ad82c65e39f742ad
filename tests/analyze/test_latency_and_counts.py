from dataclasses import replace

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.analyze.baseline import report_baseline
from rollcheck.analyze.counts import by_outcome, count, lanes_scheduled, outcome_name, unlisted
from rollcheck.analyze.latency import latency_by_stage, merged, percentile_us, percentiles_ms
from rollcheck.analyze.timeline import build_timeline
from rollcheck.errors import DocumentError
from rollcheck.facts.attempts import Attempt, Interval, Lane, Outcome, Phase, Stage
from tests.analyze.builders import Story, blob, ns


class TestLatency:
    def test_histograms_are_merged_not_averaged(self):
        histogram = merged([blob(1_000, 98), "", blob(900_000, 2)])

        assert percentile_us(histogram, 50) == pytest.approx(1_000, rel=0.001)
        assert percentile_us(histogram, 99) == pytest.approx(900_000, rel=0.001)

    @given(
        st.lists(st.tuples(st.integers(1, 3_600_000_000), st.integers(1, 50)), min_size=1, max_size=20),
        st.floats(0.1, 100),
    )
    @settings(max_examples=25, deadline=None)
    def test_percentiles_are_those_of_the_library(self, values, percentile):
        histogram = HdrHistogram(1, 3_600_000_000, 3)
        for value, times in values:
            histogram.record_value(value, times)

        assert percentile_us(histogram, percentile) == histogram.get_value_at_percentile(percentile)
        assert percentile_us(histogram, 100) == histogram.get_value_at_percentile(100)

    def test_nothing_has_no_percentile(self):
        assert merged([]) is None
        assert merged([""]) is None
        assert percentile_us(None, 99) is None
        assert percentiles_ms(None) == {}

    @pytest.mark.parametrize("text", ["!", "abc", "HISTFAAAAAA=", "aGVsbG8gd29ybGQ="])
    def test_what_is_no_histogram_is_a_document_error(self, text):
        with pytest.raises(DocumentError, match="histogram"):
            merged([text])

    def test_each_lane_has_its_own_in_each_stage(self):
        story = Story(qps=20, latency=0.004).graceful_rollout(pods=1).slowly(12, 14, 0.8).end(at=30)
        stages = latency_by_stage(build_timeline(story.document()).intervals)
        found = {(s.stage, s.lane): s for s in stages}

        assert [s.stage for s in stages] == sorted((s.stage for s in stages), key=list(Stage).index)
        assert found[Stage.BASELINE, Lane.FRESH].response_ms["max"] == pytest.approx(4, rel=0.01)
        assert found[Stage.REPLACEMENT, Lane.FRESH].response_ms["max"] == pytest.approx(800, rel=0.01)
        assert found[Stage.BASELINE, Lane.REUSED].ok == 100


class TestCounts:
    def lossy(self) -> Story:
        return (
            Story(qps=20)
            .graceful_rollout(pods=1)
            .lose(Lane.FRESH, 13, 14)
            .fail(Lane.REUSED, 13.5, Phase.AWAIT, Outcome.BAD_STATUS, status=502)
            .fail(Lane.REUSED, 15, Phase.CONNECT, Outcome.DROPPED, sent_ns=None, detail="no connection")
            .end(at=30)
        )

    def test_scheduled_is_sent_and_not_sent_and_sent_is_ok_and_failed(self):
        counts = count(build_timeline(self.lossy().document()))

        assert counts.scheduled == 580
        assert (counts.failed, counts.not_sent) == (11, 1)
        assert counts.scheduled == counts.sent + counts.not_sent
        assert counts.sent == counts.ok + counts.failed

    def test_every_outcome_has_its_number_in_its_lane(self):
        found = by_outcome(build_timeline(self.lossy().document()))

        assert found == {
            Lane.REUSED: {"ok": 288, "await/bad_status 502": 1, "connect/dropped": 1},
            Lane.FRESH: {"ok": 280, "connect/refused": 10},
        }

    def test_the_lanes_sum_to_what_was_scheduled(self):
        document = self.lossy().document()
        assert document.seal is not None

        assert lanes_scheduled(build_timeline(document)) == document.seal.scheduled

    def test_probes_are_beside_the_counts(self):
        story = self.lossy()
        lost = next(f for f in story.document().facts if isinstance(f, Attempt))
        story.add(replace(lost, lane=Lane.PROBE), at=13.3)
        story.add(replace(lost, lane=Lane.PROBE, outcome=Outcome.OK, phase=Phase.BODY), at=13.4)
        timeline = build_timeline(story.document())
        counts = count(timeline)

        assert (counts.probes, counts.probes_failed) == (2, 1)
        assert counts.scheduled == 580
        assert Lane.PROBE not in lanes_scheduled(timeline)
        assert by_outcome(timeline)[Lane.PROBE] == {"ok": 1, "connect/refused": 1}

    def test_an_interval_of_probes_is_not_of_the_timetable(self):
        document = self.lossy().document()
        (first, *_) = (f for f in document.facts if isinstance(f, Interval))
        probes = replace(first, lane=Lane.PROBE, ok=7)

        assert count(build_timeline(replace(document, facts=(*document.facts, probes)))).scheduled == 580

    def test_failures_beyond_the_kept_lines_are_counted(self):
        document = self.lossy().document()
        facts = [f for f in document.facts if not (isinstance(f, Attempt) and f.lane is Lane.FRESH and f.seq % 2)]
        timeline = build_timeline(replace(document, facts=tuple(facts)))

        assert count(timeline).failed == 11
        assert unlisted(timeline) == {Lane.FRESH: 5}
        assert by_outcome(timeline)[Lane.FRESH]["unlisted"] == 5

    def test_attempts_of_an_interval_that_was_never_written_are_counted(self):
        document = self.lossy().document()
        facts = tuple(f for f in document.facts if not isinstance(f, Interval))
        counts = count(build_timeline(replace(document, facts=facts, seal=None)))

        assert (counts.ok, counts.failed, counts.not_sent, counts.scheduled) == (0, 11, 1, 12)

    def test_a_name_that_did_not_resolve_is_lost_though_never_sent(self):
        story = Story(qps=20).graceful_rollout(pods=1)
        story.fail(Lane.FRESH, 13.5, Phase.RESOLVE, Outcome.NOT_RESOLVED, sent_ns=None)
        timeline = build_timeline(story.end(at=30).document())

        assert [a.outcome for a in timeline.failures] == [Outcome.NOT_RESOLVED]
        assert (count(timeline).failed, count(timeline).not_sent) == (0, 1)

    def test_what_was_under_way_at_the_end_is_sent_and_nobodys_loss(self):
        story = Story(qps=20).graceful_rollout(pods=1)
        story.fail(Lane.FRESH, 14.9, Phase.AWAIT, Outcome.ABANDONED, took=0.05)
        story.fail(Lane.REUSED, 14.9, Phase.CONNECT, Outcome.ABANDONED, sent_ns=None)
        timeline = build_timeline(story.end(at=15).document(interrupted="SIGINT"))

        assert (len(timeline.failures), len(timeline.abandoned), len(timeline.not_sent)) == (0, 1, 1)
        assert (count(timeline).failed, count(timeline).not_sent) == (1, 1)

    def test_the_name_of_an_outcome_bears_the_status_only_where_it_is_what_was_bad(self):
        (attempt,) = build_timeline(
            Story(qps=20).fail(Lane.FRESH, 3, Phase.BODY, Outcome.WRONG_BODY, status=200).end(at=9).document()
        ).failures

        assert outcome_name(attempt) == "body/wrong_body"
        assert outcome_name(replace(attempt, outcome=Outcome.BAD_STATUS, status=503)) == "body/bad_status 503"


class TestBaseline:
    def test_it_holds_what_ended_before_the_replacement(self):
        story = Story(qps=20).graceful_rollout(pods=1).fail(Lane.REUSED, 5, Phase.AWAIT, Outcome.RESET)
        story.lose(Lane.FRESH, 13, 14)
        report = report_baseline(build_timeline(story.end(at=30).document()))

        assert report.seconds == 10
        assert (report.counts.ok, report.counts.failed) == (199, 1)
        assert report.by_outcome == {"await/reset": 1}
        assert report.served_qps == pytest.approx(19.9)
        assert report.p99_ms == pytest.approx(4, rel=0.01)

    def test_an_attempt_that_began_in_it_and_ended_after_is_not_its_own(self):
        story = Story(qps=20).graceful_rollout(pods=1).fail(Lane.REUSED, 10.5, Phase.AWAIT, Outcome.TIMEOUT, took=3)

        assert report_baseline(build_timeline(story.end(at=30).document())).counts.failed == 0

    def test_a_load_that_came_up_late_does_not_make_the_target_look_slow(self):
        story = Story(qps=20, baseline_from=9.0, load_from=10.0).graceful_rollout(pods=1)
        report = report_baseline(build_timeline(story.end(at=30).document()))

        assert report.seconds == pytest.approx(1)
        assert report.served_qps == pytest.approx(20)

    def test_without_one_it_is_all_zero(self):
        document = Story(qps=20).pods(1).end(at=9).document()
        report = report_baseline(build_timeline(replace(document, facts=())))

        assert (report.seconds, report.counts.scheduled, report.served_qps, report.p50_ms) == (0, 0, 0, None)


def test_a_document_of_nothing_but_its_header_has_an_empty_timeline():
    document = replace(Story().document(), facts=(), seal=None)
    timeline = build_timeline(document)

    assert timeline.window.length == 0
    assert timeline.window.start == ns(0)
    assert (timeline.pods, timeline.failures, timeline.stages) == ((), (), {})
