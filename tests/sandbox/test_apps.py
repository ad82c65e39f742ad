"""The bundled programs: what a client meets while they start, serve and end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rollcheck.sandbox.apps import python as python_app
from rollcheck.sandbox.apps.web import Share, read_request, read_settings, real_port

APPS = Path(__file__).parents[2] / "rollcheck" / "sandbox" / "apps"
HOST = "127.0.0.1"


def free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


class App:
    """A bundled program that runs, and a port of it."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), timeout=10)

    def signal(self, number: int) -> None:
        """Send a signal, and wait until the program says that it has it."""
        self.process.send_signal(number)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def code(self) -> int:
        return self.process.wait(10)


@contextmanager
def running(app: str, *args: str, program: str = "", **env: str) -> Iterator[App]:
    port = free_port()
    given = {
        "POD_IP": HOST,
        "PORT": str(port),
        "ROLLCHECK_PROGRAM": program or app,
        "START_AFTER": "0",
        "LISTEN_AFTER": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", str(APPS / f"{app}.py"), *args],
        env={**os.environ, **given, **env},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()  # it says that it listens
        yield App(process, port)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def get(client: socket.socket, path: str = "/") -> bytes:
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return receive(client)


def receive(client: socket.socket) -> bytes:
    """One answer with a length, or what came until the end."""
    data = b""
    while more := client.recv(65536):
        data += more
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        ]
        if lengths and len(body) >= lengths[0]:
            break
    return data


def is_over(client: socket.socket) -> str:
    """How the other side ended: fin or rst."""
    try:
        return "fin" if client.recv(65536) == b"" else "data"
    except ConnectionResetError:
        return "rst"


def refused(app: App) -> bool:
    try:
        app.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_it_answers_on_a_kept_connection_and_names_its_pod() -> None:
    with running("web", POD_NAME="web-1", BODY="hello", DELAY_MS="0") as app, app.connect() as client:
        first = get(client)
        client.sendall(b"HEAD / HTTP/1.1\r\nConnection: close\r\n\r\n")
        second = client.recv(65536)

        assert first.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"X-Pod-Name: web-1\r\n" in first
        assert b"Connection: keep-alive\r\n" in first
        assert first.endswith(b"\r\n\r\nhello\n")
        assert second.endswith(b"\r\n\r\n")


def test_the_healthy_path_waits_for_readiness_and_nothing_else() -> None:
    with running("web", READY_AFTER="60", DELAY_MS="0") as app, app.connect() as client:
        assert get(client, "/healthz").startswith(b"HTTP/1.1 503")
        assert get(client).startswith(b"HTTP/1.1 200")


def test_a_share_of_answers_fails_evenly() -> None:
    with running("web", FAIL_RATE="0.25", DELAY_MS="0") as app, app.connect() as client:
        statuses = [get(client).split()[1] for _ in range(8)]

        assert statuses == [b"200", b"200", b"200", b"500"] * 2


def test_settings_may_be_arguments() -> None:
    with running("web", "--fail-rate=1", "--delay-ms", "0") as app, app.connect() as client:
        assert get(client).startswith(b"HTTP/1.1 500")


def test_an_idle_connection_is_closed_after_its_time() -> None:
    with running("web", KEEPALIVE_IDLE="0.2", DELAY_MS="0") as app, app.connect() as client:
        get(client)

        assert is_over(client) == "fin"


def test_exit_drops_what_is_under_way() -> None:
    with running("web", ON_TERM="exit", DELAY_MS="5000") as app, app.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        time.sleep(0.1)
        app.signal(signal.SIGTERM)

        assert is_over(client) in ("fin", "rst")
        assert app.code() == 143


def test_ignore_outlives_sigterm() -> None:
    with running("web", ON_TERM="ignore", DELAY_MS="0") as app, app.connect() as client:
        app.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)

        assert get(client).startswith(b"HTTP/1.1 200")
        assert app.process.poll() is None


