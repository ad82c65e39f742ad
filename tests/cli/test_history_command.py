import gzip
import json
from pathlib import Path

import pytest

from rollcheck.cli.history import places
from tests.fakes.shell import call

RECORDED = Path(__file__).parent.parent / "recorded"


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> Path:
    """Two runs as facts alone, one of them in a folder of its own."""
    folder = tmp_path_factory.mktemp("reports")
    for name, place in (("drained", folder / "a"), ("killed", folder / "demo" / "before")):
        place.mkdir(parents=True)
        (place / "facts.jsonl").write_bytes(gzip.decompress((RECORDED / name / "facts.jsonl.gz").read_bytes()))
    return folder


def test_every_report_below_a_folder_is_found(reports):
    assert places(reports) == [reports / "a", reports / "demo" / "before"]


def test_a_report_itself_may_be_given(reports):
    assert places(reports / "a") == [reports / "a"]


def test_runs_that_were_never_rendered_are_analysed(reports, capsys):
    assert call("history", str(reports), "-o", "json") == 0

    told = json.loads(capsys.readouterr().out)
    assert [
        (each["subject"], each["entries"][0]["verdict"], each["entries"][0]["lost"]) for each in told["series"]
    ] == [
        ("deployment/web in recorded-drained", "graceful", 0),
        ("deployment/web in recorded-killed", "not graceful", 1),
    ]


def test_a_table_and_a_picture_are_made(reports, tmp_path, capsys):
    assert call("history", str(reports), "--figure", str(tmp_path / "h.svg"), "--figure", str(tmp_path / "h.PNG")) == 0

    assert "2 in all" not in capsys.readouterr().out
    assert (tmp_path / "h.svg").read_bytes().startswith(b"<?xml")
    assert (tmp_path / "h.PNG").read_bytes().startswith(b"\x89PNG")


def test_what_was_rendered_is_read_and_not_analysed_again(tmp_path, capsys, reports):
    call("report", str(reports / "a"))
    result = json.loads((reports / "a" / "result.json").read_text())
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "result.json").write_text(json.dumps(result | {"verdict": "inconclusive"}))
    capsys.readouterr()

    assert call("history", str(tmp_path)) == 0
    assert "inconclusive, the only one" in capsys.readouterr().out


def test_what_cannot_be_read_is_told_and_left_out(tmp_path, capsys, reports):
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"schema": "rollcheck.result/9"}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(text)
    (tmp_path / "d").symlink_to(reports / "a")

    assert call("history", str(tmp_path), str(reports / "a")) == 0
    out, err = capsys.readouterr()
    assert err.count("left out: ") == 3
    assert "graceful, the only one" in out


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
def test_where_there_is_no_report_is_one_sentence(tmp_path, capsys, make):
    make(tmp_path / "here")

    assert call("history", str(tmp_path / "here")) == 2
    err = capsys.readouterr().err
    assert str(tmp_path / "here") in err
    assert err.count("\n") == 1


def test_a_picture_of_another_kind_is_refused(reports, capsys):
    assert call("history", str(reports), "--figure", "x.gif") == 2
    assert ".png or .svg" in capsys.readouterr().err
