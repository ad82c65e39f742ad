"""Which pods a ReplicaSet deletes first when it has too many.

Kubernetes' order (`controller_utils.go` ActivePodsWithRanks): unassigned, Pending, not ready, lower deletion cost, more
of the same owner on its node, ready for less time, more restarts, newer. Times are compared by the power of two of
their age only (LogarithmicScaleDown, on since 1.22), so that which of several equally old pods goes is left to chance:
to the order of their uids.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from functools import cmp_to_key

from rollcheck.sandbox.controllers.objects import parse_time
from rollcheck.sandbox.controllers.pods import (
    deletion_cost,
    is_active,
    is_ready,
    node_of,
    phase_of,
    ready_since,
    restarts,
)
from rollcheck.sandbox.trees import Json, uid_of

PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def victims(pods: list[Json], count: int, related: Iterable[Json], now: datetime) -> list[Json]:
    """The `count` pods that go first.

    Args:
        pods: the owner's active pods.
        count: how many go; all of them are given back unsorted.
        related: the pods of every ReplicaSet of the same Deployment: what "more on its node" counts.
        now: the time.
    """
    if count >= len(pods):
        return list(pods)
    crowd = Counter(node_of(pod) for pod in related if is_active(pod))

    def compare(one: Json, other: Json) -> int:
        return _difference(one, other, crowd, now)

    return sorted(pods, key=cmp_to_key(compare))[:count]


def in_deletion_order(pods: list[Json]) -> list[Json]:
    """The same order without ranks, costs and logarithms: how a Job picks (`ActivePods`)."""

    def compare(one: Json, other: Json) -> int:
        return (
            _state(one, other)
            or _newer_first(ready_since(one), ready_since(other))
            or _more(restarts(one), restarts(other))
            or _newer_first(_created(one), _created(other))
        )

    return sorted(pods, key=cmp_to_key(compare))


def _difference(one: Json, other: Json, crowd: Counter[str], now: datetime) -> int:
    """Below nothing when `one` goes before `other`."""
    return (
        _state(one, other)
        or deletion_cost(one) - deletion_cost(other)
        or crowd[node_of(other)] - crowd[node_of(one)]
        or _younger(ready_since(one), ready_since(other), one, other, now)
        or _more(restarts(one), restarts(other))
        or _younger(_created(one), _created(other), one, other, now)
    )


def _state(one: Json, other: Json) -> int:
    return (
        bool(node_of(one)) - bool(node_of(other))
        or PHASES.get(phase_of(one), 0) - PHASES.get(phase_of(other), 0)
        or is_ready(one) - is_ready(other)
    )


def _more(one: tuple[int, int], other: tuple[int, int]) -> int:
    return (one < other) - (one > other)


def _created(pod: Json) -> datetime | None:
    return parse_time(pod["metadata"].get("creationTimestamp"))


def _newer_first(one: datetime | None, other: datetime | None) -> int:
    if one is None or other is None or one == other:
        return 0
    return -1 if one > other else 1


def _younger(one: datetime | None, other: datetime | None, a: Json, b: Json, now: datetime) -> int:
    if one is None or other is None or one == other:
        return 0
    return _rank(one, now) - _rank(other, now) or (-1 if uid_of(a) < uid_of(b) else 1)


def _rank(since: datetime, now: datetime) -> int:
    """The power of two of an age in nanoseconds; -1 for the future."""
    age = now - since
    nanoseconds = (age.days * 86_400 + age.seconds) * 10**9 + age.microseconds * 1000
    return int(math.log2(nanoseconds)) if nanoseconds > 0 else -1
