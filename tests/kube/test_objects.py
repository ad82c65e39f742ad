"""Raw JSON → facts: what a real API server said, then what it may leave out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steady import STEADY

from rollcheck.facts.cluster import Change, PreStop, Probe
from rollcheck.kube import objects
from rollcheck.kube.reflector import WatchMachine
from tests.fakes import recorded


def pods_of_the_watch() -> list[Any]:
    listed, stream = recorded.watch("pods")
    machine = WatchMachine()
    deltas = machine.listed(listed["items"], listed["metadata"]["resourceVersion"]) + machine.receive(stream)
    return [objects.pod(d.raw, i, d.change, with_spec=False) for i, d in enumerate(deltas)]


def test_a_recorded_restart_ends_each_old_pod_with_its_code_before_it_is_deleted() -> None:
    seen = pods_of_the_watch()
    deleted = [p for p in seen if p.change is Change.DELETED]
    assert len(deleted) == 2
    for last in deleted:
        before = [p for p in seen if p.uid == last.uid and p.change is Change.MODIFIED]
        assert before[-1].containers[0].exit_code == 137
        assert before[-1].phase == "Failed"


def test_a_recorded_deletion_shows_its_grace_until_the_kubelet_takes_the_object_away() -> None:
    seen = [p for p in pods_of_the_watch() if p.deletion_at]
    graces = [p.deletion_grace_s for p in seen if p.uid == seen[0].uid]
    assert graces == [10, 10, 10, 0, 0]


def test_a_recorded_pod_that_is_being_deleted_is_still_ready_and_running() -> None:
    first = next(p for p in pods_of_the_watch() if p.deletion_at)
    assert (first.ready, first.phase, first.containers[0].state) == (True, "Running", "running")


def test_a_recorded_new_pod_goes_from_pending_to_ready() -> None:
    seen = pods_of_the_watch()
    new = next(p.uid for p in seen if p.change is Change.ADDED)
    stages = [(p.phase, p.scheduled, p.ready) for p in seen if p.uid == new]
    assert stages[0] == ("Pending", False, False)
    assert stages[-1] == ("Running", True, True)


def test_recorded_slices_show_a_terminating_endpoint_before_it_leaves() -> None:
    listed, stream = recorded.watch("slices")
    machine = WatchMachine()
    deltas = machine.listed(listed["items"], listed["metadata"]["resourceVersion"]) + machine.receive(stream)
    slices = [objects.endpoint_slice(d.raw, 0, d.change) for d in deltas]
    old = slices[0].endpoints[0].pod_uid
    states = [(e.ready, e.serving, e.terminating) for s in slices for e in s.endpoints if e.pod_uid == old]
    assert states[0] == (True, True, False)
    assert states[-1] == (False, True, True)
    assert old not in {e.pod_uid for e in slices[-1].endpoints}
    assert {(s.service, s.ports) for s in slices} == {("web", (8080,))}


def test_a_recorded_pod_has_everything_that_its_end_depends_on() -> None:
    seen = objects.pod(recorded.objects()["pods"]["web"], 7, Change.LISTED, with_spec=True)
    assert (seen.seen_ns, seen.namespace, seen.labels["app"]) == (7, "default", "web")
    assert seen.owner_name == seen.name.rpartition("-")[0]
    assert seen.owner_uid
    assert seen.template_hash == seen.owner_name.rpartition("-")[2]
    assert seen.spec is not None
    assert seen.spec.grace_s == 10
    container = seen.spec.containers[0]
    assert container.command == ("python3", "/srv/app.py")
    assert container.prestop == PreStop(kind="exec", detail="/bin/sh -c sleep 2", sleep_s=2.0)
    assert container.readiness == Probe(kind="http", detail=":8080/", period_s=1)


@pytest.mark.parametrize(
    ("name", "reason"), [("bad-image", "ImagePullBackOff"), ("bad-crash", "Error"), ("bad-fit", "Unschedulable")]
)
def test_recorded_pods_that_do_not_start_say_why(name: str, reason: str) -> None:
    seen = objects.pod(recorded.objects()["pods"][name], 0, Change.LISTED, with_spec=False)
    assert reason in {seen.unready_reason, *(c.reason for c in seen.containers)}
    assert not seen.ready


def test_a_long_message_of_a_recorded_container_is_cut() -> None:
    seen = objects.pod(recorded.objects()["pods"]["bad-image"], 0, Change.LISTED, with_spec=False)
    assert 0 < len(seen.containers[0].message) <= objects.MESSAGE_LENGTH


def test_a_recorded_deployment_is_read_with_its_conditions_and_labels() -> None:
    seen = objects.workload(recorded.objects()["deployments"]["web"], 0, Change.LISTED)
    assert (seen.kind, seen.name, seen.replicas, seen.updated, seen.available) == ("Deployment", "web", 2, 2, 2)
    assert (seen.strategy, seen.max_surge, seen.max_unavailable) == ("RollingUpdate", "25%", "25%")
    assert (seen.selector, seen.pod_selector) == ({"app": "web"}, "app=web")
    assert seen.template_labels == {"app": "web", "tier": "front"}
    assert {c.type: c.status for c in seen.conditions} == {"Available": "True", "Progressing": "True"}


def test_a_recorded_deployment_past_its_deadline_says_so() -> None:
    seen = objects.workload(recorded.objects()["deployments"]["bad-image"], 0, Change.LISTED)
    assert "ProgressDeadlineExceeded" in {c.reason for c in seen.conditions}
    assert seen.progress_deadline_s == 10


def test_a_recorded_replica_set_names_its_deployment() -> None:
    seen = objects.replica_set(recorded.objects()["replicasets"][0], 0, Change.LISTED)
    assert seen.owner_uid == recorded.objects()["deployments"]["web"]["metadata"]["uid"]
    assert seen.name == f"web-{seen.template_hash}"
    assert seen.revision


def test_a_recorded_service_is_read() -> None:
    seen = objects.service(recorded.objects()["services"]["web"], 0)
    assert (seen.type, seen.ports, seen.selector) == ("NodePort", (80,), {"app": "web"})
    assert (seen.session_affinity, seen.external_traffic_policy, seen.publish_not_ready) == ("None", "Cluster", False)


@pytest.mark.parametrize(
    ("reason", "kind", "source"),
    [
        ("Killing", "Pod", "kubelet"),
        ("SuccessfulDelete", "ReplicaSet", "replicaset-controller"),
        ("ScalingReplicaSet", "Deployment", "deployment-controller"),
        ("Scheduled", "Pod", "default-scheduler"),
    ],
)
def test_recorded_events_name_what_they_concern_and_who_speaks(reason: str, kind: str, source: str) -> None:
    raw = next(e for e in recorded.objects()["events"] if e["reason"] == reason)
    seen = objects.kube_event(raw, 0, Change.ADDED)
    assert (seen.kind, seen.source, seen.count) == (kind, source, 1)
    assert seen.uid
    assert seen.first_at
    assert seen.last_at


def test_the_exact_time_of_an_event_is_taken_when_it_has_one() -> None:
    raw = next(e for e in recorded.objects()["events"] if e["reason"] == "Scheduled")
    assert "." in objects.kube_event(raw, 0, Change.ADDED).last_at


def test_a_series_counts_and_has_the_last_time() -> None:
    raw = {
        "eventTime": "2026-01-01T00:00:00.000001Z",
        "series": {"count": 5, "lastObservedTime": "2026-01-01T00:00:09.000001Z"},
    }
    seen = objects.kube_event(raw, 0, Change.MODIFIED)
    assert (seen.count, seen.first_at[17:19], seen.last_at[17:19]) == (5, "00", "09")


@pytest.mark.parametrize(
    ("hook", "kind", "seconds"),
    [
        ({"sleep": {"seconds": 5}}, "sleep", 5.0),
        ({"sleep": {"seconds": 0}}, "sleep", 0.0),
        ({"exec": {"command": ["sleep", "5"]}}, "exec", 5.0),
        ({"exec": {"command": ["/bin/sleep", "7.5"]}}, "exec", 7.5),
        ({"exec": {"command": ["/usr/bin/sleep", "10s"]}}, "exec", 10.0),
        ({"exec": {"command": ["/bin/sh", "-c", "sleep 15"]}}, "exec", 15.0),
        ({"exec": {"command": ["sh", "-c", " exec sleep 15 ;"]}}, "exec", 15.0),
        ({"exec": {"command": ["bash", "-ec", "/bin/sleep 3"]}}, "exec", 3.0),
        ({"exec": {"command": ["sh", "-c", "sleep 5 && nginx -s quit"]}}, "exec", None),
        ({"exec": {"command": ["sh", "-c", "sleep 5; curl localhost"]}}, "exec", None),
        ({"exec": {"command": ["sh", "-c", "sleep $DELAY"]}}, "exec", None),
        ({"exec": {"command": ["sh", "-c", "sleep 1m"]}}, "exec", None),
        ({"exec": {"command": ["sleep"]}}, "exec", None),
        ({"exec": {"command": ["python3", "-c", "sleep 5"]}}, "exec", None),
        ({"exec": {"command": []}}, "exec", None),
        ({"exec": {}}, "exec", None),
        ({"httpGet": {"path": "/drain", "port": 8080}}, "http", None),
        ({"tcpSocket": {"port": 1}}, "tcp", None),
    ],
)
def test_only_a_hook_that_is_one_sleep_has_a_known_length(
    hook: dict[str, Any], kind: str, seconds: float | None
) -> None:
    found = objects.prestop(hook)
    assert found is not None
    assert (found.kind, found.sleep_s) == (kind, seconds)


def test_no_hook_is_no_prestop() -> None:
    assert objects.prestop({}) is None


def spec_of(**container: Any) -> Any:
    return objects.pod_spec({"containers": [{"name": "web", **container}]}).containers[0]


@pytest.mark.parametrize(
    ("raw", "probe"),
    [
        ({"httpGet": {"port": "http", "path": "/ok"}}, Probe(kind="http", detail=":http/ok")),
        ({"tcpSocket": {"port": 80}, "periodSeconds": 3}, Probe(kind="tcp", detail="80", period_s=3)),
        ({"exec": {"command": ["a", "b"]}, "timeoutSeconds": 9}, Probe(kind="exec", detail="a b", timeout_s=9)),
        ({"grpc": {"port": 90}, "failureThreshold": 1}, Probe(kind="grpc", detail="90", failure_threshold=1)),
        ({}, None),
        (None, None),
    ],
)
def test_a_probe_has_the_apis_defaults(raw: Any, probe: Probe | None) -> None:
    assert spec_of(readinessProbe=raw).readiness == probe


def test_a_pod_spec_without_anything_has_the_apis_defaults() -> None:
    spec = objects.pod_spec({})
    assert (spec.grace_s, spec.containers, spec.readiness_gates, spec.host_network) == (30, (), (), False)


def test_a_grace_of_zero_is_not_taken_for_none() -> None:
    assert objects.pod_spec({"terminationGracePeriodSeconds": 0}).grace_s == 0


def test_only_restartable_init_containers_are_sidecars() -> None:
    spec = objects.pod_spec(
        {
            "containers": [{"name": "web"}],
            "initContainers": [{"name": "migrate"}, {"name": "proxy", "restartPolicy": "Always"}],
        }
    )
    assert [(c.name, c.sidecar) for c in spec.containers] == [("web", False), ("proxy", True)]


def test_a_recreate_deployment_has_no_surge() -> None:
    seen = objects.workload({"spec": {"strategy": {"type": "Recreate"}}}, 0, Change.LISTED)
    assert (seen.max_surge, seen.max_unavailable) == ("", "")


def test_a_surge_of_zero_is_not_taken_for_the_default() -> None:
    rolling = {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}
    seen = objects.workload({"spec": rolling}, 0, Change.LISTED)
    assert (seen.max_surge, seen.max_unavailable) == ("0", "1")


def test_zero_replicas_are_not_taken_for_the_default_of_one() -> None:
    assert objects.workload({"spec": {"replicas": 0}}, 0, Change.LISTED).replicas == 0
    assert objects.workload({"spec": {}}, 0, Change.LISTED).replicas == 1


def test_endpoint_conditions_that_are_missing_read_as_true_true_false() -> None:
    raw = {"endpoints": [{"addresses": ["10.0.0.1", "10.0.0.2"]}, {"addresses": ["10.0.0.3"], "conditions": {}}]}
    seen = objects.endpoint_slice(raw, 0, Change.LISTED)
    assert [(e.ip, e.ready, e.serving, e.terminating) for e in seen.endpoints] == [
        ("10.0.0.1", True, True, False),
        ("10.0.0.2", True, True, False),
        ("10.0.0.3", True, True, False),
    ]


def test_a_slice_without_endpoints_has_none() -> None:
    assert objects.endpoint_slice({"endpoints": None}, 0, Change.LISTED).endpoints == ()


def test_a_false_disruption_target_is_none() -> None:
    raw = {"status": {"conditions": [{"type": "DisruptionTarget", "status": "False", "reason": "X"}]}}
    assert objects.pod(raw, 0, Change.LISTED, with_spec=False).disruption == ""
    raw["status"]["conditions"][0] = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    assert objects.pod(raw, 0, Change.LISTED, with_spec=False).disruption == "EvictionByEvictionAPI"


def test_the_previous_end_of_a_container_is_kept() -> None:
    status = {"name": "web", "restartCount": 2, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    seen = objects.pod({"status": {"containerStatuses": [status]}}, 0, Change.MODIFIED, with_spec=False)
    assert (seen.containers[0].last_exit_code, seen.containers[0].last_reason) == (137, "OOMKilled")
    assert seen.containers[0].exit_code is None


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({}, ""),
        ({"matchLabels": {"a": "b", "c": "d"}}, "a=b,c=d"),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["x", "y"]}]}, "a in (x,y)"),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}]}, "a notin (x)"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "a"),
        ({"matchLabels": {"z": "1"}, "matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, "z=1,!a"),
    ],
)
def test_a_selector_is_written_as_the_api_takes_it(selector: dict[str, Any], text: str) -> None:
    assert objects.selector_text(selector) == text


@pytest.mark.parametrize(
    ("selector", "labels", "picks"),
    [
        ({"app": "web"}, {"app": "web", "tier": "x"}, True),
        ({"app": "web", "tier": "y"}, {"app": "web", "tier": "x"}, False),
        ({}, {"app": "web"}, False),
    ],
)
def test_a_service_picks_what_has_all_its_labels(selector: dict[str, str], labels: dict[str, str], picks: bool) -> None:
    assert objects.selects(selector, labels) is picks


KEYS = [
    *("metadata", "spec", "status", "type", "name", "conditions", "template", "containers", "lifecycle", "preStop"),
    *("exec", "command", "args", "endpoints", "addresses", "ports", "strategy", "rollingUpdate", "containerStatuses"),
    *(
        "state",
        "terminated",
        "exitCode",
        "ownerReferences",
        "labels",
        "selector",
        "matchExpressions",
        "values",
        "sleep",
    ),
    *("readinessProbe", "httpGet", "port", "series", "count", "involvedObject", "replicas", "resourceVersion"),
]
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@STEADY
@given(st.dictionaries(st.sampled_from(KEYS), junk), st.sampled_from(["spec", "status", "template", "endpoints", ""]))
def test_an_object_of_any_shape_is_read_without_an_error(raw: dict[str, Any], under: str) -> None:
    raw = {under: raw if under != "endpoints" else [raw]} if under else raw
    objects.pod(raw, 0, Change.LISTED, with_spec=True)
    objects.workload(raw, 0, Change.LISTED)
    objects.replica_set(raw, 0, Change.LISTED)
    objects.endpoint_slice(raw, 0, Change.LISTED)
    objects.kube_event(raw, 0, Change.LISTED)
    objects.service(raw, 0)
    objects.pod_spec({"containers": [raw]})
