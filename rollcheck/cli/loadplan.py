"""From the values of the flags to a plan: what `rollcheck load` is asked to do, checked before anything is sent."""

from __future__ import annotations

import base64
import os
import re
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import NamedTuple

from rollcheck.cli.durations import parse_duration
from rollcheck.cli.loadflags import ACCEPTED, FLAGS
from rollcheck.cli.loadparse import Values, dashed, mooted
from rollcheck.errors import UsageError
from rollcheck.facts.attempts import Lane
from rollcheck.facts.header import LanePlan
from rollcheck.load.pacer import RateStage, parse_stages
from rollcheck.load.plan import Expectation, LoadPlan, Target, parse_expectation, parse_header, parse_target

FORTIO_STATUSES = ((200, 299), (418, 418))
"""What fortio counts as good."""
FORTIO_DNS = {"cached-rr": "cached", "rr": "round-robin", "first": "reresolve", "rnd": "round-robin"}
IP_TYPES = {"ip4": "ip4", "ip6": "ip6", "ip": "any", "any": "any"}
LARGEST_PAYLOAD = 1 << 28
HLOG = "latency.hlog"
"""The name, in the folder of --out, of the only file there that is written while the load goes on."""
KEEP = 100_000
_LANE = re.compile(r"([a-z_-]+)=(\d+(?:\.\d*)?|\.\d+)(?::(\d+)(?::(.+))?)?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class Asked(NamedTuple):
    """What a command line asks for.

    Attributes:
        load: the load.
        options: every flag as text, secrets left out.
        workers: as given, 0 when they were not.
        sentences: what the person should know about flags that mean little or nothing here.
    """

    load: LoadPlan
    options: dict[str, str]
    workers: int
    sentences: tuple[str, ...]


def plan_load(values: Values) -> Asked:
    """The plan that the flags make.

    Raises:
        UsageError: they make none; one sentence that names the flag.
    """
    sentences = mooted(values)
    headers = [parse_header(text) for text in values.all("H")]
    target = _target(values, headers, sentences)
    body = _body(values)
    qps, calls, duration = _amount(values)
    stages = _stages(values)
    lanes = _lanes(values)
    load = LoadPlan(
        target=target,
        method=(values.text("X") or ("POST" if body or values.text("content-type") else "GET")).upper(),
        headers=_headers(values, headers, bool(body)),
        body=body,
        qps=0 if stages else qps,
        lanes=lanes,
        timeout_s=values.seconds("timeout"),
        expectation=_expectation(values),
        # With a file for them, every failure is wanted.
        keep=1 << 60 if values.text("failures") else KEEP,
        calls=calls,
        duration_s=0 if stages else duration,
        stages=stages,
        arrivals=_arrivals(values, timetable=qps > 0 or bool(stages)),
        seed=values.whole("seed"),
        catch_up=not values.on("nocatchup"),
        warmup=not calls,
        allow_initial_errors=values.on("allow-initial-errors"),
        abort_on=values.whole("abort-on") or None,
        access_log=bool(values.text("access-log-file")),
        probe=False,
        keep_alive=values.on("keepalive"),
        half_close=values.on("halfclose"),
        http10=values.on("http1.0"),
        reuse=_reuse(values),
        reconnect_every_s=values.seconds("reconnect-every"),
        fill_uuid=b"{uuid}" in body or "{uuid}" in values.words[0],
        verify_tls=not values.on("k"),
        ca_file=_readable(values, "cacert"),
        cert_file=_readable(values, "cert"),
        key_file=_readable(values, "key"),
        dns=_dns(values),
        resolve_ip_type=_choice(values, "resolve-ip-type", IP_TYPES),
    )
    _check_mtls(values)
    workers = values.whole("workers")
    if not workers and values.whole("gomaxprocs") > 0:
        workers = min(values.whole("gomaxprocs"), *(lane.connections for lane in lanes))
    return Asked(load=load, options=_options(values, load), workers=workers, sentences=tuple(sentences))


def _target(values: Values, headers: list[tuple[str, str]], sentences: list[str]) -> Target:
    if not values.words:
        raise UsageError("say what to ask: rollcheck load [FLAGS] URL; `rollcheck load --help` lists the flags")
    if len(values.words) > 1:
        raise UsageError(
            f"one URL at a time: {values.words[1]!r} is one word too many (a switch's value is written -a=true)"
        )
    url = values.words[0].strip()
    scheme = _SCHEME.match(url)
    if scheme is not None and scheme[0].lower() in ("tcp://", "udp://", "grpc://"):
        raise UsageError(f"{url!r} is not a URL we can ask: rollcheck load speaks HTTP, not {scheme[0][:-3]}")
    if scheme is None:
        url = f"http://{url}"
        sentences.append(f"the URL names no scheme: taken as {url}")
    host = next((value for name, value in headers if name.lower() == "host"), "")
    try:
        target = parse_target(url, connect_host=values.text("resolve"), host_header=host)
    except UsageError as error:
        # The parser speaks for every command; here there is a flag for it.
        raise UsageError(str(error).replace("--header 'Authorization: …'", "-user NAME:PASSWORD")) from error
    return replace(target, unix_socket=values.text("unix-socket"))


def _headers(values: Values, given: list[tuple[str, str]], payload: bool) -> tuple[tuple[str, str], ...]:
    """Those of -H, and those that other flags ask for; -H wins."""
    headers = [(name, value) for name, value in given if name.lower() != "host"]
    names = {name.lower() for name, _ in headers}
    kind = values.text("content-type") or ("application/octet-stream" if payload else "")
    if kind and "content-type" not in names:
        headers.append(parse_header(f"Content-Type: {kind}"))
    if values.on("compression") and "accept-encoding" not in names:
        headers.append(("Accept-Encoding", "gzip"))
    if values.text("user") and "authorization" not in names:
        user, colon, _ = values.text("user").partition(":")
        if not user or not colon:
            raise UsageError("-user: write it as NAME:PASSWORD")
        coded = base64.b64encode(values.text("user").encode()).decode()
        headers.append(("Authorization", f"Basic {coded}"))
    return tuple(headers)


def _body(values: Values) -> bytes:
    """The payload: a file before random bytes before text, as in fortio."""
    path, size = values.text("payload-file"), values.whole("payload-size")
    if path:
        try:
            return Path(path).read_bytes()
        except OSError as e:
            raise UsageError(f"-payload-file: cannot read {path}: {e.strerror}") from e
    if not 0 <= size <= LARGEST_PAYLOAD:
        raise UsageError(f"-payload-size: {size} is not between 0 and {LARGEST_PAYLOAD:,} bytes")
    return Random(values.whole("seed")).randbytes(size) if size else values.text("payload").encode()


def _amount(values: Values) -> tuple[float, int, float]:
    """Rate, calls and seconds; 0 each for no bound."""
    qps, calls, duration = max(0.0, values.number("qps")), values.whole("n"), values.seconds("t")
    if calls < 0:
        raise UsageError(f"-n: {calls} is no number of requests; give 1 or more, or 0 to go by -t")
    if values.on("calc-qps"):
        if not calls or not duration:
            raise UsageError("-calc-qps works the rate out from -n and -t: give both")
        qps = calls / duration
    return qps, calls, 0 if calls else duration


def _stages(values: Values) -> tuple[RateStage, ...]:
    if not values.text("stages"):
        return ()
    for name in ("qps", "t", "calc-qps"):
        if name in values.given:
            raise UsageError(f"--stages says how much for how long: leave -{name} out")
    return parse_stages(values.text("stages"), lambda text: parse_duration(text, "--stages"))


def _arrivals(values: Values, *, timetable: bool) -> str:
    kind = values.text("arrivals")
    if kind not in ("uniform", "poisson"):
        raise UsageError(f"--arrivals: there are no {kind!r} arrivals; choose uniform or poisson")
    if kind == "poisson" and not timetable:
        raise UsageError("--arrivals poisson needs a rate; give one with -qps")
    if values.on("jitter") and kind == "poisson":
        raise UsageError("-jitter and --arrivals poisson exclude each other; leave one out")
    return "jitter" if values.on("jitter") else kind


def _lanes(values: Values) -> tuple[LanePlan, ...]:
    if values.text("lanes"):
        if "c" in values.given:
            raise UsageError("--lanes says how many connections each kind has: leave -c out")
        return tuple(parse_lane(part) for part in values.text("lanes").split(","))
    if values.whole("c") < 1:
        raise UsageError(f"-c: {values.whole('c')} connections can carry nothing; give 1 or more")
    return (LanePlan(lane=Lane.REUSED, share=1, connections=values.whole("c")),)


def parse_lane(text: str) -> LanePlan:
    """One part of --lanes: `reused=0.7:8`, `fresh=0.2`, `idle_aged=0.1:4:6s`, `long=0.1:2:/slow`.

    Raises:
        UsageError: it is none.
    """
    match = _LANE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"--lanes: {text.strip()!r} is no lane; write NAME=SHARE:CONNECTIONS, for example fresh=0.2:4")
    name, share, connections, more = match.groups()
    name = name.replace("-", "_")
    if name not in (Lane.REUSED, Lane.FRESH, Lane.IDLE_AGED, Lane.LONG):
        raise UsageError(f"--lanes: there is no lane {name!r}; choose reused, fresh, idle_aged or long")
    if more and name not in (Lane.IDLE_AGED, Lane.LONG):
        raise UsageError(f"--lanes: {more!r} means nothing to the lane {name}; leave it out")
    if name == Lane.LONG and not (more or "").startswith("/"):
        raise UsageError("--lanes: say what the long lane asks for, as in long=0.1:2:/slow")
    if name == Lane.IDLE_AGED and not more:
        raise UsageError("--lanes: say how long the idle_aged lane rests, as in idle_aged=0.1:4:6s")
    return LanePlan(
        lane=Lane(name),
        share=float(share),
        connections=int(connections or (0 if name == Lane.FRESH else 1)),
        min_idle_s=parse_duration(more, "--lanes") if name == Lane.IDLE_AGED else 0,
        path=more if name == Lane.LONG else "",
    )


