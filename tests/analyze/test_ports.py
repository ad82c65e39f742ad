"""Which connects fell into what an earlier connection had left in a node's connection tracking."""

from __future__ import annotations

import pytest

from rollcheck.analyze.model import TiedBy, Timeline
from rollcheck.analyze.ports import maybe_tied_before
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.attempts import Lane, Outcome, Phase
from rollcheck.facts.connections import ClosedBy
from tests.analyze.builders import Story, ns

CONNECT, AWAIT = Phase.CONNECT, Phase.AWAIT
PORT, OTHER = "10.0.9.9:40001", "10.0.9.9:40002"


def story(**options) -> Story:
    """Two pods; old-1 is deleted at 13 and exits at once."""
    told = Story(qps=40, **options).pods(2).restart(at=10).new_pod("new-1", created=10.1, ready=12.5)
    return told.delete("old-1", at=13.0, exit_after=0.2, code=143).end(at=200)


def reset(told: Story, at: float, *, pod: str = "old-1", local: str = PORT, **fields) -> Story:
    """A kept connection from that port is reset."""
    return told.connection(
        7, opened=2.0, closed=at, by=ClosedBy.PEER_IN_FLIGHT, local=local, pod=pod, **{"reset": True, **fields}
    )


def times_out(told: Story, at: float, *, outcome: Outcome = Outcome.TIMEOUT, local: str = PORT, took=2.0) -> Story:
    """A fresh connect from that port gets no answer."""
    return told.fail(Lane.FRESH, at, CONNECT, outcome, took=took, local=local)


def timeline(told: Story) -> Timeline:
    return build_timeline(told.document())


def ties(told: Story) -> list[tuple[float, TiedBy]]:
    """Second at which each tied connect began, and what had tied its port."""
    return [(round((t.attempt.sent_ns - ns(0)) / 1e9, 3), t.by) for t in timeline(told).ties]


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.UNREACHABLE])
def test_a_connect_without_an_answer_from_a_port_reset_seconds_ago_was_tied(outcome):
    assert ties(times_out(reset(story(), 13.2), 21.0, outcome=outcome)) == [(21.0, TiedBy.RESET)]


@pytest.mark.parametrize(("after", "tied"), [(9.9, True), (10.1, False)])
def test_a_reset_ties_its_port_for_ten_seconds(after, tied):
    assert bool(ties(times_out(reset(story(), 13.2), 13.2 + after))) is tied


@pytest.mark.parametrize(("after", "tied"), [(119.0, True), (121.0, False)])
def test_a_syn_without_an_answer_ties_its_port_for_two_minutes_from_its_end(after, tied):
    told = times_out(times_out(story(), 13.3), 15.3 + after)

    assert bool(ties(told)) is tied


def test_each_syn_without_an_answer_keeps_the_entry_alive():
    told = times_out(times_out(times_out(story(), 13.3), 100.0), 195.0)

    assert ties(told) == [(100.0, TiedBy.SYN), (195.0, TiedBy.SYN)]


def test_a_syn_into_a_closed_entry_does_not_keep_it_alive():
    told = times_out(times_out(reset(story(), 13.2), 20.0, took=1.0), 25.0, took=1.0)

    assert ties(told) == [(20.0, TiedBy.RESET)]


def test_another_port_is_not_tied():
    assert ties(times_out(reset(story(), 13.2), 15.0, local=OTHER)) == []


def test_an_orderly_close_ties_nothing():
    assert ties(times_out(reset(story(), 13.2, reset=False), 15.0)) == []


def test_a_connection_that_stood_in_between_shows_that_the_port_is_free():
    told = times_out(story(), 13.3)
    told.connection(8, opened=20.0, closed=40.0, by=ClosedBy.US_POLICY, local=PORT)

    assert ties(times_out(told, 50.0)) == []


def test_a_refusal_ties_nothing():
    told = story().fail(Lane.FRESH, 13.3, CONNECT, Outcome.REFUSED, local=PORT)

    assert ties(times_out(told, 15.0)) == []


def test_a_refusal_from_a_tied_port_is_somebody_elses_answer():
    told = reset(story(), 13.2).fail(Lane.FRESH, 15.0, CONNECT, Outcome.REFUSED, local=PORT)

    assert ties(told) == []


def test_the_reset_of_a_fresh_request_ties_its_port_too():
    told = story().fail(Lane.FRESH, 13.2, AWAIT, Outcome.RESET, local=PORT)

    assert ties(times_out(told, 15.0)) == [(15.0, TiedBy.RESET)]


def test_a_reset_by_a_pod_that_lives_on_ties_nothing_to_a_dead_one():
    assert ties(times_out(reset(story(), 13.2, pod="old-2"), 15.0)) == []


def test_a_reset_by_a_pod_that_is_not_known_may_be_a_dead_ones():
    assert ties(times_out(reset(story(), 13.2, pod=""), 15.0)) == [(15.0, TiedBy.RESET)]


def test_behind_a_proxy_the_pod_of_a_connection_is_not_known():
    told = story(header={"route": "loadbalancer"})

    assert ties(times_out(reset(told, 13.2, pod="old-2"), 15.0)) == [(15.0, TiedBy.RESET)]


def test_through_an_ingress_no_port_is_tied_to_a_pod():
    assert ties(times_out(reset(story(header={"route": "ingress"}), 13.2), 15.0)) == []


def test_a_port_that_was_not_recorded_is_tied_to_nothing():
    assert ties(times_out(reset(story(), 13.2, local=""), 15.0, local="")) == []


def test_a_tie_says_since_when_and_by_which_pod():
    [tie] = timeline(times_out(reset(story(), 13.2), 15.0)).ties

    assert (tie.since_ns, tie.pod) == (ns(13.2), "old-1")


def suspects(told: Story) -> list[float]:
    """Seconds at which those began that a run before may have lost."""
    line = timeline(told)
    return [round((a.sent_ns - ns(0)) / 1e9, 3) for a in maybe_tied_before(line, line.failures)]


def test_what_a_run_before_may_have_tied_ends_two_minutes_after_the_beginning():
    told = times_out(times_out(story(), 119.0), 121.0, local=OTHER)

    assert suspects(told) == [119.0]


def test_what_this_run_tied_is_no_suspect_of_another():
    assert suspects(times_out(reset(story(), 13.2), 15.0)) == []


def test_a_refusal_is_no_suspect():
    assert suspects(story().fail(Lane.FRESH, 5.0)) == []
