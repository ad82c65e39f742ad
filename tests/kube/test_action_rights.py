"""The one table of actions, and what is made of it: rights to ask for, Roles to apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rollcheck.errors import UsageError
from rollcheck.facts.cluster import Change, WorkloadSeen
from rollcheck.kube import objects
from rollcheck.kube.actions.table import ACTIONS, RESOURCES, check_kind, needs_of
from rollcheck.kube.permissions import needed_rights
from rollcheck.kube.rbac import manifest

RBAC = Path(__file__).parents[2] / "deploy" / "rbac"
EVERY = [(action, kind) for action, sort in ACTIONS.items() for kind in sort.kinds]


def roles(action: str, kind: str) -> dict[str, Any]:
    return {raw["kind"]: raw for raw in yaml.safe_load_all(manifest(action, [kind]))}


def allows(role: Any, verb: str, resource: str, group: str) -> bool:
    return any(
        verb in rule["verbs"] and resource in rule["resources"] and group in rule["apiGroups"]
        for rule in (role or {}).get("rules", [])
    )


@pytest.mark.parametrize(("action", "kind"), EVERY)
def test_the_role_allows_exactly_what_is_asked_for(action: str, kind: str) -> None:
    made = roles(action, kind)
    rights = {(r.verb, r.resource, r.group, bool(r.namespace)) for r in needed_rights("shop", action, [kind])}
    given = {
        (verb, resource, group, name == "Role")
        for name, role in made.items()
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for group in rule["apiGroups"]
    }
    assert given == rights


def test_only_a_drain_needs_anything_outside_of_the_namespace() -> None:
    assert {action for action, kind in EVERY if "ClusterRole" in roles(action, kind)} == {"drain"}


@pytest.mark.parametrize(
    ("action", "verb", "resource", "group"),
    [
        ("restart", "patch", "deployments", "apps"),
        ("set-image", "patch", "deployments", "apps"),
        ("undo", "list", "replicasets", "apps"),
        ("scale", "patch", "deployments/scale", "apps"),
        ("delete-pod", "delete", "pods", ""),
        ("evict", "create", "pods/eviction", ""),
    ],
)
def test_each_action_has_its_own_right_and_watching_has_none(action: str, verb: str, resource: str, group: str) -> None:
    assert allows(roles(action, "Deployment")["Role"], verb, resource, group)
    assert action == "undo" or not allows(roles("none", "Deployment")["Role"], verb, resource, group)


def test_a_statefulset_is_asked_for_by_its_own_name() -> None:
    role = roles("restart", "StatefulSet")["Role"]
    assert allows(role, "patch", "statefulsets", "apps")
    assert not any("deployments" in rule["resources"] or "replicasets" in rule["resources"] for rule in role["rules"])


def test_a_right_that_is_needed_for_the_action_comes_before_those_for_watching() -> None:
    assert needs_of("evict")[0].resource == "pods/eviction"


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_the_files_in_deploy_are_what_the_table_says(action: str) -> None:
    assert (RBAC / f"{action}.yaml").read_text() == manifest(action)


def test_no_other_file_lies_beside_them() -> None:
    assert {path.stem for path in RBAC.glob("*.yaml")} == set(ACTIONS)


@pytest.mark.parametrize(("action", "kind"), [("scale", "DaemonSet"), ("drain", "DaemonSet")])
def test_what_a_kind_cannot_do_is_named(action: str, kind: str) -> None:
    raw = {"metadata": {"name": "agent"}, "spec": {}, "status": {}}
    with pytest.raises(UsageError, match=f"daemonset/agent is a DaemonSet, and {action} can be done to a Deployment"):
        check_kind(action, objects.workload(raw, 0, Change.LISTED, kind))


class TestKinds:
    """StatefulSets and DaemonSets as facts."""

    def test_a_statefulset_moves_one_pod_at_a_time_and_tells_its_partition(self) -> None:
        seen = self.seen("StatefulSet", {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}})
        assert (seen.strategy, seen.max_surge, seen.max_unavailable, seen.partition) == ("RollingUpdate", "0", "1", 2)
        assert seen.ref == "statefulset/web"

    def test_a_daemonset_has_as_many_replicas_as_nodes_want_it(self) -> None:
        status = {"desiredNumberScheduled": 4, "numberAvailable": 3, "updatedNumberScheduled": 2, "numberReady": 3}
        seen = self.seen("DaemonSet", {}, status)
        assert (seen.replicas, seen.available, seen.updated, seen.ready) == (4, 3, 2, 3)

    @staticmethod
    def seen(kind: str, spec: dict[str, Any], status: dict[str, Any] | None = None) -> WorkloadSeen:
        raw = {"metadata": {"name": "web"}, "spec": spec, "status": status or {}}
        return objects.workload(raw, 0, Change.LISTED, kind)


def test_every_kind_has_a_resource() -> None:
    assert {kind for sort in ACTIONS.values() for kind in sort.kinds} == set(RESOURCES)
