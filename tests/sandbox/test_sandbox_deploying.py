"""Manifests in an empty cluster: what is made of them, and in which words they are refused."""

from __future__ import annotations

import json

import pytest
from boxes import DEPLOYMENT as WEB

from rollcheck.errors import UsageError
from rollcheck.sandbox.deploying import LAST_APPLIED, deploy
from rollcheck.sandbox.events import EventRecorder
from rollcheck.sandbox.manifests import bundled, parse
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import DEPLOYMENTS, NAMESPACES, PODS, SERVICES
from rollcheck.sandbox.waiting import is_available, is_stuck, why_missing, workloads_of

CONTAINERS = 'containers:\n      - {name: web, image: "rollcheck.test/web:1", ports: [{containerPort: 8080}]}'


def test_the_bundled_example_is_accepted_as_it_is():
    registry = Registry()

    assert deploy(registry, bundled("wordpress"), "default") == []

    assert registry.get(DEPLOYMENTS, "default", "wordpress")["spec"]["strategy"]["type"] == "RollingUpdate"
    assert registry.get(SERVICES, "default", "wordpress")["spec"]["ports"][0]["nodePort"] >= 30000


def test_a_namespace_that_is_not_there_is_made():
    registry = Registry()

    deploy(registry, parse(WEB, "x"), "shop")

    assert registry.get(NAMESPACES, None, "shop")
    assert registry.get(DEPLOYMENTS, "shop", "web")


def test_a_later_kubectl_apply_knows_what_was_applied():
    registry = Registry()

    deploy(registry, parse(WEB, "x"), "default")

    applied = json.loads(registry.get(DEPLOYMENTS, "default", "web")["metadata"]["annotations"][LAST_APPLIED])
    assert applied["spec"]["replicas"] == 2
    assert applied["metadata"] == {"name": "web", "namespace": "default"}


def test_a_kind_that_the_sandbox_does_not_have_is_left_out_and_said():
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader"}}

    said = deploy(Registry(), [role, {**role, "metadata": {"name": "writer"}}], "default")

    assert said == ["the sandbox has no Role (rbac.authorization.k8s.io/v1): reader, writer was left out"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (WEB.replace("replicas: 2", "replica: 2"), 'unknown field "spec.replica"'),
        (WEB.replace("replicas: 2", "replicas: two"), "cannot unmarshal string"),
        (WEB.replace("replicas: 2", "replicas: -1"), "must be greater than or equal to 0"),
        (WEB.replace("matchLabels: {app: web}", "matchLabels: {app: other}"), "`selector` does not match"),
        (WEB.replace(CONTAINERS, "containers: []"), "spec.template.spec.containers: Required value"),
        (WEB.replace("metadata: {name: web}", "metadata: {name: Web_1}", 1), "Web_1"),
        (WEB.replace("metadata: {name: web}", "metadata: [name]", 1), "deployment/: "),
        (f"{WEB}---{WEB}", "already exists"),
    ],
)
def test_what_the_api_server_refuses_is_said_in_its_words_after_the_objects_name(text, says):
    with pytest.raises(UsageError) as refused:
        deploy(Registry(), parse(text, "web.yaml"), "default")

    assert says in str(refused.value)
    assert str(refused.value).startswith("deployment/")


def waiting(registry, pod, reason, message, last=None):
    state = {"waiting": {"reason": reason, "message": message}}
    container = {"name": "web", "state": state, "lastState": {"terminated": last} if last else {}}

    def change(raw):
        raw["status"] = {"containerStatuses": [container]}

    registry.modify(PODS, "default", pod, change, subresource="status")


def pods(registry, *names):
    for name in names:
        spec = {"containers": [{"name": "web", "image": "x"}]}
        registry.create(PODS, "default", {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": spec})


@pytest.fixture
def registry():
    made = Registry()
    deploy(made, parse(WEB, "x"), "default")
    pods(made, "web-1", "web-2")
    return made


def only(registry):
    return workloads_of([registry.get(DEPLOYMENTS, "default", "web")], "default")[0]


def test_a_deployment_is_available_when_all_of_its_newest_pods_are(registry):
    def change(raw):
        raw["status"] = {"observedGeneration": 1, "updatedReplicas": 2, "availableReplicas": 2}

    assert not is_available(only(registry), registry)
    registry.modify(DEPLOYMENTS, "default", "web", change, subresource="status")
    assert is_available(only(registry), registry)


def test_pods_that_only_start_are_no_reason_to_give_up(registry):
    waiting(registry, "web-1", "ContainerCreating", "")

    assert not is_stuck(registry, only(registry))
    assert why_missing(registry, only(registry)).endswith("the others are still starting")


def test_a_workload_is_stuck_when_every_pod_is_and_says_why(registry):
    waiting(registry, "web-1", "ErrImagePull", "no such image")
    assert not is_stuck(registry, only(registry))
    waiting(registry, "web-2", "ErrImagePull", "no such image")

    assert is_stuck(registry, only(registry))
    assert why_missing(registry, only(registry)) == (
        "deployment/web: 0 of 2 pods are available; pod web-1 (and 1 more): ErrImagePull: no such image"
    )


def warned(registry, pod, reason, message):
    EventRecorder(registry, "kubelet", "node-1").emit(registry.get(PODS, "default", pod), "Warning", reason, message)


def test_a_volume_that_cannot_be_mounted_is_said_and_nobody_waits_for_it(registry):
    for name in ("web-1", "web-2"):
        waiting(registry, name, "ContainerCreating", "")
        warned(registry, name, "FailedMount", 'configmap "web-source" not found')

    assert is_stuck(registry, only(registry))
    assert why_missing(registry, only(registry)) == (
        "deployment/web: 0 of 2 pods are available; pod web-1 (and 1 more): "
        'FailedMount: configmap "web-source" not found'
    )


def test_pods_that_are_not_ready_are_said_with_what_was_last_warned_of(registry):
    warned(registry, "web-2", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")

    assert not is_stuck(registry, only(registry))
    assert why_missing(registry, only(registry)).endswith(
        "pod web-2: Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503"
    )


def test_a_container_that_crashes_is_said_with_how_it_ended(registry):
    waiting(
        registry,
        "web-1",
        "CrashLoopBackOff",
        "back-off",
        {"exitCode": 128, "reason": "StartError", "message": "no file"},
    )

    assert "CrashLoopBackOff: back-off (it ended with 128, StartError: no file)" in why_missing(
        registry, only(registry)
    )
