"""The user's own deploy command as the trigger."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from blackbox import GRACEFUL, USAGE, Ended, assert_one_sentence
from conftest import Story
from workloads import Workload

pytestmark = pytest.mark.cluster
Tell = Callable[..., Story]


@pytest.fixture(scope="module")
def workload(tell: Tell) -> Story:
    return tell(Workload(replicas=1, env={"ON_TERM": "drain", "DRAIN_WAIT": "3"}))


@pytest.fixture
def story(workload: Story) -> Story:
    """The workload, with whatever an earlier command began come to its end."""
    workload.ns.wait_available("web")
    return workload


def said(run: Ended) -> str:
    """Everything the result says in words."""
    return " ".join([run.result.get("headline", ""), *run.result["reasons"]])


def test_a_command_that_ends_with_an_error_is_reported_with_its_code(story):
    run = story.rollcheck("--tail", "1s", command=("sh", "-c", "exit 7"))

    assert run.code != GRACEFUL, run
    assert run.result["verdict"] != "graceful", run
    assert "7" in said(run), run


def test_a_command_that_deploys_and_then_fails_is_never_graceful(story):
    deploy = f"kubectl -n {story.ns.name} rollout restart deployment/web && exit 9"

    run = story.rollcheck(command=("sh", "-c", deploy))

    assert run.code != GRACEFUL, run
    assert run.result["verdict"] != "graceful", run
    assert "9" in said(run), run


def test_a_command_that_replaces_nothing_is_never_graceful(story):
    run = story.rollcheck("--tail", "1s", "--rollout-timeout", "10s", command=("true",))

    assert run.code != GRACEFUL, run
    assert run.result["verdict"] == "inconclusive", run


def test_a_command_that_is_not_found_is_a_usage_error_and_changes_nothing(story):
    before = story.ns.generation("web")

    run = story.rollcheck(command=("no-such-deploy-tool", "--now"))

    assert run.code == USAGE, run
    assert_one_sentence(run, "no-such-deploy-tool")
    assert story.ns.generation("web") == before
