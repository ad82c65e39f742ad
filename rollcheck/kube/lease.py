"""A Lease beside each workload for as long as a run goes on, so that two runs cannot fight over it.

It expires by itself: a run that was killed leaves it behind, and the next one takes it over once it is stale.
"""

from __future__ import annotations

import getpass
import hashlib
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import trio

from rollcheck.errors import ClusterDenied, ClusterError, ClusterRefused, UsageError
from rollcheck.facts.clock import SECOND, parse_time
from rollcheck.facts.cluster import WorkloadSeen
from rollcheck.kube.api import MERGE, Api, CredentialsRefused, Json

LASTS_S = 30
RENEW_S = 10.0
RELEASE_S = 5.0
NAME_LONGEST = 200


@asynccontextmanager
async def held(api: Api, workloads: Sequence[WorkloadSeen], run_id: str) -> AsyncIterator[str]:
    """Hold the Lease of each workload.

    Yields:
        Why another run would go unnoticed, in a sentence; empty when it would not.

    Raises:
        UsageError: another run holds one.
        ClusterError: the API server does not answer.
    """
    holder = f"{run_id} of {_who()}"
    taken: list[tuple[str, str]] = []
    try:
        try:
            for workload in workloads:
                taken.append(await _take(api, workload, holder))  # noqa: PERF401  # those before a failure count
        except CredentialsRefused:
            raise
        except ClusterDenied:
            why = "no Lease can be held (forbidden), so another rollcheck on the same workload goes unnoticed"
        except ClusterRefused as e:
            why = f"no Lease can be held ({e.words or e}), so another rollcheck on the same workload goes unnoticed"
        else:
            why = ""
        async with trio.open_nursery() as nursery:
            for path, _ in taken:
                nursery.start_soon(_renew, api, path, holder)
            yield why
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + RELEASE_S):
            for path, uid in taken:
                await _release(api, path, uid)


def lease_name(workload: WorkloadSeen) -> str:
    """Name of its Lease: `rollcheck-deployment-web`, the end of a very long one replaced by its hash."""
    name = f"rollcheck-{workload.kind.lower()}-{workload.name}"
    if len(name) <= NAME_LONGEST:
        return name
    return f"{name[:NAME_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


async def _take(api: Api, workload: WorkloadSeen, holder: str) -> tuple[str, str]:
    """Path and uid of the Lease that is ours now."""
    folder = f"/apis/coordination.k8s.io/v1/namespaces/{workload.namespace}/leases"
    path = f"{folder}/{lease_name(workload)}"
    body: Json = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": lease_name(workload), "namespace": workload.namespace},
        "spec": _spec(holder),
    }
    try:
        _, made = await api.create(folder, body)
    except ClusterRefused as e:
        if e.status != 409:
            raise
        made = await _take_over(api, path, workload, holder)
    return path, str((made.get("metadata") or {}).get("uid") or "")


async def _take_over(api: Api, path: str, workload: WorkloadSeen, holder: str) -> Json:
    present = await api.get(path)
    spec = present.get("spec") or {}
    left_s = _left_s(spec)
    if left_s > 0:
        raise UsageError(
            f"another run is at {workload.ref} ({spec.get('holderIdentity')}): wait for its end; if it was killed, its "
            f"claim ends in {left_s:.0f} s"
        )
    version = (present.get("metadata") or {}).get("resourceVersion")
    try:
        _, made = await api.patch(path, {"metadata": {"resourceVersion": version}, "spec": _spec(holder)}, kind=MERGE)
    except ClusterRefused as e:
        if e.status == 409:
            raise UsageError(f"another run began at {workload.ref} at this very moment: wait for its end") from e
        raise
    return made


def _left_s(spec: Json) -> float:
    renewed = parse_time(str(spec.get("renewTime") or ""))
    if renewed is None:
        return 0.0
    age = datetime.now(UTC).timestamp() - renewed / SECOND
    return float(spec.get("leaseDurationSeconds") or LASTS_S) - age


def _spec(holder: str) -> Json:
    return {"holderIdentity": holder, "leaseDurationSeconds": LASTS_S, "renewTime": _now()}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


async def _renew(api: Api, path: str, holder: str) -> None:
    while True:
        await trio.sleep(RENEW_S)
        try:
            await api.patch(path, {"spec": {"renewTime": _now(), "holderIdentity": holder}}, kind=MERGE)
        except ClusterError:
            continue  # the run's own watches tell of an API server that is away


async def _release(api: Api, path: str, uid: str) -> None:
    try:
        await api.delete(path, {"preconditions": {"uid": uid}} if uid else None)
    except ClusterError:
        return  # it expires by itself


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return socket.gethostname()
