"""The pictures beside the timeline: percentiles as HdrHistogram draws them, latencies over time, failures by second."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter

from rollcheck.analyze.model import Analysis
from rollcheck.facts.document import Document
from rollcheck.render.charts import Charts, ErrorBars, charts_of_load, charts_of_run
from rollcheck.render.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILLION,
    WIDTH,
    drawable,
    milliseconds_axis,
    percentile_axis,
    round_values,
    saved,
    stage_names,
    style,
)
from rollcheck.render.text import count

CURVES = {
    ("before", "response"): (GREY, "-", 1.3),
    ("before", "service"): (GREY, ":", 1.3),
    ("since the trigger", "response"): (BLUE, "-", 2.0),
    ("since the trigger", "service"): (VERMILLION, "--", 1.6),
    ("", "response"): (BLUE, "-", 2.0),
    ("", "service"): (VERMILLION, "--", 1.6),
}
"""Colour, line and width of each curve: they can be told apart without colours."""
FAMILIES = {
    "refused": (VERMILLION, "////"),
    "reset": (PURPLE, ""),
    "timeout": (BLACK, ""),
    "status": (BLUE, "xxxx"),
    "other": (GREEN, "...."),
    "not sent": ("#D0D0D0", ""),
    "counted only": ("#FFFFFF", "||||"),
}
"""Colour and hatching of each family of failures."""
TONES = {"good": GREEN, "bad": VERMILLION, "unsure": BLACK}
LEFT, RIGHT, TOP, BOTTOM = 0.75, 0.25, 1.0, 0.55
"""Margins, in inches."""


def run_images(analysis: Analysis) -> dict[str, bytes]:
    """File name → picture of a run; the same analysis gives the same bytes with the same matplotlib."""
    return _images(charts_of_run(analysis))


def load_images(document: Document) -> dict[str, bytes]:
    """The same of a load."""
    return _images(charts_of_load(document))


def _images(charts: Charts) -> dict[str, bytes]:
    made: dict[str, bytes] = {}
    figures: dict[str, Callable[[Charts], Figure]] = {
        "percentiles": percentiles_figure,
        "heatmap": heatmap_figure,
        "errors": errors_figure,
    }
    with style():
        for name, figure in figures.items():
            made[f"{name}.png"], made[f"{name}.svg"] = saved(figure(charts))
    return made


def percentiles_figure(charts: Charts) -> Figure:
    """Latency over 1 ÷ (1 − share): response time from when a request was due, service time from when it left."""
    figure, axes = _begun(charts, "percentiles", "Latency of good answers by percentile", 3.4)
    furthest = 10.0
    for curve in charts.curves:
        colour, line, width = CURVES[curve.when, curve.kind]
        shares = [share for share, _ in curve.points]
        when = f", {curve.when}" if curve.when else ""
        label = f"{curve.kind} time{when} ({count(curve.count)})"
        axes.plot(shares, [ms for _, ms in curve.points], color=colour, linestyle=line, linewidth=width, label=label)
        axes.plot(shares[-1:], [curve.points[-1][1]], color=colour, marker="o", markersize=4, label="_end")
        furthest = max(furthest, shares[-1])
    percentile_axis(axes, furthest * 1.02)
    milliseconds_axis(axes)
    axes.set_xlabel("share of the answers that were at least as fast; a dot is the slowest one")
    if not charts.curves:
        axes.set_title("No request got a good answer")
    else:
        axes.legend(loc="upper left", frameon=True, framealpha=0.85, edgecolor="none")
    return figure


def heatmap_figure(charts: Charts) -> Figure:
    """Answers per second by how long they took, over time: darker is more."""
    heat = charts.heat
    beyond = f"; {count(heat.beyond)} slower ones in the highest row" if heat and heat.beyond else ""
    figure, axes = _begun(charts, "heatmap", f"Response time of good answers, answers per second{beyond}", 3.4, 0.85)
    _time_axis(axes, charts)
    _stage_names(figure, axes, charts)
    axes.set_ylabel("ms")
    if heat is None:
        axes.set_title("No request got a good answer")
        axes.yaxis.set_major_locator(FixedLocator([]))
        return figure
    cells = np.array(heat.cells).T
    most = float(cells.max())
    # Cividis is made for colour-blind readers; turned round, more is darker, as it is in print.
    colours = ListedColormap(colormaps["cividis"].reversed()(np.linspace(0.16, 1, 256)), name="answers")
    low, high = math.log10(heat.low_ms), math.log10(heat.high_ms)
    least = float(cells[cells > 0].min())
    image = axes.imshow(
        np.ma.masked_equal(cells, 0),
        extent=(heat.start, heat.start + heat.width * cells.shape[1], low, high),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        norm=LogNorm(least, max(most, least * 1.001)),
        zorder=2,
    )
    image.set_label("answers")
    ticks = round_values(heat.low_ms, heat.high_ms)
    axes.yaxis.set_major_locator(FixedLocator([math.log10(tick) for tick in ticks]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:g}"))
    _scale(figure, least, most, colours)
    return figure


def _scale(figure: Figure, least: float, most: float, colours: ListedColormap) -> None:
    """What the shades of the heat map mean, at its right."""
    box = figure.axes[0].get_position()
    bar = figure.add_axes((box.x1 + 0.12 / WIDTH, box.y0, 0.14 / WIDTH, box.height), label="scale")
    shades = np.geomspace(least, max(most, least * 1.001), 64)
    bar.imshow(
        shades[:, None],
        extent=(0, 1, math.log10(shades[0]), math.log10(shades[-1])),
        origin="lower",
        aspect="auto",
        cmap=colours,
        norm=LogNorm(shades[0], shades[-1]),
    )
    bar.xaxis.set_major_locator(FixedLocator([]))
    bar.yaxis.tick_right()
    ticks = [tick for tick in round_values(shades[0], shades[-1]) if tick >= shades[0]]
    bar.yaxis.set_major_locator(FixedLocator([math.log10(tick) for tick in ticks]))
    bar.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{10**value:g}"))
    bar.set_title("per s", fontsize=8)


def errors_figure(charts: Charts) -> Figure:
    """Failed and never sent requests per second, a panel for each lane that has any, a bar's parts by family."""
    lanes = charts.errors
    panels = max(1, len(lanes))
    height = 1.25 * panels + 0.35 * (panels - 1)
    figure, first = _begun(charts, "errors", "", height, 1.25)
    box = first.get_position()
    tall = 1.25 / figure.get_figheight()
    step = tall + 0.35 / figure.get_figheight()
    for number in range(panels):
        axes = first if number == 0 else figure.add_axes((0, 0, 1, 1), label=f"errors {number}", sharex=first)
        axes.set_position((box.x0, box.y1 - tall - number * step, box.width, tall))
        _time_axis(axes, charts, last=number == panels - 1)
        if lanes:
            _bars(axes, lanes[number])
        else:
            axes.set_title("No request failed, and none was left unsent")
            axes.yaxis.set_major_locator(FixedLocator([]))
    _stage_names(figure, first, charts)
    first.set_title(first.get_title(loc="left"), pad=18 if charts.stages else None)
    return figure