def test_drain_finishes_what_is_under_way_and_says_close() -> None:
    with running("web", ON_TERM="drain", DRAIN_WAIT="0.3", DELAY_MS="200") as app, app.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        time.sleep(0.05)
        app.signal(signal.SIGTERM)

        assert b"Connection: close" in receive(client)
        with app.connect() as late:
            assert b"Connection: close" in get(late)
        assert is_over(client) == "fin"
        client.close()
        assert app.code() == 0
        assert refused(app)


def test_pinned_says_nothing_and_cuts_the_kept_connection() -> None:
    with running("web", ON_TERM="pinned", DRAIN_WAIT="0.3", DELAY_MS="0") as app, app.connect() as client:
        get(client)
        app.signal(signal.SIGTERM)

        assert b"Connection: keep-alive" in get(client)
        assert is_over(client) in ("fin", "rst")
        assert app.code() == 0


def test_wait_serves_on_and_then_is_gone() -> None:
    with running("web", ON_TERM="wait", DRAIN_WAIT="0.3", DELAY_MS="0") as app, app.connect() as client:
        app.signal(signal.SIGTERM)

        assert b"Connection: keep-alive" in get(client)
        assert app.code() == 143


def test_it_crashes_when_told_to() -> None:
    with running("web", CRASH_AFTER="0.1") as app:
        assert app.code() == 1


def test_a_page_larger_than_the_socket_takes_arrives_whole() -> None:
    body = "x" * 100_000
    with running("web", BODY=body, DELAY_MS="0", DRAIN_WAIT="0") as app, app.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        time.sleep(0.2)

        assert receive(client).endswith(body.encode() + b"\n")


def test_wordpress_is_a_page_of_apache() -> None:
    with running("web", program="apache2", DELAY_MS="0") as app, app.connect() as client:
        page = get(client)

        assert b"Server: Apache/2.4" in page
        assert b"<title>A blog</title>" in page
        assert b"X-Pod-Name" not in page


def test_apache_ends_at_once_on_sigterm_with_code_zero() -> None:
    with running("web", program="apache2", DELAY_MS="5000") as app, app.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        time.sleep(0.1)
        app.signal(signal.SIGTERM)

        assert is_over(client) in ("fin", "rst")
        assert app.code() == 0


def test_apache_finishes_what_is_under_way_on_sigwinch_and_takes_nothing_new() -> None:
    with running("web", program="apache2", DELAY_MS="600") as app, app.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        time.sleep(0.1)
        app.signal(signal.SIGWINCH)
        time.sleep(0.2)

        assert refused(app)
        assert receive(client).startswith(b"HTTP/1.1 200")
        client.close()
        assert app.code() == 0


def test_mariadb_greets_and_denies_and_ends_well() -> None:
    with running("mariadb") as app, app.connect() as client:
        greeting = client.recv(4096)
        client.sendall(b"\x01\x00\x00\x01\x00")

        assert int.from_bytes(greeting[:3], "little") == len(greeting) - 4
        assert greeting[4:5] == b"\x0a"
        assert b"Access denied" in client.recv(4096)
        app.process.send_signal(signal.SIGTERM)
        assert app.code() == 0


def test_pause_ends_well() -> None:
    process = subprocess.Popen([sys.executable, "-I", "-S", str(APPS / "pause.py")])
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)

    assert process.wait(10) == 0


def test_a_setting_that_is_none_is_named() -> None:
    with pytest.raises(SystemExit, match="ON_TERM is 'leave'"):
        read_settings(["web"], {"ON_TERM": "leave"})
    with pytest.raises(SystemExit, match="--speed is no setting"):
        read_settings(["web", "--speed", "1"], {})


def test_apaches_own_flags_are_ignored() -> None:
    assert read_settings(["/usr/sbin/apache2", "-DFOREGROUND"], {})["PORT"] == "80"


def test_run_by_a_python_that_has_a_name_in_the_image_it_is_the_plain_server() -> None:
    assert read_settings(["python3"], {})["PORT"] == "8080"


@pytest.mark.parametrize(("ports", "real"), [("", 80), ("80=10080", 10080), ("8080=1,80=2", 2), ("8080=1", 80)])
def test_a_port_is_bound_where_the_pod_has_it(ports: str, real: int) -> None:
    assert real_port("80", ports) == real