def _expectation(values: Values) -> Expectation:
    asked = parse_expectation(values.text("expect-status"), values.text("expect-body"))
    return asked if values.text("expect-status").strip() else replace(asked, statuses=FORTIO_STATUSES)


def _reuse(values: Values) -> tuple[int, int] | None:
    text = values.text("connection-reuse")
    if not text:
        return None
    match = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    if match is None:
        raise UsageError(f"-connection-reuse: {text!r} is no range; write for example 10:30")
    return int(match[1]), int(match[2] or match[1])


def _dns(values: Values) -> str:
    policies = {name: name for name in ("reresolve", "cached", "round-robin")}
    if "dns" in values.given:
        return _choice(values, "dns", policies)
    if values.on("no-reresolve"):
        return "cached"
    if values.text("dns-method"):
        return _choice(values, "dns-method", FORTIO_DNS)
    return values.text("dns")


def _choice(values: Values, name: str, choices: dict[str, str]) -> str:
    text = values.text(name)
    if text not in choices:
        raise UsageError(f"{dashed(name)}: there is no {text!r}; choose {', '.join(choices)}")
    return choices[text]


def _readable(values: Values, name: str) -> str:
    path = values.text(name)
    if path:
        try:
            Path(path).open("rb").close()
        except OSError as e:
            raise UsageError(f"-{name}: cannot read {path}: {e.strerror}") from e
    return path


