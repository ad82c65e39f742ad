"""No ready endpoint at all (11, 12, 13), stuck rollouts (20), restarts in place (18, 27)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rollcheck.analyze.analysis import analyse
from rollcheck.analyze.causes.outage import fenceposts
from rollcheck.facts.attempts import Lane, Outcome, Phase
from rollcheck.facts.clock import SECOND
from rollcheck.facts.cluster import Condition, PodSeen, Probe, SliceSeen
from rollcheck.facts.connections import ClosedBy
from rollcheck.facts.document import Document
from rollcheck.render.result import render_result
from rollcheck.render.schema import Result
from tests.analyze.builders import Story, pod_spec
from tests.analyze.causes.told import cause, container, modes, patch, told

AWAIT = Phase.AWAIT


def single(count: int = 1, *, drains: float = 2.0, **kwargs) -> Story:
    """Every old pod is deleted at 10.1; the new ones join at 14.0."""
    story = Story(qps=40, **kwargs).pods(count).restart(at=10)
    for number in range(1, count + 1):
        story.delete(f"old-{number}", at=10.1, exit_after=drains)
        story.new_pod(f"new-{number}", created=10.2, ready=14.0)
    return story.end(at=45)


def no_surge(**kwargs) -> Story:
    return single(max_surge="0", max_unavailable="1", **kwargs)


# 11, 12, 13


def test_one_replica_that_may_be_unavailable_is_an_outage_by_strategy():
    assert modes(no_surge().lose(Lane.FRESH, 12.1, 14.5)) == {11: 48}


def test_one_replica_with_both_rounded_to_nothing_is_forced_unavailable():
    story = single(max_surge="0", max_unavailable="25%").lose(Lane.FRESH, 12.1, 14.5)

    assert modes(story) == {12: 48}


def test_recreate_is_an_outage_by_strategy_with_any_number_of_replicas():
    story = single(3, strategy="Recreate", max_surge="", max_unavailable="").lose(Lane.FRESH, 12.1, 14.5)

    assert modes(story) == {13: 48}


def test_all_replicas_may_be_unavailable_at_a_hundred_percent():
    assert modes(single(3, max_surge="0", max_unavailable="100%").lose(Lane.FRESH, 12.1, 14.5)) == {11: 48}


def test_what_a_proxy_did_not_learn_yet_after_the_new_pod_joined_belongs_to_the_outage():
    assert modes(no_surge().lose(Lane.FRESH, 14.2, 15.5)) == {11: 26}


def test_refusals_long_after_the_new_pod_joined_are_no_outage():
    assert modes(no_surge().lose(Lane.FRESH, 20.0, 20.5)) == {-1: 10}


def test_resets_and_time_outs_inside_the_outage_belong_to_it():
    story = no_surge().fail(Lane.REUSED, 12.09, AWAIT, Outcome.RESET, took=0.02)

    assert modes(story.fail(Lane.FRESH, 12.5, Phase.CONNECT, Outcome.TIMEOUT, took=5.0)) == {11: 2}


def test_a_surge_leaves_no_moment_without_a_pod_so_the_strategy_is_not_blamed():
    story = Story(qps=40, max_surge="1", max_unavailable="0").pods(1).restart(at=10)
    story.new_pod("new-1", created=10.1, ready=12.0).delete("old-1", at=12.1, exit_after=0.2, code=143).end(at=45)

    assert list(modes(story.lose(Lane.FRESH, 12.3, 13.0))) == [1]


def test_a_strategy_that_keeps_a_pod_is_not_blamed_for_pods_that_somebody_deleted_at_once():
    story = single(3, max_surge="1", max_unavailable="0").lose(Lane.FRESH, 12.1, 14.5)

    assert not {11, 12, 13} & modes(story).keys()


@pytest.mark.parametrize("status", [502, 503, 404])
def test_an_ingress_without_a_backend_answers_with_its_own_status(status):
    story = no_surge(named=False, header={"route": "ingress"})

    assert modes(story.lose(Lane.FRESH, 12.1, 14.5, AWAIT, Outcome.BAD_STATUS, status=status)) == {11: 48}


def test_an_exit_at_once_is_named_beside_the_outage():
    found = cause(no_surge(drains=0.1).lose(Lane.FRESH, 10.3, 14.5), 11)

    assert 1 in dict(found.competing)


def test_the_evidence_of_an_outage_has_its_span_and_the_rounding():
    text = " ".join(cause(single(max_surge="0", max_unavailable="25%").lose(Lane.FRESH, 12.1, 14.5), 12).evidence)

    assert "no ready endpoint +0.1" in text
    assert "maxUnavailable 25% → 0" in text


def test_the_fix_of_one_replica_is_two_with_a_surge():
    assert patch(cause(no_surge().lose(Lane.FRESH, 12.1, 14.5), 11).fix) == {
        "spec": {
            "replicas": 2,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        }
    }


def test_the_fix_of_recreate_leaves_the_number_of_replicas_alone():
    story = single(3, strategy="Recreate", max_surge="", max_unavailable="").lose(Lane.FRESH, 12.1, 14.5)

    assert "replicas" not in patch(cause(story, 13).fix)["spec"]


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (1, "25%", "25%", (1, 0, False)),
        (3, "25%", "25%", (1, 0, False)),
        (6, "25%", "25%", (2, 1, False)),
        (3, "0", "25%", (0, 1, True)),
        (3, "0%", "0%", (0, 1, True)),
        (4, "0", "25%", (0, 1, False)),
        (1, "0", "1", (0, 1, False)),
        (3, "", "", (1, 0, False)),
    ],
)
def test_surge_is_rounded_up_and_unavailable_down(replicas, surge, unavailable, expected):
    posts = fenceposts(replicas, surge, unavailable)

    assert (posts.surge, posts.unavailable, posts.forced) == expected


# 20


def test_a_new_pod_whose_image_cannot_be_pulled_is_a_stuck_rollout_that_lost_nothing():
    story = (
        Story(qps=40).pods(3).restart(at=10).new_pod("new-1", created=10.1, never_ready="ImagePullBackOff").end(at=45)
    )

    assert modes(story) == {20: 0}
    assert "ImagePullBackOff" in cause(story, 20).summary


def test_a_deadline_that_passed_is_a_stuck_rollout():
    failed = Condition(type="Progressing", status="False", reason="ProgressDeadlineExceeded", message="too long")
    story = Story(qps=40).pods(2).restart(at=10).workload(at=20.0, conditions=(failed,)).end(at=45)

    assert modes(story) == {20: 0}


def test_a_rollout_that_came_to_its_end_is_not_stuck():
    assert modes(Story(qps=40).graceful_rollout(10.0, pods=2).end(at=45)) == {}


def test_a_new_pod_that_is_only_just_starting_at_the_end_is_not_stuck():
    story = (
        Story(qps=40).pods(2).restart(at=10).new_pod("new-1", created=43.0, never_ready="ContainerCreating").end(at=45)
    )

    assert modes(story) == {}


def test_the_outage_of_a_recreate_that_never_ends_names_the_stuck_rollout():
    story = Story(qps=40, strategy="Recreate", max_surge="", max_unavailable="").pods(1).restart(at=10)
    story.delete("old-1", at=10.1, exit_after=0.2).new_pod("new-1", created=11.0, never_ready="ErrImagePull").end(at=45)
    causes, left = told(story.lose(Lane.FRESH, 10.4, 45.0))

    assert left == ()
    assert {c.mode for c in causes} == {13, 20}
    assert 20 in dict(causes[0].competing)


# 18, 27


def restarted(*, liveness_event: bool = False) -> Story:
    """old-1's container restarts at 20.0 without a deletion, and refuses for a second."""
    spec = pod_spec(liveness=Probe(kind="http", detail="/live"))
    story = Story(qps=40, spec=spec).pods(2).restart(at=10).end(at=45).change("old-1", restarts=[20.0])
    if liveness_event:
        text = "Container web failed liveness probe, will be restarted"
        story.event("Killing", at=19.5, uid="uid-old-1", name="old-1", message=text)
    return story.lose(Lane.FRESH, 20.0, 20.9)


