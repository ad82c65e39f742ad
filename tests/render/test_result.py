import json
from pathlib import Path

import pytest
from builders import Story
from cards import CARDS, card, immediate_exit
from jsonschema import Draft202012Validator

from rollcheck.analyze.model import Bounds
from rollcheck.render.result import render_result, result_of
from rollcheck.render.schema import Result, result_schema, schema_bytes

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(params=CARDS)
def any_card(request):
    return CARDS[request.param]()


def test_the_published_schema_is_that_of_the_models(golden):
    golden(DOCS / "result.schema.json", schema_bytes())


def test_the_schema_is_a_valid_schema():
    Draft202012Validator.check_schema(result_schema())


def test_a_result_validates_against_the_schema(any_card):
    Draft202012Validator(result_schema()).validate(json.loads(render_result(any_card)))


def test_a_field_that_is_not_in_the_schema_is_refused():
    raw = json.loads(render_result(immediate_exit()))
    raw["verdikt"] = "graceful"

    assert not Draft202012Validator(result_schema()).is_valid(raw)


def test_a_result_can_be_read_back_as_the_same_value(any_card):
    assert Result.model_validate_json(render_result(any_card)) == result_of(any_card)


def test_every_scheduled_attempt_was_sent_or_not_and_every_sent_one_ended_well_or_not(any_card):
    attempts = json.loads(render_result(any_card))["attempts"]

    assert attempts["scheduled"] == attempts["sent"] + attempts["not_sent"]
    assert attempts["sent"] == attempts["ok"] + attempts["failed"]


def test_outcomes_by_lane_add_up_to_the_scheduled_attempts(any_card):
    result = json.loads(render_result(any_card))
    outcomes = [count for lane, counts in result["by_outcome"].items() if lane != "probe" for count in counts.values()]

    assert sum(outcomes) == result["attempts"]["scheduled"]


def test_the_same_analysis_gives_the_same_bytes():
    assert render_result(immediate_exit()) == render_result(immediate_exit())


def test_the_file_is_ascii_and_ends_with_a_newline(any_card):
    data = render_result(any_card)

    assert data.isascii()
    assert b"\x1b" not in data
    assert data.endswith(b"}\n")


def test_zero_of_the_axis_is_the_trigger():
    result = json.loads(render_result(immediate_exit()))

    assert result["clock"]["zero"] == "trigger"
    assert result["clock"]["zero_wall"] == "2026-01-15T12:00:11.000000Z"
    assert result["clock"]["started_s"] == -11.0


def test_zero_of_the_axis_is_the_start_when_nothing_was_triggered():
    result = json.loads(render_result(CARDS["unsealed"]()))

    assert result["clock"]["zero"] == "start"
    assert result["clock"]["started_s"] == 0.0


def test_the_start_is_the_wall_time_of_the_first_instant():
    assert json.loads(render_result(immediate_exit()))["started"] == "2026-01-15T12:00:00.000000Z"


def test_instants_of_a_pod_are_seconds_since_the_trigger():
    pods = {pod["name"]: pod for pod in json.loads(render_result(immediate_exit()))["pods"]}

    assert pods["old-1"]["deleted"]["seen_s"] == 2.205
    assert pods["new-1"]["created"]["seen_s"] == 0.105


def test_a_bound_that_is_not_finite_is_null():
    infinite = Bounds(
        shortest_outage_s={"fresh": float("inf")},
        loss_per_request=float("nan"),
        loss_per_pod=1.0,
        pods_replaced=0,
        pods_lossless=0,
        unmet=(),
        exposure_known=False,
    )
    bounds = json.loads(render_result(card(Story().end(at=5).document(), bounds=infinite)))["bounds"]

    assert bounds["shortest_outage_s"] == {"fresh": None}
    assert bounds["loss_per_request"] is None


def test_an_undecodable_argument_does_not_stop_the_result():
    story = Story(header={"trigger": "deploy \udcff"}).end(at=5)

    assert json.loads(render_result(card(story.document())))["trigger"] == "deploy ?"


def test_the_contract_of_the_design_is_there():
    promised = {
        "schema", "verdict", "exit_code", "reasons", "attempts", "by_outcome", "causes", "unattributed", "pods",
        "propagation", "recommended_prestop_s", "bounds", "baseline", "generator", "versions",
    }  # fmt: skip
    result = json.loads(render_result(immediate_exit()))

    assert promised <= result.keys()
    assert result["schema"] == "rollcheck.result/1"
    assert {"mode", "name", "attempts", "confidence", "evidence", "competing", "fix"} <= result["causes"][0].keys()


def test_the_result_of_an_immediate_exit_is_golden(golden):
    golden("immediate-exit.json", render_result(immediate_exit()))
