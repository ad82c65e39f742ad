import gzip
import json
from pathlib import Path

import pytest

from tests.fakes.shell import call

RECORDED = Path(__file__).parent.parent / "recorded"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, str]:
    """Name → folder of a recorded run."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("drained", "exit-at-once"):
        (folder / name).mkdir()
        (folder / name / "facts.jsonl").write_bytes(gzip.decompress((RECORDED / name / "facts.jsonl.gz").read_bytes()))
    return {name: str(folder / name) for name in ("drained", "exit-at-once")}


def test_two_runs_stand_side_by_side(runs, capsys):
    assert call("compare", runs["exit-at-once"], runs["drained"]) == 0

    out = capsys.readouterr().out
    assert "NOT GRACEFUL" in out
    assert "B is better: A was not graceful, B is graceful." in out


@pytest.mark.parametrize(("order", "code"), [(("drained", "exit-at-once"), 1), (("exit-at-once", "drained"), 0)])
def test_a_run_that_went_worse_is_an_exit_code_of_its_own(runs, order, code, capsys):
    a, b = order

    assert call("compare", runs[a], runs[b], "--fail-if-worse", "-o", "json") == code
    assert json.loads(capsys.readouterr().out)["schema"] == "rollcheck.compare-runs/1"


def test_a_run_cut_short_cannot_be_judged(runs, tmp_path, capsys):
    whole = (Path(runs["drained"]) / "facts.jsonl").read_bytes()
    (tmp_path / "facts.jsonl").write_bytes(whole[: len(whole) // 2])

    assert call("compare", runs["drained"], str(tmp_path), "--fail-if-worse") == 3
    assert "Which is worse is not known" in capsys.readouterr().out


def test_a_run_and_a_load_cannot_be_compared(runs, tmp_path, capsys):
    load = tmp_path / "load.json"
    load.write_bytes((RECORDED.parent / "render" / "data" / "fortio-run.json").read_bytes())

    assert call("compare", str(load), runs["drained"]) == 2
    assert "give two runs, or two loads" in capsys.readouterr().err


def test_two_runs_make_a_page_and_no_picture(runs, tmp_path, capsys):
    page = tmp_path / "ab.html"

    assert call("compare", runs["exit-at-once"], runs["drained"], "--html", str(page)) == 0
    assert page.read_bytes().startswith(b"<!")
    assert call("compare", runs["exit-at-once"], runs["drained"], "--figure", str(tmp_path / "x.png")) == 2
    assert "--html has both" in capsys.readouterr().err