def test_a_share_is_spread_evenly() -> None:
    share = Share(0.4)

    assert [share.next() for _ in range(10)] == [False, False, True, False, True] * 2


REQUEST = b"POST /x HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"


def test_a_request_is_read_once_it_is_whole_wherever_it_is_cut() -> None:
    for cut in range(len(REQUEST)):
        assert read_request(REQUEST[:cut]) is None

    assert read_request(REQUEST + b"GET") == (b"POST", b"/x", True, len(REQUEST))


@pytest.mark.parametrize(
    "bad", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"x" * 70000]
)
def test_what_is_no_request_is_refused(bad: bytes) -> None:
    with pytest.raises(ValueError, match=r"values|chunked|no end"):
        read_request(bad)


@pytest.mark.parametrize(
    ("family", "address", "expected"),
    [
        (socket.AF_INET, ("", 80), ("127.1.1.1", 10080)),
        (socket.AF_INET, ("0.0.0.0", 8080), ("127.1.1.1", 8080)),
        (socket.AF_INET, ("127.0.0.1", 80), ("127.0.0.1", 80)),
        (socket.AF_INET6, ("::", 80, 0, 0), ("::ffff:127.1.1.1", 10080, 0, 0)),
        (socket.AF_UNIX, "/tmp/x", "/tmp/x"),
    ],
)
def test_a_wildcard_is_the_pods_address(family: int, address: object, expected: object) -> None:
    assert python_app.real_address(family, address, "127.1.1.1", {"80": 10080}) == expected


def run_python(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", str(APPS / "python.py"), *args],
        env={**os.environ, **env},
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_python_runs_files_code_and_modules_as_main(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("WORD = 'beside'\n")
    (tmp_path / "main.py").write_text(
        "import sys, beside\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n"
        "print(__name__, sys.argv[1:], beside.WORD, A(1), __file__ == sys.argv[0])\n"
    )

    assert run_python(str(tmp_path / "main.py"), "a").stdout == "__main__ ['a'] beside A(x=1) True\n"
    assert run_python("-u", "-c", "import sys; print(__name__, sys.argv)", "b").stdout == "__main__ ['-c', 'b']\n"
    assert run_python("-m", "json.tool", "--help").stdout.startswith("usage:")


def test_python_ends_as_python_does(tmp_path: Path) -> None:
    assert run_python("-c", "import sys; sys.exit(3)").returncode == 3
    assert run_python(str(tmp_path / "none.py")).returncode == 2
    failed = run_python("-c", "1/0")

    assert failed.returncode == 1
    assert "ZeroDivisionError" in failed.stderr


def test_two_pythons_serve_the_same_port_at_their_own_addresses() -> None:
    code = (
        "import http.server,sys\n"
        "server = http.server.ThreadingHTTPServer(('', 8000), http.server.SimpleHTTPRequestHandler)\n"
        "print(server.server_address[0], flush=True)\nsys.stdin.read()\n"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("only 127.0.0.1 answers here")
    processes = [
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(APPS / "python.py"), "-c", code],
            env={**os.environ, "POD_IP": ip},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for ip in ("127.9.9.1", "127.9.9.2")
    ]
    try:
        assert [process.stdout.readline() for process in processes] == ["127.9.9.1\n", "127.9.9.2\n"]  # type: ignore[union-attr]
    finally:
        for process in processes:
            process.communicate("")


@pytest.mark.parametrize("app", ["web", "mariadb", "pause", "python"])
def test_a_program_loads_few_modules_to_start_quickly(app: str) -> None:
    code = f"import sys, importlib.util as u; s = u.spec_from_file_location('app', {str(APPS / app)!r} + '.py')\n"
    code += "m = u.module_from_spec(s); s.loader.exec_module(m); print(*sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, check=True, text=True).stdout

    assert set(out.split()).isdisjoint(
        {"re", "json", "dataclasses", "typing", "pathlib", "subprocess", "asyncio", "inspect"}
    )
