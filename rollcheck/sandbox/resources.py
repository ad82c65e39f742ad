"""The kinds of object that the sandbox keeps, and how the API names them."""

from __future__ import annotations

from dataclasses import dataclass

from rollcheck.sandbox.trees import Json


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One kind, as discovery tells it. There is one instance of each: compared and hashed by identity, which is quick.

    Attributes:
        group: API group; empty for the core.
        plural: what stands in paths.
        subresources: those served, such as "status".
        categories: groups for kubectl, such as "all".
    """

    group: str
    version: str
    plural: str
    kind: str
    singular: str
    short_names: tuple[str, ...] = ()
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """As in objects: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As in messages: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


ALL = ("all",)
STATUS = ("status",)
SCALED = ("scale", "status")

POD_SUBRESOURCES = ("attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "status")

PODS = Resource("", "v1", "pods", "Pod", "pod", ("po",), subresources=POD_SUBRESOURCES, categories=ALL)
SERVICES = Resource("", "v1", "services", "Service", "service", ("svc",), subresources=STATUS, categories=ALL)
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints", "endpoints", ("ep",))
EVENTS = Resource("", "v1", "events", "Event", "event", ("ev",))
NODES = Resource("", "v1", "nodes", "Node", "node", ("no",), False, STATUS)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", "namespace", ("ns",), False, ("finalize", "status"))
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", "configmap", ("cm",))
SECRETS = Resource("", "v1", "secrets", "Secret", "secret")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", "serviceaccount", ("sa",))
PVCS = Resource(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", "persistentvolumeclaim", ("pvc",), subresources=STATUS
)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", "deployment", ("deploy",), True, SCALED, ALL)
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet", "replicaset", ("rs",), True, SCALED, ALL)
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet", "statefulset", ("sts",), True, SCALED, ALL)
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", "daemonset", ("ds",), True, STATUS, ALL)
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision", "controllerrevision")
JOBS = Resource("batch", "v1", "jobs", "Job", "job", (), True, STATUS, ALL)
PDBS = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", "poddisruptionbudget", ("pdb",), True, STATUS
)
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", "endpointslice")
INGRESSES = Resource("networking.k8s.io", "v1", "ingresses", "Ingress", "ingress", ("ing",), True, STATUS)
INGRESS_CLASSES = Resource("networking.k8s.io", "v1", "ingressclasses", "IngressClass", "ingressclass", (), False)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", "lease")
HPAS = Resource(
    "autoscaling",
    "v2",
    "horizontalpodautoscalers",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscaler",
    ("hpa",),
    True,
    STATUS,
    ALL,
)

RESOURCES: tuple[Resource, ...] = (
    CONFIG_MAPS,
    ENDPOINTS,
    EVENTS,
    NAMESPACES,
    NODES,
    PVCS,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    HPAS,
    JOBS,
    LEASES,
    ENDPOINT_SLICES,
    INGRESS_CLASSES,
    INGRESSES,
    PDBS,
)

_BY_PATH = {(one.group, one.version, one.plural): one for one in RESOURCES}
_BY_KIND = {(one.api_version, one.kind): one for one in RESOURCES}


def find(group: str, version: str, plural: str) -> Resource | None:
    """The resource at /apis/`group`/`version`/…/`plural`, None when it is not served."""
    return _BY_PATH.get((group, version, plural))


def of_kind(api_version: str, kind: str) -> Resource | None:
    """The resource of objects with that apiVersion and kind, None when it is not served."""
    return _BY_KIND.get((api_version, kind))


def of_object(obj: Json) -> Resource:
    """The resource that `obj` is of; raises KeyError for a kind that is not served."""
    return _BY_KIND[obj["apiVersion"], obj["kind"]]
