"""`rollcheck doctor`: what one may do here, what is missing for it, and the Role that gives it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from rollcheck.cli.options import Output, check_output
from rollcheck.cli.run import KINDS, journals_folder
from rollcheck.errors import ClusterDenied, UsageError

if TYPE_CHECKING:
    from rollcheck.housekeeping import Found
    from rollcheck.kube.permissions import Right


def doctor(
    action: Annotated[
        str, typer.Option("--action", metavar="ACTION", help="Only this one (exit 4 when it cannot be done).")
    ] = "",
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="deployment, statefulset or daemonset.")
    ] = "deployment",
    namespace: Annotated[str, typer.Option("-n", "--namespace", metavar="NAME", help="The context's by default.")] = "",
    context: Annotated[str, typer.Option("--context", metavar="NAME", help="The kubeconfig context.")] = "",
    kubeconfig: Annotated[str, typer.Option("--kubeconfig", metavar="FILE", help="The kubeconfig.")] = "",
    role: Annotated[
        bool, typer.Option("--role", help="Print the least Role for the action, without asking any cluster.")
    ] = False,
    output: Output = "text",
) -> None:
    """Say what `rollcheck run` may do here, and which rights are missing for the rest."""
    from rollcheck.housekeeping import examine
    from rollcheck.kube.actions.table import ACTIONS
    from rollcheck.kube.rbac import manifest

    check_output(output)
    if kind.lower() not in KINDS:
        raise UsageError(f"--kind: {kind!r} is none; write deployment, statefulset or daemonset")
    if action and action not in ACTIONS:
        raise UsageError(f"--action: there is no action {action!r}; choose one of {', '.join(ACTIONS)}")
    kinds = (KINDS[kind.lower()],)
    if action and kinds[0] not in ACTIONS[action].kinds:
        raise UsageError(f"--action: {action} cannot be done to a {kinds[0]}")
    if role:
        print(manifest(action or "restart", kinds), end="")
        return
    found = examine(
        kinds,
        (action,) if action else tuple(ACTIONS),
        folder=journals_folder(),
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
    )
    print(_as_json(found) if output == "json" else _as_text(found, kind.lower()))
    lacking = [r for r in found.missing.get(action, ()) if r.required]
    if lacking:
        words = "; ".join(f"{right} ({right.why})" for right in lacking)
        raise ClusterDenied(f"{action} cannot be done by {found.user or 'this user'}: {words}")


def _as_json(found: Found) -> str:
    return json.dumps(
        {
            "server": found.server,
            "version": found.version,
            "user": found.user,
            "context": found.context,
            "namespace": found.namespace,
            "actions": {
                action: {
                    "permitted": not any(r.required for r in missing),
                    "missing": [{"right": str(r), "required": r.required, "why": r.why} for r in missing],
                }
                for action, missing in found.missing.items()
            },
            "left_by_runs": list(found.journals),
        },
        indent=2,
    )


def _as_text(found: Found, kind: str) -> str:
    head = (
        f"{found.server} ({found.version}), context {found.context}, as {found.user or 'nobody'}, namespace"
        f" {found.namespace}, on a {kind}"
    )
    lines = [head]
    short = []
    for action, missing in found.missing.items():
        needed = [r for r in missing if r.required]
        lines.append(f"{action:<11} {'no: ' + '; '.join(map(_told, needed)) if needed else 'yes'}")
        short += [action] if needed else []
    blind = {str(r): r for missing in found.missing.values() for r in missing if not r.required}
    lines += [f"Without {right}: {_lost(right)}" for right in blind.values()]
    lines += [
        f"The run {name} was killed or goes on: `rollcheck cleanup` puts back what it left" for name in found.journals
    ]
    if short:
        flag = "" if kind == "deployment" else f" --kind {kind}"
        given = f"rollcheck doctor --role --action {short[0]}{flag}"
        lines.append(f"The Role for it: {given} | kubectl apply -n {found.namespace} -f -")
    return "\n".join(lines)


def _told(right: Right) -> str:
    return f"{right} ({right.why})"


def _lost(right: Right) -> str:
    return right.why.removeprefix("without it ")
