"""What a drain would meet, in sentences: budgets that block it, pods that fit nowhere else. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rollcheck.kube.drain import full_name, name_of, namespace_of
from rollcheck.kube.matching import selects
from rollcheck.kube.placement import Board, Wish

Json = dict[str, Any]

NODES_MOST = 10
"""Of how many nodes it is said why a pod does not fit there."""


def budgets_of(pod: Json, budgets: Iterable[Json]) -> list[Json]:
    """The PodDisruptionBudgets that cover a pod."""
    labels = (pod.get("metadata") or {}).get("labels") or {}
    return [
        budget
        for budget in budgets
        if namespace_of(budget) == namespace_of(pod) and selects((budget.get("spec") or {}).get("selector"), labels)
    ]


def budget_sentences(node: str, evicted: Sequence[Json], budgets: Sequence[Json]) -> list[str]:
    """Which evictions would block on which budget, and which would not."""
    found = []
    covered: dict[str, list[str]] = {}
    for pod in evicted:
        own = budgets_of(pod, budgets)
        if len(own) > 1:
            names = " and ".join(sorted(name_of(b) for b in own))
            found.append(
                f"pod {name_of(pod)} is covered by more than one budget ({names}): the API server refuses its eviction "
                "with 500"
            )
        for budget in own:
            covered.setdefault(full_name(budget), []).append(name_of(pod))
    return [*found, *(_budget_sentence(node, b, covered[full_name(b)]) for b in budgets if full_name(b) in covered)]


def _budget_sentence(node: str, budget: Json, pods: Sequence[str]) -> str:
    status = budget.get("status") or {}
    allowed, name = int(status.get("disruptionsAllowed") or 0), name_of(budget)
    healthy, wanted = int(status.get("currentHealthy") or 0), int(status.get("desiredHealthy") or 0)
    expected, listed = int(status.get("expectedPods") or 0), ", ".join(pods)
    if not allowed:
        ever = f": it wants all of its {expected} pods" if expected and wanted >= expected else ""
        return (
            f"budget {name} allows no disruption now (it needs {wanted} healthy pods and has {healthy}): the "
            f"eviction of {listed} would block{ever or ' until it does'}"
        )
    if allowed < len(pods):
        return (
            f"budget {name} allows {allowed} at a time: of its {len(pods)} pods on {node} ({listed}) each further one "
            "would wait until a replacement is ready elsewhere"
        )
    return f"budget {name} allows the eviction of {listed} at once ({allowed} allowed)"


def placements(evicted: Iterable[Json], nodes: Sequence[str], board: Board) -> list[str]:
    """Which of the evicted pods would fit on no other node, one placed after the other, and why not.

    Args:
        nodes: the names of those that take pods.
        board: without the evicted pods; those that fit are put on it.
    """
    found = []
    for pod in evicted:
        wish = Wish(pod, board)
        reasons: dict[str, str] = {}
        for name in nodes:
            if not (reason := wish.why_not(name)):
                board.on[name].append(pod)
                break
            reasons[name] = reason
        else:
            why = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:NODES_MOST])
            more = f"; and {len(reasons) - NODES_MOST} further nodes" if len(reasons) > NODES_MOST else ""
            why = why + more or "there is no other node"
            found.append(f"a replacement of pod {name_of(pod)} fits on no other node ({why})")
    return found
