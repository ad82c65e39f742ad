"""How hypothesis runs here: the same examples each time, without a clock, without files."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

STEADY = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
