"""The live view, without a terminal: frames in, lines out."""

import json

import pytest
from harmful import HARMFUL
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.render.live import live_lines
from rollcheck.render.livestate import LiveState
from rollcheck.render.text import cells, clean

S = 1_000_000_000


def row(uid, **fields):
    return {
        "uid": uid,
        "name": f"web-{uid}",
        "ip": f"10.0.0.{uid.lstrip('u')}",
        "ready": True,
        "in_endpoints": True,
        "deleting": False,
        "grace_s": None,
        "state": "running",
        "reason": "",
        "exit_code": None,
        **fields,
    }


def failure(at, pod="", peer="", detail="", kind="connect/refused"):
    return {"at": at, "kind": kind, "lane": "fresh", "detail": detail, "pod": pod, "peer": peer}


def tick(at, scheduled, failed=0, failures=(), by_outcome=None, doing="replacement", **counts):
    named = {"ok": scheduled - failed, "failed": failed, "not_sent": 0, "in_flight": 0, "backlog": 0}
    return {
        "kind": "tick",
        "at": at,
        "doing": doing,
        "counts": {"scheduled": scheduled, **named, **counts},
        "by_outcome": by_outcome or ({"connect/refused": failed} if failed else {}),
        "p50_us": 1234,
        "p99_us": 56_789,
        "failures": list(failures),
    }


def pods(at, *changed, gone=()):
    return {"kind": "pods", "at": at, "changed": list(changed), "gone": list(gone)}


def stage(at, name, seconds=None):
    return {"kind": "stage", "at": at, "name": name, "seconds": seconds}


def state_of(*frames, subject="deployment/web", qps=100.0):
    state = LiveState()
    for frame in ({"kind": "begin", "at": 0, "subject": subject, "qps": qps}, *frames):
        state.apply(json.loads(json.dumps(frame)))
    return state


def text(state, now=20 * S, width=100, height=40):
    return "\n".join("".join(piece for piece, _ in line) for line in live_lines(state, width, height, now))


def line(state, begins, **size):
    return next(each for each in text(state, **size).split("\n") if each.startswith(begins))


BEGUN = (stage(0, "baseline", 10), pods(0, row("u1"), row("u2")), stage(10 * S, "replacement"))


def test_a_stage_of_known_length_says_how_much_of_it_is_left():
    assert "BASELINE > replacement > tail  7 s left of 10" in text(state_of(stage(0, "baseline", 10)), now=3 * S)


def test_a_replacement_says_what_it_waits_for():
    shown = text(state_of(*BEGUN, tick(11 * S, 100, doing="1 of 2 old pods left")), now=14 * S)

    assert "baseline > REPLACEMENT > tail  4 s, 1 of 2 old pods left" in shown


def test_the_rate_is_that_of_the_last_seconds():
    ticks = [tick(n * S, 100 * n) for n in range(5)]

    assert "asked 100/s, held 100/s" in text(state_of(*BEGUN, *ticks))


def test_a_rate_that_is_not_held_stands_out():
    lines = live_lines(state_of(*BEGUN, *[tick(n * S, 50 * n) for n in range(5)]), 100, 40, 5 * S)

    assert ("50/s", "bad") in [piece for line in lines for piece in line]


def test_errors_are_told_by_class_the_commonest_first():
    state = state_of(*BEGUN, tick(11 * S, 100, failed=5, by_outcome={"await/reset": 1, "connect/refused": 4}))

    assert line(state, "Lost") == "Lost      4 refused, 1 reset before the answer"


def test_losses_stand_in_the_column_of_their_second():
    state = state_of(*BEGUN, tick(1 * S, 10), tick(3 * S, 30, failed=2), tick(4 * S, 40, failed=10))

    assert list(state.lost_by_second) == [0, 0, 0, 2, 8]


def test_pods_that_are_there_before_the_replacement_are_old_and_later_ones_new():
    state = state_of(*BEGUN, pods(11 * S, row("u3", ready=False)), stage(15 * S, "tail", 4), pods(16 * S, row("u3")))

    assert {pod.name: pod.old for pod in state.pods.values()} == {"web-u1": True, "web-u2": True, "web-u3": False}


