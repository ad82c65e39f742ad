"""What a kubelet says of its node: the Node object and the Lease. Pure.

A sandbox's node has the machine's cores and memory, as every kubelet of one machine would say, and room for 110 pods.
"""

from __future__ import annotations

import os
import platform

from rollcheck.sandbox.trees import Json

VERSION = "v1.34.0+sandbox"
PODS_AT_MOST = 110
LEASE_NAMESPACE = "kube-node-lease"
LEASE_S = 40
HEALTHY = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def architecture() -> str:
    """The machine's, as Go names it."""
    machine = platform.machine().lower()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def memory_bytes() -> int:
    """The machine's memory; 4 GiB where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 4 << 30


def node_object(name: str, address: str, now: str) -> Json:
    """The Node as it registers itself."""
    system, arch = platform.system().lower(), architecture()
    capacity = {
        "cpu": str(os.cpu_count() or 1),
        "ephemeral-storage": "64Gi",
        "memory": f"{memory_bytes() // 1024}Ki",
        "pods": str(PODS_AT_MOST),
    }
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": system, "kubernetes.io/arch": arch}
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        for kind, status, reason, message in HEALTHY
    ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": labels | {"beta.kubernetes.io/os": system, "beta.kubernetes.io/arch": arch},
        },
        "spec": {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "allocatable": capacity,
            "capacity": capacity,
            "conditions": conditions,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "architecture": arch,
                "bootID": "",
                "containerRuntimeVersion": "rollcheck://sandbox",
                "kernelVersion": platform.release(),
                "kubeProxyVersion": "",
                "kubeletVersion": VERSION,
                "machineID": "",
                "operatingSystem": system,
                "osImage": "rollcheck sandbox",
                "systemUUID": "",
            },
        },
    }


def lease_object(name: str, node_uid: str, now: str) -> Json:
    """The node's Lease, whose renewals are its heartbeat."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node_uid}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_S, "acquireTime": now, "renewTime": now},
    }
