"""The process that shows a run, and the feed that never waits for it."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager, suppress

import pytest

from rollcheck.cli import livefeed, progress
from rollcheck.cli.livefeed import LiveFeed
from rollcheck.cli.progress import SHOWS_AGAIN, Progressing, is_live
from rollcheck.facts.attempts import Stage
from rollcheck.facts.cluster import Change, ContainerState, Endpoint, PodSeen, SliceSeen
from rollcheck.load.progress import Progress
from rollcheck.render.livestate import LiveState

STANDING = Progress(
    scheduled=1234,
    ok=1200,
    failed=4,
    not_sent=0,
    in_flight=30,
    backlog=0,
    by_outcome={"connect/refused": 4},
    last_failures=(),
    p50_us=1500,
    p99_us=9000,
)


def pod(uid, version="1", **fields):
    return PodSeen(
        **{
            "seen_ns": 0,
            "change": Change.MODIFIED,
            "uid": uid,
            "namespace": "default",
            "name": f"web-{uid}",
            "resource_version": version,
            "owner_uid": "",
            "owner_name": "",
            "template_hash": "",
            "node": "n1",
            "ip": "10.0.0.1",
            "phase": "Running",
            "created_at": "",
            "deletion_at": "",
            "deletion_grace_s": None,
            "ready": True,
            "ready_at": "",
            "scheduled": True,
            "unready_reason": "",
            "disruption": "",
            "containers": (ContainerState(name="web", ready=True, restarts=0, state="running"),),
            "labels": {},
            **fields,
        }
    )


def slice_of(*uids):
    ends = tuple(
        Endpoint(ip="", pod_uid=uid, pod_name="", node="", ready=True, serving=True, terminating=False) for uid in uids
    )
    return SliceSeen(
        seen_ns=0,
        change=Change.MODIFIED,
        uid="s",
        namespace="default",
        name="web",
        service="web",
        resource_version="1",
        trigger_at="",
        ports=(80,),
        endpoints=ends,
    )


class Kept:
    """Instead of the process that draws: a pipe whose frames are looked at."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.state = LiveState()

    def lines(self) -> list[bytes]:
        """The frames, when no more come."""
        return self.process.stdout.read().splitlines()

    def read(self) -> LiveState:
        """The state of all frames, when no more come."""
        import json

        for line in self.lines():
            self.state.apply(json.loads(line))
        return self.state


def finish(process):
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None and not pipe.closed:
            with suppress(OSError):
                pipe.close()


@pytest.fixture
def kept(monkeypatch):
    made = Kept()
    monkeypatch.setattr(livefeed, "_start", lambda: made.process)
    yield made
    finish(made.process)


