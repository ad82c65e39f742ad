"""Lifecycle hooks: exec, httpGet and sleep.

Source: Kubernetes 1.34, pkg/kubelet/lifecycle/handlers.go.
"""

from __future__ import annotations

import trio

from rollcheck.sandbox.probes import Place, ProbeBroken, exec_failure, get_once
from rollcheck.sandbox.trees import Json
from rollcheck.sandbox.warden import SpawnFailed

AGENT = "kube-lifecycle/1.34"


async def run_hook(hook: Json, place: Place, container: str, pod: str) -> str:
    """Run a hook without a limit of its own; "" or the message of its failure."""
    if "exec" in hook:
        command = hook["exec"].get("command") or []
        error, output = await run_command(command, place)
        shown = " ".join(command)
        return error and (
            f'Exec lifecycle hook ([{shown}]) for Container "{container}" in Pod "{pod}" failed - '
            f'error: {error}, message: "{output}"'
        )
    if "httpGet" in hook:
        error = await get(hook["httpGet"], place)
        path = hook["httpGet"].get("path", "")
        return error and (
            f'HTTP lifecycle hook ({path}) for Container "{container}" in Pod "{pod}" failed - error: {error}'
        )
    if "sleep" in hook:
        await trio.sleep(hook["sleep"].get("seconds", 0))
        return ""
    return "Cannot run handler: invalid handler"


async def run_command(command: list[str], place: Place) -> tuple[str, str]:
    """Run a command: why it failed ("" when it did not), and its output."""
    try:
        code, output = await place.run(command)
    except SpawnFailed as e:
        return exec_failure(command, e), ""
    return (f"command '{' '.join(command)}' exited with {code}: {output}" if code else ""), output


async def get(action: Json, place: Place) -> str:
    """Ask; whatever is answered is a success, so only no answer is a failure."""
    try:
        host, port = place.address(action.get("host", ""), action["port"])
        path = action.get("path") or "/"
        url = f"{action.get('scheme', 'HTTP').lower()}://{host}:{port}{path if path.startswith('/') else '/' + path}"
        headers = {"User-Agent": AGENT, "Accept": "*/*"}
        await get_once(url, headers | {item["name"]: item["value"] for item in action.get("httpHeaders") or ()})
    except LookupError as e:
        return str(e)
    except ProbeBroken as e:
        return f'Get "{url}": {e}'
    return ""
