"""Binds of unchanged programs: the wildcard of each is its pod's address."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from kubelets import ENV, warden_in

from rollcheck.sandbox import binding
from rollcheck.sandbox.warden import Command

pytestmark = pytest.mark.skipif(not binding.supported, reason="the system has no seccomp user notification")

PYTHON = [sys.executable, "-I", "-S", "-c"]
FOUR = "import socket; print(socket.create_server(('', {port})).getsockname()[:2])"
SIX = FOUR.replace("))", "), family=socket.AF_INET6, dualstack_ipv6=True)", 1)


def names(folder: Path, code: str, **how: Any) -> str:
    """What a program prints that runs as a container with the address 127.8.8.8, where 80 stands for 10080."""

    async def main() -> str:
        async with warden_in(folder / "s") as warden:
            done = await warden.execute(
                Command(
                    argv=[*PYTHON, code],
                    env=ENV,
                    folder=folder,
                    capture=True,
                    **{"bind": ("127.8.8.8", {80: 10080}), **how},
                )
            )
            return done.output.strip()
        raise AssertionError

    return trio.run(main)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (FOUR.format(port=8080), "('127.8.8.8', 8080)"),
        (FOUR.format(port=80), "('127.8.8.8', 10080)"),
        (SIX.format(port=8080), "('::ffff:127.8.8.8', 8080)"),
        ("import socket; print(socket.create_server(('127.0.0.1', 0)).getsockname()[0])", "127.0.0.1"),
        ("import socket; print(socket.create_server(('', 0)).getsockname()[0])", "0.0.0.0"),
    ],
)
def test_a_wildcard_with_a_port_is_the_pods_address_and_nothing_else_is_touched(
    tmp_path: Path, code: str, expected: str
) -> None:
    assert names(tmp_path, code) == expected


def test_threads_and_children_of_a_container_are_answered_too(tmp_path: Path) -> None:
    thread = (
        f"import threading; t = threading.Thread(target=lambda: exec({FOUR.format(port=8080)!r})); t.start(); t.join()"
    )
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-S', '-c', {FOUR.format(port=8081)!r}])"

    assert names(tmp_path, thread) == "('127.8.8.8', 8080)"
    assert names(tmp_path, child) == "('127.8.8.8', 8081)"


TAKEN = """
import errno, socket
first, second = socket.create_server(('127.8.8.8', 8081)), socket.socket()
try:
    second.bind(('', 8081))
except OSError as e:
    print(errno.errorcode[e.errno])
"""


def test_a_port_that_is_taken_is_refused_as_ever(tmp_path: Path) -> None:
    assert names(tmp_path, TAKEN) == "EADDRINUSE"


def test_without_a_place_binds_are_left_alone(tmp_path: Path) -> None:
    assert names(tmp_path, FOUR.format(port=0), bind=None).startswith("('0.0.0.0', ")


def test_two_containers_listen_on_the_same_wildcard_and_port(tmp_path: Path) -> None:
    code = FOUR.format(port=8099).replace("print(", "s = ").rstrip(")").replace(".getsockname()[:2]", "")
    waiting = f"{code}; print('up', flush=True); import time; time.sleep(60)"

    async def main() -> None:
        async with warden_in(tmp_path / "s") as warden:
            for n in (1, 2):
                log = tmp_path / f"log{n}"
                bind = (f"127.8.8.{n}", {})
                await warden.spawn(Command(argv=[*PYTHON, waiting], env=ENV, folder=tmp_path, log=log, bind=bind))
            with trio.fail_after(10):
                while not all(b"up" in (tmp_path / f"log{n}").read_bytes() for n in (1, 2)):
                    await trio.sleep(0.02)
            for n in (1, 2):
                stream = await trio.open_tcp_stream(f"127.8.8.{n}", 8099)
                await stream.aclose()

    trio.run(main)
