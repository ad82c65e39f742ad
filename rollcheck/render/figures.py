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
from itertools import groupby

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, MaxNLocator

from rollcheck.analyze.model import Analysis
from rollcheck.render.drawing import BLACK, BLUE, GREEN, PURPLE, VERMILLION, drawable, stage_names
from rollcheck.render.picture import Picture, PodRow, picture_of
from rollcheck.render.text import count, shorten

_GREY, _PALE = "#666666", "#F3F3F3"

# Bars are pale, so that what happened to a pod stands out from what it was: ready, nearly always.
_STATES = {
    "starting": ("#DDDDDD", "starting"),
    "running": ("#C3DCEE", "running, not ready"),
    "ready": ("#6FA8D0", "ready"),
    "terminating": (PURPLE, "terminating"),
}
_FAMILIES = {
    "refused": (VERMILLION, "x"),
    "reset": (PURPLE, "v"),
    "timeout": (BLACK, "s"),
    "status": (BLUE, "D"),
    "other": (GREEN, "P"),
    "not sent": (_GREY, "|"),
}
_EXITS = {False: ("o", BLACK), True: ("X", VERMILLION)}  # the mark, and the colour of the code behind it
_VERDICTS = {"graceful": GREEN, "not graceful": VERMILLION, "inconclusive": BLACK}

WIDTH = 12.0
_LEFT, _RIGHT = 2.6, 1.35
_SMALL = 7.5
_RESOLUTION = 120


def timeline_images(analysis: Analysis) -> tuple[bytes, bytes]:
    """The picture as PNG and as SVG, its text as text.

    The same analysis gives the same bytes with the same matplotlib.
    """
    with _style():
        figure = _drawn(picture_of(analysis))
        png = _saved(figure, "png", {"Software": None})
        svg = _saved(figure, "svg", {"Date": None, "Creator": None})
    return png, svg


def timeline_figure(analysis: Analysis) -> Figure:
    """The picture as a matplotlib Figure of its own, for whoever wants to put it elsewhere."""
    with _style():
        return _drawn(picture_of(analysis))


