import xml.etree.ElementTree as ET
from functools import cache
from itertools import pairwise

import matplotlib as mpl
import pytest
from cards import CARDS, graceful, immediate_exit, killed, many, nasty, unsealed

from rollcheck.render.figures import timeline_figure, timeline_images


@cache
def drawn(make):
    """The figure of a card, built once: the tests only look at it."""
    return timeline_figure(make())


def panel(figure, name):
    return next(axes for axes in figure.axes if axes.get_label() == name)


def labelled(axes, label):
    return next(artist for artist in axes.get_children() if artist.get_label() == label)


@pytest.mark.parametrize("name", ["in-flight-and-broken", "nothing", "stuck"])
def test_every_run_can_be_drawn(name):
    assert timeline_images(CARDS[name]())[0].startswith(b"\x89PNG")


def test_bytes_are_the_same_each_time_whatever_a_user_has_set_for_matplotlib():
    before = timeline_images(unsealed())

    with mpl.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.facecolor": "red"}):
        assert timeline_images(unsealed()) == before


def test_drawing_leaves_global_settings_as_they_were():
    before = dict(mpl.rcParams)
    timeline_images(unsealed())

    assert dict(mpl.rcParams) == before


def test_marks_of_failures_lie_where_attempts_began():
    marks = labelled(panel(drawn(immediate_exit), "failures"), "fresh no route")

    assert list(marks.get_xdata()) == pytest.approx([2.65, 5.65, 8.65])


def test_every_kind_of_failure_has_a_mark_of_its_own():
    lines = panel(drawn(immediate_exit), "failures").get_lines()
    marks = {line.get_label(): line.get_marker() for line in lines if line.get_linestyle() == "None"}

    assert marks == {"fresh refused": "x", "fresh no route": "x", "reused reset before the answer": "v"}


def test_rates_are_those_of_the_slots():
    values = labelled(panel(drawn(immediate_exit), "rate"), "ok").get_data().values

    assert max(values) == pytest.approx(200)
    assert min(values) < 190


def test_a_bar_of_terminating_pods_is_drawn_for_each_old_pod():
    bars = labelled(panel(drawn(graceful), "pods"), "terminating").get_paths()

    assert len(bars) == 3
    assert bars[0].get_extents().x0 == pytest.approx(2.205)


def test_exit_codes_stand_behind_the_bars():
    texts = [text.get_text() for text in panel(drawn(killed), "pods").texts]

    assert "137" in texts


def test_rows_of_pods_are_labelled_by_name():
    labels = [label.get_text() for label in panel(drawn(graceful), "pods").get_yticklabels()]

    assert labels == ["old-1", "old-2", "old-3", "new-1", "new-2", "new-3"]


def test_all_panels_share_the_time_axis():
    assert len({axes.get_xlim() for axes in drawn(immediate_exit).axes}) == 1


def test_hostile_names_are_escaped_in_the_svg():
    _, svg = timeline_images(nasty())

    assert b"<script" not in svg
    assert b"\x1b" not in svg
    ET.fromstring(svg)


def test_no_label_of_a_row_leaves_the_picture():
    figure = drawn(nasty)
    renderer = figure.canvas.get_renderer()

    for axes in figure.axes:
        for label in axes.get_yticklabels():
            assert label.get_window_extent(renderer).x0 >= 0


def test_labels_of_pods_do_not_overlap():
    for make in (graceful, many):
        figure = drawn(make)
        renderer = figure.canvas.get_renderer()
        boxes = [label.get_window_extent(renderer) for label in panel(figure, "pods").get_yticklabels()]

        assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(boxes))


def test_stage_names_do_not_overlap_the_headline():
    figure = drawn(immediate_exit)
    renderer = figure.canvas.get_renderer()
    headline = figure.texts[1].get_window_extent(renderer)
    stages = [text.get_window_extent(renderer) for text in panel(figure, "rate").texts]

    assert stages
    assert all(not headline.overlaps(stage) for stage in stages)
