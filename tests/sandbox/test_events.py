"""Events as client-go's recorder writes them."""

import pytest

from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.clock import ManualClock
from rollcheck.sandbox.events import BURST, REFILL_S, EventRecorder
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import EVENTS, NAMESPACES, NODES, PODS

POD = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.fixture
def registry():
    return Registry(ManualClock(), Addresses(16))


@pytest.fixture
def pod(registry):
    return registry.create(PODS, "default", POD)


@pytest.fixture
def recorder(registry):
    return EventRecorder(registry, "kubelet", "n1")


def told(registry):
    return [(event["reason"], event["message"], event["count"]) for event in registry.list(EVENTS)]


def test_an_event_names_its_object_its_source_and_its_second(registry, pod, recorder):
    recorder.emit(pod, "Normal", "Started", "Started container c", field_path="spec.containers{c}")
    (event,) = registry.list(EVENTS)
    assert event["involvedObject"] == {
        "kind": "Pod",
        "namespace": "default",
        "name": "x",
        "uid": pod["metadata"]["uid"],
        "apiVersion": "v1",
        "resourceVersion": pod["metadata"]["resourceVersion"],
        "fieldPath": "spec.containers{c}",
    }
    assert event["source"] == {"component": "kubelet", "host": "n1"}
    assert (event["reportingComponent"], event["reportingInstance"]) == ("kubelet", "n1")
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-01-01T00:00:00Z"
    assert event["metadata"]["name"].startswith("x.")
    assert event["type"] == "Normal"


def test_the_same_again_raises_the_count_of_the_first(registry, pod, recorder):
    for _ in range(3):
        recorder.emit(pod, "Warning", "Unhealthy", "Readiness probe failed")
        registry.clock.advance(10)
    (event,) = registry.list(EVENTS)
    assert event["count"] == 3
    assert event["firstTimestamp"] == "2026-01-01T00:00:00Z"
    assert event["lastTimestamp"] == "2026-01-01T00:00:20Z"


def test_another_part_of_the_object_is_another_event(registry, pod, recorder):
    recorder.emit(pod, "Normal", "Started", "m", field_path="spec.containers{a}")
    recorder.emit(pod, "Normal", "Started", "m", field_path="spec.containers{b}")
    assert len(registry.list(EVENTS)) == 2


def test_the_tenth_different_message_of_a_reason_becomes_one_for_all_further(registry, pod, recorder):
    for number in range(13):
        recorder.emit(pod, "Warning", "Failed", f"attempt {number}")
    written = told(registry)
    assert len(written) == 10
    assert ("Failed", "(combined from similar events): attempt 12", 4) in written


def test_messages_far_apart_are_not_combined(registry, pod, recorder):
    for number in range(9):
        recorder.emit(pod, "Warning", "Failed", f"attempt {number}")
    registry.clock.advance(601)
    for number in range(9, 13):
        recorder.emit(pod, "Warning", "Failed", f"attempt {number}")
    assert len(told(registry)) == 13


def test_who_talks_too_much_of_one_object_is_cut_off_and_may_go_on_later(registry, pod, recorder):
    for _ in range(BURST + 10):
        recorder.emit(pod, "Warning", "BackOff", "m")
    assert told(registry) == [("BackOff", "m", BURST)]
    registry.clock.advance(REFILL_S)
    recorder.emit(pod, "Warning", "BackOff", "m")
    assert told(registry) == [("BackOff", "m", BURST + 11)]


def test_another_object_has_its_own_allowance(registry, pod, recorder):
    for _ in range(BURST + 1):
        recorder.emit(pod, "Warning", "BackOff", "m")
    other = registry.create(PODS, "default", {**POD, "metadata": {"name": "y"}})
    recorder.emit(other, "Normal", "Started", "m")
    assert ("Started", "m", 1) in told(registry)


def test_an_event_that_expired_is_written_anew(registry, pod, recorder):
    recorder.emit(pod, "Normal", "Started", "m")
    registry.clock.advance(3601)
    registry.forget_events(3600)
    assert told(registry) == []
    recorder.emit(pod, "Normal", "Started", "m")
    assert told(registry) == [("Started", "m", 2)]


def test_events_of_more_than_an_hour_ago_go_when_others_come(registry, pod, recorder):
    recorder.emit(pod, "Normal", "Pulled", "m")
    registry.clock.advance(3601)
    recorder.emit(pod, "Normal", "Started", "m")
    assert told(registry) == [("Started", "m", 1)]


def test_a_young_event_does_not_expire(registry, pod, recorder):
    recorder.emit(pod, "Normal", "Started", "m")
    registry.clock.advance(3599)
    registry.forget_events(3600)
    assert len(registry.list(EVENTS)) == 1


def test_events_of_a_node_lie_in_the_default_namespace(registry, recorder):
    node = registry.create(NODES, None, {"metadata": {"name": "n1"}})
    recorder.emit(node, "Normal", "Starting", "m")
    (event,) = registry.list(EVENTS, "default")
    assert "namespace" not in event["involvedObject"]


def test_an_event_for_a_namespace_that_is_going_is_dropped_in_silence(registry, recorder):
    registry.create(NAMESPACES, None, {"metadata": {"name": "gone"}})
    pod = registry.create(PODS, "gone", POD)
    registry.delete(NAMESPACES, None, "gone")
    recorder.emit(pod, "Normal", "Killing", "m")
    assert registry.list(EVENTS) == []


def test_a_message_is_cut_at_a_kilobyte(registry, pod, recorder):
    recorder.emit(pod, "Normal", "Started", "m" * 5000)
    assert len(registry.list(EVENTS)[0]["message"]) == 1024
