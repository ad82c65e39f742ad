"""Medians, spreads and ratios: what is done with figures once they are measured. No clock, no files, no processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Summary:
    """A figure measured several times.

    Attributes:
        median: the middle one, or the mean of the two in the middle.
        low, high: the least and the greatest.
        rounds: how often it was measured.
    """

    median: float
    low: float
    high: float
    rounds: int


def summarise(values: Sequence[float]) -> Summary:
    """Median and spread of at least one value.

    Raises:
        ValueError: there is none.
    """
    if not values:
        raise ValueError("nothing was measured")
    return Summary(median(values), min(values), max(values), len(values))


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two in the middle."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Ours ÷ theirs, round by round: what slows the whole machine for a round cancels out.

    Raises:
        ValueError: they were not measured in the same rounds.
    """
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that at least `percent` % of all do not exceed (nearest rank), as HdrHistogram counts too.

    Raises:
        ValueError: there is no value.
    """
    if not values:
        raise ValueError("nothing was measured")
    ordered = sorted(values)
    # -(-a // b) rounds up; the tolerance keeps 99.9 % of 1000 from becoming the 1000th by a rounding error.
    rank = int(-(-(percent * len(ordered) - 1e-6) // 100))
    return ordered[min(max(rank, 1), len(ordered)) - 1]


def net_rate(requests: int, cpu_s: float, startup_s: float) -> float:
    """Requests per CPU second, start-up left out.

    Raises:
        ValueError: there is no CPU time left, so the run was too short to say anything.
    """
    if cpu_s <= startup_s:
        raise ValueError(f"{cpu_s:.3f} s of CPU are no more than the start-up alone takes; measure longer")
    return requests / (cpu_s - startup_s)


def counts_per_window(stamps: Sequence[int], window: int, start: int, end: int) -> list[int]:
    """How many stamps lie in each whole window of [start, end); the windows without any count too.

    Args:
        stamps: instants, in any order.
        window: length of a window, in their unit.
        start, end: what to look at; a last window that does not fit is left out.
    """
    counts = [0] * max((end - start) // window, 0)
    for stamp in stamps:
        place = (stamp - start) // window
        if 0 <= place < len(counts):
            counts[place] += 1
    return counts


def deviation(seen: float, truth: float) -> float:
    """By how much `seen` misses the truth, as a share of it, without sign."""
    return abs(seen - truth) / truth
