"""When SIGTERM was sent: never an API object, so a span with the method by which it was inferred.

The kubelet sends the `Killing` event, runs preStop (bounded by the grace), and only then asks the runtime to stop the
container. Without the event, what remains is the deletion itself and the time a kubelet takes to notice it.
"""

from __future__ import annotations

from rollcheck.analyze.model import ContainerExit, Moment, SigtermInference, latest
from rollcheck.facts.clock import SECOND, Instant, Window
from rollcheck.facts.cluster import ContainerSpec, PodSpec

KUBELET_REACTION_NS = 2 * SECOND
"""A kubelet's watch delivers a deletion within milliseconds; a busy one may take two of its sync periods of 1 s."""
MINIMUM_GRACE_NS = 2 * SECOND
"""What preStop leaves of the grace is raised to this much before SIGKILL."""


def infer_sigterm(
    *,
    spec: PodSpec | None,
    deleted: Moment,
    grace_s: int | None,
    killing: Moment | None,
    prestop_failed: Moment | None,
    exits: tuple[ContainerExit, ...],
) -> SigtermInference:
    """The span in which SIGTERM reached a deleted pod's containers; the first of them where they differ.

    Never later than the first container's end, as far as that is known.
    """
    low, high, method, exact = _start_of_prestop(deleted, killing)
    grace_ns = (spec.grace_s if grace_s is None and spec else grace_s or 0) * SECOND
    delay = _prestop_delay(spec, grace_ns)
    if prestop_failed is not None:
        high = max(low, latest(prestop_failed))
        method += ", its preStop hook failed"
    elif delay is None:
        high += grace_ns + MINIMUM_GRACE_NS
        method += "; how long preStop took is not known" if spec else "; the pod's spec was not seen"
        exact = False
    else:
        low, high = low + delay[0], high + delay[1]
        method += _worded(spec, delay)
        exact = exact and delay[0] == delay[1]
    ended = min((latest(Moment(seen_ns=e.seen_ns, reported=e.finished)) for e in exits), default=None)
    if ended is not None:
        high = max(low, min(high, ended))
    return SigtermInference(window=Window(start=low, end=high), method=method, exact=exact)


def _start_of_prestop(deleted: Moment, killing: Moment | None) -> tuple[Instant, Instant, str, bool]:
    if killing is None:
        return deleted.earliest, latest(deleted) + KUBELET_REACTION_NS, "deletion (no Killing event was seen)", False
    low = max(killing.earliest, deleted.earliest)
    return low, max(low, latest(killing)), "Killing event", True


def _prestop_delay(spec: PodSpec | None, grace_ns: int) -> tuple[int, int] | None:
    """Nanoseconds from the start of preStop to SIGTERM: of the quickest and of the slowest container.

    None when some container's preStop has no known length.
    """
    if spec is None:
        return None
    delays: list[int] = []
    for container in _terminated_first(spec):
        hook = container.prestop
        if hook is not None and hook.sleep_s is None:
            return None
        delays.append(min(grace_ns, round((hook.sleep_s or 0.0) * SECOND)) if hook else 0)
    return (min(delays), max(delays)) if delays else (0, 0)


def _terminated_first(spec: PodSpec) -> list[ContainerSpec]:
    """Sidecars get SIGTERM only after the last main container has exited."""
    return [c for c in spec.containers if not c.sidecar]


def _worded(spec: PodSpec | None, delay: tuple[int, int]) -> str:
    if delay == (0, 0):
        hooks = any(c.prestop for c in spec.containers) if spec else False
        return " + preStop sleep 0 s" if hooks else ", no preStop"
    if delay[0] == delay[1]:
        return f" + preStop sleep {delay[0] / SECOND:g} s"
    return f" + preStop sleep {delay[0] / SECOND:g} to {delay[1] / SECOND:g} s, by container"
