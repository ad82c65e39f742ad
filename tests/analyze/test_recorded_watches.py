"""What a watch of a real cluster showed (Kubernetes 1.34.4, two nodes), read as timelines.

`recorded/NAME.facts.jsonl` hold the cluster's facts of one restart each, without load.
"""

from functools import cache
from pathlib import Path

import pytest

from rollcheck.analyze.analysis import analyse
from rollcheck.analyze.model import PodLife, Timeline, Verdict, latest
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.clock import SECOND
from rollcheck.facts.codec import decode_document
from rollcheck.facts.document import Document

FOLDER = Path(__file__).parent / "recorded"
NAMES = sorted(path.name.removesuffix(".facts.jsonl") for path in FOLDER.glob("*.facts.jsonl"))
REPLACED = [name for name in NAMES if name != "image-not-there"]


@cache
def recorded(name: str) -> Document:
    return decode_document((FOLDER / f"{name}.facts.jsonl").read_bytes().splitlines())


@cache
def timeline(name: str) -> Timeline:
    return build_timeline(recorded(name))


def old_pods(name: str) -> list[PodLife]:
    return [p for p in timeline(name).pods if p.generation == "old"]


@pytest.mark.parametrize("name", REPLACED)
def test_every_old_pod_has_its_deletion_killing_exit_and_end(name):
    for pod in old_pods(name):
        assert pod.deleted is not None
        assert pod.killing is not None
        assert pod.sigterm is not None
        assert pod.sigterm.exact
        assert len(pod.exits) == 1
        assert pod.gone_ns is not None
        assert pod.deleted.earliest <= pod.exits[0].seen_ns < pod.gone_ns


@pytest.mark.parametrize("name", REPLACED)
def test_new_pods_take_the_place_of_the_old_ones(name):
    new = [p for p in timeline(name).pods if p.generation == "new"]

    assert len(new) == len(old_pods(name)) > 1
    for pod in new:
        assert pod.listening is not None
        # Two watches: the endpoint of one of these pods was delivered 1.5 ms before its readiness.
        assert -SECOND / 10 < pod.in_endpoints[0].start - pod.ready[0].start < SECOND / 2
        assert (pod.deleted, pod.unready_reason) == (None, "")


@pytest.mark.parametrize("name", REPLACED)
def test_an_old_pod_leaves_the_endpoints_within_a_fifth_of_a_second_of_its_deletion(name):
    for pod in old_pods(name):
        assert pod.deleted is not None
        assert 0 <= pod.in_endpoints[-1].end - pod.deleted.seen_ns <= SECOND / 5


@pytest.mark.parametrize(
    ("name", "low", "high", "code", "killed"),
    [
        ("exit-at-once", 0, 1, 143, False),
        ("prestop-5-then-exit", 5, 5.4, 143, False),
        ("prestop-as-long-as-grace", 10, 10.4, 137, True),
        ("shell-ignores-sigterm", 8, 8.4, 137, True),
        ("recreate", 2, 2.4, 0, False),
    ],
)
def test_how_each_workload_ends(name, low, high, code, killed):
    for pod in old_pods(name):
        assert pod.took_s is not None
        assert pod.took_s[0] <= high
        assert pod.took_s[1] >= low
        assert pod.exits[0].code == code
        assert pod.killed is killed


def test_sigterm_follows_a_prestop_sleep_by_its_length():
    for pod in old_pods("prestop-5-then-exit"):
        assert pod.sigterm is not None
        assert pod.killing is not None
        assert pod.sigterm.method == "Killing event + preStop sleep 5 s"
        assert pod.sigterm.window.start >= pod.killing.earliest + 5 * SECOND
        assert pod.sigterm.window.end <= latest(pod.killing) + 5 * SECOND


def test_the_kubelets_own_last_delete_does_not_rewrite_the_grace():
    assert [p.grace_s for p in old_pods("shell-ignores-sigterm")] == [8, 8, 8]


def test_recreate_leaves_no_endpoint_for_seconds():
    steps = timeline("recreate").ready_endpoints
    empty = next(at for at, count in steps if count == 0)
    back = next(at for at, count in steps if at > empty)

    assert 3 * SECOND < back - empty < 6 * SECOND


def test_a_rolling_update_without_unavailability_never_goes_below_its_replicas():
    assert min(count for _, count in timeline("exit-at-once").ready_endpoints) == 3


def test_a_pod_whose_image_does_not_exist_is_stuck_and_nothing_is_replaced():
    (stuck,) = (p for p in timeline("image-not-there").pods if p.generation == "new")
    found = analyse(recorded("image-not-there"))

    assert stuck.unready_reason in ("ErrImagePull", "ImagePullBackOff")
    assert found.exit_code == 3
    assert "no pod was replaced" in found.reasons


@pytest.mark.parametrize("name", NAMES)
def test_without_load_nothing_is_graceful(name):
    found = analyse(recorded(name))
    killed = any(p.killed for p in found.timeline.pods)

    assert found.verdict is (Verdict.NOT_GRACEFUL if killed else Verdict.INCONCLUSIVE)
