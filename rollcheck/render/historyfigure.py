"""The trend over many runs and loads as a picture: what was lost each time, and how slow it was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from rollcheck.analyze.history import BAD, GOOD, UNSURE, Series
from rollcheck.render.drawing import BLACK, BLUE, GREEN, VERMILLION, WIDTH, drawable, saved, style
from rollcheck.render.text import clean, shorten

MOST_PANELS = 8
FEWEST_PLACES = 12
"""Of a panel, so that the bars of two runs are bars."""
MOST_ENTRIES = 60
"""Of one series; earlier ones are left out, and the title says so."""
MARKS = {GOOD: (GREEN, "o", "graceful, or nothing lost"), BAD: (VERMILLION, "X", "not graceful, or some lost")}
MARKS[UNSURE] = (BLACK, "D", "inconclusive, or not to be trusted")
PANEL, GAP, TOP, BOTTOM = 1.35, 0.62, 0.62, 0.3


def history_images(series: Sequence[Series]) -> tuple[bytes, bytes]:
    """The picture as PNG and as SVG; the same series give the same bytes with the same matplotlib."""
    with style():
        return saved(history_figure(series))


def history_figure(series: Sequence[Series]) -> Figure:
    """A panel for each series: its losses as bars with the verdict above them, its p99 as a line."""
    shown = list(series[:MOST_PANELS])
    panels = max(1, len(shown))
    height = TOP + panels * PANEL + (panels - 1) * GAP + BOTTOM + 0.3
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    left = f"; {len(series) - len(shown)} more are not shown" if len(series) > len(shown) else ""
    figure.text(0.15 / WIDTH, 1 - 0.12 / height, f"From run to run{left}", va="top", fontsize=11, weight="bold")
    for number, each in enumerate(shown):
        bottom = height - TOP - (number + 1) * PANEL - number * GAP
        box = (0.75 / WIDTH, bottom / height, 1 - 1.6 / WIDTH, PANEL / height)
        _panel(figure.add_axes(box, label=f"lost {number}"), each)
    _legend(figure, height)
    return figure


def _panel(axes: Axes, series: Series) -> None:
    entries = series.entries[-MOST_ENTRIES:]
    at = np.arange(len(entries))
    lost = np.array([entry.lost for entry in entries], dtype=np.float64)
    top = max(1.0, float(lost.max())) * 1.3
    dropped = f", the last {MOST_ENTRIES} of {len(series.entries)}" if len(series.entries) > MOST_ENTRIES else ""
    title = shorten(drawable(clean(f"{series.subject}: {series.summary}{dropped}")), 118)
    axes.set_title(title, loc="left", pad=6, parse_math=False)
    axes.bar(at, lost, width=0.6, color="#BBBBBB", label="lost", zorder=2)
    for tone, (colour, mark, _) in MARKS.items():
        held = [n for n, entry in enumerate(entries) if entry.tone == tone]
        axes.plot(
            held,
            lost[held] + top * 0.07,
            linestyle="none",
            marker=mark,
            color=colour,
            markersize=6,
            label=tone,
            zorder=4,
        )
    axes.set_ylim(0, top)
    axes.set_xlim(-0.6, max(len(entries), FEWEST_PLACES) - 0.4)
    axes.set_ylabel("lost")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    step = max(1, -(-len(entries) // 8))
    axes.xaxis.set_major_locator(FixedLocator(list(range(0, len(entries), step))))
    axes.set_xticklabels([clean(entries[n].started)[5:16].replace("T", " ") for n in range(0, len(entries), step)])
    _latency(axes, [entry.p99_ms for entry in entries])


def _latency(axes: Axes, values: Sequence[float | None]) -> None:
    """The 99th percentiles on an axis of their own, at the right."""
    if not any(values):
        return
    beside = axes.twinx()
    beside.set_label(str(axes.get_label()).replace("lost", "p99"))
    beside.spines["right"].set_visible(True)
    drawn = [float("nan") if value is None else value for value in values]
    beside.plot(range(len(drawn)), drawn, color=BLUE, linewidth=1.2, marker=".", linestyle="--", label="p99", zorder=3)
    beside.set_ylim(0, max(value for value in values if value) * 1.3)
    beside.set_ylabel("p99, ms")
    beside.yaxis.set_major_locator(MaxNLocator(nbins=3))
    beside.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _legend(figure: Figure, height: float) -> None:

    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, marker=mark, linestyle="none", label=words)
        for colour, mark, words in MARKS.values()
    ]
    handles += [Patch(color="#BBBBBB", label="requests lost"), Line2D([], [], color=BLUE, linestyle="--", label="p99")]
    figure.legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.02 / height), ncols=5, frameon=False, fontsize=8
    )
