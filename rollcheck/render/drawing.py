"""What every picture but the timeline shares: its style, its axes, and how it becomes bytes.

Pictures are the same bytes each time with the same matplotlib: no dates, a fixed salt for the ids of an SVG, and
nothing of a user's own settings. Colours are Okabe and Ito's, and whatever a colour says, a line, a mark or a hatching
says too: the pictures are read without colours as well.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

BLUE, VERMILLION, GREEN, PURPLE, BLACK, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#767676"
WIDTH = 10.0
"""Of a picture, in inches."""
NAME_INCHES = 0.075
"""What a letter of a stage's name takes."""


@contextmanager
def style() -> Iterator[None]:
    """Settings of our own: whatever a user's matplotlibrc says, the picture is the same."""
    with mpl.rc_context():
        mpl.rcdefaults()
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
                "hatch.linewidth": 0.7,
            }
        )
        yield


def saved(figure: Figure) -> tuple[bytes, bytes]:
    """A figure as PNG and as SVG, its text as text."""
    out = []
    for form, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=form, metadata=metadata)
        out.append(buffer.getvalue())
    return out[0], out[1]


def drawable(text: str) -> str:
    """`text` with every character that the font lacks replaced by one that it has."""
    glyphs = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    return "".join(c if ord(c) in glyphs else "\ufffd" for c in text)


def stage_names(
    axes: Axes,
    stages: Iterable[tuple[str, float, float]],
    start: float,
    length: float,
    inches: float,
    *,
    lift: float,
    size: float,
) -> None:
    """Above a panel, each stage's name over its middle, unless the stage is too narrow for it.

    Args:
        stages: name, beginning and end in seconds; the panel begins at `start` and is `length` long.
        inches: how wide the panel is.
        lift: how far above the panel, as a share of its height.
        size: of the letters, in points.
    """
    for name, begin, end in stages:
        if (end - begin) / length * inches >= NAME_INCHES * len(name):
            axes.text(
                ((begin + end) / 2 - start) / length,
                1 + lift,
                name,
                transform=axes.transAxes,
                ha="center",
                fontsize=size,
                style="italic",
                color="#444444",
            )


def percentile_axis(axes: Axes, furthest: float) -> None:
    """An axis of 1 ÷ (1 − share) that gives every further nine the same room, named by percentiles."""
    axes.set_xscale("log")
    axes.set_xlim(1, furthest)
    nines = math.ceil(math.log10(furthest))
    axes.xaxis.set_major_locator(FixedLocator([1, 2, 4, *(10**n for n in range(1, nines + 1))]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 - 100 / share:.10g}%"))


def milliseconds_axis(axes: Axes) -> None:
    """A logarithmic axis of milliseconds around what is drawn, with round numbers on it."""
    drawn = [np.asarray(line.get_ydata(), dtype=np.float64) for line in axes.get_lines()]
    values = np.concatenate([np.empty(0), *drawn])
    values = values[np.isfinite(values)]  # a second without answers is drawn as a gap
    values = values if len(values) else np.ones(1)
    low, high = float(np.min(values)) / 1.3, float(np.max(values)) * 1.3
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(round_values(low, high)))
    axes.set_ylabel("ms")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)


def round_values(low: float, high: float) -> list[float]:
    """Round numbers for a logarithmic axis between the two: 1, 2, 5, 10 … of a short one, powers of ten of a long."""
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [value for power in powers for step in steps if low <= (value := step * 10.0**power) <= high]
