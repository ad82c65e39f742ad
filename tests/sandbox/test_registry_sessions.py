"""The registry beside a real API server, step by step: every answer and everything a watcher saw (see `recorded/`)."""

import copy
import json
import re
import sys
from datetime import datetime
from pathlib import Path

import pytest

from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.clock import ManualClock
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import RESOURCES
from rollcheck.sandbox.status import ApiFailure

RECORDED = Path(__file__).with_name("recorded")
sys.path.insert(0, str(RECORDED))
import api_sessions  # noqa: E402
from api_cases import edited  # noqa: E402

SEEN = json.loads((RECORDED / "api_seen.json").read_text())
PLURALS = {resource.plural: resource for resource in RESOURCES}
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
LOT = ("uid", "resourceVersion", "creationTimestamp")


def step(registry, verb, plural, name, what):
    """What our registry answers to one step."""
    resource = PLURALS[plural]
    place = "default" if resource.namespaced else None
    if verb == "create":
        return registry.create(resource, place, what)
    if verb in ("update", "status"):
        new = edited(registry.get(resource, place, name), what)
        return registry.update(resource, new, subresource="status" if verb == "status" else "")
    if verb == "delete":
        before = what.get("preconditions", {})
        return registry.delete(
            resource,
            place,
            name,
            grace=what.get("gracePeriodSeconds"),
            uid=before.get("uid", ""),
            version=before.get("resourceVersion", ""),
            propagation=what.get("propagationPolicy", "Background"),
            dry_run="dryRun" in what,
        )
    if verb == "scale":
        scale = registry.get_scale(resource, place, name)
        return registry.put_scale(resource, place, name, {**scale, "spec": {"replicas": what}})
    if verb == "evict":
        return registry.evict(place, name, {"metadata": {"name": name}, "deleteOptions": what})
    registry.bind(place, name, what)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def play(steps):
    """Our answers and what our watchers saw."""
    registry = Registry(ManualClock(), Addresses(16))
    watches = {plural: registry.watch(PLURALS[plural]) for plural in sorted({step[1] for step in steps})}
    answers = []
    for one in steps:
        try:
            answers.append(copy.deepcopy(step(registry, *one)))
        except ApiFailure as failure:
            answers.append(failure.body())
    seen = {plural: [] for plural in watches}
    for plural, watch in watches.items():
        while (change := watch.pending()) is not None:
            seen[plural].append({"type": change.type, "object": copy.deepcopy(change.object)})
    return {"answers": answers, "seen": seen}


def comparable(session):
    """A session without what is drawn by lot, and with times told from the first deletion on."""
    objects = [*session["answers"], *(one["object"] for kind in session["seen"].values() for one in kind)]
    started = None
    for obj in objects:
        if obj["kind"] == "Service":
            obj["spec"] = {"ports": obj["spec"]["ports"]}
        if obj["kind"] != "Status":
            api_sessions.trim(obj)
        metadata = obj["metadata"]
        for part in LOT:
            metadata.pop(part, None)
        if "deletionTimestamp" in metadata:
            asked = at(metadata["deletionTimestamp"]) - metadata.get("deletionGracePeriodSeconds", 0)
            started = asked if started is None else started
            metadata["deletionTimestamp"] = f"asked {asked - started:+.0f} s, of grace"
    text = STAMP.sub("TIME", UID.sub("UID", json.dumps(session)))
    text = re.sub(r'"nodePort": 3\d{4}', '"nodePort": "PORT"', text)
    text = re.sub(r"in record \(\d+\)", "in record (VERSION)", text)
    return json.loads(text)


def at(stamp):
    return datetime.fromisoformat(stamp).timestamp()


@pytest.mark.parametrize("name", api_sessions.SESSIONS)
def test_every_answer_of_a_session_is_the_real_servers(name):
    ours = comparable(play(api_sessions.SESSIONS[name]))["answers"]
    theirs = comparable(copy.deepcopy(SEEN[name]))["answers"]
    for place, answer in enumerate(theirs):
        if answer["kind"] == "Status" and answer["status"] == "Success":
            # a kind of which a delete shows no object: what goes over HTTP is the server's part, not the registry's
            theirs[place] = ours[place]
    assert ours == theirs


@pytest.mark.parametrize("name", api_sessions.SESSIONS)
def test_a_watcher_of_a_session_sees_what_the_real_server_showed(name):
    ours = comparable(play(api_sessions.SESSIONS[name]))["seen"]
    theirs = comparable(copy.deepcopy(SEEN[name]))["seen"]
    for plural, changes in theirs.items():
        theirs[plural] = [one for one in changes if one["object"]["metadata"]["name"] != "kubernetes"]
    for plural in theirs:
        assert [one["type"] for one in ours[plural]] == [one["type"] for one in theirs[plural]]
    assert ours == theirs
