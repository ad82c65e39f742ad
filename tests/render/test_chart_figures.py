import xml.etree.ElementTree as ET
from functools import cache
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from cards import CARDS, graceful, immediate_exit, in_flight_and_broken, nasty, nothing, unsealed
from matplotlib.colors import to_rgb

from rollcheck.render.chartfigures import (
    CURVES,
    FAMILIES,
    errors_figure,
    heatmap_figure,
    percentiles_figure,
    run_images,
)
from rollcheck.render.charts import ALL_FAMILIES, charts_of_run
from rollcheck.render.drawing import style

FIGURES = {"percentiles": percentiles_figure, "heatmap": heatmap_figure, "errors": errors_figure}


@cache
def drawn(name, make):
    with style():
        return FIGURES[name](charts_of_run(make()))


def panel(figure, name):
    return next(axes for axes in figure.axes if axes.get_label() == name)


@cache
def images(make):
    return run_images(make())


def test_there_are_three_pictures_each_as_png_and_as_svg():
    found = images(in_flight_and_broken)

    assert set(found) == {f"{name}.{form}" for name in FIGURES for form in ("png", "svg")}
    assert all(data.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml") for name, data in found.items())


@pytest.mark.parametrize("make", [nothing, unsealed])
def test_a_run_with_little_in_it_can_be_drawn(make):
    assert images(make)


def test_bytes_are_the_same_each_time_whatever_a_user_has_set_for_matplotlib():
    with mpl.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.facecolor": "red", "image.cmap": "jet"}):
        assert run_images(immediate_exit()) == images(immediate_exit)


def test_drawing_leaves_global_settings_as_they_were():
    before = dict(mpl.rcParams)
    run_images(unsealed())

    assert dict(mpl.rcParams) == before


def test_the_curves_that_are_drawn_are_those_of_the_charts():
    lines = panel(drawn("percentiles", immediate_exit), "percentiles").get_lines()
    curves = [line for line in lines if not line.get_label().startswith("_")]

    for line, curve in zip(curves, charts_of_run(immediate_exit()).curves, strict=True):
        assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == list(curve.points)


def test_the_image_holds_the_cells_of_the_heat_map():
    heat = charts_of_run(immediate_exit()).heat
    (image,) = panel(drawn("heatmap", immediate_exit), "heatmap").get_images()

    assert np.array_equal(image.get_array().filled(0), np.array(heat.cells).T)
    assert image.get_extent()[:2] == [heat.start, heat.start + len(heat.cells)]


def test_the_bars_that_are_drawn_add_up_to_the_failures():
    figure = drawn("errors", in_flight_and_broken)
    held = [container for axes in figure.axes for container in axes.containers]
    heights = {(bars.get_label(), sum(bar.get_height() for bar in bars)) for bars in held}

    assert {("status (65)", 65), ("not sent (1)", 1), ("timeout (1)", 1)} <= heights
    assert sum(bar.get_height() for bars in held for bar in bars) == len(in_flight_and_broken().timeline.failures) + 1


def test_bars_are_stacked_without_gaps():
    axes = panel(drawn("errors", in_flight_and_broken), "errors")
    spans = sorted((bar.get_x(), bar.get_y(), bar.get_height()) for held in axes.containers for bar in held)

    reached = {}
    for x, y, height in spans:
        assert y == reached.get(x, 0)
        reached[x] = y + height


def test_a_graceful_run_says_that_nothing_failed():
    titles = [axes.get_title(loc="left") for axes in drawn("errors", graceful).axes]

    assert titles == ["No request failed, and none was left unsent"]


def luminance(colour):
    return float(np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)))


def test_families_can_be_told_apart_in_grey():
    """By a hatching of their own, or by a grey that no other plain one comes near."""
    assert set(FAMILIES) == set(ALL_FAMILIES)
    hatches = [hatch for _, hatch in FAMILIES.values() if hatch]
    plain = sorted(luminance(colour) for colour, hatch in FAMILIES.values() if not hatch)

    assert len(set(hatches)) == len(hatches)
    assert all(after - before > 0.2 for before, after in pairwise(plain))


def test_curves_of_one_picture_can_be_told_apart_in_grey():
    assert len({(line, width) for _, line, width in list(CURVES.values())[:4]}) == 4


def test_more_answers_are_darker_in_grey_too():
    (image,) = panel(drawn("heatmap", immediate_exit), "heatmap").get_images()
    shades = [luminance(colour[:3]) for colour in image.get_cmap()(np.linspace(0, 1, 64))]

    assert shades == sorted(shades, reverse=True)
    assert shades[0] < 0.8


@pytest.mark.parametrize("name", FIGURES)
def test_hostile_names_are_escaped_in_the_svg(name):
    svg = images(nasty)[f"{name}.svg"]

    assert b"<script" not in svg
    assert b"\x1b" not in svg
    ET.fromstring(svg)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("card", ["immediate-exit", "nasty", "in-flight-and-broken"])
def test_nothing_that_is_written_leaves_the_picture_or_overlaps_a_title(name, card):
    figure = drawn(name, CARDS[card])
    renderer = figure.canvas.get_renderer()
    inside = figure.bbox
    titles = [axes._left_title.get_window_extent(renderer) for axes in figure.axes if axes.get_title(loc="left")]
    stages = [text.get_window_extent(renderer) for axes in figure.axes for text in axes.texts]
    legends = [axes.get_legend().get_window_extent(renderer) for axes in figure.axes if axes.get_legend()]

    for box in (*titles, *stages, *legends):
        assert inside.x0 <= box.x0 <= box.x1 <= inside.x1
        assert inside.y0 <= box.y0 <= box.y1 <= inside.y1
    assert not any(title.overlaps(stage) for title in titles for stage in stages)
    assert not any(title.overlaps(text.get_window_extent(renderer)) for title in titles for text in figure.texts)
