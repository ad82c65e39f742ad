"""Pods that end outside of a rollout: all at once (14), blocked (15, 16, 17), by an autoscaler (31), by force (39)."""

from __future__ import annotations

import pytest

from rollcheck.analyze.analysis import analyse
from rollcheck.analyze.model import Verdict
from rollcheck.facts.actions import Action, Step
from rollcheck.facts.attempts import Lane, Outcome, Phase
from tests.analyze.builders import Story, ns
from tests.analyze.causes.told import cause, modes, patch

NODE = ("node-1",)


def acted(
    story: Story, kind: str, *, at: float, until: float | None = None, status: int | None = 200, turn: int = 1
) -> Story:
    """An action of ours, which begins the replacement."""
    story.triggered = at if story.triggered is None else story.triggered
    end = at + 0.02 if until is None else until
    action = Action(kind=kind, description=f"{kind} it", started_ns=ns(at), ended_ns=ns(end), status=status, round=turn)
    return story.add(action, at=end)


def step(story: Story, at: float, pod: str, status: int, refusal: str = "", message: str = "") -> Story:
    """The answer to an eviction."""
    return story.add(
        Step(
            at_ns=ns(at),
            verb="evict",
            target=f"pod/{pod}",
            uid=f"uid-{pod}",
            status=status,
            refusal=refusal,
            message=message,
        ),
        at=at,
    )


def ended_together(kind: str, count: int = 2, *, nodes: tuple[str, ...] = NODE, **kwargs) -> Story:
    """Every pod is deleted at 10.1 and has ended at 10.3; replacements of the same template join at 14."""
    story = acted(Story(qps=40, **kwargs).pods(count, nodes=nodes), kind, at=10)
    for number in range(1, count + 1):
        story.delete(f"old-{number}", at=10.1, exit_after=0.2, code=143)
        story.new_pod(f"new-{number}", created=10.2, ready=14.0, template_hash="aaaa")
    return story.end(at=45)


def test_a_drain_that_takes_every_pod_is_an_outage_by_that():
    story = ended_together("drain").lose(Lane.FRESH, 10.3, 14.0)

    assert list(modes(story)) == [14]
    found = cause(story, 14)
    assert "all 2 pods on node node-1 were taken away before another was ready" in found.summary
    assert any("no disruption budget kept any back" in line for line in found.evidence)
    spread = patch(found.fix)["spec"]["template"]["spec"]["topologySpreadConstraints"][0]
    assert (spread["topologyKey"], spread["maxSkew"]) == ("kubernetes.io/hostname", 1)


def test_the_only_pod_needs_a_second_one():
    story = ended_together("evict", 1).lose(Lane.FRESH, 10.3, 14.0)

    assert patch(cause(story, 14).fix)["spec"]["replicas"] == 2


def test_a_strategy_that_no_rollout_followed_is_not_blamed():
    story = ended_together("delete-pod", strategy="Recreate", max_surge="", max_unavailable="")

    assert list(modes(story.lose(Lane.FRESH, 10.3, 14.0))) == [14]


def test_pods_on_several_nodes_are_told_to_be_spread_no_further():
    story = ended_together("delete-pod", nodes=("node-1", "node-2")).lose(Lane.FRESH, 10.3, 14.0)

    assert cause(story, 14).fix == ""


def test_a_restart_with_the_same_outage_is_still_the_strategys():
    story = Story(qps=40, max_surge="0", max_unavailable="100%").pods(2).restart(at=10)
    for number in (1, 2):
        story.delete(f"old-{number}", at=10.1, exit_after=2.0)
        story.new_pod(f"new-{number}", created=10.2, ready=14.0)

    assert list(modes(story.lose(Lane.FRESH, 12.1, 14.0).end(at=45))) == [11]


def test_pods_evicted_one_by_one_end_as_in_any_rollout():
    story = acted(Story(qps=40).pods(2), "evict", at=10)
    story.delete("old-1", at=10.1, exit_after=0.2, code=143)
    story.new_pod("new-1", created=10.2, ready=12.0, template_hash="aaaa")

    assert list(modes(story.lose(Lane.FRESH, 10.3, 10.8).end(at=45))) == [1]


BUDGET = "The disruption budget web needs 2 healthy pods and has 2 currently"


