"""Connects from a source port that connection tracking still tied to a dead pod (34)."""

from __future__ import annotations

from rollcheck.analyze.analysis import analyse
from rollcheck.analyze.model import Verdict
from rollcheck.facts.attempts import Lane, Outcome, Phase
from rollcheck.facts.connections import ClosedBy
from tests.analyze.builders import Story, sleep
from tests.analyze.builders import pod_spec as spec
from tests.analyze.causes.told import cause, modes, told

CONNECT, AWAIT = Phase.CONNECT, Phase.AWAIT
PORT, OTHER = "10.0.9.9:40001", "10.0.9.9:40002"


def rollout(**options) -> Story:
    """Two of two pods are replaced by 24; each serves on for 5 s (preStop) and then exits at once."""
    story = Story(qps=40, spec=spec(prestop=sleep(5)), **options).pods(2).restart(at=10)
    for number, at in ((1, 13.0), (2, 18.0)):
        story.new_pod(f"new-{number}", created=at - 2.9, ready=at - 0.5)
        story.delete(f"old-{number}", at=at, exit_after=5.1, code=143, serves_for=0.5)
    return story.tail(at=24).end(at=45)


def reset(story: Story, at: float, *, pod: str = "", local: str = PORT) -> Story:
    return story.connection(9, opened=2.0, closed=at, by=ClosedBy.PEER_IDLE, local=local, pod=pod, reset=True)


def times_out(story: Story, at: float, *, local: str = PORT, took: float = 2.0, **fields) -> Story:
    return story.fail(Lane.FRESH, at, CONNECT, Outcome.TIMEOUT, took=took, local=local, **fields)


def test_a_time_out_from_a_port_that_an_old_pod_reset_is_named_as_that():
    story = times_out(reset(rollout(), 18.1, pod="old-1"), 25.0)
    found = cause(story, 34)

    assert modes(story) == {34: 1}
    assert found.confidence == "high"
    assert found.of_replacement


def test_the_evidence_says_what_tied_the_port_and_since_when():
    evidence = " ".join(cause(times_out(reset(rollout(), 18.1, pod="old-1"), 25.0), 34).evidence)

    assert "source port 40001, used again +15.00 s, was still tied to a dead pod's address by the node's" in evidence
    assert "its connection to pod old-1 was reset +8.10 s, which is remembered for 10 s" in evidence


def test_after_a_syn_without_an_answer_the_evidence_says_so():
    story = Story(qps=40).pods(2).restart(at=10).new_pod("new-1", created=10.1, ready=12.5)
    story.delete("old-1", at=13.0, exit_after=0.2, code=143).end(at=45)
    story = times_out(times_out(story, 13.3), 31.0)

    assert modes(story) == {1: 1, 34: 1}
    assert "a connect from it had ended without an answer +5.30 s, which is remembered for 120 s" in " ".join(
        cause(story, 34).evidence
    )


def test_the_same_time_out_from_another_port_is_not():
    assert modes(times_out(reset(rollout(), 18.1, pod="old-1"), 25.0, local=OTHER)) == {-1: 1}


def test_within_the_time_in_which_a_pods_end_could_explain_it_the_known_port_still_decides():
    story = Story(qps=40).pods(2).restart(at=10).new_pod("new-1", created=10.1, ready=12.5)
    story.delete("old-1", at=13.0, exit_after=0.2, code=143).end(at=45)
    story = times_out(reset(story, 13.2, pod="old-1"), 14.0)

    assert modes(story.lose(Lane.FRESH, 13.2, 13.6)) == {1: 8, 34: 1}


def test_while_no_pod_is_ready_the_outage_explains_it_whatever_the_port():
    story = Story(qps=40, strategy="Recreate", max_surge="", max_unavailable="").pods(1).restart(at=10)
    story.delete("old-1", at=10.1, exit_after=2.0).new_pod("new-1", created=12.7, ready=14.0).end(at=45)
    story = times_out(times_out(story, 12.2, took=1.0), 13.5)

    assert modes(story) == {13: 2}
    assert modes(times_out(story, 30.0)) == {13: 2, 34: 1}


