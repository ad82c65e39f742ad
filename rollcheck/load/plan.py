"""What to send, to whom, how often, and what counts as good: frozen values, and the parsing of what people write."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import SplitResult, quote, urlsplit

from rollcheck.errors import UsageError
from rollcheck.facts.attempts import Lane, Outcome
from rollcheck.facts.header import LanePlan
from rollcheck.load.pacer import RateStage

_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?")
_KEEP = "!$&'()*+,;=:@/?%-._~[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where requests go.

    Attributes:
        scheme: "http" or "https".
        host: of the URL, without brackets.
        port: of the URL, or the scheme's own.
        path: origin form: path and query, percent-encoded.
        host_header: what is sent as `Host`.
        server_name: what TLS asks for (SNI) and verifies.
        connect_host: what is connected to: an IP, or a name to resolve.
        unix_socket: path of a Unix socket to connect to instead, empty for none.
    """

    scheme: str
    host: str
    port: int
    path: str
    host_header: str
    server_name: str
    connect_host: str
    unix_socket: str = ""

    @property
    def url(self) -> str:
        """The URL in its normal form."""
        return f"{self.scheme}://{_authority(self.host, self.port, self.scheme)}{self.path}"

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"


def parse_target(url: str, *, connect_host: str = "", host_header: str = "") -> Target:
    """The target that a URL names.

    Args:
        url: http or https, without user and password.
        connect_host: an IP or name to connect to instead of the URL's host (an Ingress's own address).
        host_header: what to send as `Host`, and as SNI, instead of the URL's host.

    Raises:
        UsageError: it is no such URL.
    """
    if _CONTROL.search(url):
        raise UsageError(f"{url!r} is not a URL: it holds a space or a control character; write it as %20")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as e:
        raise UsageError(f"{url!r} is not a URL: {e}") from e
    if parts.scheme not in _PORTS:
        raise UsageError(f"{url!r} is not a URL we can ask: it must begin with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise UsageError("the URL holds a user or password; send them with --header 'Authorization: …' instead")
    if port == 0:
        raise UsageError(f"{url!r} names port 0; give one from 1 to 65535")
    host = _parse_host(parts.hostname or "", url)
    port = port or _PORTS[parts.scheme]
    sent = parse_header(f"Host: {host_header}")[1] if host_header else _authority(host, port, parts.scheme)
    return Target(
        scheme=parts.scheme,
        host=host,
        port=port,
        path=_path(parts),
        host_header=sent,
        server_name=_parse_host(_host_of(sent), sent) if host_header else host,
        connect_host=_parse_host(connect_host.strip("[]"), connect_host) if connect_host else host,
    )


def _path(parts: SplitResult) -> str:
    path = quote(parts.path, safe=_KEEP) or "/"
    return f"{path}?{quote(parts.query, safe=_KEEP)}" if parts.query else path


def _host_of(authority: str) -> str:
    """`host[:port]` without its port and brackets."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def _authority(host: str, port: int, scheme: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == _PORTS[scheme] else f"{name}:{port}"


def is_ip(host: str) -> bool:
    """Whether `host` is an IP literal, which is never resolved."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _parse_host(host: str, said: str) -> str:
    """A host in ASCII: an IP literal as it is, a name by IDNA, lower-cased."""
    if is_ip(host):
        return host
    try:
        name = host.encode("ascii" if host.isascii() else "idna").decode().lower()
    except UnicodeError as e:
        raise UsageError(f"{said!r} names no host that can exist: {e}") from e
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(len(label) <= 63 and _LABEL.fullmatch(label) for label in labels):
        raise UsageError(f"{said!r} names no host; write for example http://shop.example.com/")
    if labels[-1].isdigit():
        raise UsageError(f"{said!r} names {name!r}, which is no IP address and no host name")
    return name


def parse_header(text: str) -> tuple[str, str]:
    """Name and value of a header written as `Name: value`.

    Raises:
        UsageError: it is not one, or one whose value is ours to decide.
    """
    name, colon, value = text.partition(":")
    value = value.strip(" \t")
    if not colon or not _TOKEN.fullmatch(name):
        raise UsageError(f"{text!r} is not a header; write it as 'Name: value'")
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
        raise UsageError(f"the value of the header {name!r} holds a control character; remove it")
    if name.lower() in {"transfer-encoding", "content-length"}:
        raise UsageError(f"the header {name!r} is set from the body; leave it out")
    return name, value


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What counts as a good answer.

    Attributes:
        statuses: inclusive ranges of HTTP statuses.
        body: text that the body must contain, or `/regex/` that must be found in it; empty when any body will do.
    """

    statuses: tuple[tuple[int, int], ...] = ((200, 299),)
    body: str = ""

    def describe(self) -> str:
        """What is expected, as a person would say it: `status 200-299, body contains 'ok'`."""
        said = "status " + ",".join(str(low) if low == high else f"{low}-{high}" for low, high in self.statuses)
        if not self.body:
            return said
        return f"{said}, body {'matches' if _is_regex(self.body) else 'contains'} {self.body!r}"

    def judge(self, status: int, body: bytes) -> Outcome:
        """OK, BAD_STATUS or WRONG_BODY; a bad status beats a wrong body."""
        if not any(low <= status <= high for low, high in self.statuses):
            return Outcome.BAD_STATUS
        if self.body and not _pattern(self.body).search(body):
            return Outcome.WRONG_BODY
        return Outcome.OK


def _is_regex(body: str) -> bool:
    return len(body) > 2 and body.startswith("/") and body.endswith("/")


@lru_cache(maxsize=64)
def _pattern(body: str) -> re.Pattern[bytes]:
    return re.compile(body[1:-1].encode() if _is_regex(body) else re.escape(body.encode()))


def parse_expectation(status: str = "", body: str = "") -> Expectation:
    """What `--expect-status` and `--expect-body` ask for.

    Args:
        status: "200", "200,204", "2xx", "200-399" or a mix; empty for 200–299.
        body: a substring, or a regular expression between slashes.

    Raises:
        UsageError: a status or a regular expression that is none.
    """
    if _is_regex(body):
        try:
            _pattern(body)
        except re.error as e:
            raise UsageError(f"{body!r} is not a regular expression: {e}") from e
    if not status.strip():
        return Expectation(body=body)
    return Expectation(statuses=tuple(_parse_statuses(part.strip()) for part in status.split(",")), body=body)


def _parse_statuses(text: str) -> tuple[int, int]:
    if match := re.fullmatch(r"([1-9])xx", text.lower()):
        return int(match[1]) * 100, int(match[1]) * 100 + 99
    match = re.fullmatch(r"([1-9]\d\d)(?:-([1-9]\d\d))?", text)
    if match and int(match[1]) <= int(match[2] or match[1]):
        return int(match[1]), int(match[2] or match[1])
    raise UsageError(f"{text!r} is not an HTTP status; write 200, 200,204, 2xx or 200-399")


def _default_lanes() -> tuple[LanePlan, ...]:
    return (
        LanePlan(lane=Lane.REUSED, share=0.5, connections=8),
        LanePlan(lane=Lane.FRESH, share=0.5, connections=0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """One load: what is sent where, at which rate, on which lanes.

    Attributes:
        qps: arrivals per second, over all lanes; 0 for a closed loop: each connection sends as soon as it is answered.
        lanes: their shares (they need not sum to 1) and how many connections each may hold.
        timeout_s: seconds an attempt may take from `sent`, and may wait for a connection before.
        pod_header: response header that names the pod, empty when there is none.
        interval_s: nominal length of an `Interval`.
        keep: failed attempts kept whole; the ones beyond are counted only.
        calls: exactly that many arrivals over all workers, 0 for no such bound.
        duration_s: arrivals are due for so long, 0 for no such bound.
        stages: steps and ramps of the rate; they replace `qps` and end the load with their end.
        arrivals: "uniform", "jitter" or "poisson"; seed makes the random ones repeatable.
        catch_up: whether arrivals whose time has passed are still sent (as late ones).
        warmup: one request on each connection before the timetable starts; a failure ends the load, unless
            `allow_initial_errors`.
        abort_on: end the load at the first answer of that status, −1 for the first failure without a status.
        access_log: report every attempt.
        probe: follow each failure of a reused connection with a request on a fresh one.

        keep_alive: False makes the reused lanes close each connection after its answer.
        half_close: shut down the writing side after each request; only without keep_alive and TLS.
        http10: speak HTTP/1.0.
        reuse: at most so many requests a connection, drawn anew for each between these two; None for no cap.
        reconnect_every_s: seconds after which a connection is replaced when it is free, 0 for never.
        fill_uuid: put a fresh UUID where the path or the body says `{uuid}`.

        verify_tls: whether the server's certificate is checked.
        ca_file: PEM file of the authorities to trust instead of the system's.
        cert_file, key_file: PEM files of the client's own certificate and its key; one may hold both.
        dns: "reresolve": look the name up again, once a second at most, and use what it says first; "round-robin": the
            same, every address in turn; "cached": look it up once, every address in turn.
        resolve_ip_type: "ip4", "ip6" or "any".

    Raises:
        UsageError: a value that no load can have.
    """

    target: Target
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    qps: float = 200
    lanes: tuple[LanePlan, ...] = field(default_factory=_default_lanes)
    timeout_s: float = 3.0
    expectation: Expectation = field(default_factory=Expectation)
    pod_header: str = ""
    interval_s: float = 1.0
    keep: int = 100_000

    calls: int = 0
    duration_s: float = 0
    stages: tuple[RateStage, ...] = ()
    arrivals: str = "uniform"
    seed: int = 0
    catch_up: bool = True
    warmup: bool = False
    allow_initial_errors: bool = False
    abort_on: int | None = None
    access_log: bool = False
    probe: bool = True

    keep_alive: bool = True
    half_close: bool = False
    http10: bool = False
    reuse: tuple[int, int] | None = None
    reconnect_every_s: float = 0
    fill_uuid: bool = False

    verify_tls: bool = True
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    dns: str = "round-robin"
    resolve_ip_type: str = "ip4"

    @property
    def closed_loop(self) -> bool:
        """Whether requests follow answers instead of a timetable."""
        return not self.qps and not self.stages

    @property
    def length_s(self) -> float:
        """Seconds after which no arrival is due any more; infinite without such a bound."""
        bounds = [self.duration_s] if self.duration_s else []
        bounds += [sum(stage.seconds for stage in self.stages)] if self.stages else []
        return min(bounds, default=math.inf)

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.method) or self.method == "CONNECT":
            raise UsageError(f"{self.method!r} is not a method that can be sent; use for example GET, HEAD or POST")
        if not 0.001 <= self.timeout_s <= 3600:
            raise UsageError(f"a timeout of {self.timeout_s:g} s is not between 1 ms and 1 hour")
        if not 0.05 <= self.interval_s <= 3600:
            raise UsageError(f"an interval of {self.interval_s:g} s is not between 50 ms and 1 hour")
        if len({lane.lane for lane in self.lanes}) < len(self.lanes):
            raise UsageError("a lane is asked for twice; give each lane once, with its share")
        for lane in self.lanes:
            self._check_lane(lane)
        if self.calls < 0 or not self.duration_s >= 0:
            raise UsageError("a load cannot have fewer than 0 calls or last less than 0 seconds")
        if self.reuse is not None and not 1 <= self.reuse[0] <= self.reuse[1]:
            raise UsageError(
                f"a connection cannot carry {self.reuse[0]} to {self.reuse[1]} requests; give for example 10:20"
            )
        if self.half_close and (self.keep_alive or self.target.tls):
            raise UsageError("half close goes with plain connections that are not kept alive; add -keepalive=false")
        if self.dns not in {"reresolve", "cached", "round-robin"}:
            raise UsageError(f"there is no DNS policy {self.dns!r}; give reresolve, cached or round-robin")
        if self.resolve_ip_type not in {"ip4", "ip6", "any"}:
            raise UsageError(f"there is no IP type {self.resolve_ip_type!r}; give ip4, ip6 or any")
        if self.key_file and not self.cert_file:
            raise UsageError("a key is of no use without its certificate: give -cert too")

    def _check_lane(self, lane: LanePlan) -> None:
        if lane.lane not in {Lane.REUSED, Lane.FRESH, Lane.IDLE_AGED, Lane.LONG}:
            raise UsageError(
                f"there is no lane {lane.lane!r} to put load on; there are reused, fresh, idle_aged and long"
            )
        held = lane.lane in {Lane.REUSED, Lane.IDLE_AGED} or self.closed_loop
        if lane.connections < 0 or (held and lane.share > 0 and lane.connections < 1):
            raise UsageError(f"the lane {lane.lane} cannot hold {lane.connections} connections; give 1 or more")
        if not 0 <= lane.min_idle_s <= 3600:
            raise UsageError(f"a connection cannot rest {lane.min_idle_s:g} s between requests; give 0 to 3600")
