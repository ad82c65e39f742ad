"""How old pods end: each server does one thing wrong (or none), and rollcheck has to say which."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from blackbox import (
    GRACEFUL,
    NOT_GRACEFUL,
    Ended,
    assert_attributed,
    assert_graceful,
    assert_stdout_is_the_result,
    assert_sums,
    rollcheck,
)
from conftest import Story
from workloads import DRAINS, EXITS_AT_ONCE, SHELL, Workload

pytestmark = pytest.mark.cluster
Tell = Callable[..., Story]


@pytest.fixture(scope="module")
def at_once(tell: Tell) -> Story:
    return tell(Workload(env=EXITS_AT_ONCE))


@pytest.fixture(scope="module")
def at_once_run(at_once: Story) -> Ended:
    return at_once.rollcheck()


@pytest.fixture(scope="module")
def prestop_run(tell: Tell) -> Ended:
    return tell(Workload(env={**EXITS_AT_ONCE, "DELAY_MS": "50"}, prestop_s=5)).rollcheck()


@pytest.fixture(scope="module")
def drains(tell: Tell) -> Story:
    return tell(Workload(env=DRAINS))


@pytest.fixture(scope="module")
def shell_run(tell: Tell) -> Ended:
    return tell(Workload(command=SHELL, grace_s=8, replicas=2)).rollcheck()


def test_an_app_that_exits_at_once_is_not_graceful_because_of_that(at_once_run):
    assert at_once_run.code == NOT_GRACEFUL, at_once_run
    assert at_once_run.result["verdict"] == "not graceful"
    assert at_once_run.modes[0] == 1, at_once_run


def test_what_an_exit_at_once_loses_on_new_connections_is_refused_or_unreachable_and_counted(at_once_run):
    lost = at_once_run.lost("fresh")

    assert lost["connect/refused"] + lost["connect/unreachable"] + lost["connect/timeout"] > 0, at_once_run


def test_every_arrival_of_an_exit_at_once_is_accounted_for(at_once_run):
    assert_sums(at_once_run)
    assert_attributed(at_once_run)


def test_each_old_pod_is_shown_with_its_exit_and_what_clients_got_from_it(at_once_run):
    assert len(at_once_run.old_pods) == 3, at_once_run
    for pod in at_once_run.old_pods:
        assert [ended["code"] for ended in pod["exits"]] == [143], at_once_run
        assert not pod["killed"], at_once_run
        assert pod["gone_s"] > 0, at_once_run
        assert pod["sigterm"]["method"], at_once_run
        assert pod["traffic"]["answered"] > 0, at_once_run


def test_the_result_on_stdout_and_in_the_folder_are_the_same(at_once_run):
    assert_stdout_is_the_result(at_once_run)


def test_an_exit_at_once_gets_a_prestop_recommended(at_once_run):
    assert at_once_run.result["recommended_prestop_s"] >= 1, at_once_run


def test_the_document_says_the_same_again_without_a_cluster(at_once_run):
    first = (at_once_run.out / "result.json").read_bytes()

    again = rollcheck("report", str(at_once_run.out), out=at_once_run.out)

    assert again.code == NOT_GRACEFUL, again
    assert (at_once_run.out / "result.json").read_bytes() == first


TIED = 34


def assert_new_connections_are_lost_to_tied_ports_only(run: Ended) -> None:
    """Each has its own proof: the kept-alive connection that an old pod reset on the same source port just before.

    A new connection from that port goes to the dead pod for ten seconds more: the node's doing, and told apart.
    """
    tied = run.cause(TIED) if TIED in run.modes else {"attempts": 0, "lost": [], "evidence": []}

    assert sum(run.lost("fresh").values()) == tied["attempts"], run
    assert set(run.lost("fresh")) <= {"connect/timeout", "connect/unreachable"}, run
    proofs = [line for line in tied["evidence"] if line.startswith("source port")]
    assert len(proofs) == min(3, tied["attempts"]), run
    old = [pod["name"] for pod in run.old_pods]
    for proof in proofs:
        assert any(f"its connection to pod {name} was reset" in proof for name in old), run


def test_the_fix_that_is_printed_for_an_exit_at_once_saves_new_connections(tell, at_once_run):
    """On a Service of its own: what was lost on the first one leaves its source ports tied there for two minutes."""
    fix = at_once_run.cause(1)["fix"]
    assert fix, at_once_run

    again = tell(Workload(env=EXITS_AT_ONCE))
    again.ns.kubectl("patch", "deployment", "web", "--patch", fix)
    again.ns.wait_available("web")
    fixed = again.rollcheck()

    assert_new_connections_are_lost_to_tied_ports_only(fixed)
    assert 1 not in fixed.modes, fixed


def test_with_a_prestop_no_new_connection_is_lost(prestop_run):
    assert_new_connections_are_lost_to_tied_ports_only(prestop_run)
    assert_sums(prestop_run)


def test_with_a_prestop_no_longer_one_is_recommended_than_endpoints_need(prestop_run):
    """A connect from a tied port, up to ten seconds after the last pod's end, must not count as slow propagation."""
    assert 1 <= prestop_run.result["recommended_prestop_s"] < 10, prestop_run


