"""Which pods the EndpointSlices had ready, and when: the controller's view, not yet any node's data plane."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

from rollcheck.analyze.pods import GONE, spans
from rollcheck.facts.clock import Instant, Window
from rollcheck.facts.cluster import Endpoint, PodSeen, SliceSeen

Steps = tuple[tuple[Instant, int], ...]


def ready_at(steps: Sequence[tuple[Instant, int]], at: Instant) -> int | None:
    """How many pods were ready at that instant; None before anything was seen of them."""
    place = bisect_right(steps, at, key=lambda step: step[0])
    return steps[place - 1][1] if place else None


def endpoint_history(
    slices: Sequence[SliceSeen], pods: Iterable[PodSeen], service: str, end_ns: Instant
) -> tuple[dict[str, tuple[Window, ...]], Steps]:
    """Pod uid → spans in which some slice had it ready, and the steps of the number of such pods.

    Only the slices of `service` count where it is known and has any: a headless Service beside it may publish pods
    that are not ready. A pod that publishNotReadyAddresses keeps ready while it terminates counts as ready: that is
    what clients are sent to.
    """
    return _history([s for s in slices if s.service == service] or slices, _uids(pods), end_ns)


def history_elsewhere(
    slices: Sequence[SliceSeen], pods: Iterable[PodSeen], service: str, end_ns: Instant
) -> dict[str, tuple[dict[str, tuple[Window, ...]], Steps]]:
    """Service → as `endpoint_history`, of every other Service than the one that is asked."""
    uid_of = _uids(pods)
    others = sorted({s.service for s in slices} - {service})
    return {name: _history([s for s in slices if s.service == name], uid_of, end_ns) for name in others}


def _history(
    own: Iterable[SliceSeen], uid_of: dict[str, str], end_ns: Instant
) -> tuple[dict[str, tuple[Window, ...]], Steps]:
    history: list[tuple[Instant, frozenset[str]]] = []
    ready_in: dict[str, frozenset[str]] = {}
    for at, group in _by_instant(own):
        for fact in group:
            key = fact.uid or fact.name
            ready_in[key] = (
                frozenset()
                if fact.change in GONE
                else frozenset(_pod_key(e, uid_of) for e in fact.endpoints if e.ready)
            )
        history.append((at, frozenset().union(*ready_in.values())))
    uids = sorted(frozenset().union(*(ready for _, ready in history)))
    windows = {uid: spans([(at, uid in ready) for at, ready in history], end_ns) for uid in uids}
    return windows, _steps(history)


def _by_instant(slices: Iterable[SliceSeen]) -> list[tuple[Instant, list[SliceSeen]]]:
    """Facts of one instant together, so that a pod which moves between slices never seems gone."""
    groups: dict[Instant, list[SliceSeen]] = defaultdict(list)
    for fact in slices:
        groups[fact.seen_ns].append(fact)
    return [(at, sorted(groups[at], key=_order)) for at in sorted(groups)]


def _order(fact: SliceSeen) -> tuple[bool, int, str]:
    return (
        fact.change in GONE,
        int(fact.resource_version) if fact.resource_version.isdecimal() else 0,
        repr(fact),
    )


def _uids(pods: Iterable[PodSeen]) -> dict[str, str]:
    """Pod name → uid, and address → uid, for endpoints that do not bear the uid."""
    names: dict[str, str] = {}
    for fact in pods:
        names[fact.name] = fact.uid
        if fact.ip:
            names[fact.ip] = fact.uid
    return names


def _pod_key(endpoint: Endpoint, uid_of: dict[str, str]) -> str:
    return endpoint.pod_uid or uid_of.get(endpoint.pod_name) or uid_of.get(endpoint.ip) or endpoint.ip


def _steps(history: Iterable[tuple[Instant, frozenset[str]]]) -> Steps:
    steps: list[tuple[Instant, int]] = []
    for at, ready in history:
        if not steps or steps[-1][1] != len(ready):
            steps.append((at, len(ready)))
    return tuple(steps)
