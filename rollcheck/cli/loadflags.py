"""The flags of `rollcheck load`: one table that drives the parser, did-you-mean, --help and what a document keeps.

Names, defaults and meanings are fortio's wherever fortio has the flag (fortio 1.68); ours follow. A flag that means
nothing here is accepted with a sentence on what it means (`moot`); one of fortio's other modes is refused with a
sentence on what there is instead (`ELSEWHERE`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """What a flag's value is."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    DURATION = "duration"
    TEXT = "text"
    LIST = "list"
    """Text; the flag may be given again, for more."""


class Flag(NamedTuple):
    """One flag.

    Attributes:
        name: without dashes.
        kind: of its value.
        default: as a person would write it.
        meta: what --help calls the value.
        help: one sentence.
        group: the heading of --help under which it stands.
        also: other spellings.
        moot: what to say when it is given and means nothing here.
        secret: its value is never written anywhere.
    """

    name: str
    kind: Kind
    default: str
    meta: str
    help: str
    group: str
    also: tuple[str, ...] = ()
    moot: str = ""
    secret: bool = False


B, I, F, D, T, L = Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.DURATION, Kind.TEXT, Kind.LIST  # noqa: E741  # table columns

LOAD = "How much, for how long"
CONNECTIONS = "Connections"
REQUEST = "The request, and what counts as a good answer"
NAMES = "TLS, names and addresses"
RESULT = "Results"
ACCEPTED = "Accepted for the sake of fortio's users"