@pytest.fixture
def deaf(monkeypatch):
    """A process that reads nothing."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], stdin=subprocess.PIPE, bufsize=0)
    monkeypatch.setattr(livefeed, "_start", lambda: process)
    yield process
    finish(process)


def closed(feed):
    feed._close()


def test_what_is_told_arrives(kept):
    feed = LiveFeed("deployment/web", 100)
    feed.say("a word")
    feed.stage("baseline", 10.0)
    feed.see({"u1": pod("u1"), "u2": pod("u2")}, [slice_of("u1")])
    feed.tick(STANDING, "baseline")
    closed(feed)

    state = kept.read()
    assert (state.subject, state.asked_qps, list(state.log)) == ("deployment/web", 100, ["a word"])
    assert state.counts["scheduled"] == 1234
    assert {each.name: each.in_endpoints for each in state.pods.values()} == {"web-u1": True, "web-u2": False}


def test_a_pod_that_did_not_change_is_not_told_again(kept):
    feed = LiveFeed("", 1)
    for _ in range(3):
        feed.see({"u1": pod("u1")}, [slice_of("u1")])
    feed.see({"u1": pod("u1", "2", ready=False)}, [])
    feed.see({}, [])
    closed(feed)

    assert [line.count(b'"uid"') for line in kept.lines() if b'"pods"' in line] == [1, 1, 0]


def test_the_container_that_ended_says_how_its_pod_is():
    running = ContainerState(name="proxy", ready=True, restarts=0, state="running")
    ended = ContainerState(name="web", ready=False, restarts=0, state="terminated", exit_code=137)

    assert livefeed.pod_row("u", pod("u", containers=(running, ended)), True)["exit_code"] == 137


@pytest.mark.usefixtures("deaf")
def test_a_feed_that_nobody_reads_waits_for_nobody_and_keeps_a_bounded_number_of_words():
    feed = LiveFeed("", 1)
    feed.stage("baseline", 1)
    began = time.monotonic()
    for number in range(20_000):
        feed.tick(STANDING, "x" * 100)
        if number % 10 == 0:
            feed.say("word " * 100)

    assert time.monotonic() - began < 10
    assert feed.alive
    assert len(feed._pending) < livefeed.MOST_PENDING + 1000


def test_a_process_that_does_not_end_is_ended(deaf, monkeypatch):
    monkeypatch.setattr(livefeed, "END_WAIT_S", 0.1)
    feed = LiveFeed("", 1)
    feed.stage("baseline", 1)

    assert feed.end() is False
    assert deaf.poll() == -signal.SIGKILL


def test_a_feed_that_never_drew_ends_at_once(deaf):
    assert LiveFeed("", 1).end() is True
    assert deaf.poll() == -signal.SIGKILL


def test_lines_go_on_where_the_process_that_draws_was_killed(deaf, capsys):
    with Progressing(quiet=False, live=True) as shown:
        shown.stage(Stage.BASELINE, 1)
        deaf.kill()
        deaf.wait()
        for _ in range(3):
            shown.say("still here")

    err = capsys.readouterr().err
    assert err.startswith(SHOWS_AGAIN)
    assert "still here" in err


def test_before_the_first_stage_lines_are_plain_for_a_question_may_be_asked(kept, capsys):
    with Progressing(quiet=False, live=True) as shown:
        shown.say("checking rights")
        assert "checking rights" in capsys.readouterr().err


def test_without_a_view_a_line_now_and_then_says_how_it_stands(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    with Progressing(quiet=False) as shown:
        shown.tick(STANDING, "baseline")
        shown.see({}, [])

    assert "baseline: 1,234 requests, 1,200 ok, 4 lost, p50 1.5 ms, p99 9.0 ms" in capsys.readouterr().err


def test_quiet_says_nothing_and_starts_nothing(monkeypatch, capsys):
    monkeypatch.setattr(livefeed, "_start", lambda: pytest.fail("a process was started"))
    with Progressing(quiet=True, live=True) as shown:
        shown.stage(Stage.BASELINE, 1)
        shown.tick(STANDING, "x")
        shown.say("x")

    assert capsys.readouterr().err == ""


def test_where_no_process_can_be_had_there_are_lines(monkeypatch, capsys):
    def refuse():
        raise OSError("no more processes")

    monkeypatch.setattr(livefeed, "_start", refuse)
    with Progressing(quiet=False, live=True) as shown:
        shown.stage(Stage.BASELINE, 1)

    assert "baseline: 1 s" in capsys.readouterr().err


class Terminal:
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "wanted", "live"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "xterm", "CI": "true"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({}, True, False),
    ],
)
def test_a_view_is_drawn_on_a_terminal_that_can_show_it(monkeypatch, environment, wanted, live):
    monkeypatch.setattr(sys, "stderr", Terminal())
    for name in ("TERM", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert is_live(wanted=wanted) is live


def test_no_view_is_drawn_into_a_pipe(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)

    assert is_live(wanted=True) is False


@contextmanager
def terminal(columns, lines, monkeypatch):
    """Stderr of the process that draws is a terminal of that size; gives back its other end."""
    outer, inner = pty.openpty()
    resize(inner, columns, lines)
    monkeypatch.setenv("TERM", "xterm-256color")
    start = subprocess.Popen

    def popen(*args, **options):
        return start(*args, **{**options, "stderr": inner})

    monkeypatch.setattr(subprocess, "Popen", popen)
    try:
        yield outer, inner
    finally:
        os.close(outer)
        os.close(inner)


def resize(fd, columns, lines):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def read_until(fd, wanted, seconds=20.0):
    """What is written to the terminal until it has said `wanted`."""
    data, until = b"", time.monotonic() + seconds
    while wanted not in data:
        assert select.select([fd], [], [], max(0, until - time.monotonic()))[0], f"{wanted!r} did not come: {data!r}"
        data += os.read(fd, 65536)
    return data


def test_the_process_draws_what_it_is_told_and_leaves_the_terminal_as_it_was(monkeypatch):
    with terminal(90, 30, monkeypatch) as (outer, _):
        feed = LiveFeed("deployment/web", 100)
        feed.say("a word \x1b[2J")
        feed.stage("baseline", 10)
        feed.see({"u1": pod("u1")}, [slice_of("u1")])
        feed.tick(STANDING, "baseline")
        drawn = read_until(outer, b"web-u1")
        drawn += read_until(outer, b"1,234 due")

        assert feed.end()
        left = read_until(outer, b"a word")

    assert drawn.index(b"\x1b[?1049h") < drawn.index(b"web-u1")
    assert b"\x1b[?1049l" in left
    assert b"\x1b[?25h" in left
    assert b"\x1b[2J" not in drawn + left


def test_a_screen_that_was_resized_is_drawn_as_a_whole_in_its_new_size(monkeypatch):
    with terminal(90, 30, monkeypatch) as (outer, inner):
        feed = LiveFeed("deployment/web", 100)
        feed.stage("baseline", 1000)
        read_until(outer, b"\x1b[?2026l")
        resize(inner, 44, 9)
        picture = b""
        for _ in range(20):
            picture = read_until(outer, b"\x1b[?2026l")
            rows = picture.rpartition(b"\x1b[?2026h")[2].split(b"\n")
            if len(rows) == 9:
                break
        feed.end()

    assert len(rows) == 9


def test_signals_of_the_terminal_do_not_end_the_process_that_draws(monkeypatch):
    with terminal(90, 30, monkeypatch) as (outer, _):
        feed = LiveFeed("", 1)
        feed.stage("baseline", 10)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(feed._process.pid, number)
        read_until(outer, b"BASELINE")

        assert feed.end()


def test_the_process_ends_when_the_run_was_killed(monkeypatch):
    with terminal(90, 30, monkeypatch) as (outer, _):
        feed = LiveFeed("", 1)
        feed.stage("baseline", 10)
        read_until(outer, b"BASELINE")
        closed(feed)

        left = read_until(outer, b"\x1b[?1049l")
        assert feed._process.wait(10) == 0
    assert left
