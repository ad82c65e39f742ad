"""What a load was asked for in fortio's terms, read from a document's header.

`Header.options` holds every flag by its fortio name; one that is missing has fortio's default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from rollcheck.facts.document import Header

PERCENTILES = (50.0, 75.0, 90.0, 99.0, 99.9)
RESOLUTION_S = 0.001
_SPAN = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The flags that fortio's report tells.

    Attributes:
        threads: connections asked for; fortio has a thread for each.
        requested_qps: "100", "max", or the stages as they were written.
        resolution_s, offset_s: of fortio's buckets.
        reuse: least and most requests per connection, zeros when unlimited.
    """

    percentiles: tuple[float, ...]
    resolution_s: float
    offset_s: float
    threads: int
    requested_qps: str
    url: str
    labels: str
    run_id: int
    abort_on: int
    reuse: tuple[int, int]


def settings_of(header: Header) -> Settings:
    """The settings of a load; what cannot be read counts as not given."""
    options = header.options
    low, _, high = options.get("connection-reuse", "").partition(":")
    return Settings(
        percentiles=_percentiles(options.get("p", "")),
        resolution_s=_number(options.get("r", ""), 0.0) or RESOLUTION_S,
        offset_s=seconds(options.get("offset", "")),
        threads=int(_number(options.get("c", ""), sum(lane.connections for lane in header.lanes))),
        requested_qps=options.get("stages") or (f"{header.qps:.9g}" if header.qps > 0 else "max"),
        url=without_user(header.url),
        labels=options.get("labels") or without_user(header.url).partition("://")[2],
        run_id=int(_number(options.get("runid", ""), 0)),
        abort_on=int(_number(options.get("abort-on", ""), 0)),
        reuse=(int(_number(low, 0)), int(_number(high or low, 0))),
    )


def switched_on(header: Header, name: str, *, default: bool = False) -> bool:
    """Whether the boolean flag of that name was on."""
    return header.options.get(name, str(default)).lower() in {"true", "t", "1", "on", "yes"}


def without_user(url: str) -> str:
    """The URL without user and password: commands refuse such a URL, and no report may show one all the same."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url


def seconds(text: str) -> float:
    """Seconds of a duration as Go writes it, or of a bare number; 0 of anything else."""
    parts = _SPAN.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))
    return _number(text, 0.0)


def _percentiles(text: str) -> tuple[float, ...]:
    found = [_number(part.strip(), -1.0) for part in text.split(",")]
    return tuple(p for p in found if 0 < p < 100) or PERCENTILES


def _number(text: str, default: float) -> float:
    try:
        return float(text)
    except ValueError:
        return default
