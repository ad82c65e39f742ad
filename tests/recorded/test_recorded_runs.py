"""Whole runs against a real cluster, as they were recorded (see record.sh), analysed and rendered again.

What is counted here was counted when it happened: a change that moves a number has to be able to say why.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rollcheck.analyze.analysis import analyse
from rollcheck.facts.codec import decode_document
from rollcheck.facts.document import Document
from rollcheck.render.result import render_result

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Recorded:
    """A recording, and what is true of it.

    Attributes:
        attempts: sent, ok, failed.
        causes: mode → attempts.
        lost: outcome → attempts, both lanes added.
        exits: of the old pods, in the order of their deletion.
    """

    name: str
    verdict: str
    route: str
    attempts: tuple[int, int, int]
    causes: dict[int, int]
    lost: dict[str, int]
    exits: tuple[int, ...]
    killed: int = 0


RUNS = (
    Recorded(
        name="exit-at-once",
        verdict="not graceful",
        route="url",
        attempts=(777, 736, 41),
        causes={1: 41},
        lost={
            "connect/timeout": 29,
            "connect/refused": 7,
            "connect/unreachable": 2,
            "await/reset": 2,
            "await/closed_before_response": 1,
        },
        exits=(143, 143, 143),
    ),
    Recorded(
        name="drained",
        verdict="graceful",
        route="url",
        attempts=(1078, 1078, 0),
        causes={},
        lost={},
        exits=(0, 0, 0),
    ),
    Recorded(
        name="killed",
        verdict="not graceful",
        route="url",
        attempts=(1063, 1062, 1),
        causes={2: 1},
        lost={"await/closed_before_response": 1},
        exits=(137, 137),
        killed=2,
    ),
    Recorded(
        name="ingress-502",
        verdict="not graceful",
        route="ingress",
        attempts=(900, 815, 85),
        causes={1: 85},
        lost={"await/timeout": 71, "body/bad_status 502": 14},
        exits=(143, 143, 143),
    ),
)


@cache
def lines(name: str) -> tuple[bytes, ...]:
    return tuple(gzip.decompress((FOLDER / name / "facts.jsonl.gz").read_bytes()).splitlines())


@cache
def document(name: str) -> Document:
    return decode_document(lines(name))


@cache
def result(name: str) -> Any:
    return json.loads(render_result(analyse(document(name))))


every_run = pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)


@every_run
def test_verdict_and_causes_are_what_happened(run):
    found = result(run.name)

    assert (found["verdict"], found["reasons"]) == (run.verdict, [])
    assert {cause["mode"]: cause["attempts"] for cause in found["causes"]} == run.causes
    assert found["unattributed"] == []


@every_run
def test_every_attempt_is_counted_once(run):
    found = result(run.name)
    attempts = found["attempts"]
    lost: dict[str, int] = {}
    for lane in ("reused", "fresh"):
        for name, count in found["by_outcome"][lane].items():
            lost[name] = lost.get(name, 0) + count
    good = lost.pop("ok")

    assert (attempts["sent"], attempts["ok"], attempts["failed"]) == run.attempts
    assert attempts["scheduled"] == attempts["sent"] + attempts["not_sent"]
    assert (good, lost) == (run.attempts[1], run.lost)


@every_run
def test_the_counts_are_those_of_the_lines(run):
    facts = [json.loads(line) for line in lines(run.name)]
    timed = [fact for fact in facts if fact.get("lane") != "probe"]
    failed = [fact for fact in timed if fact["fact"] == "Attempt" and "sent_ns" in fact]

    assert sum(fact["ok"] for fact in timed if fact["fact"] == "Interval") == run.attempts[1]
    assert len(failed) == run.attempts[2]


@every_run
def test_each_old_pod_ended_as_it_did(run):
    old = [pod for pod in result(run.name)["pods"] if pod["generation"] == "old"]

    assert tuple(ended["code"] for pod in old for ended in pod["exits"]) == run.exits
    assert sum(pod["killed"] for pod in old) == run.killed


@every_run
def test_the_way_to_the_pods_is_the_one_that_was_taken(run):
    assert result(run.name)["target"]["route"] == run.route


@every_run
def test_the_document_gives_the_same_result_twice(run):
    again = render_result(analyse(decode_document(list(lines(run.name)))))

    assert again == render_result(analyse(document(run.name)))


def test_every_folder_here_has_its_test():
    assert {path.parent.name for path in FOLDER.glob("*/facts.jsonl.gz")} == {run.name for run in RUNS}


@every_run
def test_a_recording_holds_no_path_of_the_machine_it_was_made_on(run):
    text = b"\n".join(lines(run.name)).decode()

    assert re.findall(r"/(?:home|root|tmp|var|work|Users)/[^\"]*", text) == []