def _bars(axes: Axes, bars: ErrorBars) -> None:
    lost = sum(sum(numbers) for numbers in bars.families.values())
    each = "second" if bars.width == 1 else f"{bars.width:g} seconds"
    axes.set_title(f"{bars.lane}: {count(lost)} failed or never sent, per {each}")
    columns = len(next(iter(bars.families.values())))
    lefts = bars.start + bars.width * np.arange(columns)
    below = np.zeros(columns)
    for family, numbers in bars.families.items():
        colour, hatch = FAMILIES[family]
        held = np.array(numbers)
        kept = held > 0
        axes.bar(
            lefts[kept],
            held[kept],
            width=bars.width,
            bottom=below[kept],
            align="edge",
            color=colour,
            hatch=hatch,
            edgecolor=BLACK if colour == "#FFFFFF" else "white",
            linewidth=0.4,
            label=f"{family} ({count(int(held.sum()))})",
            zorder=2,
        )
        below += held
    axes.set_ylim(0, max(1.0, float(below.max())) * 1.08)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=8, handlelength=1.6)


def _begun(charts: Charts, name: str, title: str, height: float, right: float = 0.0) -> tuple[Figure, Axes]:
    """A figure with its headline and one panel of that many inches; laid out by hand, as in the timeline."""
    said = textwrap.wrap(drawable(charts.headline), 118)[:2] or [""]
    top = TOP + 0.16 * (len(said) - 1) + (0.0 if title else 0.05)
    whole = top + height + BOTTOM
    figure = Figure(figsize=(WIDTH, whole))
    FigureCanvasAgg(figure)
    left = 0.15 / WIDTH
    colour = TONES[charts.tone]
    figure.text(left, 1 - 0.12 / whole, charts.title, va="top", fontsize=11, weight="bold", color=colour)
    figure.text(left, 1 - 0.36 / whole, "\n".join(said), va="top", fontsize=8.5, parse_math=False)
    box = (LEFT / WIDTH, BOTTOM / whole, 1 - (LEFT + RIGHT + right) / WIDTH, height / whole)
    axes = figure.add_axes(box, label=name)
    axes.set_title(title, pad=18 if charts.stages and name != "percentiles" else None)
    return figure, axes


def _stage_names(figure: Figure, axes: Axes, charts: Charts) -> None:
    """Above a panel, between it and its title."""
    box = axes.get_position()
    length = max(charts.end - charts.start, 1e-3)
    lift = 0.06 / (box.height * figure.get_figheight())
    stage_names(axes, charts.stages, charts.start, length, box.width * WIDTH, lift=lift, size=8)


def _time_axis(axes: Axes, charts: Charts, *, last: bool = True) -> None:
    """Seconds, and lines where a stage began, the trigger's a bolder one."""
    axes.set_xlim(charts.start, max(charts.end, charts.start + 1e-3))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", labelbottom=last)
    for _, start, _ in charts.stages[1:]:
        axes.axvline(start, color="#999999", linewidth=0.8, linestyle=(0, (1, 2)), zorder=3)
    if charts.zero == "trigger":
        axes.axvline(0, color=BLACK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=3)
    axes.yaxis.set_minor_formatter(NullFormatter())
    if last:
        axes.set_xlabel(f"seconds since the {'trigger' if charts.zero == 'trigger' else 'start'}")
