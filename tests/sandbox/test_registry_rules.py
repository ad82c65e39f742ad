"""The registry's own rules: what depends on time, on chance or on other objects."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.sandbox import deletion, eviction, naming
from rollcheck.sandbox.addresses import NODE_PORTS, Addresses
from rollcheck.sandbox.clock import ManualClock, micro_text, parse_time, seconds_text
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PDBS,
    PODS,
    RESOURCES,
    SERVICES,
    find,
    of_kind,
    of_object,
)
from rollcheck.sandbox.status import ApiFailure

C = {"name": "c", "image": "i"}
POD = {"metadata": {"name": "x"}, "spec": {"containers": [C]}}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def registry():
    return Registry(ManualClock(NOW), Addresses(16))


def service(name="x", **spec):
    return {"metadata": {"name": name}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}], **spec}}


def refused(act, *arguments, **more):
    with pytest.raises(ApiFailure) as failure:
        act(*arguments, **more)
    return failure.value


# Deletion


def running(grace=30):
    return {
        "metadata": {"name": "x", "generation": 1},
        "spec": {"nodeName": "n1", "terminationGracePeriodSeconds": grace},
        "status": {"phase": "Running"},
    }


def deleted(pod, grace, now):
    ending = deletion.end(PODS, pod, grace, "Background", now)
    return {**pod, "metadata": {**pod["metadata"], **ending.metadata}}, ending


GRACES = st.none() | st.integers(-5, 300)
DELETES = st.lists(st.tuples(GRACES, st.integers(0, 100)), min_size=1, max_size=6)


@given(st.integers(0, 300), DELETES)
@settings(deadline=None)
def test_whatever_deletes_come_the_first_requests_time_can_be_told_from_the_fields(grace, deletes):
    pod, now = running(grace), NOW
    first = NOW + timedelta(seconds=deletes[0][1])
    for asked, later in deletes:
        now += timedelta(seconds=later)
        pod, _ = deleted(pod, asked, now)
        metadata = pod["metadata"]
        told = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=metadata["deletionGracePeriodSeconds"])
        assert told == first


@given(st.integers(0, 300), DELETES)
@settings(deadline=None)
def test_a_grace_only_gets_shorter(grace, deletes):
    pod, before = running(grace), None
    for asked, _ in deletes:
        pod, _ = deleted(pod, asked, NOW)
        now = pod["metadata"]["deletionGracePeriodSeconds"]
        assert before is None or now <= before
        before = now


@given(st.integers(0, 300), DELETES)
@settings(deadline=None)
def test_only_a_grace_of_nothing_removes_a_running_pod(grace, deletes):
    pod = running(grace)
    for asked, _ in deletes:
        pod, ending = deleted(pod, asked, NOW)
        assert ending.remove == (pod["metadata"]["deletionGracePeriodSeconds"] == 0)
        if ending.remove:
            break


@pytest.mark.parametrize(
    ("asked", "own", "expected"), [(None, 30, 30), (None, 0, 0), (5, 30, 5), (60, 30, 60), (0, 30, 0), (-1, 30, 1)]
)
def test_the_grace_is_the_clients_else_the_pods(asked, own, expected):
    assert deletion.pod_grace(running(own), asked) == expected


def test_a_deletion_counts_as_a_generation_once(registry):
    registry.create(PODS, "default", POD)
    registry.bind("default", "x", "n1")
    assert registry.delete(PODS, "default", "x", grace=10)["metadata"]["generation"] == 2
    assert registry.delete(PODS, "default", "x", grace=5)["metadata"]["generation"] == 2


def test_a_dry_deletion_changes_nothing(registry):
    registry.create(PODS, "default", POD)
    version = registry.version()
    registry.delete(PODS, "default", "x", dry_run=True)
    assert registry.version() == version
    assert registry.peek(PODS, "default", "x") is not None


# Names and places


def test_a_generated_name_has_five_letters_that_make_no_word(registry):
    made = registry.create(PODS, "default", {**POD, "metadata": {"generateName": "web-"}})
    name = made["metadata"]["name"]
    assert name.startswith("web-")
    assert len(name) == 9
    assert set(name[4:]) <= set(naming.ALPHABET)


def test_a_generated_name_is_never_too_long_for_a_label():
    assert len(naming.generate("a" * 200)) == 63


def test_a_server_that_finds_no_free_name_says_so(registry, monkeypatch):
    monkeypatch.setattr(naming, "suffix", lambda: "taken")
    pod = {**POD, "metadata": {"generateName": "web-"}}
    registry.create(PODS, "default", pod)
    failure = refused(registry.create, PODS, "default", pod)
    assert (failure.code, failure.reason, failure.retry_after) == (409, "AlreadyExists", 1)
    assert "the server was not able to generate a unique name for the object" in failure.message


def test_a_wrong_object_is_wrong_before_it_is_one_too_many(registry):
    registry.create(PODS, "default", POD)
    assert refused(registry.create, PODS, "default", {**POD, "spec": {"containers": []}}).code == 422
    assert refused(registry.create, PODS, "default", POD).reason == "AlreadyExists"


def test_uids_differ(registry):
    made = {
        registry.create(CONFIG_MAPS, "default", {"metadata": {"name": f"a{n}"}})["metadata"]["uid"] for n in range(50)
    }
    assert len(made) == 50


def test_an_object_without_a_namespace_goes_where_the_request_says(registry):
    assert registry.create(PODS, "kube-system", POD)["metadata"]["namespace"] == "kube-system"


def test_a_namespace_that_is_not_there_takes_nothing(registry):
    failure = refused(registry.create, PODS, "nowhere", POD)
    assert (failure.code, failure.message) == (404, 'namespaces "nowhere" not found')


def test_a_namespace_that_is_going_takes_nothing_new(registry):
    registry.create(NAMESPACES, None, {"metadata": {"name": "going"}})
    registry.delete(NAMESPACES, None, "going")
    failure = refused(registry.create, PODS, "going", POD)
    assert failure.code == 403
    assert failure.message == (
        'pods "x" is forbidden: unable to create new content in namespace going because it is being terminated'
    )
    assert failure.details["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace going is being terminated",
            "field": "metadata.namespace",
        }
    ]


def test_a_namespace_goes_when_its_controller_has_finalized_it(registry):
    registry.create(NAMESPACES, None, {"metadata": {"name": "going"}})
    gone = registry.delete(NAMESPACES, None, "going")
    assert gone["status"]["phase"] == "Terminating"
    registry.update(NAMESPACES, {**gone, "spec": {"finalizers": []}}, subresource="finalize")
    assert registry.peek(NAMESPACES, None, "going") is None


# Writing


def test_what_is_handed_out_is_not_what_was_handed_in(registry):
    mine = {"metadata": {"name": "a"}, "data": {"k": "v"}}
    registry.create(CONFIG_MAPS, "default", mine)
    mine["data"]["k"] = "changed"
    assert registry.get(CONFIG_MAPS, "default", "a")["data"] == {"k": "v"}


def test_an_update_to_the_same_is_no_write(registry):
    made = registry.create(DEPLOYMENTS, "default", deployment())
    version = registry.version()
    assert registry.update(DEPLOYMENTS, deployment()) == made
    assert registry.modify(DEPLOYMENTS, "default", "x", lambda _: None) == made
    assert registry.version() == version


def deployment(**spec):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [C]}}
    return {
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec},
    }


def test_a_dry_write_is_shown_and_not_kept(registry):
    registry.create(DEPLOYMENTS, "default", deployment())
    version = registry.version()
    shown = registry.update(DEPLOYMENTS, deployment(replicas=5), dry_run=True)
    assert (shown["spec"]["replicas"], shown["metadata"]["generation"]) == (5, 2)
    assert registry.get(DEPLOYMENTS, "default", "x")["spec"]["replicas"] == 1
    assert registry.version() == version


def test_a_dry_creation_checks_everything_and_keeps_nothing(registry):
    shown = registry.create(SERVICES, "default", service(type="NodePort", clusterIP="127.16.200.9"), dry_run=True)
    assert shown["spec"]["clusterIP"] == "127.16.200.9"
    assert registry.list(SERVICES) == []
    registry.create(SERVICES, "default", service(clusterIP="127.16.200.9"))


def test_modify_leaves_alone_what_its_subresource_does_not_reach(registry):
    registry.create(DEPLOYMENTS, "default", deployment())

    def change(obj):
        obj["status"]["replicas"] = 3
        obj["spec"]["replicas"] = 3

    assert registry.modify(DEPLOYMENTS, "default", "x", change, subresource="status")["spec"]["replicas"] == 1
    assert registry.get(DEPLOYMENTS, "default", "x")["status"]["replicas"] == 3


def test_a_writer_that_names_itself_is_told_to_who_keeps_the_fields(registry):
    told = []
    registry.manage = lambda resource, old, new, manager, subresource: told.append((manager, subresource, old is None))
    registry.create(DEPLOYMENTS, "default", deployment(), manager="kubectl")
    registry.modify(DEPLOYMENTS, "default", "x", lambda obj: obj["spec"].update(replicas=2), manager="me")
    registry.create(CONFIG_MAPS, "default", {"metadata": {"name": "a"}})
    assert told == [("kubectl", "", True), ("me", "", False)]


def test_a_pod_is_bound_with_its_condition(registry):
    registry.create(PODS, "default", POD)
    registry.bind("default", "x", "n1")
    pod = registry.get(PODS, "default", "x")
    assert pod["spec"]["nodeName"] == "n1"
    (scheduled,) = pod["status"]["conditions"]
    assert (scheduled["type"], scheduled["status"]) == ("PodScheduled", "True")


def test_a_pod_that_is_going_is_not_bound(registry):
    registry.create(PODS, "default", {**POD, "metadata": {"name": "x", "finalizers": ["a/b"]}})
    registry.delete(PODS, "default", "x")
    failure = refused(registry.bind, "default", "x", "n1")
    assert (failure.code, failure.message) == (
        409,
        'Operation cannot be fulfilled on pods/binding "x": pod x is being deleted, cannot be assigned to a host',
    )


def test_a_node_keeps_the_status_it_registers_with(registry):
    made = registry.create(NODES, None, {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "4000m"}}})
    assert made["status"]["capacity"] == made["status"]["allocatable"] == {"cpu": "4"}


# Evictions


def test_an_overloaded_server_refuses_an_eviction_without_a_word_of_budgets(registry):
    metadata = {"name": "x", "annotations": {"sandbox.rollcheck/evictions": "throttled"}}
    registry.create(PODS, "default", {**POD, "metadata": metadata})
    failure = refused(registry.evict, "default", "x", {"metadata": {"name": "x"}})
    assert (failure.code, failure.reason, failure.retry_after) == (429, "TooManyRequests", 1)
    assert "causes" not in failure.body()["details"]


def test_an_eviction_that_names_another_pod_is_refused(registry):
    registry.create(PODS, "default", POD)
    failure = refused(registry.evict, "default", "x", {"metadata": {"name": "y"}})
    assert (failure.code, failure.message) == (400, "name in URL does not match name in Eviction object")


def test_too_many_unconfirmed_evictions_stop_further_ones(registry):
    status = {
        "observedGeneration": 1,
        "disruptionsAllowed": 1,
        "disruptedPods": dict.fromkeys(map(str, range(2001)), "t"),
    }
    budget = {"metadata": {"name": "b", "generation": 1}, "spec": {}, "status": status}
    failure = refused(eviction.refuse, budget)
    assert failure.code == 403
    assert "DisruptedPods map too big" in failure.message


@given(st.integers(1, 20), st.integers(1, 20))
@settings(deadline=None)
def test_a_budget_is_never_overspent(allowed, pods):
    registry = Registry(ManualClock(NOW), Addresses(16))
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}
    registry.create(PDBS, "default", {"metadata": {"name": "b"}, "spec": spec})
    now = {"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": pods, "desiredHealthy": 0}
    registry.modify(PDBS, "default", "b", lambda obj: obj["status"].update(now), subresource="status")
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    gone = 0
    for number in range(pods):
        name = f"p{number}"
        registry.create(PODS, "default", {**POD, "metadata": {"name": name, "labels": {"app": "x"}}})
        registry.bind("default", name, "n1")
        registry.modify(PODS, "default", name, lambda obj: obj["status"].update(ready), subresource="status")
        with suppress(ApiFailure):
            registry.evict("default", name, {"metadata": {"name": name}})
            gone += 1
    assert gone == min(allowed, pods)
    status = registry.get(PDBS, "default", "b")["status"]
    assert (status["disruptionsAllowed"], len(status["disruptedPods"])) == (allowed - gone, gone)


# Services' addresses and ports


def test_services_get_addresses_of_their_own(registry):
    made = [registry.create(SERVICES, "default", service(f"s{number}")) for number in range(3)]
    assert [one["spec"]["clusterIP"] for one in made] == ["127.16.200.1", "127.16.200.2", "127.16.200.3"]


def test_an_address_that_is_taken_is_refused_until_its_holder_goes(registry):
    registry.create(SERVICES, "default", service("s", clusterIP="127.16.200.7"))
    failure = refused(registry.create, SERVICES, "default", service("t", clusterIP="127.16.200.7"))
    assert failure.message == (
        'Service "t" is invalid: spec.clusterIPs: Invalid value: ["127.16.200.7"]: '
        "failed to allocate IP 127.16.200.7: provided IP is already allocated"
    )
    registry.delete(SERVICES, "default", "s")
    registry.create(SERVICES, "default", service("t", clusterIP="127.16.200.7"))


def test_an_address_of_elsewhere_is_refused(registry):
    failure = refused(registry.create, SERVICES, "default", service(clusterIP="10.0.0.1"))
    assert "the provided IP (10.0.0.1) is not in the valid range. The range of valid IPs is 127.16.200.0/21" in str(
        failure
    )


def test_a_refused_service_holds_no_address_and_no_port(registry):
    registry.create(SERVICES, "default", service("s", type="NodePort", ports=[{"port": 80, "nodePort": 30001}]))
    both = [{"name": "a", "port": 80, "nodePort": 30002}, {"name": "b", "port": 81, "nodePort": 30001}]
    refused(registry.create, SERVICES, "default", service("t", type="NodePort", clusterIP="127.16.200.9", ports=both))
    ports = [{"port": 80, "nodePort": 30002}]
    registry.create(SERVICES, "default", service("u", type="NodePort", clusterIP="127.16.200.9", ports=ports))


def test_a_service_whose_type_changes_gives_its_port_back(registry):
    ports = [{"port": 80, "nodePort": 30001}]
    registry.create(SERVICES, "default", service("s", type="NodePort", ports=ports))
    changed = registry.modify(SERVICES, "default", "s", lambda obj: obj["spec"].update(type="ClusterIP"))
    assert "nodePort" not in changed["spec"]["ports"][0]
    registry.create(SERVICES, "default", service("t", type="NodePort", ports=ports))


def test_a_service_that_becomes_a_name_gives_its_address_back(registry):
    registry.create(SERVICES, "default", service("s", clusterIP="127.16.200.9"))
    name = {"metadata": {"name": "s", "namespace": "default"}, "spec": {"type": "ExternalName", "externalName": "a.b"}}
    assert "clusterIP" not in registry.update(SERVICES, name)["spec"]
    registry.create(SERVICES, "default", service("t", clusterIP="127.16.200.9"))


def test_node_ports_are_drawn_from_their_range_and_never_twice(registry):
    drawn = [
        registry.create(SERVICES, "default", service(f"s{number}", type="NodePort"))["spec"]["ports"][0]["nodePort"]
        for number in range(60)
    ]
    assert len(set(drawn)) == 60
    assert set(drawn) <= set(NODE_PORTS)


def test_where_addresses_are_shared_every_service_has_the_same():
    registry = Registry(ManualClock(), Addresses(shared=True))
    made = [registry.create(SERVICES, "default", service(f"s{number}")) for number in range(2)]
    assert [one["spec"]["clusterIP"] for one in made] == ["127.0.0.1", "127.0.0.1"]


# Resources and times


def test_every_resource_is_found_by_its_path_and_its_kind():
    for resource in RESOURCES:
        assert find(resource.group, resource.version, resource.plural) is resource
        assert of_kind(resource.api_version, resource.kind) is resource
        assert of_object({"apiVersion": resource.api_version, "kind": resource.kind}) is resource


def test_times_are_written_as_the_api_writes_them():
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert seconds_text(at) == "2026-01-02T03:04:05Z"
    assert micro_text(at) == "2026-01-02T03:04:05.678901Z"
    assert parse_time(micro_text(at)) == at