def test_a_container_restarted_by_its_liveness_probe_is_the_cause():
    assert modes(restarted(liveness_event=True)) == {18: 18}


def test_a_restart_without_a_failed_probe_is_not_the_liveness_probe():
    assert 18 not in modes(restarted())


def test_the_liveness_probe_that_fixes_it_is_looser():
    probe = container(cause(restarted(liveness_event=True), 18).fix)["livenessProbe"]

    assert probe == {"failureThreshold": 6, "timeoutSeconds": 5}


def out_of_memory() -> Document:
    """The same restart, for want of memory."""
    document = restarted().document()
    facts = tuple(
        replace(f, containers=tuple(replace(c, last_reason="OOMKilled") for c in f.containers))
        if isinstance(f, PodSeen) and f.containers[0].restarts
        else f
        for f in document.facts
    )
    return replace(document, facts=facts)


def test_a_container_that_ran_out_of_memory_is_the_cause():
    assert modes(out_of_memory()) == {27: 18}


# no advice


def advised(story: Story) -> tuple[int | None, int, list[str]]:
    """The recommended preStop, how many measurements there are, and what is said of there being none."""
    analysis = analyse(story.document())
    return (
        analysis.recommended_prestop_s,
        len(analysis.propagation),
        [said for said in analysis.observations if said.startswith("no preStop is recommended")],
    )


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"max_surge": "0", "max_unavailable": "100%"}, "too few replicas for maxUnavailable"),
        ({"max_surge": "0", "max_unavailable": "25%"}, "rounding forces one pod unavailable"),
        ({"strategy": "Recreate", "max_surge": "", "max_unavailable": ""}, "Recreate strategy"),
    ],
)
def test_where_no_other_pod_was_ready_no_prestop_is_recommended_and_one_sentence_says_why(options, why):
    prestop, measurements, [said] = advised(single(**options).lose(Lane.FRESH, 12.1, 14.5))

    assert (prestop, measurements) == (None, 0)
    assert why in said


