"""The machine's nginx as the ingress: configured from the same routes, reloaded whenever their endpoints change."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote

import trio

from rollcheck.errors import UsageError
from rollcheck.sandbox.network.endpoints import Endpoint
from rollcheck.sandbox.network.rules import Route
from rollcheck.sandbox.warden import Command, Process, SpawnFailed, Warden

PLACES = ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/opt/homebrew/bin/nginx", "/usr/local/bin/nginx")
CONFIG = "nginx.conf"
UP_WITHIN_S = 5.0
LOOK_S = 0.02
GATHER_S = 0.02
"""Changes that come together are one reload."""
HOST_BYTES = 512
"""Room for a host of 253 letters: with less, nginx refuses the whole configuration."""
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def find_nginx() -> str:
    """Path of the machine's nginx.

    Raises:
        UsageError: there is none.
    """
    found = shutil.which("nginx") or next((place for place in PLACES if os.access(place, os.X_OK)), "")
    if not found:
        raise UsageError("--ingress nginx: there is no nginx here; install it, or leave the option out")
    return found


def configuration(routes: Iterable[Route], backends: Callable[[Route], list[Endpoint]], listen: tuple[str, int]) -> str:
    """The text of nginx.conf: pure. A host that no route has is a 404, a route without backends a 503."""
    listed = list(routes)
    upstreams, servers = [], []
    for host in sorted({"", *(route.host for route in listed)}):
        locations: dict[str, str] = {}
        for number, route in enumerate(listed):
            if route.host == host:
                found = backends(route)
                if found:
                    members = "".join(f" server {e.host}:{e.port} max_fails=0;" for e in found)
                    upstreams.append(f"  upstream u{number} {{{members} }}")
                for place in _places(route):  # of two Ingresses with one path the first counts
                    locations.setdefault(place, _answer(route, f"u{number}" if found else ""))
        locations.setdefault('"/"', "return 404;")
        kind, name = (" default_server", "_") if not host else ("", host)
        servers.append(f"  server {{\n    listen {listen[0]}:{listen[1]}{kind}; server_name {_quoted(name)};")
        servers += [f"    location {place} {{ {answer} }}" for place, answer in locations.items()]
        servers.append("  }")
    lines = [
        "daemon off; worker_processes 1; pid nginx.pid; error_log stderr warn; error_log error.log warn;",
        "events { worker_connections 4096; }",
        "http {",
        "  access_log off; server_tokens off; keepalive_timeout 75s; client_max_body_size 1m;",
        f"  server_names_hash_bucket_size {HOST_BYTES};",
        *(f"  {name}_temp_path {name};" for name in _TEMPORARY),
        *upstreams,
        *servers,
        "}",
    ]
    return "\n".join(lines) + "\n"


class Nginx:
    """nginx in front of the routes; `run` it, and call `changed` when they or their backends are others.

    Args:
        folder: the sandbox's; nginx keeps its files in a folder there.
        routes, backends: what is served now.
    """

    def __init__(
        self,
        warden: Warden,
        folder: Path,
        listen: tuple[str, int],
        routes: Callable[[], Iterable[Route]],
        backends: Callable[[Route], list[Endpoint]],
    ) -> None:
        self._program = find_nginx()
        self._warden = warden
        self._folder = folder / "nginx"
        self._listen = listen
        self._routes = routes
        self._backends = backends
        self._changed = trio.Event()
        self._text = ""

    def changed(self) -> None:
        """Something may be another than when it was configured."""
        self._changed.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run it until cancelled; should it end, it is started again, as a container of a controller would be.

        Raises:
            UsageError: it does not start; with what it said last.
        """
        self._folder.mkdir(exist_ok=True)
        process = await self._start()
        task_status.started()
        while True:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._reload, process)
                await process.exited.wait()
                nursery.cancel_scope.cancel()
            process = await self._start()

    async def _start(self) -> Process:
        """Start it with the configuration of now, and wait until it answers."""
        self._write()
        command = Command(
            argv=[self._program, "-p", f"{self._folder}/", "-c", CONFIG, "-e", "stderr", *_as_we_are()],
            env={"PATH": os.environ.get("PATH", os.defpath)},
            folder=self._folder,
            capture=True,
        )
        try:
            process = await self._warden.spawn(command)
        except SpawnFailed as e:
            raise UsageError(f"--ingress nginx: {self._program} cannot be started: {e}") from e
        with trio.move_on_after(UP_WITHIN_S):
            while not process.exited.is_set() and not await _answers(self._listen):  # noqa: ASYNC110  # it is asked
                await trio.sleep(LOOK_S)
        if process.exited.is_set():
            last = process.output.strip().split("\n")[-1]
            raise UsageError(f"--ingress nginx: it ended with {process.code}: {last}")
        return process

    async def _reload(self, process: Process) -> None:
        while True:
            await self._changed.wait()
            await trio.sleep(GATHER_S)
            self._changed = trio.Event()
            if self._write():
                process.send_signal(signal.SIGHUP)

    def _write(self) -> bool:
        """Write the configuration of now, whole or not at all; whether it is another than the last."""
        before, self._text = self._text, configuration(self._routes(), self._backends, self._listen)
        temporary = self._folder / f".{CONFIG}"
        temporary.write_text(self._text)
        temporary.replace(self._folder / CONFIG)
        return self._text != before


def _as_we_are() -> list[str]:
    """Root's nginx would give its workers to a user who cannot reach this folder."""
    return ["-g", "user root;"] if os.geteuid() == 0 else []


async def _answers(listen: tuple[str, int]) -> bool:
    """Whether a request is answered: a connect alone would succeed before it takes signals."""
    with trio.socket.socket() as probe:
        try:
            await probe.connect(listen)
            await probe.send(b"HEAD / HTTP/1.0\r\n\r\n")
            return bool(await probe.recv(1))
        except OSError:
            return False


def _places(route: Route) -> list[str]:
    """The locations of a route, as nginx names them: it compares with what a path means, not with how it is written."""
    path = unquote(route.path)
    exact = f"= {_quoted(path)}"
    if route.exact:
        return [exact]
    prefix = path.rstrip("/")
    return [exact, _quoted(prefix + "/")] if prefix else [_quoted("/")]


def _answer(route: Route, upstream: str) -> str:
    if not upstream:
        return "return 503;"
    manner = route.manner
    again = "error timeout" if manner.tries > 1 and manner.resend else "off"
    return (
        f"proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Connection ''; "
        "proxy_set_header Host $http_host; proxy_set_header X-Real-IP $remote_addr; "
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; "
        f"proxy_connect_timeout {manner.connect_s:g}s; proxy_read_timeout {manner.read_s:g}s; "
        f"proxy_next_upstream {again}; proxy_next_upstream_tries {manner.tries};"
    )


def _quoted(text: str) -> str:
    """A value that comes from a manifest, so that it stays one word of nginx's language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
