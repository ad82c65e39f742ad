"""Probes and hooks of a container: when a result counts, and how one is got.

`Threshold` and `due` are the arithmetic of the kubelet's prober (pkg/kubelet/prober/worker.go), without a clock.
`http_get`, `tcp_connect` and `execute` ask once; what they say when it fails is what the Unhealthy event shows. gRPC is
not spoken: such a probe fails and says so.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import trio

from rollcheck.sandbox.warden import SpawnFailed

MAX_ANSWER = 10 * 1024
MAX_REDIRECTS = 10
Run = Callable[[Sequence[str]], Awaitable[tuple[int, str]]]
"""Runs a command in the container: exit code and output; raises SpawnFailed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one probe said; `output` is for the event."""

    good: bool
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A probe's figures, all of them in seconds or counts, with the API's defaults."""

    initial_delay: int = 0
    timeout: int = 1
    period: int = 10
    successes: int = 1
    failures: int = 3

    @classmethod
    def of(cls, probe: Mapping[str, Any]) -> Schedule:
        """The figures of a probe in a manifest; zero means the default, as in the API."""
        return cls(
            initial_delay=probe.get("initialDelaySeconds") or 0,
            timeout=probe.get("timeoutSeconds") or 1,
            period=probe.get("periodSeconds") or 10,
            successes=probe.get("successThreshold") or 1,
            failures=probe.get("failureThreshold") or 3,
        )


class Threshold:
    """Counts answers of one kind in a row.

    Args:
        schedule: the probe's figures.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.last: bool | None = None
        self.run = 0

    def record(self, good: bool) -> bool | None:
        """Take one answer; the new result once enough of a kind came in a row, None below that."""
        self.run = self.run + 1 if good is self.last else 1
        self.last = good
        needed = self.schedule.successes if good else self.schedule.failures
        return good if self.run >= needed else None


def due(schedule: Schedule, *, now: float, started_at: float) -> bool:
    """Whether a container has run long enough for this probe.

    `started_at` is on the wall clock; as in the kubelet its fraction of a second is lost before the difference is
    taken, so that the first probe may come up to a second early.
    """
    return int(now - int(started_at)) >= schedule.initial_delay


def resolve_port(port: int | str, container: Mapping[str, Any]) -> int:
    """The number of a port that is a number or a name.

    Raises:
        LookupError: no port of the container has that name.
    """
    if isinstance(port, int) or port.isdigit():
        return int(port)
    for declared in container.get("ports") or ():
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise LookupError(f"couldn't find port: {port}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a container is asked.

    Attributes:
        ip: the pod's address.
        ports: port of the manifest → port that is really bound, where they differ.
        container: its manifest.
        run: runs a command in it.
    """

    ip: str
    ports: Mapping[int, int]
    container: Mapping[str, Any]
    run: Run

    def address(self, host: str, port: int | str) -> tuple[str, int]:
        """Host and real port; LookupError for an unknown name."""
        number = resolve_port(port, self.container)
        return (host or self.ip, number if host and host != self.ip else self.ports.get(number, number))


async def ask(probe: Mapping[str, Any], place: Place, within: float) -> Answer:
    """Ask once, as the probe says."""
    try:
        if "httpGet" in probe:
            return await http_get(probe["httpGet"], place, within, agent="kube-probe/1.34")
        if "tcpSocket" in probe:
            return await tcp_connect(probe["tcpSocket"], place, within)
        if "exec" in probe:
            return await execute(probe["exec"].get("command") or (), place, within)
    except LookupError as e:
        return Answer(False, str(e))
    return Answer(False, "the sandbox does not speak gRPC")


async def execute(command: Sequence[str], place: Place, within: float) -> Answer:
    """Run a command in the container; the exit code says."""
    try:
        with trio.fail_after(within):
            code, output = await place.run(command)
    except trio.TooSlowError:
        return Answer(False, f'command timed out: "{" ".join(command)}" timed out after {within:g}s')
    except SpawnFailed as e:
        return Answer(False, exec_failure(command, e))
    return Answer(code == 0, output)


def exec_failure(command: Sequence[str], failure: SpawnFailed) -> str:
    """Why a command could not be started in a container, in the words of a container runtime."""
    program = command[0] if command else ""
    return f'OCI runtime exec failed: exec failed: unable to start container process: exec: "{program}": {failure}'


