"""From a request to the action that it means."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rollcheck.facts.cluster import WorkloadSeen
from rollcheck.kube.actions.action import Doing
from rollcheck.kube.actions.drain import Drain
from rollcheck.kube.actions.pods import DeletePods, Evict
from rollcheck.kube.actions.request import Request
from rollcheck.kube.actions.rollouts import Restart, SetImage, Undo
from rollcheck.kube.actions.scale import Scale
from rollcheck.kube.actions.table import check_kind
from rollcheck.kube.actions.watching import OwnCommand, Watch
from rollcheck.kube.api import Api

_MADE_OF: dict[str, Callable[[Api, Sequence[WorkloadSeen], Request], Doing]] = {
    "restart": Restart,
    "set-image": SetImage,
    "undo": Undo,
    "scale": Scale,
    "delete-pod": DeletePods,
    "evict": Evict,
    "drain": Drain,
}


def make_action(api: Api, workloads: Sequence[WorkloadSeen], asked: Request) -> Doing:
    """The action on these workloads.

    Raises:
        UsageError: one of them cannot do it.
    """
    for workload in workloads:
        check_kind(asked.name, workload)
    if asked.name == "none":
        return Watch(workloads)
    if asked.name == "command":
        return OwnCommand(asked.command, {})
    return _MADE_OF[asked.name](api, workloads, asked)
