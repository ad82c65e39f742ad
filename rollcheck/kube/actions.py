"""What rollcheck does to a workload, with kubectl's semantics."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import trio

from rollcheck.errors import ClusterError, ClusterRefused, ClusterUnreachable, UsageError
from rollcheck.facts.actions import Action
from rollcheck.facts.cluster import WorkloadSeen
from rollcheck.kube.api import Api, Json, NoAnswer

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"

UNSURE_S = 30.0
"""How long we look for the stamp of a restart to which no answer came: an API server that is being replaced itself, or
a proxy before it, takes about as long to come back."""
LOOK_EVERY_S = 1.0


async def restart(api: Api, workload: WorkloadSeen, sink: Callable[[Action], None], *, now_text: str = "") -> Action:
    """Replace every pod, as `kubectl rollout restart` does: stamp the template with the time, in whole seconds.

    When no answer comes to the patch, whether it was taken is read from the Deployment, for up to `UNSURE_S`: the
    action's status is None when that did not tell either.

    Args:
        api: the API server.
        workload: the Deployment; it is read afresh.
        sink: gets the action, whatever ends this, once the patch has been sent.
        now_text: the stamp (RFC 3339); the present time when empty.

    Raises:
        UsageError: the Deployment is paused, or was restarted within this very second: nothing was changed.
        ClusterError: the API server does not answer, or refused: nothing was changed.
    """
    path = f"/apis/apps/v1/namespaces/{workload.namespace}/deployments/{workload.name}"
    present = await api.get(path)
    if (present.get("spec") or {}).get("paused"):
        raise UsageError(
            f"deployment/{workload.name} in namespace {workload.namespace} is paused and cannot be restarted: run "
            f"`kubectl rollout resume deployment/{workload.name}` first"
        )
    stamp = now_text or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if _stamp_of(present) == stamp:
        raise UsageError(
            f"deployment/{workload.name} was restarted within this very second; wait a second and run this again"
        )
    started = time.monotonic_ns()
    status, words = await _send(api, path, stamp)
    ended = time.monotonic_ns()
    try:
        if status is None and await _is_stamped(api, path, stamp):
            status, words = 200, f"{words}; the Deployment carries its stamp, so it was taken"
    finally:
        action = Action(
            kind="restart",
            description=f"restart deployment/{workload.name}",
            started_ns=started,
            ended_ns=ended,
            status=status,
            message=words,
        )
        sink(action)
    return action


async def _send(api: Api, path: str, stamp: str) -> tuple[int | None, str]:
    """The status of the answer; None, and why, when none came from which one could tell whether it was taken."""
    try:
        status, _ = await api.patch(path, {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: stamp}}}}})
    except (ClusterUnreachable, ClusterRefused) as e:
        if isinstance(e, ClusterRefused) and e.status < 500:
            raise
        # of a 5xx as of silence: etcd may have the change although the answer got lost
        return None, f"the API server gave no clear answer ({e.words if isinstance(e, NoAnswer) else e})"
    return status, ""


async def _is_stamped(api: Api, path: str, stamp: str) -> bool:
    """Whether the Deployment comes to carry the stamp within `UNSURE_S`."""
    with trio.move_on_after(UNSURE_S):
        while True:
            try:
                if _stamp_of(await api.get(path)) == stamp:
                    return True
            except ClusterError:
                pass  # it may come back
            await trio.sleep(LOOK_EVERY_S)
    return False


def _stamp_of(deployment: Json) -> str:
    template = (deployment.get("spec") or {}).get("template") or {}
    return str(((template.get("metadata") or {}).get("annotations") or {}).get(RESTARTED_AT) or "")