def _check_mtls(values: Values) -> None:
    if values.on("mtls") and not values.text("cert"):
        raise UsageError("-mtls asks for a client certificate: give -cert")


def parse_percentiles(text: str) -> tuple[float, ...]:
    """What -p asks for.

    Raises:
        UsageError: one of them is no percentile.
    """
    found = []
    for part in text.split(","):
        try:
            percent = float(part)
        except ValueError:
            percent = -1.0
        if not 0 < percent < 100:
            raise UsageError(
                f"-p: {part.strip()!r} is no percentile; write numbers above 0 and below 100, as 50,99,99.9"
            )
        found.append(percent)
    return tuple(found)


def _options(values: Values, load: LoadPlan) -> dict[str, str]:
    """Every flag as a document keeps it."""
    options = {}
    for flag in FLAGS:
        if flag.group != ACCEPTED and not flag.secret:
            said = ", ".join(values.all(flag.name)) if flag.kind == "list" else values.text(flag.name)
            options[flag.name] = str(values.on(flag.name)).lower() if flag.kind == "bool" else said
    options["c"] = str(sum(lane.connections for lane in load.lanes))
    host = os.uname().nodename.partition(".")[0] if hasattr(os, "uname") else ""
    options["labels"] = options["labels"] or f"{load.target.url.partition('://')[2]} , {host}"
    options["H"] = ", ".join(name for name, _ in (parse_header(text) for text in values.all("H")))
    options["user"] = "***" if values.text("user") else ""
    options["payload-bytes"] = str(len(load.body))
    options["procs"] = str(os.cpu_count() or 1)
    options["warmup"] = str(load.warmup).lower()
    return options
