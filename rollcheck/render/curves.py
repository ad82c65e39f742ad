"""Two loads' latencies overlaid: percentiles on an axis that gives every further nine the same room, and the seconds.

The first panel is read as HdrHistogram's plots are: to the right the share that was slower gets ten times smaller with
each step, so the tail is seen as well as the middle. The second has the 99th percentile of each second, where both
loads know it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rollcheck.analyze.compare import Comparison
from rollcheck.analyze.loadmodel import SecondRow
from rollcheck.analyze.results import Curve, Result
from rollcheck.facts.clock import SECOND
from rollcheck.render.comparison import verdict
from rollcheck.render.drawing import BLUE, VERMILLION, WIDTH, milliseconds_axis, percentile_axis, saved, style
from rollcheck.render.text import clean, shorten

SIDES = {"A": (BLUE, "-", "o"), "B": (VERMILLION, "--", "v")}
"""Colour, line and mark of each: they can be told apart without colours."""
POINTS = 200


def comparison_images(comparison: Comparison) -> tuple[bytes, bytes]:
    """The picture as PNG and as SVG; the same comparison gives the same bytes with the same matplotlib."""
    with style():
        return saved(comparison_figure(comparison))


def comparison_figure(comparison: Comparison) -> Figure:
    """The picture as a matplotlib Figure of its own."""
    timed = bool(comparison.a.seconds and comparison.b.seconds)
    height = 7.2 if timed else 4.6
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    left = 0.75 / WIDTH
    figure.text(left, 1 - 0.15 / height, verdict(comparison), va="top", fontsize=10.5, weight="bold", parse_math=False)
    # Laid out by hand: matplotlib's own way measures every label, for a second.
    room = {"left": left, "right": 1 - 0.2 / WIDTH, "top": 1 - 0.75 / height, "bottom": 0.55 / height, "hspace": 0.28}
    rows = 2 if timed else 1
    panels = figure.subplots(rows, 1, height_ratios=(3, 2)[:rows], squeeze=False, gridspec_kw=room)[:, 0]
    _percentiles(panels[0], comparison)
    if timed:
        _over_time(panels[1], comparison)
    return figure


def _percentiles(axes: Axes, comparison: Comparison) -> None:
    """Latency over 1 ÷ (1 − p), logarithmic; a curve ends at the share of its last value."""
    axes.set_label("percentiles")
    kind = "Response" if comparison.measure == "response" else "Service"
    axes.set_title(f"{kind} time by percentile")
    furthest = 10.0
    for side, result in (("A", comparison.a), ("B", comparison.b)):
        curve = result.response if comparison.measure == "response" else result.service
        if curve is None:
            continue
        shares = _shares(curve)
        furthest = max(furthest, shares[-1])
        colour, line, _ = SIDES[side]
        values = [max(curve.at(100 - 100 / share), 1.0) / 1000 for share in shares]
        axes.plot(shares, values, color=colour, linestyle=line, linewidth=1.7, label=_name(side, result))
    percentile_axis(axes, furthest)
    milliseconds_axis(axes)
    if axes.get_lines():
        legend = axes.legend(loc="upper left", frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _shares(curve: Curve) -> list[float]:
    """1 ÷ (1 − p) at even steps of its logarithm, up to the one value in `count`."""
    top = math.log10(max(curve.count, 10))
    return [10 ** (top * n / POINTS) for n in range(POINTS + 1)]


def _over_time(axes: Axes, comparison: Comparison) -> None:
    axes.set_label("seconds")
    axes.set_title("99th percentile of the response time in each second")
    for side, result in (("A", comparison.a), ("B", comparison.b)):
        colour, line, mark = SIDES[side]
        at, values = _series(result.seconds)
        axes.plot(
            at, values, color=colour, linestyle=line, marker=mark, markersize=3 if len(at) <= 120 else 0, linewidth=1.1
        )
    axes.set_xlabel("seconds since the start of each load")
    milliseconds_axis(axes)


def _series(rows: Sequence[SecondRow]) -> tuple[list[float], list[float]]:
    """Instants and milliseconds; a second without answers is a gap."""
    first = rows[0].at_ns
    nothing = float("nan")
    return (
        [(row.at_ns - first) / SECOND for row in rows],
        [nothing if row.p99_us is None else max(row.p99_us, 1) / 1000 for row in rows],
    )


def _name(side: str, result: Result) -> str:
    return f"{side}: {shorten(clean(result.name), 60)}"
