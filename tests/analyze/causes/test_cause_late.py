"""The late life of old pods: modes 1, 2, 3, 4, 6, 9, 10, 35, and where each must keep silent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollcheck.facts.attempts import Attempt, Lane, Outcome, Phase
from rollcheck.facts.cluster import PreStop
from tests.analyze.builders import Story, pod_spec, sleep
from tests.analyze.causes.told import cause, container, modes, patch, told

AWAIT, CONNECT = Phase.AWAIT, Phase.CONNECT


def rollout(**kwargs) -> Story:
    """Two old pods, the new ones ready before the first is deleted at 13.0; old-2 stays."""
    story = Story(qps=40, **kwargs).pods(2).restart(at=10)
    return story.new_pod("new-1", created=10.1, ready=12.5).end(at=45)


def exits_at_once(**kwargs) -> Story:
    """old-1 is deleted at 13.0 and gone 0.2 s later, with 143."""
    return rollout(**kwargs).delete("old-1", at=13.0, exit_after=0.2, code=143)


def with_prestop(seconds: float = 5.0, *, code: int = 143, grace: int = 30, **kwargs) -> Story:
    """old-1 is deleted at 13.0, its preStop lasts `seconds`, and it exits at once after that."""
    story = rollout(spec=pod_spec(prestop=sleep(seconds), grace=grace), **kwargs)
    return story.delete("old-1", at=13.0, exit_after=seconds + 0.2, code=code)


def lingers(*, code: int, **kwargs) -> Story:
    """old-1 is deleted at 13.0 and serves on for 5 s after SIGTERM before it exits."""
    return rollout(**kwargs).delete("old-1", at=13.0, exit_after=5.0, code=code)


def cut(story: Story, at: float, *, took: float = 0.02, age: float = 10.0, pod: str = "old-1", **fields) -> Story:
    """A request on a kept-alive connection to old-1, reset under way."""
    values = {"connection": 7, "connection_age_ns": int(age * 1e9), "pod": pod, **fields}
    outcome = values.pop("outcome", Outcome.RESET)
    return story.fail(Lane.REUSED, at, AWAIT, outcome, took=took, **values)


# 1


def test_refused_connections_at_an_exit_without_prestop_are_an_immediate_exit():
    assert modes(exits_at_once().lose(Lane.FRESH, 13.2, 14.0)) == {1: 16}


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNREACHABLE, Outcome.TIMEOUT, Outcome.RESET])
def test_whatever_keeps_a_new_connection_from_a_dead_pod_is_the_same_mode(outcome):
    assert modes(exits_at_once().fail(Lane.FRESH, 13.4, CONNECT, outcome)) == {1: 1}


def test_a_connect_that_times_out_seconds_later_is_placed_by_its_start():
    story = exits_at_once().fail(Lane.FRESH, 13.5, CONNECT, Outcome.TIMEOUT, took=5.0)

    assert modes(story) == {1: 1}


def test_requests_reset_at_an_immediate_exit_belong_to_it_too():
    story = cut(cut(exits_at_once().lose(Lane.FRESH, 13.2, 13.6), 13.18), 13.19)

    assert modes(story) == {1: 10}
    assert "2 were cut" in " ".join(cause(story, 1).evidence)


def test_refused_and_reset_are_counted_apart_in_the_evidence():
    story = cut(exits_at_once().lose(Lane.FRESH, 13.2, 13.6), 13.18)

    assert "8 connect/refused on new connections, 1 await/reset on reused connections" in cause(story, 1).evidence[0]


def test_evidence_of_an_exit_names_the_pod_with_times_from_the_trigger_and_the_method_for_sigterm():
    evidence = " ".join(cause(exits_at_once().lose(Lane.FRESH, 13.2, 13.6), 1).evidence)

    assert "pod old-1: deleted +3.00 s, left the endpoints +3.0" in evidence
    assert "SIGTERM inferred" in evidence
    assert "Killing event, no preStop" in evidence
    assert "exited with 143" in evidence


def test_a_refusal_long_after_every_proxy_knew_is_not_an_immediate_exit():
    assert modes(exits_at_once().fail(Lane.FRESH, 25.0)) == {-1: 1}


def test_a_refusal_long_before_the_first_deletion_is_not_an_immediate_exit():
    assert modes(exits_at_once().fail(Lane.FRESH, 11.5)) == {-1: 1}


def test_a_refusal_at_the_end_of_a_long_prestop_is_nothing_that_this_pod_explains():
    assert modes(with_prestop(10.0).fail(Lane.FRESH, 23.3)) == {-1: 1}


def test_a_prestop_that_is_too_short_for_the_proxies_is_still_an_early_exit_but_less_sure():
    story = with_prestop(1.0).lose(Lane.FRESH, 14.2, 14.6)

    assert modes(story) == {1: 8}
    assert cause(story, 1).confidence == "medium"


def test_a_late_connect_from_another_port_has_nothing_to_do_with_the_first_ones():
    story = exits_at_once()
    story.fail(Lane.FRESH, 13.3, CONNECT, Outcome.TIMEOUT, took=5.0, local="10.0.9.9:40001")
    story.fail(Lane.FRESH, 31.0, CONNECT, Outcome.UNREACHABLE, took=1.0, local="10.0.9.9:40002")

    assert modes(story) == {1: 1, -1: 1}


def test_late_connects_of_unknown_port_are_told_as_an_inference():
    story = exits_at_once().lose(Lane.FRESH, 13.2, 13.6, CONNECT, Outcome.TIMEOUT, took=3.0)
    found = cause(story.fail(Lane.FRESH, 31.0, CONNECT, Outcome.UNREACHABLE, took=1.0), 1)

    assert found.attempts == 9
    assert "inferred to be stale entries" in " ".join(found.evidence)
    assert 34 in dict(found.competing)


def test_more_late_connects_of_unknown_port_than_entries_were_left_are_not_taken():
    story = exits_at_once().fail(Lane.FRESH, 13.3, CONNECT, Outcome.TIMEOUT, took=3.0)
    story.lose(Lane.FRESH, 31.0, 31.3, CONNECT, Outcome.UNREACHABLE, took=1.0)

    assert modes(story) == {1: 1, -1: 6}


def test_an_exit_that_the_watch_did_not_see_leaves_the_cause_less_sure():
    story = rollout().delete("old-1", at=13.0, exit_after=None).change("old-1", gone=13.4)

    assert cause(story.lose(Lane.FRESH, 13.2, 13.6), 1).confidence == "medium"


def test_five_hundreds_of_a_named_pod_that_is_terminating_are_its_early_end():
    story = exits_at_once().fail(
        Lane.FRESH, 13.1, AWAIT, Outcome.BAD_STATUS, status=503, pod="old-1", pod_from="response"
    )

    assert modes(story) == {1: 1}


def test_a_pod_that_stops_accepting_at_sigterm_and_lives_on_is_named_not_the_one_that_exits_meanwhile():
    story = lingers(code=0).new_pod("new-2", created=13.1, ready=15.0)
    story.delete("old-2", at=15.9, exit_after=8.0, endpoint_after=1.0).lose(Lane.FRESH, 16.2, 17.0)
    found = cause(story, 1)

    assert any(line.startswith("pod old-2:") for line in found.evidence)
    assert not any(line.startswith("pod old-1:") for line in found.evidence)
    assert found.confidence == "medium"


# 4 and 6


def test_a_request_under_way_at_sigterm_after_a_prestop_is_dropped_by_the_app():
    story = cut(with_prestop(), 18.15, took=0.05)

    assert modes(story) == {4: 1}
    assert [mode for mode, _ in cause(story, 4).competing] == [6]


def test_an_exit_after_a_prestop_is_never_an_immediate_exit():
    story = cut(cut(with_prestop(), 18.15, took=0.05), 18.16, took=0.04, outcome=Outcome.CLOSED_BEFORE_RESPONSE)

    assert 1 not in modes(story)


def test_a_body_cut_short_is_under_way_too():
    story = with_prestop().fail(
        Lane.FRESH, 18.0, Phase.BODY, Outcome.TRUNCATED_BODY, took=0.2, bytes_received=900, pod="old-1"
    )

    assert modes(story) == {4: 1}


def test_a_server_that_served_on_in_order_and_cut_kept_connections_leaves_them_pinned():
    story = cut(lingers(code=0), 17.97, took=0.03)

    assert modes(story) == {6: 1}
    assert [mode for mode, _ in cause(story, 6).competing] == [4]


def test_a_server_that_served_on_and_then_died_with_an_error_drops_requests():
    assert modes(cut(lingers(code=143), 17.97, took=0.03)) == {4: 1}


def test_a_new_connection_cut_at_the_same_end_shows_that_it_was_not_the_keeping():
    story = cut(lingers(code=0), 17.97, took=0.03)
    story.fail(Lane.FRESH, 17.9, AWAIT, Outcome.RESET, took=0.1, pod="old-1")

    assert modes(story) == {4: 2}


def test_a_request_that_crossed_the_close_of_an_idle_connection_was_pinned():
    assert modes(cut(with_prestop(code=0), 18.15, took=0.001, outcome=Outcome.CLOSED_BEFORE_RESPONSE)) == {6: 1}


def test_a_reset_on_another_pod_is_not_this_pods_end():
    assert modes(cut(lingers(code=0), 17.97, took=0.03, pod="old-2")) == {-1: 1}


def test_a_reset_far_from_any_end_is_not_attributed():
    assert modes(cut(lingers(code=0), 25.0)) == {-1: 1}


def test_dropping_requests_has_no_patch_but_says_what_to_do():
    found = cause(cut(with_prestop(), 18.15, took=0.05), 4)

    assert found.fix == ""
    assert "Connection: close" in found.advice


# 2, 3, 9


def killed(*, prestop: PreStop | None = None, took: float = 8.1, command: tuple[str, ...] = (), **kwargs) -> Story:
    """old-1 with a grace of 8 s is deleted at 13.0 and killed."""
    spec = pod_spec(grace=8, prestop=prestop, command=command)
    return rollout(spec=spec, **kwargs).delete("old-1", at=13.0, exit_after=took, code=137)


def test_a_pod_killed_with_nothing_in_flight_is_a_cause_that_lost_nothing():
    found = cause(killed(), 2)

    assert found.attempts == 0
    assert "full grace of 8 s" in found.summary
    assert "137" in " ".join(found.evidence)


def test_what_the_kill_cuts_belongs_to_it():
    assert modes(cut(killed(), 21.05, took=0.05)) == {2: 1}


def test_a_reset_in_the_middle_of_the_grace_is_not_the_kill():
    assert modes(cut(killed(), 17.0)) == {2: 0, -1: 1}


def test_a_pod_out_of_memory_during_its_end_did_not_ignore_sigterm():
    story = rollout().delete("old-1", at=13.0, exit_after=0.5, code=137, reason="OOMKilled")

    assert modes(story) == {}


def test_a_pod_that_ended_by_itself_is_no_cause():
    assert modes(rollout().delete("old-1", at=13.0, exit_after=3.0)) == {}


def test_a_request_longer_than_the_grace_is_told_from_an_ignored_sigterm():
    assert modes(cut(killed(), 12.9, took=8.25)) == {3: 1}


def test_an_idle_pod_that_was_killed_too_makes_it_an_ignored_sigterm():
    story = cut(killed(), 12.9, took=8.25).new_pod("new-2", created=13.1, ready=15.0)
    story.delete("old-2", at=15.1, exit_after=8.1, code=137, grace=8)

    assert modes(story) == {2: 1}


def test_a_prestop_as_long_as_the_grace_is_why_it_was_killed():
    assert modes(killed(prestop=sleep(8), took=10.1)) == {9: 0}


def test_a_prestop_shorter_than_the_grace_is_not_why_it_was_killed():
    assert modes(killed(prestop=sleep(3))) == {2: 0}


def test_a_prestop_of_unknown_length_leaves_both_reasons_for_a_kill():
    found = cause(killed(prestop=PreStop(kind="exec", detail="/drain.sh")), 2)

    assert [mode for mode, _ in found.competing] == [9]


def test_the_grace_that_fixes_a_long_prestop_exceeds_it():
    text = cause(killed(prestop=sleep(8), took=10.1), 9).fix

    assert patch(text)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 38


def test_a_shell_in_the_template_gets_exec_before_the_app():
    found = cause(killed(command=("sh", "-c", "cd /srv && python3 app.py")), 2)

    assert container(found.fix) == {"name": "web", "command": ["sh", "-c", "cd /srv && exec python3 app.py"]}


def test_without_a_shell_in_the_template_no_patch_is_invented():
    assert cause(killed(command=("python3", "app.py")), 2).fix == ""


# 10


def failed_hook(prestop: PreStop | None = None, **kwargs) -> Story:
    """The preStop of old-1 fails, so it exits at once."""
    spec = pod_spec(prestop=prestop or PreStop(kind="exec", detail="sleep 10", sleep_s=10.0))
    story = rollout(spec=spec, **kwargs)
    return story.delete("old-1", at=13.0, exit_after=0.3, code=143, prestop_failed_after=0.1)


def test_a_hook_that_fails_takes_what_the_early_exit_loses():
    story = cut(failed_hook().lose(Lane.FRESH, 13.3, 13.6), 13.25)

    assert modes(story) == {10: 7}
    assert [mode for mode, _ in cause(story, 10).competing] == [1]


def test_a_hook_that_fails_is_told_even_when_nothing_was_lost():
    assert modes(failed_hook()) == {10: 0}


def test_a_hook_that_works_is_no_failing_hook():
    assert 10 not in modes(with_prestop().lose(Lane.FRESH, 14.2, 14.6))


def test_the_hook_that_failed_is_replaced_by_the_native_sleep():
    hook = container(cause(failed_hook(), 10).fix)["lifecycle"]["preStop"]

    assert hook == {"sleep": {"seconds": 10}, "exec": None}


def test_where_the_server_has_no_native_sleep_no_patch_is_printed_for_a_hook_that_fails():
    story = failed_hook(header={"versions": {"kubernetes": "v1.28.3"}})

    assert cause(story, 10).fix == ""


# 35


def backlog(story: Story, at: float, **fields) -> Story:
    return story.fail(Lane.FRESH, at, AWAIT, Outcome.RESET, took=0.01, connected_ns=1, connection=9, pod="", **fields)


def test_a_connection_accepted_by_the_kernel_but_never_read_is_a_lost_backlog():
    assert modes(backlog(rollout().delete("old-1", at=13.0, exit_after=3.0), 13.05)) == {35: 1}


def test_a_lost_backlog_beside_refused_connections_is_an_early_end():
    story = backlog(rollout().delete("old-1", at=13.0, exit_after=0.2), 13.05).lose(Lane.FRESH, 13.2, 13.6)

    assert list(modes(story)) == [1]


def test_what_an_app_that_died_of_sigterm_left_unread_is_not_a_backlog():
    assert modes(backlog(rollout().delete("old-1", at=13.0, exit_after=0.2, code=143), 13.05)) == {1: 1}


# fixes of 1


def test_the_fix_of_an_immediate_exit_is_a_native_sleep_of_the_real_container():
    fix = cause(exits_at_once().lose(Lane.FRESH, 13.2, 13.6), 1, prestop_s=7).fix

    assert patch(fix) == {
        "spec": {
            "template": {"spec": {"containers": [{"name": "web", "lifecycle": {"preStop": {"sleep": {"seconds": 7}}}}]}}
        }
    }


def test_an_older_server_gets_an_exec_sleep():
    story = exits_at_once(header={"versions": {"kubernetes": "v1.29.4"}}).lose(Lane.FRESH, 13.2, 13.6)

    assert container(cause(story, 1).fix)["lifecycle"]["preStop"] == {"exec": {"command": ["sleep", "5"]}}


def test_a_short_grace_is_raised_with_the_sleep():
    spec = pod_spec(grace=10)
    story = rollout(spec=spec).delete("old-1", at=13.0, exit_after=0.2, code=143).lose(Lane.FRESH, 13.2, 13.6)

    assert patch(cause(story, 1, prestop_s=8).fix)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 19


def test_without_a_measured_time_the_sleep_is_twice_what_the_losses_lasted():
    story = exits_at_once().lose(Lane.FRESH, 13.2, 16.0)

    assert container(cause(story, 1).fix)["lifecycle"]["preStop"]["sleep"]["seconds"] >= 6


# no names, other clocks, probes


@pytest.mark.parametrize("skew", [-3.0, -0.4, 0.0, 0.4, 3.0])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize(
    ("make", "at", "mode"),
    [
        (lambda **k: cut(exits_at_once(**k), 13.18), 13.18, 1),
        (lambda **k: cut(with_prestop(**k), 18.15, took=0.05), 18.15, 4),
        (lambda **k: cut(lingers(code=0, **k), 17.97, took=0.03), 17.97, 6),
        (lambda **k: cut(killed(**k), 21.05, took=0.05), 21.05, 2),
    ],
)
def test_neither_clock_skew_nor_missing_pod_names_change_the_mode(make, at, mode, named, skew):
    story = make(named=named)
    if not named:
        for loss in story.losses:
            loss.fields["pod"] = ""
    anchor = story.document().header.anchor
    story.header_fields["anchor"] = type(anchor)(
        monotonic_ns=anchor.monotonic_ns, wall_ns=anchor.wall_ns + int(skew * 1e9)
    )

    assert modes(story) == {mode: 1}


def test_a_good_probe_after_the_failure_is_evidence_that_the_service_lived():
    story = cut(with_prestop(), 18.15, took=0.05)
    seq = told(story)[0][0].seqs[0][1]
    lost = next(f for f in story.document().facts if isinstance(f, Attempt))
    story.add(replace(lost, lane=Lane.PROBE, outcome=Outcome.OK, seq=seq), at=18.21)

    found = cause(story, 4)
    assert "1 fresh probe right after: all answered, so the Service was alive" in found.evidence
