"""How new pods start, and what a deploy command of the user's own brings."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from blackbox import INCONCLUSIVE, NOT_GRACEFUL, assert_sums
from conftest import Story
from workloads import DRAINS, Workload

pytestmark = pytest.mark.cluster
Tell = Callable[..., Story]
BRIEF = {"ON_TERM": "drain", "DRAIN_WAIT": "2"}


def test_a_pod_without_readiness_probe_that_listens_late_is_named(tell: Tell):
    run = tell(Workload(env={**BRIEF, "LISTEN_AFTER": "5"}, readiness=False, replicas=2)).rollcheck()

    assert run.code == NOT_GRACEFUL, run
    assert run.modes[0] == 7, run
    assert run.lost("fresh")["connect/refused"] > 0, run
    assert_sums(run)


def test_an_image_that_does_not_exist_is_never_called_graceful(tell: Tell):
    story = tell(Workload(env=DRAINS, replicas=2))

    run = story.rollcheck(
        "--rollout-timeout",
        "20s",
        command=("kubectl", "-n", story.ns.name, "set", "image", "deployment/web", "app=rollcheck.test/nope:1"),
    )

    assert run.code == INCONCLUSIVE, run
    assert run.result["verdict"] == "inconclusive", run
    assert 20 in run.modes or any("rollout" in reason.lower() for reason in run.result["reasons"]), run
    assert_sums(run)


def test_a_new_version_that_answers_500_now_and_then_is_told_from_the_replacement(tell: Tell):
    story = tell(Workload(env=BRIEF, replicas=2))

    run = story.rollcheck(
        command=("kubectl", "-n", story.ns.name, "set", "env", "deployment/web", "FAIL_RATE=0.2"),
    )

    assert run.code == NOT_GRACEFUL, run
    assert run.modes[0] == 19, run
    assert run.lost()["await/bad_status 500"] + run.lost()["body/bad_status 500"] > 0, run


def test_a_200_with_another_body_than_expected_is_a_failure(tell: Tell):
    story = tell(Workload(env={**BRIEF, "BODY": "welcome"}, replicas=2))

    run = story.rollcheck(
        "--expect-body",
        "welcome",
        command=("kubectl", "-n", story.ns.name, "set", "env", "deployment/web", "BODY=service unavailable"),
    )

    assert run.code == NOT_GRACEFUL, run
    assert run.modes[0] == 19, run
    assert sum(n for name, n in run.lost().items() if name.endswith("/wrong_body")) == run.result["attempts"]["failed"]
