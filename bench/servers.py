"""nginx as the target, and a listener that never answers: on free ports of loopback, on a core of their own."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from bench.spawn import BenchError, Child

SERVER_CORE = 0
GENERATOR_CORE = 1
READY_S = 5.0

NGINX_CONF = """
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {folder}/pid;
error_log {folder}/error.log crit;
events {{ worker_connections 30000; }}
http {{
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    default_type text/plain;
    keepalive_timeout 3600;
    keepalive_requests 1000000000;
    access_log off;
    log_format one '$status';
    ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem;
    server {{ listen 127.0.0.1:{plain} backlog=4096; location / {{ return 200 "ok\\n"; }} }}
    server {{ listen 127.0.0.1:{tls} ssl; location / {{ return 200 "ok\\n"; }} }}
    server {{
        listen 127.0.0.1:{counting};
        access_log {folder}/access.log one;
        location / {{ return 200 "ok\\n"; }}
        location /no {{ return 503 "no\\n"; }}
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nginx:
    """A running nginx.

    Attributes:
        url, tls_url: where it says ok and logs nothing.
        counting_url: where it writes a line for each request; `/no` there is answered 503.
        access_log: that file.
        ca_file: the authority of its certificate.
    """

    url: str
    tls_url: str
    counting_url: str
    access_log: Path
    ca_file: Path


def free_port() -> int:
    """A port of loopback that nobody listened on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def nginx(program: str) -> Iterator[Nginx]:
    """Run nginx with one worker on the servers' core.

    Raises:
        BenchError: it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        _write_certificate(folder)
        plain, tls, counting = free_port(), free_port(), free_port()
        conf = folder / "nginx.conf"
        conf.write_text(NGINX_CONF.format(folder=folder, plain=plain, tls=tls, counting=counting))
        argv = [program, "-p", name, "-c", str(conf), "-e", str(folder / "error.log")]
        with Child(argv, core=SERVER_CORE) as child:
            _await_port(child, plain)
            yield Nginx(
                url=f"http://127.0.0.1:{plain}/",
                tls_url=f"https://127.0.0.1:{tls}/",
                counting_url=f"http://127.0.0.1:{counting}/",
                access_log=folder / "access.log",
                ca_file=folder / "ca.pem",
            )


def _write_certificate(folder: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    mine = ca.issue_cert("127.0.0.1", "localhost")
    mine.private_key_pem.write_to_path(str(folder / "key.pem"))
    for n, blob in enumerate(mine.cert_chain_pems):
        blob.write_to_path(str(folder / "cert.pem"), append=n > 0)


def _await_port(child: Child, port: int) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        if child.is_over_within(0.02):
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
    raise BenchError(f"{Path(child.argv[0]).name} does not listen: {child.said()[-300:].strip()}")


@contextlib.contextmanager
def silence() -> Iterator[str]:
    """The URL of a listener that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


class Witness:
    """One of our own servers (`bench.targets`), running."""

    def __init__(self, child: Child, url: str) -> None:
        self.url = url
        self._child = child

    def report(self) -> dict[str, Any]:
        """End it; what it saw.

        Raises:
            BenchError: it did not live to tell.
        """
        spent = self._child.stop()
        _, _, told = spent.out.partition("\n")
        if spent.code or not told:
            raise BenchError(f"the benchmark's own server failed: {spent.err[-300:].strip()}")
        report: dict[str, Any] = json.loads(told)
        return report


@contextlib.contextmanager
def witness(kind: str, **options: int) -> Iterator[Witness]:
    """Run one of `bench.targets` on the servers' core.

    Raises:
        BenchError: it does not come up.
    """
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    with Child([sys.executable, "-m", "bench.targets", kind, *flags], core=SERVER_CORE) as child:
        until = time.monotonic() + READY_S
        while "\n" not in child.said():
            if child.is_over_within(0.02) or time.monotonic() > until:
                raise BenchError(f"the benchmark's own server does not start: {child.said()[-300:].strip()}")
        yield Witness(child, f"http://127.0.0.1:{child.said().split()[0]}/")
