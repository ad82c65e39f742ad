"""Source ports that a node's connection tracking still ties to a dead pod: a connect from one fails though all is well.

A node that sends a connection to a pod remembers that by the client's address and port. When the pod goes, the entry
stays: for 10 s after the pod reset the connection (nf_conntrack_tcp_timeout_close), for 120 s after a SYN that nothing
answered (nf_conntrack_tcp_timeout_syn_sent). A new connection that happens to get the same port falls into the entry
and is sent to where the pod was: it times out, or finds no route, long after every rule is right. Each such SYN keeps
an entry of the second kind alive; one of the first kind it does not prolong. Refusals and FINs leave no such entry.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from rollcheck.analyze.model import PodLife, Tie, TiedBy, Timeline, began
from rollcheck.facts.attempts import Attempt, Outcome, Phase
from rollcheck.facts.clock import SECOND, Instant
from rollcheck.facts.connections import Connection

RESET_NS = 10 * SECOND
SYN_NS = 120 * SECOND
LIMIT_NS = {TiedBy.RESET: RESET_NS, TiedBy.SYN: SYN_NS}
UNANSWERED = (Outcome.TIMEOUT, Outcome.UNREACHABLE)
DIRECT_ROUTES = ("nodeport", "clusterip")
"""Routes on which the pod that a connection is known to reach is certain: no proxy ends it on the way."""


def unanswered(attempt: Attempt) -> bool:
    """Whether its SYN got no answer: it timed out while connecting, or a router said that there is no way."""
    return attempt.phase is Phase.CONNECT and attempt.outcome in UNANSWERED


def find_ties(
    attempts: Iterable[Attempt], connections: Iterable[Connection], pods: Iterable[PodLife], route: str
) -> tuple[Tie, ...]:
    """The connects without an answer whose port an earlier connection of the same document had tied, by their start.

    None through an ingress: there connections end at the ingress, whose address no node translates. An earlier
    connection to a pod that is known to live on explains nothing.
    """
    if route == "ingress":
        return ()
    listed = list(attempts)
    ports = {a.local for a in listed if a.local and unanswered(a)}
    events: dict[str, list[tuple[Instant, Attempt | Connection]]] = defaultdict(list)
    for attempt in listed:
        if attempt.local in ports:
            events[attempt.local].append((attempt.ended_ns, attempt))
    for connection in connections:
        if connection.local in ports:
            events[connection.local].append((connection.closed_ns, connection))
    deaths = _deaths(pods) if route in DIRECT_ROUTES else {}
    ties = [tie for port in sorted(ports) for tie in _of_port(events[port], deaths)]
    return tuple(sorted(ties, key=lambda t: (began(t.attempt), t.attempt.lane, t.attempt.seq)))


def _deaths(pods: Iterable[PodLife]) -> dict[str, Instant | None]:
    """Pod name → the earliest instant at which one of that name was deleted, None when none was."""
    deaths: dict[str, Instant | None] = {}
    for pod in pods:
        ends = [at for at in (deaths.get(pod.name), pod.deleted.earliest if pod.deleted else None) if at is not None]
        deaths[pod.name] = min(ends, default=None)
    return deaths


def _of_port(
    events: Iterable[tuple[Instant, Attempt | Connection]], deaths: dict[str, Instant | None]
) -> Iterable[Tie]:
    """One port's history in order: what tied it, and what fell into that."""
    by: TiedBy | None = None
    since = until = 0
    pod = ""
    for at, fact in sorted(events, key=_order):
        if not isinstance(fact, Attempt) or not unanswered(fact):
            reset = fact.outcome is Outcome.RESET if isinstance(fact, Attempt) else fact.reset
            # A SYN that is answered with RST leaves nothing behind.
            stood = not isinstance(fact, Attempt) or fact.phase is not Phase.CONNECT
            by = TiedBy.RESET if reset and stood else None
            since, until, pod = at, at + RESET_NS, fact.pod
            continue
        if by is not None and began(fact) <= until and _is_dead(pod, began(fact), deaths):
            yield Tie(attempt=fact, by=by, since_ns=since, pod=pod)
        else:
            by, since, pod = TiedBy.SYN, at, ""
        if by is TiedBy.SYN:
            until = at + SYN_NS


def _order(event: tuple[Instant, Attempt | Connection]) -> tuple[Instant, bool, int]:
    at, fact = event
    return (at, False, fact.seq) if isinstance(fact, Attempt) else (at, True, fact.id)


def _is_dead(pod: str, at: Instant, deaths: dict[str, Instant | None]) -> bool:
    """Whether that pod had been deleted by then, as far as is known: of an unknown one it may be."""
    if pod not in deaths:
        return True
    death = deaths[pod]
    return death is not None and death <= at


def tied(timeline: Timeline) -> dict[int, Tie]:
    """Id of each attempt whose port was tied → its tie."""
    return {id(tie.attempt): tie for tie in timeline.ties}


def maybe_tied_before(timeline: Timeline, attempts: Iterable[Attempt]) -> list[Attempt]:
    """Those that a port tied before this run began may have lost: that cannot be seen here, only that it could be.

    An entry from before that nothing in this run has kept alive is gone 120 s after the run's beginning.
    """
    if timeline.document.header.route == "ingress":
        return []
    known, until = tied(timeline), timeline.window.start + SYN_NS
    return [a for a in attempts if unanswered(a) and id(a) not in known and began(a) <= until]


def left_from_before(timeline: Timeline, attempts: Iterable[Attempt]) -> list[Attempt]:
    """Of these, what ports tied before the run may have lost, where the run shows that there are such; else none.

    It shows it by connects without an answer before anything was replaced.
    """
    start = timeline.replacement.start if timeline.replacement else timeline.window.end
    if not any(began(a) < start for a in maybe_tied_before(timeline, (*timeline.failures, *timeline.probes))):
        return []
    return maybe_tied_before(timeline, attempts)