def blocked(*refusals: tuple[str, str]) -> Story:
    story = acted(Story(qps=40).pods(2), "drain", at=10, until=30, status=None)
    for number, (refusal, message) in enumerate(refusals):
        step(story, 10.1 + 5 * number, "old-1", 201 if not refusal else 429, refusal, message)
    return story.note("the replacement had not ended", at=30, fatal=True).end(at=31)


def test_a_budget_that_says_no_to_the_end_is_the_cause_though_nothing_was_lost():
    story = blocked(("budget", BUDGET), ("budget", BUDGET))

    assert modes(story) == {15: 0}
    found = cause(story, 15)
    assert any("pod/old-1: refused 2 times" in line and BUDGET in line for line in found.evidence)
    assert "run 3 replicas" in found.advice
    assert analyse(story.document()).verdict is Verdict.INCONCLUSIVE


def test_a_budget_that_let_go_in_the_end_is_no_cause():
    assert modes(blocked(("budget", BUDGET), ("", ""))) == {}


@pytest.mark.parametrize(("refusal", "mode"), [("unsettled", 15), ("budgets", 16), ("throttled", 17)])
def test_the_other_refusals_are_told_apart(refusal, mode):
    assert modes(blocked((refusal, "no"))) == {mode: 0}


def autoscaled(*, message: str = "New size: 1; reason: All metrics below target", at: float = 10.05) -> Story:
    """An autoscaler takes one pod of three away while somebody watches."""
    story = acted(Story(qps=40).pods(3), "none", at=9.0, status=0)
    story.event("SuccessfulRescale", at=at, uid="uid-hpa", name="web", message=message, kind="HorizontalPodAutoscaler")
    story.delete("old-3", at=10.1, exit_after=0.2, code=143)
    return story.lose(Lane.FRESH, 10.3, 10.8).end(at=40)


def test_what_is_lost_to_an_autoscaler_is_said_to_be():
    found = cause(autoscaled(), 31)

    assert modes(autoscaled()) == {31: 10}
    assert any("New size: 1" in line for line in found.evidence)
    assert [mode for mode, _ in found.competing] == [1]


def test_that_an_autoscaler_scaled_is_worth_knowing_though_nothing_was_lost():
    story = acted(Story(qps=40).pods(3), "none", at=9.0, status=0)
    word = {"uid": "uid-hpa", "name": "web", "message": "New size: 2", "kind": "HorizontalPodAutoscaler"}
    story.event("SuccessfulRescale", at=10, **word).delete("old-3", at=10.1, exit_after=3.0, serves_for=0.3)

    assert (
        "the autoscaler web scaled the workload during the run: New size: 2"
        in analyse(story.end(at=40).document()).observations
    )


def test_what_was_put_back_is_worth_knowing():
    story = acted(Story(qps=40).pods(1), "drain", at=10).note("node/n1 was uncordoned", at=30, topic="restored")

    assert "node/n1 was uncordoned" in analyse(story.end(at=31).document()).observations


def test_an_autoscaler_long_before_is_not_blamed():
    story = acted(Story(qps=40).pods(3), "none", at=19.0, status=0)
    word = {"uid": "uid-hpa", "name": "web", "message": "New size: 3", "kind": "HorizontalPodAutoscaler"}
    story.event("SuccessfulRescale", at=2, **word).delete("old-3", at=20.1, exit_after=0.2, code=143)

    assert list(modes(story.lose(Lane.FRESH, 20.3, 20.8).end(at=40))) == [1]


def test_a_rollout_beside_an_autoscalers_word_is_the_rollouts():
    story = Story(qps=40).pods(1).restart(at=10)
    story.event(
        "SuccessfulRescale", at=10.0, uid="u", name="web", message="New size: 2", kind="HorizontalPodAutoscaler"
    )
    story.new_pod("new-1", created=10.1, ready=12.0).delete("old-1", at=12.1, exit_after=0.2, code=143)

    assert list(modes(story.lose(Lane.FRESH, 12.3, 12.8).end(at=40))) == [1]


