"""A whole run on a terminal: what is drawn while it goes on, and what is left of it."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.loopback


@contextmanager
def on_a_terminal(stand, *more):
    """rollcheck run, its stderr a terminal; gives back the process and the terminal's other end."""
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    env = {name: value for name, value in os.environ.items() if name != "CI"} | {"TERM": "xterm-256color"}
    argv = [sys.executable, "-m", "rollcheck", *stand.argv(*more)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=inner, env=env)
    os.close(inner)
    try:
        yield process, outer
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        os.close(outer)


def everything(process, outer, seconds=60.0):
    """What came to the terminal until the run had ended."""
    data, until = b"", time.monotonic() + seconds
    while time.monotonic() < until:
        if select.select([outer], [], [], 0.1)[0]:
            try:
                data += os.read(outer, 65536)
            except OSError:  # the other end is closed
                break
        elif process.poll() is not None:
            break
    return data


def test_a_run_on_a_terminal_is_drawn_and_leaves_its_words_and_its_summary(stand):
    stand.cluster.end_s = 1.0
    with on_a_terminal(stand, "--baseline", "2") as (process, outer):
        drawn = everything(process, outer)
        code, out = process.wait(10), process.stdout.read()

    assert code in (0, 1, 3)  # how busy the machine of the tests is must not decide here
    assert b"Pods (" in drawn
    assert b"\xe2\x97\x8f" in drawn
    before, _, after = drawn.partition(b"\x1b[?1049l")
    assert b"\x1b[?1049h" in before
    assert b"replacement: until every old pod is gone" in after
    assert b"Requests, whole run" in out


def test_where_no_view_is_wanted_there_are_plain_lines(stand):
    with on_a_terminal(stand, "--no-live") as (process, outer):
        drawn = everything(process, outer)
        process.stdout.read()

    assert b"\x1b[" not in drawn
    assert b"baseline: " in drawn
