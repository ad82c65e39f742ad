"""The timeline picture; the only module that imports matplotlib, and never pyplot (its state is global).

One time axis, seconds from the trigger, over panels that are read from top to bottom: what clients got (rate, latency),
which attempts failed and how, how many endpoints there were, and what each pod went through. Colours are Okabe and
Ito's and every class has a mark of its own, so that the picture can be read without colours. Sizes are laid out in
inches, by hand: a picture of 3 pods and one of 100 have the same rows, only more of them.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator

from rollcheck.analyze.model import Analysis
from rollcheck.render.picture import Picture, PodRow, picture_of
from rollcheck.render.text import count, shorten

BLUE, VERMILLION, GREEN, PURPLE, BLACK = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000"
_SKY, _GREY, _PALE = "#8FC1E3", "#D9D9D9", "#F3F3F3"

_STATES = {
    "starting": (_GREY, "starting"),
    "running": (_SKY, "running, not ready"),
    "ready": (BLUE, "ready"),
    "terminating": (PURPLE, "terminating"),
}
_FAMILIES = {
    "refused": (VERMILLION, "x"),
    "reset": (PURPLE, "v"),
    "timeout": (BLACK, "s"),
    "status": (BLUE, "D"),
    "other": (GREEN, "P"),
    "not sent": ("#666666", "|"),
}
_VERDICTS = {"graceful": GREEN, "not graceful": VERMILLION, "inconclusive": BLACK}

WIDTH = 12.0
_LEFT, _RIGHT = 2.6, 1.35
_SMALL = 7.5
_RESOLUTION = 120


def timeline_png(analysis: Analysis) -> bytes:
    """The picture as PNG; the same analysis gives the same bytes with the same matplotlib."""
    return _saved(analysis, "png")


def timeline_svg(analysis: Analysis) -> bytes:
    """The picture as SVG, its text as text."""
    return _saved(analysis, "svg")


def timeline_figure(analysis: Analysis) -> Figure:
    """The picture as a matplotlib Figure of its own, for whoever wants to put it elsewhere."""
    with _style():
        return _drawn(picture_of(analysis))


def _saved(analysis: Analysis, form: str) -> bytes:
    out = io.BytesIO()
    with _style():
        figure = _drawn(picture_of(analysis))
        metadata = {"Date": None, "Creator": None} if form == "svg" else {"Software": None}
        figure.savefig(out, format=form, metadata=metadata)
    return out.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    """Settings of our own: whatever a user's matplotlibrc says, the picture is the same."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "font.family": ["DejaVu Sans"],
                "font.size": 8.5,
                "svg.fonttype": "none",
                "svg.hashsalt": "rollcheck",
                "savefig.dpi": _RESOLUTION,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.titlesize": 9,
                "axes.titlelocation": "left",
                "xtick.labelsize": 8,
                "ytick.labelsize": 8,
                "hatch.linewidth": 0.6,
            }
        )
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class _Band:
    """One panel: its heading and height in inches."""

    name: str
    title: str
    height: float


def _bands(picture: Picture) -> list[_Band]:
    """The panels of a picture, from top to bottom."""
    bands = []
    if picture.slots:
        bands += [_Band(name="rate", title="Requests per second, as they ended", height=1.0)]
        bands += [_Band(name="latency", title="Response time of good answers, ms", height=1.0)]
    unlisted = f" (and {count(picture.unlisted)} that were counted only)" if picture.unlisted else ""
    failures = "Failed requests, at the instant at which each began" if picture.failures else "No request failed"
    rows = max(0.25, 0.24 * len(picture.failures) + 0.12)
    bands.append(_Band(name="failures", title=failures + unlisted, height=rows))
    if picture.endpoints:
        bands.append(_Band(name="endpoints", title="Ready endpoints", height=0.55))
    if picture.pods:
        bands.append(_Band(name="pods", title="Pods", height=_row_height(picture) * len(picture.pods) + 0.1))
    return bands


def _row_height(picture: Picture) -> float:
    return 0.34 if len(picture.pods) <= 16 else 0.24 if len(picture.pods) <= 40 else 0.17


def _drawn(picture: Picture) -> Figure:
    bands = _bands(picture)
    headline = textwrap.wrap(_drawable(picture.headline), 125)[:3] or [""]
    top, gap, bottom = 0.62 + 0.17 * len(headline), 0.42, 1.05
    height = top + bottom + sum(band.height for band in bands) + gap * (len(bands) - 1)
    figure = Figure(figsize=(WIDTH, height))
    FigureCanvasAgg(figure)
    verdict = picture.verdict.upper()
    figure.text(
        0.15 / WIDTH, 1 - 0.14 / height, verdict, va="top", fontsize=12, weight="bold", color=_VERDICTS[picture.verdict]
    )
    figure.text(0.15 / WIDTH, 1 - 0.38 / height, "\n".join(headline), va="top", fontsize=9, parse_math=False)
    at = height - top
    first: Axes | None = None
    for band in bands:
        box = (_LEFT / WIDTH, (at - band.height) / height, 1 - (_LEFT + _RIGHT) / WIDTH, band.height / height)
        axes = figure.add_axes(box, label=band.name, sharex=first)
        _frame(axes, picture, band, last=band is bands[-1], first=first is None)
        first = first or axes
        _PANELS[band.name](axes, picture)
        at -= band.height + gap
    _legend(figure, picture, height)
    return figure


