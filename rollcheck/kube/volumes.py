"""Where a pod's volumes let it run: claims, the PersistentVolumes they are bound to, and the nodes of these. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rollcheck.kube.drain import name_of, namespace_of
from rollcheck.kube.matching import any_term

Json = dict[str, Any]

ZONES = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")
"""Labels by which older provisioners say where a volume is; several values are joined by two underscores."""
NAMED_MOST = 3


@dataclass(frozen=True, slots=True)
class Volumes:
    """What could be read of them.

    Attributes:
        claims: (namespace, name) → PersistentVolumeClaim.
        volumes: name → PersistentVolume.
    """

    claims: Mapping[tuple[str, str], Json] = field(default_factory=dict)
    volumes: Mapping[str, Json] = field(default_factory=dict)

    def of(self, pod: Json) -> Iterator[tuple[Json, Json | None]]:
        """A pod's claims that are known, each with the volume it is bound to where that is known."""
        for key in claims_of(pod):
            claim = self.claims.get(key)
            if claim is not None:
                yield claim, self.volumes.get(bound_to(claim))

    def why_not(self, pod: Json, node: Json, nodes: Iterable[Json]) -> str:
        """Why its volumes keep a pod off a node, of all `nodes`; empty when they do not."""
        for claim, volume in self.of(pod):
            if volume is not None and not usable_on(volume, node):
                where = _where(volume, nodes)
                sort = "local volume" if "local" in (volume.get("spec") or {}) else "volume"
                return f"its {sort} {name_of(volume)} (claim {name_of(claim)}) can be used {where}"
        return ""

    def sentences(self, pods: Iterable[Json]) -> list[str]:
        """What else comes of the volumes of pods that are evicted, though no node refuses them."""
        found = []
        for pod in pods:
            for claim, volume in self.of(pod):
                name, spec = name_of(claim), (volume or {}).get("spec") or {}
                if "ReadWriteOncePod" in ((claim.get("spec") or {}).get("accessModes") or []):
                    found.append(
                        f"a replacement of pod {name_of(pod)} can start only when the pod is gone: its claim {name} is "
                        "ReadWriteOncePod"
                    )
                if "hostPath" in spec and not _terms(volume or {}):
                    found.append(
                        f"a replacement of pod {name_of(pod)} on another node would find another folder: its volume "
                        f"{name_of(volume or {})} (claim {name}) is a hostPath, whose data stays on the node"
                    )
        return found


def claims_of(pod: Json) -> list[tuple[str, str]]:
    """(namespace, name) of the claims that outlive the pod; those of its own generic ephemeral volumes do not."""
    volumes = (pod.get("spec") or {}).get("volumes") or []
    named = [(v.get("persistentVolumeClaim") or {}).get("claimName") for v in volumes]
    return [(namespace_of(pod), str(name)) for name in named if name]


def bound_to(claim: Json) -> str:
    """The name of the volume that a claim is bound to, empty for none."""
    return str((claim.get("spec") or {}).get("volumeName") or "")


def usable_on(volume: Json, node: Json) -> bool:
    """As the scheduler judges: the volume's node affinity, and its zone labels where the node has such."""
    labels = (node.get("metadata") or {}).get("labels") or {}
    if (terms := _terms(volume)) and not any_term(terms, labels, {"metadata.name": name_of(node)}):
        return False
    own = (volume.get("metadata") or {}).get("labels") or {}
    return not any(key in own and key in labels and labels[key] not in own[key].split("__") for key in ZONES)


def _terms(volume: Json) -> list[Json]:
    required = ((volume.get("spec") or {}).get("nodeAffinity") or {}).get("required") or {}
    return list(required.get("nodeSelectorTerms") or [])


def _where(volume: Json, nodes: Iterable[Json]) -> str:
    names = sorted(name_of(node) for node in nodes if usable_on(volume, node))
    if not names:
        return "on no node that is there"
    if len(names) > NAMED_MOST:
        return f"only on {len(names)} other nodes"
    return f"only on {', '.join(names)}"
