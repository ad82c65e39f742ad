import json
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from random import Random

import matplotlib as mpl
import pytest
from loads import failing, healthy, nothing

from rollcheck.analyze.compare import compare
from rollcheck.analyze.load import summarise
from rollcheck.analyze.results import decode_result, of_summary
from rollcheck.render.comparison import comparison_json, comparison_text, verdict
from rollcheck.render.curves import comparison_figure, comparison_images
from rollcheck.render.text import cells
from tests.analyze.load_facts import document, header, interval, mark

REAL = (Path(__file__).parent / "data" / "fortio-run.json").read_bytes()
NASTY = "a\x1b[31m\u202e$x^2$ <script>"


@cache
def side(factor, name="reports/load"):
    random = Random(factor)
    facts = [interval(s, [int(random.lognormvariate(7, 0.4) * factor) for _ in range(50)]) for s in range(20)]
    return of_summary(
        summarise(document(mark(), *facts, head=header(duration_s=20.0, qps=50.0))),
        name,
        started="2026-11-21T07:10:00Z",
    )


def of(summary, name="x"):
    return of_summary(summary, name, started="2026-11-21T07:10:00Z")


def fortio():
    return decode_result(REAL, "fortio.json")


CASES = {
    "worse": lambda: compare(side(1, "reports/before"), side(2, "reports/after")),
    "alike": lambda: compare(side(1, "reports/before"), side(1, "reports/before")),
    "fortio": lambda: compare(fortio(), of(failing(), "ours.json")),
    "nothing": lambda: compare(of(healthy()), of(nothing(), NASTY)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_comparison_reads_as_it_did(name, golden):
    golden(f"compare-{name}.txt", comparison_text(CASES[name]()).encode())


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("width", [80, 100])
def test_a_comparison_is_printable_and_fits(name, width):
    lines = comparison_text(CASES[name](), width=width).splitlines()

    assert all(line.isprintable() for line in lines)
    assert all(cells(line) <= max(width, 84) for line in lines)


def test_a_program_reads_the_same_as_a_person():
    made = json.loads(comparison_json(CASES["worse"]()))

    assert made["schema"] == "rollcheck.compare/1"
    assert made["worse"] == ["p50", "p90", "p99"]
    assert made["judged"]
    p50 = made["differences"][0]
    assert (p50["name"], p50["worse"], p50["noise"]["larger"]) == ("p50", True, True)
    assert p50["noise"]["low"] < p50["b"] - p50["a"] < p50["noise"]["high"]


def test_what_could_not_be_judged_is_null():
    made = json.loads(comparison_json(CASES["fortio"]()))

    assert not made["judged"]
    assert made["unjudged"]
    assert all(d["noise"] is None for d in made["differences"])


def test_only_what_is_worse_or_better_has_a_colour():
    text = comparison_text(CASES["worse"](), colour=True)
    red = "\x1b[31m"
    told = [line.removeprefix(red).split()[0] for line in text.splitlines() if line.startswith(red)]

    assert told == ["p50", "p90", "p99"]
    assert verdict(CASES["alike"]()) == "No difference is larger than the noise."


class TestPicture:
    @pytest.mark.parametrize("name", ["worse", "fortio", "nothing"])
    def test_every_comparison_can_be_drawn(self, name):
        png, svg = comparison_images(CASES[name]())

        assert png.startswith(b"\x89PNG")
        ET.fromstring(svg)

    def test_bytes_are_the_same_each_time_whatever_a_user_has_set(self):
        before = comparison_images(CASES["fortio"]())

        with mpl.rc_context({"lines.linewidth": 9, "font.size": 30}):
            assert comparison_images(CASES["fortio"]()) == before

    def test_curves_end_at_the_share_of_their_last_value(self):
        axes = comparison_figure(CASES["fortio"]()).axes[0]
        ends = [line.get_xdata()[-1] for line in axes.get_lines()]

        assert ends == pytest.approx([300, 6007])
        assert axes.get_xscale() == "log"

    def test_curves_pass_through_the_percentiles(self):
        comparison = CASES["worse"]()
        line = comparison_figure(comparison).axes[0].get_lines()[0]
        shares, values = list(line.get_xdata()), list(line.get_ydata())

        at = min(range(len(shares)), key=lambda n: abs(shares[n] - 100))
        assert values[at] == pytest.approx(comparison.a.response.at(99) / 1000, rel=0.05)

    def test_seconds_are_drawn_only_where_both_have_them(self):
        assert [a.get_label() for a in comparison_figure(CASES["worse"]()).axes] == ["percentiles", "seconds"]
        assert [a.get_label() for a in comparison_figure(CASES["fortio"]()).axes] == ["percentiles"]

    def test_loads_are_told_apart_without_colours(self):
        lines = comparison_figure(CASES["worse"]()).axes[0].get_lines()

        assert len({line.get_linestyle() for line in lines}) == 2

    def test_the_axis_has_round_numbers(self):
        axes = comparison_figure(CASES["worse"]()).axes[1]
        low, high = axes.get_ylim()

        assert len([t for t in axes.get_yticks() if low <= t <= high]) >= 2

    def test_a_hostile_name_is_spelled_out(self):
        _, svg = comparison_images(compare(side(1), side(1, NASTY)))

        assert b"<script" not in svg
        assert b"\x1b" not in svg
