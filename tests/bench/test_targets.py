"""The servers that judge others, judged: each is run and asked over real sockets."""

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from bench.servers import Witness, witness
from bench.targets import OK

pytestmark = pytest.mark.loopback
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def connect(server: Witness) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", urlsplit(server.url).port or 0), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def test_the_recorder_stamps_every_request_even_one_in_pieces() -> None:
    with witness("recorder") as server, connect(server) as connection:
        for piece in (REQUEST[:7], REQUEST[7:]):
            connection.sendall(piece)
        first = connection.recv(1000)
        connection.sendall(REQUEST)
        second = connection.recv(1000)
        report = server.report()

    assert first == second == OK
    assert report["requests"] == 2
    assert report["stamps"][0] == 0 < report["stamps"][1]


def test_the_stopping_server_tells_when_it_stopped_and_for_how_long() -> None:
    with witness("stopping", delay_ns=2_000_000, after_ns=20_000_000, stop_ns=150_000_000) as server:
        with connect(server) as connection:
            for _ in range(20):
                connection.sendall(REQUEST)
                assert connection.recv(1000) == OK
        report = server.report()

    assert report["stopped_after_ns"] >= 20_000_000
    assert report["stopped_ns"] >= 150_000_000
    assert report["delay_ns"] >= 2_000_000


def ask(server: Witness) -> bytes:
    """All that comes in answer to one request on a connection of its own; nothing when it was reset."""
    with connect(server) as connection:
        connection.sendall(REQUEST)
        connection.settimeout(0.2)
        try:
            return connection.recv(1000)
        except (TimeoutError, ConnectionResetError):
            return b""


def test_the_hostile_server_did_what_it_says() -> None:
    with witness("hostile", seed=1) as server:
        answers = [ask(server) for _ in range(120)]
        report: dict[str, Any] = server.report()
    done = report["done"]

    whole = done["ok"] + done["slow"] + done["ok and close"] + done["ok, then hang up"]
    assert sum(answer.endswith(b"ok\n") for answer in answers) == whole
    assert sum(b" 503 " in answer for answer in answers) == done["unavailable"]
    assert sum(answer.endswith(b"half of it") for answer in answers) == done["cut"]
    assert answers.count(b"") == done.get("drop", 0) + done.get("reset", 0) + done.get("stall", 0)


def test_the_same_seed_does_the_same_deeds() -> None:
    reports = []
    for _ in range(2):
        with witness("hostile", seed=7) as server:
            for _ in range(30):
                ask(server)
            reports.append(server.report())

    assert reports[0] == reports[1]
