"""The one table of actions: what each can be done to, and which rights it needs.

The check before a run, the sentence about a missing verb, `rollcheck doctor` and the files in `deploy/rbac` all come
from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rollcheck.errors import UsageError
from rollcheck.facts.cluster import WorkloadSeen

RESOURCES = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
"""The kinds of workload whose pods rollcheck can have replaced."""

ITSELF = "{workload}"
"""Stands for the workload's own resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One verb on one resource.

    Attributes:
        why: what it is for; of one that is not required, what is lost without it.
        cluster: whether it is needed outside of the workload's namespace.
        required: whether the run cannot be without it.
        beforehand: whether only `--dry-run` makes use of it.
        of_kind: the kind of workload for which alone it is needed, empty for all.
    """

    verb: str
    resource: str
    group: str = ""
    why: str
    cluster: bool = False
    required: bool = True
    beforehand: bool = False
    of_kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """One action.

    Attributes:
        usage: how it is asked for.
        does: what it does, for the help.
        kinds: what it can be done to.
        needs: rights beyond those that every run needs.
        returns: whether what it changed is put back at the end.
        repeats: whether `--repeat` can do it again and again.
        rolls: whether it gives the pods a new template.
    """

    name: str
    usage: str
    does: str
    kinds: tuple[str, ...]
    needs: tuple[Need, ...] = ()
    returns: bool = False
    repeats: bool = False
    rolls: bool = False


_NO_SETS = "without it pods are told apart by labels only"
ALL = tuple(RESOURCES)
_PATCH = Need(verb="patch", resource=ITSELF, group="apps", why="a {action} is a patch of it")
_EVICT = Need(verb="create", resource="pods/eviction", why="this is how a pod is evicted")

ACTIONS: dict[str, Sort] = {
    sort.name: sort
    for sort in (
        Sort(
            name="restart",
            usage="restart",
            does="stamp the template, as kubectl rollout restart does",
            kinds=ALL,
            needs=(_PATCH,),
            repeats=True,
            rolls=True,
        ),
        Sort(
            name="set-image",
            usage="set-image CONTAINER=IMAGE...",
            does="give containers another image, as kubectl set image does",
            kinds=ALL,
            needs=(_PATCH,),
            returns=True,
            rolls=True,
        ),
        Sort(
            name="undo",
            usage="undo [REVISION]",
            does="go back to an earlier template, as kubectl rollout undo does",
            kinds=ALL,
            needs=(
                _PATCH,
                Need(
                    verb="list",
                    resource="replicasets",
                    group="apps",
                    why="a Deployment's earlier templates are in them",
                    of_kind="Deployment",
                ),
                *(
                    Need(
                        verb="list",
                        resource="controllerrevisions",
                        group="apps",
                        why="earlier templates are in them",
                        of_kind=kind,
                    )
                    for kind in ("StatefulSet", "DaemonSet")
                ),
            ),
            returns=True,
            rolls=True,
        ),
        Sort(
            name="scale",
            usage="scale N",
            does="scale to N replicas, and back",
            kinds=("Deployment", "StatefulSet"),
            needs=(
                Need(verb="get", resource=f"{ITSELF}/scale", group="apps", why="the present scale is read from it"),
                Need(verb="patch", resource=f"{ITSELF}/scale", group="apps", why="scaling is a patch of it"),
            ),
            returns=True,
            repeats=True,
        ),
        Sort(
            name="delete-pod",
            usage="delete-pod [POD...|N|all]",
            does="delete pods, all those named at once, as kubectl delete pod does",
            kinds=ALL,
            needs=(Need(verb="delete", resource="pods", why="this is what was asked for"),),
            repeats=True,
        ),
        Sort(
            name="evict",
            usage="evict [POD...|N|all]",
            does="evict pods by the Eviction API, each after the one before was replaced",
            kinds=ALL,
            needs=(_EVICT,),
            repeats=True,
        ),
        Sort(
            name="drain",
            usage="drain NODE",
            does="cordon a node and evict its pods, as kubectl drain does, and uncordon it",
            kinds=("Deployment", "StatefulSet"),
            needs=(
                _EVICT,
                Need(verb="get", resource="pods", cluster=True, why="the end of an evicted pod is told by its uid"),
                Need(verb="list", resource="pods", cluster=True, why="the pods of the node are in every namespace"),
                Need(verb="get", resource="nodes", cluster=True, why="the node is read before it is touched"),
                Need(verb="list", resource="nodes", cluster=True, why="the last schedulable node is not drained"),
                Need(verb="patch", resource="nodes", cluster=True, why="cordoning is a patch of it"),
                Need(
                    verb="get",
                    resource="daemonsets",
                    group="apps",
                    cluster=True,
                    why="pods of a DaemonSet are left alone while it exists",
                ),
                Need(
                    verb="list",
                    resource="poddisruptionbudgets",
                    group="policy",
                    why="without it the budgets that block an eviction cannot be told beforehand",
                    required=False,
                ),
                Need(
                    verb="list",
                    resource="persistentvolumeclaims",
                    why="without it the volumes that keep a pod on its node cannot be told beforehand",
                    required=False,
                    beforehand=True,
                ),
                Need(
                    verb="list",
                    resource="persistentvolumes",
                    cluster=True,
                    why="without it the nodes on which a volume can be used cannot be told beforehand",
                    required=False,
                    beforehand=True,
                ),
            ),
            returns=True,
            repeats=True,
        ),
        Sort(name="none", usage="none", does="only watch; somebody else replaces them", kinds=ALL),
        Sort(name="command", usage="-- COMMAND...", does="your own deploy", kinds=ALL, rolls=True),
    )
}


def watching_needs() -> tuple[Need, ...]:
    """What every run asks for, whatever it does, the required first."""
    return (
        *_verbs(ITSELF, "apps", ("get", "list", "watch"), "the workload itself is read from it"),
        *_verbs("pods", "", ("list", "watch"), "the ends of pods are read from it"),
        *(
            replace(need, of_kind="Deployment", required=False)
            for need in _verbs(
                "replicasets", "apps", ("list", "watch"), "without it pods are told apart by labels only"
            )
        ),
        *_optional(
            "endpointslices",
            "discovery.k8s.io",
            ("list", "watch"),
            "without it it cannot be told when a pod left its Service",
        ),
        *_optional("events", "", ("list", "watch"), "without it preStop and SIGTERM cannot be placed"),
        *_optional("services", "", ("list",), "without it no URL can be found: give --url"),
        *_optional("ingresses", "networking.k8s.io", ("list",), "without it no URL is looked for behind an Ingress"),
        *_optional(
            "horizontalpodautoscalers",
            "autoscaling",
            ("list", "watch"),
            "without it an autoscaler's scaling cannot be told from anybody else's",
        ),
        *_optional(
            "leases",
            "coordination.k8s.io",
            ("get", "create", "patch", "delete"),
            "without it another rollcheck on the same workload goes unnoticed",
        ),
    )


def needs_of(action: str, kinds: Iterable[str] = ("Deployment",)) -> tuple[Need, ...]:
    """Everything a run of that action on workloads of these kinds asks for: what the action needs comes first."""
    found: dict[Need, None] = {}
    for kind in kinds:
        for need in (*ACTIONS[action].needs, *watching_needs()):
            if need.of_kind in ("", kind):
                found[_filled(need, action, kind)] = None
    return tuple(_once(found))


def check_kind(action: str, workload: WorkloadSeen) -> None:
    """Raise `UsageError` for what this kind of workload cannot do."""
    sort = ACTIONS[action]
    if workload.kind not in sort.kinds:
        able = " or a ".join(sort.kinds)
        why = " (its pods stay on a node that is drained)" if action == "drain" else ""
        raise UsageError(f"{workload.ref} is a {workload.kind}, and {action} can be done to a {able} only{why}")


def path_of(workload: WorkloadSeen) -> str:
    """Where the API has it."""
    return f"/apis/apps/v1/namespaces/{workload.namespace}/{RESOURCES[workload.kind]}/{workload.name}"


def _verbs(resource: str, group: str, verbs: Iterable[str], why: str) -> list[Need]:
    return [Need(verb=verb, resource=resource, group=group, why=why) for verb in verbs]


def _optional(resource: str, group: str, verbs: Iterable[str], why: str) -> list[Need]:
    return [replace(need, required=False) for need in _verbs(resource, group, verbs, why)]


def _filled(need: Need, action: str, kind: str) -> Need:
    return replace(
        need,
        resource=need.resource.replace(ITSELF, RESOURCES[kind]),
        why=need.why.replace("a {action}", f"an {action}" if action[0] in "aeiou" else f"a {action}"),
        of_kind="",
    )


def _once(needs: Iterable[Need]) -> list[Need]:
    """Each right once: the first, which says best what it is for, but required where any of them is."""
    kept: dict[tuple[str, str, str, bool], Need] = {}
    for need in needs:
        key = (need.verb, need.resource, need.group, need.cluster)
        before = kept.setdefault(key, need)
        if need.required and not before.required:
            kept[key] = need
    return list(kept.values())
