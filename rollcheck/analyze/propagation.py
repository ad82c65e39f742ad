"""How long after its deletion new connections still reached an old pod: what a preStop sleep has to cover.

Two kinds of evidence, both placed by when the attempt *began*: answers on new connections by a pod that had been
deleted (where responses name pods), and new connections that failed as they do when they reach a pod that is gone
(refused, no route, time-out), or as an ingress reports it (502, 503, 504).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence

from rollcheck.analyze.endpoints import ready_at
from rollcheck.analyze.model import PodLife, Propagation, Timeline, began, latest
from rollcheck.analyze.ports import left_from_before, tied
from rollcheck.analyze.timeline import PodIndex
from rollcheck.facts.attempts import Attempt, ConnectionUse, Outcome, Phase
from rollcheck.facts.clock import SECOND, Instant

CHANCE = 0.01
"""With this chance new connections would have missed a pod that was still in the rules for so long."""
LATEST_S = 60.0
"""A failure longer after the last deletion than this says nothing about endpoints: kube-proxy resyncs in 30 s."""
TOGETHER_NS = SECOND
"""Pods deleted within this of each other cannot be told apart by time: the server's stamps are whole seconds."""
GATEWAY_STATUSES = (502, 503, 504)
DEAD_END = (Outcome.REFUSED, Outcome.UNREACHABLE, Outcome.TIMEOUT)
SHORTEST_PRESTOP_S, LONGEST_PRESTOP_S = 5, 60
MARGIN = 1.5


def measure_propagation(timeline: Timeline) -> tuple[Propagation, ...]:
    """Per old pod, or for all at large (pod "") from failures that do not tell which pod they reached."""
    deleted = [p for p in timeline.pods if _ended(p) and p.backend]
    deleted.sort(key=lambda p: (p.deleted.earliest if p.deleted else 0, p.name, p.uid))
    own, shared = _share_out(_dead_ends(timeline), deleted)
    found = [m for pod in deleted if (m := _of_pod(timeline, pod, own.get(pod.uid, ()))) is not None]
    at_large = _at_large(timeline, shared)
    return (*found, *([at_large] if at_large else []))


def _ended(pod: PodLife) -> bool:
    """Old pods, and those beside them that were ended as well: they get requests until every proxy knows."""
    return pod.deleted is not None and (pod.generation == "old" or pod.beside)


def recommend_prestop(measured: Iterable[Propagation]) -> int | None:
    """Seconds of preStop sleep that cover the longest propagation seen; None when nothing was measured.

    The rule: the longest upper bound and half as much again, rounded up to the next whole second, at least 5 (one
    quiet cluster does not vouch for a busy one) and at most 60 (what takes longer is not cured by sleeping).
    """
    longest = max((m.seconds[1] for m in measured), default=None)
    if longest is None:
        return None
    return min(LONGEST_PRESTOP_S, max(SHORTEST_PRESTOP_S, math.ceil(longest * MARGIN)))


def _dead_ends(timeline: Timeline) -> list[Attempt]:
    """New connections that failed as if they had reached a pod that was gone.

    Left out where something else explains them as well: no endpoint was ready, new pods have no readiness probe and so
    may refuse before they listen, or the source port was still tied to a dead pod, be it by this run or, where connects
    without an answer occurred before anything was replaced, by one before it.
    """
    unprobed = any(
        p.generation == "new" and p.backend and p.spec is not None and not all(c.readiness for c in p.spec.containers)
        for p in timeline.pods
    )
    if unprobed:
        return []
    ingress = timeline.document.header.route == "ingress"
    attempts = sorted((*timeline.failures, *timeline.probes), key=lambda a: (began(a), a.lane, a.seq))
    doubtful = {*tied(timeline), *(id(a) for a in left_from_before(timeline, attempts))}
    return [
        a
        for a in attempts
        if _is_dead_end(a, ingress) and id(a) not in doubtful and ready_at(timeline.ready_endpoints, began(a)) != 0
    ]


def _is_dead_end(attempt: Attempt, ingress: bool) -> bool:
    if ingress:
        return attempt.outcome is Outcome.BAD_STATUS and attempt.status in GATEWAY_STATUSES
    return attempt.use is ConnectionUse.NEW and attempt.phase is Phase.CONNECT and attempt.outcome in DEAD_END


