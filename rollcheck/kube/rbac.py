"""The least Role, and ClusterRole where one is needed, for an action on a kind of workload: as YAML, from the table."""

from __future__ import annotations

from collections.abc import Iterable

from rollcheck.kube.actions.table import RESOURCES, Need, needs_of

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")


def manifest(action: str, kinds: Iterable[str] = ("Deployment",)) -> str:
    """Everything the action may ask for, what it can do without included; the Role has no namespace of its own."""
    wanted = tuple(dict.fromkeys(kinds))
    needs = needs_of(action, wanted)
    words = action if action != "command" else "your own command"
    resources = ", ".join(RESOURCES[kind] for kind in wanted)
    head = f"# What `rollcheck run` needs for {words} on {resources}; apply it with -n NAMESPACE.\n"
    parts = [_role("Role", action, [n for n in needs if not n.cluster])]
    everywhere = [n for n in needs if n.cluster]
    if everywhere:
        parts.append(_role("ClusterRole", action, everywhere))
    return head + "---\n".join(parts)


def _role(kind: str, action: str, needs: Iterable[Need]) -> str:
    verbs: dict[tuple[str, str], list[str]] = {}
    for need in needs:
        verbs.setdefault((need.group, need.resource), []).append(need.verb)
    rules: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), asked in verbs.items():
        rules.setdefault((group, tuple(sorted(asked, key=VERBS.index))), []).append(resource)
    lines = [
        "apiVersion: rbac.authorization.k8s.io/v1",
        f"kind: {kind}",
        "metadata:",
        f"  name: rollcheck-{action}",
        "rules:",
    ]
    for (group, allowed), resources in sorted(rules.items()):
        lines += [
            f'  - apiGroups: ["{group}"]',
            f"    resources: [{', '.join(sorted(resources))}]",
            f"    verbs: [{', '.join(allowed)}]",
        ]
    return "\n".join(lines) + "\n"
