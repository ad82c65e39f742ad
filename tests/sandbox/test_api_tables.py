"""Tables against what a real server printed of the same objects."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from rollcheck.sandbox.apiserver import ages, tables
from rollcheck.sandbox.clock import parse_time

RECORDED = json.loads((Path(__file__).parent / "recorded" / "tables_1_34.json").read_text())
NOW = parse_time("2026-11-21T10:30:10Z")
AGES = ("Age", "Last Seen", "First Seen", "Duration")


@pytest.mark.parametrize("kind", RECORDED)
def test_columns_are_those_of_a_real_server(kind: str) -> None:
    made = tables.table(kind, [], NOW)["columnDefinitions"]
    assert [[c["name"], c["type"], c["format"], c["priority"]] for c in made] == RECORDED[kind]["columns"]


@pytest.mark.parametrize("kind", RECORDED)
def test_cells_are_those_of_a_real_server(kind: str) -> None:
    steady = [at for at, column in enumerate(RECORDED[kind]["columns"]) if column[0] not in AGES]
    rows = RECORDED[kind]["rows"]
    made = tables.table(kind, [row["object"] for row in rows], NOW)["rows"]
    assert rows
    assert [[row["cells"][at] for at in steady] for row in made] == [
        [row["cells"][at] for at in steady] for row in rows
    ]
    assert [row.get("conditions") for row in made] == [row["conditions"] for row in rows]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (1.9, "1s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (600, "10m"),
        (3 * 3600 - 1, "179m"),
        (3 * 3600, "3h"),
        (4 * 3600 + 120, "4h2m"),
        (8 * 3600, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (52 * 3600, "2d4h"),
        (8 * 86400, "8d"),
        (729 * 86400, "729d"),
        (735 * 86400, "2y5d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_spans_are_written_as_kubectl_writes_them(seconds: float, text: str) -> None:
    assert ages.human(seconds) == text


def pod(**parts: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}, {"name": "s"}]}
    spec["initContainers"][1]["restartPolicy"] = "Always"
    return {
        "metadata": {"name": "p", **parts.pop("metadata", {})},
        "spec": spec,
        "status": {"phase": "Pending", **parts},
    }


def state(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "restartCount": more.pop("restarts", 0), **more}


RUNNING = {"state": {"running": {}}, "ready": True, "started": True}
ENDED = {"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
INITIALIZED = [{"type": "Initialized", "status": "True"}]


@pytest.mark.parametrize(
    ("what", "ready", "word"),
    [
        ({}, "0/3", "Pending"),
        ({"reason": "Evicted", "phase": "Failed"}, "0/3", "Evicted"),
        ({"initContainerStatuses": [state("i", state={"running": {}})]}, "0/3", "Init:0/2"),
        (
            {"initContainerStatuses": [state("i", state={"waiting": {"reason": "CrashLoopBackOff"}})]},
            "0/3",
            "Init:CrashLoopBackOff",
        ),
        ({"initContainerStatuses": [state("i", state={"terminated": {"exitCode": 3}})]}, "0/3", "Init:ExitCode:3"),
        ({"initContainerStatuses": [state("i", **ENDED), state("s", state={"waiting": {}})]}, "0/3", "Init:1/2"),
        (
            {
                "initContainerStatuses": [state("i", **ENDED), state("s", **RUNNING)],
                "containerStatuses": [state("a", **RUNNING), state("b", state={"waiting": {"reason": "ErrImagePull"}})],
            },
            "2/3",
            "ErrImagePull",
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [
                    state("a", state={"terminated": {"exitCode": 137, "signal": 9}}),
                    state("b", **RUNNING),
                ],
            },
            "1/3",
            "Signal:9",
        ),
        ({"phase": "Running", "containerStatuses": [state("a", **ENDED), state("b", **RUNNING)]}, "1/3", "NotReady"),
        ({"phase": "Running", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, "0/3", "Terminating"),
        ({"phase": "Succeeded", "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, "0/3", "Succeeded"),
    ],
)
def test_the_word_for_a_pod_tells_of_its_containers(what: dict[str, Any], ready: str, word: str) -> None:
    cells = tables.table("Pod", [pod(**what)], NOW)["rows"][0]["cells"]
    assert cells[1:3] == [ready, word]


def test_restarts_tell_when_the_last_one_was() -> None:
    ago = (NOW - timedelta(seconds=42)).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = state("a", restarts=3, lastState={"terminated": {"finishedAt": ago}}, **RUNNING)
    cells = tables.table("Pod", [pod(phase="Running", containerStatuses=[status])], NOW)["rows"][0]["cells"]
    assert cells[3] == "3 (42s ago)"


def test_what_lies_beside_the_cells_is_the_clients_choice() -> None:
    one = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
    rows = {
        include: tables.table("ConfigMap", [one], NOW, include)["rows"][0] for include in ("None", "Object", "Metadata")
    }
    assert "object" not in rows["None"]
    assert rows["Object"]["object"] == one
    assert rows["Metadata"]["object"]["metadata"] == {"name": "c"}
    assert "data" not in rows["Metadata"]["object"]