def _share_out(
    dead_ends: Iterable[Attempt], deleted: Sequence[PodLife]
) -> tuple[dict[str, list[Instant]], list[tuple[Instant, list[PodLife]]]]:
    """Pod uid → the starts of attempts that are taken to have reached that pod, and those with several candidates.

    An attempt is a pod's when it says so, or when that pod was the last one deleted.
    """
    index, last_deleted = PodIndex(deleted), LastDeleted(deleted)
    own: dict[str, list[Instant]] = defaultdict(list)
    shared: list[tuple[Instant, list[PodLife]]] = []
    for attempt in dead_ends:
        at = began(attempt)
        named = index.of(attempt)
        candidates = last_deleted.before(at)
        if named:
            for pod in named:
                if pod.deleted is not None and at >= pod.deleted.earliest:
                    own[pod.uid].append(at)
        elif len(candidates) == 1:
            own[candidates[0].uid].append(at)
        elif candidates:
            shared.append((at, candidates))
    return own, shared


def _of_pod(timeline: Timeline, pod: PodLife, failed: Sequence[Instant]) -> Propagation | None:
    """From answers on new connections by that pod, and from failures (their starts) that can only be its own."""
    assert pod.deleted is not None
    answered = pod.traffic.last_ok_new_ns
    last_failed = max(failed, default=None)
    if answered is None and last_failed is None:
        return None
    last = max(at for at in (answered, last_failed) if at is not None)
    low = max(0, last - latest(pod.deleted))
    high = max(low, max(last, latest(pod.deleted)) + _silence_ns(timeline) - pod.deleted.earliest)
    if last_failed == last:
        way = (
            "gateway errors after"
            if timeline.document.header.route == "ingress"
            else "new connections that failed after"
        )
        evidence = f"the last of {len(failed):,} {way} {pod.name} was deleted began {low / SECOND:.2f} s after it"
    elif low:
        evidence = (
            f"the last answer of {pod.name} on a new connection was asked for {low / SECOND:.2f} s after its deletion"
        )
    else:
        evidence = f"no new connection reached {pod.name} after its deletion was seen"
    return Propagation(pod=pod.name, seconds=(low / SECOND, high / SECOND), evidence=evidence)


class LastDeleted:
    """The pods deleted last before an instant.

    A failure may be due to a pod deleted earlier, but the last one gives the shortest time: what the failure proves.
    """

    def __init__(self, deleted: Sequence[PodLife]) -> None:
        """`deleted` is in the order of the earliest instants at which they can have been."""
        self._since = [p.deleted.earliest for p in deleted if p.deleted]
        self._last: list[tuple[Instant, list[PodLife]]] = [(0, [])]
        gone: list[tuple[Instant, PodLife]] = []
        for pod in deleted:
            if pod.deleted:
                gone.append((latest(pod.deleted), pod))
                newest = max(when for when, _ in gone)
                gone = [(when, p) for when, p in gone if newest - when < TOGETHER_NS]
                self._last.append((newest, [p for _, p in gone]))

    def before(self, at: Instant) -> list[PodLife]:
        """Them; several when they went together, none when that was too long ago."""
        newest, pods = self._last[bisect_right(self._since, at)]
        return pods if at - newest <= LATEST_S * SECOND else []


def _at_large(timeline: Timeline, shared: Iterable[tuple[Instant, list[PodLife]]]) -> Propagation | None:
    """From failures with several candidates: some pod was reached for at least the time since the last deletion."""
    spread: list[tuple[int, int]] = []
    for at, pods in shared:
        moments = [p.deleted for p in pods if p.deleted]
        spread.append((max(0, at - max(latest(m) for m in moments)), at - min(m.earliest for m in moments)))
    if not spread:
        return None
    low = max(low for low, _ in spread)
    high = max(high for _, high in spread) + _silence_ns(timeline)
    way = "gateway errors" if timeline.document.header.route == "ingress" else "new connections that failed"
    return Propagation(
        pod="",
        seconds=(low / SECOND, high / SECOND),
        evidence=f"{len(spread):,} {way}, the last {low / SECOND:.2f} s after several pods were deleted together",
    )


def _silence_ns(timeline: Timeline) -> int:
    """How long new connections must miss a pod before chance cannot be the reason.

    A pod among m is missed by one connection with 1 − 1/m, by k in a row with (1 − 1/m)^k.
    """
    header = timeline.document.header
    fresh = sum(header.qps * plan.share for plan in header.lanes if plan.lane == "fresh")
    rate = fresh or header.qps or 1.0
    endpoints = max([2, *(count for _, count in timeline.ready_endpoints)])
    misses = math.ceil(math.log(CHANCE) / math.log(1 - 1 / endpoints))
    return round(misses / rate * SECOND)
