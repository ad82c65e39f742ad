from collections import Counter
from functools import cache

import pytest
from cards import immediate_exit, in_flight_and_broken
from long_run import long_run
from reading import cells

from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.attempts import Attempt, PodTally
from rollcheck.render.axis import axis_of
from rollcheck.render.html import raw
from rollcheck.render.html.raw import raw_tables, shown_attempts


@cache
def tables(make):
    timeline = make().timeline
    attempts = shown_attempts(timeline.document.of(Attempt))
    return {each["kind"]: each for each in raw_tables(timeline.document, axis_of(make()), timeline.window, attempts)}


def column_of(table, name):
    return cells(table["columns"][name], table["rows"])


def test_every_fact_of_a_run_is_there():
    facts = Counter(type(fact).__name__ for fact in immediate_exit().timeline.document.facts)

    assert {kind: table["rows"] for kind, table in tables(immediate_exit).items()} == facts
    assert not any(table["note"] for table in tables(immediate_exit).values())


def test_instants_are_microseconds_from_zero_and_then_from_the_first_one():
    table, axis = tables(in_flight_and_broken)["Attempt"], axis_of(in_flight_and_broken())
    attempts = in_flight_and_broken().timeline.document.of(Attempt)
    intended, ended = column_of(table, "intended_ns"), column_of(table, "ended_ns")

    assert table["instants"][0] == "intended_ns"
    assert [at / 1e6 for at in intended] == pytest.approx([axis.at(a.intended_ns) for a in attempts], abs=1e-6)
    assert [(at + more) / 1e6 for at, more in zip(intended, ended, strict=True)] == pytest.approx(
        [axis.at(a.ended_ns) for a in attempts], abs=2e-6
    )


def test_what_never_came_to_be_sent_has_no_instant():
    attempts = in_flight_and_broken().timeline.document.of(Attempt)
    sent = column_of(tables(in_flight_and_broken)["Attempt"], "sent_ns")

    assert [at is None for at in sent] == [a.sent_ns is None for a in attempts]
    assert None in sent


def test_every_field_that_is_no_histogram_is_there_under_its_name():
    table = tables(immediate_exit)["Attempt"]

    assert set(Attempt.__dataclass_fields__) == set(table["columns"])


def test_histograms_become_percentiles():
    table = tables(immediate_exit)["Interval"]

    assert column_of(table, "response_p50_us")[0] == pytest.approx(4_000, rel=0.01)
    assert "response_hdr" not in table["columns"]


class TestOfALongRun:
    """A fifth of the time, and no fewer facts in each second of it."""

    document = staticmethod(cache(lambda: long_run(seconds=360, pods=10, lost_per_pod=30)))

    def test_tallies_of_neighbouring_seconds_are_put_together_and_none_is_lost(self):
        timeline = build_timeline(self.document())
        found = raw_tables(self.document(), axis_of(immediate_exit()), timeline.window, [])
        table = next(each for each in found if each["kind"] == "PodTally")
        tallies = self.document().of(PodTally)

        assert table["rows"] <= raw.MOST_TALLIES < table["total"] == len(tallies)
        assert sum(column_of(table, "ok")) == sum(tally.ok for tally in tallies)
        assert "put together" in table["note"]

    def test_of_too_many_attempts_each_kind_keeps_its_share(self, monkeypatch):
        monkeypatch.setattr(raw, "MOST_ATTEMPTS", 100)
        attempts = self.document().of(Attempt)
        shown = Counter((attempt.kind, attempt.lane) for attempt in shown_attempts(attempts))

        assert len(set(shown.values())) == 1
        assert set(shown) == {(attempt.kind, attempt.lane) for attempt in attempts}
        assert 90 <= shown.total() <= 100

    def test_a_rare_kind_of_attempt_is_kept_whole(self, monkeypatch):
        monkeypatch.setattr(raw, "MOST_ATTEMPTS", 100)
        attempts = self.document().of(Attempt)
        rare = attempts[0].kind, attempts[0].lane
        few = [a for a in attempts if (a.kind, a.lane) != rare] + [a for a in attempts if (a.kind, a.lane) == rare][:2]

        assert sum((a.kind, a.lane) == rare for a in shown_attempts(few)) == 2
