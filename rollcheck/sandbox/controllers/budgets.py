"""How many pods a PodDisruptionBudget lets go: the arithmetic of its status.

Kubernetes' rules (`pkg/controller/disruption`): percentages are rounded up, minAvailable's as well as maxUnavailable's;
a pod that an eviction has already chosen counts as gone for two minutes. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rollcheck.sandbox.controllers.fenceposts import Amount, scaled
from rollcheck.sandbox.controllers.objects import is_deleting, parse_time
from rollcheck.sandbox.controllers.pods import is_ready
from rollcheck.sandbox.trees import Json, name_of

DELETION_TIMEOUT = timedelta(minutes=2)
ALLOWED = "DisruptionAllowed"


@dataclass(frozen=True, slots=True)
class Budget:
    """The counts of a budget's status."""

    expected: int
    desired: int
    healthy: int

    @property
    def allowed(self) -> int:
        """How many more pods may be evicted now."""
        return max(0, self.healthy - self.desired) if self.expected > 0 else 0


def needs_scale(spec: Mapping[str, Amount]) -> bool:
    """Whether the budget is about a share of what the owners of the pods ask for, not about the pods there are."""
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def desired_healthy(spec: Mapping[str, Amount], expected: int) -> int:
    """How many pods must stay healthy of `expected`.

    Raises:
        ValueError: neither a number nor a percentage.
    """
    if spec.get("maxUnavailable") is not None:
        return max(0, expected - scaled(spec["maxUnavailable"], expected, up=True))
    return scaled(spec.get("minAvailable"), expected, up=True)


def healthy(pods: Iterable[Json], disrupted: Mapping[str, str], now: datetime) -> int:
    """Ready pods that neither are being deleted nor were promised to an eviction within the last two minutes."""
    return sum(1 for pod in pods if not is_deleting(pod) and not _promised(pod, disrupted, now) and is_ready(pod))


def still_disrupted(
    pods: Iterable[Json], disrupted: Mapping[str, str], now: datetime
) -> tuple[dict[str, str], list[Json], float | None]:
    """Which promises still hold.

    Returns:
        Pod name → time of the eviction, the pods that were promised and never deleted, and the seconds until the next
        promise lapses (None where there is none).
    """
    kept: dict[str, str] = {}
    stale: list[Json] = []
    next_check: float | None = None
    for pod in pods:
        since = parse_time(disrupted.get(name_of(pod)))
        if since is None or is_deleting(pod):
            continue
        left = (since + DELETION_TIMEOUT - now).total_seconds()
        if left < 0:
            stale.append(pod)
        else:
            kept[name_of(pod)] = disrupted[name_of(pod)]
            next_check = left if next_check is None else min(next_check, left)
    return kept, stale, next_check


def condition(allowed: int, generation: int, stamp: str, before: Json | None) -> Json:
    """The DisruptionAllowed condition; its transition time stays where its status does."""
    status, reason = ("True", "SufficientPods") if allowed > 0 else ("False", "InsufficientPods")
    moved = before is None or before.get("status") != status
    return {
        "type": ALLOWED,
        "status": status,
        "observedGeneration": generation,
        "lastTransitionTime": stamp if before is None or moved else before.get("lastTransitionTime", stamp),
        "reason": reason,
        "message": "",
    }


def _promised(pod: Json, disrupted: Mapping[str, str], now: datetime) -> bool:
    since = parse_time(disrupted.get(name_of(pod)))
    return since is not None and since + DELETION_TIMEOUT > now
