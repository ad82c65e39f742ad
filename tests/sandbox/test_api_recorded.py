"""What a real API server (1.34) answered to these requests, asked of ours in the same order.

Left out of the comparison: uids, times, versions, statuses, and what the real controllers entered meanwhile. Left out
of the recording: refusals that quote the whole object, and Go's own words for broken JSON.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import trio
from apiside import Site

from rollcheck.sandbox.resources import NAMESPACES

RECORDED = Path(__file__).parent / "recorded"
CHANGING = {
    "deletionTimestamp", "uid", "resourceVersion", "creationTimestamp", "time", "generation",
    "deployment.kubernetes.io/revision",
}  # fmt: skip
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def steady(tree: Any) -> Any:
    """Without what differs between two runs of one server."""
    if isinstance(tree, dict):
        kept = {key: steady(value) for key, value in tree.items() if key not in CHANGING}
        return {key: value for key, value in kept.items() if not (key == "status" and isinstance(value, dict))}
    if isinstance(tree, list):
        return [steady(one) for one in tree]
    return UID.sub("UID", tree) if isinstance(tree, str) else tree


STEPS = json.loads((RECORDED / "http_1_34.json").read_text())


@pytest.fixture(scope="module")
def answers() -> list[tuple[int, Any]]:
    site = Site()
    site.registry.create(NAMESPACES, None, {"metadata": {"name": "rec"}})

    async def main() -> list[tuple[int, Any]]:
        return [
            await site.ask(
                step["method"],
                step["path"],
                step.get("body"),
                step.get("type", "application/json"),
                **{"user-agent": "tester"},
            )
            for step in STEPS
        ]

    return trio.run(main)


@pytest.mark.parametrize("number", range(len(STEPS)), ids=lambda n: f"{n}-{STEPS[n]['method']}-{STEPS[n]['path']}"[:80])
def test_a_request_is_answered_as_a_real_server_answers_it(number: int, answers: list[tuple[int, Any]]) -> None:
    code, answer = answers[number]
    assert code == STEPS[number]["code"], answer
    assert steady(answer) == STEPS[number]["answer"]
