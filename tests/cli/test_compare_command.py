import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from rollcheck.analyze.load import summarise
from rollcheck.cli.app import app
from rollcheck.errors import DiskFull
from rollcheck.facts.codec import encode_line
from rollcheck.facts.document import Seal
from rollcheck.render.fortio import fortio_bytes
from tests.analyze.load_facts import at, document, header, interval, mark

ROOT = Path(__file__).parents[2]
FORTIO = ROOT / "tests" / "render" / "data" / "fortio-run.json"


def load(factor):
    random = Random(factor)
    facts = [interval(s, [int(random.lognormvariate(7, 0.4) * factor) for _ in range(30)]) for s in range(12)]
    return document(mark(), *facts, head=header(duration_s=12.0, qps=30.0))


@pytest.fixture
def folder(tmp_path):
    """A fast load as a folder of --out, and a slow one as JSON."""
    fast = load(1)
    (tmp_path / "fast").mkdir()
    seal = Seal(ended_ns=at(12), lines=len(fast.facts) + 1)
    lines = [fast.header, *fast.facts, seal]
    (tmp_path / "fast" / "facts.jsonl").write_bytes(b"".join(map(encode_line, lines)))
    (tmp_path / "slow.json").write_bytes(fortio_bytes(summarise(load(2))))
    return tmp_path


@pytest.fixture
def compare(folder, monkeypatch):
    """The command in this process, for starting another one takes longer than all it does."""
    monkeypatch.chdir(folder)

    return lambda *arguments: CliRunner().invoke(app, ["compare", *arguments])


def test_the_installed_command_knows_it(folder):
    done = subprocess.run(
        [sys.executable, "-m", "rollcheck", "compare", "fast", "slow.json", "--fail-if-worse"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (1, "")


def test_a_folder_and_a_json_file_can_be_compared(compare):
    done = compare("fast", "slow.json")

    assert (done.exit_code, done.stderr) == (0, "")
    assert "B is worse than A by more than the noise: p50, p90, p99." in done.stdout


def test_worse_fails_only_where_it_is_asked_to(compare):
    assert compare("fast", "slow.json", "--fail-if-worse").exit_code == 1
    assert compare("slow.json", "fast", "--fail-if-worse").exit_code == 0
    assert compare("fast", "slow.json", "--fail-if-worse", "--tolerance", "300%").exit_code == 0


def test_a_gate_does_not_pass_what_cannot_be_judged(compare):
    done = compare(str(FORTIO), "slow.json", "--fail-if-worse")

    assert done.exit_code == 3
    assert "noise cannot be judged" in done.stdout


@pytest.mark.parametrize("flags", [("--json",), ("-o", "json")])
def test_json_is_the_only_thing_on_stdout(compare, flags):
    assert json.loads(compare("fast", "slow.json", *flags).stdout)["worse"] == ["p50", "p90", "p99"]


def test_a_page_of_two_loads_is_written_where_it_is_asked_for(folder, compare):
    assert compare("fast", "slow.json", "--html", "ab.html").exit_code == 0
    assert "B is worse than A by more than the noise" in (folder / "ab.html").read_text()


def test_a_page_of_two_runs_has_both_verdicts(folder, compare):
    for name in ("exit-at-once", "drained"):
        (folder / name).mkdir()
        recorded = ROOT / "tests" / "recorded" / name / "facts.jsonl.gz"
        (folder / name / "facts.jsonl").write_bytes(gzip.decompress(recorded.read_bytes()))

    assert compare("exit-at-once", "drained", "--html", "ab.html").exit_code == 0
    assert "A not graceful, B graceful</h1>" in (folder / "ab.html").read_text()


def test_a_page_that_cannot_be_written_is_one_sentence(compare):
    done = compare("fast", "slow.json", "--html", "nowhere/ab.html")

    assert done.exit_code == DiskFull.exit_code
    assert "--html: nowhere/ab.html could not be written" in done.output


def test_pictures_are_written_by_the_end_of_their_name(folder, compare):
    done = compare("fast", "slow.json", "--figure", "a.png", "--figure", "b.svg")

    assert done.exit_code == 0
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (folder / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fast", "nowhere"), "nowhere: No such file"),
        (("fast", "."), "give a folder of `rollcheck load --out`"),
        (("fast", "fast/facts.jsonl", "-o", "yaml"), "choose text or json"),
        (("fast", "fast", "--figure", "x.pdf"), "ends with .png or .svg"),
        (("fast", "fast", "--tolerance", "much"), "is no share"),
        (("fast", "fast", "--figure", "no/such/x.png"), "could not be written"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(compare, arguments, said):
    done = compare(*arguments)

    assert done.exit_code in (2, 3)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