def test_a_reset_in_the_baseline_explains_a_time_out_in_the_baseline():
    story = times_out(reset(rollout(), 4.0), 7.0)

    assert modes(story) == {34: 1}
    assert not cause(story, 34).of_replacement


def test_what_was_tied_before_and_in_the_replacement_is_told_apart():
    story = times_out(reset(rollout(), 4.0), 7.0)
    story = times_out(reset(story, 18.1, pod="old-1", local=OTHER), 25.0, local=OTHER)
    causes, left = told(story)

    assert left == ()
    assert [(c.mode, c.attempts, c.of_replacement) for c in causes] == [(34, 1, False), (34, 1, True)]


def test_many_are_told_in_a_few_lines():
    story = rollout()
    for number in range(8):
        local = f"10.0.9.9:{41000 + number}"
        story = times_out(reset(story, 18.1, pod="old-1", local=local), 20.0 + number / 2, local=local)
    found = cause(story, 34)

    assert found.attempts == 8
    assert "and 5 more alike" in found.evidence


def test_a_request_lost_to_a_port_that_the_replacement_tied_is_a_loss():
    analysis = analyse(times_out(reset(rollout(), 18.1, pod="old-1"), 25.0).document())

    assert analysis.verdict is Verdict.NOT_GRACEFUL
    assert "1 of" in analysis.headline
    assert "outage" not in analysis.headline


def test_a_request_lost_to_a_port_tied_before_the_replacement_proves_nothing():
    analysis = analyse(times_out(reset(rollout(), 4.0), 12.0).document())

    assert analysis.verdict is Verdict.INCONCLUSIVE
    assert "tied to a dead pod before the replacement" in analysis.reasons[0]


def test_the_headline_does_not_put_such_a_loss_into_an_outage():
    story = Story(qps=40).pods(2).restart(at=10).new_pod("new-1", created=10.1, ready=12.5)
    story.delete("old-1", at=13.0, exit_after=0.2, code=143).end(at=45)
    story = times_out(reset(story, 13.2, pod="old-1"), 19.0).lose(Lane.FRESH, 13.2, 13.6)

    assert "9 of 1,400 requests were lost, all but 1 in 1 outage of at most" in analyse(story.document()).headline


def test_a_pod_that_only_tied_a_port_counts_as_one_that_lost_something():
    analysis = analyse(times_out(reset(rollout(), 18.1, pod="old-1"), 25.0).document())

    assert (analysis.bounds.pods_replaced, analysis.bounds.pods_lossless) == (2, 1)


def test_what_a_run_before_may_have_tied_is_said_to_be_unseen():
    analysis = analyse(times_out(times_out(rollout(), 4.0), 7.0, local=OTHER).document())

    assert any("those of 2 connects without an answer to a pod that died before this run" in b for b in analysis.blind)


def exit_at_once() -> Story:
    """old-1 exits at once at 13: two connects to it time out, eight are refused."""
    story = Story(qps=40).pods(2).restart(at=10).new_pod("new-1", created=10.1, ready=12.5)
    story.delete("old-1", at=13.0, exit_after=0.2, code=143).end(at=45).lose(Lane.FRESH, 13.2, 13.6)
    return times_out(times_out(story, 13.7, local="10.0.9.9:3"), 13.8, local="10.0.9.9:4")


def test_where_the_baseline_shows_ports_tied_by_a_run_before_later_time_outs_are_in_doubt_as_well():
    story = times_out(exit_at_once(), 4.0)

    assert modes(story) == {1: 10, 0: 1}
    assert dict(cause(story, 1).competing)[34].startswith("2 connects without an answer may have come from source")
    assert any("those of 3 connects without an answer" in b for b in analyse(story.document()).blind)


def test_where_the_baseline_shows_none_they_are_not():
    assert dict(cause(exit_at_once(), 1).competing) == {}


def test_nothing_is_said_of_runs_before_where_every_time_out_is_explained():
    story = Story(qps=40).pods(2).restart(at=10).new_pod("new-1", created=10.1, ready=12.5)
    story.delete("old-1", at=13.0, exit_after=0.2, code=143).end(at=45)

    assert not any("source ports" in b for b in analyse(times_out(story, 13.3).document()).blind)
