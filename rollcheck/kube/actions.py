"""What rollcheck does to a workload, with kubectl's semantics."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from rollcheck.errors import UsageError
from rollcheck.facts.actions import Action
from rollcheck.facts.cluster import WorkloadSeen
from rollcheck.kube.api import Api

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


async def restart(api: Api, workload: WorkloadSeen, *, now_text: str = "") -> Action:
    """Replace every pod, as `kubectl rollout restart` does: stamp the template with the time, in whole seconds.

    Args:
        api: the API server.
        workload: the Deployment; it is read afresh.
        now_text: the stamp (RFC 3339); the present time when empty.

    Raises:
        UsageError: the Deployment is paused, or was restarted within this very second: nothing was changed.
        ClusterError: the API server did not answer or refused. After `ClusterUnreachable` of the patch itself it is not
            known whether the restart began; every other error means that nothing was changed.
    """
    path = f"/apis/apps/v1/namespaces/{workload.namespace}/deployments/{workload.name}"
    present = await api.get(path)
    spec = present.get("spec") or {}
    if spec.get("paused"):
        raise UsageError(
            f"deployment/{workload.name} in namespace {workload.namespace} is paused and cannot be restarted: run "
            f"`kubectl rollout resume deployment/{workload.name}` first"
        )
    template = spec.get("template") or {}
    stamp = now_text or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if ((template.get("metadata") or {}).get("annotations") or {}).get(RESTARTED_AT) == stamp:
        raise UsageError(
            f"deployment/{workload.name} was restarted within this very second; wait a second and run this again"
        )
    started = time.monotonic_ns()
    status, _ = await api.patch(path, {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: stamp}}}}})
    return Action(
        kind="restart",
        description=f"restart deployment/{workload.name}",
        started_ns=started,
        ended_ns=time.monotonic_ns(),
        status=status,
    )
