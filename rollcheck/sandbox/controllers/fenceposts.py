"""How far a rolling update may go: surge, unavailable, and how replicas are shared out.

Kubernetes' arithmetic for Deployments (`pkg/controller/deployment/util`): percentages of surge are rounded up, of
unavailable down, and where both come to nothing one pod may be missing, since otherwise nothing could ever move.
Pure: integers in, integers out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Amount = int | str | None

ROLLING = "RollingUpdate"
RECREATE = "Recreate"


def scaled(amount: Amount, total: int, *, up: bool) -> int:
    """A count, or a percentage of `total` rounded up or down; nothing for None.

    Raises:
        ValueError: neither a number nor a percentage.
    """
    if amount is None:
        return 0
    if isinstance(amount, int):
        return amount
    if not amount.endswith("%"):
        raise ValueError(f"invalid value for IntOrString: {amount!r} is neither a number nor a percentage")
    share = int(amount[:-1]) * total
    return -(-share // 100) if up else share // 100


def resolve_fenceposts(surge: Amount, unavailable: Amount, desired: int) -> tuple[int, int]:
    """(surge, unavailable) in pods. Both nothing becomes one unavailable."""
    most = scaled(surge, desired, up=True)
    missing = scaled(unavailable, desired, up=False)
    return (0, 1) if most == 0 and missing == 0 else (most, missing)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one Deployment allows while it rolls, in pods.

    Attributes:
        desired: spec.replicas.
        surge: pods above `desired` that may exist.
        unavailable: pods below `desired` that may be missing.
    """

    desired: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        """The most pods there may be at once."""
        return self.desired + self.surge

    @property
    def least(self) -> int:
        """The fewest available pods there may be."""
        return self.desired - self.unavailable


def bounds_of(kind: str, surge: Amount, unavailable: Amount, desired: int) -> Bounds:
    """The bounds of a Deployment: nothing either way unless it rolls."""
    if kind != ROLLING:
        return Bounds(desired, 0, 0)
    most, missing = resolve_fenceposts(surge, unavailable, desired)
    return Bounds(desired, most, min(missing, desired))


def new_size(bounds: Bounds, now: int, total: int) -> int:
    """What the new ReplicaSet may grow to.

    Args:
        bounds: what the Deployment allows.
        now: what the new ReplicaSet asks for.
        total: what all its ReplicaSets ask for together.
    """
    room = bounds.most - total
    return now if room <= 0 else now + min(room, bounds.desired - now)


@dataclass(frozen=True, slots=True)
class Generation:
    """One ReplicaSet as the arithmetic sees it.

    Attributes:
        name: its name.
        size: spec.replicas.
        available: status.availableReplicas.
        created: creation time, as text that sorts.
        most: the annotation max-replicas it was last given; 0 where it has none.
    """

    name: str
    size: int
    available: int = 0
    created: str = ""
    most: int = 0


def shrink_old(bounds: Bounds, new: Generation, old: list[Generation]) -> list[tuple[str, int]]:
    """What the old ReplicaSets are scaled down to, in the order in which it is done: [(name, size)].

    First replicas that do not serve anyway, then as many that do as the bounds allow. A ReplicaSet may come twice.
    """
    total = new.size + sum(g.size for g in old)
    budget = total - bounds.least - (new.size - new.available)
    if sum(g.size for g in old) == 0 or budget <= 0:
        return []
    old = sorted(old, key=lambda g: (g.created, g.name))
    sizes = {g.name: g.size for g in old}
    moves = _unhealthy(old, sizes, budget)
    spare = new.available + sum(g.available for g in old) - bounds.least
    for generation in old:
        step = min(sizes[generation.name], spare)
        if step > 0:
            sizes[generation.name] -= step
            spare -= step
            moves.append((generation.name, sizes[generation.name]))
    return moves


def _unhealthy(old: list[Generation], sizes: dict[str, int], budget: int) -> list[tuple[str, int]]:
    moves: list[tuple[str, int]] = []
    for generation in old:
        step = min(budget, generation.size - generation.available)
        if generation.size and step > 0:
            sizes[generation.name] -= step
            budget -= step
            moves.append((generation.name, sizes[generation.name]))
    return moves


def share_out(bounds: Bounds, active: list[Generation], replicas_before: int) -> dict[str, int]:
    """The sizes of all active ReplicaSets when a Deployment is scaled in the middle of a rollout: in proportion.

    Args:
        bounds: what the Deployment allows now.
        active: its ReplicaSets that ask for pods; not empty.
        replicas_before: the Deployment's status.replicas, for ReplicaSets without the annotation.
    """
    allowed = bounds.most if bounds.desired > 0 else 0
    to_add = allowed - sum(g.size for g in active)
    ordered = sorted(active, key=lambda g: (g.created, g.name), reverse=to_add > 0)
    ordered.sort(key=lambda g: -g.size)
    sizes: dict[str, int] = {}
    added = 0
    for generation in ordered:
        step = _proportion(bounds, generation, to_add, added, replicas_before)
        sizes[generation.name] = generation.size + step
        added += step
    if to_add and ordered:
        sizes[ordered[0].name] = max(0, sizes[ordered[0].name] + to_add - added)
    return sizes


def _proportion(bounds: Bounds, generation: Generation, to_add: int, added: int, replicas_before: int) -> int:
    if generation.size == 0 or to_add == 0 or to_add == added:
        return 0
    fraction = _fraction(bounds, generation, replicas_before)
    allowed = to_add - added
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def _fraction(bounds: Bounds, generation: Generation, replicas_before: int) -> int:
    if bounds.desired == 0:
        return -generation.size
    before = generation.most or replicas_before
    if before == 0:
        return 0
    exact = generation.size * bounds.most / before
    return math.floor(exact + 0.5) - generation.size


def slow_start(count: int, first: int = 1) -> list[int]:
    """Batches of 1, 2, 4, 8 … that come to `count`: what fails at once fails once, not a hundred times."""
    batches: list[int] = []
    size = first
    while count > 0:
        size = min(size, count)
        batches.append(size)
        count -= size
        size *= 2
    return batches
