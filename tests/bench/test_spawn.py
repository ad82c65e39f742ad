import os
import signal
import sys
import time
from pathlib import Path

import pytest

from bench.spawn import BenchError, Child, processes_of, run, workers_of

FOREVER = "import time; print('up', flush=True); time.sleep(600)"


def is_gone(pid: int) -> bool:
    """Whether it runs no more, soon; an orphan may stay a zombie until someone buries it."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
    return False


def test_a_run_gives_back_what_was_printed_and_its_code() -> None:
    spent = run(
        [sys.executable, "-c", "import sys; print('yes'); print('no', file=sys.stderr); sys.exit(3)"], limit_s=30
    )

    assert (spent.out, spent.err, spent.code) == ("yes\n", "no\n", 3)


def test_python_keeps_its_byte_code_even_where_ours_does_not(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    spent = run(
        [sys.executable, "-c", "import os, sys; print(sys.dont_write_bytecode, os.environ['X'])"],
        limit_s=30,
        env={"X": "and more"},
    )

    assert spent.out == "False and more\n"


def test_the_time_of_a_child_of_the_process_is_its_own() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}], check=True)"

    assert run([sys.executable, "-c", parent], limit_s=60).cpu_s >= 0.2


def test_a_run_that_takes_too_long_is_ended_and_named() -> None:
    with pytest.raises(BenchError, match="was not over within 0 s"):
        run([sys.executable, "-c", FOREVER], limit_s=0.2)


def test_leaving_by_an_exception_ends_the_process_and_what_it_started() -> None:
    start = f"child = subprocess.Popen([sys.executable, '-c', {FOREVER!r}])"
    parent = f"import subprocess, sys; {start}; print(child.pid, flush=True); child.wait()"
    pids: list[int] = []

    def interrupted() -> None:
        with Child([sys.executable, "-c", parent]) as child:
            while "up" not in child.said():
                child.is_over_within(0.01)
            pids.extend([child.pid, int(child.said().split()[0])])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert [is_gone(pid) for pid in pids] == [True, True]


def test_a_process_that_is_asked_to_end_tells_how_it_did() -> None:
    with Child([sys.executable, "-c", FOREVER]) as child:
        while "up" not in child.said():
            child.is_over_within(0.01)

        assert child.stop().code == -signal.SIGTERM


def test_a_process_stays_on_its_core_and_this_one_does_not() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    told = run([sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))"], limit_s=30, core=core)

    assert told.out.strip() == f"[{core}]"
    assert os.sched_getaffinity(0) == before


def test_a_tool_that_a_process_calls_is_none_of_its_workers() -> None:
    code = (
        "import os, subprocess, sys, time\n"
        "tool = subprocess.Popen(['sleep', '600'])\n"
        "print('up', flush=True)\n"
        "worker = os.fork()\n"
        "time.sleep(600)\n"
    )
    with Child([sys.executable, "-c", code], patience_s=0) as child:
        until = time.monotonic() + 10
        while len(workers := workers_of(child.pid)) < 1 and time.monotonic() < until:
            child.is_over_within(0.01)
        tools = set(processes_of(child.pid)) - {child.pid, *workers}

        assert [Path(f"/proc/{pid}/comm").read_text() for pid in tools] == ["sleep\n"]
        assert [Path(f"/proc/{pid}/comm").read_text() for pid in workers] == [
            Path(f"/proc/{child.pid}/comm").read_text()
        ]
