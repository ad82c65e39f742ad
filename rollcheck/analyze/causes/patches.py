"""The changes that fix causes, as strategic-merge patches in YAML: `kubectl patch deployment NAME --patch-file FILE`.

A handler that the patch replaces is set to null in it, since a merge would leave two handlers, which the API refuses.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from rollcheck.analyze.causes.scene import Scene, main_container
from rollcheck.facts.cluster import ContainerSpec, PodSpec, WorkloadSeen

DRAIN_ALLOWANCE_S = 10
"""What a server gets to finish what is under way, where nothing better is known."""
APP_GRACE_S = 30
"""Kubernetes' own default: given back to an app whose preStop took all of its grace."""
SHELLS = ("sh", "bash", "dash", "ash")
PLAIN_SCALAR = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*\Z")
RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
UNPLAIN = re.compile(r"""["'`$|()<>{}\n\\]|(?<!&)&(?!&)""")
"""What makes a script more than simple commands in a row."""
QUICK = [
    [word] for word in ("cd", "export", "set", "umask", "mkdir", "echo", ".", "source", "chown", "chmod", "ulimit")
]
"""Commands that end by themselves, so that what follows them is the app."""
NOT_AN_APP = frozenset(
    {"exec", "trap", "wait", "true", ":", "exit", "echo", "if", "for", "while", "done", "fi", "case"}
)
NULL = object()
"""Deletes a field in a strategic merge."""


def yaml(tree: dict[str, Any]) -> str:
    """The tree as YAML: maps, lists of maps, lists of scalars in one line, scalars quoted where they must be."""
    return "\n".join(_lines(tree, 0)) + "\n"


def _lines(value: Any, depth: int) -> list[str]:
    pad = "  " * depth
    lines: list[str] = []
    for key, item in value.items():
        if isinstance(item, dict):
            lines += [f"{pad}{key}:", *_lines(item, depth + 1)]
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            lines.append(f"{pad}{key}:")
            for entry in item:
                inner = _lines(entry, depth + 2)
                lines += [f"{pad}  - {inner[0].strip()}", *inner[1:]]
        elif isinstance(item, list):
            lines.append(f"{pad}{key}: [{', '.join(_scalar(i, flow=True) for i in item)}]")
        else:
            lines.append(f"{pad}{key}: {_scalar(item)}")
    return lines


def _scalar(value: Any, *, flow: bool = False) -> str:
    if value is NULL:
        return "null"
    if isinstance(value, str) and (flow or not PLAIN_SCALAR.match(value) or value.lower() in RESERVED):
        return json.dumps(value)  # a JSON string is a YAML double-quoted scalar
    return str(value)


def pod_patch(container: str = "", grace_s: int | None = None, **fields: Any) -> str:
    """A patch of the pod template: the grace, and fields of one container."""
    spec: dict[str, Any] = {}
    if grace_s is not None:
        spec["terminationGracePeriodSeconds"] = grace_s
    if fields:
        spec["containers"] = [{"name": container, **fields}]
    return yaml({"spec": {"template": {"spec": spec}}})


def has_native_sleep(scene: Scene) -> bool:
    """Whether the API server knows `preStop.sleep`: on by default since 1.30; an unknown version is taken as recent."""
    found = re.match(r"v?(\d+)\.(\d+)", scene.header.versions.get("kubernetes", ""))
    return found is None or (int(found[1]), int(found[2])) >= (1, 30)


def prestop_patch(scene: Scene, spec: PodSpec | None, seconds: int, drain_s: float = 0.0) -> str:
    """A preStop sleep, and a grace that leaves the app its time after it; empty when the container is not known."""
    main = main_container(spec)
    if spec is None or main is None:
        return ""
    hook: dict[str, Any]
    if has_native_sleep(scene):
        hook = {"sleep": {"seconds": seconds}}
    else:
        hook = {"exec": {"command": ["sleep", str(seconds)]}}
    if main.prestop is not None:
        known = {"sleep": "sleep", "exec": "exec", "http": "httpGet", "tcp": "tcpSocket"}
        old = known.get(main.prestop.kind, "exec")
        if old not in hook:
            hook[old] = NULL
    needed = seconds + math.ceil(max(drain_s, DRAIN_ALLOWANCE_S)) + 1
    grace = needed if needed > spec.grace_s else None
    return pod_patch(main.name, grace, lifecycle={"preStop": hook})


def grace_patch(grace_s: int) -> str:
    """Only the grace."""
    return pod_patch(grace_s=grace_s)


def readiness_patch(spec: PodSpec | None) -> str:
    """An httpGet readiness probe on the container's first port; empty when it declares none."""
    main = main_container(spec)
    if main is None or not main.ports:
        return ""
    probe: dict[str, Any] = {"httpGet": {"path": "/", "port": main.ports[0]}, "periodSeconds": 1, "timeoutSeconds": 2}
    replaced = {"tcp": "tcpSocket", "exec": "exec", "grpc": "grpc"}
    if main.readiness is not None and main.readiness.kind in replaced:
        probe[replaced[main.readiness.kind]] = NULL
    return pod_patch(main.name, readinessProbe=probe)


def strategy_patch(replicas: int | None = None) -> str:
    """Start the new pod first: surge 1, unavailable 0."""
    spec: dict[str, Any] = {} if replicas is None else {"replicas": replicas}
    spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    return yaml({"spec": spec})


def spread_patch(workload: WorkloadSeen, replicas: int | None = None) -> str:
    """Pods on different nodes where that can be had."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(workload.selector)},
    }
    spec: dict[str, Any] = {} if replicas is None else {"replicas": replicas}
    spec["template"] = {"spec": {"topologySpreadConstraints": [spread]}}
    return yaml({"spec": spec})


def exec_patch(spec: PodSpec | None) -> str:
    """`sh -c "…"` with `exec` before its last command, so that the app is PID 1; empty when that cannot be told."""
    main = main_container(spec)
    command = exec_form(main)
    if main is None or command is None:
        return ""
    return pod_patch(main.name, command=command)


def shell_form(container: ContainerSpec | None) -> bool:
    """Whether the template's own command is a shell given a script by -c."""
    if container is None or len(container.command) < 3:
        return False
    return container.command[0].rpartition("/")[2] in SHELLS and container.command[1] == "-c"


def exec_form(container: ContainerSpec | None) -> list[str] | None:
    """The command with `exec` put in; None where that is not plainly right (quotes, pipes, more lines, exec there)."""
    if container is None or not shell_form(container) or len(container.command) != 3:
        return None
    script = container.command[2].strip()
    if not script or UNPLAIN.search(script):
        return None
    *first, last = re.split(r"\s*(?:;|&&)\s*", script)
    words = last.split()
    if not words or "=" in words[0] or words[0] in NOT_AN_APP or any(c.split()[:1] not in QUICK for c in first):
        return None
    return [*container.command[:2], script[: len(script) - len(last)] + f"exec {last}"]
