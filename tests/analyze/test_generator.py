from dataclasses import replace

import pytest

from rollcheck.analyze.generator import audit, explained, is_local_limit
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.attempts import Interval, Lane, Outcome, Phase
from rollcheck.facts.clock import MILLISECOND
from tests.analyze.builders import Story, blob


def story(**options) -> Story:
    return Story(**options).graceful_rollout(pods=1).end(at=30)


def faults(told: Story, **options) -> list[str]:
    report, found = audit(build_timeline(told.document(**options)))
    assert report.faults == tuple(f.text for f in found)
    return list(report.faults)


def test_a_good_generator_has_no_fault_and_its_figures():
    report, found = audit(build_timeline(story().document()))

    assert found == ()
    assert report.asked_qps == pytest.approx(100)
    assert report.held_qps == pytest.approx(100)
    assert report.lag_p50_us == 40
    assert report.lag_max_us == 40
    assert report.wait_p99_us == 10
    assert report.longest_stall_ms == 2
    assert report.gaps == ()


@pytest.mark.parametrize(("micros", "late"), [(49_000, False), (60_000, True)])
def test_one_request_in_a_hundred_may_leave_no_later_than_the_limit(micros, late):
    told = story()
    for second in range(12, 20):
        told.health(second, lag_hdr=blob(micros, 100))

    assert [("late" in f) for f in faults(told)] == [True] * late


def test_a_short_lateness_that_touches_few_requests_is_no_fault():
    assert faults(story().health(12, lag_hdr=blob(60_000, 5))) == []


@pytest.mark.parametrize(("milliseconds", "fault"), [(500, False), (501, True), (3000, True)])
def test_a_loop_may_stand_still_no_longer_than_the_limit(milliseconds, fault):
    found = faults(story().health(12, stall_ns=milliseconds * MILLISECOND))

    assert bool(found) is fault


@pytest.mark.parametrize(
    "sample", [{"stall_ns": 600 * MILLISECOND}, {"lag_hdr": blob(60_000, 1000)}], ids=["stall", "lag"]
)
@pytest.mark.parametrize(
    ("starved_ns", "told"),
    [(0, False), (5 * MILLISECOND, False), (140 * MILLISECOND, True)],
)
def test_a_fault_says_when_others_had_the_processor(sample, starved_ns, told):
    [found] = faults(story().health(12, starved_ns=starved_ns, **sample))

    assert ("; other processes had its processor for 14% of that time" in found) is told


def test_stalls_of_the_preflight_do_not_count():
    assert faults(story(baseline_from=5.0).health(2, stall_ns=10**10)) == []


@pytest.mark.parametrize(("released", "fault"), [(75, False), (50, True)])
def test_a_timetable_must_be_kept_but_for_one_in_a_hundred(released, fault):
    found = faults(story().health(12, asked=100, released=released))

    assert bool(found) is fault
    if fault:
        assert found == ["the generator took up 2,850 of the 2,900 requests that its timetable asked for; lower --qps"]


@pytest.mark.parametrize(
    ("detail", "ours"), [("EADDRNOTAVAIL", True), ("EMFILE", True), ("no_connection", False), ("", False)]
)
def test_requests_that_this_machine_could_not_send_are_a_fault(detail, ours):
    told = story().lose(Lane.FRESH, 20, 20.1, outcome=Outcome.DROPPED, sent_ns=None, detail=detail)
    found = faults(told)

    assert bool(found) is ours
    if ours:
        assert found == [f"this machine could not send 5 requests ({detail}); lower --qps"]


def test_only_a_dropped_attempt_is_a_local_limit():
    (attempt,) = build_timeline(story().fail(Lane.FRESH, 20, detail="EMFILE").document()).failures

    assert not is_local_limit(attempt)


@pytest.mark.parametrize(
    ("start", "resource", "relisted", "fault"),
    [
        (14, "pods", True, True),
        (14, "endpointslices", True, True),
        (14, "pods", False, False),
        (14, "events", True, False),
        (5, "pods", True, False),
    ],
)
def test_a_gap_that_lost_changes_of_pods_or_endpoints_during_the_replacement_is_a_fault(
    start, resource, relisted, fault
):
    told = story().gap(start, start + 1.5, resource=resource, relisted=relisted)
    report, _ = audit(build_timeline(told.document()))

    assert bool(report.faults) is fault
    (gap,) = report.gaps
    assert gap.startswith(f"{resource}: blind for 1.5 s from {start}.0 s on")


def test_a_gap_without_a_replacement_is_no_fault():
    assert faults(Story().pods(1).gap(3, 4).end(at=9)) == []


def test_a_seal_that_counts_otherwise_is_a_fault():
    assert faults(story(), miscount=1) == [
        "lane fresh: the timetable released 1,451 requests, but 1,450 are accounted for"
    ]


def test_details_that_were_not_kept_are_a_fault():
    document = story().document()
    facts = list(document.facts)
    at = next(i for i, f in enumerate(facts) if isinstance(f, Interval) and f.lane is Lane.FRESH and f.ok > 9)
    facts[at] = replace(facts[at], failed=2, unlisted=2, ok=facts[at].ok - 2)

    report, _ = audit(build_timeline(replace(document, facts=tuple(facts))))

    assert report.faults == ("the details of 2 failed attempts were not kept",)


def test_a_document_without_a_seal_has_nothing_to_compare_with():
    assert faults(story(), seal=False) == []


def test_without_samples_there_are_no_figures():
    document = replace(story().document(), facts=())
    report, _ = audit(build_timeline(replace(document, seal=None)))

    assert (report.asked_qps, report.held_qps, report.lag_p99_us) == (0, 0, None)


@pytest.mark.parametrize(
    ("at", "phase", "outcome", "took", "ours"),
    [
        (12.5, Phase.AWAIT, Outcome.TIMEOUT, 5.0, True),
        (9.0, Phase.AWAIT, Outcome.TIMEOUT, 5.0, True),
        (13.5, Phase.AWAIT, Outcome.TIMEOUT, 5.0, False),
        (12.5, Phase.AWAIT, Outcome.RESET, 0.1, True),
        (12.5, Phase.CONNECT, Outcome.REFUSED, 0.1, False),
        (12.5, Phase.AWAIT, Outcome.BAD_STATUS, 0.1, False),
    ],
)
def test_a_stall_explains_what_was_under_way_and_what_looking_late_can_make(at, phase, outcome, took, ours):
    told = story().health(12, stall_ns=2000 * MILLISECOND).fail(Lane.REUSED, at, phase, outcome, took=took)
    timeline = build_timeline(told.document())

    assert explained(timeline.failures[0], audit(timeline)[1]) is ours