def test_what_is_lost_on_a_pod_that_was_deleted_by_force_is_said_to_be():
    story = acted(Story(qps=40).pods(2), "delete-pod", at=10)
    story.delete("old-1", at=10.1, exit_after=0.05, grace=0, code=137)
    story.new_pod("new-1", created=10.2, ready=12.0, template_hash="aaaa")
    story.fail(Lane.REUSED, 10.1, Phase.AWAIT, Outcome.RESET, took=0.05)

    assert list(modes(story.end(at=40))) == [39]


class TestSeveralActions:
    def test_pods_of_the_round_before_count_as_replaced(self):
        story = acted(Story(qps=40).pods(1), "restart", at=10)
        story.new_pod("mid-1", created=10.1, ready=12.0).delete("old-1", at=12.1, exit_after=3.0, serves_for=0.3)
        acted(story, "restart", at=18, turn=2)
        story.new_pod("new-1", created=18.1, ready=20.0, template_hash="cccc")
        story.delete("mid-1", at=20.1, exit_after=3.0, serves_for=0.3)
        analysis = analyse(story.end(at=45).document())

        assert analysis.bounds.pods_replaced == 2
        assert analysis.verdict is Verdict.GRACEFUL, analysis.reasons

    def test_what_came_between_two_actions_of_one_round_is_new(self):
        """Two workloads are restarted together; the pod of the first may come before the second's restart."""
        story = acted(Story(qps=40).pods(1), "restart", at=10)
        story.new_pod("new-1", created=10.1, ready=12.0)
        story.delete("old-1", at=12.1, exit_after=3.0, serves_for=0.3)
        acted(story, "restart", at=10.5)
        lives = {p.name: p.generation for p in analyse(story.end(at=45).document()).timeline.pods}

        assert lives == {"old-1": "old", "new-1": "new"}

    def test_what_a_round_before_lost_to_a_new_pod_is_still_a_new_pods(self):
        story = acted(Story(qps=40).pods(1), "restart", at=10)
        story.new_pod("mid-1", created=10.1, ready=12.0)
        story.delete("old-1", at=12.1, exit_after=3.0, serves_for=0.3)
        acted(story, "restart", at=18, turn=2)
        story.new_pod("new-1", created=18.1, ready=20.0, template_hash="cccc")
        story.delete("mid-1", at=20.1, exit_after=3.0, serves_for=0.3)
        timeline = analyse(story.end(at=45).document()).timeline

        lives = {p.name: (p.generation, p.arrived) for p in timeline.pods}
        assert lives == {"old-1": ("old", False), "mid-1": ("old", True), "new-1": ("new", True)}


class TestStatefulSets:
    """A pod's name is given out again once it is gone."""

    def story(self) -> Story:
        story = Story(qps=40).pods(1).restart(at=10)
        story.delete("old-1", at=10.1, exit_after=1.0, serves_for=0.2)
        return story.new_pod("new-1", created=12.0, ready=13.0).pods(0).end(at=30)

    def test_what_the_second_of_a_name_answered_is_not_the_firsts(self):
        document = self.story().document()
        from dataclasses import replace

        from rollcheck.facts.attempts import PodTally
        from rollcheck.facts.cluster import PodSeen
        from rollcheck.facts.document import Document

        def renamed(fact):
            if isinstance(fact, PodSeen):
                return replace(fact, name="web-0")
            return replace(fact, pod="web-0") if isinstance(fact, PodTally) else fact

        story = Document(header=document.header, facts=tuple(map(renamed, document.facts)), seal=document.seal)
        first, second = analyse(story).timeline.pods
        assert first.traffic.answered + second.traffic.answered == sum(t.ok for t in story.of(PodTally))
        assert first.traffic.answered > 0
        assert second.traffic.answered > 0
        assert first.traffic.met_terminating is not None
        assert first.traffic.met_terminating < 20


def test_pods_below_a_partition_are_not_a_rollout_that_did_not_finish():
    story = Story(qps=40).pods(2).restart(at=10)
    story.new_pod("new-1", created=12.0, ready=13.0).delete("old-2", at=10.1, exit_after=1.0, serves_for=0.2)
    assert "did not finish" in "".join(analyse(story.end(at=30).document()).reasons)

    story.story_pods["old-1"].name = "web-0"
    kept = story.workload(at=1, kind="StatefulSet", partition=1)
    assert "did not finish" not in "".join(analyse(kept.document()).reasons)