@pytest.mark.parametrize(
    ("changes", "track", "words"),
    [
        ([], "●○○○○", "ready"),
        ([{"in_endpoints": False}], "●○○○○", "ready, no endpoint yet"),
        ([{"ready": False}], "○○○○○", "running, not ready"),
        ([{"ready": False, "state": "waiting", "reason": "ImagePullBackOff"}], "○○○○○", "ImagePullBackOff"),
        ([{"ready": False, "state": "waiting"}], "○○○○○", "starting"),
        ([{"deleting": True, "grace_s": 30}], "●●○○○", "terminating 8 of 30 s"),
        (
            [{"deleting": True, "grace_s": 30, "in_endpoints": False}],
            "●●●○○",
            "terminating 8 of 30 s, out of endpoints",
        ),
        (
            [
                {"deleting": True, "grace_s": 30},
                {"deleting": True, "grace_s": 0, "exit_code": 143, "in_endpoints": False},
            ],
            "●●●●○",
            "terminating 8 of 30 s, out of endpoints, exited with 143",
        ),
    ],
)
def test_a_row_says_how_far_a_pod_has_come(changes, track, words):
    frames = [pods(12 * S + n, row("u1", **change)) for n, change in enumerate(changes)]

    assert line(state_of(*BEGUN, *frames), "old web-u1") == f"old web-u1        {track}  {words}"


def test_a_pod_that_is_gone_says_how_long_that_took():
    state = state_of(*BEGUN, pods(12 * S, row("u1", deleting=True, grace_s=30)), pods(14.5 * S, gone=["u1"]))

    assert line(state, "old web-u1").endswith("●●●●●  gone 2.5 s after its deletion")


def test_a_failure_names_the_pod_that_it_was_on():
    state = state_of(*BEGUN, tick(11 * S, 10, 1, [failure(11 * S, pod="web-u2", detail="ECONNREFUSED")]))

    assert "   11.00 s  fresh refused  web-u2 (ECONNREFUSED)" in text(state)


def test_a_failure_at_a_pods_address_is_its():
    assert "fresh refused  web-u2\n" in text(
        state_of(*BEGUN, tick(11 * S, 10, 1, [failure(11 * S, peer="10.0.0.2:80")]))
    )


def test_a_failure_after_a_deletion_is_suspected_to_be_of_that_pod():
    gone = pods(11 * S, row("u1", deleting=True)), pods(12 * S, row("u2", deleting=True))

    assert "fresh refused  web-u2?" in text(state_of(*BEGUN, *gone, tick(13 * S, 10, 1, [failure(12.5 * S)])))


def test_a_failure_long_after_a_deletion_is_nobodys():
    gone = pods(11 * S, row("u1", deleting=True))

    assert "fresh refused  no pod known" in text(state_of(*BEGUN, gone, tick(30 * S, 10, 1, [failure(29 * S)])))


def test_of_many_pods_those_to_whom_something_happens_have_a_row_and_the_others_are_counted():
    many = [row(f"u{n}") for n in range(200)]
    state = state_of(stage(0, "baseline", 10), pods(0, *many), stage(10 * S, "replacement"))
    state.apply(pods(11 * S, row("u150", deleting=True, grace_s=30)))

    shown = text(state, height=24)
    assert "old web-u150" in shown
    assert "Pods (200)" in shown
    rows = sum(1 for each in shown.split("\n") if each.startswith("old "))
    assert f"  and {200 - rows} more: {200 - rows} old ready" in shown


def test_what_was_said_stands_at_the_bottom():
    state = state_of(*BEGUN, *({"kind": "say", "at": 0, "text": f"word {n}"} for n in range(30)))

    assert text(state).endswith("word 29")


def test_a_frame_of_a_later_version_is_passed_over():
    assert text(state_of({"kind": "unheard-of", "at": 0})) == text(state_of())


def busy(name):
    many = [row(f"u{n}", name=f"{name}{n}", reason=name) for n in range(50)]
    lost = [failure(12 * S, pod=name, detail=name), failure(12 * S), failure(12 * S, kind=f"await/{name}")]
    return state_of(
        {"kind": "say", "at": 0, "text": name},
        stage(0, "baseline", 10),
        pods(0, *many),
        stage(10 * S, "replacement"),
        tick(11 * S, 10_000_000, 3, lost, doing=name),
        subject=name,
    )


@given(st.sampled_from(HARMFUL), st.integers(1, 250), st.integers(1, 80))
@settings(max_examples=60, deadline=None)
def test_no_size_and_no_name_makes_a_line_too_wide_or_one_too_many(name, width, height):
    lines = live_lines(busy(name), width, height, 20 * S)

    assert len(lines) <= height
    for each in lines:
        whole = "".join(piece for piece, _ in each)
        assert cells(whole) <= width
        assert whole.isprintable()


@pytest.mark.parametrize("name", HARMFUL)
def test_a_name_of_any_kind_comes_out_as_it_reads(name):
    state = state_of(pods(0, row("u1", name=name)))

    assert clean(name).strip() in text(state, width=600)


def test_even_two_lines_hold_the_stage():
    assert text(busy("web"), height=2).split("\n")[1].startswith("baseline > REPLACEMENT")
