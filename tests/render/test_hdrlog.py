import re
from dataclasses import replace
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.analyze.hdr import decoded, value_at
from rollcheck.facts.attempts import Lane, Stage
from rollcheck.render.hdrlog import HlogWriter, in_nanoseconds, render_hgrm, render_hlog
from tests.analyze.load_facts import WALL, blob, document, header, interval

DATA = Path(__file__).parent / "data"
VALUES = {
    "one": [7],
    "alike": [100] * 3,
    "even": range(1, 3000),
    "one-slow": [5] * 999 + [1_000_000],
    "far-apart": [1, 3_000_000_000],
}
NANOSECONDS = HdrHistogram(1, 3_600_000_000_000, 3)


def lines_of(text):
    return [line for line in text.splitlines() if not line.startswith(("#", '"'))]


def read_back(text, tmp_path):
    """Every interval as the library's own reader sees it, and the start time it found."""
    path = tmp_path / "load.hlog"
    path.write_text(text)
    reader = HistogramLogReader(str(path), NANOSECONDS)
    found = []
    while (histogram := reader.get_next_interval_histogram()) is not None:
        found.append(histogram)
    reader.input_file.close()
    return found, reader.get_start_time_sec()


def test_the_librarys_reader_finds_every_second_and_tag(tmp_path):
    text = render_hlog(document(*(interval(s, [1_000 * (s + 1)] * 5, service=[500] * 5) for s in range(3))))
    found, start = read_back(text, tmp_path)

    assert [h.get_tag() for h in found] == ["response", "service"] * 3
    assert [h.get_start_time_stamp() - WALL // 10**6 for h in found] == [0, 0, 1000, 1000, 2000, 2000]
    assert [h.get_end_time_stamp() - h.get_start_time_stamp() for h in found] == [1000] * 6
    assert start == WALL / 10**9
    assert [h.get_value_at_percentile(50) for h in found[::2]] == pytest.approx([1e6, 2e6, 3e6], rel=0.001)


def test_maxima_are_milliseconds_with_their_decimals():
    (line, _) = lines_of(render_hlog(document(interval(0, [950]))))

    assert line.split(",")[3].startswith("0.95")


def test_a_second_is_one_line_whatever_lanes_and_workers_saw_it():
    facts = [interval(0, [100] * 3), interval(0.02, [100] * 4, worker=1), interval(0, [100], lane=Lane.FRESH)]
    (line, _) = lines_of(render_hlog(document(*facts)))

    assert HdrHistogram.decode(line.rpartition(",")[2]).get_total_count() == 8


def test_the_last_second_is_as_long_as_it_was():
    lines = lines_of(render_hlog(document(interval(0, [1]), interval(1, [1], length=0.25))))

    assert [line.split(",")[1:3] for line in lines[::2]] == [["0.000", "1.000"], ["1.000", "0.250"]]


def test_warm_up_and_probes_are_left_out():
    facts = [interval(-1, [1], stage=Stage.PREFLIGHT), interval(0, [1], lane=Lane.PROBE)]

    assert lines_of(render_hlog(document(*facts))) == []


def test_a_log_of_nothing_has_its_head():
    text = render_hlog(document())

    assert text.startswith("#[Histogram log format version 1.3]\n")
    assert re.search(r"^#\[StartTime: \d+\.\d{3} \(seconds since epoch\), ", text, re.MULTILINE)


def test_lines_come_while_the_load_goes_on_and_late_ones_are_not_lost():
    writer = HlogWriter(header())
    early = "".join(writer.add(interval(s, [100])) for s in range(10))
    late = writer.add(interval(1, [100] * 7, worker=1))
    lines = lines_of(early + late + writer.end())

    assert len(lines_of(early)) >= 8
    times = [float(line.split(",")[1]) for line in lines]
    assert times == sorted(times)
    counts = [HdrHistogram.decode(line.rpartition(",")[2]).get_total_count() for line in lines[::2]]
    assert sum(counts) == 17


@given(st.lists(st.integers(1, 3_599_000_000), min_size=1, max_size=30))
@settings(max_examples=20, deadline=None)
def test_nanoseconds_are_the_same_values_to_a_thousandth(values):
    fine = in_nanoseconds(decoded(blob(values)))

    assert fine.get_total_count() == len(values)
    assert fine.get_max_value() / 1000 == pytest.approx(max(values), rel=0.002, abs=1)
    assert value_at(fine, 50) / 1000 == pytest.approx(value_at(decoded(blob(values)), 50), rel=0.002, abs=1)


@pytest.mark.parametrize("name", VALUES)
def test_a_percentile_file_is_that_of_the_tools_in_java(name):
    """HistogramLogProcessor 2.2.2 made the files; it rounds halves up where Python does not."""
    ours, theirs = (
        [[float(n) for n in re.findall(r"[\d.]+", line)] for line in text.splitlines()]
        for text in (render_hgrm(decoded(blob(VALUES[name]))), (DATA / f"{name}.hgrm").read_text())
    )

    assert len(ours) == len(theirs)
    assert all(mine == pytest.approx(java, abs=1.1e-12) for mine, java in zip(ours[:-3], theirs[:-3], strict=True))
    assert all(mine == pytest.approx(java, abs=1.1e-3) for mine, java in zip(ours[-3:], theirs[-3:], strict=True))


def test_a_deviation_is_in_the_unit_of_the_values():
    text = render_hgrm(decoded(blob([1_000] * 50 + [3_000] * 50)))

    mean, deviation = re.search(r"Mean\s+=\s+([\d.]+), StdDeviation\s+=\s+([\d.]+)", text).groups()
    assert (float(mean), float(deviation)) == pytest.approx((2.0, 1.0), rel=0.001)


def test_a_percentile_file_reads_as_it_did(golden):
    values = [*range(100, 2_000, 3), *range(2_000, 90_000, 997)]

    golden("load.hgrm", render_hgrm(decoded(blob(values))).encode())


def test_a_percentile_file_of_nothing_says_so():
    assert "Total count    =            0]" in render_hgrm(None)


def test_an_interval_without_answers_adds_no_line():
    assert lines_of(render_hlog(document(replace(interval(0), failed=3)))) == []