def test_with_another_pod_ready_the_advice_stays():
    story = single(2).delete("old-2", at=20.1, exit_after=2.0).lose(Lane.FRESH, 12.1, 12.5)

    assert advised(story) == (5, 2, [])


def test_a_strategy_that_would_take_every_pod_away_but_did_not_leaves_the_advice():
    story = Story(qps=40, max_surge="0", max_unavailable="100%").pods(3).restart(at=10)
    story.new_pod("new-1", created=10.2, ready=12.0).delete("old-1", at=10.1, exit_after=0.2, code=143).end(at=45)

    assert advised(story)[0] == 5


def test_without_a_view_of_the_endpoints_the_strategy_alone_forbids_advice():
    document = single(strategy="Recreate", max_surge="", max_unavailable="").lose(Lane.FRESH, 12.1, 14.5).document()
    blind = replace(document, facts=tuple(f for f in document.facts if not isinstance(f, SliceSeen)))

    assert analyse(blind).recommended_prestop_s is None


def test_a_result_without_advice_is_a_valid_result():
    story = single(strategy="Recreate", max_surge="", max_unavailable="").lose(Lane.FRESH, 12.1, 14.5)
    result = json.loads(render_result(analyse(story.document())))

    assert (result["recommended_prestop_s"], result["propagation"]) == (None, [])
    assert Result.model_validate(result)


def test_why_there_is_no_advice_comes_before_every_other_remark():
    """A summary shows only the first few."""
    story = single(strategy="Recreate", max_surge="", max_unavailable="").lose(Lane.FRESH, 12.1, 14.5)
    story.connection(1, opened=2.0, closed=30.0, by=ClosedBy.PEER_IDLE).health(20, stall_ns=4 * SECOND)

    assert analyse(story.document()).observations[0].startswith("no preStop is recommended: no other pod was ready")
