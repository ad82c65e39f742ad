"""What the system tells of a process's signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from rollcheck.sandbox.processes import reaches_process_one

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
BLOCKS = "import signal, time; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); print(flush=True)"
FOR_A_MOMENT = f"""{BLOCKS}
end = time.monotonic() + 0.1
while time.monotonic() < end:
    pass
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
time.sleep(60)
"""
FOR_GOOD = f"{BLOCKS}; time.sleep(60)"
WAITS = f"{BLOCKS}; signal.sigwait([signal.SIGTERM])"
CATCHES = "import signal, time; signal.signal(signal.SIGTERM, print); print(flush=True); time.sleep(60)"
LEAVES_ALONE = "import time; print(flush=True); time.sleep(60)"


@contextmanager
def running(program):
    """The pid of a Python that has said that it is where it was to come to."""
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", program], stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline()
        yield process.pid
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def wait_until_asleep(pid):
    """Until the kernel can say what it waits for."""
    for _ in range(2000):
        if Path(f"/proc/{pid}/wchan").read_text() != "0":
            return
        time.sleep(0.001)
    pytest.skip("this kernel does not tell what a process waits for")


def test_a_signal_that_is_blocked_for_a_moment_only_does_not_reach_process_one():
    with running(FOR_A_MOMENT) as pid:
        assert not reaches_process_one(pid, signal.SIGTERM)


@pytest.mark.parametrize(
    ("program", "reached"),
    [(FOR_GOOD, True), (WAITS, True), (CATCHES, True), (LEAVES_ALONE, False)],
    ids=["blocks it for good", "waits for it", "catches it", "leaves it alone"],
)
def test_process_one_gets_a_signal_that_it_catches_or_waits_for(program, reached):
    with running(program) as pid:
        wait_until_asleep(pid)
        assert reaches_process_one(pid, signal.SIGTERM) is reached


def test_a_kill_always_comes_through():
    with running(LEAVES_ALONE) as pid:
        assert reaches_process_one(pid, signal.SIGKILL)
