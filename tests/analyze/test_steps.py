"""What an action consisted of, in order: writes and their answers, tries counted, budgets named, pods gone."""

from __future__ import annotations

from dataclasses import replace

from rollcheck.analyze.steps import StepTaken, steps_taken
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.actions import Action, Step
from rollcheck.facts.document import Document, Fact
from tests.analyze.builders import Story, ns

BLOCKED = (
    "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget keep needs 2 healthy pods"
)


def taken(*more: Fact, story: Story | None = None) -> tuple[StepTaken, ...]:
    document: Document = (story or Story().pods(1).end(at=20)).document()
    return steps_taken(build_timeline(replace(document, facts=(*document.facts, *more))))


def step(at: float, verb: str, target: str, status: int | None = 200, refusal: str = "", message: str = "") -> Step:
    return Step(at_ns=ns(at), verb=verb, target=target, uid="u", status=status, refusal=refusal, message=message)


def action(
    kind: str, at: float, until: float, description: str, *, status: int | None = 200, round_: int = 1
) -> Action:
    return Action(
        kind=kind, description=description, started_ns=ns(at), ended_ns=ns(until), status=status, round=round_
    )


def test_a_refused_eviction_names_its_budget_and_each_try_is_counted():
    found = taken(
        action("drain", 10, 16, "drain node/n1"),
        step(10.1, "cordon", "node/n1"),
        step(10.2, "evict", "pod/web-1", 429, "budget", BLOCKED),
        step(15.2, "evict", "pod/web-1", 201),
        step(18, "uncordon", "node/n1"),
    )

    assert [(s.verb, s.target, s.status, s.refusal, s.budget, s.attempt) for s in found] == [
        ("cordon", "node/n1", 200, "", "", 1),
        ("evict", "pod/web-1", 429, "budget", "keep", 1),
        ("evict", "pod/web-1", 201, "", "", 2),
        ("uncordon", "node/n1", 200, "", "", 1),
    ]


def test_a_budget_that_has_not_caught_up_is_named_too():
    words = "Cannot evict pod: The disruption budget keep is still being processed by the server."
    (found,) = taken(step(10, "evict", "pod/web-1", 429, "unsettled", words))

    assert found.budget == "keep"


def test_no_budget_is_named_where_the_api_server_throttles():
    (found,) = taken(step(10, "evict", "pod/web-1", 429, "throttled", "disruption budget keep needs patience"))

    assert found.budget == ""


def test_tries_are_counted_anew_in_each_round():
    found = taken(
        action("drain", 10, 11, "drain node/n1", round_=1),
        step(10.1, "evict", "pod/web-0", 201),
        action("drain", 14, 15, "drain node/n2", round_=2),
        step(14.1, "evict", "pod/web-0", 201),
    )

    assert [(s.round, s.attempt) for s in found] == [(1, 1), (2, 1)]


def test_what_comes_between_two_rounds_belongs_to_the_one_before():
    found = taken(
        action("drain", 10, 11, "drain node/n1", round_=1),
        step(12, "uncordon", "node/n1"),
        action("drain", 14, 15, "drain node/n2", round_=2),
    )

    assert [s.round for s in found] == [1]


def test_a_rollouts_patch_is_a_step_on_its_workload():
    found = taken(action("set-image", 10, 10.1, "set-image app=shop/web:2 deployment/web"))

    assert [(s.verb, s.target, s.status, s.refusal) for s in found] == [("patch", "deployment/web", 200, "")]


def test_a_patch_without_an_answer_is_not_said_to_have_been_taken():
    (found,) = taken(action("undo", 10, 10.1, "undo deployment/web to revision 3", status=None))

    assert (found.target, found.status, found.refusal) == ("deployment/web", None, "other")


def test_a_command_begins_and_ends_with_its_code():
    found = taken(action("command", 10, 12, "helm upgrade web .", status=3))

    assert [(s.verb, s.target, s.status) for s in found] == [
        ("run", "helm upgrade web .", None),
        ("exit", "helm upgrade web .", 3),
    ]
    assert found[1].at_ns == ns(12)


def test_a_pod_that_was_replaced_is_gone_when_its_object_is():
    story = Story().pods(1).restart(at=10).delete("old-1", at=12, exit_after=0.5).end(at=20)
    found = taken(story=story)

    assert [(s.verb, s.target) for s in found] == [("patch", "deployment/web"), ("gone", "pod/old-1")]
    assert found[1].at_ns > ns(12)


def test_only_watching_is_no_step():
    assert taken(action("none", 10, 10, "watch deployment/web", status=0)) == ()
