"""Which pods of a node a drain evicts: kubectl's filters in kubectl's order. Pure, over raw JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

MIRROR = "kubernetes.io/config.mirror"
ENDED = ("Succeeded", "Failed")

DAEMONSET_FATAL = "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"
LOCAL_FATAL = "cannot delete Pods with local storage (use --delete-emptydir-data to override)"
UNMANAGED_FATAL = "cannot delete Pods that declare no controller (use --force to override)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """The switches of kubectl drain that decide about pods."""

    ignore_daemonsets: bool = False
    delete_emptydir_data: bool = False
    force: bool = False


@dataclass(slots=True)
class Selection:
    """What becomes of the pods of a node.

    Attributes:
        evicted: those that a drain evicts.
        left: (pod, why) of those that it leaves alone.
        problems: why it would not begin, each with the pods it is about.
    """

    evicted: list[Json] = field(default_factory=list)
    left: list[tuple[Json, str]] = field(default_factory=list)
    problems: dict[str, list[str]] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        """All of them in one sentence, empty when there is none."""
        return "; ".join(f"{why}: {', '.join(names)}" for why, names in self.problems.items())


def select(pods: Iterable[Json], filters: Filters, daemonsets: Mapping[tuple[str, str], bool]) -> Selection:
    """Sort the pods of a node.

    Args:
        pods: all pods of the node.
        filters: the switches.
        daemonsets: (namespace, name) of each DaemonSet that is a pod's controller → whether it still exists.
    """
    found = Selection()
    for pod in sorted(pods, key=full_name):
        gone, why, fatal = _judge(pod, filters, daemonsets)
        if fatal:
            found.problems.setdefault(why, []).append(full_name(pod))
        elif gone:
            found.evicted.append(pod)
        else:
            found.left.append((pod, why))
    return found


def _judge(pod: Json, filters: Filters, daemonsets: Mapping[tuple[str, str], bool]) -> tuple[bool, str, bool]:
    """Whether it is evicted, why not, and whether the drain is refused for it. The order is kubectl's."""
    ended = (pod.get("status") or {}).get("phase") in ENDED
    owner = controller(pod)
    if owner and owner[0] == "DaemonSet" and not ended:
        if daemonsets.get((namespace_of(pod), owner[1]), True):
            fatal = not filters.ignore_daemonsets
            return False, DAEMONSET_FATAL if fatal else "managed by a DaemonSet", fatal
        if not filters.force:
            return False, f"its DaemonSet {owner[1]} is not there any more (use --force to override)", True
    if MIRROR in ((pod.get("metadata") or {}).get("annotations") or {}):
        return False, "a static pod of the node's own", False
    if has_local_storage(pod) and not ended and not filters.delete_emptydir_data:
        return False, LOCAL_FATAL, True
    if not owner and not ended and not filters.force:
        return False, UNMANAGED_FATAL, True
    return True, "", False


def has_local_storage(pod: Json) -> bool:
    """Whether it has an emptyDir, whose data goes with it."""
    return any("emptyDir" in volume for volume in (pod.get("spec") or {}).get("volumes") or [])


def controller(pod: Json) -> tuple[str, str] | None:
    """Kind and name of the controlling owner."""
    for owner in (pod.get("metadata") or {}).get("ownerReferences") or []:
        if owner.get("controller") is True:
            return str(owner.get("kind") or ""), str(owner.get("name") or "")
    return None


def daemonsets_of(pods: Iterable[Json]) -> set[tuple[str, str]]:
    """(namespace, name) of the DaemonSets that control some of these pods."""
    owners = [(namespace_of(pod), controller(pod)) for pod in pods]
    return {(namespace, owner[1]) for namespace, owner in owners if owner and owner[0] == "DaemonSet"}


def namespace_of(raw: Json) -> str:
    """Of any object."""
    return str((raw.get("metadata") or {}).get("namespace") or "")


def name_of(raw: Json) -> str:
    """Of any object."""
    return str((raw.get("metadata") or {}).get("name") or "")


def full_name(raw: Json) -> str:
    """Namespace and name, as kubectl prints them."""
    return f"{namespace_of(raw)}/{name_of(raw)}"


def is_schedulable(node: Json) -> bool:
    """Whether new pods may come to it: Ready, and not cordoned."""
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return ready and not (node.get("spec") or {}).get("unschedulable")
