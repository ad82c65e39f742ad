"""Exact small-sample statistics, from the definitions: no normal approximation, no dependency."""

from __future__ import annotations

import math

CONFIDENCE = 0.95
BISECTIONS = 60
"""Halvings of [0, 1]: the bound is exact to 2⁻⁶⁰."""


def upper_bound(lost: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The one-sided Clopper–Pearson upper bound of a probability after `lost` of `trials`; 1.0 of no trials.

    With nothing lost it is 1 − 0.05^(1/n).
    """
    if trials <= 0 or lost >= trials:
        return 1.0
    if lost == 0:
        return -math.expm1(math.log1p(-confidence) / trials)
    low, high = lost / trials, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if _at_most(lost, trials, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(lost: int, trials: int, p: float) -> float:
    """P(X ≤ lost) of a binomial, 0 < p < 1; summed downwards from the largest term, which ends the sum early."""
    log_odds = math.log(p) - math.log1p(-p)
    log_term = (
        math.lgamma(trials + 1)
        - math.lgamma(lost + 1)
        - math.lgamma(trials - lost + 1)
        + lost * math.log(p)
        + (trials - lost) * math.log1p(-p)
    )
    if log_term < -700:
        return 0.0
    term = total = math.exp(log_term)
    for k in range(lost, 0, -1):
        term *= k / (trials - k + 1) * math.exp(-log_odds)
        total += term
        if term < total * 1e-17:
            break
    return min(1.0, total)


def fisher_more(lost: int, trials: int, lost_before: int, trials_before: int) -> float:
    """The probability that chance alone puts at least `lost` of all losses into the later span (Fisher's exact test).

    One-sided: small when the later span lost a greater share than the earlier one.
    """
    total_lost, total = lost + lost_before, trials + trials_before
    if lost <= 0 or total_lost == 0:
        return 1.0
    log_all = _log_choose(total, total_lost)
    top = min(total_lost, trials)
    probability = 0.0
    for k in range(max(lost, total_lost - trials_before), top + 1):
        probability += math.exp(_log_choose(trials, k) + _log_choose(trials_before, total_lost - k) - log_all)
    return min(1.0, probability)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
