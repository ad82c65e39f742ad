from dataclasses import replace

import pytest

from rollcheck.analyze.model import Propagation
from rollcheck.analyze.propagation import measure_propagation, recommend_prestop
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.attempts import Attempt, Lane, Outcome, Phase
from rollcheck.facts.connections import ClosedBy
from tests.analyze.builders import Story, pod_spec


def measured(story: Story) -> dict[str, Propagation]:
    return {p.pod: p for p in measure_propagation(build_timeline(story.end(at=60).document()))}


def abrupt(**options) -> Story:
    """One of two pods goes at 20.3, at once."""
    story = Story(**options).pods(2).restart(at=11).new_pod("new-1", created=18, ready=20.2)
    return story.delete("old-1", at=20.3, exit_after=0.1, code=143, serves_for=0.0)


def test_the_last_answer_on_a_new_connection_proves_the_low_end():
    story = Story().pods(2).restart(at=11).new_pod("new-1", created=18, ready=20.2)
    story.delete("old-1", at=20.3, exit_after=10, serves_for=1.5)
    found = measured(story)["old-1"]

    assert found.seconds[0] <= 1.5 <= found.seconds[1]
    assert found.seconds[0] == pytest.approx(1.45, abs=0.06)
    assert "old-1 on a new connection" in found.evidence


def test_a_pod_that_nobody_reached_any_more_is_measured_as_such():
    found = measured(abrupt())["old-1"]

    assert found.seconds[0] == 0
    assert found.seconds[1] < 1
    assert found.evidence == "no new connection reached old-1 after its deletion was seen"


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNREACHABLE, Outcome.TIMEOUT])
def test_new_connections_that_found_the_pod_dead_are_evidence_by_their_start(outcome):
    story = abrupt().lose(Lane.FRESH, 20.4, 22.0, outcome=outcome, every=2, took=3.0)
    found = measured(story)["old-1"]

    assert found.seconds[0] == pytest.approx(1.66, abs=0.03)
    assert found.seconds[0] < found.seconds[1] < 3
    assert "new connections that failed" in found.evidence


def test_resets_and_reused_connections_say_nothing_about_endpoints():
    story = abrupt().fail(Lane.FRESH, 22, Phase.AWAIT, Outcome.RESET)
    story.fail(Lane.REUSED, 23, Phase.CONNECT, Outcome.REFUSED)

    assert measured(story)["old-1"].seconds[0] == 0


def test_a_failed_fresh_probe_is_evidence_too():
    story = abrupt().fail(Lane.FRESH, 21.0)
    document = story.end(at=60).document()
    lost = next(f for f in document.facts if isinstance(f, Attempt))
    probe = replace(lost, lane=Lane.PROBE, sent_ns=lost.sent_ns + 1_000_000_000)
    timeline = build_timeline(replace(document, facts=(*document.facts, probe)))

    assert measure_propagation(timeline)[0].seconds[0] == pytest.approx(1.695, abs=0.01)


def test_where_no_endpoint_was_ready_refusals_prove_nothing():
    story = (
        Story()
        .pods(1)
        .restart(at=11)
        .delete("old-1", at=20.3, exit_after=0.1, serves_for=0.0)
        .new_pod("new-1", created=24)
    )
    story.lose(Lane.FRESH, 20.5, 25)

    assert measured(story)["old-1"].seconds[0] == 0


def test_where_new_pods_have_no_readiness_probe_refusals_prove_nothing():
    story = abrupt(new_spec=pod_spec(readiness=None)).lose(Lane.FRESH, 20.4, 22.0, every=2)

    assert measured(story)["old-1"].seconds[0] == 0


def test_a_refusal_minutes_later_is_not_propagation():
    story = abrupt().delete("old-2", at=50, exit_after=None)
    document_end = story.fail(Lane.FRESH, 49.0)

    assert measured(document_end)["old-1"].seconds[0] == pytest.approx(28.695, abs=0.01)
    late = abrupt().fail(Lane.FRESH, 85.0).end(at=90).document()
    assert measure_propagation(build_timeline(late))[0].seconds[0] == 0


def test_a_failure_belongs_to_the_pod_that_was_deleted_last():
    story = abrupt().delete("old-2", at=30.3, exit_after=0.1, serves_for=0.0).lose(Lane.FRESH, 30.5, 31.3, every=2)
    found = measured(story)

    assert found["old-1"].seconds[0] == 0
    assert found["old-2"].seconds[0] == pytest.approx(0.97, abs=0.03)
    assert "" not in found


def test_a_failure_that_names_its_pod_belongs_to_it():
    story = abrupt().delete("old-2", at=30.3, exit_after=0.1, serves_for=0.0).fail(Lane.FRESH, 31.0, peer="10.0.0.1:80")

    assert measured(story)["old-1"].seconds[0] == pytest.approx(10.695, abs=0.01)
    assert measured(story)["old-2"].seconds[0] == 0