def _frame(axes: Axes, picture: Picture, band: _Band, *, last: bool, first: bool) -> None:
    """Title, time axis and stages of a panel."""
    length = max(picture.end - picture.start, 1e-3)
    axes.set_xlim(picture.start, picture.start + length)
    axes.set_title(band.title, pad=4)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", labelbottom=last, length=3)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    for number, (_, start, end) in enumerate(picture.stages):
        if number % 2 == 1:
            axes.axvspan(start, end, color=_PALE, zorder=0, linewidth=0)
    if picture.zero == "trigger":
        axes.axvline(0, color=BLACK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    if last:
        axes.set_xlabel(f"seconds since the {'trigger' if picture.zero == 'trigger' else 'start of the run'}")
    if first:
        _stage_labels(axes, picture, length, band.height)


def _stage_labels(axes: Axes, picture: Picture, length: float, height: float) -> None:
    """Each stage's name above the first panel, unless it is too narrow for it."""
    inches = WIDTH - _LEFT - _RIGHT
    for name, start, end in picture.stages:
        room = (end - start) / length * inches
        if room >= 0.075 * len(name):
            middle = ((start + end) / 2 - picture.start) / length
            axes.text(
                middle,
                1 + 0.26 / height,
                name,
                transform=axes.transAxes,
                ha="center",
                fontsize=8.5,
                style="italic",
                color="#444444",
            )


def _rate_panel(axes: Axes, picture: Picture) -> None:
    edges = [*(slot.start for slot in picture.slots), picture.slots[-1].end]
    for label, values, colour, style in (
        ("ok", [slot.ok for slot in picture.slots], BLUE, "solid"),
        ("failed", [slot.failed for slot in picture.slots], VERMILLION, "solid"),
    ):
        axes.stairs(values, edges, color=colour, linewidth=1.4, linestyle=style, label=label, fill=label == "failed")
    axes.axhline(picture.asked_qps, color=BLACK, linewidth=0.8, linestyle=(0, (1, 2)), label="asked")
    axes.set_ylim(0, 1.12 * max(picture.asked_qps, *(max(slot.ok, slot.failed) for slot in picture.slots)))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=8, handlelength=1.6)


def _latency_panel(axes: Axes, picture: Picture) -> None:
    """Medians and 99th percentiles, a step for each slot; a slot without a good answer is a gap."""
    middles = [(slot.start + slot.end) / 2 for slot in picture.slots]
    nothing = float("nan")
    p50 = [nothing if slot.p50_ms is None else slot.p50_ms for slot in picture.slots]
    p99 = [nothing if slot.p99_ms is None else slot.p99_ms for slot in picture.slots]
    size = 3.0 if len(middles) <= 120 else 1.5
    axes.plot(middles, p99, color=PURPLE, linewidth=1.2, linestyle="--", marker="v", markersize=size, label="p99")
    axes.plot(middles, p50, color=BLUE, linewidth=1.2, marker="o", markersize=size, label="p50")
    known = [value for slot in picture.slots for value in (slot.p50_ms, slot.p99_ms) if value]
    if known:
        axes.set_yscale("log")
        axes.set_ylim(min(known) / 1.6, max(known) * 1.6)
        axes.yaxis.set_major_locator(FixedLocator(_round_values(min(known) / 1.6, max(known) * 1.6)))
        axes.yaxis.set_minor_locator(FixedLocator([]))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), frameon=False, fontsize=8, handlelength=2.2)


