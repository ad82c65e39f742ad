"""A load as fortio's JSON: its fields, in its order and types, so that `fortio report` opens and graphs it.

What fortio has no field for is under "rollcheck", at the end, where fortio's page does not look: exact counts, response
times, the generator's own state, the seconds, and the histograms themselves, lossless. `rollcheck compare` reads it.

Nothing secret goes in: no credentials, no header's value, no body.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

from hdrh.histogram import HdrHistogram

from rollcheck.analyze.hdr import summed
from rollcheck.analyze.loadmodel import LoadSummary, SecondRow
from rollcheck.facts.clock import SECOND
from rollcheck.render.buckets import Distribution, of_latencies, of_moments
from rollcheck.render.gofmt import duration, timestamp
from rollcheck.render.settings import Settings, settings_of, switched_on
from rollcheck.render.text import well_formed

SCHEMA: Final = "rollcheck.load/1"
OWN: Final = "rollcheck"
"""The field that holds what is ours."""
ROW: Final = ("at_s", "asked", "ok", "failed", "not_sent", "p50_us", "p90_us", "p99_us")
LONGEST_ID = 96


def fortio_bytes(summary: LoadSummary) -> bytes:
    """The file: two blanks a level and a newline at its end, as fortio writes it."""
    return json.dumps(fortio_json(summary), indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def fortio_json(summary: LoadSummary) -> dict[str, Any]:
    """The object that fortio would write of such a load, and ours in it; the same summary gives the same object."""
    settings = settings_of(summary.header)
    return {
        **_result(summary, settings),
        **_options(summary, settings),
        **_wire(summary, settings),
        "ResponseLabel": "Service time",  # what fortio's page is to call it
        OWN: _own(summary),
    }


def result_id(summary: LoadSummary) -> str:
    """The name under which fortio saves a result (`-a`): date, time (UTC), run id and labels, at most 96 characters.

    Its page lists files by name, the newest first.
    """
    settings = settings_of(summary.header)
    whole = summary.header.anchor.to_wall(summary.started_ns) // SECOND
    name = f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%d-%H%M%S}"
    if settings.run_id:
        name += f"_{settings.run_id}"
    labels = re.sub(r"[^A-Za-z0-9]+", "_", settings.labels).strip("_")
    return f"{name}_{labels}"[:LONGEST_ID] if labels else name


def distributions(summary: LoadSummary, settings: Settings) -> tuple[Distribution, Distribution]:
    """The service times of all that were sent, and of those that failed."""
    failed = summary.failed_service
    return _of(summed((summary.service, failed)), settings), _of(failed, settings)


def connect_times(summary: LoadSummary, settings: Settings) -> Distribution:
    """How long connections took."""
    return _of(summary.connect, settings)


def _of(histogram: HdrHistogram | None, settings: Settings) -> Distribution:
    return of_latencies(histogram, settings.percentiles, resolution=settings.resolution_s, offset=settings.offset_s)


def addresses(summary: LoadSummary) -> dict[str, int]:
    """Address → connections to it, the most used first."""
    found: Counter[str] = Counter()
    for slot in summary.slots:
        found.update(slot.addresses)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _result(summary: LoadSummary, settings: Settings) -> dict[str, Any]:
    """The fields of every kind of fortio's results."""
    header = summary.header
    times, errors = distributions(summary, settings)
    log = header.options.get("access-log-file", "")
    form = header.options.get("access-log-format", "json")
    return {
        "RunType": "HTTP",
        "Labels": well_formed(settings.labels),
        "StartTime": timestamp(header.anchor.to_wall(summary.started_ns)),
        "RequestedQPS": settings.requested_qps,
        "RequestedDuration": _requested_duration(summary),
        "ActualQPS": summary.rate,
        "ActualDuration": summary.ended_ns - summary.started_ns,
        "NumThreads": settings.threads,
        "Version": f"rollcheck {header.versions.get('rollcheck', '')}".strip(),
        "DurationHistogram": _histogram(times),
        "ErrorsDurationHistogram": _histogram(errors),
        "Exactly": header.calls,
        "Jitter": switched_on(header, "jitter"),
        "Uniform": switched_on(header, "uniform"),
        "NoCatchUp": switched_on(header, "nocatchup"),
        "RunID": settings.run_id,
        "AccessLoggerInfo": well_formed(f"mode {form} to {log}") if log else "",
        "ID": result_id(summary),
    }


def _requested_duration(summary: LoadSummary) -> str:
    header = summary.header
    if header.calls:
        cut = f", interrupted after {summary.sent}" if summary.sent != header.calls else ""
        return f"exactly {header.calls} calls{cut}"
    return duration(round(header.duration_s * SECOND)) if header.duration_s else "until stop"


