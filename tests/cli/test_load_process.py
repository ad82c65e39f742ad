"""`rollcheck load` as a process: signals, pipes, what is imported when, and where it is listed."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from rollcheck.cli.loadparse import help_text
from tests.load.scripted import OK, Peer, Server

ROLLCHECK = (sys.executable, "-m", "rollcheck", "load")
TEN = ("-qps", "0", "-n", "10", "-c", "2")
LARGE = ("numpy", "hdrh", "typer", "click", "rich", "httpx", "kubernetes", "matplotlib", "pydantic", "ruamel")
WATCHED = f"""
import os, sys

def large():
    return sorted({{name.partition(".")[0] for name in sys.modules}} & set({LARGE!r}))

fork, leave = os.fork, os._exit

def forking():
    print("at the fork:", large(), file=sys.stderr, flush=True)
    return fork()

def leaving(code):
    print("in the worker:", large(), file=sys.stderr, flush=True)
    leave(code)

os.fork, os._exit = forking, leaving
from rollcheck.cli import main
main()
"""


@pytest.fixture
def asked(server: Server) -> threading.Event:
    """Set once the load proper has begun, warm-up done."""
    event = threading.Event()
    counts = []

    def script(peer: Peer) -> None:
        while peer.request():
            peer.send(OK)
            counts.append(1)
            if len(counts) > 4:
                event.set()

    server.script = script
    return event


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*ROLLCHECK, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_load_with_its_report_and_exit_code_130(server, asked, number):
    process = start("-qps", "0", "-c", "2", "-t", "0", server.url)
    assert asked.wait(60)

    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert f"INTERRUPTED: {number.name} after" in out
    assert "Code 200" in out
    assert "Traceback" not in err


def test_a_second_signal_gives_up_what_hangs(server):
    hanging = threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        hanging.set()
        peer.wait_closed()

    server.script = script
    process = start("-c", "1", "-t", "0", "-timeout", "10m", server.url)
    assert hanging.wait(60)

    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert out.startswith("INTERRUPTED: SIGINT after") or "\nINTERRUPTED: SIGINT after" in out
    assert "Traceback" not in err


def test_workers_end_when_their_parent_is_killed(server, asked):
    closed = threading.Event()
    well = server.script

    def script(peer: Peer) -> None:
        try:
            well(peer)
        finally:  # a reset is an end, too
            closed.set()

    server.script = script
    process = start("-qps", "100", "-c", "1", "-t", "0", server.url)
    assert asked.wait(60)

    process.kill()
    process.communicate(timeout=60)

    assert closed.wait(60)


def test_a_reader_that_went_away_is_met_with_silence(server, tmp_path):
    file = tmp_path / "result.json"
    with start("-qps", "0", "-n", "10", "-json", str(file), server.url) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        said = process.stderr.read()

    assert process.returncode == 141
    assert "Traceback" not in said
    assert "Exception" not in said
    assert file.exists()


def test_a_full_disk_behind_stdout_is_named(server):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [*ROLLCHECK, "-quiet", "-qps", "0", "-n", "10", server.url],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert ended.returncode == 3
    assert ended.stderr == "rollcheck: the report could not be printed: No space left on device\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "rollcheck: say what to ask: rollcheck load [FLAGS] URL"),
        (["-qsp", "5", "http://host/"], "rollcheck: there is no flag -qsp: did you mean -qps?"),
        (["-grpc", "host:8079"], "rollcheck: -grpc is not here: rollcheck load speaks HTTP"),
        (["-t", "soon", "http://host/"], "rollcheck: -t: 'soon' is no duration"),
        (["http://"], "rollcheck: 'http://' names no host"),
    ],
)
def test_a_bad_call_is_one_sentence_on_stderr_and_exit_code_2(arguments, says):
    ended = subprocess.run([*ROLLCHECK, *arguments], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(says)
    assert ended.stderr.count("\n") == 1


def test_nothing_large_is_imported_before_the_first_request_nor_ever_in_a_worker(server, tmp_path):
    asked = (*TEN, "--threshold", "p99<9s", "--report-interval", "0", "--out", str(tmp_path))
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED, "load", *asked, server.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )

    assert "All done 10 calls" in ended.stdout
    assert set(ended.stderr.splitlines()) == {"at the fork: []", "in the worker: []"}


def test_the_command_is_listed_among_all_commands():
    ended = subprocess.run([sys.executable, "-m", "rollcheck", "--help"], capture_output=True, text=True, check=True)

    assert "load" in ended.stdout


def test_help_needs_nothing_large(server):
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "rollcheck", "load", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )

    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert ended.stdout == help_text() + "\n"
    assert not imported & {*LARGE, "trio", "asyncio", "socket"}