def test_pods_deleted_together_are_measured_at_large():
    story = (
        abrupt(named=False)
        .delete("old-2", at=20.6, exit_after=0.1, serves_for=0.0)
        .lose(Lane.FRESH, 20.8, 21.6, every=2)
    )
    found = measured(story)

    assert set(found) == {""}
    assert found[""].seconds[0] == pytest.approx(0.97, abs=0.03)
    assert "deleted together" in found[""].evidence


@pytest.mark.parametrize("status", [502, 503, 504])
def test_through_an_ingress_gateway_errors_take_the_place_of_refusals(status):
    story = abrupt(named=False, header={"route": "ingress"})
    story.lose(Lane.REUSED, 20.4, 21.4, Phase.AWAIT, Outcome.BAD_STATUS, every=3, status=status)
    found = measured(story)

    assert found["old-1"].seconds[0] == pytest.approx(1.0, abs=0.1)
    assert "gateway errors" in found["old-1"].evidence


def test_a_500_of_the_app_is_no_gateway_error():
    story = abrupt(named=False, header={"route": "ingress"})
    story.lose(Lane.REUSED, 20.4, 21.4, Phase.AWAIT, Outcome.BAD_STATUS, status=500)

    assert measured(story) == {}


def test_gateway_errors_of_pods_deleted_together_are_named_as_such():
    story = abrupt(named=False, header={"route": "ingress"}).delete("old-2", at=20.6, exit_after=0.1, serves_for=0.0)
    story.lose(Lane.REUSED, 20.8, 21.6, Phase.AWAIT, Outcome.BAD_STATUS, status=502)

    assert "gateway errors" in measured(story)[""].evidence


def test_without_names_and_failures_nothing_is_measured():
    assert measured(abrupt(named=False)) == {}


@pytest.mark.parametrize(
    ("high", "seconds"),
    [((), None), ((0.2,), 5), ((3.3,), 5), ((3.4,), 6), ((1.0, 8.0, 2.0), 12), ((41.0,), 60), ((300.0,), 60)],
)
def test_prestop_covers_the_longest_seen_and_half_as_much_again(high, seconds):
    assert recommend_prestop([Propagation(pod="p", seconds=(0.0, h), evidence="") for h in high]) == seconds


PORT = "10.0.9.9:40001"


def tied(story: Story, at: float) -> Story:
    """A connect without an answer from a port that old-1 reset five seconds before."""
    story.connection(7, opened=2.0, closed=at - 5, by=ClosedBy.PEER_IDLE, reset=True, pod="old-1", local=PORT)
    return story.fail(Lane.FRESH, at, Phase.CONNECT, Outcome.TIMEOUT, took=2.0, local=PORT)


def test_a_connect_from_a_port_still_tied_to_a_dead_pod_is_no_evidence():
    assert recommend_prestop(measured(tied(abrupt(), 28.0)).values()) == 5
    assert measured(tied(abrupt(), 28.0)) == measured(abrupt())


def test_the_same_connect_from_another_port_is_evidence():
    story = abrupt().fail(Lane.FRESH, 28.0, Phase.CONNECT, Outcome.TIMEOUT, took=2.0, local=PORT)

    assert recommend_prestop(measured(story).values()) == 13


def test_a_tied_connect_does_not_hide_the_evidence_beside_it():
    story = tied(abrupt().lose(Lane.FRESH, 20.4, 22.0, every=2, local="10.0.9.9:39999"), 28.0)

    assert measured(story)["old-1"].seconds[0] == pytest.approx(1.66, abs=0.03)


def test_a_fresh_probe_from_a_tied_port_is_no_evidence_either():
    document = tied(abrupt(), 28.0).end(at=60).document()
    probes = (replace(f, lane=Lane.PROBE) if isinstance(f, Attempt) else f for f in document.facts)

    assert measure_propagation(build_timeline(replace(document, facts=tuple(probes))))[0].seconds[0] == 0


def test_where_connects_got_no_answer_in_the_baseline_later_ones_are_no_evidence():
    """A run before this one may have tied their ports: that cannot be seen."""
    early = {"outcome": Outcome.UNREACHABLE, "took": 0.5}
    story = abrupt().fail(Lane.FRESH, 5.0, local=PORT, **early).fail(Lane.FRESH, 28.0, local="10.0.9.9:2", **early)

    assert measured(story)["old-1"].seconds[0] == 0


def test_where_connects_got_no_answer_in_the_baseline_refusals_still_are_evidence():
    story = abrupt().fail(Lane.FRESH, 5.0, outcome=Outcome.TIMEOUT, took=1.0).lose(Lane.FRESH, 20.4, 22.0, every=2)

    assert measured(story)["old-1"].seconds[0] == pytest.approx(1.66, abs=0.03)
