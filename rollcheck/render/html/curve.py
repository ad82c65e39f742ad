"""Percentiles as a still picture (SVG), on an axis that gives each further nine the same room, as HDR plots do."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rollcheck.analyze.results import Curve
from rollcheck.render.html.markup import Html, el

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 110, 16, 34
POINTS = 160
LABELS = {1: "p0", 2: "p50", 10: "p90", 100: "p99", 1_000: "p99.9", 10_000: "p99.99", 100_000: "p99.999"}
DASHES = (None, "7 4", "2 3")
"""Of the first line, the second, …: they can be told apart without colours."""


def percentile_curve(curves: Sequence[tuple[str, Curve]], label: str) -> Html | None:
    """Lines of latency over percentile.

    Args:
        curves: what each is called, and what it is of.
        label: what the picture shows, for whoever cannot see it.
    """
    lines = [(name, _points(curve)) for name, curve in curves if curve.count]
    if not lines:
        return None
    values = [us for _, points in lines for _, us in points]
    low, high = math.log10(min(values)) - 0.05, math.log10(max(values)) + 0.05
    top = max(points[-1][0] for _, points in lines)

    def x(share: float) -> float:
        return round(LEFT + math.log10(share) / math.log10(top) * (WIDTH - LEFT - RIGHT), 1)

    def y(us: float) -> float:
        return round(HEIGHT - BOTTOM - (math.log10(us) - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    drawn = [_upright(x(share), words) for share, words in LABELS.items() if share <= top]
    drawn += [_level(y(us), us) for us in _levels(low, high)]
    places = _spread([y(points[-1][1]) for _, points in lines])
    for number, ((name, points), place) in enumerate(zip(lines, places, strict=True)):
        path = " ".join(f"{x(share)},{y(us)}" for share, us in points)
        dash = DASHES[number % len(DASHES)]
        drawn.append(el("polyline", points=path, class_=f"series-{number}", fill="none", stroke_dasharray=dash))
        drawn.append(el("text", name, x=x(points[-1][0]) + 6, y=place + 4, class_=f"label-{number}"))
    return el("svg", drawn, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label, class_="curve")


def _points(curve: Curve) -> list[tuple[float, float]]:
    """(1 ÷ (1 − p), microseconds), up to the one value in `count`."""
    top = math.log10(max(curve.count, 10))
    shares = [10 ** (top * n / POINTS) for n in range(POINTS + 1)]
    return [(share, max(1.0, curve.at(100 - 100 / share))) for share in shares]


def _levels(low: float, high: float) -> list[float]:
    """Round microseconds between two powers of ten: at least two of them."""
    for factors in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        found = [f * 10.0**p for p in range(math.floor(low), math.ceil(high) + 1) for f in factors]
        shown = [us for us in found if low <= math.log10(us) <= high]
        if len(shown) >= 3:
            return shown
    return shown or [10**low, 10**high]


def _upright(x: float, words: str) -> Html:
    return el(
        "g",
        el("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM, class_="grid"),
        el("text", words, x=x, y=HEIGHT - BOTTOM + 18, text_anchor="middle"),
    )


def _level(y: float, us: float) -> Html:
    words = f"{us:g} µs" if us < 1_000 else f"{us / 1_000:g} ms" if us < 1_000_000 else f"{us / 1_000_000:g} s"
    return el(
        "g",
        el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"),
        el("text", words, x=LEFT - 8, y=y + 4, text_anchor="end"),
    )


def _spread(places: list[float]) -> list[float]:
    """Heights of labels, those that would lie over each other moved apart."""
    made = dict.fromkeys(range(len(places)), 0.0)
    last = -math.inf
    for number in sorted(made, key=places.__getitem__):
        last = made[number] = max(places[number], last + 15)
    return list(made.values())
