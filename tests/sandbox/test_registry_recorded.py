"""The registry beside a real API server: the same objects, the server's recorded answers (see `recorded/`)."""

import json
import re
import sys
from pathlib import Path

import pytest

from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import RESOURCES
from rollcheck.sandbox.status import ApiFailure

RECORDED = Path(__file__).with_name("recorded")
sys.path.insert(0, str(RECORDED))
import api_cases  # noqa: E402

ANSWERS = json.loads((RECORDED / "api_answers.json").read_text())
PLURALS = {resource.plural: resource for resource in RESOURCES}
RANDOM = ("uid", "resourceVersion", "creationTimestamp", "managedFields")
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

DUMPS = (
    "a job's template",
    "a pod's command",
    "a pod's grace",
    "a pod's node",
    "a pod's restart policy",
    "a claim's size",
)
"""Refusals in which the real server prints its own Go structs: compared up to there."""


def ask(steps):
    """What our registry answers to the last of `steps`."""
    registry = Registry(addresses=Addresses(16))
    answer = None
    for verb, plural, what in steps:
        resource = PLURALS[plural]
        try:
            if verb == "create":
                answer = registry.create(resource, "default" if resource.namespaced else None, what)
            else:
                answer = registry.update(resource, api_cases.edited(answer, what))
        except ApiFailure as failure:
            return failure.body()
    return answer


def comparable(answer, name):
    """An answer without what is drawn by lot: uids, versions, times, addresses, random names and ports."""
    text = UID.sub("UID", json.dumps(answer))
    obj = json.loads(text)
    if obj["kind"] == "Status":
        return refusal(obj, name)
    for part in RANDOM:
        obj["metadata"].pop(part, None)
    if "generateName" in obj["metadata"]:
        obj["metadata"]["name"] = obj["metadata"]["name"][:-5] + "-----"
    spec = obj.get("spec", {})
    if obj["kind"] == "Service":
        if spec.get("clusterIP") not in (None, "None"):
            spec["clusterIP"], spec["clusterIPs"] = "ADDRESS", ["ADDRESS"]
        for place in (spec, *spec.get("ports", ())):
            for part in ("nodePort", "healthCheckNodePort"):
                if part in place:
                    place[part] = "PORT"
    return known_differences(obj)


def known_differences(obj):
    """Take away what we do otherwise on purpose, from both."""
    spec = obj.get("spec", {})
    if obj["kind"] == "Pod":
        spec.pop("serviceAccountName", None), spec.pop("serviceAccount", None)  # the recording had no such plugin
    if obj["kind"] == "Node":
        spec.pop("taints", None)  # TaintNodesByCondition: nodes come ready
    if obj["kind"] == "PersistentVolumeClaim":
        obj["metadata"].pop("finalizers", None)  # nobody would take it away
    return obj


def refusal(status, name):
    if name in DUMPS:
        status["message"] = re.split(r"\n|(?<=Invalid value: )\{", status["message"])[0]
        for cause in status["details"]["causes"]:
            cause["message"] = re.split(r"\n|(?<=Invalid value: )\{", cause["message"])[0]
    if name == "a deployment of another uid":
        status["message"] = re.sub(r"(?<=: )StorageError.*AdditionalErrorMsg: ", "", status["message"])
    return status


@pytest.mark.parametrize("name", api_cases.DEFAULTS)
def test_an_object_that_is_taken_gets_the_real_defaults(name):
    expected = comparable(ANSWERS["DEFAULTS"][name], name)
    assert comparable(ask(api_cases.DEFAULTS[name]), name) == expected


@pytest.mark.parametrize("name", api_cases.REFUSED)
def test_an_object_that_is_not_taken_is_refused_in_the_real_words(name):
    expected = comparable(ANSWERS["REFUSED"][name], name)
    assert comparable(ask(api_cases.REFUSED[name]), name) == expected


@pytest.mark.parametrize("name", api_cases.CHANGED)
def test_a_change_is_taken_or_refused_as_in_reality(name):
    expected = comparable(ANSWERS["CHANGED"][name], name)
    assert comparable(ask(api_cases.CHANGED[name]), name) == expected
