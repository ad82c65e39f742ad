"""The workloads that rollcheck is run against, as Kubernetes objects.

`Workload` says what a test wants to differ from a well-made Deployment; `objects` spells it out. Nothing here talks to
a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Manifest = dict[str, Any]

APP = Path(__file__).parents[2] / "rollcheck" / "sandbox" / "apps" / "web.py"
"""The server: one file that needs nothing but Python."""
PORT = 8080
DIRECT = ("python3", "/srv/app.py")
SHELL = ("sh", "-c", "python3 /srv/app.py; true")
"""The shell stays PID 1, so SIGTERM never reaches the server; `; true` keeps it from exec'ing its last command."""


@dataclass(frozen=True)
class Workload:
    """A Deployment of `APP`, its Service and, where asked for, its Ingress.

    Attributes:
        env: settings of the app (see its file).
        prestop_s: seconds of a preStop hook, None for no hook.
        prestop: how it sleeps: "sleep" (the native action) or "exec".
        readiness: whether there is a readiness probe (GET /healthz, each second).
        rolling: maxSurge and maxUnavailable when they are not to be the defaults.
        ingress: whether clients come through an Ingress.
        kind: Deployment, StatefulSet or DaemonSet; partition: of a StatefulSet's rolling update.
        node: the node that every pod is to prefer, empty for none.
        budget: minAvailable of a PodDisruptionBudget, None for no budget.
    """

    name: str = "web"
    replicas: int = 3
    env: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = DIRECT
    prestop_s: int | None = None
    prestop: str = "sleep"
    grace_s: int = 30
    readiness: bool = True
    strategy: str = "RollingUpdate"
    rolling: tuple[int | str, int | str] | None = None
    ingress: bool = False
    kind: str = "Deployment"
    partition: int = 0
    node: str = ""
    budget: int | None = None

    def objects(self, image: str, ingress_class: str, host: str) -> list[Manifest]:
        """Everything to apply, in order; without a namespace. Class and host are those of its Ingress, if any."""
        made = [self.config_map(), self.controller(image), self.service()]
        if self.budget is not None:
            made.append(self.disruption_budget(f"{self.name}-budget", self.budget))
        return [*made, self.route(ingress_class, host)] if self.ingress else made

    @property
    def ref(self) -> str:
        """What kubectl calls it."""
        return f"{self.kind.lower()}/{self.name}"

    @property
    def labels(self) -> dict[str, str]:
        """What selects its pods."""
        return {"app": self.name}

    def config_map(self) -> Manifest:
        """The server's source."""
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{self.name}-source"},
            "data": {"app.py": APP.read_text()},
        }

    def container(self, image: str) -> Manifest:
        """The one container."""
        pod_name = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        made: Manifest = {
            "name": "app",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": list(self.command),
            "ports": [{"containerPort": PORT}],
            "env": [pod_name, *({"name": k, "value": v} for k, v in self.env.items())],
            "volumeMounts": [{"name": "source", "mountPath": "/srv"}],
        }
        if self.readiness:
            made["readinessProbe"] = {
                "httpGet": {"path": "/healthz", "port": PORT},
                "periodSeconds": 1,
                "timeoutSeconds": 2,
            }
        if self.prestop_s is not None:
            native = {"sleep": {"seconds": self.prestop_s}}
            run = {"exec": {"command": ["sleep", str(self.prestop_s)]}}
            made["lifecycle"] = {"preStop": native if self.prestop == "sleep" else run}
        return made

    def deployment(self, image: str) -> Manifest:
        """The Deployment; its strategy has the API's defaults unless the test sets them."""
        strategy: Manifest = {"type": self.strategy}
        if self.rolling is not None:
            surge, unavailable = self.rolling
            strategy["rollingUpdate"] = {"maxSurge": surge, "maxUnavailable": unavailable}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name},
            "spec": {
                "replicas": self.replicas,
                "strategy": strategy,
                "selector": {"matchLabels": self.labels},
                "template": {
                    "metadata": {"labels": self.labels},
                    "spec": {
                        "terminationGracePeriodSeconds": self.grace_s,
                        "containers": [self.container(image)],
                        "volumes": [{"name": "source", "configMap": {"name": f"{self.name}-source"}}],
                    },
                },
            },
        }

    def controller(self, image: str) -> Manifest:
        """The workload itself, of its kind."""
        made = self.deployment(image)
        spec = made["spec"]
        made["kind"] = self.kind
        if self.node:
            term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [self.node]}]}
            prefer = [{"weight": 100, "preference": term}]
            affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": prefer}}
            spec["template"]["spec"]["affinity"] = affinity
        if self.kind != "Deployment":
            del spec["strategy"]
        if self.kind == "StatefulSet":
            spec["serviceName"] = self.name
            spec["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": self.partition}}
        if self.kind == "DaemonSet":
            del spec["replicas"]
        return made

    def disruption_budget(self, name: str, least: int) -> Manifest:
        """A PodDisruptionBudget over its pods."""
        return {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": name},
            "spec": {"minAvailable": least, "selector": {"matchLabels": self.labels}},
        }

    def autoscaler(self, least: int, most: int) -> Manifest:
        """A HorizontalPodAutoscaler of the workload, by its CPU."""
        cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
        target = {"apiVersion": "apps/v1", "kind": self.kind, "name": self.name}
        metrics = [{"type": "Resource", "resource": cpu}]
        return {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": self.name},
            "spec": {"minReplicas": least, "maxReplicas": most, "scaleTargetRef": target, "metrics": metrics},
        }

    def service(self) -> Manifest:
        """A NodePort Service, which is a ClusterIP too."""
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": self.name},
            "spec": {
                "type": "NodePort",
                "selector": self.labels,
                "ports": [{"name": "http", "port": 80, "targetPort": PORT}],
            },
        }

    def route(self, ingress_class: str, host: str) -> Manifest:
        """An Ingress that sends all of `host` to the Service."""
        backend = {"service": {"name": self.name, "port": {"number": 80}}}
        path = {"path": "/", "pathType": "Prefix", "backend": backend}
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": self.name},
            "spec": {
                "ingressClassName": ingress_class,
                "rules": [{"host": host, "http": {"paths": [path]}}],
            },
        }


EXITS_AT_ONCE = {"ON_TERM": "exit"}
DRAINS = {"ON_TERM": "drain", "DRAIN_WAIT": "5"}
