import json
import os
import subprocess
import sys

import pytest
from builders import Story
from cards import immediate_exit, in_flight_and_broken

from rollcheck import report
from rollcheck.analyze.analysis import analyse
from rollcheck.errors import DiskFull, DocumentError
from rollcheck.facts.attempts import Lane
from rollcheck.facts.codec import encode_line
from rollcheck.record import read_document
from rollcheck.render.terminal import fix_names

needs_a_full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110


STORIES = {
    "lost": lambda: Story(qps=20).graceful_rollout(at=3.0, pods=1).lose(Lane.FRESH, 5.2, 5.9).end(at=14),
    "graceful": lambda: Story(qps=20).graceful_rollout(at=3.0, pods=1).end(at=14),
    "short": lambda: Story(qps=20).end(at=2),
}
"""Short, as each is analysed and drawn for real."""


def told(name):
    return STORIES[name]().document(seal=name != "short")


def written(document, folder):
    """The analysis of which the report is in the folder now."""
    analysis = analyse(document)
    report.write_report(analysis, folder)
    return analysis


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A report of the lost run, which no test changes."""
    folder = tmp_path_factory.mktemp("reported")
    return folder, written(told("lost"), folder)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", STORIES)
def test_a_report_has_every_file_it_names(tmp_path, name):
    analysis = written(told(name), tmp_path / "new" / "folder")

    assert {*report.RENDERED, *fix_names(analysis)} == set(contents(tmp_path / "new" / "folder"))


def test_rendering_again_gives_the_same_bytes(tmp_path, reported):
    for _ in range(2):
        written(told("lost"), tmp_path)

    assert contents(tmp_path) == contents(reported[0])


def test_a_report_from_the_recorded_file_is_that_of_the_run(tmp_path, reported):
    document = told("lost")
    lines = [encode_line(fact) for fact in (document.header, *document.facts, document.seal)]
    (tmp_path / "facts.jsonl").write_bytes(b"".join(lines))
    written(read_document(tmp_path), tmp_path / "later")

    assert contents(tmp_path / "later") == contents(reported[0])


def test_the_verdict_in_the_file_is_that_of_the_analysis(reported):
    folder, analysis = reported

    assert json.loads((folder / "result.json").read_bytes())["verdict"] == analysis.verdict
    assert (folder / "summary.txt").read_text().startswith("NOT GRACEFUL: ")


def test_the_summary_does_not_depend_on_where_the_folder_is(reported):
    folder, _ = reported

    assert str(folder) not in (folder / "summary.txt").read_text()


def test_a_patch_is_a_file_of_its_own(reported):
    folder, analysis = reported

    assert (folder / "fix-1.yaml").read_text() == next(cause.fix for cause in analysis.causes if cause.fix)


def test_no_temporary_file_stays_behind(reported):
    assert not [path for path in reported[0].iterdir() if path.name.startswith(".")]


def test_a_patch_of_an_earlier_rendering_does_not_stay_behind(tmp_path):
    (tmp_path / "fix-7.yaml").write_text("spec: {}\n")
    report.write_report(in_flight_and_broken(), tmp_path)

    assert sorted(path.name for path in tmp_path.glob("fix-*")) == ["fix-1.yaml"]


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "taken").write_text("")

    with pytest.raises(DocumentError, match=r"make .*taken writable"):
        report.write_report(immediate_exit(), tmp_path / "taken")


def test_a_file_that_cannot_be_replaced_is_named(tmp_path):
    (tmp_path / "result.json").mkdir()

    with pytest.raises(DocumentError, match=r"result\.json"):
        report.write_report(immediate_exit(), tmp_path)


@needs_a_full_device
def test_a_full_disk_is_told_from_other_faults(tmp_path):
    (tmp_path / f".result.json.{os.getpid()}.tmp").symlink_to("/dev/full")

    with pytest.raises(DiskFull, match="free some space"):
        report.write_report(immediate_exit(), tmp_path)


def test_matplotlib_is_not_imported_before_a_picture_is_drawn():
    code = "import sys, rollcheck.report, rollcheck.render.result; sys.exit('matplotlib' in sys.modules)"

    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_pictures_are_drawn_without_a_word_where_no_home_can_be_written(tmp_path):
    """A container without a user's folder; what matplotlib needs lies in a temporary one, and goes with the process."""
    lines = [encode_line(fact) for fact in (told("short").header, *told("short").facts)]
    (tmp_path / "facts.jsonl").write_bytes(b"".join(lines))
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MPL", "XDG"))}
    ended = subprocess.run(
        [sys.executable, "-m", "rollcheck", "report", str(tmp_path)],
        env={**kept, "HOME": "/dev/null", "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (3, "")
    assert (tmp_path / "timeline.png").stat().st_size > 1000
    assert list(temporary.iterdir()) == []
