"""Two loads' latencies overlaid: percentiles on an axis that gives every further nine the same room, and the seconds.

The first panel is read as HdrHistogram's plots are: to the right the share that was slower gets ten times smaller with
each step, so the tail is seen as well as the middle. The second has the 99th percentile of each second, where both
loads know it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from rollcheck.analyze.compare import Comparison
from rollcheck.analyze.loadmodel import SecondRow
from rollcheck.analyze.results import Curve, Result
from rollcheck.facts.clock import SECOND
from rollcheck.render.comparison import verdict
from rollcheck.render.text import clean, shorten

SIDES = {"A": ("#0072B2", "-", "o"), "B": ("#D55E00", "--", "v")}
"""Colour, line and mark of each: they can be told apart without colours."""
POINTS = 200
WIDTH = 10.0


def comparison_images(comparison: Comparison) -> tuple[bytes, bytes]:
    """The picture as PNG and as SVG; the same comparison gives the same bytes with the same matplotlib."""
    with mpl.rc_context():
        _set_style()
        figure = comparison_figure(comparison)
        out = []
        for form, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=form, metadata=metadata)
            out.append(buffer.getvalue())
    return out[0], out[1]


def _set_style() -> None:
    mpl.rcdefaults()  # whatever a user's matplotlibrc says, the picture is the same
    mpl.rcParams.update(
        {
            "font.family": ["DejaVu Sans"],
            "font.size": 9,
            "svg.fonttype": "none",
            "svg.hashsalt": "rollcheck",
            "savefig.dpi": 120,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 9.5,
            "axes.titlelocation": "left",
        }
    )


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
    axes.set_xscale("log")
    axes.set_xlim(1, furthest)
    axes.set_yscale("log")
    nines = math.ceil(math.log10(furthest))
    axes.xaxis.set_major_locator(FixedLocator([1, 2, 4, *(10**n for n in range(1, nines + 1))]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 - 100 / share:.10g}%"))
    _milliseconds(axes)
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
    axes.set_yscale("log")
    axes.set_xlabel("seconds since the start of each load")
    _milliseconds(axes)


def _series(rows: Sequence[SecondRow]) -> tuple[list[float], list[float]]:
    """Instants and milliseconds; a second without answers is a gap."""
    first = rows[0].at_ns
    nothing = float("nan")
    return (
        [(row.at_ns - first) / SECOND for row in rows],
        [nothing if row.p99_us is None else max(row.p99_us, 1) / 1000 for row in rows],
    )


def _milliseconds(axes: Axes) -> None:
    """A logarithmic axis with round numbers on it, at least two of them where the values allow it."""
    drawn = [np.asarray(line.get_ydata(), dtype=np.float64) for line in axes.get_lines()]
    values = np.concatenate([np.empty(0), *drawn])
    values = values[np.isfinite(values)]  # a second without answers is drawn as a gap
    values = values if len(values) else np.ones(1)
    low, high = float(np.min(values)) / 1.3, float(np.max(values)) * 1.3
    steps = (1, 2, 5) if high / low < 100 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator([step * 10.0**power for power in powers for step in steps]))
    axes.set_ylabel("ms")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)


def _name(side: str, result: Result) -> str:
    return f"{side}: {shorten(clean(result.name), 60)}"
