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
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides a pod's place in the order, read once.

    Attributes:
        state: (assigned, phase, ready): the lower goes first.
        worth: (deletion cost, fewer of its owner on its node): the lower goes first.
        ready: since when it is ready.
        restarts: of containers and of sidecars: the more goes first.
        created: since when it is there.
        uid: what decides between pods of about the same age.
    """

    pod: Json
    state: tuple[bool, int, bool]
    worth: tuple[int, int]
    ready: datetime | None
    restarts: tuple[int, int]
    created: datetime | None
    uid: str


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

    def compare(one: Standing, other: Standing) -> int:
        return (
            _lower(one.state, other.state)
            or _lower(one.worth, other.worth)
            or _younger(one.ready, other.ready, one, other, now)
            or _lower(other.restarts, one.restarts)
            or _younger(one.created, other.created, one, other, now)
        )

    standings = [_standing(pod, (deletion_cost(pod), -crowd[node_of(pod)])) for pod in pods]
    return [standing.pod for standing in sorted(standings, key=cmp_to_key(compare))[:count]]


def in_deletion_order(pods: list[Json]) -> list[Json]:
    """The same order without costs, crowds and logarithms: how a Job picks (`ActivePods`)."""

    def compare(one: Standing, other: Standing) -> int:
        return (
            _lower(one.state, other.state)
            or _newer(one.ready, other.ready)
            or _lower(other.restarts, one.restarts)
            or _newer(one.created, other.created)
        )

    return [standing.pod for standing in sorted((_standing(pod, (0, 0)) for pod in pods), key=cmp_to_key(compare))]


def _standing(pod: Json, worth: tuple[int, int]) -> Standing:
    state = bool(node_of(pod)), PHASES.get(phase_of(pod), 0), is_ready(pod)
    created = parse_time(pod["metadata"].get("creationTimestamp"))
    return Standing(pod, state, worth, ready_since(pod), restarts(pod), created, uid_of(pod))


def _lower(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return (one > other) - (one < other)


def _newer(one: datetime | None, other: datetime | None) -> int:
    if one is None or other is None or one == other:
        return 0
    return -1 if one > other else 1


def _younger(one: datetime | None, other: datetime | None, a: Standing, b: Standing, now: datetime) -> int:
    if one is None or other is None or one == other:
        return 0
    return _rank(one, now) - _rank(other, now) or (-1 if a.uid < b.uid else 1)


def _rank(since: datetime, now: datetime) -> int:
    """The power of two of an age in nanoseconds; -1 for the future."""
    age = now - since
    nanoseconds = (age.days * 86_400 + age.seconds) * 10**9 + age.microseconds * 1000
    return int(math.log2(nanoseconds)) if nanoseconds > 0 else -1
