"""The first line of a document: what the run was asked to do.

Apart from `facts.document`, which knows every kind of fact, because a load must start without importing them all.
"""

from __future__ import annotations

from dataclasses import dataclass

from rollcheck.facts.clock import ClockAnchor

SCHEMA = "rollcheck.facts/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePlan:
    """What one lane was asked to do.

    Attributes:
        share: of the arrivals, 0 to 1.
        connections: how many it may hold, 0 for as many as it takes.
        min_idle_s: seconds that a connection rests before it is used again.
        path: what is asked for instead of the target's own path, empty for that.
    """

    lane: str
    share: float
    connections: int
    min_idle_s: float = 0
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the run was asked to do, by which versions, on which clock.

    Attributes:
        run_id: unique for a run; also names its folder.
        anchor: pairs the run's axis with the wall clock.
        versions: "rollcheck", "python", "kubernetes" (server), … → version.
        workload, namespace, context: what was replaced; workload is "deployment/web".
        url: what was asked; route says how it was found: "url", "ingress", "loadbalancer", "nodeport", "clusterip".
        service: name of the Service behind it, empty when not known.
        method, qps, timeout_s: of the load; lanes is its mix.
        expect: what counts as good, as a person would say it.
        trigger: "restart", or the user's command joined by spaces.
        options: every further option with the value it had, as text.
        interval_s: nominal length of an `Interval`.
        pod_header: response header that names the pod, empty when there is none.
        sandbox: whether the cluster was rollcheck's own embedded one: no evidence about a real one.
        kind: "run" or "load"; a load has no workload, namespace, context, service and trigger.
        calls, duration_s: what a load was asked for, 0 when it was not; qps 0 means as fast as answers came.
        workers: processes that put the load on.
    """

    schema: str = SCHEMA
    run_id: str
    anchor: ClockAnchor
    versions: dict[str, str]
    workload: str
    namespace: str
    context: str
    url: str
    route: str
    service: str
    method: str
    qps: float
    timeout_s: float
    lanes: tuple[LanePlan, ...]
    expect: str
    trigger: str
    options: dict[str, str]
    interval_s: float = 1.0
    pod_header: str = ""
    sandbox: bool = False
    kind: str = "run"
    calls: int = 0
    duration_s: float = 0
    workers: int = 1
