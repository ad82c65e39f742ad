"""New connections that a node's connection tracking sent to a pod long gone: 34."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rollcheck.analyze.causes.scene import Scene, once
from rollcheck.analyze.causes.words import lost, make
from rollcheck.analyze.endpoints import ready_at
from rollcheck.analyze.model import Cause, Tie, TiedBy, began
from rollcheck.analyze.ports import LIMIT_NS, tied
from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import SECOND

MOST_LINES = 3


@once
def _ties(scene: Scene) -> dict[int, Tie]:
    return tied(scene.timeline)


def from_tied_ports(scene: Scene, attempts: Iterable[Attempt], *, by_replacement: bool) -> list[Attempt]:
    """The attempts whose source port was tied, by something in the replacement or by something before it.

    Not those that met no ready endpoint: from any other port they would have failed as well.
    """
    ties, replacement = _ties(scene), scene.timeline.replacement
    return [
        a
        for a in attempts
        if (tie := ties.get(id(a))) is not None
        and (replacement is not None and tie.since_ns >= replacement.start) == by_replacement
        and ready_at(scene.timeline.ready_endpoints, began(a)) != 0
    ]


def mode_34_tied_port(scene: Scene, attempts: Sequence[Attempt], *, by_replacement: bool) -> Cause | None:
    """Connects that fell into what an earlier connection had left in a node's connection tracking."""
    if not attempts:
        return None
    ties = [_ties(scene)[id(a)] for a in attempts]
    when = "" if by_replacement else ", since before the replacement"
    ports = "its source port was" if len(attempts) == 1 else "their source ports were"
    lines = [_line(scene, tie) for tie in ties[:MOST_LINES]]
    if len(ties) > MOST_LINES:
        lines.append(f"and {len(ties) - MOST_LINES} more alike")
    return make(
        scene,
        34,
        attempts,
        summary=(
            f"{lost(attempts)} because {ports} still tied to a dead pod{when}: from other ports the Service answered"
        ),
        evidence=[*lines, "so these say nothing about how long endpoints took to propagate"],
        advice=(
            "A node forgets such a port by itself: 10 s after a reset, 120 s after a SYN without an answer (sysctl"
            " nf_conntrack_tcp_timeout_syn_sent). What tied it is the fault to mend: a pod that ends without resetting"
            " connections, and once nobody is sent to it any more, ties no port. A lower --qps comes back to a port"
            " less soon; leave two minutes between runs on one Service."
        ),
        of_replacement=by_replacement,
    )


def _line(scene: Scene, tie: Tie) -> str:
    """What tied one port, and how long before."""
    pod = f" to pod {tie.pod}" if tie.pod else ""
    reason = (
        f"its connection{pod} was reset {scene.at(tie.since_ns)}"
        if tie.by is TiedBy.RESET
        else f"a connect from it had ended without an answer {scene.at(tie.since_ns)}"
    )
    return (
        f"source port {tie.attempt.local.rpartition(':')[2]}, used again {scene.at(began(tie.attempt))}, was still tied"
        f" to a dead pod's address by the node's connection tracking: {reason}, which is remembered for"
        f" {LIMIT_NS[tie.by] // SECOND} s"
    )
