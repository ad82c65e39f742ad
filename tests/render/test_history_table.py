import json
import re
import xml.etree.ElementTree as ET

from harmful import TEXTS
from hypothesis import given, settings

from rollcheck.analyze.history import BAD, GOOD, UNSURE, Entry, series_of
from rollcheck.render.history import history_json, history_text
from rollcheck.render.historyfigure import MOST_ENTRIES, MOST_PANELS, history_figure, history_images
from rollcheck.render.text import cells, clean

TONE = {"graceful": GOOD, "not graceful": BAD, "inconclusive": UNSURE}


def entry(day, verdict="graceful", lost=0, **fields):
    return Entry(
        **{
            "place": f"reports/web-{day}",
            "kind": "run",
            "subject": "deployment/web in shop",
            "started": f"2026-01-{day:02}T10:00:00.123456Z",
            "verdict": verdict,
            "tone": TONE[verdict],
            "lost": lost,
            "sent": 5000,
            "causes": ("immediate exit on SIGTERM",) if lost else (),
            "p50_ms": 4.0,
            "p99_ms": 12.5,
            **fields,
        }
    )


SERIES = series_of(
    [
        entry(1, "not graceful", 41),
        entry(2, "not graceful", 17),
        entry(3, "inconclusive", p99_ms=None),
        entry(4),
        entry(5),
        entry(2, kind="load", subject="http://web/ at 100/s", lost=3),
    ]
)


def test_the_table_is_golden(golden):
    golden("history.txt", history_text(SERIES, width=100).encode())


def test_colour_only_repeats_what_the_words_say():
    coloured = history_text(SERIES, width=100, colour=True)

    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == history_text(SERIES, width=100)
    assert "\x1b[31mnot graceful" in coloured


def test_json_has_every_entry_with_its_numbers():
    told = json.loads(history_json(SERIES))

    assert told["schema"] == "rollcheck.history/1"
    assert [each["lost"] for each in told["series"][0]["entries"]] == [41, 17, 0, 0, 0]
    assert told["series"][0]["entries"][2]["p99_ms"] is None


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_names_of_any_kind_come_out_as_they_read(text):
    named = [entry(day, subject=text, place=text, causes=(text,), started=text) for day in (1, 2)]
    series = series_of(named)

    shown = history_text(series, width=400)
    assert clean(text) in shown
    assert all(line.isprintable() for line in shown.split("\n"))
    read = json.loads(history_json(series))["series"][0]
    assert read["subject"] == text.encode("utf-8", "replace").decode()


def test_no_line_is_wider_than_the_terminal():
    for width in (72, 80, 120):
        assert all(cells(line) <= width for line in history_text(SERIES, width=width).split("\n"))


def panel(figure, label):
    return next(axes for axes in figure.axes if axes.get_label() == label)


def test_bars_are_what_was_lost_and_marks_are_the_verdicts():
    axes = panel(history_figure(SERIES), "lost 0")
    marks = {line.get_label(): list(line.get_xdata()) for line in axes.get_lines()}

    assert [bar.get_height() for bar in axes.containers[0]] == [41, 17, 0, 0, 0]
    assert marks == {GOOD: [3, 4], BAD: [0, 1], UNSURE: [2]}


def test_the_line_is_the_99th_percentile_with_gaps_where_it_is_not_known():
    (line,) = panel(history_figure(SERIES), "p99 0").get_lines()

    assert [value == value for value in line.get_ydata()] == [True, True, False, True, True]


def test_verdicts_can_be_told_apart_without_colours():
    axes = panel(history_figure(SERIES), "lost 0")

    assert len({line.get_marker() for line in axes.get_lines()}) == 3


def test_bytes_are_the_same_each_time():
    assert history_images(SERIES) == history_images(SERIES)


def test_what_does_not_fit_is_said():
    many = series_of(entry(n % 28 + 1, subject=f"s{n % (MOST_PANELS + 2)}") for n in range(40))
    long = series_of(entry(n % 28 + 1) for n in range(MOST_ENTRIES + 5))

    assert "2 more are not shown" in history_figure(many).texts[0].get_text()
    assert f"the last {MOST_ENTRIES} of {MOST_ENTRIES + 5}" in panel(history_figure(long), "lost 0").get_title(
        loc="left"
    )


def test_hostile_names_are_escaped_in_the_svg():
    _, svg = history_images(series_of([entry(1, subject="<script>\x1b[31m$x$")]))

    assert b"<script" not in svg
    assert b"\x1b" not in svg
    ET.fromstring(svg)