FLAGS = (
    Flag("qps", F, "8", "RATE", "Requests per second over all connections; 0 or max: as fast as answers come.", LOAD),
    Flag("c", I, "4", "N", "Connections, each with one request at a time.", LOAD, ("connections",)),
    Flag("t", D, "5s", "DURATION", "How long; 0 until Ctrl-C.", LOAD),
    Flag("n", I, "0", "CALLS", "Exactly so many requests instead of -t, and no warm-up; 0: use -t.", LOAD),
    Flag("calc-qps", B, "false", "", "Work out -qps from -n and -t.", LOAD),
    Flag("stages", T, "", "STAGES", "Steps and ramps instead of -qps and -t: 100:30s,500:1m,500-50:10s.", LOAD),
    Flag("arrivals", T, "uniform", "KIND", "uniform: evenly spaced; poisson: as independent clients come.", LOAD),
    Flag("seed", I, "0", "N", "Of random arrivals and payloads: the same seed, the same timetable.", LOAD),
    Flag("uniform", B, "false", "", "Spread requests evenly; they always are here.", LOAD),
    Flag("jitter", B, "false", "", "Move each request by up to a tenth of the time between two.", LOAD),
    Flag("nocatchup", B, "false", "", "Leave out requests whose time has passed; the report counts them.", LOAD),
    Flag("allow-initial-errors", B, "false", "", "Go on although the warm-up failed.", LOAD),
    Flag("abort-on", I, "0", "CODE", "End at the first answer of that status; -1: at the first without one.", LOAD),
    Flag("workers", I, "0", "N", "Processes; 0: as many as needed, at most one per core but one.", LOAD),
    Flag("timeout", D, "3s", "DURATION", "Of one request, its connect included.", CONNECTIONS),
    Flag("keepalive", B, "true", "", "Keep connections open; =false: one for each request.", CONNECTIONS),
    Flag("halfclose", B, "false", "", "Half close after each request; with -keepalive=false.", CONNECTIONS),
    Flag("connection-reuse", T, "", "MIN:MAX", "Requests per connection, at most; drawn anew for each.", CONNECTIONS),
    Flag("lanes", T, "", "LANES", "Kinds of client instead of -c: reused=0.7:8,fresh=0.3:4.", CONNECTIONS),
    Flag("reconnect-every", D, "0", "DURATION", "Replace each connection so often; 0 never.", CONNECTIONS),
    Flag("http1.0", B, "false", "", "Speak HTTP/1.0.", CONNECTIONS),
    Flag("h2", B, "false", "", "Speak HTTP/2, much slower than HTTP/1.1.", CONNECTIONS),
    Flag("unix-socket", T, "", "PATH", "Connect to this Unix socket instead.", CONNECTIONS),
    Flag("X", T, "", "METHOD", "HTTP method; by default GET, or POST with a payload or type.", REQUEST, ("method",)),
    Flag("H", L, "", "'NAME: VALUE'", "A header; again for more.", REQUEST, ("header",), secret=True),
    Flag("content-type", T, "", "TYPE", "Content-Type of the payload; makes it a POST.", REQUEST),
    Flag("payload", T, "", "TEXT", "Body to send; {uuid} in it or in the URL is new each time.", REQUEST, secret=True),
    Flag("payload-file", T, "", "PATH", "File to send as body.", REQUEST),
    Flag("payload-size", I, "0", "BYTES", "Send so many random bytes as body.", REQUEST),
    Flag("user", T, "", "USER:PASSWORD", "Basic authentication; never in any report.", REQUEST, secret=True),
    Flag("compression", B, "false", "", "Ask for gzip; sizes are those of what came.", REQUEST),
    Flag("L", B, "false", "", "Follow redirects; not for load tests.", REQUEST),
    Flag("expect-status", T, "", "CODES", "What is good: 200,204 or 2xx; by default 200-299 and 418.", REQUEST),
    Flag("expect-body", T, "", "TEXT", "Text or /regex/ that a good body holds.", REQUEST),
    Flag("k", B, "false", "", "Do not verify the server's certificate.", NAMES, ("https-insecure", "insecure")),
    Flag("cacert", T, "", "PATH", "CA file that vouches for the server.", NAMES),
    Flag("cert", T, "", "PATH", "Client certificate, a PEM file.", NAMES),
    Flag("key", T, "", "PATH", "Its key, where -cert does not hold it.", NAMES),
    Flag("mtls", B, "false", "", "Insist on a client certificate.", NAMES),
    Flag("resolve", T, "", "IP", "Connect to this address instead of the URL's host.", NAMES),
    Flag("resolve-ip-type", T, "ip4", "TYPE", "ip4, ip6, or ip for both.", NAMES),
    Flag("dns", T, "round-robin", "POLICY", "round-robin or reresolve: look up each second; cached: once.", NAMES),
    Flag("dns-method", T, "", "METHOD", "fortio's cached-rr, rr, first or rnd, as --dns.", NAMES),
    Flag("no-reresolve", B, "false", "", "As --dns cached.", NAMES),
    Flag("p", T, "50,75,90,99,99.9", "LIST", "Percentiles.", RESULT),
    Flag("r", F, "0.001", "SECONDS", "Resolution of fortio's buckets; percentiles do not depend on it.", RESULT),
    Flag("offset", D, "0", "DURATION", "Offset of those buckets.", RESULT),
    Flag("json", T, "", "PATH", "fortio's JSON; - for stdout (words for people then go to stderr).", RESULT),
    Flag("a", B, "false", "", "fortio's JSON under a name of time and labels, in -data-dir.", RESULT),
    Flag("data-dir", T, ".", "DIR", "Where -a writes.", RESULT),
    Flag("labels", T, "", "TEXT", "In the JSON and its name; by default URL and host name.", RESULT),
    Flag("runid", I, "0", "N", "In the JSON and its name.", RESULT),
    Flag("quiet", B, "false", "", "Counters and percentiles only, no progress.", RESULT),
    Flag("threshold", L, "", "'p99<50ms'", "Exit 1 when missed; again for more: 'errors==0', 'rate>=999'.", RESULT),
    Flag("report-interval", D, "5s", "DURATION", "A line of progress so often, off a terminal; 0 none.", RESULT),
    Flag("out", T, "", "DIR", "All facts and every kind of result; the folder must not hold a run yet.", RESULT),
    Flag("junit", T, "", "PATH", "JUnit XML: a case for each check and threshold.", RESULT),
    Flag("markdown", T, "", "PATH", "The report for a pull request.", RESULT),
    Flag("github", B, "false", "", "Annotations and the step summary of GitHub Actions.", RESULT),
    Flag("textfile", T, "", "PATH", "Prometheus text, .prom, replaced in one step.", RESULT),
    Flag("pushgateway", T, "", "URL", "Push the same to a Prometheus Pushgateway.", RESULT, secret=True),
    Flag("figures", B, "false", "", "Percentiles, heat map and errors as pictures in the folder of --out.", RESULT),
    Flag("failures", T, "", "PATH", "Each attempt that failed or was never sent, a JSON line each.", RESULT),
    Flag("access-log-file", T, "", "PATH", "Each attempt, OK or not, in fortio's format; appended to.", RESULT),
    Flag("access-log-format", T, "json", "FORMAT", "json or influx.", RESULT),
    Flag("hlog", T, "", "PATH", "HdrHistogram log, a line per second.", RESULT),
    Flag("hgrm", T, "", "PATH", "Percentile distribution that HdrHistogram's plotter draws.", RESULT),
    Flag("stdclient", B, "false", "", "", ACCEPTED, moot="there is no separate standard client here"),
    Flag("httpbufferkb", I, "128", "KB", "", ACCEPTED, moot="answers of any size are read whole; nothing is cut off"),
    Flag("maxpayloadsizekb", I, "256", "KB", "", ACCEPTED, moot="-payload-size has no such bound here"),
    Flag("httpccch", B, "false", "", "", ACCEPTED, moot="`Connection: close` in an answer is always heeded here"),
    Flag("log-errors", B, "true", "", "", ACCEPTED, moot="failures are counted by kind; --failures lists each"),
    Flag("sequential-warmup", B, "false", "", "", ACCEPTED, moot="the warm-up asks on all connections at once here"),
    Flag("gomaxprocs", I, "0", "N", "", ACCEPTED, moot="taken as --workers: the processes that put the load on"),
    Flag("loglevel", T, "Info", "LEVEL", "", ACCEPTED, moot="there is no log here; -quiet says less"),
    *(
        Flag(f"logger-{name}", B, "true", "", "", ACCEPTED, moot="there is no log here; -quiet says less")
        for name in ("file-line", "force-color", "goroutine", "json", "no-color", "timestamp")
    ),
    Flag(
        "profile", T, "", "FILE", "", ACCEPTED, moot="nothing is profiled; the report tells the generator's own state"
    ),
)