def _options(summary: LoadSummary, settings: Settings) -> dict[str, Any]:
    """Codes and addresses, and what fortio echoes of its HTTP options."""
    header, given = summary.header, summary.header.options
    text = {
        name: well_formed(given.get(flag, ""))
        for name, flag in (("CACert", "cacert"), ("Cert", "cert"), ("Key", "key"), ("UnixDomainSocket", "unix-socket"))
    }
    h2 = switched_on(header, "h2")
    return {
        "RetCodes": {str(code): n for code, n in summary.codes.items()},
        "IPCountMap": addresses(summary),
        "Insecure": switched_on(header, "k"),
        "MTLS": switched_on(header, "mtls"),
        **text,
        "URL": well_formed(settings.url),
        "NumConnections": 1,
        "Compression": switched_on(header, "compression"),
        "DisableFastClient": h2 or switched_on(header, "stdclient"),
        "HTTP10": switched_on(header, "http1.0"),
        "H2": h2,
        "DisableKeepAlive": not switched_on(header, "keepalive", default=True),
        "AllowHalfClose": switched_on(header, "halfclose"),
        "FollowRedirects": switched_on(header, "L"),
        "Resolve": well_formed(given.get("resolve", "")),
        "HTTPReqTimeOut": round(header.timeout_s * SECOND),
        "UserCredentials": "",
        "ContentType": well_formed(given.get("content-type", "")),
        "Payload": "",
        "MethodOverride": well_formed(given.get("X", "")),
        "LogErrors": switched_on(header, "log-errors", default=True),
        "SequentialWarmup": switched_on(header, "sequential-warmup"),
        "ConnReuseRange": list(settings.reuse),
        "NoResolveEachConn": switched_on(header, "no-reresolve"),
        "Offset": round(settings.offset_s * SECOND),
        "Resolution": settings.resolution_s,
    }


def _wire(summary: LoadSummary, settings: Settings) -> dict[str, Any]:
    """Sizes and connections."""
    return {
        "Sizes": _histogram(of_moments(summary.total_bytes)),
        "HeaderSizes": _histogram(of_moments(summary.header_bytes)),
        "Sockets": [slot.sockets for slot in summary.slots],
        "SocketCount": sum(slot.sockets for slot in summary.slots),
        "ConnectionStats": _histogram(connect_times(summary, settings)),
        "AbortOn": settings.abort_on,
    }


def _histogram(of: Distribution) -> dict[str, Any]:
    """HistogramData; without values its Data is null and it has no Percentiles."""
    made: dict[str, Any] = {
        "Count": of.count,
        "Min": of.low,
        "Max": of.high,
        "Sum": of.total,
        "Avg": of.mean,
        "StdDev": of.deviation,
        "Data": [{"Start": b.start, "End": b.end, "Percent": b.percent, "Count": b.count} for b in of.buckets] or None,
    }
    if of.percentiles:
        made["Percentiles"] = [{"Percentile": percent, "Value": value} for percent, value in of.percentiles]
    return made


def _own(summary: LoadSummary) -> dict[str, Any]:
    """What fortio has no field for. Seconds count from the start of the load; latencies are microseconds."""
    state = summary.generator
    return {
        "schema": SCHEMA,
        "about": "DurationHistogram is service time (from the actual start), failures included; percentiles are exact "
        "to 0.1 %, not read off the buckets; response time (from the intended start) is below",
        "counts": {
            "scheduled": summary.scheduled,
            "sent": summary.sent,
            "not_sent": summary.not_sent,
            "ok": summary.ok,
            "failed": summary.failed,
            "unlisted": summary.unlisted,
        },
        "warmup": {"ok": summary.warmup_ok, "failed": summary.warmup_failed},
        "open_loop": summary.open_loop,
        "latency": {name: _latency(summary, histogram) for name, histogram in summary.latencies.items()},
        "errors": [
            {
                "name": each.name,
                "count": each.count,
                "first_s": _since(summary, each.first_ns),
                "last_s": _since(summary, each.last_ns),
                "example": well_formed(each.example),
            }
            for each in summary.errors
        ],
        "seconds_columns": list(ROW),
        "seconds": [_row(summary, row) for row in summary.seconds],
        "generator": {
            "held": summary.held,
            "faults": list(summary.faults),
            "asked": state.asked,
            "released": state.released,
            "skipped": state.skipped,
            "longest_stall_us": state.stall_ns // 1_000,
            "cpu_share": round(state.cpu_share, 4),
            "cpu_peak": round(state.cpu_peak, 4),
            "starved_share": round(state.starved_share, 4),
            "files": list(state.files),
            "ports": list(state.ports),
            "workers": state.workers,
        },
        "target_slow": summary.target_slow,
        "aborted": summary.aborted,
        "interrupted": summary.interrupted,
        "notes": list(summary.notes),
        "versions": dict(summary.header.versions),
    }


def _row(summary: LoadSummary, row: SecondRow) -> list[float | None]:
    """A second's values, in the order of `ROW`."""
    at = _since(summary, row.at_ns)
    return [at, row.asked, row.ok, row.failed, row.not_sent, row.p50_us, row.p90_us, row.p99_us]


def _latency(summary: LoadSummary, histogram: HdrHistogram | None) -> dict[str, Any]:
    settings = settings_of(summary.header)
    of = of_latencies(histogram, settings.percentiles, resolution=settings.resolution_s)
    return {
        "count": of.count,
        "mean_us": round(of.mean * 1e6, 3),
        "min_us": round(of.low * 1e6),
        "max_us": round(of.high * 1e6),
        "percentiles_us": {f"{percent:g}": round(value * 1e6) for percent, value in of.percentiles},
        "hdr": histogram.encode().decode("ascii") if histogram is not None else "",
    }


def _since(summary: LoadSummary, instant: int) -> float:
    return round((instant - summary.started_ns) / SECOND, 6)
