"""The same steps on the sandbox and on a real cluster: a watcher sees the same.

What a real Kubernetes 1.34 showed is kept in `recorded` (made by `record.py`); the sandbox is held to it here, and with
`make cluster-test` the cluster that KUBECONFIG names is, too: so that what is recorded stays true.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import trio

from rollcheck.sandbox.child import owned
from rollcheck.sandbox.settings import Settings
from tests.sandbox.conformance.differences import DIFFERENCES
from tests.sandbox.conformance.stories import STORIES
from tests.sandbox.conformance.telling import essence
from tests.sandbox.conformance.watching import play

RECORDED = Path(__file__).parent / "recorded"
NAMES = [story.__name__ for story in STORIES]
PARTS = ("pods", "endpoints", "events", "conditions", "answers")
SLOW = ("a_prestop_hook", "a_shell_that_swallows_sigterm", "a_grace_that_is_shortened")
FLAPPING = ("an_app_that_crashes", "a_liveness_probe_that_fails")
AT_ONCE = 4
TOLERANCE_S = 2.0
"""How much longer or shorter a pod may live after its deletion: real kubelets look once a second."""


def recorded(name):
    return json.loads((RECORDED / f"{name}.json").read_text())


def written(name, seen, part):
    """A part of a story, a line for each object's."""
    found = essence(seen, slow=name in SLOW, flapping=name in FLAPPING)[part]
    if isinstance(found, dict):
        return [f"{kind}: {json.dumps(each)}" for kind, stories in sorted(found.items()) for each in stories]
    return [json.dumps(each) for each in found]


def expected(name, part):
    """What the sandbox has to show: what the cluster showed, but for the known differences."""
    lines = written(name, recorded(name), part)
    for difference in DIFFERENCES:
        if (difference.story, difference.part) == (name, part):
            changed = [line.replace(difference.real, difference.sandbox) for line in lines]
            assert changed != lines, f"the cluster does not show this any more: {difference}"
            lines = changed
    return lines


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Every story, some at the same time, in one sandbox."""
    seen = {}

    async def one(kubeconfig, story, limit):
        async with limit:
            seen[story.__name__] = await play(kubeconfig, story)

    async def everything(kubeconfig):
        limit = trio.CapacityLimiter(AT_ONCE)
        async with trio.open_nursery() as nursery:
            for story in STORIES:
                nursery.start_soon(one, kubeconfig, story, limit)

    with owned(Settings(folder=tmp_path_factory.mktemp("conformance") / "box")) as box:
        trio.run(everything, box.kubeconfig)
    return seen


@pytest.mark.loopback
@pytest.mark.skipif(sys.platform != "linux", reason="each pod has an address of its own")
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", NAMES)
def test_the_sandbox_shows_what_the_cluster_showed(played, name, part):
    assert written(name, played[name], part) == expected(name, part)


@pytest.mark.loopback
@pytest.mark.skipif(sys.platform != "linux", reason="each pod has an address of its own")
@pytest.mark.parametrize("name", NAMES)
def test_pods_of_the_sandbox_live_as_long_after_their_deletion_as_on_the_cluster(played, name):
    ours, theirs = played[name]["gone_after_s"], recorded(name)["gone_after_s"]

    assert len(ours) == len(theirs)
    assert all(abs(a - b) <= TOLERANCE_S for a, b in zip(ours, theirs, strict=True)), (ours, theirs)


@pytest.mark.cluster
@pytest.mark.parametrize("story", STORIES, ids=NAMES)
def test_the_cluster_still_shows_what_was_recorded(story):
    seen = trio.run(play, os.environ["KUBECONFIG"], story)

    for part in PARTS:
        assert written(story.__name__, seen, part) == written(story.__name__, recorded(story.__name__), part)