_GRPC = "rollcheck load speaks HTTP; it does not load gRPC"
_SERVER = "rollcheck load is a client; it serves nothing"
_CURL = "rollcheck load does not print answers; `-n 1 -c 1` sends a single request and counts it"
ELSEWHERE = {
    **dict.fromkeys(
        (
            *("grpc", "ping", "health", "healthservice", "grpc-compression", "grpc-ping-delay", "s"),
            *("grpc-max-streams", "grpc-port"),
        ),
        _GRPC,
    ),
    **dict.fromkeys(
        (
            *("http-port", "tcp-port", "udp-port", "redirect-port", "ui-path", "static-dir", "base-url", "sync"),
            *("sync-interval", "echo-debug-path", "echo-server-default-params", "max-echo-delay", "pprof"),
            *("proxy-all-headers", "server-idle-timeout", "config-dir", "config-port", "udp-async", "M", "P"),
            *("multi-mirror-origin", "multi-serial-mode"),
        ),
        _SERVER,
    ),
    **dict.fromkeys(("udp-timeout", "nc-dont-stop-on-eof"), "rollcheck load speaks HTTP; it does not load TCP or UDP"),
    **dict.fromkeys(("curl", "curl-stdout-headers", "stream"), _CURL),
}
"""Flags of fortio's other modes, with what to say to each."""

OTHER_TOOLS = {
    **dict.fromkeys(("rate", "q", "R", "rps"), "qps"),
    **dict.fromkeys(("duration", "time", "d", "z"), "t"),
    **dict.fromkeys(("requests", "calls", "number", "iterations"), "n"),
    **dict.fromkeys(("concurrency", "threads", "vus", "u"), "c"),
    **dict.fromkeys(("body", "data"), "payload"),
    **dict.fromkeys(("disable-keepalive", "no-keepalive"), "keepalive=false"),
    **dict.fromkeys(("percentiles",), "p"),
    **dict.fromkeys(("output", "o"), "out"),
    **dict.fromkeys(("http2",), "h2"),
    **dict.fromkeys(("connect-to",), "resolve"),
}
"""What wrk, hey, vegeta, oha, ab and k6 call them."""

OURS = frozenset(
    (
        *("stages", "arrivals", "seed", "workers", "reconnect-every", "expect-status", "expect-body", "dns"),
        *("lanes", "threshold", "report-interval", "out", "failures", "hlog", "hgrm"),
        *("junit", "markdown", "github", "textfile", "pushgateway", "figures"),
        *("connections", "method", "header", "insecure"),
    )
)
"""Flags that fortio does not have."""

BY_NAME = {name: flag for flag in FLAGS for name in (flag.name, *flag.also)}
"""Every spelling → its flag."""