async def tcp_connect(action: Mapping[str, Any], place: Place, within: float) -> Answer:
    """Open a connection and close it again."""
    host, port = place.address(action.get("host", ""), action["port"])
    try:
        with trio.fail_after(within):
            (await connect(host, port)).close()
    except trio.TooSlowError:
        return Answer(False, f"dial tcp {host}:{port}: i/o timeout")
    except ProbeBroken as e:
        return Answer(False, str(e))
    return Answer(True)


async def connect(host: str, port: int) -> socket.socket:
    """A connected socket that does not block.

    Plain sockets, because a node may ask a hundred pods each second: a stream of trio's takes four times as long.

    Raises:
        ProbeBroken: it was refused, or the host is not known.
    """
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as e:
        raise ProbeBroken(f"dial tcp {host}:{port}: {e.strerror}") from e
    try:
        sock.setblocking(False)
        try:
            sock.connect(address)
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, "")
    except OSError as e:
        sock.close()
        raise ProbeBroken(f"dial tcp {host}:{port}: connect: {reason_of(e)}") from e
    except BaseException:
        sock.close()
        raise
    return sock


def reason_of(error: OSError) -> str:
    """What the system says of an error, as Go writes it: in lower case."""
    return os.strerror(error.errno).lower() if error.errno else str(error)


async def http_get(action: Mapping[str, Any], place: Place, within: float, *, agent: str) -> Answer:
    """One GET; 200 to 399 is good. Redirects on the same host are followed, others count as good."""
    scheme = action.get("scheme", "HTTP").lower()
    host, port = place.address(action.get("host", ""), action["port"])
    path = action.get("path") or "/"
    headers = {"User-Agent": agent, "Accept": "*/*"}
    headers |= {item["name"]: item["value"] for item in action.get("httpHeaders") or ()}
    url = f"{scheme}://{host}:{port}{path if path.startswith('/') else '/' + path}"
    try:
        with trio.fail_after(within):
            for _ in range(MAX_REDIRECTS):
                status, location = await get_once(url, headers)
                target = urlsplit(urljoin(url, location)) if location else None
                if target is None or not 300 <= status < 400 or target.hostname != host:
                    break
                url = target.geturl()
            else:
                return Answer(False, f'Get "{url}": stopped after 10 redirects')
    except trio.TooSlowError:
        waiting = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Answer(False, f'Get "{url}": {waiting}')
    except ProbeBroken as e:
        return Answer(False, f'Get "{url}": {e}')
    return Answer(200 <= status < 400, f"HTTP probe failed with statuscode: {status}")


class ProbeBroken(Exception):
    """No answer came, or none that is HTTP; said as Go says it."""


async def get_once(url: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Status and Location of one GET on a connection of its own.

    Raises:
        ProbeBroken: there was no such answer.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if not any(name.lower() == "host" for name in headers):
        lines.insert(1, f"Host: {parts.netloc}")
    request = ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode()
    sock = await connect(host, port)
    try:
        if parts.scheme == "https":
            return parse_head(await exchange_tls(sock, host, request))
        return parse_head(await exchange(sock, request))
    except (OSError, trio.BrokenResourceError) as e:
        reason = reason_of(e) if isinstance(e, OSError) else str(e.__cause__ or e)
        raise ProbeBroken(f"read tcp {host}:{port}: {reason}") from e
    finally:
        sock.close()


async def exchange(sock: socket.socket, request: bytes) -> bytes:
    """Send a request; everything up to the end of the answer's head."""
    sock.send(request)
    data = b""
    while b"\r\n\r\n" not in data and len(data) < MAX_ANSWER:
        await trio.lowlevel.wait_readable(sock)
        more = sock.recv(MAX_ANSWER)
        if not more:
            raise ProbeBroken("EOF")
        data += more
    return data


async def exchange_tls(sock: socket.socket, host: str, request: bytes) -> bytes:
    """The same inside TLS; no certificate is verified, the kubelet verifies none either."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    inner = trio.SocketStream(trio.socket.from_stdlib_socket(sock.dup()))
    stream = trio.SSLStream(inner, context, server_hostname=host)
    data = b""
    try:
        await stream.send_all(request)
        while b"\r\n\r\n" not in data and len(data) < MAX_ANSWER:
            more = await stream.receive_some(MAX_ANSWER)
            if not more:
                raise ProbeBroken("EOF")
            data += bytes(more)
    finally:
        await trio.aclose_forcefully(stream)
    return data


def parse_head(data: bytes) -> tuple[int, str]:
    """Status and Location of an answer."""
    first, *lines = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        raise ProbeBroken(f'malformed HTTP response "{first[:60]}"')
    found = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("location:"))
    return int(words[1]), next(found, "")