def test_what_an_exit_after_a_prestop_cuts_is_named_as_in_flight_on_kept_alive_connections(prestop_run):
    failed = prestop_run.result["attempts"]["failed"]

    assert prestop_run.code == (NOT_GRACEFUL if failed else GRACEFUL), prestop_run
    assert set(prestop_run.modes) <= {4, 6, TIED}, prestop_run
    assert_attributed(prestop_run)


@pytest.mark.parametrize("again", [1, 2, 3])
def test_an_app_that_waits_and_drains_is_graceful_each_time(drains, again):
    run = drains.rollcheck()

    assert_graceful(run)
    assert run.modes == [], run


def test_a_shell_that_swallows_sigterm_is_not_graceful_because_of_that(shell_run):
    assert shell_run.code == NOT_GRACEFUL, shell_run
    assert 2 in shell_run.modes, shell_run
    assert set(shell_run.modes) <= {2, 4, 6, TIED}, shell_run


def test_a_pod_that_had_to_be_killed_is_shown_with_137_and_its_whole_grace(shell_run):
    assert len(shell_run.old_pods) == 2, shell_run
    for pod in shell_run.old_pods:
        assert pod["killed"], shell_run
        assert [ended["code"] for ended in pod["exits"]] == [137], shell_run
        assert pod["grace_s"] == 8, shell_run
        assert pod["took_s"][1] >= 8 >= pod["took_s"][0] - 2, shell_run


def test_the_137_and_the_grace_are_named_as_evidence(shell_run):
    cause = shell_run.cause(2)
    words = " ".join([cause["summary"], *cause["evidence"]])

    assert "137" in words, shell_run
    assert "8 s" in words, shell_run


def test_a_prestop_as_long_as_the_grace_is_named(tell):
    run = tell(
        Workload(env=EXITS_AT_ONCE, command=SHELL, prestop_s=8, prestop="exec", grace_s=8, replicas=2)
    ).rollcheck()

    assert run.code == NOT_GRACEFUL, run
    assert run.modes[0] == 9, run


def test_kept_alive_connections_pinned_to_an_old_pod_are_told_from_new_ones(tell):
    run = tell(Workload(env={"ON_TERM": "pinned", "DELAY_MS": "50", "DRAIN_WAIT": "4"})).rollcheck()

    assert run.code == NOT_GRACEFUL, run
    assert_new_connections_are_lost_to_tied_ports_only(run)
    assert 6 in run.modes, run
    assert set(run.modes) <= {4, 6, TIED}, run


def test_result_json_can_be_read_as_one_object(at_once_run):
    assert json.loads((at_once_run.out / "result.json").read_bytes())["schema"] == "rollcheck.result/1"