def _saved(figure: Figure, form: str, metadata: dict[str, None]) -> bytes:
    out = io.BytesIO()
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
                "axes.titley": 1.0,  # else matplotlib measures every tick to move titles that never need it
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
    failures = "No request failed" if picture.slots else "No request was sent"
    if picture.failures:
        failures = "Requests that failed or were never sent, at the instant at which each began"
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
    headline = textwrap.wrap(drawable(picture.headline), 125)[:3] or [""]
    top, gap, bottom = 0.92 + 0.17 * len(headline), 0.38, 1.05
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
    length = max(picture.end - picture.start, 1.0)
    axes.set_xlim(picture.start, picture.start + length)
    axes.set_title(band.title, pad=4)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", labelbottom=last, length=3)
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    for number, (_, start, end) in enumerate(picture.stages):
        if number % 2 == 1:
            axes.axvspan(start, end, color=_PALE, zorder=0, linewidth=0)
    for start, end in picture.outages:
        # As wide as a hair at least: an outage of milliseconds is what people look for.
        axes.axvspan(start, max(end, start + length / 800), color=VERMILLION, alpha=0.16, zorder=0.2, linewidth=0)
    if picture.zero == "trigger":
        axes.axvline(0, color=BLACK, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    if last:
        axes.set_xlabel(f"seconds since the {'trigger' if picture.zero == 'trigger' else 'start of the run'}")
    if first:
        stage_names(
            axes, picture.stages, picture.start, length, WIDTH - _LEFT - _RIGHT, lift=0.26 / band.height, size=8.5
        )


def _rate_panel(axes: Axes, picture: Picture) -> None:
    edges = [*(slot.start for slot in picture.slots), picture.slots[-1].end]
    failed = [slot.failed for slot in picture.slots]
    axes.stairs(
        [slot.ok for slot in picture.slots], edges, baseline=None, color=BLUE, linewidth=1.4, label="ok", zorder=3
    )
    if any(failed):
        axes.stairs(failed, edges, color=VERMILLION, linewidth=1.0, fill=True, label="failed")
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
    axes.set_yticklabels([_fitted(label, _SMALL) for label in labels], fontsize=_SMALL, parse_math=False)
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
    size = 5.8 if dense else _SMALL
    axes.set_yticklabels([_fitted(pod.name, size) for pod in pods], fontsize=size, parse_math=False)
    _bars(axes, pods)
    _ends(axes, pods, size=5.5 if dense else 7.0)
    _generations(axes, pods)


def _bars(axes: Axes, pods: tuple[PodRow, ...]) -> None:
    """The spans of every pod: states, endpoint membership under them, preStop on them; one collection of each kind."""
    spans: dict[str, list[list[tuple[float, float]]]] = {}
    for row, pod in enumerate(pods):
        for state, start, end in pod.states:
            spans.setdefault(state, []).append(_box(start, end, row - 0.34, row + 0.14))
        for start, end in pod.endpoints:
            spans.setdefault("in endpoints", []).append(_box(start, end, row + 0.19, row + 0.33))
        if pod.prestop:
            spans.setdefault("preStop", []).append(_box(*pod.prestop, row - 0.34, row + 0.14))
    for kind, boxes in spans.items():
        if kind == "preStop":
            drawn = PolyCollection(boxes, facecolors="none", edgecolors=BLACK, linewidths=0.5, hatch="////", label=kind)
        else:
            colour = GREEN if kind == "in endpoints" else _STATES[kind][0]
            drawn = PolyCollection(boxes, facecolors=colour, linewidths=0, label=kind)
        axes.add_collection(drawn, autolim=False)


def _box(start: float, end: float, top: float, bottom: float) -> list[tuple[float, float]]:
    return [(start, top), (start, bottom), (end, bottom), (end, top)]


def _ends(axes: Axes, pods: tuple[PodRow, ...], *, size: float) -> None:
    """SIGTERM along the upper edge of each bar, the exit on it, and its code behind its end."""
    sigterms = [(row - 0.34, *pod.sigterm) for row, pod in enumerate(pods) if pod.sigterm]
    if sigterms:
        rows, starts, ends = zip(*sigterms, strict=True)
        axes.hlines(rows, starts, ends, color=VERMILLION, linewidth=1.6, label="SIGTERM", zorder=3)
        edges = [*starts, *ends]
        axes.plot(
            edges, [*rows, *rows], linestyle="none", marker="|", color=VERMILLION, markersize=size - 0.5, zorder=3
        )
    for badly, (mark, _) in _EXITS.items():
        marks = [(pod.ended[0], row - 0.1) for row, pod in enumerate(pods) if pod.ended and pod.ended_badly is badly]
        axes.plot(
            [at for at, _ in marks],
            [row for _, row in marks],
            linestyle="none",
            marker=mark,
            color=BLACK,
            markersize=size - 1,
            markeredgecolor="white",
            markeredgewidth=0.5,
            label="exit, bad" if badly else "exit",
            clip_on=False,
            zorder=4,
        )
    for row, pod in enumerate(pods):
        if pod.ended:
            at, codes = pod.ended
            axes.annotate(
                drawable(codes),
                (max(at, pod.states[-1][2]) if pod.states else at, row - 0.1),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=size,
                color=_EXITS[pod.ended_badly][1],
                annotation_clip=False,
                parse_math=False,
            )


def _generations(axes: Axes, pods: tuple[PodRow, ...]) -> None:
    """Names the groups of rows at the right, and parts them."""
    for generation, rows in groupby(range(len(pods)), key=lambda row: pods[row].generation):
        first, *_, last = [*(found := list(rows)), found[-1]]
        if first:
            axes.axhline(first - 0.5, color="#888888", linewidth=0.8)
        axes.annotate(
            generation if last - first < 2 else f"{generation} pods",
            (1, (first + last) / 2),
            xycoords=("axes fraction", "data"),
            xytext=(34, 0),
            textcoords="offset points",
            va="center",
            rotation=0 if last - first < 2 else 270,
            fontsize=9,
            style="italic",
            color="#444444",
            annotation_clip=False,
        )


def _legend(figure: Figure, picture: Picture, height: float) -> None:
    if not picture.pods:
        return
    handles: list[Patch | Line2D] = [Patch(color=colour, label=words) for colour, words in _STATES.values()]
    handles += [
        Patch(color=GREEN, label="ready endpoint"),
        Patch(facecolor="white", edgecolor=BLACK, hatch="////", linewidth=0.5, label="preStop"),
        Line2D([], [], color=VERMILLION, linewidth=1.6, marker="|", markersize=7, label="SIGTERM (inferred)"),
        Line2D([], [], color=BLACK, marker="o", linestyle="none", label="exit 0 or 143"),
        Line2D([], [], color=BLACK, marker="X", linestyle="none", label="other exit, or killed"),
        *([Patch(color=VERMILLION, alpha=0.16, label="outage of a lane")] if picture.outages else []),
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


def _fitted(label: str, size: float) -> str:
    """A label of the left margin, its middle left out where it would be wider."""
    label, font = drawable(label), FontProperties(family="DejaVu Sans", size=size)
    room = (_LEFT - 0.2) * 72
    wide, _, _ = text_to_path.get_text_width_height_descent(label, font, ismath=False)
    while wide > room and len(label) > 8:
        label = shorten(label, max(8, min(len(label) - 1, int(len(label) * room / wide))))
        wide, _, _ = text_to_path.get_text_width_height_descent(label, font, ismath=False)
    return label
