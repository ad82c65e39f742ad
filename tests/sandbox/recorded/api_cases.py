"""What is asked of both API servers, the real one and the sandbox's registry: objects that users write, good and bad.

`record_api.py` asks the real one and keeps its answers in `api_answers.json`; `test_registry_recorded.py` asks ours.
A case is a list of steps, each (verb, plural, object or change). An object stands for its smallest valid form plus
what is said here; `edit` paths change one place of it, `None` takes it away.
"""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]
Step = tuple[str, str, Json]

C: Json = {"name": "c", "image": "rollcheck.test/web:1"}
POD: Json = {"metadata": {"name": "x"}, "spec": {"containers": [C]}}
TEMPLATE: Json = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [C]}}
SELECTED: Json = {"selector": {"matchLabels": {"app": "x"}}, "template": TEMPLATE}
BASES: dict[str, Json] = {
    "pods": POD,
    "deployments": {"metadata": {"name": "x"}, "spec": {**SELECTED}},
    "replicasets": {"metadata": {"name": "x"}, "spec": {**SELECTED}},
    "statefulsets": {"metadata": {"name": "x"}, "spec": {**SELECTED, "serviceName": "x"}},
    "daemonsets": {"metadata": {"name": "x"}, "spec": {**SELECTED}},
    "jobs": {"metadata": {"name": "x"}, "spec": {"template": {"spec": {"containers": [C], "restartPolicy": "Never"}}}},
    "services": {"metadata": {"name": "x"}, "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}},
    "poddisruptionbudgets": {
        "metadata": {"name": "x"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
    },
    "ingresses": {
        "metadata": {"name": "x"},
        "spec": {
            "rules": [
                {
                    "host": "x.test",
                    "http": {
                        "paths": [
                            {
                                "path": "/",
                                "pathType": "Prefix",
                                "backend": {"service": {"name": "x", "port": {"number": 80}}},
                            }
                        ]
                    },
                }
            ]
        },
    },
    "ingressclasses": {"metadata": {"name": "x"}, "spec": {"controller": "rollcheck.test/nginx"}},
    "horizontalpodautoscalers": {
        "metadata": {"name": "x"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}},
    },
    "endpointslices": {
        "metadata": {"name": "x"},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"]}],
        "ports": [{"port": 80}],
    },
    "configmaps": {"metadata": {"name": "x"}, "data": {"a": "b"}},
    "secrets": {"metadata": {"name": "x"}, "data": {"a": "Yg=="}},
    "namespaces": {"metadata": {"name": "case"}},
    "nodes": {"metadata": {"name": "case-node"}},
    "serviceaccounts": {"metadata": {"name": "x"}},
    "leases": {"metadata": {"name": "x"}, "spec": {"holderIdentity": "y"}},
    "controllerrevisions": {"metadata": {"name": "x"}, "revision": 1, "data": {"a": 1}},
    "persistentvolumeclaims": {
        "metadata": {"name": "x"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    },
    "events": {
        "metadata": {"name": "x"},
        "involvedObject": {"kind": "Pod", "name": "x", "namespace": "default"},
        "reason": "Started",
        "message": "m",
        "type": "Normal",
    },
}
"""The smallest object of each kind that the API takes."""


def edited(base: Json, edits: Json) -> Json:
    """A copy of `base` with each path of `edits` (`spec.containers.0.name`, `/` for dots in keys) set to its value."""
    new: Json = json.loads(json.dumps(base))
    for path, value in edits.items():
        *steps, last = [step.replace("/", ".") for step in path.split(".")]
        place: Any = new
        for step in steps:
            place = place[int(step)] if isinstance(place, list) else place.setdefault(step, {})
        if isinstance(place, list):
            place[int(last) :] = [value, *place[int(last) + 1 :]]
        elif value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return new


def create(plural: str, **edits: Any) -> list[Step]:
    """Create the smallest object of that kind with these changes (`__` for dots)."""
    return [("create", plural, edited(BASES[plural], {key.replace("__", "."): value for key, value in edits.items()}))]


def update(plural: str, before: Json, after: Json) -> list[Step]:
    """Create it with `before`, then replace it with `after` edited into what the server then has."""
    return [("create", plural, edited(BASES[plural], before)), ("update", plural, after)]


P, D, S, T = "spec.containers.0.", "spec.template.spec.containers.0.", "spec.ports.", "spec.template.spec."
HTTP = {"httpGet": {"path": "/", "port": 8080}}
PORT80: Json = {"containerPort": 80}


def pod(edits: Json) -> list[Step]:
    """Create a pod with these edits."""
    return [("create", "pods", edited(POD, edits))]


def service(edits: Json) -> list[Step]:
    """Create a Service with these edits."""
    return [("create", "services", edited(BASES["services"], edits))]


def of(plural: str, edits: Json) -> list[Step]:
    """Create an object of that kind with these edits."""
    return [("create", plural, edited(BASES[plural], edits))]


DEFAULTS: dict[str, list[Step]] = {
    **{f"the smallest of {plural}": create(plural) for plural in BASES},
    "a pod with everything that has defaults": pod(
        {
            P + "image": "nginx:1.27",
            P + "ports": [PORT80, {"name": "web", "containerPort": 8080, "protocol": "TCP"}],
            P + "readinessProbe": HTTP,
            P + "livenessProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 3},
            P + "startupProbe": {"exec": {"command": ["true"]}, "failureThreshold": 30},
            P + "lifecycle": {
                "preStop": {"httpGet": {"port": 8080}},
                "postStart": {"exec": {"command": ["true"]}},
            },
            P + "resources": {"limits": {"cpu": "0.5", "memory": "128Mi"}},
            P + "env": [
                {"name": "A", "value": ""},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
            "spec.initContainers": [{"name": "i", "image": "a/b@sha256:" + "0" * 64, "restartPolicy": "Always"}],
            "spec.volumes": [
                {"name": "e", "emptyDir": {}},
                {"name": "none"},
                {"name": "c", "configMap": {"name": "m"}},
                {"name": "s", "secret": {"secretName": "m"}},
                {"name": "d", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
                {"name": "p", "projected": {"sources": [{"configMap": {"name": "m"}}]}},
                {"name": "h", "hostPath": {"path": "/tmp"}},
            ],
        }
    ),
    "a guaranteed pod": pod({P + "resources": {"limits": {"cpu": "1000m", "memory": "1Gi"}}}),
    "a burstable pod": pod({P + "resources": {"requests": {"cpu": "0.1", "memory": "1024Ki"}}}),
    "a pod whose limits exceed requests": pod(
        {P + "resources": {"limits": {"cpu": "2", "memory": "2Gi"}, "requests": {"cpu": "1", "memory": "2Gi"}}}
    ),
    "a pod with a registry's port in its image": pod({P + "image": "localhost:5000/web"}),
    "a pod on the host's network": pod({P + "ports": [PORT80], "spec.hostNetwork": True}),
    "a pod with tolerations of its own": pod({"spec.tolerations": [{"operator": "Exists"}]}),
    "a pod with spread constraints": pod(
        {
            "spec.topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {"app": "x"}},
                }
            ]
        }
    ),
    "a deployment with half its strategy": of("deployments", {"spec.strategy": {"rollingUpdate": {"maxSurge": 0}}}),
    "a deployment that recreates": of("deployments", {"spec.strategy": {"type": "Recreate"}}),
    "a deployment with numbers for the strategy": of(
        "deployments",
        {"spec.strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}},
    ),
    "a deployment of none": of("deployments", {"spec.replicas": 0}),
    "a statefulset on delete": of("statefulsets", {"spec.updateStrategy": {"type": "OnDelete"}}),
    "a statefulset with a claim": of(
        "statefulsets",
        {
            "spec.volumeClaimTemplates": [
                {
                    "metadata": {"name": "v"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
                }
            ]
        },
    ),
    "a daemonset with surge": of(
        "daemonsets", {"spec.updateStrategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}
    ),
    "a daemonset on delete": of("daemonsets", {"spec.updateStrategy": {"type": "OnDelete"}}),
    "an indexed job": of("jobs", {"spec.completionMode": "Indexed", "spec.completions": 3, "spec.parallelism": 2}),
    "a job as a work queue": of("jobs", {"spec.parallelism": 3}),
    "a job with a back-off per index": of(
        "jobs", {"spec.completionMode": "Indexed", "spec.completions": 3, "spec.backoffLimitPerIndex": 1}
    ),
    "a job with a failure policy": of(
        "jobs",
        {"spec.podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}},
    ),
    "a node port service": service({"spec.type": "NodePort"}),
    "a load balancer": service({"spec.type": "LoadBalancer", S + "0.targetPort": "http"}),
    "a local load balancer": service({"spec.type": "LoadBalancer", "spec.externalTrafficPolicy": "Local"}),
    "a headless service": service({"spec.clusterIP": "None"}),
    "a headless service without selector": service({"spec.clusterIP": "None", "spec.selector": None}),
    "a headless service without ports": service({"spec.clusterIP": "None", "spec.ports": None}),
    "an external name": service(
        {"spec.type": "ExternalName", "spec.externalName": "x.test", "spec.selector": None, "spec.ports": None}
    ),
    "a sticky service": service({"spec.sessionAffinity": "ClientIP"}),
    "a service of two ports": service(
        {"spec.ports": [{"name": "a", "port": 80, "targetPort": 8080}, {"name": "b", "port": 443, "protocol": "TCP"}]}
    ),
    "an ingress with a default backend": of(
        "ingresses",
        {"spec": {"defaultBackend": {"service": {"name": "x", "port": {"name": "http"}}}, "ingressClassName": "nginx"}},
    ),
    "a budget in percent": of("poddisruptionbudgets", {"spec.minAvailable": None, "spec.maxUnavailable": "25%"}),
    "a secret from text": of("secrets", {"stringData": {"b": "text"}}),
    "a tls secret": of("secrets", {"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}),
    "a generated name": of("pods", {"metadata.name": None, "metadata.generateName": "web-"}),
    "a node with a label": of("nodes", {"metadata.labels": {"zone": "a"}, "spec.unschedulable": True}),
    "an endpoint slice with conditions": of(
        "endpointslices",
        {
            "endpoints": [
                {
                    "addresses": ["10.0.0.1"],
                    "conditions": {"ready": True, "serving": True, "terminating": False},
                    "nodeName": "n",
                    "targetRef": {"kind": "Pod", "namespace": "default", "name": "x", "uid": "u"},
                }
            ],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
    ),
}
"""Objects that are taken, for what the server makes of them."""

REFUSED: dict[str, list[Step]] = {
    "a pod without containers": pod({"spec.containers": []}),
    "a pod without spec": pod({"spec": {}}),
    "a pod without a name": pod({"metadata.name": None}),
    "a pod with a capital in its name": pod({"metadata.name": "Web"}),
    "a pod with an underscore in its name": pod({"metadata.name": "my_pod"}),
    "a pod with too long a name": pod({"metadata.name": "a" * 254}),
    "a container without a name": pod({P + "name": None}),
    "a container with a capital in its name": pod({P + "name": "Web"}),
    "a container with too long a name": pod({P + "name": "a" * 64}),
    "a container without an image": pod({P + "image": None}),
    "a container with a blank before its image": pod({P + "image": " nginx"}),
    "two containers of one name": pod({"spec.containers": [C, C]}),
    "an init container with a container's name": pod({"spec.initContainers": [C]}),
    "a port out of range": pod({P + "ports": [{"containerPort": 70000}]}),
    "a port of zero": pod({P + "ports": [{"containerPort": 0}]}),
    "a port with a bad name": pod({P + "ports": [{"containerPort": 80, "name": "Web_Port"}]}),
    "a port with too long a name": pod({P + "ports": [{"containerPort": 80, "name": "a-very-long-port-name"}]}),
    "two ports of one name": pod(
        {P + "ports": [{"containerPort": 80, "name": "web"}, {"containerPort": 81, "name": "web"}]}
    ),
    "a port with a bad protocol": pod({P + "ports": [{"containerPort": 80, "protocol": "HTTP"}]}),
    "a port with a host port out of range": pod({P + "ports": [{"containerPort": 80, "hostPort": 65536}]}),
    "a bad pull policy": pod({P + "imagePullPolicy": "Sometimes"}),
    "a bad restart policy": pod({"spec.restartPolicy": "Sometimes"}),
    "a bad dns policy": pod({"spec.dnsPolicy": "Sometimes"}),
    "a negative grace": pod({"spec.terminationGracePeriodSeconds": -1}),
    "a negative active deadline": pod({"spec.activeDeadlineSeconds": -1}),
    "an empty probe": pod({P + "readinessProbe": {}}),
    "a probe of two kinds": pod({P + "readinessProbe": {**HTTP, "tcpSocket": {"port": 80}}}),
    "a probe without a port": pod({P + "readinessProbe": {"httpGet": {"path": "/"}}}),
    "a probe of a port out of range": pod({P + "readinessProbe": {"httpGet": {"path": "/", "port": 99999}}}),
    "a probe with a bad port name": pod({P + "readinessProbe": {"tcpSocket": {"port": "no_such_port_name"}}}),
    "a probe with negative times": pod(
        {
            P + "readinessProbe": {
                **HTTP,
                "initialDelaySeconds": -1,
                "timeoutSeconds": -1,
                "periodSeconds": -1,
                "successThreshold": -1,
                "failureThreshold": -1,
            }
        }
    ),
    "a probe with a bad scheme": pod({P + "readinessProbe": {"httpGet": {"port": 80, "scheme": "FTP"}}}),
    "a liveness probe with two successes": pod({P + "livenessProbe": {**HTTP, "successThreshold": 2}}),
    "a startup probe with two successes": pod({P + "startupProbe": {**HTTP, "successThreshold": 2}}),
    "a readiness probe with a grace": pod({P + "readinessProbe": {**HTTP, "terminationGracePeriodSeconds": 5}}),
    "a liveness probe with a grace of zero": pod({P + "livenessProbe": {**HTTP, "terminationGracePeriodSeconds": 0}}),
    "an exec probe without a command": pod({P + "readinessProbe": {"exec": {"command": []}}}),
    "a preStop sleep beyond the grace": pod({P + "lifecycle": {"preStop": {"sleep": {"seconds": 31}}}}),
    "a preStop sleep as long as the grace": pod({P + "lifecycle": {"preStop": {"sleep": {"seconds": 30}}}}),
    "a preStop sleep of a negative time": pod({P + "lifecycle": {"preStop": {"sleep": {"seconds": -1}}}}),
    "a preStop sleep of zero": pod({P + "lifecycle": {"preStop": {"sleep": {"seconds": 0}}}}),
    "a preStop sleep beyond a grace of its own": pod(
        {P + "lifecycle": {"preStop": {"sleep": {"seconds": 10}}}, "spec.terminationGracePeriodSeconds": 5}
    ),
    "an empty preStop": pod({P + "lifecycle": {"preStop": {}}}),
    "a preStop of two kinds": pod(
        {P + "lifecycle": {"preStop": {"sleep": {"seconds": 1}, "exec": {"command": ["a"]}}}}
    ),
    "a preStop exec without a command": pod({P + "lifecycle": {"preStop": {"exec": {}}}}),
    "a stop signal without an operating system": pod({P + "lifecycle": {"stopSignal": "SIGUSR1"}}),
    "a bad stop signal": pod({P + "lifecycle": {"stopSignal": "SIGNOT"}, "spec.os": {"name": "linux"}}),
    "an environment variable without a name": pod({P + "env": [{"value": "x"}]}),
    "an environment variable with a bad name": pod({P + "env": [{"name": "a=b", "value": "x"}]}),
    "an environment variable with value and source": pod(
        {P + "env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]}
    ),
    "an environment variable from an unknown field": pod(
        {P + "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.nothing"}}}]}
    ),
    "an environment variable from nothing": pod({P + "env": [{"name": "A", "valueFrom": {}}]}),
    "a request beyond its limit": pod({P + "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}),
    "a negative request": pod({P + "resources": {"requests": {"cpu": "-1"}}}),
    "a resource without a name": pod({P + "resources": {"requests": {"gpu": "1"}}}),
    "a mount of no volume": pod({P + "volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
    "a mount without a path": pod(
        {P + "volumeMounts": [{"name": "v", "mountPath": ""}], "spec.volumes": [{"name": "v", "emptyDir": {}}]}
    ),
    "two mounts at one path": pod(
        {
            P + "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "v", "mountPath": "/v"}],
            "spec.volumes": [{"name": "v", "emptyDir": {}}],
        }
    ),
    "a sub path that climbs out": pod(
        {
            P + "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "../x"}],
            "spec.volumes": [{"name": "v", "emptyDir": {}}],
        }
    ),
    "two volumes of one name": pod({"spec.volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]}),
    "a volume of two kinds": pod({"spec.volumes": [{"name": "v", "emptyDir": {}, "configMap": {"name": "m"}}]}),
    "a volume with a bad name": pod({"spec.volumes": [{"name": "My_Volume", "emptyDir": {}}]}),
    "a config map volume without a name": pod({"spec.volumes": [{"name": "v", "configMap": {}}]}),
    "a secret volume without a name": pod({"spec.volumes": [{"name": "v", "secret": {}}]}),
    "a bad label key": pod({"metadata.labels": {"-a": "b"}}),
    "a bad label value": pod({"metadata.labels": {"a": "b c"}}),
    "too long a label value": pod({"metadata.labels": {"a": "b" * 64}}),
    "a bad annotation key": pod({"metadata.annotations": {"a b": "c"}}),
    "a bad finalizer": pod({"metadata.finalizers": ["no domain"]}),
    "a bad owner": pod({"metadata.ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "", "uid": ""}]}),
    "a bad node selector": pod({"spec.nodeSelector": {"a b": "c"}}),
    "a bad node name": pod({"spec.nodeName": "A_B"}),
    "a bad host name": pod({"spec.hostname": "A.B"}),
    "a bad toleration": pod({"spec.tolerations": [{"operator": "Exists", "value": "a", "key": "k"}]}),
    "a sidecar with a bad restart policy": pod(
        {"spec.initContainers": [{**C, "name": "i", "restartPolicy": "Sometimes"}]}
    ),
    "a probe of an init container": pod({"spec.initContainers": [{**C, "name": "i", "readinessProbe": HTTP}]}),
    "a spread constraint without much": pod({"spec.topologySpreadConstraints": [{}]}),
    "a deployment without selector": of("deployments", {"spec.selector": None}),
    "a deployment with an empty selector": of("deployments", {"spec.selector": {}}),
    "a deployment whose labels do not match": of("deployments", {"spec.selector.matchLabels": {"app": "y"}}),
    "a deployment without template labels": of("deployments", {"spec.template.metadata": None}),
    "a deployment without a template": of("deployments", {"spec.template": None}),
    "a deployment with a bad selector operator": of(
        "deployments", {"spec.selector": {"matchExpressions": [{"key": "app", "operator": "Is", "values": ["x"]}]}}
    ),
    "a deployment with an empty In": of(
        "deployments", {"spec.selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": []}]}}
    ),
    "a deployment of a negative number": of("deployments", {"spec.replicas": -1}),
    "a deployment with a bad strategy": of("deployments", {"spec.strategy": {"type": "Canary"}}),
    "a deployment that recreates with surge": of(
        "deployments", {"spec.strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}
    ),
    "a deployment that may neither surge nor lack": of(
        "deployments", {"spec.strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}
    ),
    "a deployment with 0% and 0": of(
        "deployments", {"spec.strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}
    ),
    "a deployment that may lack more than all": of(
        "deployments", {"spec.strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}}
    ),
    "a deployment with a bad percentage": of("deployments", {"spec.strategy": {"rollingUpdate": {"maxSurge": "a"}}}),
    "a deployment with a negative surge": of("deployments", {"spec.strategy": {"rollingUpdate": {"maxSurge": -1}}}),
    "a deployment with negative minReadySeconds": of("deployments", {"spec.minReadySeconds": -1}),
    "a deployment whose deadline is not beyond minReadySeconds": of(
        "deployments", {"spec.minReadySeconds": 60, "spec.progressDeadlineSeconds": 60}
    ),
    "a deployment with a negative history": of("deployments", {"spec.revisionHistoryLimit": -1}),
    "a deployment whose pods do not restart": of("deployments", {T + "restartPolicy": "Never"}),
    "a deployment with an active deadline": of("deployments", {T + "activeDeadlineSeconds": 10}),
    "a deployment with many faults": of(
        "deployments",
        {"spec.replicas": -1, "spec.selector.matchLabels": {"app": "y"}, D + "image": None, D + "ports": [{}]},
    ),
    "a deployment with a preStop beyond the grace": of(
        "deployments", {D + "lifecycle": {"preStop": {"sleep": {"seconds": 45}}}}
    ),
    "a replica set whose labels do not match": of("replicasets", {"spec.selector.matchLabels": {"app": "y"}}),
    "a replica set without selector": of("replicasets", {"spec.selector": None}),
    "a replica set of a negative number": of("replicasets", {"spec.replicas": -1}),
    "a stateful set whose labels do not match": of("statefulsets", {"spec.selector.matchLabels": {"app": "y"}}),
    "a stateful set with a bad policy": of("statefulsets", {"spec.podManagementPolicy": "Any"}),
    "a stateful set with a bad strategy": of("statefulsets", {"spec.updateStrategy": {"type": "Recreate"}}),
    "a stateful set with a negative partition": of(
        "statefulsets", {"spec.updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": -1}}}
    ),
    "a stateful set of a negative number": of("statefulsets", {"spec.replicas": -1}),
    "a stateful set without selector": of("statefulsets", {"spec.selector": None}),
    "a stateful set whose pods do not restart": of("statefulsets", {T + "restartPolicy": "Never"}),
    "a daemon set whose labels do not match": of("daemonsets", {"spec.selector.matchLabels": {"app": "y"}}),
    "a daemon set without selector": of("daemonsets", {"spec.selector": None}),
    "a daemon set with a bad strategy": of("daemonsets", {"spec.updateStrategy": {"type": "Recreate"}}),
    "a daemon set with no room at all": of(
        "daemonsets", {"spec.updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}
    ),
    "a daemon set with surge and lack": of(
        "daemonsets", {"spec.updateStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}}
    ),
    "a job that always restarts": of("jobs", {T + "restartPolicy": "Always"}),
    "a job without a restart policy": of("jobs", {T + "restartPolicy": None}),
    "a job of a negative number": of("jobs", {"spec.parallelism": -1, "spec.completions": -1, "spec.backoffLimit": -1}),
    "an indexed job without completions": of("jobs", {"spec.completionMode": "Indexed"}),
    "a job with a bad mode": of("jobs", {"spec.completionMode": "Sorted"}),
    "a job with a selector": of("jobs", {"spec.selector": {"matchLabels": {"a": "b"}}}),
    "a service without ports": service({"spec.ports": []}),
    "a service without a port's name": service({"spec.ports": [{"port": 80}, {"port": 81}]}),
    "a service with one port twice": service({"spec.ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}),
    "a service with one name twice": service({"spec.ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]}),
    "a service with a port out of range": service({S + "0.port": 70000}),
    "a service without a port number": service({"spec.ports": [{}]}),
    "a service with a bad target port": service({S + "0.targetPort": "Web_Port"}),
    "a service with a target port of zero": service({S + "0.targetPort": 0}),
    "a service with a target port out of range": service({S + "0.targetPort": 70000}),
    "a service with a bad protocol": service({S + "0.protocol": "HTTP"}),
    "a service with a bad type": service({"spec.type": "Public"}),
    "a service with a bad address": service({"spec.clusterIP": "10.0"}),
    "a service with a bad name": service({"metadata.name": "1web"}),
    "a service with a dot in its name": service({"metadata.name": "my.web"}),
    "a service with a bad selector": service({"spec.selector": {"a b": "c"}}),
    "a service with bad affinity": service({"spec.sessionAffinity": "Cookie"}),
    "a service with bad external traffic policy": service(
        {"spec.type": "NodePort", "spec.externalTrafficPolicy": "Near"}
    ),
    "an inner service with external traffic policy": service({"spec.externalTrafficPolicy": "Local"}),
    "a service with bad internal traffic policy": service({"spec.internalTrafficPolicy": "Near"}),
    "an inner service with a node port": service({S + "0.nodePort": 30080}),
    "a node port out of range": service({"spec.type": "NodePort", S + "0.nodePort": 80}),
    "an external name without a name": service({"spec.type": "ExternalName"}),
    "a headless node port": service({"spec.type": "NodePort", "spec.clusterIP": "None"}),
    "a budget of both kinds": of("poddisruptionbudgets", {"spec.maxUnavailable": 1}),
    "a budget of a negative number": of("poddisruptionbudgets", {"spec.minAvailable": -1}),
    "a budget of more than all": of("poddisruptionbudgets", {"spec.minAvailable": "120%"}),
    "a budget with a bad policy": of("poddisruptionbudgets", {"spec.unhealthyPodEvictionPolicy": "Sometimes"}),
    "a budget with a bad selector": of("poddisruptionbudgets", {"spec.selector.matchLabels": {"a b": "c"}}),
    "an empty ingress": of("ingresses", {"spec": {}}),
    "an ingress without a path type": of("ingresses", {"spec.rules.0.http.paths.0.pathType": None}),
    "an ingress with a bad path type": of("ingresses", {"spec.rules.0.http.paths.0.pathType": "Regex"}),
    "an ingress with a relative path": of("ingresses", {"spec.rules.0.http.paths.0.path": "a"}),
    "an ingress without a service": of("ingresses", {"spec.rules.0.http.paths.0.backend": {}}),
    "an ingress without a port": of("ingresses", {"spec.rules.0.http.paths.0.backend": {"service": {"name": "x"}}}),
    "an ingress with a port's name and number": of(
        "ingresses",
        {"spec.rules.0.http.paths.0.backend": {"service": {"name": "x", "port": {"name": "a", "number": 80}}}},
    ),
    "an ingress with a bad host": of("ingresses", {"spec.rules.0.host": "A_B"}),
    "an ingress with an address for a host": of("ingresses", {"spec.rules.0.host": "10.0.0.1"}),
    "an ingress without paths": of("ingresses", {"spec.rules.0.http.paths": []}),
    "an autoscaler without a maximum": of("horizontalpodautoscalers", {"spec.maxReplicas": 0}),
    "an autoscaler with a minimum above its maximum": of("horizontalpodautoscalers", {"spec.minReplicas": 4}),
    "an autoscaler of nothing": of("horizontalpodautoscalers", {"spec.scaleTargetRef": {}}),
    "a config map with a bad key": of("configmaps", {"data": {"a b": "c"}}),
    "a config map with a key twice": of("configmaps", {"binaryData": {"a": "Yg=="}}),
    "a secret with a bad key": of("secrets", {"data": {"a b": ""}}),
    "a tls secret without its key": of("secrets", {"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}),
    "a namespace with a dot": of("namespaces", {"metadata.name": "a.b"}),
    "an endpoint slice of bad addresses": of("endpointslices", {"endpoints": [{"addresses": ["x"]}]}),
    "an endpoint slice without addresses": of("endpointslices", {"endpoints": [{"addresses": []}]}),
    "an endpoint slice of a bad type": of("endpointslices", {"addressType": "Name"}),
    "a container with a dot in its name": pod({P + "name": "a.b"}),
    "a config map reference with a bad name": pod({P + "envFrom": [{"configMapRef": {"name": "A_B"}}]}),
    "variables from nothing": pod({P + "envFrom": [{}]}),
    "a host alias without an address": pod({"spec.hostAliases": [{"hostnames": ["a"]}]}),
    "a readiness gate with a bad name": pod({"spec.readinessGates": [{"conditionType": "a b"}]}),
    "a toleration with a bad key": pod({"spec.tolerations": [{"operator": "Exists", "key": "-x"}]}),
    "a toleration of nothing": pod({"spec.tolerations": [{}]}),
    "a negative user": pod({"spec.securityContext": {"runAsUser": -1}}),
    "a downward file of nothing": pod({"spec.volumes": [{"name": "v", "downwardAPI": {"items": [{"path": "a"}]}}]}),
    "a projection without a name": pod(
        {"spec.volumes": [{"name": "v", "projected": {"sources": [{"configMap": {}}]}}]}
    ),
    "a bad termination policy": pod({P + "terminationMessagePolicy": "Log"}),
    "a template with a bad label": of("deployments", {"spec.template.metadata.labels.b": "c d"}),
    "a canary with numbers": of("deployments", {"spec.strategy": {"type": "Canary", "rollingUpdate": {"maxSurge": 1}}}),
    "a stateful set with a dot in its name": of("statefulsets", {"metadata.name": "a.b"}),
    "a stateful set with a bad selector": of("statefulsets", {"spec.selector.matchLabels": {"app": "x y"}}),
    "a stateful set with a bad service name": of("statefulsets", {"spec.serviceName": "A_B"}),
    "a stateful set with a bad retention": of(
        "statefulsets", {"spec.persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Never"}}
    ),
    "a stateful set with numbers for an unknown strategy": of(
        "statefulsets", {"spec.updateStrategy": {"type": "Any", "rollingUpdate": {"partition": 1}}}
    ),
    "a job without a name": of("jobs", {"metadata.name": None}),
    "a budget with a strange name": of("poddisruptionbudgets", {"metadata.name": "My_Budget"}),
    "an ingress with a bad tls host": of("ingresses", {"spec.tls": [{"hosts": ["A_B"], "secretName": "s"}]}),
    "an ingress with a bad tls secret": of("ingresses", {"spec.tls": [{"hosts": ["a"], "secretName": "A_B"}]}),
    "an ingress with an empty class": of("ingresses", {"spec.ingressClassName": ""}),
    "a service that sticks for no time": service(
        {"spec.sessionAffinity": "ClientIP", "spec.sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}
    ),
    "a service with two minds about its address": service(
        {"spec.clusterIP": "10.96.0.70", "spec.clusterIPs": ["10.96.0.71"]}
    ),
    "an image with a capital": pod({P + "image": "Web:1"}),
    "a protocol of nothing": pod({P + "ports": [{"containerPort": 80, "protocol": ""}]}),
    "a sleep of no number": pod({P + "lifecycle": {"preStop": {"sleep": {}}}}),
    "a template with a negative grace": of("deployments", {T + "terminationGracePeriodSeconds": -1}),
    "an object with a version": pod({"metadata.resourceVersion": "5"}),
    "an object of another namespace": pod({"metadata.namespace": "kube-system"}),
    "an object of no namespace": pod({"metadata.namespace": "nowhere"}),
    "an object that exists": [*create("configmaps"), *create("configmaps")],
}
"""Objects that are not taken (and a few that nearly are not), for what the server says."""

CHANGED: dict[str, list[Step]] = {
    "a deployment's selector": update(
        "deployments", {}, {"spec.selector.matchLabels": {"app": "y"}, "spec.template.metadata.labels": {"app": "y"}}
    ),
    "a deployment's template": update("deployments", {}, {D + "image": "b"}),
    "a deployment's annotation": update("deployments", {}, {"metadata.annotations": {"a": "b"}}),
    "a deployment's label": update("deployments", {}, {"metadata.labels": {"a": "b"}}),
    "a deployment's strategy": update("deployments", {}, {"spec.strategy": {"type": "Recreate"}}),
    "a deployment not at all": update("deployments", {}, {}),
    "a deployment's replicas taken away": update("deployments", {"spec.replicas": 3}, {"spec.replicas": None}),
    "a deployment of an old version": update("deployments", {}, {"metadata.resourceVersion": "1"}),
    "a deployment of another uid": update("deployments", {}, {"metadata.uid": "other"}),
    "a deployment's name": update("deployments", {}, {"metadata.generateName": "x-", "metadata.generation": 9}),
    "a replica set's selector": update("replicasets", {}, {"spec.selector.matchLabels": {"app": "y"}}),
    "a replica set's replicas": update("replicasets", {}, {"spec.replicas": 2}),
    "a replica set's annotation": update("replicasets", {}, {"metadata.annotations": {"a": "b"}}),
    "a stateful set's service name": update("statefulsets", {}, {"spec.serviceName": "y"}),
    "a stateful set's selector": update("statefulsets", {}, {"spec.selector.matchLabels": {"app": "y"}}),
    "a stateful set's replicas": update("statefulsets", {}, {"spec.replicas": 2}),
    "a daemon set's selector": update(
        "daemonsets", {}, {"spec.selector.matchLabels": {"app": "y"}, "spec.template.metadata.labels": {"app": "y"}}
    ),
    "a daemon set's template": update("daemonsets", {}, {D + "image": "b"}),
    "a job's template": update("jobs", {}, {D + "image": "b"}),
    "a job's completions": update("jobs", {}, {"spec.completions": 2}),
    "a job's parallelism": update("jobs", {}, {"spec.parallelism": 2}),
    "a pod's image": update("pods", {}, {P + "image": "b"}),
    "a pod's command": update("pods", {}, {P + "command": ["b"]}),
    "a pod's grace": update("pods", {}, {"spec.terminationGracePeriodSeconds": 5}),
    "a pod's label": update("pods", {}, {"metadata.labels": {"a": "b"}}),
    "a pod's node": update("pods", {}, {"spec.nodeName": "n"}),
    "a pod's restart policy": update("pods", {}, {"spec.restartPolicy": "Never"}),
    "a pod's toleration's time": update(
        "pods",
        {"spec.tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]},
        {"spec.tolerations.0.tolerationSeconds": 6},
    ),
    "a service's address by its list": update("services", {}, {"spec.clusterIPs": ["x"]}),
    "a stateful set's service name to a bad one": update("statefulsets", {}, {"spec.serviceName": "A_B"}),
    "a daemon set's selector alone": update("daemonsets", {}, {"spec.selector.matchLabels": {"app": "y"}}),
    "a job's labels taken away": update("jobs", {}, {"metadata.labels": None}),
    "a pod's containers": update("pods", {}, {"spec.containers": [C, {**C, "name": "d"}]}),
    "a service's address": update("services", {"spec.clusterIP": "None"}, {"spec.clusterIP": "10.96.0.77"}),
    "a service's type": update("services", {}, {"spec.type": "NodePort"}),
    "a service's type back": update("services", {"spec.type": "NodePort"}, {"spec.type": "ClusterIP"}),
    "a service's selector": update("services", {}, {"spec.selector": {"app": "y"}}),
    "a service's ports": update("services", {}, {"spec.ports": [{"port": 81}]}),
    "a service without its address": update("services", {}, {"spec.clusterIP": None, "spec.clusterIPs": None}),
    "a budget's selector": update("poddisruptionbudgets", {}, {"spec.selector.matchLabels": {"app": "y"}}),
    "a budget's number": update("poddisruptionbudgets", {}, {"spec.minAvailable": 2}),
    "an ingress's path": update("ingresses", {}, {"spec.rules.0.http.paths.0.path": "/a"}),
    "an endpoint slice's endpoints": update("endpointslices", {}, {"endpoints": []}),
    "an endpoint slice's label": update("endpointslices", {}, {"metadata.labels": {"a": "b"}}),
    "an endpoint slice's type": update("endpointslices", {}, {"addressType": "FQDN"}),
    "an immutable config map": update("configmaps", {"immutable": True}, {"data": {"a": "c"}}),
    "a secret's type": update("secrets", {}, {"type": "other"}),
    "a config map": update("configmaps", {}, {"data": {"a": "c"}}),
    "a status through the object": update("deployments", {}, {"status": {"replicas": 7}}),
    "a claim's size": update("persistentvolumeclaims", {}, {"spec.resources.requests.storage": "2Gi"}),
}
"""Replacing objects: what may change, and what each change does to the generation."""