def _round_values(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: few round values that lie in it, at least one."""
    for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), tuple(float(n) for n in range(1, 10))):
        values = [step * 10.0**power for power in range(-4, 8) for step in steps if low <= step * 10.0**power <= high]
        if len(values) >= 3:
            return values
    return values or [float(f"{(low * high) ** 0.5:.2g}")]


def _failures_panel(axes: Axes, picture: Picture) -> None:
    rows = picture.failures
    axes.set_ylim(len(rows) - 0.4 if rows else 1, -0.6)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    labels = [f"{row.lane}: {row.words}, {count(row.count)}" for row in rows]
    axes.yaxis.set_major_locator(FixedLocator(list(range(len(rows)))))
    axes.set_yticklabels([_drawable(shorten(label, 46)) for label in labels], fontsize=_SMALL, parse_math=False)
    for number, row in enumerate(rows):
        colour, mark = _FAMILIES[row.family]
        axes.axhline(number, color="#E5E5E5", linewidth=0.6, zorder=0.5)
        axes.plot(
            row.at,
            [number] * len(row.at),
            linestyle="none",
            marker=mark,
            markersize=4.5,
            color=colour,
            alpha=0.75,
            clip_on=False,
            label=f"{row.lane} {row.words}",
        )


def _endpoints_panel(axes: Axes, picture: Picture) -> None:
    at = [second for second, _ in picture.endpoints]
    ready = [number for _, number in picture.endpoints]
    axes.step(at, ready, where="post", color=GREEN, linewidth=1.6, label="ready endpoints")
    axes.fill_between(at, ready, step="post", color=GREEN, alpha=0.15, linewidth=0)
    axes.set_ylim(0, max(ready) * 1.2 or 1)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))


def _pods_panel(axes: Axes, picture: Picture) -> None:
    pods = picture.pods
    dense = _row_height(picture) < 0.2
    axes.set_ylim(len(pods) - 0.45, -0.55)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.yaxis.set_major_locator(FixedLocator(list(range(len(pods)))))
    names = [f"{shorten(_drawable(pod.name), 38)}  {pod.generation}" for pod in pods]
    axes.set_yticklabels(names, fontsize=5.8 if dense else _SMALL, parse_math=False)
    for number, pod in enumerate(pods):
        _pod_bar(axes, number, pod, size=5.5 if dense else 7.0)
        if number and pod.generation != pods[number - 1].generation:
            axes.axhline(number - 0.5, color="#888888", linewidth=0.8)


def _pod_bar(axes: Axes, row: int, pod: PodRow, *, size: float) -> None:
    """One pod: its states as a bar, endpoint membership under it, preStop and SIGTERM on it, its exit at its end."""
    for state, start, end in pod.states:
        axes.broken_barh([(start, end - start)], (row - 0.36, 0.5), color=_STATES[state][0], linewidth=0, label=state)
    spans = [(start, end - start) for start, end in pod.endpoints]
    axes.broken_barh(spans, (row + 0.2, 0.14), color=GREEN, linewidth=0, label="in endpoints")
    if pod.prestop:
        start, end = pod.prestop
        axes.broken_barh(
            [(start, end - start)],
            (row - 0.36, 0.5),
            facecolor="none",
            edgecolor=BLACK,
            linewidth=0.5,
            hatch="////",
            label="preStop",
        )
    if pod.sigterm:
        start, end = pod.sigterm
        axes.plot(
            [start, end],
            [row - 0.11] * 2,
            color=VERMILLION,
            linewidth=2.2,
            marker="|",
            markersize=8,
            label="SIGTERM",
            clip_on=True,
        )
    if pod.ended:
        at, codes = pod.ended
        mark, colour = ("X", VERMILLION) if pod.ended_badly else ("o", BLACK)
        axes.plot(
            [at],
            [row - 0.11],
            marker=mark,
            color=colour,
            markersize=size - 1,
            markeredgecolor="white",
            markeredgewidth=0.6,
            label="exit",
            clip_on=False,
            zorder=4,
        )
        until = max(at, pod.states[-1][2] if pod.states else at)
        axes.annotate(
            _drawable(codes),
            (until, row - 0.11),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=size,
            color=colour,
            annotation_clip=False,
            parse_math=False,
        )


def _legend(figure: Figure, picture: Picture, height: float) -> None:
    if not picture.pods:
        return
    handles: list[Patch | Line2D] = [Patch(color=colour, label=words) for colour, words in _STATES.values()]
    handles += [
        Patch(color=GREEN, label="ready endpoint"),
        Patch(facecolor="white", edgecolor=BLACK, hatch="////", linewidth=0.5, label="preStop"),
        Line2D([], [], color=VERMILLION, linewidth=2.2, marker="|", markersize=8, label="SIGTERM (inferred)"),
        Line2D([], [], color=BLACK, marker="o", linestyle="none", label="exit 0 or 143"),
        Line2D([], [], color=VERMILLION, marker="X", linestyle="none", label="other exit, or killed"),
    ]
    figure.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.12 / height),
        ncols=5,
        frameon=False,
        fontsize=8,
        columnspacing=1.6,
    )


_PANELS = {
    "rate": _rate_panel,
    "latency": _latency_panel,
    "failures": _failures_panel,
    "endpoints": _endpoints_panel,
    "pods": _pods_panel,
}


def _drawable(text: str) -> str:
    """`text` with every character that the font lacks replaced by one that it has."""
    glyphs = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    return "".join(c if ord(c) in glyphs else "\ufffd" for c in text)
