import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from loads import LOADS, closed_loop, failing, healthy, late, nothing, slow_target

from rollcheck.analyze.thresholds import judge, parse_threshold
from rollcheck.render.buckets import Bucket, Distribution
from rollcheck.render.fortio import block, fortio_lines, fortio_text, share
from rollcheck.render.text import cells

DATA = Path(__file__).parent / "data"
REAL = (DATA / "fortio-run.txt").read_text().splitlines()
"""What fortio 1.68.0 printed, and fortio-run.json is what it wrote of that run."""
THRESHOLDS = ("p99<50ms", "errors==0")


def distribution(raw):
    return Distribution(
        count=raw["Count"],
        low=raw["Min"],
        high=raw["Max"],
        total=raw["Sum"],
        mean=raw["Avg"],
        deviation=raw["StdDev"],
        buckets=tuple(
            Bucket(start=b["Start"], end=b["End"], percent=b["Percent"], count=b["Count"]) for b in raw["Data"] or ()
        ),
        percentiles=tuple((p["Percentile"], p["Value"]) for p in raw.get("Percentiles", ())),
    )


@pytest.mark.parametrize(
    ("title", "field"),
    [
        ("Aggregated Function Time", "DurationHistogram"),
        ("Error cases", "ErrorsDurationHistogram"),
        ("Connection time histogram (s)", "ConnectionStats"),
    ],
)
def test_a_distribution_reads_as_fortio_prints_it(title, field):
    result = json.loads((DATA / "fortio-run.json").read_text())
    ours = block(title, distribution(result[field]))
    start = next(number for number, line in enumerate(REAL) if line.startswith(f"{title} :"))

    assert ours == REAL[start : start + len(ours)]


def test_lines_come_in_fortios_order():
    """Every line of a real run has its like here, in the same place; only the sleep times have none."""
    theirs = [shape(line) for line in REAL if not line.startswith("Sleep times")]

    assert list(dict.fromkeys(map(shape, fortio_lines(healthy())))) == list(dict.fromkeys(theirs))


def shape(line):
    """A line without its numbers: what people grep for."""
    line = re.sub(r"^(Fortio|rollcheck) \S+", "TOOL", line)
    line = re.sub(r"http://\S+", "URL", line)
    line = re.sub(r"\d[\d.e+-]*(m?s\b)?", "N", line)
    return re.sub(r"^>=? N.*", "> bucket", line)


@pytest.mark.parametrize("name", LOADS)
def test_a_report_reads_as_it_did(name, golden):
    summary = LOADS[name]()
    judgements = judge([parse_threshold(text) for text in THRESHOLDS], summary)

    golden(f"load-{name}.txt", fortio_text(summary, judgements=judgements).encode())


def test_a_quiet_report_has_counters_and_percentiles_only(golden):
    golden("load-failing-quiet.txt", fortio_text(failing(), quiet=True).encode())


@pytest.mark.parametrize(
    ("make", "first"),
    [
        (late, "RATE NOT HELD: worker 1 was killed (SIGKILL)"),
        (slow_target, "RATE NOT REACHED: the target kept all 2 connections busy: 100 of 300"),
        (closed_loop, "INTERRUPTED: SIGINT after 0.4 s"),
        (healthy, "rollcheck 0.1.0 running at 100 queries per second, 2->1 procs, for 3s: http://127.0.0.1:8080/echo"),
    ],
)
def test_the_first_line_says_when_the_figures_are_not_what_was_asked_for(make, first):
    assert fortio_text(make()).startswith(first)


def test_a_share_is_a_whole_only_when_it_is():
    assert share(29_999, 30_000) == "99.9"
    assert share(30_000, 30_000) == "100.0"
    assert share(1, 3) == "33.3"
    assert share(0, 0) == "0.0"


@pytest.mark.parametrize("make", [healthy, failing, nothing])
def test_codes_add_up_to_what_was_scheduled(make):
    summary = make()
    lines = [line for line in fortio_lines(summary) if line.startswith("Code")]

    assert sum(int(line.split()[3]) for line in lines) == summary.scheduled


def test_greps_that_people_use_find_their_lines():
    text = fortio_text(healthy())

    assert re.search(r"^Code 200 : 300 \(100\.0 %\)$", text, re.MULTILINE)
    assert re.search(r"^# target 99% 0\.0150", text, re.MULTILINE)
    assert re.search(r"^All done 300 calls \(plus 4 warmup\) 2\.85\d ms avg, 100\.0 qps$", text, re.MULTILINE)
    assert re.search(r"^Sockets used: 4 \(for perfect keepalive, would be 4\)$", text, re.MULTILINE)


def test_a_slow_target_is_falling_behind_as_fortio_says_it():
    assert any(line.startswith("WARNING ") and "falling behind" in line for line in fortio_lines(slow_target()))


def test_colours_are_added_to_our_lines_only_when_asked_for():
    judgements = judge([parse_threshold("errors==0")], failing())

    assert "\x1b" not in fortio_text(failing(), judgements=judgements)
    coloured = fortio_text(failing(), colour=True, judgements=judgements)
    assert "\x1b[31mCode" not in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == fortio_text(failing(), judgements=judgements)


@pytest.mark.parametrize("name", LOADS)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_our_prose_fits_the_width(name, width):
    text = fortio_text(LOADS[name](), width=width)
    _, _, ours = text.partition("All done")
    lines = ours.splitlines()[1:]

    assert [line for line in lines if cells(line) > max(width, 82) and not line.startswith("  ")] == []
    assert all(cells(line) <= width for line in lines if line.startswith(("  sent/s", "  lost", "  p99")))


@pytest.mark.parametrize("name", LOADS)
def test_nothing_of_a_report_drives_a_terminal(name):
    assert all(line.isprintable() for line in fortio_text(LOADS[name]()).splitlines())


def test_stages_stand_where_the_rate_does():
    summary = healthy()
    options = {**summary.header.options, "stages": "100:30s,500:1m"}
    told = fortio_lines(replace(summary, header=replace(summary.header, qps=0.0, options=options)))

    assert told[0].startswith("rollcheck 0.1.0 running at 100:30s,500:1m queries per second")
    assert told[1].startswith("Starting at 100:30s,500:1m qps with 4 thread(s) [gomax 1] for 3s : 75 calls each")


@pytest.mark.parametrize(
    ("changes", "rate", "rest"),
    [
        ({"qps": 0.0, "duration_s": 5.0}, "max", " for 5s"),
        ({"qps": 0.0, "duration_s": 0.0, "calls": 101}, "max", " for exactly 101 calls (25 per thread + 1)"),
        ({"qps": 8.0, "duration_s": 0.0, "calls": 101}, "8", " : exactly 101, 25 calls each (total 100 + 1)"),
        ({"qps": 8.0, "duration_s": 0.0}, "8", " until interrupted"),
        ({"qps": 0.5, "duration_s": 90.0}, "0.5", " for 1m30s : 11 calls each (total 45)"),
    ],
)
def test_the_start_is_told_as_fortio_tells_it(changes, rate, rest):
    summary = healthy()
    told = fortio_lines(replace(summary, header=replace(summary.header, **changes)))

    assert told[1] == f"Starting at {rate} qps with 4 thread(s) [gomax 1]{rest}"
